package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/demo"
	"idp/internal/idp"
	"idp/internal/server"
)

func (a *app) devCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a demonstration on this machine: issuer, user, clients, API and an application",
		Long: "Runs an issuer with everything needed to try it: a user, three clients, an API and an application that signs in and calls it.\n" +
			"It binds to loopback addresses only and keeps its data in one directory, so that the next start finds the same user, clients and secrets.\n" +
			"Configuration file and environment are left alone: they may be those of a real server.",
		Args: exactly(),
	}
	var o devOptions
	c.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8080", "listener of the issuer; port 0 takes a free one")
	c.Flags().StringVar(&o.demoListen, "demo-listen", "127.0.0.1:5555", "listener of the demo application and API; port 0 takes a free one")
	c.Flags().StringVar(&o.managementListen, "management-listen", "127.0.0.1:9100", "listener for health checks; off for none")
	c.Flags().BoolVar(&o.reset, "reset", false, "forget everything in the data directory and begin anew")
	c.Flags().BoolVar(&o.json, "json", false, "print what there is as one JSON object, once it is ready")
	c.Flags().StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	c.RunE = func(cmd *cobra.Command, _ []string) error { return a.dev(cmd.Context(), o) }
	return c
}

type devOptions struct {
	listen, demoListen, managementListen string
	reset, json                          bool
	logLevel                             string
}

// dev runs the demonstration: 1 listen, so that taken ports are known before
// anything is written · 2 open or begin the data directory · 3 see to the demo
// objects · 4 serve issuer and demo until ctx ends.
func (a *app) dev(ctx context.Context, o devOptions) error {
	cfg := defaultConfig()
	cfg.DrainDelay, cfg.Log.Level, cfg.ManagementListen = 0, o.logLevel, o.managementListen
	cfg.Mail.PrintToLog = true
	if a.dataDir != "" {
		cfg.DataDir = a.dataDir
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, o.logLevel) {
		return usage("--log-level %s: must be debug, info, warn or error", o.logLevel)
	}
	logger, stopTracing, err := a.traced(ctx, a.logger(cfg.Log, new(slog.LevelVar)))
	if err != nil {
		return err
	}
	defer stopTracing()

	// 1.
	public, err := listenLoopback("--listen", o.listen)
	if err != nil {
		return err
	}
	defer public.Close()
	demoListener, err := listenLoopback("--demo-listen", o.demoListen)
	if err != nil {
		return err
	}
	defer demoListener.Close()
	var management net.Listener
	if o.managementListen != "off" {
		if management, err = listenLoopback("--management-listen", o.managementListen); err != nil {
			return err
		}
		defer management.Close()
	}
	// localhost is a secure context for browsers, and another site than the
	// application's 127.0.0.1, so their cookies stay apart.
	cfg.Issuer = "http://" + net.JoinHostPort("localhost", portOf(public))
	application := "http://" + demoListener.Addr().String()
	// The application hears of the end of sessions on loopback.
	cfg.Outbound.Allow = []netip.Prefix{loopbackOf(demoListener)}

	// 2.
	if o.reset {
		if err := a.forgetDemonstration(ctx, &cfg, logger); err != nil {
			return err
		}
	}
	d, err := a.openDatabase(ctx, &cfg, logger, true)
	if err != nil {
		return err
	}
	defer d.close()
	if served, err := d.store.Setting(ctx, issuerSetting); err == nil && !isDemonstrationIssuer(string(served)) {
		return fmt.Errorf("%s holds the database of %s: name another directory with --data-dir", cfg.DataDir, served)
	}

	// 3.
	shown, err := d.ensureDemonstration(ctx, application)
	if err != nil {
		return fmt.Errorf("demo objects: %w", err)
	}
	if shown.Console, err = d.demoConsole(ctx); err != nil {
		return fmt.Errorf("console: %w", err)
	}

	// 4.
	n, err := newNode(ctx, d)
	if err != nil {
		return err
	}
	defer n.close()
	n.public, n.management = public, management
	if n.mail, err = d.sender(a.Stderr); err != nil {
		return err
	}
	n.ready = func() {
		if o.json {
			_ = writeJSON(a.Stdout, shown) // nobody reads: nobody to tell
			return
		}
		shown.print(a, cfg.DataDir)
	}
	return n.runWithDemo(ctx, demoListener, shown)
}

