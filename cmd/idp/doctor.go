package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/idp"
	"idp/internal/server"
	"idp/internal/store"
	"idp/internal/tokens"
)

// What a check of idp doctor came to.
const (
	findingOK      = "ok"
	findingWarning = "warning"
	findingFault   = "fault"
)

// finding is one line of idp doctor.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"` // ok, warning or fault
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// doctor examines an installation from where it runs. It changes nothing.
type doctor struct {
	now      func() time.Time
	cfg      *Config
	findings []finding
	keyring  *tokens.Keyring // nil where there are no keys to compare with
	running  bool            // a server answers on the management listener
}

func (d *doctor) ok(check, detail string) { d.add(finding{check, findingOK, detail, ""}) }
func (d *doctor) warn(check, detail, fix string) {
	d.add(finding{check, findingWarning, detail, fix})
}

func (d *doctor) fault(check, detail, fix string) { d.add(finding{check, findingFault, detail, fix}) }
func (d *doctor) add(f finding)                   { d.findings = append(d.findings, f) }

// examinePatience is how long a check may take that asks somebody else.
const examinePatience = 10 * time.Second

func (a *app) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with this installation",
		Long: "Looks at the configuration, the database, the keys, the way from here to the issuer and back, proxies, cookies and mail, and says what\n" +
			"to do. Nothing is changed and no mail is sent. Run it where the server runs, with the server's configuration. Ends with 1 when there is a fault.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{now: a.Now}
			d.examine(cmd.Context(), a, a.sources(cmd))
			faults := 0
			for _, f := range d.findings {
				if f.State == findingFault {
					faults++
				}
			}
			err := showList(a, d.findings, func(f finding) string { return f.State + " " + f.Check }, "", func(t *table) {
				for _, f := range d.findings {
					text := f.Detail
					if f.Fix != "" {
						text += ": " + f.Fix
					}
					t.row(f.State, f.Check, text)
				}
			})
			switch {
			case err != nil:
				return err
			case faults == 1:
				return errors.New("there is a fault")
			case faults > 1:
				return fmt.Errorf("there are %d faults", faults)
			}
			return nil
		},
	}
	a.outputFlags(c)
	return c
}

func (d *doctor) examine(ctx context.Context, a *app, src sources) {
	src.NeedIssuer = true
	cfg, err := loadConfig(src)
	if faults, ok := errors.AsType[*configError](err); ok {
		for _, f := range faults.Faults {
			d.fault("configuration", f.String(), "")
		}
		return
	} else if err != nil {
		d.fault("configuration", err.Error(), "")
		return
	}
	d.cfg = cfg
	d.ok("configuration", "is good")
	d.database(ctx, a)
	d.listeners(ctx)
	d.issuer(ctx)
	d.cookies()
	d.mail(ctx)
	d.outbound()
}

// within runs a check that asks somebody else.
func within(ctx context.Context, check func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, examinePatience)
	defer cancel()
	check(ctx)
}

// database examines what serve would find: 1 the master key · 2 the database ·
// 3 whether they belong together.
func (d *doctor) database(ctx context.Context, a *app) {
	// 1. The master key by itself.
	key, err := configuredMasterKey(d.cfg)
	var master *tokens.Master
	switch {
	case err != nil:
		d.fault("master key", err.Error(), "")
	case key == nil && !d.cfg.Embedded():
		d.fault("master key", errNoMasterKey.Error(), "")
	case key != nil:
		if master, err = tokens.NewMaster(key); err != nil {
			d.fault("master key", err.Error(), "")
		}
	}

	// 2. The database, which is not made here.
	if path, ok := strings.CutPrefix(d.cfg.Database(), "sqlite:"); ok {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			d.warn("database", path+" is not there", "idp serve makes it; if there was one, data_dir or database_url are not what they were")
			return
		case err != nil:
			d.fault("database", path+" cannot be read: "+fileReason(err), "")
			return
		case info.Mode().Perm()&0o077 != 0:
			d.warn("database file", path+" can be read by others on this machine", "chmod 600 "+shellWord(path))
		}
	}
	s, err := a.openStore(ctx, d.cfg, slog.New(slog.DiscardHandler), false)
	if err != nil {
		d.fault("database", err.Error(), "")
		return
	}
	defer s.Close()
	within(ctx, func(ctx context.Context) {
		err := s.Ready(ctx)
		if clock, ok := errors.AsType[*store.ClockError](err); ok {
			d.fault("clock", clock.Error(), "run NTP on both machines; the server is not ready until then")
		} else if err != nil {
			d.fault("database", DatabaseURL(d.cfg.Database()).String()+" does not answer: "+err.Error(), "is it running, and may this machine connect to it?")
			return
		}
		if d.schema(ctx, s) {
			d.keys(ctx, s, master)
			d.proxies(ctx, s)
		}
	})
}

