package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"idp/internal/acme"
	"idp/internal/adminapi"
	"idp/internal/audit"
	"idp/internal/backchannel"
	"idp/internal/console"
	"idp/internal/decisions"
	"idp/internal/discovery"
	"idp/internal/grants"
	"idp/internal/idp"
	"idp/internal/login"
	"idp/internal/mail"
	"idp/internal/metrics"
	"idp/internal/registration"
	"idp/internal/server"
	"idp/internal/users"
	"idp/web"
)

const (
	pollEvery     = 500 * time.Millisecond // how late a node sees what another one changed
	maintainEvery = 5 * time.Minute
	// startPatience is how long a start waits for a database that is away.
	startPatience = 30 * time.Second
	// closePatience is how long a stop waits for the last audit rows.
	closePatience = 10 * time.Second
)

func (a *app) serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the authorization server",
		Long: "Runs the server until SIGTERM or SIGINT, which drain it: it says \"not ready\", finishes what is in flight, and stops.\n" +
			"SIGHUP reloads TLS certificate, log level and the schema of attributes.",
		Example: "  IDP_ISSUER=https://id.example.com IDP_DATABASE_URL_FILE=/run/secrets/database IDP_MASTER_KEY_FILE=/run/secrets/master idp serve",
		Args:    exactly(),
		RunE:    a.serve,
	}
	c.Flags().String("issuer", "", "address that people and applications reach the server at")
	c.Flags().String("listen", "", "public listener (default :8080)")
	c.Flags().String("management-listen", "", "listener for health checks (default 127.0.0.1:9100, off for none)")
	c.Flags().String("migrate", "", "auto, check or off (default auto on SQLite and an empty Postgres, else check)")
	c.Flags().String("log-level", "", "debug, info, warn or error")
	return c
}

