package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/admin"
	"idp/internal/idp"
	"idp/internal/snippets"
)

// clientView is a client as it is printed: the names of RFC 7591, and its
// state. The secret is there once, when it was made.
type clientView struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret,omitempty"`
	idp.ClientMetadata
	Logo             string       `json:"logo,omitempty"` // SHA-256 of the stored picture
	Disabled         bool         `json:"disabled,omitempty"`
	Secrets          []secretView `json:"secrets,omitempty"`
	TokensValidAfter time.Time    `json:"tokens_valid_after,omitzero"`
	CreatedAt        time.Time    `json:"created_at"`
	UpdatedAt        time.Time    `json:"updated_at"`
}

// secretView tells of a client secret all but itself.
type secretView struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

func viewClient(c idp.Client) clientView {
	v := clientView{
		ClientID: c.ClientID, ClientMetadata: c.ClientMetadata, Logo: c.Logo, Disabled: c.Disabled,
		TokensValidAfter: c.TokensValidAfter, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
	for _, s := range c.Secrets {
		v.Secrets = append(v.Secrets, secretView{s.ID.String(), s.CreatedAt, s.ExpiresAt})
	}
	return v
}

// document is a client's metadata as create and update read it from a file.
type clientDocument struct {
	ClientID           string `yaml:"client_id"`
	idp.ClientMetadata `yaml:",inline"`
}

func (a *app) clientFlags(cmd *cobra.Command) *fieldFlags[idp.ClientMetadata] {
	type m = idp.ClientMetadata
	f := flagsOf[m](cmd)
	f.text("name", "client_name: what people see", func(m *m) *string { return &m.ClientName })
	f.list("redirect-uri", "redirect_uris: where people are sent back to, exactly as the application sends it", func(m *m) *[]string { return &m.RedirectURIs })
	f.list("grant-type", "grant_types: authorization_code, refresh_token, client_credentials", func(m *m) *[]string { return &m.GrantTypes })
	f.list("response-type", "response_types: code, and with --security-profile oidc-legacy the implicit and hybrid ones", func(m *m) *[]string { return &m.ResponseTypes })
	f.words("scope", "scope: what it may ask for", func(m *m) *string { return &m.Scope })
	f.list("audience", "audience: the resources (APIs) that it may ask tokens for", func(m *m) *[]string { return &m.Audience })
	f.text("security-profile", "security_profile: baseline or oidc-legacy", func(m *m) *string { return &m.SecurityProfile })
	f.text("application-type", "application_type: web or native", func(m *m) *string { return &m.ApplicationType })
	f.text("token-endpoint-auth-method", "token_endpoint_auth_method: client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt or none", func(m *m) *string { return &m.TokenEndpointAuthMethod })
	public := cmd.Flags().Bool("public", false, "it holds no secret: token_endpoint_auth_method none")
	f.add("public", func(m *m) error {
		if cmd.Flags().Changed("token-endpoint-auth-method") {
			return usage("--public and --token-endpoint-auth-method exclude each other")
		}
		if *public {
			m.TokenEndpointAuthMethod = idp.AuthNone
		}
		return nil
	})
	f.truth("skip-consent", "skip_consent: people are not asked; for the company's own applications", func(m *m) *bool { return &m.SkipConsent })
	f.truth("verified", "verified: you vouch for a client that registered itself", func(m *m) *bool { return &m.Verified })
	f.truth("pkce-optional", "pkce_optional: a confidential client may leave PKCE out", func(m *m) *bool { return &m.PKCEOptional })
	f.list("allowed-group", "allowed_groups: only their members may sign in to it", func(m *m) *[]string { return &m.AllowedGroups })
	f.list("allowed-cors-origin", "allowed_cors_origins: origins whose scripts may call the token endpoint", func(m *m) *[]string { return &m.AllowedCORSOrigins })
	f.list("resource-server-of", "resource_server_of: audiences whose tokens it may introspect", func(m *m) *[]string { return &m.ResourceServerOf })
	f.text("access-token-format", "access_token_format: jwt or opaque", func(m *m) *string { return &m.AccessTokenFormat })
	f.text("access-token-signing-alg", "access_token_signing_alg: ES256, RS256, PS256, EdDSA, ES384 or ES512", func(m *m) *string { return &m.AccessTokenSigningAlg })
	f.text("id-token-signed-response-alg", "id_token_signed_response_alg: RS256, ES256, PS256, EdDSA, ES384 or ES512", func(m *m) *string { return &m.IDTokenSignedResponseAlg })
	f.text("id-token-encrypted-response-alg", "id_token_encrypted_response_alg: RSA-OAEP-256, ECDH-ES or ECDH-ES+A256KW", func(m *m) *string { return &m.IDTokenEncryptedResponseAlg })
	f.text("id-token-encrypted-response-enc", "id_token_encrypted_response_enc: A128CBC-HS256, A256CBC-HS512, A128GCM or A256GCM", func(m *m) *string { return &m.IDTokenEncryptedResponseEnc })
	f.text("userinfo-signed-response-alg", "userinfo_signed_response_alg: userinfo answers with a JWT signed so", func(m *m) *string { return &m.UserinfoSignedResponseAlg })
	f.text("userinfo-encrypted-response-alg", "userinfo_encrypted_response_alg: as for the ID token", func(m *m) *string { return &m.UserinfoEncryptedResponseAlg })
	f.text("userinfo-encrypted-response-enc", "userinfo_encrypted_response_enc: as for the ID token", func(m *m) *string { return &m.UserinfoEncryptedResponseEnc })
	f.text("jwks-uri", "jwks_uri: https address of its public keys", func(m *m) *string { return &m.JWKSURI })
	f.text("token-endpoint-auth-signing-alg", "token_endpoint_auth_signing_alg: the one algorithm that its assertions may be signed with", func(m *m) *string { return &m.TokenEndpointAuthSigningAlg })
	jwks := cmd.Flags().String("jwks-file", "", "jwks: read its public keys from this file (- for stdin); an empty name clears them")
	var set idp.JWKSet // stdin can be read once, and flags are applied twice
	f.add("jwks-file", func(m *m) error {
		var err error
		if *jwks != "" && set == nil {
			set, err = a.readInput(*jwks)
		}
		m.JWKS = set
		return err
	})
	f.seconds("access-token-lifetime", "access_token_lifetime", func(m *m, s int) { m.AccessTokenLifetime = s })
	f.seconds("refresh-token-idle", "refresh_token_idle", func(m *m, s int) { m.RefreshTokenIdle = s })
	f.seconds("refresh-token-lifetime", "refresh_token_lifetime", func(m *m, s int) { m.RefreshTokenLifetime = s })
	f.seconds("default-max-age", "default_max_age: people sign in again after this", func(m *m, s int) { m.DefaultMaxAge = &s })
	f.list("request-uri", "request_uris: where it keeps request objects", func(m *m) *[]string { return &m.RequestURIs })
	f.text("request-object-signing-alg", "request_object_signing_alg: the one algorithm that its request objects may be signed with", func(m *m) *string { return &m.RequestObjectSigningAlg })
	f.text("request-object-encryption-alg", "request_object_encryption_alg: it may encrypt request objects with RSA-OAEP-256, ECDH-ES or ECDH-ES+A256KW", func(m *m) *string { return &m.RequestObjectEncryptionAlg })
	f.text("request-object-encryption-enc", "request_object_encryption_enc: the one content encryption that it may use", func(m *m) *string { return &m.RequestObjectEncryptionEnc })
	f.truth("require-signed-request-object", "require_signed_request_object: its authorization requests come in signed request objects (RFC 9101)", func(m *m) *bool { return &m.RequireSignedRequestObject })
	f.text("initiate-login-uri", "initiate_login_uri: where others may send people to sign in at it", func(m *m) *string { return &m.InitiateLoginURI })
	f.truth("require-pushed-authorization-requests", "require_pushed_authorization_requests: its authorization requests go through PAR (RFC 9126)", func(m *m) *bool { return &m.RequirePushedAuthorizationRequests })
	f.text("subject-type", "subject_type: public, or pairwise, so that clients of different hosts know people by different identifiers", func(m *m) *string { return &m.SubjectType })
	f.text("sector-identifier-uri", "sector_identifier_uri: whose host names those that share pairwise identifiers", func(m *m) *string { return &m.SectorIdentifierURI })
	f.truth("require-auth-time", "require_auth_time: ID tokens always carry auth_time", func(m *m) *bool { return &m.RequireAuthTime })
	f.list("post-logout-redirect-uri", "post_logout_redirect_uris: where people are sent back to after signing out", func(m *m) *[]string { return &m.PostLogoutRedirectURIs })
	f.text("backchannel-logout-uri", "backchannel_logout_uri: is sent a logout token when a session ends", func(m *m) *string { return &m.BackchannelLogoutURI })
	f.truth("backchannel-logout-session-required", "backchannel_logout_session_required: that token names the session", func(m *m) *bool { return &m.BackchannelLogoutSessionRequired })
	f.text("frontchannel-logout-uri", "frontchannel_logout_uri: is loaded in the person's browser when they sign out", func(m *m) *string { return &m.FrontchannelLogoutURI })
	f.truth("frontchannel-logout-session-required", "frontchannel_logout_session_required: with iss and sid", func(m *m) *bool { return &m.FrontchannelLogoutSessionRequired })
	f.text("client-uri", "client_uri: its home page", func(m *m) *string { return &m.ClientURI })
	f.text("logo-uri", "logo_uri", func(m *m) *string { return &m.LogoURI })
	f.text("policy-uri", "policy_uri: its privacy policy", func(m *m) *string { return &m.PolicyURI })
	f.text("tos-uri", "tos_uri: its terms of service", func(m *m) *string { return &m.TosURI })
	f.list("contact", "contacts: e-mail addresses of those responsible", func(m *m) *[]string { return &m.Contacts })
	return f
}

func (a *app) clientCommand() *cobra.Command {
	return noun("client", "Applications and services that get tokens", append(anywhere(
		a.clientCreate(), a.clientList(), a.clientGet(), a.clientUpdate(), a.clientDelete(), a.clientRotateSecret(),
		a.clientVerb("disable", "Refuse a client everything from now on", "disabled", clientObjects.DisableClient),
		a.clientVerb("enable", "Let a disabled client in again", "enabled", clientObjects.EnableClient)),
		a.clientSnippet(), a.clientScore(), a.clientFix(), a.registrationTokenCommand())...)
}

func (a *app) clientCreate() *cobra.Command {
	c := &cobra.Command{
		Use:   "create [CLIENT_ID]",
		Short: "Register a client; its secret is shown this once",
		Long: "Registers a client. Flags have the names of RFC 7591. Without CLIENT_ID one is made.\n" +
			"--for sets what a stack needs and the flags do not name: a redirect URI that is an origin alone gets the stack's path.\n" +
			"A confidential client gets a secret of 256 bits, which is shown once and cannot be read again.",
		Example: "  idp client create wiki --name Wiki --redirect-uri https://wiki.example.com/callback --scope 'openid profile email'\n" +
			"  idp client create grafana --for grafana --redirect-uri https://grafana.example.com\n" +
			"  idp client create tool --public --application-type native --redirect-uri http://127.0.0.1/callback --scope openid\n" +
			"  idp client create batch --grant-type client_credentials --audience https://api.example.com --scope orders:read",
		Args: atMost(1),
	}
	flags := a.clientFlags(c)
	var secret secretFlags
	secret.register(c, "secret", "a secret of your own")
	file := c.Flags().StringP("file", "f", "", "read the metadata from a YAML or JSON file (- for stdin); flags go before it")
	stack := c.Flags().String("for", "", "the stack that it is for, as idp client snippet names them")
	_ = c.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(snippets.Stacks(), cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var document clientDocument
		if *stack != "" && *file != "" {
			return usage("--for and --file exclude each other")
		}
		if *stack != "" {
			var ok bool
			if document.ClientMetadata, ok = snippets.Preset(*stack); !ok {
				return usage("--for %s: there is none of that name that a client is registered for%s", *stack, didYouMean(*stack, snippets.Stacks()))
			}
		}
		if *file != "" {
			if err := a.readDocument(*file, &document); err != nil {
				return err
			}
		}
		in := admin.ClientInput{ClientID: document.ClientID, ClientMetadata: document.ClientMetadata}
		if len(args) == 1 {
			in.ClientID = args[0]
		}
		if err := flags.apply(&in.ClientMetadata); err != nil {
			return err
		}
		snippets.Complete(*stack, &in.ClientMetadata)
		var err error
		if in.Secret, err = secret.read(a); err != nil {
			return err
		}
		return a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			created, made, err := o.CreateClient(ctx, in)
			if err != nil {
				return err
			}
			v := viewClient(created)
			if in.Secret == "" {
				v.ClientSecret = made.Reveal()
			}
			return a.show(v, v.ClientID, func(t *table) { clientTable(t, v) })
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

// knownAlgorithms leaves out what is no algorithm: that is for the check of the
// input to refuse.
func knownAlgorithms(names ...string) []string {
	var out []string
	for _, name := range names {
		for _, known := range idp.Algorithms() {
			if name == known {
				out = append(out, name)
			}
		}
	}
	return out
}

func (a *app) clientList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List all clients",
		Args:  exactly(),
		RunE: a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			clients, err := o.Clients(ctx)
			if err != nil {
				return err
			}
			views := make([]clientView, len(clients))
			for i, c := range clients {
				views[i] = viewClient(c)
			}
			return showList(a, views, func(v clientView) string { return v.ClientID },
				"There are no clients yet. Register one: idp client create --help", func(t *table) {
					t.row("CLIENT_ID", "NAME", "KIND", "GRANT_TYPES", "STATE")
					for _, v := range views {
						t.row(v.ClientID, orDash(v.ClientName), clientKind(v), strings.Join(v.GrantTypes, " "), stateWord(v.Disabled))
					}
				})
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) clientGet() *cobra.Command {
	c := &cobra.Command{
		Use:   "get CLIENT_ID",
		Short: "Show one client",
		Args:  exactly("CLIENT_ID"),
		RunE: a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			client, err := o.Client(ctx, args[0])
			if err != nil {
				return err
			}
			v := viewClient(client)
			return a.show(v, v.ClientID, func(t *table) { clientTable(t, v) })
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) clientUpdate() *cobra.Command {
	c := &cobra.Command{
		Use:     "update CLIENT_ID",
		Short:   "Change what the flags name, and nothing else",
		Long:    "Changes the fields whose flags are given. A list is replaced as a whole; giving its flag once with an empty value clears it.",
		Example: "  idp client update wiki --redirect-uri https://wiki.example.com/callback --redirect-uri https://wiki.example.com/silent",
		Args:    exactly("CLIENT_ID"),
	}
	flags := a.clientFlags(c)
	logo := c.Flags().String("logo", "", "store the picture in this file for the pages that people see: PNG, JPEG or WebP; an empty name removes it")
	file := c.Flags().StringP("file", "f", "", "replace the metadata by a YAML or JSON file (- for stdin); flags go before it")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var document *clientDocument
		if *file != "" {
			document = &clientDocument{}
			if err := a.readDocument(*file, document); err != nil {
				return err
			}
			if document.ClientID != "" && document.ClientID != args[0] {
				return usage("%s is about client_id %q, not %q", *file, document.ClientID, args[0])
			}
		}
		var trial idp.ClientMetadata
		if err := flags.apply(&trial); err != nil { // before the database is opened
			return err
		}
		if cmd.Flags().Changed("logo") && a.endpoint != "" {
			return usage("--logo works on this machine alone: run it where the server is, without --endpoint")
		}
		var picture []byte
		if *logo != "" {
			var err error
			if picture, err = a.readInput(*logo); err != nil {
				return err
			}
			if len(picture) == 0 {
				return usage("--logo %s: is empty", *logo)
			}
		}
		return a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			client, err := o.UpdateClient(ctx, args[0], func(m *idp.ClientMetadata) {
				if document != nil {
					*m = document.ClientMetadata
				}
				_ = flags.apply(m) // did not fail above
			})
			if err == nil && cmd.Flags().Changed("logo") {
				client, err = o.local.admin.SetClientLogo(ctx, args[0], picture)
			}
			if err != nil {
				return err
			}
			v := viewClient(client)
			return a.show(v, v.ClientID, func(t *table) { clientTable(t, v) })
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

func (a *app) clientDelete() *cobra.Command {
	return a.clientVerb("delete", "Delete a client with its secrets and consents", "deleted", clientObjects.DeleteClient)
}

// clientVerb is a command that does one thing to one client.
func (a *app) clientVerb(verb, short, done string, do func(clientObjects, context.Context, string) error) *cobra.Command {
	return a.actionOn("client", "CLIENT_ID", verb, short, done, func(ctx context.Context, o *objects, id string) error {
		return do(o, ctx, id)
	})
}

func (a *app) clientRotateSecret() *cobra.Command {
	c := &cobra.Command{
		Use:   "rotate-secret CLIENT_ID",
		Short: "Give a client another secret, shown this once",
		Long:  "Makes another secret. The old ones go on for the grace, so that every instance of the application can be told first; --grace 0 ends them now.",
		Args:  exactly("CLIENT_ID"),
	}
	grace := c.Flags().String("grace", "1d", "how long the old secrets go on, up to 90d")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		period, err := parseDuration(*grace)
		if err != nil {
			return usage("--grace %s: %s", *grace, err)
		}
		return a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			secret, err := o.RotateSecret(ctx, args[0], period.std())
			if err != nil {
				return err
			}
			v := struct {
				ClientID     string `json:"client_id"`
				ClientSecret string `json:"client_secret"`
			}{args[0], secret.Reveal()}
			// Here the secret is what --quiet asks for.
			return a.show(v, v.ClientSecret, func(t *table) {
				t.field("client_id", v.ClientID)
				t.field("client_secret", v.ClientSecret+"   (shown this once)")
			})
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

func clientKind(v clientView) string {
	if v.TokenEndpointAuthMethod == idp.AuthNone {
		return "public"
	}
	return "confidential"
}

func stateWord(disabled bool) string {
	if disabled {
		return "disabled"
	}
	return "enabled"
}

func clientTable(t *table, v clientView) {
	t.field("client_id", v.ClientID)
	if v.ClientSecret != "" {
		t.field("client_secret", v.ClientSecret+"   (shown this once)")
	}
	t.field("client_name", v.ClientName)
	t.field("state", stateWord(v.Disabled))
	t.field("application_type", v.ApplicationType)
	t.field("token_endpoint_auth_method", v.TokenEndpointAuthMethod)
	t.field("grant_types", v.GrantTypes...)
	t.field("response_types", v.ResponseTypes...)
	for _, uri := range v.RedirectURIs {
		t.field("redirect_uri", uri)
	}
	t.field("scope", v.Scope)
	for _, audience := range v.Audience {
		t.field("audience", audience)
	}
	t.field("resource_server_of", v.ResourceServerOf...)
	t.field("allowed_cors_origins", v.AllowedCORSOrigins...)
	t.field("allowed_groups", v.AllowedGroups...)
	if v.SkipConsent {
		t.field("skip_consent", "true")
	}
	if v.PKCEOptional {
		t.field("pkce_optional", "true")
	}
	for _, uri := range v.RequestURIs {
		t.field("request_uri", uri)
	}
	t.field("request_object_signing_alg", v.RequestObjectSigningAlg)
	t.field("request_object_encryption_alg", strings.TrimSpace(v.RequestObjectEncryptionAlg+" "+v.RequestObjectEncryptionEnc))
	t.field("initiate_login_uri", v.InitiateLoginURI)
	if v.SelfRegistered {
		t.field("self_registered", "true")
		t.field("verified", strconv.FormatBool(v.Verified))
	}
	t.field("subject_type", v.SubjectType)
	t.field("sector_identifier_uri", v.SectorIdentifierURI)
	if v.RequireSignedRequestObject {
		t.field("require_signed_request_object", "true")
	}
	if v.RequirePushedAuthorizationRequests {
		t.field("require_pushed_authorization_requests", "true")
	}
	t.field("access_token_format", v.AccessTokenFormat)
	t.field("access_token_signing_alg", v.AccessTokenSigningAlg)
	t.field("id_token_signed_response_alg", v.IDTokenSignedResponseAlg)
	t.field("id_token_encrypted_response_alg", strings.TrimSpace(v.IDTokenEncryptedResponseAlg+" "+v.IDTokenEncryptedResponseEnc))
	t.field("userinfo_signed_response_alg", v.UserinfoSignedResponseAlg)
	t.field("userinfo_encrypted_response_alg", strings.TrimSpace(v.UserinfoEncryptedResponseAlg+" "+v.UserinfoEncryptedResponseEnc))
	t.field("jwks_uri", v.JWKSURI)
	t.field("jwks", string(v.JWKS))
	t.field("token_endpoint_auth_signing_alg", v.TokenEndpointAuthSigningAlg)
	t.field("access_token_lifetime", seconds(v.AccessTokenLifetime))
	t.field("refresh_token_idle", seconds(v.RefreshTokenIdle))
	t.field("refresh_token_lifetime", seconds(v.RefreshTokenLifetime))
	if v.DefaultMaxAge != nil {
		t.field("default_max_age", strconv.Itoa(*v.DefaultMaxAge)+"s")
	}
	for _, uri := range v.PostLogoutRedirectURIs {
		t.field("post_logout_redirect_uri", uri)
	}
	t.field("backchannel_logout_uri", v.BackchannelLogoutURI)
	t.field("frontchannel_logout_uri", v.FrontchannelLogoutURI)
	t.field("client_uri", v.ClientURI)
	t.field("logo_uri", v.LogoURI)
	t.field("logo", v.Logo)
	t.field("policy_uri", v.PolicyURI)
	t.field("tos_uri", v.TosURI)
	t.field("contacts", v.Contacts...)
	for _, s := range v.Secrets {
		life := "made " + when(s.CreatedAt)
		if !s.ExpiresAt.IsZero() {
			life += ", until " + when(s.ExpiresAt)
		}
		t.field("secret", life)
	}
	t.field("created_at", when(v.CreatedAt))
	t.field("updated_at", when(v.UpdatedAt))
}

// seconds writes a lifetime in seconds for people; 0 is the default and empty.
func seconds(n int) string {
	if n == 0 {
		return ""
	}
	return Duration(time.Duration(n) * time.Second).String()
}

// actionOn is a command that does one thing to one object and says so.
func (a *app) actionOn(noun, argument, verb, short, done string, do func(ctx context.Context, o *objects, id string) error) *cobra.Command {
	c := &cobra.Command{
		Use:   verb + " " + argument,
		Short: short,
		Args:  exactly(argument),
		RunE: a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			if err := do(ctx, o, args[0]); err != nil {
				return err
			}
			if a.quiet {
				return a.show(nil, args[0], nil)
			}
			a.say("%s %s %s", noun, printable(args[0]), done)
			return nil
		}),
	}
	c.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "print the id alone")
	return c
}
