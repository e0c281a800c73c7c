package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// Store is all that a Service writes to and reads from, in the parts that the
// files of this package declare. Implemented by *store.Store.
//
// Every write that takes an event stores it in the same transaction, if and
// only if the write changed something.
type Store interface {
	ClientStore
	UserStore
	UserStateStore
	FactorStore
	GroupStore
	RoleStore
	ResourceStore
	SessionStore
	RegistrationStore
	LogoStore
	SignInPolicyStore
	AuditStore
	TraceStore
}

// Directory is the view of clients, resources and roles that requests use; it
// is refreshed before anything is decided on it. Implemented by
// *store.Directory.
type Directory interface {
	Refresh(ctx context.Context) error
	Client(id string) (*idp.Client, bool)
	Clients() []*idp.Client
	Resources() []*idp.Resource
	Roles() []idp.Role
	SignInPolicy() idp.SignInPolicy
	TokensValidAfter() time.Time
}

// Secrets turns a client secret into what is kept of it. Implemented by
// *tokens.Master.
type Secrets interface {
	HashSecret(secret string) string
	SealSecret(clientID string, id idp.ID, secret idp.Secret) ([]byte, error)
}

// Hasher checks a new password and turns it into what is kept of it.
// Implemented by *users.Hasher.
type Hasher interface {
	// CheckImported returns a hash of another system if it can be kept.
	CheckImported(encoded idp.Secret) (string, error)
	HashNew(ctx context.Context, person idp.User, password idp.Secret) (string, error)
}

// Config is what a Service needs.
type Config struct {
	Store     Store
	Directory Directory
	Secrets   Secrets
	Hasher    Hasher
	Issuer    string

	Attributes Attributes

	Letters Letters
	Invites bool // people may come to accounts by invitations

	ClientKeys  ClientKeys
	SigningKeys SigningKeys
	// Actor is who changes things when no request does, e.g. "command".
	Actor string
	Now   func() time.Time
}

// Service does what an operator asks. Its methods return *idp.InvalidError
// (several, joined), idp.ErrNotFound, idp.ErrConflict for what is taken, still
// in use or changed at the same time, and idp.ErrUnavailable.
type Service struct {
	store     Store
	directory Directory
	secrets   Secrets
	hasher    Hasher
	issuer    string

	attributes Attributes
	actor      string
	authority  idp.Authority
	clock      func() time.Time

	letters Letters
	invites bool

	clientKeys  ClientKeys
	signingKeys SigningKeys
}

// New returns a Service.
func New(cfg Config) *Service {
	return &Service{
		store: cfg.Store, directory: cfg.Directory, secrets: cfg.Secrets, hasher: cfg.Hasher,
		issuer: cfg.Issuer, actor: cfg.Actor, clock: cfg.Now,
		attributes: cfg.Attributes, letters: cfg.Letters, invites: cfg.Invites, clientKeys: cfg.ClientKeys, signingKeys: cfg.SigningKeys,
	}
}

func (s *Service) now() time.Time { return idp.Instant(s.clock()) }

// after is the time of a change to what was changed last at seen: two changes are
// never of one instant.
func (s *Service) after(seen time.Time) time.Time {
	now := s.now()
	if !now.After(seen) {
		now = seen.Add(time.Microsecond)
	}
	return now
}

// newID returns a time-ordered identifier.
func newID(at time.Time) idp.ID {
	var random idp.ID
	_, _ = rand.Read(random[:]) // never fails: crypto/rand
	return idp.TimeOrderedID(at, random)
}

// event says that target was changed, by whom, and which fields; values never.
func (s *Service) event(ctx context.Context, at time.Time, kind idp.EventKind, target string, fields ...string) idp.Event {
	request := idp.RequestFrom(ctx)
	actor := request.Subject
	if actor == "" {
		actor = request.ClientID
	}
	if actor == "" {
		actor = s.actor
	}
	detail := map[string]string{"target": target}
	if actor != "" {
		detail["actor"] = actor
	}
	if len(fields) > 0 {
		detail["fields"] = strings.Join(fields, " ")
	}
	e := idp.Event{ID: newID(at), At: at, Kind: kind, RequestID: request.ID, RemoteAddr: request.RemoteAddr, Detail: detail}
	switch noun, _, _ := strings.Cut(string(kind), "."); noun {
	case "client":
		e.ClientID = target
	case "user":
		e.UserID = target
	}
	return e
}

// with adds one fact to the event's detail.
func with(e idp.Event, name, value string) idp.Event {
	e.Detail[name] = value
	return e
}

// changedFields returns the sorted names of the fields in which the JSON forms
// of two values differ.
func changedFields(before, after any) []string {
	a, b := fieldsOf(before), fieldsOf(after)
	var names []string
	for name, value := range a {
		if other, ok := b[name]; !ok || string(other) != string(value) {
			names = append(names, name)
		}
	}
	for name := range maps.Keys(b) {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func fieldsOf(v any) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, &fields)
	}
	if err != nil {
		panic("admin: a noun without a JSON form: " + err.Error())
	}
	return fields
}