func (a *app) serve(cmd *cobra.Command, _ []string) error {
	ctx := cmd.Context()
	src := a.sources(cmd)
	src.NeedIssuer = true
	cfg, err := loadConfig(src)
	if err != nil {
		return err
	}
	if _, err := cfg.Bootstrap.read(); err != nil { // before anything is written
		return err
	}
	level := new(slog.LevelVar)
	logger, stopTracing, err := a.traced(ctx, a.logger(cfg.Log, level))
	if err != nil {
		return err
	}
	defer stopTracing()

	d, err := a.waitForDatabase(ctx, cfg, logger)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.bootstrap(ctx); err != nil {
		return err
	}
	n, err := newNode(ctx, d)
	if err != nil {
		return err
	}
	defer n.close()
	if n.mail, err = d.sender(a.Stderr); err != nil {
		return err
	}

	if cfg.TLSCert != "" {
		if n.certificate, err = server.LoadCertificate(cfg.TLSCert, cfg.TLSKey); err != nil {
			return withCode(exitConfiguration, err)
		}
	}
	if cfg.TLS.ACME.AcceptTerms {
		if err := n.orderCertificate(); err != nil {
			return err
		}
	}
	if n.public, err = server.Listen("listen", cfg.Listen); err != nil {
		return err
	}
	if cfg.ManagementListen != "off" {
		if n.management, err = server.Listen("management_listen", cfg.ManagementListen); err != nil {
			return errors.Join(err, n.public.Close())
		}
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	go n.reloadOnHangup(ctx, hangup, src, level)
	n.ready = func() { tellManager(logger, daemon.SdNotifyReady) }
	forget := context.AfterFunc(ctx, func() { tellManager(logger, daemon.SdNotifyStopping) })
	defer forget()
	return n.run(ctx)
}

// waitForDatabase opens the database, and waits a while for one that is away:
// containers start in any order.
func (a *app) waitForDatabase(ctx context.Context, cfg *Config, logger *slog.Logger) (*database, error) {
	deadline := a.Now().Add(startPatience)
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 4*time.Second) {
		d, err := a.openDatabase(ctx, cfg, logger, true)
		if err == nil || !errors.Is(err, idp.ErrUnavailable) || a.Now().Add(pause).After(deadline) {
			return d, err
		}
		logger.Warn("the database is away, trying again", "cause", err, "pause", pause)
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// reloadOnHangup reloads on SIGHUP, and lets systemd know when it is done.
func (n *node) reloadOnHangup(ctx context.Context, hangup <-chan os.Signal, src sources, level *slog.LevelVar) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		tellManager(n.logger, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
		n.reload(src, level)
		tellManager(n.logger, daemon.SdNotifyReady)
	}
}

// reload reads TLS certificate, log level and the schema of attributes again. A
// configuration that does not load leaves the server as it is.
func (n *node) reload(src sources, level *slog.LevelVar) {
	logger := n.logger
	cfg, err := loadConfig(src)
	if err == nil && n.certificate != nil {
		_, err = n.certificate.Reload()
	}
	if err == nil {
		_, err = n.attributes.Reload()
	}
	if faults, ok := errors.AsType[*configError](err); ok {
		for _, f := range faults.Faults {
			logger.Error("not reloaded, the server goes on as it was", "fault", f.String())
		}
		return
	}
	if err != nil {
		logger.Error("not reloaded, the server goes on as it was", "cause", err)
		return
	}
	setLevel(cfg.Log, level)
	n.publisher.Publish(n.document()) // which claims there are
	logger.Info("reloaded log level, TLS certificate and schema of attributes", "level", cfg.Log.Level)
}

// node is one server: everything built, nothing running but the audit.
type node struct {
	*database
	pages     *web.Pages
	audit     *audit.Recorder
	decisions *decisions.Recorder // nil where none are kept
	sealer    *audit.Sealer
	publisher *discovery.Publisher
	register  *registration.Service
	logouts   *backchannel.Notifier
	accounts  *users.Accounts
	mail      *mail.Sender // nil where nobody sends mail
	handler   http.Handler

	public      net.Listener
	management  net.Listener        // nil for none
	certificate *server.Certificate // nil when a proxy ends TLS
	ordered     *acme.Certificate   // behind that one; nil when it is in files
	ready       func()              // called once it serves; may be nil
}

// newNode wires the packages into a server on the database.
func newNode(ctx context.Context, d *database) (*node, error) {
	cfg := d.cfg
	if err := d.rememberIssuer(ctx); err != nil {
		return nil, err
	}
	pages, err := cfg.Pages.pages()
	if err != nil {
		return nil, withCode(exitConfiguration, fmt.Errorf("pages: %w", err))
	}
	lifetimes := cfg.idpLifetimes()
	n := &node{database: d, pages: pages}
	n.audit = audit.New(audit.Config{
		Store: d.store, Logger: d.logger, Now: d.now, Strict: cfg.Audit.Mode == "strict",
	})
	if cfg.Traces.Retention > 0 {
		n.decisions = decisions.New(decisions.Config{Store: d.store, Successes: cfg.Traces.Successes == "on", Logger: d.logger})
	}
	n.sealer = d.sealer()
	d.failures.auditTo(n.audit)
	people := users.New(users.Config{
		Store: d.store, Rehash: d.store, Hasher: d.hasher, Throttle: d.store, FailuresPerMinute: cfg.SignIn.FailuresPerMinute,
		Audit: n.audit, Logger: d.logger, Now: d.now,
	})
	factors, err := users.NewFactors(users.FactorsConfig{
		Store: d.store, Vault: d.master, Throttle: d.store, Audit: n.audit, Mail: d.master, Logger: d.logger, Issuer: cfg.Issuer, Now: d.now,
	})
	if err != nil {
		return nil, err
	}
	n.accounts = users.NewAccounts(users.AccountsConfig{
		Store: d.store, Sealer: d.master, Hasher: d.hasher, Throttle: d.store, Audit: n.audit, Now: d.now, Logger: d.logger,
		Factors: factors, Domains: cfg.Accounts.domains(), Terms: idp.Terms{URL: cfg.Accounts.TermsURL, Version: cfg.Accounts.TermsVersion},
	})
	self := users.NewSelf(users.SelfConfig{
		Store: d.store, Passwords: people, Hasher: d.hasher, Factors: factors, Mail: d.master, Logger: d.logger, Now: d.now,
		Attributes: d.attributes, Deletion: idp.DeletionRule{Mode: idp.DeletionMode(cfg.Accounts.Deletion), After: cfg.Accounts.DeletionAfter.std()},
	})
	// The pages describe requests that grants understands, and grants shows
	// its errors on a page: the one knot, tied by a variable.
	var protocol *grants.Service
	var ownAccounts login.Registration // nil where nobody makes one for themselves
	if cfg.Accounts.open() {
		ownAccounts = n.accounts
	}
	browser := login.New(login.Config{
		Issuer: cfg.Issuer, Secure: isSecure(cfg.Issuer), Store: d.store, Users: people, Accounts: n.accounts, Registration: ownAccounts, Flows: d.master,
		Devices: d.store, Mail: d.master, People: d.store, Factors: factors, Enrolments: factors, Own: self, Attributes: d.attributes, Resources: d.directory,
		Requests: describer(func(ctx context.Context, flow idp.Flow, who *idp.AuthorizationContext) (idp.Interaction, error) {
			return protocol.Describe(ctx, flow, who)
		}),
		Clients: d.directory, Hints: d.keyring, Logos: d.store, Pictures: d.store, RemoteLogos: cfg.Registration.RemoteLogos,
		Audit: n.audit, Now: d.now, Lifetimes: lifetimes, Pages: pages, Logger: d.logger,
	})
	n.logouts = backchannel.New(backchannel.Config{
		Store: d.store, Clients: d.directory, Signer: d.keyring, Encrypter: d.keys, Poster: d.outbound, Now: d.now, Logger: d.logger,
	})
	policy, err := cfg.Registration.policy()
	if err != nil {
		return nil, withCode(exitConfiguration, err)
	}
	n.register = registration.New(registration.Config{
		Issuer: cfg.Issuer, Policy: policy, Store: d.store, Admin: d.admin, Directory: d.directory,
		Opaque: d.master, Documents: d.outbound, Reader: d.outbound, DocumentAdmin: d.admin, Statements: d.keys, Throttle: d.store, Audit: n.audit, Now: d.now, Logger: d.logger,
	})
	protocol = grants.New(grants.Config{
		Issuer: cfg.Issuer, Directory: d.directory, Grants: d.store, Pushed: d.store, Tokens: d.store, Sessions: d.store,
		Signer: d.keyring, Mail: d.master, Opaque: d.master, Secrets: d.master, Pseudonyms: d.master, Encrypter: d.keys, Discovery: n.register, Browser: browser, Audit: n.audit,
		Assertions: d.keys, AssertionStore: d.store,
		RequestObjects: d.keys, Decrypter: d.keyring, Documents: d.outbound,
		Attributes: d.attributes, Lifetimes: lifetimes, RequirePushed: cfg.RequirePushedAuthorizationRequests, AccountsOpen: cfg.Accounts.open(), Now: d.now, Logger: d.logger,
	})
	n.publisher = discovery.NewPublisher(n.document())
	var invitation, signUp, newAccount http.Handler
	if cfg.Accounts.Registration != "off" {
		invitation = http.HandlerFunc(browser.ServeInvitation)
	}
	if cfg.Accounts.open() {
		signUp, newAccount = http.HandlerFunc(browser.ServeRegister), http.HandlerFunc(browser.ServeNewAccount)
	}
	var registers, manages http.Handler
	if cfg.Registration.Mode != "off" {
		registers, manages = http.HandlerFunc(n.register.Register), http.HandlerFunc(n.register.Manage)
	}

	configuration, err := cfg.loaded().document()
	if err != nil {
		return nil, err
	}
	api := adminapi.New(adminapi.Config{
		Issuer: cfg.Issuer, Tokens: protocol, Sealer: d.master, Secrets: d.master, Requests: d.store, Admin: d.admin, Keys: d.keyring, Reads: n.audit,
		Configuration: configuration, SessionIdle: cfg.Lifetimes.SessionIdle.std(), Now: d.now,
	})

	var tracer server.Tracer
	if d.tracing != nil {
		tracer = d.tracing
	}
	letters, err := mail.NewRenderer(cfg.Issuer, pages.Words)
	if err != nil {
		return nil, withCode(exitConfiguration, err)
	}
	screens := console.New(console.Config{
		Issuer: cfg.Issuer, Door: browser, Frame: browser, Admin: d.admin, Directory: d.directory, Preview: protocol, Counter: d.store, Status: n.consoleStatus, Now: d.now,

		Mail: mailroom{d, letters}, Languages: pages.Languages(), Minter: d.master, Reads: n.audit,
		Line: audit.Line, Keys: d.keyring, Setting: cfg.settings(), RotateEvery: cfg.Keys.RotateEvery.std(), PublishAhead: cfg.Keys.PublishAhead.std(),
		Attributes: d.attributes, SessionIdle: cfg.Lifetimes.SessionIdle.std(), SendsMail: cfg.Mail.Host != "",
	})

	var kept server.Decisions
	if n.decisions != nil {
		kept = n.decisions
	}
	n.handler, err = server.NewHandler(server.HandlerConfig{
		Issuer: cfg.Issuer,
		Handlers: server.Handlers{
			OpenIDConfiguration:         n.publisher.OpenIDConfiguration(),
			AuthorizationServerMetadata: n.publisher.AuthorizationServerMetadata(),
			JWKS:                        discovery.JWKS(d.keyring.JWKS),
			WebFinger:                   discovery.WebFinger(cfg.Issuer),
			SecurityTxt:                 n.securityTxt(),
			PasskeyEndpoints:            http.HandlerFunc(browser.ServePasskeyEndpoints),

			Authorize:  http.HandlerFunc(protocol.Authorize),
			Push:       http.HandlerFunc(protocol.PushAuthorization),
			Token:      n.noticing(protocol.Token),
			Revoke:     http.HandlerFunc(protocol.Revoke),
			Introspect: http.HandlerFunc(protocol.Introspect),
			Userinfo:   http.HandlerFunc(protocol.Userinfo),

			Register:           registers,
			ManageRegistration: manages,

			Login:              http.HandlerFunc(browser.ServeLogin),
			SecondFactor:       http.HandlerFunc(browser.ServeSecondFactor),
			Setup:              http.HandlerFunc(browser.ServeSetup),
			SetupAuthenticator: http.HandlerFunc(browser.ServeSetupAuthenticator),
			SetupPasskey:       http.HandlerFunc(browser.ServeSetupPasskey),
			SetupRecoveryCodes: http.HandlerFunc(browser.ServeSetupRecoveryCodes),
			SetupAdministrator: http.HandlerFunc(browser.ServeSetupAdministrator),

			Recover:        http.HandlerFunc(browser.ServeRecover),
			NewPassword:    http.HandlerFunc(browser.ServeNewPassword),
			Invitation:     invitation,
			SignUp:         signUp,
			NewAccount:     newAccount,
			Verify:         http.HandlerFunc(browser.ServeVerify),
			Undo:           http.HandlerFunc(browser.ServeUndo),
			Outcome:        http.HandlerFunc(browser.ServeOutcome),
			ChangePassword: http.HandlerFunc(browser.ServeChangePassword),

			Consent: http.HandlerFunc(browser.ServeConsent),
			Logout:  http.HandlerFunc(browser.ServeLogout),
			Account: http.HandlerFunc(browser.ServeAccount),
			Home:    http.HandlerFunc(browser.ServeHome),
			Display: http.HandlerFunc(browser.ServeDisplay),

			EndSession:   http.HandlerFunc(browser.ServeEndSession),
			CheckSession: http.HandlerFunc(browser.ServeCheckSession),

			AdminSpecification: http.HandlerFunc(api.Specification),
			AdminClients:       http.HandlerFunc(api.Clients),
			AdminClient:        http.HandlerFunc(api.Client),
			AdminClientSecret:  http.HandlerFunc(api.ClientSecret),
			AdminClientLives:   http.HandlerFunc(api.ClientLifespans),
			AdminClientScore:   http.HandlerFunc(api.ClientScore),
			AdminUsers:         http.HandlerFunc(api.Users),
			AdminUser:          http.HandlerFunc(api.User),
			AdminUserPassword:  http.HandlerFunc(api.UserPassword),
			AdminUserFactors:   http.HandlerFunc(api.UserFactors),
			AdminUserPicture:   http.HandlerFunc(api.UserPicture),
			AdminUserSessions:  http.HandlerFunc(api.UserSessions),
			AdminUserSession:   http.HandlerFunc(api.UserSession),
			AdminUserConsents:  http.HandlerFunc(api.UserConsents),
			AdminUserConsent:   http.HandlerFunc(api.UserConsent),
			AdminGroups:        http.HandlerFunc(api.Groups),
			AdminGroup:         http.HandlerFunc(api.Group),
			AdminGroupMembers:  http.HandlerFunc(api.GroupMembers),
			AdminGroupMember:   http.HandlerFunc(api.GroupMember),
			AdminRoles:         http.HandlerFunc(api.Roles),
			AdminRole:          http.HandlerFunc(api.Role),
			AdminRoleMember:    http.HandlerFunc(api.RoleMember),
			AdminResources:     http.HandlerFunc(api.Resources),
			AdminResource:      http.HandlerFunc(api.Resource),
			AdminSignInRules:   http.HandlerFunc(api.SignInRules),
			AdminSignInRule:    http.HandlerFunc(api.SignInRule),
			AdminSettings:      http.HandlerFunc(api.Settings),
			AdminKeys:          http.HandlerFunc(api.ListKeys),
			AdminKeyRotation:   http.HandlerFunc(api.RotateKeys),
			AdminKeyRetirement: http.HandlerFunc(api.RetireKey),
			AdminAuditEvents:   http.HandlerFunc(api.AuditEvents),
			AdminTrace:         http.HandlerFunc(api.Trace),

			Console: pagesOf(screens),

			Static:  browser.Static(),
			Logo:    http.HandlerFunc(browser.ServeLogo),
			Picture: http.HandlerFunc(browser.ServePicture),
			Fault: func(w http.ResponseWriter, r *http.Request, f server.Fault) {
				browser.FaultPage(w, r, f.Status)
			},
		},
		AllowOrigin:    d.directory.OriginAllowed,
		TrustedProxies: cfg.TrustedProxies,
		UntrustedHeader: func(ctx context.Context, peer string, names []string) {
			n.audit.Note(ctx, idp.Event{
				Kind: idp.EventProxyUntrustedHeader, RemoteAddr: peer,
				Detail: map[string]string{"headers": strings.Join(names, " ")},
			})
		},
		Meter:     d.metrics,
		Tracer:    tracer,
		Decisions: kept,
		Logger:    d.logger,
		Now:       d.now,
	})
	if err != nil {
		return nil, errors.Join(withCode(exitConfiguration, err), n.close())
	}
	return n, nil
}

// pagesOf are the pages of the console as the server takes them.
func pagesOf(c *console.Console) []server.Page {
	var pages []server.Page
	for _, p := range c.Pages() {
		pages = append(pages, server.Page(p))
	}
	return pages
}

// noticing tells registration which clients are in use.
func (n *node) noticing(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next(w, r)
		if record := idp.RequestFrom(r.Context()); record.Outcome == "" {
			n.register.Seen(record.ClientID)
		}
	})
}

