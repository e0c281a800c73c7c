package main

import (
	"crypto/x509"
	"errors"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"idp/internal/attributes"
	"idp/internal/idp"
	"idp/internal/tokens"
	"idp/internal/users"
	"idp/web"
)

// Config is everything that can be configured. A field's yaml tag is its key;
// the environment variable is IDP_ and the path of keys in capitals joined by
// `_`. The allowed tag completes the sentence "allowed is …" in a fault, oneof
// lists the words that an enumeration knows.
type Config struct {
	Issuer           string         `yaml:"issuer" allowed:"an absolute https URL without query, fragment, user or trailing slash, such as https://id.example.com"`
	DatabaseURL      DatabaseURL    `yaml:"database_url" allowed:"postgres://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:PATH"`
	DatabaseURLFile  string         `yaml:"database_url_file" allowed:"the path of a file that holds the database URL"`
	DataDir          string         `yaml:"data_dir" allowed:"the path of a directory"`
	MasterKey        idp.Secret     `yaml:"master_key" allowed:"at least 32 random bytes in base64 or hex, as idp key generate-master makes them"`
	MasterKeyFile    string         `yaml:"master_key_file" allowed:"the path of a file that only its owner can read"`
	Listen           string         `yaml:"listen" allowed:"HOST:PORT, :PORT or unix:PATH"`
	ManagementListen string         `yaml:"management_listen" allowed:"HOST:PORT, :PORT, unix:PATH or off"`
	ManagementPprof  bool           `yaml:"management_pprof"`
	TrustedProxies   []netip.Prefix `yaml:"trusted_proxies" allowed:"networks such as 10.0.0.0/8 or single addresses"`
	TLSCert          string         `yaml:"tls_cert" allowed:"the path of a PEM file, together with tls_key"`
	TLSKey           string         `yaml:"tls_key" allowed:"the path of a PEM file, together with tls_cert"`
	TLS              TLSConfig      `yaml:"tls"`
	Migrate          string         `yaml:"migrate" oneof:"auto check off"` // empty: auto on SQLite and on an empty Postgres, else check
	DrainDelay       Duration       `yaml:"drain_delay"`

	RequirePushedAuthorizationRequests bool `yaml:"require_pushed_authorization_requests"`

	Accounts     AccountsConfig     `yaml:"accounts"`
	Registration RegistrationConfig `yaml:"registration"`
	Mail         MailConfig         `yaml:"mail"`
	Pages        PagesConfig        `yaml:"pages"`

	Audit     AuditConfig     `yaml:"audit"`
	Traces    TracesConfig    `yaml:"traces"`
	Lifetimes LifetimesConfig `yaml:"lifetimes"`
	Keys      KeysConfig      `yaml:"keys"`
	Passwords PasswordsConfig `yaml:"passwords"`
	SignIn    SignInConfig    `yaml:"sign_in"`
	Outbound  OutboundConfig  `yaml:"outbound"`
	Log       LogConfig       `yaml:"log"`

	SecurityTxt SecurityTxtConfig `yaml:"security_txt"`

	Bootstrap BootstrapSection `yaml:"-"` // in the file only
}

// TLSConfig says where a certificate comes from that is not in files.
type TLSConfig struct {
	ACME ACMEConfig `yaml:"acme"`
}

// ACMEConfig has the certificate for the issuer's host come from an authority
// (RFC 8555), once its terms are accepted.
type ACMEConfig struct {
	AcceptTerms  bool   `yaml:"accept_terms"`
	DirectoryURL string `yaml:"directory_url" allowed:"the https URL of an authority's directory"`
	Email        string `yaml:"email" allowed:"an address such as admin@example.com"`
}

