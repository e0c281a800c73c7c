package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/admin"
	"idp/internal/attributes"
	"idp/internal/audit"
	"idp/internal/idp"
	"idp/internal/metrics"
	"idp/internal/outbound"
	"idp/internal/store"
	"idp/internal/tokens"
	"idp/internal/tracing"
	"idp/internal/users"
)

// jwksMaxAge is how long others may cache the key set, as internal/discovery
// tells them.
const jwksMaxAge = 5 * time.Minute

// issuerSetting keeps the issuer that the database was last served under, so
// that commands need not be told.
const issuerSetting = "issuer"

// database is the configured database with what every command needs of it. The
// master key is the one it was made with, and its schema is this program's.
type database struct {
	cfg       *Config
	logger    *slog.Logger
	now       func() time.Time
	issuer    string // configured, else the one last served; may be empty
	store     *store.Store
	master    *tokens.Master
	directory *store.Directory
	keyring   *tokens.Keyring
	hasher    *users.Hasher
	outbound  *outbound.Fetcher
	failures  *outboundFailures
	keys      *tokens.ClientKeys
	admin     *admin.Service
	metrics   *metrics.Metrics
	tracing   *tracing.Tracing // nil for none

	attributes *attributes.Schema
}

// openDatabase opens the configured database. Nothing is written to it before
// its master key is known to be the right one.
func (a *app) openDatabase(ctx context.Context, cfg *Config, logger *slog.Logger, exclusive bool) (*database, error) {
	d := &database{cfg: cfg, logger: logger, now: a.Now, issuer: cfg.Issuer, tracing: a.tracing}
	d.metrics = metrics.New(metrics.Config{Version: buildVersion(), GoVersion: runtime.Version(), Now: a.Now})
	key, err := configuredMasterKey(cfg)
	if err != nil {
		return nil, err
	}
	if key == nil && !cfg.Embedded() && cfg.Migrate == "off" {
		return nil, withCode(exitConfiguration, errNoMasterKey)
	}
	if d.store, err = a.openMeteredStore(ctx, cfg, logger, exclusive, d.metrics); err != nil {
		return nil, err
	}
	if err := d.prepare(ctx, key); err != nil {
		d.store.Close()
		return nil, err
	}
	return d, nil
}

// openStore connects to the configured database without changing it.
func (a *app) openStore(ctx context.Context, cfg *Config, logger *slog.Logger, exclusive bool) (*store.Store, error) {
	return a.openMeteredStore(ctx, cfg, logger, exclusive, nil)
}

// openMeteredStore is openStore, and counts what the database does, unless m is
// nil.
func (a *app) openMeteredStore(ctx context.Context, cfg *Config, logger *slog.Logger, exclusive bool, m *metrics.Metrics) (*store.Store, error) {
	var meter store.Meter
	mirror := audit.Mirror(logger)
	if m != nil {
		tell := mirror
		meter, mirror = m, func(e idp.Event) {
			tell(e)
			m.Event(e)
		}
	}
	if path, ok := strings.CutPrefix(cfg.Database(), "sqlite:"); ok {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
	}
	var tracer store.Tracer
	if a.tracing != nil {
		tracer = a.tracing
	}
	opened, err := store.Open(ctx, store.Config{
		URL:            cfg.Database(),
		Now:            a.Now,
		Logger:         logger,
		Mirror:         mirror,
		Meter:          meter,
		Tracer:         tracer,
		GrantRetention: cfg.Lifetimes.RefreshAbsolute.std(),
		AuditRetention: cfg.Audit.Retention.std(),
		TraceRetention: cfg.Traces.Retention.std(),
		Exclusive:      exclusive,
	})
	invalid, _ := errors.AsType[*idp.InvalidError](err)
	switch {
	case invalid != nil:
		return nil, withCode(exitConfiguration, invalid)
	case errors.Is(err, idp.ErrConflict): // the lock of another server
		return nil, withCode(exitTryAgain, fmt.Errorf("the database %s is in use by another server: stop it first, or name another --data-dir", strings.TrimPrefix(cfg.Database(), "sqlite:")))
	case err != nil:
		return nil, fmt.Errorf("database %s: %w", DatabaseURL(cfg.Database()), err)
	}
	return opened, nil
}