// policy is what registration makes of the configuration.
func (c RegistrationConfig) policy() (registration.Policy, error) {
	issuers, err := c.statementIssuers()
	if slices.ContainsFunc(strings.Fields(c.Scope), idp.IsAdminScope) {
		err = errors.Join(err, errors.New("registration.scope: the admin API is not for clients that register themselves"))
	}
	return registration.Policy{
		Open: c.Mode == "open", Scopes: strings.Fields(c.Scope), Audience: strings.Fields(c.Audience),
		SecurityProfile: c.SecurityProfile, MaxClients: c.MaxClients, PerHour: c.PerHour, IdleLife: c.IdleLife.std(),
		MetadataDocuments: c.MetadataDocuments == "on", DocumentHosts: strings.Fields(c.DocumentHosts),
		Statements: c.SoftwareStatements, StatementIssuers: issuers, StatementAlgs: strings.Fields(c.StatementAlgs),
	}, err
}

// securityTxt serves where to report a vulnerability, or nothing when the
// operator named no contact.
func (n *node) securityTxt() http.Handler {
	if n.cfg.SecurityTxt.Contact == "" {
		return nil
	}
	file := n.cfg.SecurityTxt.file(n.cfg.Issuer)
	if !file.Expires.IsZero() && !file.Expires.After(n.now()) {
		n.logger.Warn("security.txt has expired: readers will not rely on it", "security_txt.expires", n.cfg.SecurityTxt.Expires)
	}
	return file.Handler(n.now)
}

