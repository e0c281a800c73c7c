package tokens

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"idp/internal/idp"
)

// KeyStore keeps the signing keys. Implemented by *store.Store.
type KeyStore interface {
	Keys(ctx context.Context) ([]idp.Key, error)
	// InsertFirstKeys fails with idp.ErrConflict when there is any key.
	InsertFirstKeys(ctx context.Context, keys []idp.Key, events ...idp.Event) error
	InsertKeys(ctx context.Context, keys []idp.Key, events ...idp.Event) error
	RetireKey(ctx context.Context, kid string, at time.Time, event idp.Event) error
}

const (
	// rotationMargin is added to the JWKS max-age before a new key signs:
	// clocks differ, and caches serve a little longer than they say.
	rotationMargin = 10 * time.Minute
	// firstKeyAge is how far back the first key of an algorithm starts to
	// sign, so that nodes whose clocks are behind use it at once.
	firstKeyAge = time.Minute
)

// KeyringConfig is what a Keyring needs. Durations that are zero get their
// defaults.
type KeyringConfig struct {
	Issuer string // iss of every token, and the only one accepted
	Master *Master
	Store  KeyStore
	Now    func() time.Time

	PublishAhead time.Duration // how long a scheduled key is published before it signs; 24 hours
	RotateEvery  time.Duration // how long a key signs; 30 days
	// Retain is how long a superseded key stays published: the longest life
	// of a token plus JWKSMaxAge; 24 hours.
	Retain time.Duration
	// JWKSMaxAge is how long others may cache the key set; 15 minutes.
	JWKSMaxAge time.Duration

	Signed func(alg string, took time.Duration) // hears of every signature; may be nil
	Logger *slog.Logger                         // nil for none
}

// Keyring signs and verifies tokens with keys that all live in memory. Its
// methods may be called from many goroutines.
type Keyring struct {
	cfg      KeyringConfig
	changing sync.Mutex // one change or reload at a time
	snapshot atomic.Pointer[snapshot]
}

// NewKeyring returns a keyring without keys; call Start.
func NewKeyring(cfg KeyringConfig) *Keyring {
	orDefault := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	orDefault(&cfg.PublishAhead, 24*time.Hour)
	orDefault(&cfg.RotateEvery, 30*24*time.Hour)
	orDefault(&cfg.Retain, 24*time.Hour)
	orDefault(&cfg.JWKSMaxAge, 15*time.Minute)
	cfg.PublishAhead = max(cfg.PublishAhead, cfg.JWKSMaxAge+rotationMargin)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Keyring{cfg: cfg}
	k.snapshot.Store(newSnapshot(nil, nil, cfg.Now(), cfg.Retain))
	return k
}

// Start loads the keys, and makes the first ES256 and RS256 keys when there
// are none at all. Every key must unseal: with the wrong master key it fails,
// naming the key, and has written nothing.
func (k *Keyring) Start(ctx context.Context) error {
	rows, err := k.cfg.Store.Keys(ctx)
	if err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	if len(rows) == 0 {
		keys, events, err := k.generate(ctx, []string{idp.AlgES256, idp.AlgRS256}, "first start", func(string, time.Time) time.Time { return time.Time{} })
		if err != nil {
			return err
		}
		// On a conflict another node was first: its keys are as good.
		err = k.cfg.Store.InsertFirstKeys(ctx, keys, events...)
		if err != nil && !errors.Is(err, idp.ErrConflict) {
			return fmt.Errorf("store the first signing keys: %w", err)
		}
	}
	return k.Reload(ctx)
}

// Reload reads the keys again. When one of them does not unseal, it fails and
// the keyring goes on with what it had.
func (k *Keyring) Reload(ctx context.Context) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	return k.reload(ctx)
}