// letsEncrypt is whose certificates browsers trust and nobody pays for.
const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// AccountsConfig rules how people come to accounts beside those that an operator
// makes: not at all, by an operator's invitation, or also by themselves. What
// accounts are made of beside the standard claims, a schema says.
type AccountsConfig struct {
	Registration        string   `yaml:"registration" oneof:"off invited open"`
	RegistrationDomains string   `yaml:"registration_domains" allowed:"domains of mail addresses separated by spaces, such as example.com, or * for all"`
	TermsURL            string   `yaml:"terms_url" allowed:"an https URL"`
	Deletion            string   `yaml:"deletion" oneof:"off request self"`
	DeletionAfter       Duration `yaml:"deletion_after" min:"1h" max:"8760h"`
	AttributesSchema    string   `yaml:"attributes_schema" allowed:"the path of a file with a JSON Schema"`
	TermsVersion        string   `yaml:"terms_version" allowed:"a version of the terms such as 2026-03, in at most 64 printable characters"`
}

// open reports whether people make accounts for themselves.
func (c *AccountsConfig) open() bool { return c.Registration == "open" }

// domains returns whose mail addresses may have one.
func (c *AccountsConfig) domains() []string {
	var all []string
	for domain := range strings.FieldsSeq(c.RegistrationDomains) {
		if ascii, err := users.MailDomain(domain); err == nil {
			domain = ascii
		}
		all = append(all, domain)
	}
	return all
}

// RegistrationConfig rules the clients that register themselves (RFC 7591):
// none, those with an initial token, or all. What it gives, it gives to every
// one of them.
type RegistrationConfig struct {
	Mode            string   `yaml:"mode" oneof:"off token open"`
	Scope           string   `yaml:"scope" allowed:"scopes separated by spaces"`
	Audience        string   `yaml:"audience" allowed:"audiences of resources separated by spaces"`
	SecurityProfile string   `yaml:"security_profile" oneof:"baseline oidc-legacy"`
	MaxClients      int      `yaml:"max_clients" min:"1" max:"1000000"`
	PerHour         int      `yaml:"per_hour" min:"1" max:"100000"`
	IdleLife        Duration `yaml:"idle_life"`

	// RemoteLogos shows people the picture behind a client's logo_uri, from the
	// client's host, where none is stored.
	RemoteLogos bool `yaml:"remote_logos"`

	// MetadataDocuments makes clients known by the address of a document.
	MetadataDocuments string `yaml:"metadata_documents" oneof:"off on"`
	DocumentHosts     string `yaml:"document_hosts" allowed:"host names separated by spaces"`

	SoftwareStatements string `yaml:"software_statements" oneof:"off optional required"`
	StatementIssuers   string `yaml:"statement_issuers" allowed:"entries ISSUER=KEYS separated by spaces, KEYS being an https address or the path of a file with a JSON Web Key Set"`
	StatementAlgs      string `yaml:"statement_algs" allowed:"signature algorithms separated by spaces: ES256, ES384, ES512, EdDSA, PS256, RS256"`
}

// statementIssuers reads whose software statements are believed.
func (c *RegistrationConfig) statementIssuers() ([]idp.StatementIssuer, error) {
	var all []idp.StatementIssuer
	for entry := range strings.FieldsSeq(c.StatementIssuers) {
		issuer, keys, ok := strings.Cut(entry, "=")
		trusted := idp.StatementIssuer{Issuer: issuer}
		switch {
		case !ok || issuer == "" || keys == "":
			return nil, errors.New("must be entries ISSUER=KEYS separated by spaces")
		case strings.HasPrefix(keys, "https://"):
			trusted.JWKSURI = keys
		default:
			raw, err := os.ReadFile(keys)
			if err != nil {
				return nil, errors.New("the keys of " + issuer + " cannot be read: " + fileReason(err))
			}
			trusted.JWKS = raw
			if err := new(tokens.ClientKeys).CheckKeySet(trusted.JWKS); err != nil {
				return nil, errors.New("the keys of " + issuer + ": " + err.Error())
			}
		}
		all = append(all, trusted)
	}
	return all, nil
}

