package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/demo/terminal"
	"idp/internal/idp"
	"idp/internal/snippets"
)

// tokenGetOptions are the flags of idp token get.
type tokenGetOptions struct {
	client, flow, from, redirect string
	scopes, resources            []string
	paste, noBrowser             bool
	timeout                      string
	secret                       secretFlags
}

// The flows that idp token get knows.
const (
	flowCode    = "code"
	flowService = "client-credentials"
	flowDevice  = "device"
)

func (a *app) tokenGet() *cobra.Command {
	c := &cobra.Command{
		Use:   "get --client CLIENT_ID",
		Short: "Sign in as a client would, and show the tokens",
		Long: "Signs in with the browser, by the authorization code flow with PKCE, verifies what came back, and shows what is in the tokens. The answer\n" +
			"comes to a loopback redirect URI of the client; with --paste you copy the address that the browser came to instead. Services get their\n" +
			"token by client credentials.\n\n" +
			"The client is looked up in the configured database, or is one of the server that --issuer names. Its secret is taken from\n" +
			snippets.SecretVariable + ", " + snippets.SecretVariable + "_FILE, a file or stdin, never from an argument.\n\n" +
			"Signatures are cut out of what is shown. -o json prints the tokens themselves, --quiet the access token alone.",
		Example: "  idp token get --client demo-cli\n" +
			"  idp token get --client wiki --paste --client-secret-file wiki.secret\n" +
			"  curl -H \"Authorization: Bearer $(idp token get --client demo-cli -q)\" http://127.0.0.1:5555/api",
		Args: exactly(),
	}
	var o tokenGetOptions
	c.Flags().StringVar(&o.client, "client", "", "the client_id to sign in as")
	c.Flags().StringArrayVar(&o.scopes, "scope", nil, "what to ask for (repeatable, or several separated by spaces); all that the client may ask for, or openid at another server")
	c.Flags().StringArrayVar(&o.resources, "resource", nil, "the API that the token is for (repeatable; the token is for the first)")
	c.Flags().StringVar(&o.flow, "flow", "", "code, client-credentials or device; what the client is for, unless given")
	c.Flags().StringVar(&o.from, "issuer", "", "sign in at this issuer, and do not open the database")
	c.Flags().StringVar(&o.redirect, "redirect-uri", "", "where the answer goes; the client's first loopback address, unless given")
	c.Flags().BoolVar(&o.paste, "paste", false, "paste the address that the browser came to, where it cannot reach this machine")
	c.Flags().BoolVar(&o.noBrowser, "no-browser", false, "do not open a browser: the address to open is printed anyway")
	c.Flags().StringVar(&o.timeout, "timeout", "5m", "how long to wait for the sign-in")
	o.secret.register(c, "client-secret", "the client's secret")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		known, err := a.clientOfTokens(cmd, &o)
		if err != nil {
			return err
		}
		period, err := parseDuration(o.timeout)
		if err != nil {
			return usage("--timeout %s: %s", o.timeout, err)
		}
		ctx, cancel := context.WithTimeoutCause(cmd.Context(), period.std(), fmt.Errorf("nobody signed in within %s", period))
		defer cancel()
		tokens, err := a.getTokens(ctx, o, known)
		if away, ok := errors.AsType[*net.OpError](err); ok && away.Op == "dial" {
			return withCode(exitUnavailable, err)
		}
		if err != nil {
			return err
		}
		return a.show(tokens, tokens.AccessToken, func(t *table) { tokensTable(t, tokens) })
	}
	a.outputFlags(c)
	c.Flags().Lookup("quiet").Usage = "print the access token alone"
	return c
}

// clientOfTokens reads the client and its issuer from the database, unless the
// flags name another issuer: then it is what the flags say.
func (a *app) clientOfTokens(cmd *cobra.Command, o *tokenGetOptions) (idp.Client, error) {
	switch {
	case o.client == "":
		return idp.Client{}, usage("--client is needed: the client_id to sign in as")
	case o.flow != "" && !slices.Contains([]string{flowCode, flowService, flowDevice}, o.flow):
		return idp.Client{}, usage("--flow %s: must be code, client-credentials or device", o.flow)
	case o.paste && o.secret.stdin:
		return idp.Client{}, usage("--paste and --client-secret-stdin exclude each other: both read stdin")
	}
	o.scopes = strings.Fields(strings.Join(o.scopes, " "))
	if o.from != "" {
		o.from = strings.TrimSuffix(o.from, "/")
		if u, err := url.Parse(o.from); err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && isLoopbackHost(u.Hostname())) {
			return idp.Client{}, usage("--issuer %s: must be an https address; http is for this machine only", o.from)
		}
		known := idp.Client{ClientID: o.client}
		if o.flow == "" {
			o.flow = flowCode
		}
		if len(o.scopes) == 0 && o.flow != flowService {
			o.scopes = []string{idp.ScopeOpenID}
		}
		known.ApplicationType, known.RedirectURIs = idp.ApplicationNative, []string{"http://127.0.0.1/callback"}
		return known, nil
	}
	var known idp.Client
	return known, a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
		var err error
		if known, err = d.admin.Client(ctx, o.client); err != nil {
			return err
		}
		if o.from = d.issuer; o.from == "" {
			return withCode(exitConfiguration, errors.New("the issuer is not known: set IDP_ISSUER, serve once, or give --issuer"))
		}
		return suitsTokens(known, o)
	})(cmd, nil)
}

