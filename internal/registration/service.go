package registration

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"idp/internal/idp"
)

// Store keeps registrations and the tokens that open them; implemented by
// *store.Store.
type Store interface {
	InitialToken(ctx context.Context, id idp.ID) (idp.InitialToken, error)
	Registration(ctx context.Context, clientID string) (idp.Registration, error)
	TouchRegistrations(ctx context.Context, clientIDs []string, at time.Time) error
	IdleRegistrations(ctx context.Context, before time.Time, limit int) ([]string, error)
}

// Admin checks clients and stores them; implemented by *admin.Service.
type Admin interface {
	RegisterClient(ctx context.Context, m idp.ClientMetadata, r idp.Registration) (idp.Client, idp.Secret, error)
	ChangeRegisteredClient(ctx context.Context, clientID string, m idp.ClientMetadata, from uint32) (idp.Client, idp.Secret, error)
	Client(ctx context.Context, clientID string) (idp.Client, error)
	DeleteClient(ctx context.Context, clientID string) error
}

// Directory knows the registered clients; implemented by *store.Directory.
type Directory interface {
	Client(clientID string) (*idp.Client, bool)
	Clients() []*idp.Client
}

// Opaque mints and checks opaque tokens; implemented by *tokens.Master.
type Opaque interface {
	MintOpaque(t idp.OpaqueToken, salt []byte) string
	ParseOpaque(kind idp.TokenKind, s string) (idp.OpaqueToken, error)
	VerifyOpaque(s string, salt []byte) bool
	VerifySecret(hash, presented string) bool
}

// Documents reads what clients registered by its address. What accept refuses
// fails as if it were not there. Implemented by *outbound.Fetcher.
type Documents interface {
	Read(ctx context.Context, address string, accept func(body []byte) error) error
}

// Statements verifies software statements; implemented by *tokens.ClientKeys.
type Statements interface {
	VerifySoftwareStatement(ctx context.Context, trusted []idp.StatementIssuer, algs []string, issuer, raw string) (map[string]json.RawMessage, error)
}

// Throttle counts attempts for all nodes together; implemented by *store.Store.
type Throttle interface {
	Take(ctx context.Context, key string, now time.Time, interval time.Duration, burst int) (retryAfter time.Duration, err error)
}

// Audit takes events that no other write carries; implemented by
// *audit.Recorder.
type Audit interface {
	Note(ctx context.Context, e idp.Event)
}

// Policy is what the operator allows clients that register themselves.
type Policy struct {
	Open            bool     // anybody may register; else an initial token is needed
	Scopes          []string // what they may ask for
	Audience        []string // the resources that those scopes belong to
	SecurityProfile string
	MaxClients      int           // how many there may be at once
	PerHour         int           // how many attempts one address has
	IdleLife        time.Duration // a client that gets no token for so long is deleted; 0 for never

	// MetadataDocuments makes clients known by the address of a document that
	// describes them; DocumentHosts limits whose, unless it is empty.
	MetadataDocuments bool
	DocumentHosts     []string

	Statements       string // one of the Statements… words
	StatementIssuers []idp.StatementIssuer
	StatementAlgs    []string
}

// What becomes of software statements.
const (
	StatementsOff      = "off"
	StatementsOptional = "optional"
	StatementsRequired = "required"
)

// Config is what a Service is made of; every field is needed.
type Config struct {
	Issuer        string
	Policy        Policy
	Store         Store
	Admin         Admin
	Directory     Directory
	Opaque        Opaque
	Documents     Documents
	Reader        DocumentReader
	DocumentAdmin DocumentAdmin
	Statements    Statements
	Throttle      Throttle
	Audit         Audit
	Now           func() time.Time
	Logger        *slog.Logger
}

// Service answers registration requests.
type Service struct {
	Config

	mu   sync.Mutex
	seen map[string]struct{} // clients that got tokens since the last Maintain

	documents map[string]*reading // by client_id
}

// New returns a Service.
func New(cfg Config) *Service {
	return &Service{Config: cfg, seen: map[string]struct{}{}, documents: map[string]*reading{}}
}

// path is where the endpoints are, relative to the issuer.
const path = "/oauth2/register"

func (s *Service) now() time.Time { return idp.Instant(s.Config.Now()) }

// Error is what a client is told (RFC 7591 section 3.2.2, RFC 6750 section 3.1).
type Error struct {
	Status      int
	Code        string
	Description string
	RetryAfter  int // seconds; 0 for none
	cause       error
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code + ": " + e.Description + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Description
}