// MailConfig says how messages to people are sent. Without a host they wait,
// sealed, for the operator to read.
type MailConfig struct {
	Host         string     `yaml:"host" allowed:"the name of a mail server"`
	Port         int        `yaml:"port" min:"1" max:"65535"`
	TLS          string     `yaml:"tls" oneof:"starttls implicit none"` // empty: implicit on port 465, none on loopback, else starttls
	Username     string     `yaml:"username" allowed:"a user name at the mail server"`
	Password     idp.Secret `yaml:"password" allowed:"the password of mail.username"`
	PasswordFile string     `yaml:"password_file" allowed:"the path of a file that holds the password of mail.username"`
	CAFile       string     `yaml:"ca_file" allowed:"the path of a PEM file with certificates"`
	From         string     `yaml:"from" allowed:"an address such as accounts@example.com, or with a name: Example <accounts@example.com>"`
	ReplyTo      string     `yaml:"reply_to" allowed:"an address such as help@example.com"`
	PrintToLog   bool       `yaml:"print_to_log"` // where there is no host; links in a log are secrets
}

// PagesConfig is how the pages look, and in which language they are where
// nothing tells of another.
type PagesConfig struct {
	Directory       string `yaml:"directory" allowed:"the path of a directory with templates, words and static files"`
	DefaultLanguage string `yaml:"default_language" allowed:"the tag of a language that there are words in, such as de"`
	Accent          string `yaml:"accent" allowed:"a colour such as #0b5c55"`
	AccentDark      string `yaml:"accent_dark" allowed:"a colour such as #6cd0c0"`
}

// AuditConfig rules the audit log. In strict mode no token leaves before its
// audit row is stored; in relaxed mode rows follow within a second.
type AuditConfig struct {
	Mode      string   `yaml:"mode" oneof:"strict relaxed"`
	Retention Duration `yaml:"retention" min:"24h"`
}

// TracesConfig says for how long it is kept how requests were decided, and
// whether of those as well that went well.
type TracesConfig struct {
	Retention Duration `yaml:"retention" max:"8760h"`
	Successes string   `yaml:"successes" oneof:"off on"`
}

// LifetimesConfig is idp.Lifetimes as it is configured.
type LifetimesConfig struct {
	Code            Duration `yaml:"code" min:"1s" max:"10m"`
	AccessToken     Duration `yaml:"access_token" min:"1s"`
	IDToken         Duration `yaml:"id_token" min:"1s"`
	RefreshIdle     Duration `yaml:"refresh_idle" min:"1s"`
	RefreshAbsolute Duration `yaml:"refresh_absolute" min:"1s"`
	RefreshGrace    Duration `yaml:"refresh_grace" max:"10m"`
	SessionIdle     Duration `yaml:"session_idle" min:"1s"`
	SessionAbsolute Duration `yaml:"session_absolute" min:"1s"`
	Flow            Duration `yaml:"flow" min:"1m" max:"24h"`
	PushedRequest   Duration `yaml:"pushed_request" min:"1s" max:"10m"`
	TrustedDevice   Duration `yaml:"trusted_device" max:"8760h"`
}

// KeysConfig rules the rotation of signing keys: a key signs for rotate_every,
// and is published for publish_ahead before it starts.
type KeysConfig struct {
	RotateEvery  Duration `yaml:"rotate_every" min:"1h"`
	PublishAhead Duration `yaml:"publish_ahead" min:"15m"`
}

// PasswordsConfig is the cost of an argon2id hash, how many are made at once,
// and which passwords are not to be set.
type PasswordsConfig struct {
	MemoryKiB     int `yaml:"memory_kib" min:"19456" max:"4194304"`
	Iterations    int `yaml:"iterations" min:"2" max:"100"`
	Parallelism   int `yaml:"parallelism" min:"1" max:"255"`
	MinLength     int `yaml:"min_length" min:"8" max:"64"`
	MaxConcurrent int `yaml:"max_concurrent" min:"0" max:"1024"`

	DeniedFile string `yaml:"denied_file" allowed:"the path of a file with passwords, or with their SHA-1 or SHA-256 in hexadecimal, sorted"`
	BreachURL  string `yaml:"breach_url" allowed:"an https URL ending in a slash, such as https://api.pwnedpasswords.com/range/"`
}