// describer makes a function a login.Describer.
type describer func(ctx context.Context, flow idp.Flow, who *idp.AuthorizationContext) (idp.Interaction, error)

func (d describer) Describe(ctx context.Context, flow idp.Flow, who *idp.AuthorizationContext) (idp.Interaction, error) {
	return d(ctx, flow, who)
}

// rememberIssuer keeps the issuer in the database, for commands that are not
// told, and warns when it is another one than before.
func (d *database) rememberIssuer(ctx context.Context) error {
	stored, err := d.store.Setting(ctx, issuerSetting)
	if err != nil && !errors.Is(err, idp.ErrNotFound) {
		return fmt.Errorf("database: %w", err)
	}
	if string(stored) == d.issuer {
		return nil
	}
	if err == nil {
		d.logger.Warn("the issuer changed: tokens from before are refused, and applications must be told", "was", string(stored), "is", d.issuer)
	}
	now := idp.Instant(d.now())
	var random idp.ID
	rand.Read(random[:])
	return d.store.SetSetting(ctx, issuerSetting, []byte(d.issuer), idp.Event{
		ID: idp.TimeOrderedID(now, random), At: now, Kind: idp.EventSettingChanged,
		Detail: map[string]string{"target": issuerSetting, "value": d.issuer, "actor": "server"},
	})
}