func listenLoopback(flag, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usage("%s %s: must be HOST:PORT with a loopback host, such as 127.0.0.1:0", flag, address)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, usage("%s %s: idp dev binds to loopback addresses only (127.0.0.1, [::1], localhost); for others there is idp serve", flag, address)
	}
	return server.Listen(flag, address)
}

func portOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String()) // a TCP address has one
	return port
}

func loopbackOf(l net.Listener) netip.Prefix {
	address := l.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap() // listenLoopback knows no other
	return netip.PrefixFrom(address, address.BitLen())
}

func isDemonstrationIssuer(issuer string) bool {
	return strings.HasPrefix(issuer, "http://localhost:")
}

// runWithDemo serves the demo application and API beside the issuer.
func (n *node) runWithDemo(ctx context.Context, listener net.Listener, shown demonstration) error {
	web := shown.client("demo-web")
	api := demo.NewAPI(demo.APIConfig{
		Issuer: shown.Issuer, Audience: shown.ResourceAPI.Audience, Scope: "demo:read", Logger: n.logger, Now: n.now,
	})
	mux := http.NewServeMux()
	mux.Handle("/", demo.New(demo.Config{
		Issuer: shown.Issuer, ClientID: web.ClientID, ClientSecret: web.ClientSecret, RedirectURL: shown.DemoApp + "/callback",
		APIURL: shown.ResourceAPI.URL, Audience: shown.ResourceAPI.Audience, Scopes: web.Scopes, Logger: n.logger, Now: n.now,
	}))
	mux.Handle("/.well-known/oauth-protected-resource/", api)
	mux.Handle("/api/", http.StripPrefix("/api", api))
	mux.Handle("/api", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		root := r.Clone(r.Context())
		root.URL.Path, root.URL.RawPath = "/", ""
		api.ServeHTTP(w, root)
	}))
	s := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(n.logger.Handler(), slog.LevelDebug),
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("demo application: %w", err))
		}
	}()
	err := n.run(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	return errors.Join(err, s.Close())
}

// demonstration is what idp dev --json prints.
type demonstration struct {
	Issuer                string       `json:"issuer"`
	Discovery             string       `json:"discovery"`
	JWKS                  string       `json:"jwks"`
	TokenEndpoint         string       `json:"token_endpoint"`
	AuthorizationEndpoint string       `json:"authorization_endpoint"`
	DataDir               string       `json:"data_dir"`
	DemoApp               string       `json:"demo_app"`
	Console               demoConsole  `json:"console"`
	ResourceAPI           demoAPI      `json:"resource_api"`
	Users                 []demoUser   `json:"users"`
	Clients               []demoClient `json:"clients"`
}