// SignInConfig rules how many passwords may be tried.
type SignInConfig struct {
	FailuresPerMinute int `yaml:"failures_per_minute" min:"10" max:"1000000"`
}

// OutboundConfig rules the requests that the server makes to addresses that
// clients registered.
type OutboundConfig struct {
	Allow  []netip.Prefix `yaml:"allow" allowed:"networks such as 10.0.0.0/8 or single addresses"`
	CAFile string         `yaml:"ca_file" allowed:"the path of a PEM file with certificates"`
}

// SecurityTxtConfig is /.well-known/security.txt (RFC 9116). Without a contact
// there is none.
type SecurityTxtConfig struct {
	Contact            string `yaml:"contact" allowed:"mailto:, tel: or https: URIs separated by spaces, the preferred one first"`
	Expires            string `yaml:"expires" allowed:"a time less than a year ahead, such as 2030-01-31T00:00:00Z"`
	Encryption         string `yaml:"encryption" allowed:"an https URL, or an openpgp4fpr: or dns: URI"`
	Acknowledgments    string `yaml:"acknowledgments" allowed:"an https URL"`
	Policy             string `yaml:"policy" allowed:"an https URL"`
	PreferredLanguages string `yaml:"preferred_languages" allowed:"language tags separated by spaces, such as en de"`
}

// LogConfig rules the log on stderr.
type LogConfig struct {
	Level  string `yaml:"level" oneof:"debug info warn error"`
	Format string `yaml:"format" oneof:"text json"`
}

const day = 24 * time.Hour

// selfRegisteredScopes are all that are about the person alone: the names of
// groups tell of the organization, too.
func selfRegisteredScopes() string {
	return strings.Join(slices.DeleteFunc(idp.IdentityScopes(), func(scope string) bool { return scope == idp.ScopeMemberships }), " ")
}

// defaultConfig returns what holds where nothing is configured.
func defaultConfig() Config {
	l := idp.DefaultLifetimes()
	return Config{
		DataDir:          "./idp-data",
		Listen:           ":8080",
		ManagementListen: "127.0.0.1:9100",
		DrainDelay:       Duration(5 * time.Second),
		Accounts:         AccountsConfig{Registration: "invited", Deletion: "off", DeletionAfter: Duration(30 * day)},
		Registration: RegistrationConfig{
			Mode: "off", Scope: selfRegisteredScopes(), SecurityProfile: idp.ProfileBaseline,
			MaxClients: 1000, PerHour: 60, IdleLife: Duration(90 * day),
			MetadataDocuments: "off", SoftwareStatements: "off", StatementAlgs: strings.Join(idp.AssertionAlgorithms(), " "),
		},
		Mail:   MailConfig{Port: 587},
		Audit:  AuditConfig{Mode: "strict", Retention: Duration(400 * day)},
		Traces: TracesConfig{Retention: Duration(3 * day), Successes: "on"},
		Lifetimes: LifetimesConfig{
			Code:            Duration(l.Code),
			AccessToken:     Duration(l.AccessToken),
			IDToken:         Duration(l.IDToken),
			RefreshIdle:     Duration(l.RefreshIdle),
			RefreshAbsolute: Duration(l.RefreshAbsolute),
			RefreshGrace:    Duration(l.RefreshGrace),
			SessionIdle:     Duration(l.SessionIdle),
			SessionAbsolute: Duration(l.SessionAbsolute),
			Flow:            Duration(l.Flow),
			PushedRequest:   Duration(l.PushedRequest),
			TrustedDevice:   Duration(l.TrustedDevice),
		},
		Keys:      KeysConfig{RotateEvery: Duration(30 * day), PublishAhead: Duration(day)},
		Passwords: PasswordsConfig{MemoryKiB: 64 << 10, Iterations: 3, Parallelism: 1, MinLength: 12},
		SignIn:    SignInConfig{FailuresPerMinute: 300},
		Log:       LogConfig{Level: "info", Format: "text"},
		TLS:       TLSConfig{ACME: ACMEConfig{DirectoryURL: letsEncrypt}},
	}
}