func (k *Keyring) reload(ctx context.Context) error {
	rows, err := k.cfg.Store.Keys(ctx)
	if err != nil {
		return fmt.Errorf("load signing keys: %w", err)
	}
	known := k.snapshot.Load().keys
	keys := make(map[string]*signingKey, len(rows))
	for _, row := range rows {
		if !row.RetiredAt.IsZero() {
			continue // never used again, so nothing hangs on whether it opens
		}
		if key := known[row.KID]; key != nil && key.sameRow(row) {
			keys[row.KID] = key
			continue
		}
		key, err := openKey(k.cfg.Master, row)
		if err != nil {
			return err
		}
		keys[row.KID] = key
	}
	k.snapshot.Store(newSnapshot(rows, keys, k.cfg.Now(), k.cfg.Retain))
	return nil
}

// Maintain makes the successor of every active key that is due, PublishAhead
// before it is to sign. Called again, it makes nothing. The caller sees to it
// that one node does this at a time.
func (k *Keyring) Maintain(ctx context.Context) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	if err := k.reload(ctx); err != nil {
		return err
	}
	s, now := k.current()
	start := map[string]time.Time{}
	for _, key := range s.states {
		if key.State == idp.KeyActive && !now.Before(key.ActiveFrom.Add(k.cfg.RotateEvery-k.cfg.PublishAhead)) {
			start[key.Alg] = latest(key.ActiveFrom.Add(k.cfg.RotateEvery), now.Add(k.cfg.JWKSMaxAge+rotationMargin))
		}
	}
	for _, key := range s.states {
		if key.State == idp.KeyNext {
			delete(start, key.Alg)
		}
	}
	if len(start) == 0 {
		return nil
	}
	var due []string
	for _, alg := range keyAlgorithms() {
		if _, ok := start[alg]; ok {
			due = append(due, alg)
		}
	}
	_, err := k.create(ctx, due, "scheduled", func(alg string, _ time.Time) time.Time { return start[alg] })
	return err
}

// Rotate makes a new key for the algorithm, or for every one in use when alg
// is empty. It signs as soon as nobody can have a key set without it, or at
// once when immediately: verifiers that do not fetch the set again for a key
// they do not know will then refuse tokens until their cache is over. The old
// keys stay published; after a leak, retire them too. An event for every key
// is stored with it, and those given. The keys are returned without their
// private halves.
func (k *Keyring) Rotate(ctx context.Context, alg string, immediately bool, events ...idp.Event) ([]idp.Key, error) {
	k.changing.Lock()
	defer k.changing.Unlock()
	if err := k.reload(ctx); err != nil {
		return nil, err
	}
	s, _ := k.current()
	algs := []string{alg}
	if alg == "" {
		algs = s.algorithms()
	}
	reason := "rotated"
	if immediately {
		reason = "rotated at once"
	}
	return k.create(ctx, algs, reason, func(alg string, now time.Time) time.Time {
		if s.signers[alg] == nil {
			return time.Time{}
		}
		from := now
		if !immediately {
			from = now.Add(k.cfg.JWKSMaxAge + rotationMargin)
		}
		// Of two keys that start together, their names would decide.
		for slices.ContainsFunc(s.states, func(key idp.StatedKey) bool { return key.Alg == alg && key.ActiveFrom.Equal(from) }) {
			from = from.Add(time.Microsecond)
		}
		return from
	}, events...)
}

// Ensure makes a key for each of the algorithms that has none, to sign at
// once: call it before a client or a resource is registered with them.
func (k *Keyring) Ensure(ctx context.Context, algs ...string) error {
	missing := func() []string {
		s, _ := k.current()
		return slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(algs))), func(alg string) bool {
			return alg == "" || s.signers[alg] != nil
		})
	}
	if len(missing()) == 0 {
		return nil
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	if err := k.reload(ctx); err != nil {
		return err
	}
	lacking := missing()
	if len(lacking) == 0 {
		return nil
	}
	_, err := k.create(ctx, lacking, "registered", func(string, time.Time) time.Time { return time.Time{} })
	return err
}