// run serves until ctx ends, and then drains.
func (n *node) run(ctx context.Context) error {
	management := server.NewManagement(server.ManagementConfig{
		Ready: n.store.Ready, Metrics: n.metrics.Handler(n.sources()), Profile: n.cfg.ManagementPprof, Logger: n.logger,
	})
	s := server.New(server.Config{
		Public: n.public, Handler: n.handler,
		Management: n.management, ManagementAPI: management,
		Certificate: n.certificate, DrainDelay: n.cfg.DrainDelay.std(), Logger: n.logger,
	})

	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var loops sync.WaitGroup
	loops.Go(func() { n.follow(background) })
	loops.Go(func() { n.maintain(background) })
	loops.Go(func() { n.sealer.Run(background) })
	loops.Go(func() { n.logouts.Run(background) })
	loops.Go(func() { n.accounts.Run(background) })
	if n.mail != nil {
		loops.Go(func() { n.mail.Run(background) })
	}
	if n.ordered != nil {
		loops.Go(func() { n.ordered.Run(background) })
	}
	defer loops.Wait()
	defer stop()

	if w, wanted := n.watchdog(); wanted {
		loops.Go(func() { w.run(background) })
	}

	n.announce()
	if n.ready != nil {
		n.ready()
	}
	err := s.Run(ctx)
	n.logger.Info("stopped")
	return err
}