// Database returns the URL of the database: the configured one, or SQLite in
// the data directory.
func (c *Config) Database() string {
	if c.DatabaseURL != "" {
		return c.DatabaseURL.Reveal()
	}
	return "sqlite:" + filepath.Join(c.DataDir, "idp.db")
}

// Embedded reports whether the database is SQLite.
func (c *Config) Embedded() bool { return strings.HasPrefix(c.Database(), "sqlite:") }

// idpLifetimes returns the configured lifetimes as the domain takes them.
func (c *Config) idpLifetimes() idp.Lifetimes {
	l := c.Lifetimes
	return idp.Lifetimes{
		Code:            time.Duration(l.Code),
		AccessToken:     time.Duration(l.AccessToken),
		IDToken:         time.Duration(l.IDToken),
		RefreshIdle:     time.Duration(l.RefreshIdle),
		RefreshAbsolute: time.Duration(l.RefreshAbsolute),
		RefreshGrace:    time.Duration(l.RefreshGrace),
		SessionIdle:     time.Duration(l.SessionIdle),
		SessionAbsolute: time.Duration(l.SessionAbsolute),
		Flow:            time.Duration(l.Flow),
		PushedRequest:   time.Duration(l.PushedRequest),
		TrustedDevice:   time.Duration(l.TrustedDevice),
	}
}

// validate checks what no single value can say of itself, and reads the files
// that stand for secrets.
func (l *loader) validate() {
	c := l.config
	if c.Issuer != "" {
		if reason := issuerFault(c.Issuer); reason != "" {
			l.faultAt("issuer", reason)
		}
	} else if l.needIssuer {
		l.faultAt("issuer", "set it to the address that people and applications reach this server at, such as IDP_ISSUER=https://id.example.com (idp dev needs none)")
	}
	l.secretFile("database_url", string(c.DatabaseURL), c.DatabaseURLFile, func(s string) { c.DatabaseURL = DatabaseURL(s) })
	if c.DatabaseURL != "" {
		if reason := databaseURLFault(string(c.DatabaseURL)); reason != "" {
			l.faultAt("database_url", reason)
		}
	}
	if c.MasterKey != "" && c.MasterKeyFile != "" {
		l.bothSet("master_key")
	} else if c.MasterKey != "" {
		if _, err := tokens.ParseMasterKey(c.MasterKey.Reveal()); err != nil {
			l.faultAt("master_key", errMasterKeyFormat.Error())
		}
	} else if c.MasterKeyFile != "" {
		if _, err := readMasterKeyFile(c.MasterKeyFile); err != nil {
			l.faultAt("master_key_file", err.Error())
		}
	}
	if !isListenAddress(c.Listen) {
		l.faultAt("listen", l.allowed("listen"))
	}
	if c.ManagementListen != "off" && !isListenAddress(c.ManagementListen) {
		l.faultAt("management_listen", l.allowed("management_listen"))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		key := "tls_cert"
		if c.TLSCert == "" {
			key = "tls_key"
		}
		l.faultAt(key, "tls_cert and tls_key are set together")
	}
	l.validateACME()
	if _, err := c.Outbound.roots(); err != nil {
		l.faultAt("outbound.ca_file", err.Error())
	}
	l.validateAccounts()
	l.validatePasswords()
	l.validateSecurityTxt()
	l.validateStatements()
	l.validateMail()
	if _, err := attributes.Open(c.Accounts.AttributesSchema); err != nil {
		l.faultAt("accounts.attributes_schema", err.Error())
	}
	if c.Pages != (PagesConfig{}) {
		if _, err := c.Pages.pages(); err != nil {
			setting := "directory"
			if fault, ok := errors.AsType[*web.Fault](err); ok {
				setting = fault.Setting
			}
			l.faultAt("pages."+setting, err.Error())
		}
	}
	l.notAbove("lifetimes.refresh_idle", c.Lifetimes.RefreshIdle, "lifetimes.refresh_absolute", c.Lifetimes.RefreshAbsolute)
	l.notAbove("lifetimes.session_idle", c.Lifetimes.SessionIdle, "lifetimes.session_absolute", c.Lifetimes.SessionAbsolute)
	l.notAbove("keys.publish_ahead", c.Keys.PublishAhead, "keys.rotate_every", c.Keys.RotateEvery)
}

