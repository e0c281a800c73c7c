package grants

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"idp/internal/idp"
)

// Directory knows the registered clients, resources, roles and the sign-in
// policy without asking a database; implemented by *store.Directory.
type Directory interface {
	Client(clientID string) (*idp.Client, bool)
	Resource(audience string) (*idp.Resource, bool)
	ScopeOwner(scope string) []*idp.Resource
	Roles() []idp.Role
	SignInPolicy() idp.SignInPolicy
}

// GrantStore holds grants; implemented by *store.Store.
type GrantStore interface {
	CreateGrant(ctx context.Context, g idp.Grant, seen time.Time, events ...idp.Event) error
	GrantState(ctx context.Context, h idp.GrantHandle) (idp.GrantState, error)
	RedeemCode(ctx context.Context, r idp.CodeRedemption, token *idp.AccessToken, event idp.Event) error
	RotateRefresh(ctx context.Context, r idp.RefreshRotation, token *idp.AccessToken, event idp.Event) error
	RevokeGrant(ctx context.Context, h idp.GrantHandle, reason string, at time.Time, event idp.Event) error
}

// AccessTokenStore holds opaque access tokens, and the deny list of those that
// belong to no grant; implemented by *store.Store.
type AccessTokenStore interface {
	AppendTokens(ctx context.Context, token *idp.AccessToken, event idp.Event) error
	AccessTokenState(ctx context.Context, expiresOn idp.Day, id idp.ID) (idp.AccessTokenState, error)
	AccessTokenRevoked(ctx context.Context, id idp.ID, expiresOn idp.Day) (bool, error)
	RevokeAccessToken(ctx context.Context, id idp.ID, expiresOn idp.Day, at time.Time, event idp.Event) error
}

// SessionStore reads who sits at a browser; implemented by *store.Store.
type SessionStore interface {
	AuthorizationContext(ctx context.Context, session idp.ID, clientID string) (idp.AuthorizationContext, error)
}

// Signer signs and verifies JWTs; implemented by *tokens.Keyring.
type Signer interface {
	SignAccessToken(alg string, t idp.AccessToken) (string, error)
	SignIDToken(alg string, t idp.IDToken) (string, error)
	SignUserinfo(alg, clientID string, claims map[string]any) (string, error)
	VerifyAccessToken(raw string) (idp.AccessToken, error)
	VerifyIDToken(raw string) (idp.IDToken, error)
}

// Encrypter encrypts to a client's key; implemented by *tokens.ClientKeys.
type Encrypter interface {
	Encrypt(ctx context.Context, client *idp.Client, alg, enc, content string) (string, error)
}

// Opaque mints and checks opaque tokens, and seals flows; implemented by
// *tokens.Master.
type Opaque interface {
	MintOpaque(t idp.OpaqueToken, salt []byte) string
	ParseOpaque(kind idp.TokenKind, s string) (idp.OpaqueToken, error)
	VerifyOpaque(s string, salt []byte) bool
	SealFlow(f idp.Flow) (string, error)
	OpenFlow(s string) (idp.Flow, error)
}

// MailSealer makes messages to people ready to be stored; implemented by
// *tokens.Master.
type MailSealer interface {
	SealMail(at time.Time, m idp.Mail) (idp.SealedMail, error)
}

// Secrets compares client secrets in constant time; implemented by
// *tokens.Master.
type Secrets interface {
	VerifySecret(hash, presented string) bool
}

// Browser is what the person's side of a request offers; implemented by
// *login.Login.
type Browser interface {
	// Session returns the session that the cookie claims, and whether the
	// claim holds once its salt is known.
	Session(r *http.Request) (id idp.ID, proves func(salt []byte) bool, ok bool)
	// Bind returns the hash of the browser's binding cookie, setting one if
	// there is none; Bound does not set.
	Bind(w http.ResponseWriter, r *http.Request) []byte
	Bound(r *http.Request) []byte
	// ErrorPage tells the person what went wrong. It never redirects.
	ErrorPage(w http.ResponseWriter, r *http.Request, status int, code string, saying idp.Saying)
	// AskToReturn shows the person an error, and where it would lead them. It
	// never redirects.
	AskToReturn(w http.ResponseWriter, r *http.Request, back idp.ErrorReturn)
	// FormPost lets the browser post the fields to the client (OAuth 2.0 Form
	// Post Response Mode).
	FormPost(w http.ResponseWriter, r *http.Request, action string, fields url.Values)
	// SessionState stands for the session at this browser in the eyes of the
	// client at that redirect URI (OpenID Connect Session Management section
	// 2); empty when there is none to be had.
	SessionState(w http.ResponseWriter, r *http.Request, clientID, redirectURI string) string
}

// Audit takes events that no other write carries; implemented by
// *audit.Recorder.
type Audit interface {
	// Record returns once the row is as safe as the audit mode asks.
	Record(ctx context.Context, e idp.Event) error
	// Note never waits.
	Note(ctx context.Context, e idp.Event)
}

// Attributes knows what the operator declared of accounts beyond the standard
// claims. Implemented by *attributes.Schema.
type Attributes interface {
	Declared() []idp.Attribute
}

// Config is what a Service is made of; every field is needed.
type Config struct {
	Issuer     string // exactly as published, without a trailing slash
	Directory  Directory
	Grants     GrantStore
	Pushed     PushedRequestStore
	Tokens     AccessTokenStore
	Sessions   SessionStore
	Signer     Signer
	Opaque     Opaque
	Mail       MailSealer
	Secrets    Secrets
	Pseudonyms Pseudonyms
	Encrypter  Encrypter
	Discovery  Discovery
	Browser    Browser
	Audit      Audit
	// RequestObjects and Documents are for what clients sign of their requests.
	RequestObjects RequestObjects
	Decrypter      Decrypter
	Documents      Documents
	Attributes     Attributes
	Lifetimes      idp.Lifetimes

	Assertions     Assertions
	AssertionStore AssertionStore
	// RequirePushed refuses authorization requests that were not pushed, for
	// every client.
	RequirePushed bool
	// AccountsOpen says that people may make accounts for themselves, so that
	// clients may have them do that.
	AccountsOpen bool
	Now          func() time.Time
	Logger       *slog.Logger
}

// Service serves the protocol endpoints. It holds no state of its own but the
// guess limiter of client authentication.
type Service struct {
	Config
	authorizeHandlers []authorizeHandler
	grantTypes        map[string]grantType
	guesses           *limiter
	pushes            *limiter // of public clients: anybody may push for them
}

// New returns a Service.
func New(cfg Config) *Service {
	s := &Service{Config: cfg, guesses: newLimiter(cfg.Now, freeGuesses, guessInterval), pushes: newLimiter(cfg.Now, freePushes, pushInterval)}
	s.wireFosite()
	return s
}

// now is the instant of a request, as both databases can keep it.
func (s *Service) now() time.Time { return idp.Instant(s.Config.Now()) }

// claimRules are those of this moment: attributes may be declared anew.
func (s *Service) claimRules() idp.ClaimRules {
	return idp.ClaimRules{Attributes: s.Attributes.Declared(), Pictures: s.Issuer + "/pictures/"}
}

// newID draws an ID. crypto/rand stops the process when it fails.
func newID() (id idp.ID) {
	_, _ = rand.Read(id[:])
	return id
}