// demoConsole is where things are managed. Link makes whoever opens it the first
// administrator, once; empty when there is one.
type demoConsole struct {
	URL       string    `json:"url"`
	Link      string    `json:"link,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

func (d *database) demoConsole(ctx context.Context) (demoConsole, error) {
	c := demoConsole{URL: d.cfg.Issuer + "/console"}
	there, err := d.admin.HasAdministrator(ctx)
	if there || err != nil {
		return c, err
	}
	made, err := d.administratorLink(ctx, idp.User{})
	c.Link, c.ExpiresAt = made.Link, made.ExpiresAt
	return c, err
}

type demoAPI struct {
	URL      string   `json:"url"`
	Audience string   `json:"audience"`
	Scopes   []string `json:"scopes"`
}

type demoUser struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Sub      string `json:"sub"`
}

type demoClient struct {
	ClientID     string   `json:"client_id"`
	ClientSecret string   `json:"client_secret"` // empty for a public client
	GrantTypes   []string `json:"grant_types"`
	RedirectURIs []string `json:"redirect_uris"`
	Scopes       []string `json:"scopes"`
	Audience     []string `json:"audience"`
}

func (d demonstration) client(id string) demoClient {
	i := slices.IndexFunc(d.Clients, func(c demoClient) bool { return c.ClientID == id })
	if i < 0 {
		return demoClient{}
	}
	return d.Clients[i]
}

func (d demonstration) print(a *app, dataDir string) {
	web, service, user := d.client("demo-web"), d.client("demo-service"), d.Users[0]
	var t table
	t.row("issuer", d.Issuer+"   (discovery: /.well-known/openid-configuration)")
	if d.Console.Link != "" {
		t.row("console", d.Console.URL+"   open once: "+d.Console.Link+"   (valid 60 min; new one: idp admin link --data-dir "+dataDir+")")
	} else {
		t.row("console", d.Console.URL)
	}
	t.row("open", d.DemoApp+"   the demo application: sign in and call the API")
	t.row("demo user", user.Username+" / "+user.Password)
	t.row("web client", web.ClientID+"   secret "+web.ClientSecret+"   redirect "+strings.Join(web.RedirectURIs, " "))
	t.row("cli client", "demo-cli   public, PKCE   redirect http://127.0.0.1/callback on any port")
	t.row("service", service.ClientID+"   secret "+service.ClientSecret+"   client credentials")
	t.row("demo API", d.ResourceAPI.URL+"   scopes "+strings.Join(d.ResourceAPI.Scopes, " "))
	t.row("token now", "curl -s -u "+service.ClientID+":"+service.ClientSecret+" -d grant_type=client_credentials -d scope=demo:read "+d.TokenEndpoint)
	login := "idp token get --client demo-cli"
	if a.dataDir != "" {
		login += " --data-dir " + dataDir
	}
	t.row("login now", login+"   (opens the browser, prints the decoded tokens)")
	t.row("data", dataDir+"   stop: Ctrl-C   forget: idp dev --reset")
	fmt.Fprintln(a.Stdout)
	t.write(a.Stdout)
	fmt.Fprintln(a.Stdout)
}

// demoSecretsFile holds, beside the database, what the database cannot give
// back: passwords and client secrets of the demonstration.
const demoSecretsFile = "dev.json"

// demoSecrets is what demoSecretsFile holds.
type demoSecrets struct {
	Password      string `json:"password"`
	WebSecret     string `json:"demo_web_secret"`
	ServiceSecret string `json:"demo_service_secret"`
	Audience      string `json:"audience"`     // stays what it was at the first start
	RedirectURI   string `json:"redirect_uri"` // of the demo application at the last start
}

func readDemoSecrets(dir string) (demoSecrets, error) {
	var s demoSecrets
	raw, err := os.ReadFile(filepath.Join(dir, demoSecretsFile))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("%s: %w", filepath.Join(dir, demoSecretsFile), err)
	}
	return s, nil
}

func (s demoSecrets) write(dir string) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, demoSecretsFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeSecretFile(path, append(raw, '\n'))
}

// forgetDemonstration removes the files of a demonstration, and nothing else.
// A database without a demonstration's secrets beside it is somebody's work.
func (a *app) forgetDemonstration(ctx context.Context, cfg *Config, logger *slog.Logger) error {
	database := filepath.Join(cfg.DataDir, "idp.db")
	if _, err := os.Stat(database); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, demoSecretsFile)); err != nil {
		return fmt.Errorf("%s was not made by idp dev: it is not removed. Remove it yourself, or name another directory with --data-dir", database)
	}
	s, err := a.openStore(ctx, cfg, logger, true) // refused while a server uses it
	if err != nil {
		return err
	}
	s.Close()
	for _, name := range []string{"idp.db", "idp.db-wal", "idp.db-shm", "idp.db.migrate.lock", masterKeyName, demoSecretsFile} {
		if err := os.Remove(filepath.Join(cfg.DataDir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