// sources are asked when the metrics are read.
func (n *node) sources() metrics.Sources {
	return metrics.Sources{
		Store: n.store, Keys: n.keyring.States, Dropped: n.audit.Dropped,
		DroppedDecisions: func() int64 {
			if n.decisions == nil {
				return 0
			}
			return n.decisions.Dropped()
		},
		Pools: func() (pools []metrics.Pool) {
			for _, p := range n.store.Pools() {
				pools = append(pools, metrics.Pool(p))
			}
			return pools
		},
	}
}

// announce writes the one line that a start leaves in the log.
func (n *node) announce() {
	var keys []string
	for _, k := range n.keyring.States() {
		if k.State == idp.KeyActive {
			keys = append(keys, k.Alg+" "+k.KID)
		}
	}
	management := "off"
	if n.management != nil {
		management = n.management.Addr().String()
	}
	n.logger.Info("idp started", "version", buildVersion(), "issuer", n.cfg.Issuer, "database", n.store.Engine(),
		"listen", n.public.Addr().String(), "tls", n.certificate != nil, "management_listen", management,
		"trusted_proxies", n.cfg.TrustedProxies, "audit", n.cfg.Audit.Mode, "keys", keys)
}

// follow notices what other nodes and commands change: clients, resources,
// roles, settings and keys.
func (n *node) follow(ctx context.Context) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	directory, keys := n.directory.Revision("directory"), int64(-1)
	away := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := n.directory.Refresh(ctx)
		if revision := n.directory.Revision("directory"); revision != directory {
			directory = revision
			n.publisher.Publish(n.document())
		}
		if revision := n.directory.Revision("keys"); err == nil && revision != keys {
			if err = n.keyring.Reload(ctx); err == nil {
				keys = revision
			}
		}
		n.metrics.Job("follow", err)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !away:
			n.logger.Warn("changes by others are not seen for now", "cause", err)
		case err == nil && away:
			n.logger.Info("changes by others are seen again")
		}
		away = err != nil
	}
}