// suitsTokens fills in what the client's registration says, and refuses what it
// rules out.
func suitsTokens(c idp.Client, o *tokenGetOptions) error {
	if o.flow == "" {
		if o.flow = flowCode; !c.HasGrantType(idp.GrantAuthorizationCode) && c.HasGrantType(idp.GrantClientCredentials) {
			o.flow = flowService
		}
	}
	if len(o.scopes) == 0 {
		for _, scope := range c.Scopes() {
			if o.flow != flowService || !idp.IsIdentityScope(scope) {
				o.scopes = append(o.scopes, scope)
			}
		}
	}
	if len(o.resources) == 0 && len(c.Audience) == 1 && slices.ContainsFunc(o.scopes, func(s string) bool { return !idp.IsIdentityScope(s) }) {
		o.resources = c.Audience
	}
	switch {
	case c.Disabled:
		return fmt.Errorf("client %q is disabled: idp client enable %s", c.ClientID, c.ClientID)
	case c.AssertsItself():
		return fmt.Errorf("client %q authenticates with %s, and only the application holds what that takes", c.ClientID, c.TokenEndpointAuthMethod)
	case o.flow == flowCode && c.RequireSignedRequestObject:
		return fmt.Errorf("client %q signs its requests, and only the application holds the key", c.ClientID)
	}
	return nil
}

// getTokens runs the flow: 1 the secret · 2 the issuer · 3 the flow.
func (a *app) getTokens(ctx context.Context, o tokenGetOptions, c idp.Client) (terminal.Tokens, error) {
	// 1.
	secret, err := a.clientSecret(o)
	if err != nil {
		return terminal.Tokens{}, err
	}
	if secret == "" && c.TokenEndpointAuthMethod != "" && !c.Public() {
		return terminal.Tokens{}, usage("client %q needs its secret: set %s, or give --client-secret-file or --client-secret-stdin", c.ClientID, snippets.SecretVariable)
	}
	if c.Public() {
		secret = "" // another client's, left in the environment
	}

	// 2.
	client, err := terminal.Discover(ctx, terminal.Config{
		Issuer: o.from, ClientID: c.ClientID, Secret: secret.Reveal(), InBody: c.TokenEndpointAuthMethod == idp.AuthClientSecretPost,
		Push: c.RequirePushedAuthorizationRequests, Scopes: o.scopes, Resources: o.resources, Now: a.Now,
	})
	if err != nil {
		return terminal.Tokens{}, err
	}

	// 3.
	switch o.flow {
	case flowService:
		return client.Service(ctx)
	case flowDevice:
		return client.Device(ctx, func(address, code string) {
			fmt.Fprintf(a.Stderr, "open:  %s\ncode:  %s\n", printable(address), printable(code))
		})
	}
	return a.signIn(ctx, client, o, c)
}

// clientSecret is the secret from a flag, or from the environment.
func (a *app) clientSecret(o tokenGetOptions) (idp.Secret, error) {
	if o.secret.file != "" || o.secret.stdin {
		return o.secret.read(a)
	}
	value, file := a.getenv(snippets.SecretVariable), a.getenv(snippets.SecretVariable+"_FILE")
	switch {
	case value != "" && file != "":
		return "", usage("%s and %s_FILE are both set: one is enough", snippets.SecretVariable, snippets.SecretVariable)
	case file != "":
		o.secret.file = file
		return o.secret.read(a)
	}
	return idp.Secret(value), nil
}

// signIn lets the person sign in with a browser.
func (a *app) signIn(ctx context.Context, client *terminal.Client, o tokenGetOptions, c idp.Client) (terminal.Tokens, error) {
	if o.paste {
		redirect := o.redirect
		if redirect == "" && len(c.RedirectURIs) > 0 {
			redirect = c.RedirectURIs[0]
		}
		s, err := client.Begin(ctx, redirect)
		if err != nil {
			return terminal.Tokens{}, err
		}
		a.openAddress(s.URL, o.noBrowser)
		fmt.Fprintf(a.Stderr, "Sign in, and paste the address that the browser came to (it begins with %s):\n", printable(redirect))
		address, err := a.readLine(ctx)
		if err != nil {
			return terminal.Tokens{}, err
		}
		return s.Finish(ctx, address)
	}
	listener, redirect, err := listenForAnswer(c, o.redirect)
	if err != nil {
		return terminal.Tokens{}, err
	}
	defer listener.Close()
	s, err := client.Begin(ctx, redirect)
	if err != nil {
		return terminal.Tokens{}, err
	}
	a.openAddress(s.URL, o.noBrowser)
	return s.Listen(ctx, listener)
}

