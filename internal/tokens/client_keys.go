package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"idp/internal/idp"
)

const (
	// keySetFresh is how long a fetched key set is used without asking again: a
	// key that a client withdraws works no longer than this.
	keySetFresh = time.Minute
	// keySetStale is how long one is used while the client's host fails.
	keySetStale = 10 * time.Minute
	// keySetForced is how often an unknown key makes the set be read again
	// before it is a minute old.
	keySetForced = time.Minute
	// keySetIdle is how long a set that nobody asks for is kept.
	keySetIdle = time.Hour
)

// Documents reads what clients registered by its address. Accept judges the
// document; what it refuses fails as if it were not there. Implemented by
// *outbound.Fetcher.
type Documents interface {
	Read(ctx context.Context, address string, accept func(body []byte) error) error
}

// ClientKeysConfig is what ClientKeys needs.
type ClientKeysConfig struct {
	Documents Documents
	Master    *Master // opens the secrets of client_secret_jwt
	Now       func() time.Time
	Logger    *slog.Logger
}

// ClientKeys verifies what clients sign and encrypts to them, with the keys
// that they registered as jwks or jwks_uri. Every client's keys are its own:
// nothing is looked up across clients. It may be used by many goroutines.
type ClientKeys struct {
	cfg ClientKeysConfig

	mu     sync.Mutex
	inline map[string]inlineKeys // by client_id
	remote map[string]*remoteKeys
	swept  time.Time
}

// inlineKeys are a registered set, parsed.
type inlineKeys struct {
	source string
	keys   []clientKey
}

// remoteKeys are the set behind one client's jwks_uri.
type remoteKeys struct {
	uri    string
	usedAt time.Time // when somebody asked last; guarded by ClientKeys.mu

	mu        sync.Mutex
	keys      []clientKey
	fetchedAt time.Time     // of keys; zero for none
	triedAt   time.Time     // of the last attempt, whatever came of it
	forcedAt  time.Time     // of the last attempt for an unknown key
	pending   chan struct{} // closed when the attempt under way is over
}

// NewClientKeys returns ClientKeys.
func NewClientKeys(cfg ClientKeysConfig) *ClientKeys {
	return &ClientKeys{cfg: cfg, inline: map[string]inlineKeys{}, remote: map[string]*remoteKeys{}}
}

// CheckKeySet says what is wrong with a key set that is to be registered. Every
// key must be public and strong; kinds that are not supported are let pass when
// there are others.
func (c *ClientKeys) CheckKeySet(set idp.JWKSet) error {
	keys, faults, err := parseKeySet(set)
	if err != nil {
		return err
	}
	for _, fault := range faults {
		if !errors.Is(fault, errForeignKey) {
			return fault
		}
	}
	if len(keys) == 0 {
		return errors.New("holds no key that is supported: RSA, EC on P-256, P-384 or P-521, or Ed25519")
	}
	return nil
}

// SignedJWT is a JWT whose signature by a client was verified; its claims were
// not.
type SignedJWT struct {
	Type   string // typ, as it was written
	Alg    string
	Claims map[string]json.RawMessage
}

// VerifySigned verifies the signature of a JWT that the client signed with one
// of its own keys and one of the algorithms. A fault of the JWT is
// idp.ErrMalformed. When the client's jwks_uri cannot be read and no older set
// is known, no key is known either.
func (c *ClientKeys) VerifySigned(ctx context.Context, client *idp.Client, raw string, algs []string) (SignedJWT, error) {
	jwt, header, err := parseClientJWT(raw, algs)
	if err != nil {
		return SignedJWT{}, err
	}
	asked := c.cfg.Now()
	if !verifyWithAny(jwt, header, c.keys(ctx, client, time.Time{})) {
		// A key that was not there before may be there now.
		if client.JWKSURI == "" || !verifyWithAny(jwt, header, c.keys(ctx, client, asked)) {
			return SignedJWT{}, malformed("no key of the client verifies the signature")
		}
	}
	return header.signed(jwt)
}

// clientHeader is the protected header of a JWT that a client made.
type clientHeader struct{ alg, kid, typ string }