// maintain does what must be done now and then, on one node at a time.
func (n *node) maintain(ctx context.Context) {
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	holder := rand.Text()
	for {
		err := n.store.Maintain(ctx)
		n.metrics.Job("maintenance", err)
		if err != nil && ctx.Err() == nil {
			n.logger.Warn("maintenance not finished, it goes on later", "cause", err)
		}
		err = n.register.Maintain(ctx)
		n.metrics.Job("registration", err)
		if err != nil && ctx.Err() == nil {
			n.logger.Warn("clients that registered themselves not looked after, they will be later", "cause", err)
		}
		mine, err := n.store.AcquireLease(ctx, "keys", holder, 2*maintainEvery)
		if err == nil && mine {
			err = n.keyring.Maintain(ctx)
		}
		n.metrics.Job("keys", err)
		if err != nil && ctx.Err() == nil {
			n.logger.Warn("key rotation not checked, it will be later", "cause", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// close lets the last audit rows be written.
func (n *node) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	if n.decisions != nil {
		n.decisions.Close(ctx)
	}
	if err := n.audit.Close(ctx); err != nil {
		n.logger.Error("audit rows were lost", "cause", err)
		return err
	}
	return nil
}

// document says which features this server has.
func (n *node) document() discovery.Document {
	scopes := idp.IdentityScopes()
	seen := map[string]bool{}
	for _, r := range n.directory.Resources() {
		for _, s := range r.Scopes {
			if !seen[s.Name] {
				seen[s.Name] = true
				scopes = append(scopes, s.Name)
			}
		}
	}
	registrationPath := ""
	if n.cfg.Registration.Mode != "off" {
		registrationPath = "/oauth2/register"
	}
	prompts := []string{"none", "login", "consent", "select_account"}
	if n.cfg.Accounts.open() {
		prompts = append(prompts, "create")
	}
	methods := []string{idp.AuthClientSecretBasic, idp.AuthClientSecretPost, idp.AuthClientSecretJWT, idp.AuthPrivateKeyJWT}
	return discovery.Document{
		Issuer:            n.cfg.Issuer,
		AuthorizationPath: "/oauth2/auth",
		TokenPath:         "/oauth2/token",
		UserinfoPath:      "/userinfo",
		JWKSPath:          "/.well-known/jwks.json",
		RevocationPath:    "/oauth2/revoke",
		IntrospectionPath: "/oauth2/introspect",
		EndSessionPath:    "/oauth2/sessions/logout",
		CheckSessionPath:  "/oauth2/sessions/check",

		FrontchannelLogout: true,
		BackchannelLogout:  true,

		RequestObjectAlgs: idp.AssertionAlgorithms(),

		RegistrationPath:                   registrationPath,
		PushedAuthorizationPath:            "/oauth2/par",
		RequirePushedAuthorizationRequests: n.cfg.RequirePushedAuthorizationRequests,

		Scopes: scopes,
		Claims: append([]string{
			"sub", "iss", "aud", "exp", "iat", "auth_time", "acr", "amr", "nonce", "sid",
			"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
			"website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
			"email", "email_verified", "phone_number", "phone_number_verified", "address", idp.ClaimGroups,
		}, idp.ClaimRules{Attributes: n.attributes.Declared()}.Names()...),
		ACRValues:     idp.ACRs(),
		GrantTypes:    []string{idp.GrantAuthorizationCode, idp.GrantImplicit, idp.GrantRefreshToken, idp.GrantClientCredentials},
		ResponseTypes: []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"},
		ResponseModes: []string{idp.ModeQuery, idp.ModeFragment, idp.ModeFormPost},
		PromptValues:  prompts,
		UILocales:     n.pages.Tags(),

		ClaimsParameter:   true,
		MetadataDocuments: n.cfg.Registration.MetadataDocuments == "on",

		TokenAuthMethods:         append(slices.Clone(methods), idp.AuthNone),
		RevocationAuthMethods:    append(slices.Clone(methods), idp.AuthNone),
		IntrospectionAuthMethods: methods,
		AuthSigningAlgs:          append(idp.AssertionAlgorithms(), idp.AlgHS256),
		IDTokenSigningAlgs:       []string{idp.AlgRS256, idp.AlgPS256, idp.AlgES256, idp.AlgES384, idp.AlgES512, idp.AlgEdDSA},
		UserinfoSigningAlgs:      []string{idp.AlgRS256, idp.AlgPS256, idp.AlgES256, idp.AlgES384, idp.AlgES512, idp.AlgEdDSA},
		EncryptionAlgs:           idp.EncryptionAlgorithms(),
		EncryptionEncs:           idp.ContentEncryptions(),
	}
}

func isSecure(issuer string) bool { return len(issuer) > 8 && issuer[:8] == "https://" }