func (l *loader) validateACME() {
	a := l.config.TLS.ACME
	if u, err := url.Parse(a.DirectoryURL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		l.faultAt("tls.acme.directory_url", l.allowed("tls.acme.directory_url"))
	}
	if address, err := mail.ParseAddress(a.Email); a.Email != "" && (err != nil || address.Address != a.Email) {
		l.faultAt("tls.acme.email", l.allowed("tls.acme.email"))
	}
	if !a.AcceptTerms {
		if a.DirectoryURL != letsEncrypt || a.Email != "" {
			l.faultAt("tls.acme.accept_terms", "set it to true to have a certificate from there: you accept the authority's terms with it")
		}
		return
	}
	if l.config.TLSCert != "" {
		l.faultAt("tls.acme.accept_terms", "the certificate is in tls_cert already: leave one of them out")
	}
	issuer, err := url.Parse(l.config.Issuer)
	if err == nil && l.config.Issuer != "" && (issuer.Scheme != "https" || !strings.Contains(issuer.Hostname(), ".") || net.ParseIP(issuer.Hostname()) != nil) {
		l.faultAt("tls.acme.accept_terms", "needs an https issuer with a host name that the authority finds, such as https://id.example.com")
	}
}

func (l *loader) validateAccounts() {
	a := l.config.Accounts
	for domain := range strings.FieldsSeq(a.RegistrationDomains) {
		if _, err := users.MailDomain(domain); err != nil && domain != users.AnyDomain {
			l.faultAt("accounts.registration_domains", strconv.Quote(domain)+" is no domain: "+l.allowed("accounts.registration_domains"))
		}
	}
	if a.open() && strings.TrimSpace(a.RegistrationDomains) == "" {
		l.faultAt("accounts.registration", "open needs accounts.registration_domains: whose mail addresses may have an account, or * for all")
	}
	if u, err := url.Parse(a.TermsURL); a.TermsURL != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
		l.faultAt("accounts.terms_url", l.allowed("accounts.terms_url"))
	}
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if v := a.TermsVersion; len(v) > 64 || v != strings.TrimSpace(v) || strings.ContainsFunc(v, unprintable) {
		l.faultAt("accounts.terms_version", l.allowed("accounts.terms_version"))
	}
	switch {
	case a.TermsURL != "" && a.TermsVersion == "":
		l.faultAt("accounts.terms_url", "needs accounts.terms_version: which terms somebody accepted")
	case a.TermsURL == "" && a.TermsVersion != "":
		l.faultAt("accounts.terms_version", "needs accounts.terms_url: where people read them")
	}
}