// schema examines the engine and the schema, and reports whether there is one.
func (d *doctor) schema(ctx context.Context, s *store.Store) bool {
	seen, err := s.Inspect(ctx)
	if err != nil {
		d.fault("database", err.Error(), "")
		return false
	}
	if s.Engine() == "sqlite" {
		d.ok("database", "SQLite "+seen.Version)
	} else if seen.Number < oldestPostgres*10000 {
		d.fault("database", "PostgreSQL "+seen.Version, fmt.Sprintf("%d is the oldest that is supported", oldestPostgres))
	} else {
		d.ok("database", "PostgreSQL "+seen.Version+", as "+seen.Role)
	}
	if len(seen.Lossy) > 0 {
		d.fault("durability", "PostgreSQL has "+strings.Join(seen.Lossy, ", ")+" off: used codes and tokens come back to life after a crash", "switch it on")
	}
	if seen.Clear {
		d.warn("database connection", "crosses the network without TLS", "add ?sslmode=verify-full to database_url")
	}

	if len(seen.Lacks) > 0 {
		d.fault("database role", seen.Role+" lacks "+strings.Join(seen.Lacks, ", "), "idp migrate grant "+seen.Role+", as the owner of the schema")
		return false
	}
	empty, err := s.Empty(ctx)
	if err != nil {
		d.fault("migrations", err.Error(), "")
		return false
	}
	if empty {
		d.warn("migrations", "the database is empty", "idp migrate up, or start idp serve")
		return false
	}
	pending, err := pendingMigrations(ctx, s)
	switch {
	case err != nil:
		d.fault("migrations", err.Error(), "")
	case len(pending) > 0 && d.cfg.Migrate != "auto" && !d.cfg.Embedded():
		d.fault("migrations", fmt.Sprintf("%d are pending (%s)", len(pending), strings.Join(pending, ", ")), "idp migrate up, as the owner of the schema")
	case len(pending) > 0:
		d.warn("migrations", fmt.Sprintf("%d are pending (%s)", len(pending), strings.Join(pending, ", ")), "the next start of idp serve applies them; take a backup before")
	default:
		d.ok("migrations", "all are applied")
	}
	_, owner, err := s.SchemaOwner(ctx)
	switch {
	case s.Engine() == "sqlite":
	case err != nil:
		d.fault("database role", err.Error(), "")
	case seen.Superuser:
		d.warn("database role", seen.Role+" is a superuser, whom no rights hold back", "serve as a role of its own: idp migrate grant ROLE")
	case owner:
		d.ok("database role", seen.Role+" owns the schema; one that only serves could not touch the audit (idp migrate grant ROLE)")
	default:
		d.ok("database role", seen.Role+" serves, and can do no more")
	}
	return err == nil && len(pending) == 0
}

// oldestPostgres is the oldest release that is supported.
const oldestPostgres = 15