func (e *Error) Unwrap() error { return e.cause }

func invalidMetadata(description string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "invalid_client_metadata", Description: description}
}

func unauthorized(cause string) *Error {
	return &Error{
		Status: http.StatusUnauthorized, Code: "invalid_token", Description: "a registration token that is good for this is needed",
		cause: errors.New(cause),
	}
}

// toError maps whatever went wrong to what the client is told.
func toError(err error) *Error {
	var own *Error
	var invalid *idp.InvalidError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &invalid):
		code := "invalid_client_metadata"
		if invalid.Field == "redirect_uris" {
			code = "invalid_redirect_uri"
		}
		return &Error{Status: http.StatusBadRequest, Code: code, Description: plain(invalid.Error())}
	case errors.Is(err, idp.ErrUnavailable):
		return &Error{
			Status: http.StatusServiceUnavailable, Code: "temporarily_unavailable",
			Description: "the server cannot answer just now; try again", RetryAfter: 1, cause: err,
		}
	case errors.Is(err, idp.ErrAlreadyUsed), errors.Is(err, idp.ErrNotFound):
		return unauthorized(err.Error())
	}
	return &Error{Status: http.StatusInternalServerError, Code: "server_error", Description: "something went wrong here", cause: err}
}

// plain keeps the characters that error_description may hold (RFC 6749 section
// 5.2), and not too many of them.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < 0x20 || r > 0x7e:
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), 300)]
}

func (s *Service) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := toError(err)
	record := idp.RequestFrom(r.Context())
	record.Outcome, record.Cause = e.Code, e
	h := w.Header()
	if e.Status == http.StatusUnauthorized {
		challenge := `Bearer realm="` + s.Issuer + `"`
		if r.Header.Get("Authorization") != "" {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	s.Audit.Note(r.Context(), idp.Event{
		Kind: idp.EventClientRefused, At: s.now(), ClientID: record.ClientID,
		Detail: map[string]string{"error": e.Code, "reason": e.Error()},
	})
	writeJSON(w, e.Status, map[string]string{"error": e.Code, "error_description": e.Description})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil { // only types of ours come here
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data)
}

// bearer returns the token of the Authorization header, the only place for it.
func bearer(r *http.Request) (string, bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// throttle counts one attempt of the address that asks.
func (s *Service) throttle(ctx context.Context) error {
	address := idp.RequestFrom(ctx).RemoteAddr
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() && !ip.Is4In6() {
		if network, err := ip.Prefix(64); err == nil { // what one household has
			address = network.String()
		}
	}
	wait, err := s.Throttle.Take(ctx, "register "+address, s.now(), time.Hour/time.Duration(s.Policy.PerHour), s.Policy.PerHour)
	if errors.Is(err, idp.ErrThrottled) {
		return &Error{
			Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Description: "too many registrations; wait before the next",
			RetryAfter: int(wait/time.Second) + 1, cause: err,
		}
	}
	return err
}

// Register answers POST /oauth2/register (RFC 7591 section 3).
func (s *Service) Register(w http.ResponseWriter, r *http.Request) {
	answer, err := s.register(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, answer)
}

func (s *Service) register(r *http.Request) (map[string]any, error) {
	ctx := r.Context()
	// 1. Not too often, and not by just anybody.
	if err := s.throttle(ctx); err != nil {
		return nil, err
	}
	initial, err := s.initialToken(r)
	if err != nil {
		return nil, err
	}
	if s.selfRegistered() >= s.Policy.MaxClients {
		return nil, &Error{Status: http.StatusTooManyRequests, Code: "temporarily_unavailable", Description: "no more clients can register just now", RetryAfter: 3600}
	}
	// 2. Read, and put the policy over it.
	in, err := s.read(r)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, "", &in.metadata); err != nil {
		return nil, err
	}
	in.metadata.Verified = initial.Generation == idp.Vouching
	// 3. Check everything, and store it.
	registration := idp.Registration{ID: newID(), Salt: make([]byte, 16), Generation: 1, Initial: initial.ID}
	_, _ = rand.Read(registration.Salt)
	c, secret, err := s.Admin.RegisterClient(ctx, in.metadata, registration)
	if err != nil {
		return nil, err
	}
	idp.RequestFrom(ctx).ClientID = c.ClientID
	return s.view(c, secret, registration), nil
}

func newID() (id idp.ID) {
	_, _ = rand.Read(id[:]) // never fails: crypto/rand
	return id
}

// initialToken returns the token that the request came with, zero for none
// where none is needed. That it has a use left is decided when it is used.
func (s *Service) initialToken(r *http.Request) (idp.OpaqueToken, error) {
	none := idp.OpaqueToken{}
	if len(r.Header.Values("Authorization")) == 0 && s.Policy.Open {
		return none, nil
	}
	raw, ok := bearer(r)
	if !ok {
		return none, unauthorized("no bearer token")
	}
	t, err := s.Opaque.ParseOpaque(idp.KindInitial, raw)
	if err != nil {
		return none, unauthorized("not a registration token")
	}
	kept, err := s.Store.InitialToken(r.Context(), t.ID)
	switch {
	case errors.Is(err, idp.ErrUnavailable):
		return none, err
	case err != nil || !s.Opaque.VerifyOpaque(raw, kept.Salt):
		return none, unauthorized("unknown registration token")
	case kept.Uses <= 0 || !s.now().Before(kept.ExpiresAt):
		return none, unauthorized("spent or expired registration token")
	}
	return t, nil
}

func (s *Service) selfRegistered() (n int) {
	for _, c := range s.Directory.Clients() {
		if c.SelfRegistered {
			n++
		}
	}
	return n
}

// read takes the body of a registration request; the server has bounded it.
func (s *Service) read(r *http.Request) (input, error) {
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), "application/json") {
		return input{}, invalidMetadata("the content type must be application/json")
	}
	var body json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return input{}, invalidMetadata("the body must be one JSON object")
	}
	fields, refusal := readFields(body)
	if refusal != nil {
		return input{}, refusal
	}
	if err := s.attested(r.Context(), fields); err != nil {
		return input{}, err
	}
	in, refusal := readInput(fields)
	if refusal != nil {
		return input{}, refusal
	}
	return in, nil
}