func (l *loader) validatePasswords() {
	p := l.config.Passwords
	if p.DeniedFile != "" {
		if _, err := users.OpenDeniedPasswords(p.DeniedFile); err != nil {
			l.faultAt("passwords.denied_file", err.Error())
		}
	}
	if p.BreachURL != "" {
		// Plain http goes to allowed networks only, as with any outbound request.
		u, err := url.Parse(p.BreachURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !strings.HasSuffix(u.Path, "/") {
			l.faultAt("passwords.breach_url", l.allowed("passwords.breach_url"))
		}
	}
}

func (l *loader) validateStatements() {
	c := l.config
	switch issuers, err := c.Registration.statementIssuers(); {
	case err != nil:
		l.faultAt("registration.statement_issuers", err.Error())
	case len(issuers) == 0 && c.Registration.SoftwareStatements != "off":
		l.faultAt("registration.software_statements", "needs registration.statement_issuers: whose software statements are believed")
	}
	for alg := range strings.FieldsSeq(c.Registration.StatementAlgs) {
		if !slices.Contains(idp.AssertionAlgorithms(), alg) {
			l.faultAt("registration.statement_algs", l.allowed("registration.statement_algs"))
		}
	}
}

// pages builds the pages as they are configured. An error of what was
// configured is a *web.Fault.
func (c *PagesConfig) pages() (*web.Pages, error) {
	cfg := web.Config{DefaultLanguage: c.DefaultLanguage, Accent: c.Accent, AccentDark: c.AccentDark}
	if c.Directory != "" {
		if info, err := os.Stat(c.Directory); err != nil {
			return nil, errors.New("cannot be read: " + fileReason(err))
		} else if !info.IsDir() {
			return nil, errors.New("is not a directory")
		}
		cfg.Directory = os.DirFS(c.Directory)
	}
	return web.New(cfg)
}

// roots returns the authorities that outbound requests trust.
func (c *OutboundConfig) roots() (*x509.CertPool, error) { return rootsWith(c.CAFile) }

// rootsWith returns the authorities in a file beside the system's; nil, which
// stands for the system's, without a file.
func rootsWith(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, errors.New("cannot be read: " + fileReason(err))
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(raw) {
		return nil, errors.New("holds no certificate in PEM")
	}
	return pool, nil
}

// notAbove records a fault when a is longer than b, at the one of the two that
// was set.
func (l *loader) notAbove(keyA string, a Duration, keyB string, b Duration) {
	switch {
	case a <= b, l.faulty(keyA), l.faulty(keyB):
	case l.origin[keyA] != "":
		l.faultAt(keyA, "must not be longer than "+keyB+" ("+b.String()+")")
	default:
		l.faultAt(keyB, "must not be shorter than "+keyA+" ("+a.String()+")")
	}
}

// issuerFault says what is wrong with an issuer, or nothing. Its rules are
// those of OpenID Connect Discovery section 3 and RFC 8414 section 2, and one
// of ours: one spelling only, because clients compare it byte for byte.
func issuerFault(issuer string) string {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" || (u.Scheme != "https" && u.Scheme != "http"):
		return "must be an absolute https URL, such as https://id.example.com"
	case strings.Contains(issuer, "?") || strings.Contains(issuer, "#"):
		return "must have no query and no fragment"
	case u.User != nil:
		return "must not name a user"
	case strings.HasSuffix(issuer, "/"):
		return "must not end in a slash: write " + strings.TrimRight(issuer, "/")
	case issuer != u.Scheme+"://"+strings.ToLower(u.Host)+u.EscapedPath():
		return "must be spelled plainly, scheme and host in lower case"
	case u.Path != "" && (strings.Contains(u.Path, "//") || filepath.ToSlash(filepath.Clean(u.Path)) != u.Path):
		return "must have a path without empty or dot segments"
	case u.Scheme == "http" && !isLoopbackHost(u.Hostname()):
		return "http is for loopback hosts only: change the line to issuer: https://" + strings.TrimPrefix(issuer, "http://")
	}
	return ""
}

// databaseURLFault says what is wrong with a database URL without repeating
// it: it may hold a password.
func databaseURLFault(raw string) string {
	scheme, rest, _ := strings.Cut(raw, ":")
	switch {
	case scheme == "sqlite" && rest != "" && !strings.HasPrefix(rest, "//"):
		return ""
	case scheme == "sqlite":
		return "name the file after the colon: sqlite:PATH"
	case scheme == "postgres" || scheme == "postgresql":
		if u, err := url.Parse(raw); err != nil || u.Path == "/" || u.Path == "" {
			return "must read postgres://USER:PASSWORD@HOST:PORT/DATABASE, with reserved characters percent-encoded"
		}
		return ""
	}
	return "must start with postgres:// or sqlite:"
}

func isLoopbackHost(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func isListenAddress(address string) bool {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return path != ""
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = net.LookupPort("tcp", port)
	return err == nil
}