// listenForAnswer listens at a loopback redirect URI of the client: at any port
// where the client is let (RFC 8252 section 7.3), else at the registered one.
func listenForAnswer(c idp.Client, wanted string) (net.Listener, string, error) {
	candidates := c.RedirectURIs
	if wanted != "" {
		candidates = []string{wanted}
	}
	var last error
	for _, uri := range candidates {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "http" || !isLoopbackHost(u.Hostname()) {
			continue
		}
		port := u.Port()
		if free := u.Hostname() != "localhost" && c.ApplicationType == idp.ApplicationNative; free && (wanted == "" || port == "") {
			port = "0"
		} else if port == "" {
			port = "80"
		}
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort(u.Hostname(), port))
		if err != nil {
			last = fmt.Errorf("redirect URI %s: %w", uri, err)
			continue
		}
		if port != "0" {
			return listener, uri, nil
		}
		_, rest, _ := strings.Cut(uri, u.Host)
		return listener, "http://" + net.JoinHostPort(u.Hostname(), portOf(listener)) + rest, nil
	}
	if last != nil {
		return nil, "", fmt.Errorf("%w: stop what listens there, or use --paste", last)
	}
	return nil, "", fmt.Errorf("client %q has no redirect URI on this machine: use --paste, or register http://127.0.0.1/callback for a native client", c.ClientID)
}

// openAddress says which address to open, and opens it where that can be done.
func (a *app) openAddress(address string, noBrowser bool) {
	fmt.Fprintf(a.Stderr, "open:  %s\n", printable(address))
	if noBrowser {
		return
	}
	var opener *exec.Cmd
	switch {
	case runtime.GOOS == "darwin":
		opener = exec.Command("open", address)
	case runtime.GOOS == "windows":
		opener = exec.Command("rundll32", "url.dll,FileProtocolHandler", address)
	case a.getenv("DISPLAY") != "" || a.getenv("WAYLAND_DISPLAY") != "":
		opener = exec.Command("xdg-open", address)
	default:
		return
	}
	if opener.Start() == nil {
		go func() { _ = opener.Wait() }()
	}
}

// readLine reads one line of stdin, for as long as it is waited for.
func (a *app) readLine(ctx context.Context) (string, error) {
	type read struct {
		line string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		line, err := bufio.NewReaderSize(a.Stdin, 1<<16).ReadString('\n')
		if line != "" {
			err = nil
		}
		done <- read{line, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return "", errors.New("no address was pasted")
		}
		return r.line, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// tokensTable shows what is in the tokens, for people: not the tokens.
func tokensTable(t *table, tokens terminal.Tokens) {
	for _, token := range []struct{ name, raw string }{{"id_token", tokens.IDToken}, {"access_token", tokens.AccessToken}} {
		if token.raw == "" {
			continue
		}
		t.row(token.name)
		header, claims, ok := decodeJWT(token.raw)
		if !ok {
			t.row("  opaque: what it stands for is the issuer's to say")
			continue
		}
		for line := range strings.SplitSeq(header+"\n"+claims, "\n") {
			t.row("  " + line)
		}
		t.row("  (the signature is cut out)")
	}
	if tokens.RefreshToken != "" {
		t.row("refresh_token")
		t.row("  there is one")
	}
	t.row()
	expires := "the issuer does not say when it expires"
	if !tokens.ExpiresAt.IsZero() {
		expires = "until " + when(tokens.ExpiresAt)
	}
	t.row("access token " + expires + ". The tokens themselves: -o json")
}

// decodeJWT returns header and claims of a JWT for people; times stay numbers,
// with their date beside them.
func decodeJWT(raw string) (header, claims string, ok bool) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return "", "", false
	}
	var shown [2]string
	for i := range shown {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return "", "", false
		}
		var pretty bytes.Buffer
		if json.Indent(&pretty, text, "", "  ") != nil {
			return "", "", false
		}
		shown[i] = pretty.String()
	}
	var lines []string
	for line := range strings.SplitSeq(shown[1], "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.TrimSuffix(line, ",")), ": ")
		var at json.Number
		if slices.Contains([]string{`"exp"`, `"iat"`, `"nbf"`, `"auth_time"`}, name) && json.Unmarshal([]byte(value), &at) == nil {
			if seconds, err := at.Int64(); err == nil {
				line += "   // " + when(time.Unix(seconds, 0))
			}
		}
		lines = append(lines, line)
	}
	return shown[0], strings.Join(lines, "\n"), true
}