// Retire takes a key out of the set for good: what it signed is refused from
// now on. Retiring a key twice changes nothing. It fails with idp.ErrNotFound
// for an unknown key, and with idp.ErrConflict for the one that signs: rotate
// first.
func (k *Keyring) Retire(ctx context.Context, kid string) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	if err := k.reload(ctx); err != nil {
		return err
	}
	s, now := k.current()
	i := slices.IndexFunc(s.states, func(key idp.StatedKey) bool { return key.KID == kid })
	if i < 0 {
		return fmt.Errorf("signing key %q: %w", kid, idp.ErrNotFound)
	}
	key := s.states[i]
	if !key.RetiredAt.IsZero() {
		return nil
	}
	if signer := s.signers[key.Alg]; signer != nil && signer.row.KID == kid {
		return fmt.Errorf("signing key %s is the only active key for %s: rotate it immediately, then retire it: %w", kid, key.Alg, idp.ErrConflict)
	}
	at := idp.Instant(now)
	if err := k.cfg.Store.RetireKey(ctx, kid, at, event(ctx, idp.EventKeyRetired, at, kid, key.Alg, "retired")); err != nil {
		return fmt.Errorf("retire signing key %s: %w", kid, err)
	}
	k.cfg.Logger.InfoContext(ctx, "signing key retired", "kid", kid, "alg", key.Alg)
	return k.reload(ctx)
}

// JWKS returns the published key set (RFC 7517 section 5) and its strong
// entity tag. Nobody may change the bytes: they are shared.
func (k *Keyring) JWKS() (body []byte, etag string) {
	s, _ := k.current()
	return s.jwks, s.etag
}

// States returns every key with its state now, without private halves,
// ordered by algorithm and then by when it starts to sign.
func (k *Keyring) States() []idp.StatedKey {
	s, _ := k.current()
	states := slices.Clone(s.states)
	for i := range states {
		states[i].SealedPrivate = nil
	}
	return states
}

// create makes one key for each algorithm and stores them.
func (k *Keyring) create(ctx context.Context, algs []string, reason string, activeFrom func(alg string, now time.Time) time.Time, more ...idp.Event) ([]idp.Key, error) {
	keys, events, err := k.generate(ctx, algs, reason, activeFrom)
	if err != nil {
		return nil, err
	}
	if err := k.cfg.Store.InsertKeys(ctx, keys, append(events, more...)...); err != nil {
		return nil, fmt.Errorf("store signing keys: %w", err)
	}
	for i := range keys {
		k.cfg.Logger.InfoContext(ctx, "signing key created", "kid", keys[i].KID, "alg", keys[i].Alg, "active_from", keys[i].ActiveFrom, "reason", reason)
	}
	if err := k.reload(ctx); err != nil {
		return nil, err
	}
	for i := range keys {
		keys[i].SealedPrivate = nil
	}
	return keys, nil
}

// generate makes keys and the events that tell of them. A zero activeFrom is
// for the first key of an algorithm, which has nobody to wait for.
func (k *Keyring) generate(ctx context.Context, algs []string, reason string, activeFrom func(alg string, now time.Time) time.Time) ([]idp.Key, []idp.Event, error) {
	now := idp.Instant(k.cfg.Now())
	var keys []idp.Key
	var events []idp.Event
	for _, alg := range algs {
		from := activeFrom(alg, now)
		if from.IsZero() {
			from = now.Add(-firstKeyAge)
		}
		key, err := generateKey(k.cfg.Master, alg, now, idp.Instant(from))
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, key)
		events = append(events, event(ctx, idp.EventKeyCreated, now, key.KID, alg, reason))
	}
	return keys, events, nil
}

// signer returns the key that signs with the algorithm now.
func (k *Keyring) signer(alg string) (*signingKey, error) {
	s, _ := k.current()
	if key := s.signers[alg]; key != nil && !isEncryption(alg) {
		return key, nil
	}
	return nil, fmt.Errorf("no key for %q: %w", alg, idp.ErrUnavailable)
}

// current returns the keys as they stand now, and the instant it looked at the
// clock. Keys change state by time alone, so a snapshot holds until the next
// boundary and is then derived again from what is in memory.
func (k *Keyring) current() (*snapshot, time.Time) {
	now := k.cfg.Now()
	s := k.snapshot.Load()
	if s.holds(now) {
		return s, now
	}
	fresh := newSnapshot(s.rows, s.keys, now, k.cfg.Retain)
	// A reload that got in between knows more; this caller is served anyway.
	k.snapshot.CompareAndSwap(s, fresh)
	return fresh, now
}