// prepare brings the database into use: 1 is the master key the right one ·
// 2 is the schema this program's · 3 load what lives in memory.
func (d *database) prepare(ctx context.Context, key []byte) error {
	// 1. Nothing is written before this is known.
	empty, err := d.store.Empty(ctx)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	var stored []byte
	if !empty {
		if stored, err = d.store.Setting(ctx, masterCheckSetting); err != nil && !errors.Is(err, idp.ErrNotFound) {
			return fmt.Errorf("database: %w", err)
		}
	}
	if err := d.unlock(key, stored); err != nil {
		return err
	}

	// 2. The schema, and then the mark of the master key.
	if err := d.migrate(ctx, empty); err != nil {
		return err
	}
	if stored == nil {
		if err := d.claim(ctx); err != nil {
			return err
		}
	}

	// 3. Clients, resources and keys.
	if d.issuer == "" {
		last, err := d.store.Setting(ctx, issuerSetting)
		if err != nil && !errors.Is(err, idp.ErrNotFound) {
			return fmt.Errorf("database: %w", err)
		}
		d.issuer = string(last)
	}
	if d.directory, err = d.store.LoadDirectory(ctx, d.builtIn()...); err != nil {
		return fmt.Errorf("load clients and resources: %w", err)
	}
	d.keyring = tokens.NewKeyring(tokens.KeyringConfig{
		Issuer:       d.issuer,
		Master:       d.master,
		Store:        d.store,
		Now:          d.now,
		PublishAhead: d.cfg.Keys.PublishAhead.std(),
		RotateEvery:  d.cfg.Keys.RotateEvery.std(),
		Retain:       d.cfg.longestToken() + jwksMaxAge,
		JWKSMaxAge:   jwksMaxAge,
		Signed:       d.metrics.Signed,
		Logger:       d.logger,
	})
	if err := d.keyring.Start(ctx); err != nil {
		return err
	}
	roots, err := d.cfg.Outbound.roots()
	if err != nil {
		return withCode(exitConfiguration, fmt.Errorf("outbound.ca_file: %w", err))
	}
	d.failures = newOutboundFailures(d.logger, d.now)
	d.outbound = outbound.New(outbound.Config{
		Allow: d.cfg.Outbound.Allow, Roots: roots, Logger: d.logger, Now: d.now, Failed: d.failures.failed, Tracer: d.outboundTracer(),
	})
	if d.hasher, err = d.newHasher(roots); err != nil {
		return withCode(exitConfiguration, fmt.Errorf("passwords: %w", err))
	}
	if d.attributes, err = attributes.Open(d.cfg.Accounts.AttributesSchema); err != nil {
		return withCode(exitConfiguration, fmt.Errorf("accounts.attributes_schema: %w", err))
	}
	d.keys = tokens.NewClientKeys(tokens.ClientKeysConfig{Documents: d.outbound, Master: d.master, Now: d.now, Logger: d.logger})
	d.admin = d.newAdmin(d.store, d.directory, d.keyring, "command")
	return nil
}

// newHasher returns what judges and hashes passwords.
func (d *database) newHasher(roots *x509.CertPool) (*users.Hasher, error) {
	p := d.cfg.Passwords
	cfg := users.HasherConfig{
		Memory: uint32(p.MemoryKiB), Passes: p.Iterations, Lanes: p.Parallelism, Concurrent: p.MaxConcurrent, MinLength: p.MinLength,
		Started: d.metrics.PasswordHash,
	}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 { // GOMEMLIMIT
		cfg.MemoryLimit = limit
	}
	if issuer, err := url.Parse(d.issuer); err == nil {
		cfg.ServiceNames = append(cfg.ServiceNames, issuer.Hostname())
	}
	if p.DeniedFile != "" {
		var err error
		if cfg.Denied, err = users.OpenDeniedPasswords(p.DeniedFile); err != nil {
			return nil, fmt.Errorf("denied_file: %w", err)
		}
	}
	if p.BreachURL != "" {
		cfg.Breached = breachService{p.BreachURL, outbound.New(outbound.Config{
			Allow: d.cfg.Outbound.Allow, Roots: roots, Timeout: breachPatience, MaxBytes: maxBreachAnswer, Logger: d.logger, Now: d.now, Tracer: d.outboundTracer(),
			Failed: func(ctx context.Context, failure outbound.Failure) {
				failure.Address = p.BreachURL // without what was asked for
				d.failures.failed(idp.WithErrand(ctx, "", "passwords.breach_url"), failure)
			},
		})}
	}
	return users.NewHasher(cfg)
}

const (
	// breachPatience is how long somebody who sets a password waits for the
	// service that knows leaked ones.
	breachPatience  = 3 * time.Second
	maxBreachAnswer = 256 << 10 // bytes; a range with padding is about 40 KiB
)

// breachService is a service that answers which leaked passwords have a hash
// with a prefix. It is asked for answers that are all alike long.
type breachService struct {
	address string
	fetcher *outbound.Fetcher
}

func (b breachService) Range(ctx context.Context, prefix string) ([]byte, error) {
	return b.fetcher.Ask(ctx, b.address+prefix, http.Header{"Add-Padding": {"true"}})
}