// parseClientJWT reads a compact JWS whose signature is not known to be good
// yet: one spelling, an algorithm of the list, and nothing in its header that
// would have keys come from elsewhere.
func parseClientJWT(raw string, algs []string) (*jose.JSONWebSignature, clientHeader, error) {
	var h clientHeader
	segments, err := compactSegments(raw)
	if err != nil {
		return nil, h, err
	}
	r, err := readClaims(segments[0])
	if err != nil {
		return nil, h, err
	}
	for _, name := range []string{"jwk", "jku", "x5u", "crit", "b64"} {
		if _, ok := r.claims[name]; ok {
			return nil, h, malformed("a header parameter is not supported")
		}
	}
	h = clientHeader{alg: r.text("alg", true), kid: r.text("kid", false), typ: r.text("typ", false)}
	switch {
	case r.err != nil:
		return nil, h, r.err
	case !slices.Contains(algs, h.alg):
		return nil, h, malformed("signed with an algorithm that is not allowed")
	}
	jwt, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(h.alg)})
	if err != nil {
		return nil, h, malformed("not a JWS")
	}
	return jwt, h, nil
}

// compactSegments decodes the three segments of a compact JWS.
func compactSegments(raw string) ([3][]byte, error) {
	var out [3][]byte
	if len(raw) > maxTokenLength {
		return out, malformed("too long")
	}
	segments := strings.SplitN(raw, ".", 4)
	if len(segments) != len(out) {
		return out, malformed("not three segments")
	}
	for i, segment := range segments {
		var ok bool
		if out[i], ok = decodeSegment(segment); !ok {
			return out, malformed("not base64url")
		}
	}
	return out, nil
}

// signed returns the claims of a JWT that was verified.
func (h clientHeader) signed(jwt *jose.JSONWebSignature) (SignedJWT, error) {
	r, err := readClaims(jwt.UnsafePayloadWithoutVerification())
	if err != nil {
		return SignedJWT{}, err
	}
	return SignedJWT{Type: h.typ, Alg: h.alg, Claims: r.claims}, nil
}

// verifyWithAny checks the signature with the keys that fit: those of the kid,
// compared as it is written, or all when the header names none.
func verifyWithAny(jwt *jose.JSONWebSignature, h clientHeader, keys []clientKey) bool {
	tried := 0
	for i := range keys {
		k := &keys[i]
		if h.kid != "" && k.kid != h.kid || !k.serves(useSignature, h.alg) {
			continue
		}
		if tried++; tried > maxTriedKeys {
			return false
		}
		if _, err := jwt.Verify(k.public); err == nil {
			return true
		}
	}
	return false
}