// keys examines whether the master key fits, and how old the signing keys are.
func (d *doctor) keys(ctx context.Context, s *store.Store, master *tokens.Master) {
	stored, err := s.Setting(ctx, masterCheckSetting)
	if err != nil && !errors.Is(err, idp.ErrNotFound) {
		d.fault("master key", err.Error(), "")
		return
	}
	var derived []byte
	if master != nil {
		derived = master.CheckValue()
	}
	if err := checkMasterKey(d.cfg, stored, derived); err != nil {
		d.fault("master key", err.Error(), "")
		return
	}
	if master == nil {
		return
	}
	d.ok("master key", "fits the database")

	keyring := tokens.NewKeyring(tokens.KeyringConfig{
		Issuer: d.cfg.Issuer, Master: master, Store: s, Now: d.now, PublishAhead: d.cfg.Keys.PublishAhead.std(),
		RotateEvery: d.cfg.Keys.RotateEvery.std(), Retain: d.cfg.longestToken() + jwksMaxAge, JWKSMaxAge: jwksMaxAge,
	})
	if err := keyring.Reload(ctx); err != nil {
		d.fault("signing keys", err.Error(), "idp key retire it, if it is the key of another installation")
		return
	}
	var active []string
	var late string
	for _, k := range keyring.States() {
		if k.State != idp.KeyActive {
			continue
		}
		active = append(active, k.Alg)
		// Rotation is looked after every few minutes; a day late, nobody does.
		if age := d.now().Sub(latestOf(k.ActiveFrom, k.CreatedAt)); age > d.cfg.Keys.RotateEvery.std()+day {
			late = fmt.Sprintf("%s has signed for %d days", k.Alg, int(age/day))
		}
	}
	switch {
	case len(active) == 0:
		d.warn("signing keys", "there are none yet", "idp serve makes them")
		return
	case late != "":
		d.warn("signing keys", late+", and keys.rotate_every is "+d.cfg.Keys.RotateEvery.String(), "is a server running? idp key rotate makes a successor now")
	default:
		d.ok("signing keys", strings.Join(active, ", ")+" sign, and none is overdue")
	}
	d.keyring = keyring
}

func latestOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// recentEvents is how far back the audit is read, and how much of it.
const (
	recentEvents = 1000
	recentSpan   = 24 * time.Hour
)

// proxies examines by the audit whether proxies and trusted_proxies agree: what
// the server noticed of real requests tells more than one of ours would.
func (d *doctor) proxies(ctx context.Context, s *store.Store) {
	events, err := s.EventsBefore(ctx, idp.ID{}, recentEvents)
	if err != nil {
		d.fault("proxies", err.Error(), "")
		return
	}
	since := d.now().Add(-recentSpan)
	peers, proxied := map[string]bool{}, map[string]bool{}
	var strange, inside []string
	requests := false
	for _, e := range events {
		address, err := netip.ParseAddr(e.RemoteAddr)
		if err != nil || e.At.Before(since) {
			continue
		}
		if e.Kind == idp.EventProxyUntrustedHeader {
			if !peers[e.RemoteAddr] {
				strange = append(strange, e.RemoteAddr)
			}
			peers[e.RemoteAddr] = true
			continue
		}
		requests = true
		for _, network := range d.cfg.TrustedProxies {
			if network.Contains(address) && !proxied[e.RemoteAddr] {
				proxied[e.RemoteAddr] = true
				inside = append(inside, e.RemoteAddr)
			}
		}
	}
	switch {
	case len(strange) > 0:
		d.warn("proxies", "headers of a proxy came from "+strings.Join(strange, ", ")+", which trusted_proxies does not name",
			"if that is your proxy, add it: until then all people share its address in throttling and audit")
	case len(inside) > 0:
		d.warn("proxies", "requests came from "+strings.Join(inside, ", ")+", which trusted_proxies names, without X-Forwarded-For",
			"let the proxy set the header: all people share its address in throttling and audit")
	case requests:
		d.ok("proxies", "agree with trusted_proxies, as far as the last day's audit tells")
	default:
		d.ok("proxies", "no request of the last day to judge by")
	}
}

// listeners examines this machine's side of the server.
func (d *doctor) listeners(ctx context.Context) {
	if d.cfg.TLSCert != "" {
		if _, err := server.LoadCertificate(d.cfg.TLSCert, d.cfg.TLSKey); err != nil {
			d.fault("tls_cert", err.Error(), "")
		}
	}
	if d.cfg.ManagementListen == "off" {
		return
	}
	within(ctx, func(ctx context.Context) {
		conn, err := dialListener(ctx, d.cfg.ManagementListen)
		if err != nil {
			d.warn("server", "none answers on "+d.cfg.ManagementListen, "start idp serve with this configuration, and run idp doctor again")
			return
		}
		_ = conn.Close()
		d.running = true
		d.ok("server", "answers on "+d.cfg.ManagementListen)
	})
}