// snapshot is the keyring between two changes. Nothing in it ever changes.
type snapshot struct {
	rows        []idp.Key
	keys        map[string]*signingKey // by kid, all but those retired by hand
	from, until time.Time              // where it holds; zero for open ends

	states     []idp.StatedKey
	signers    map[string]*signingKey // by algorithm: those in use, of encryption too
	openers    []*signingKey          // what others may encrypt to
	accessKeys map[string]*signingKey // by encoded header
	hintKeys   map[string]*signingKey // by encoded header
	jwks       []byte
	etag       string
}

func newSnapshot(rows []idp.Key, keys map[string]*signingKey, now time.Time, retain time.Duration) *snapshot {
	s := &snapshot{
		rows: rows, keys: keys,
		states:     idp.KeyStates(rows, now, retain),
		signers:    map[string]*signingKey{},
		accessKeys: map[string]*signingKey{},
		hintKeys:   map[string]*signingKey{},
	}
	s.from, s.until = boundaries(rows, now, retain)
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, stated := range s.states {
		key := keys[stated.KID]
		if key == nil {
			continue
		}
		encryption := isEncryption(stated.Alg)
		if !encryption {
			// ID tokens come back as hints long after their keys were superseded.
			s.hintKeys[key.idHeader] = key
		}
		if stated.State == idp.KeyRetired {
			continue
		}
		if encryption {
			s.openers = append(s.openers, key)
		} else {
			s.accessKeys[key.accessHeader] = key
		}
		set.Keys = append(set.Keys, publicJWK(stated.Alg, stated.KID, key.public))
		// A key that is published already is better than none, should the
		// clock have been set back to before the active one began.
		if stated.State == idp.KeyActive || stated.State == idp.KeyNext && s.signers[stated.Alg] == nil {
			s.signers[stated.Alg] = key
		}
	}
	body, err := json.Marshal(set)
	if err != nil {
		panic("tokens: public keys that were read do not encode: " + err.Error())
	}
	sum := sha256.Sum256(body)
	s.jwks, s.etag = body, `"`+base64.RawURLEncoding.EncodeToString(sum[:16])+`"`
	return s
}

// boundaries returns the last instant up to now and the first after it at
// which some key may change its state.
func boundaries(rows []idp.Key, now time.Time, retain time.Duration) (from, until time.Time) {
	for _, row := range rows {
		for _, at := range []time.Time{row.ActiveFrom, row.ActiveFrom.Add(retain), row.RetiredAt} {
			switch {
			case at.IsZero():
			case at.After(now):
				if until.IsZero() || at.Before(until) {
					until = at
				}
			case at.After(from):
				from = at
			}
		}
	}
	return from, until
}

func (s *snapshot) holds(now time.Time) bool {
	return !now.Before(s.from) && (s.until.IsZero() || now.Before(s.until))
}

// algorithms lists the algorithms that there is a key for.
func (s *snapshot) algorithms() []string {
	return slices.DeleteFunc(keyAlgorithms(), func(alg string) bool { return s.signers[alg] == nil })
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// event tells of a key, and of whoever asked for the change.
func event(ctx context.Context, kind idp.EventKind, at time.Time, kid, alg, reason string) idp.Event {
	request := idp.RequestFrom(ctx)
	e := idp.Event{
		ID: eventID(at), At: at, Kind: kind,
		ClientID: request.ClientID, RequestID: request.ID, RemoteAddr: request.RemoteAddr,
		Detail: map[string]string{"target": kid, "alg": alg, "reason": reason},
	}
	if request.Subject != request.ClientID {
		e.UserID = request.Subject
	}
	if actor := cmp.Or(request.Subject, request.ClientID); actor != "" {
		e.Detail["actor"] = actor
	}
	return e
}

// eventID returns a time-ordered identifier (RFC 9562 section 5.7).
func eventID(at time.Time) idp.ID {
	var id idp.ID
	rand.Read(id[6:])
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}