// prepare applies the policy and reads the sector document. A client that
// registers only now has no name yet.
func (s *Service) prepare(ctx context.Context, clientID string, m *idp.ClientMetadata) error {
	if refusal := s.policy(m); refusal != nil {
		return refusal
	}
	if m.SectorIdentifierURI != "" {
		if !strings.HasPrefix(m.SectorIdentifierURI, "https://") {
			return invalidMetadata("sector_identifier_uri: the scheme must be https")
		}
		err := s.Documents.Read(idp.WithErrand(ctx, clientID, "sector_identifier_uri"), m.SectorIdentifierURI, func(body []byte) error { return sectorFault(body, m.RedirectURIs) })
		if err != nil {
			return invalidMetadata("sector_identifier_uri: no list that holds all redirect_uris can be read there")
		}
	}
	return nil
}

// view is the answer of RFC 7591 section 3.2.1. A secret that was not made just
// now cannot be told.
func (s *Service) view(c idp.Client, secret idp.Secret, r idp.Registration) map[string]any {
	fields := map[string]json.RawMessage{}
	if raw, err := json.Marshal(c.ClientMetadata); err == nil {
		_ = json.Unmarshal(raw, &fields)
	}
	view := map[string]any{
		"client_id":                 c.ClientID,
		"client_id_issued_at":       c.CreatedAt.Unix(),
		"registration_client_uri":   s.Issuer + path + "/" + c.ClientID,
		"registration_access_token": s.Opaque.MintOpaque(idp.OpaqueToken{Kind: idp.KindRegistration, ID: r.ID, Generation: r.Generation}, r.Salt),
	}
	for _, name := range clientFields {
		if raw, ok := fields[name]; ok {
			view[name] = raw
		}
	}
	if secret != "" {
		view["client_secret"] = secret.Reveal()
		view["client_secret_expires_at"] = 0 // never
	}
	return view
}

// Manage answers GET, PUT and DELETE /oauth2/register/{client_id} (RFC 7592
// section 2).
func (s *Service) Manage(w http.ResponseWriter, r *http.Request) {
	status, answer, err := s.manage(r)
	switch {
	case err != nil:
		s.fail(w, r, err)
	case answer == nil:
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
	default:
		writeJSON(w, status, answer)
	}
}

func (s *Service) manage(r *http.Request) (int, map[string]any, error) {
	ctx := r.Context()
	clientID := strings.TrimPrefix(r.URL.Path, path+"/")
	registration, err := s.registration(r, clientID)
	if err != nil {
		return 0, nil, err
	}
	c, err := s.Admin.Client(ctx, clientID)
	if err != nil {
		return 0, nil, err
	}
	idp.RequestFrom(ctx).ClientID = clientID
	if c.Disabled {
		return 0, nil, &Error{Status: http.StatusForbidden, Code: "access_denied", Description: "the client is disabled"}
	}
	switch r.Method {
	case http.MethodPut:
		answer, err := s.change(r, c, registration)
		return http.StatusOK, answer, err
	case http.MethodDelete:
		return http.StatusNoContent, nil, s.Admin.DeleteClient(ctx, clientID)
	}
	return http.StatusOK, s.view(c, "", registration), nil
}