// unlock takes the master key, or makes the embedded database's first one.
func (d *database) unlock(key, stored []byte) error {
	made := ""
	if key == nil && stored == nil {
		if !d.cfg.Embedded() {
			return withCode(exitConfiguration, errNoMasterKey)
		}
		made = tokens.GenerateMasterKey()
		var err error
		if key, err = tokens.ParseMasterKey(made); err != nil {
			return err
		}
	}
	var derived []byte
	if key != nil {
		var err error
		if d.master, err = tokens.NewMaster(key); err != nil {
			return withCode(exitConfiguration, err)
		}
		derived = d.master.CheckValue()
	}
	if err := checkMasterKey(d.cfg, stored, derived); err != nil {
		return err
	}
	if made == "" {
		return nil
	}
	path := filepath.Join(d.cfg.DataDir, masterKeyName)
	if err := writeSecretFile(path, []byte(made+"\n")); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return withCode(exitTryAgain, fmt.Errorf("another process made the master key %s at this moment: try again", path))
		}
		return fmt.Errorf("master key: %w", err)
	}
	d.logger.Info("master key made: keep a copy of it apart from the database's backups", "file", path)
	return nil
}

// claim marks the database with the master key. Another node may be first.
func (d *database) claim(ctx context.Context) error {
	err := d.store.InsertSetting(ctx, masterCheckSetting, d.master.CheckValue())
	if !errors.Is(err, idp.ErrConflict) {
		return err
	}
	stored, err := d.store.Setting(ctx, masterCheckSetting)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return checkMasterKey(d.cfg, stored, d.master.CheckValue())
}

// migrate brings the schema up to date as far as the policy allows: by itself
// on SQLite and on an empty Postgres, otherwise only when told to.
func (d *database) migrate(ctx context.Context, empty bool) error {
	policy := d.cfg.Migrate
	if policy == "off" {
		return nil
	}
	if policy == "" && (d.store.Engine() == "sqlite" || empty) {
		policy = "auto"
	}
	pending, err := pendingMigrations(ctx, d.store)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if len(pending) > 0 {
		lacks := fmt.Sprintf("the database lacks %d of this program's migrations (%s)", len(pending), strings.Join(pending, ", "))
		if err := mayMigrate(ctx, d.store); err != nil {
			return withCode(exitConfiguration, fmt.Errorf("%s, and %w", lacks, err))
		}
		if policy != "auto" {
			return withCode(exitConfiguration, fmt.Errorf("%s: run idp migrate up, or start with --migrate=auto", lacks))
		}
	}
	if policy != "auto" {
		return nil
	}
	applied, err := d.store.Migrate(ctx)
	if err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	if len(applied) > 0 {
		d.logger.Info("database migrated", "applied", applied)
	}
	return nil
}

// pendingMigrations returns the names of the migrations that the database lacks.
func pendingMigrations(ctx context.Context, s *store.Store) ([]string, error) {
	status, err := s.MigrationStatus(ctx)
	var pending []string
	for _, m := range status {
		if !m.Applied {
			pending = append(pending, m.Name)
		}
	}
	return pending, err
}

// mayMigrate refuses to change the schema as a role that only serves on it.
func mayMigrate(ctx context.Context, s *store.Store) error {
	owner, mine, err := s.SchemaOwner(ctx)
	if err != nil || mine {
		return err
	}
	if owner == "" {
		return withCode(exitConfiguration, errors.New("the role that idp connects as may not create tables: run idp migrate up as one that may, and idp migrate grant for this one"))
	}
	return withCode(exitConfiguration, fmt.Errorf("the role that idp connects as may not change the schema, which belongs to %s: run idp migrate up with a database_url of %s", owner, owner))
}

func (d *database) close() { d.store.Close() }

// longestToken is how long a signed token can live: what is configured, or the
// longest that a client or resource may be registered with.
func (c *Config) longestToken() time.Duration {
	return max(c.Lifetimes.AccessToken.std(), c.Lifetimes.IDToken.std(), 24*time.Hour)
}

// withDatabase runs a command on the configured database.
func (a *app) withDatabase(run func(ctx context.Context, d *database, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cfg, err := loadConfig(a.sources(cmd))
		if err != nil {
			return err
		}
		// A command says what it did on stdout; its log is for what went wrong.
		level := new(slog.LevelVar)
		logger := a.logger(cfg.Log, level)
		level.Set(max(level.Level(), slog.LevelWarn))
		d, err := a.openDatabase(cmd.Context(), cfg, logger, false)
		if err != nil {
			return err
		}
		defer d.close()
		// What is ended by a clock that is behind would be ended too early to count.
		if err := d.store.Ready(cmd.Context()); err != nil {
			return err
		}
		return run(cmd.Context(), d, args)
	}
}