// keys returns the client's keys as they are known now. Those behind an address
// are read again when they are a minute old, and, though not often, when they
// were last read before missedAt.
func (c *ClientKeys) keys(ctx context.Context, client *idp.Client, missedAt time.Time) []clientKey {
	if client.JWKSURI == "" {
		return c.inlineKeys(client)
	}
	e := c.remoteKeys(client)
	if pending := e.refresh(ctx, c, client.ClientID, missedAt); pending != nil {
		select {
		case <-pending:
		case <-ctx.Done():
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.cfg.Now().Sub(e.fetchedAt) > keySetStale {
		return nil
	}
	return e.keys
}

// refresh starts reading the set if that is due, and returns what to wait for:
// nil when what is there will do.
func (e *remoteKeys) refresh(ctx context.Context, c *ClientKeys, clientID string, missedAt time.Time) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := c.cfg.Now()
	missed := e.triedAt.Before(missedAt)
	if !missed && now.Sub(e.fetchedAt) < keySetFresh {
		return nil
	}
	if e.pending != nil {
		return e.pending
	}
	due := now.Sub(e.triedAt) >= keySetFresh
	if missed && now.Sub(e.forcedAt) >= keySetForced {
		due, e.forcedAt = true, now
	}
	if !due {
		return nil
	}
	e.triedAt, e.pending = now, make(chan struct{})
	go c.fetch(context.WithoutCancel(ctx), clientID, e)
	return e.pending
}

// fetch reads a key set again. Whoever waits for it shares its result.
func (c *ClientKeys) fetch(ctx context.Context, clientID string, e *remoteKeys) {
	var keys []clientKey
	err := c.cfg.Documents.Read(idp.WithErrand(ctx, clientID, "jwks_uri"), e.uri, func(body []byte) error {
		found, faults, err := parseKeySet(body)
		if err != nil {
			return err
		}
		for _, fault := range faults {
			c.cfg.Logger.WarnContext(ctx, "a key behind a jwks_uri is not used", "client_id", clientID, "cause", fault)
		}
		keys = found
		return nil
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.keys, e.fetchedAt = keys, c.cfg.Now()
	}
	close(e.pending)
	e.pending = nil
}

func (c *ClientKeys) inlineKeys(client *idp.Client) []clientKey {
	if len(client.JWKS) == 0 {
		return nil
	}
	c.mu.Lock()
	known := c.inline[client.ClientID]
	c.mu.Unlock()
	if known.source == string(client.JWKS) {
		return known.keys
	}
	keys, _, err := parseKeySet(client.JWKS)
	if err != nil {
		return nil // was refused when it was registered
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inline[client.ClientID] = inlineKeys{string(client.JWKS), keys}
	return keys
}

// remoteKeys finds the entry of a client's jwks_uri, and forgets those that
// nobody asks for any more.
func (c *ClientKeys) remoteKeys(client *idp.Client) *remoteKeys {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	if now.Sub(c.swept) > keySetIdle {
		c.swept = now
		for id, e := range c.remote {
			if now.Sub(e.usedAt) > keySetIdle {
				delete(c.remote, id)
			}
		}
	}
	e := c.remote[client.ClientID]
	if e == nil || e.uri != client.JWKSURI {
		e = &remoteKeys{uri: client.JWKSURI}
		c.remote[client.ClientID] = e
	}
	e.usedAt = now
	return e
}

// Encrypt encrypts to the client's key (OpenID Connect Core section 10.2): with
// its first key that is for encryption and fits the algorithm. A signed JWT
// becomes a nested one (RFC 7519 section 5.2). An empty enc is A128CBC-HS256. It fails
// with idp.ErrUnavailable when the client has no such key to be found.
func (c *ClientKeys) Encrypt(ctx context.Context, client *idp.Client, alg, enc, content string) (string, error) {
	if enc == "" {
		enc = idp.EncA128CBCHS256
	}
	if !slices.Contains(idp.EncryptionAlgorithms(), alg) || !slices.Contains(idp.ContentEncryptions(), enc) {
		return "", fmt.Errorf("encrypt with %q and %q: %w", alg, enc, errors.ErrUnsupported)
	}
	asked := c.cfg.Now()
	key, ok := encryptionKey(c.keys(ctx, client, time.Time{}), alg)
	if !ok {
		key, ok = encryptionKey(c.keys(ctx, client, asked), alg)
	}
	if !ok {
		return "", fmt.Errorf("client %s has no key for %s: %w", client.ClientID, alg, idp.ErrUnavailable)
	}
	options := &jose.EncrypterOptions{}
	if !strings.HasPrefix(content, "{") {
		options = options.WithContentType("JWT")
	}
	recipient := jose.Recipient{Algorithm: jose.KeyAlgorithm(alg), Key: key.public, KeyID: key.kid}
	encrypter, err := jose.NewEncrypter(jose.ContentEncryption(enc), recipient, options)
	if err != nil {
		return "", fmt.Errorf("encrypt to client %s: %w", client.ClientID, err)
	}
	jwe, err := encrypter.Encrypt([]byte(content))
	if err != nil {
		return "", fmt.Errorf("encrypt to client %s: %w", client.ClientID, err)
	}
	return jwe.CompactSerialize()
}

// encryptionKey prefers a key that says that it is for encryption.
func encryptionKey(keys []clientKey, alg string) (clientKey, bool) {
	for _, use := range []string{useEncryption, ""} {
		i := slices.IndexFunc(keys, func(k clientKey) bool { return k.use == use && k.serves(useEncryption, alg) })
		if i >= 0 {
			return keys[i], true
		}
	}
	return clientKey{}, false
}