// registration returns what is kept of the client if the request carries its
// registration access token. An unknown client and a wrong token look the same
// (RFC 7592 section 2).
func (s *Service) registration(r *http.Request, clientID string) (idp.Registration, error) {
	raw, ok := bearer(r)
	if !ok {
		return idp.Registration{}, unauthorized("no bearer token")
	}
	t, err := s.Opaque.ParseOpaque(idp.KindRegistration, raw)
	if err != nil {
		return idp.Registration{}, unauthorized("not a registration access token")
	}
	kept, err := s.Store.Registration(r.Context(), clientID)
	switch {
	case errors.Is(err, idp.ErrUnavailable):
		return idp.Registration{}, err
	case err != nil:
		return idp.Registration{}, unauthorized("the client did not register itself")
	case t.ID != kept.ID || !s.Opaque.VerifyOpaque(raw, kept.Salt):
		return idp.Registration{}, unauthorized("registration access token of another client")
	case t.Generation != kept.Generation:
		return idp.Registration{}, unauthorized("registration access token of before the last change")
	}
	return kept, nil
}

// change replaces the client's metadata (RFC 7592 section 2.2).
func (s *Service) change(r *http.Request, c idp.Client, registration idp.Registration) (map[string]any, error) {
	in, err := s.read(r)
	if err != nil {
		return nil, err
	}
	if in.clientID != c.ClientID {
		return nil, &Error{Status: http.StatusForbidden, Code: "access_denied", Description: "client_id is missing or another one than the token is for"}
	}
	if in.clientSecret != "" && !s.secretOf(c, in.clientSecret) {
		return nil, invalidMetadata("client_secret is not the one that was issued")
	}
	metadata, err := in.over(c.ClientMetadata)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(r.Context(), c.ClientID, &metadata); err != nil {
		return nil, err
	}
	if presentsItselfAnew(c.ClientMetadata, metadata) {
		metadata.Verified = false // who vouched saw another one
	}
	changed, secret, err := s.Admin.ChangeRegisteredClient(r.Context(), c.ClientID, metadata, registration.Generation)
	if err != nil {
		return nil, err
	}
	registration.Generation++
	return s.view(changed, secret, registration), nil
}

func (s *Service) secretOf(c idp.Client, presented string) bool {
	if len(presented) > 512 {
		return false
	}
	matched := false
	for _, secret := range c.Secrets {
		matched = s.Opaque.VerifySecret(secret.Hash, presented) || matched
	}
	return matched
}

// Seen notes that the client got a token. It is cheap.
func (s *Service) Seen(clientID string) {
	if c, ok := s.Directory.Client(clientID); !ok || !c.SelfRegistered {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[clientID] = struct{}{}
}

const (
	touchedAtOnce = 500 // clients noted in one batch
	idleAtOnce    = 100 // idle clients that one Maintain deletes
)

// Maintain writes down which clients are in use, and deletes those that were
// not for the policy's idle life. Every node calls it now and then.
func (s *Service) Maintain(ctx context.Context) error {
	s.mu.Lock()
	seen := slices.Sorted(maps.Keys(s.seen))
	clear(s.seen)
	s.mu.Unlock()
	for some := range slices.Chunk(seen, touchedAtOnce) {
		if err := s.Store.TouchRegistrations(ctx, some, s.now()); err != nil {
			s.mu.Lock()
			for _, id := range seen {
				s.seen[id] = struct{}{}
			}
			s.mu.Unlock()
			return fmt.Errorf("registration: note clients in use: %w", err)
		}
	}
	if s.Policy.IdleLife <= 0 {
		return nil
	}
	idle, err := s.Store.IdleRegistrations(ctx, s.now().Add(-s.Policy.IdleLife), idleAtOnce)
	if err != nil {
		return fmt.Errorf("registration: find idle clients: %w", err)
	}
	for _, id := range idle {
		if err := s.Admin.DeleteClient(ctx, id); err != nil && !errors.Is(err, idp.ErrNotFound) {
			return fmt.Errorf("registration: delete an idle client: %w", err)
		}
		s.Logger.InfoContext(ctx, "deleted a client that registered itself and was not used", "client_id", id)
	}
	return nil
}
