package tokens_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"idp/internal/idp"
	"idp/internal/tokens"
)

// shelf serves documents by their address, as the fetcher does.
type shelf struct {
	mu    sync.Mutex
	docs  map[string]string
	reads atomic.Int32
	wait  chan struct{} // nil, or what a read waits for
}

func (s *shelf) Read(_ context.Context, address string, accept func([]byte) error) error {
	s.reads.Add(1)
	if s.wait != nil {
		<-s.wait
	}
	s.mu.Lock()
	doc, ok := s.docs[address]
	s.mu.Unlock()
	if !ok {
		return errors.New("unreachable")
	}
	return accept([]byte(doc))
}

func (s *shelf) put(address, doc string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if doc == "" {
		delete(s.docs, address)
		return
	}
	s.docs[address] = doc
}

func newShelf() (*shelf, *clock, *tokens.ClientKeys) {
	docs, at := &shelf{docs: map[string]string{}}, &clock{at: epoch}
	return docs, at, tokens.NewClientKeys(tokens.ClientKeysConfig{Documents: docs, Now: at.Now, Logger: slog.New(slog.DiscardHandler)})
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func jwkOf(key crypto.Signer, kid, use string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: use}
}

func setOf(t testing.TB, keys ...jose.JSONWebKey) string {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func jwtBy(t testing.TB, key crypto.Signer, kid string) string {
	header := `{"alg":"ES256"}`
	if kid != "" {
		header = fmt.Sprintf(`{"alg":"ES256","kid":%q}`, kid)
	}
	return forge(t, key, idp.AlgES256, header, `{"hello":"world"}`)
}

func remoteClient(id, uri string) *idp.Client {
	return &idp.Client{ClientID: id, ClientMetadata: idp.ClientMetadata{JWKSURI: uri, TokenEndpointAuthMethod: idp.AuthPrivateKeyJWT}}
}

func inlineClient(id, set string) *idp.Client {
	return &idp.Client{ClientID: id, ClientMetadata: idp.ClientMetadata{JWKS: idp.JWKSet(set), TokenEndpointAuthMethod: idp.AuthPrivateKeyJWT}}
}

var es256 = []string{idp.AlgES256}

func verifiesBy(k *tokens.ClientKeys, c *idp.Client, raw string) bool {
	_, err := k.VerifySigned(context.Background(), c, raw, es256)
	return err == nil
}

// A set is read again after a minute, or for an unknown key once a minute.
func TestRemoteKeysAreReadAgain(t *testing.T) {
	t.Parallel()
	docs, clock, keys := newShelf()
	c := remoteClient("web", "https://web.example/jwks")
	a, b := ecKey(t), ecKey(t)
	docs.put(c.JWKSURI, setOf(t, jwkOf(a, "a", "sig")))
	expect := func(step string, key crypto.Signer, kid string, good bool, reads int32) {
		t.Helper()
		if got := verifiesBy(keys, c, jwtBy(t, key, kid)); got != good {
			t.Errorf("%s: verifies: %v, want %v", step, got, good)
		}
		if got := docs.reads.Load(); got != reads {
			t.Errorf("%s: %d reads, want %d", step, got, reads)
		}
	}
	expect("first use", a, "a", true, 1)
	clock.Advance(30 * time.Second)
	expect("still fresh", a, "a", true, 1)
	docs.put(c.JWKSURI, setOf(t, jwkOf(b, "b", "sig")))
	expect("the old key is known", a, "a", true, 1)
	expect("an unknown key", b, "b", true, 2)
	expect("and the old one is gone", a, "a", false, 2)
	clock.Advance(20 * time.Second)
	expect("no second time within a minute", a, "a", false, 2)
	clock.Advance(40 * time.Second)
	docs.put(c.JWKSURI, setOf(t, jwkOf(a, "a", "sig")))
	expect("a minute later, withdrawn keys die by themselves", b, "b", false, 3)

	// The host fails: what was read last goes on for a while.
	docs.put(c.JWKSURI, "")
	clock.Advance(5 * time.Minute)
	expect("away", a, "a", true, 4)
	expect("not asked again at once", a, "a", true, 4)
	clock.Advance(6 * time.Minute)
	expect("away for too long", a, "a", false, 5)
	docs.put(c.JWKSURI, setOf(t, jwkOf(a, "a", "sig")))
	clock.Advance(time.Minute)
	expect("back", a, "a", true, 6)
	docs.put(c.JWKSURI, "<html>")
	clock.Advance(time.Minute)
	expect("nonsense is as good as nothing", a, "a", true, 7)
}

// Many requests share one read, and other clients do not wait for it.
func TestRemoteKeysAreReadOnce(t *testing.T) {
	t.Parallel()
	docs, _, keys := newShelf()
	slow, key := remoteClient("slow", "https://slow.example/jwks"), ecKey(t)
	docs.put(slow.JWKSURI, setOf(t, jwkOf(key, "a", "sig")))
	docs.wait = make(chan struct{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if !verifiesBy(keys, slow, jwtBy(t, key, "a")) {
				t.Error("refused")
			}
		})
	}
	if !verifiesBy(keys, inlineClient("quick", setOf(t, jwkOf(key, "a", "sig"))), jwtBy(t, key, "a")) {
		t.Error("the other client is refused")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := keys.VerifySigned(gone, slow, jwtBy(t, key, "a"), es256); !errors.Is(err, idp.ErrMalformed) {
		t.Errorf("who does not wait: %v", err)
	}
	close(docs.wait)
	all.Wait()
	if n := docs.reads.Load(); n != 1 {
		t.Errorf("%d reads", n)
	}
}

// Keys are found by kid in the client's own set, and nowhere else.
func TestAttack_G12_KeysAreTheClientsOwn(t *testing.T) {
	t.Parallel()
	_, _, keys := newShelf()
	a, b := ecKey(t), ecKey(t)
	one := inlineClient("one", setOf(t, jwkOf(a, "k", "sig"), jwkOf(b, "k", "")))
	other := inlineClient("other", setOf(t, jwkOf(ecKey(t), "k", "sig")))
	sealed := inlineClient("sealed", setOf(t, jwkOf(a, "k", "enc")))
	var many []jose.JSONWebKey
	for range 10 {
		many = append(many, jwkOf(ecKey(t), "", "sig"))
	}
	eleventh := inlineClient("many", setOf(t, append(many, jwkOf(a, "", "sig"))...))
	tenth := inlineClient("fewer", setOf(t, append(many[:9:9], jwkOf(a, "", "sig"))...))
	pinnedSet := strings.Replace(setOf(t, jwkOf(a, "k", "sig")), `"kid"`, `"alg":"ECDH-ES","kid"`, 1)
	pinned := inlineClient("pinned", pinnedSet)
	opsSet := strings.Replace(setOf(t, jwkOf(a, "k", "")), `"kid"`, `"key_ops":["deriveKey"],"kid"`, 1)
	for _, tc := range []struct {
		name   string
		client *idp.Client
		key    crypto.Signer
		kid    string
		good   bool
	}{
		{"first of a kid", one, a, "k", true},
		{"second of the same kid", one, b, "k", true},
		{"no kid", one, b, "", true},
		{"another kid", one, a, "K", false},
		{"another's key", other, a, "k", false},
		{"for encryption", sealed, a, "k", false},
		{"pinned to another algorithm", pinned, a, "k", false},
		{"for other operations", inlineClient("ops", opsSet), a, "k", false},
		{"the tenth", tenth, a, "", true},
		{"the eleventh", eleventh, a, "", false},
	} {
		if got := verifiesBy(keys, tc.client, jwtBy(t, tc.key, tc.kid)); got != tc.good {
			t.Errorf("%s: verifies: %v", tc.name, got)
		}
	}
	// A changed registration counts at once.
	changed := inlineClient("one", setOf(t, jwkOf(b, "k", "sig")))
	if verifiesBy(keys, changed, jwtBy(t, a, "k")) || !verifiesBy(keys, changed, jwtBy(t, b, "k")) {
		t.Error("the old set goes on")
	}
}

// Weak RSA keys are refused when they are registered, and not used when they
// turn up behind an address.
func TestAttack_G13_WeakRSAKeys(t *testing.T) {
	t.Parallel()
	docs, _, keys := newShelf()
	product := big.NewInt(2)
	for p := int64(3); p <= 167; p += 2 {
		if big.NewInt(p).ProbablyPrime(20) {
			product.Mul(product, big.NewInt(p))
		}
	}
	// 65537^5 is odd, so its residue modulo the even product is, too.
	infineon := new(big.Int).Exp(big.NewInt(65537), big.NewInt(5), product)
	infineon = fit(infineon, product)

	p, err := rand.Prime(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	q := new(big.Int).Add(p, big.NewInt(2))
	for !q.ProbablyPrime(5) {
		q.Add(q, big.NewInt(2))
	}
	good, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		key    *rsa.PublicKey
		reason string
	}{
		"good":                {&good.PublicKey, ""},
		"CVE-2017-15361":      {&rsa.PublicKey{N: infineon, E: 65537}, "CVE-2017-15361"},
		"close primes":        {&rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, "too close"},
		"a square":            {&rsa.PublicKey{N: new(big.Int).Mul(p, p), E: 65537}, "too close"},
		"exponent 3":          {&rsa.PublicKey{N: good.N, E: 3}, "exponent"},
		"a factor of 3":       {&rsa.PublicKey{N: new(big.Int).Mul(good.N, big.NewInt(3)), E: 65537}, "small factors"},
		"even":                {&rsa.PublicKey{N: new(big.Int).Lsh(good.N, 1), E: 65537}, "small factors"},
		"2040 bits":           {&rsa.PublicKey{N: new(big.Int).Rsh(good.N, 8), E: 65537}, "bits"},
		"more than 8192 bits": {&rsa.PublicKey{N: new(big.Int).Lsh(good.N, 7000), E: 65537}, "key 1 is not"},
	} {
		set := setOf(t, jose.JSONWebKey{Key: tc.key, KeyID: "k"})
		err := keys.CheckKeySet(idp.JWKSet(set))
		if tc.reason == "" && err != nil || tc.reason != "" && (err == nil || !strings.Contains(err.Error(), tc.reason)) {
			t.Errorf("%s: %v", name, err)
		}
		c := remoteClient(name, "https://weak.example/"+name)
		docs.put(c.JWKSURI, set)
		_, err = keys.Encrypt(t.Context(), c, idp.AlgRSAOAEP256, "", "a.b.c")
		if (err == nil) != (tc.reason == "") {
			t.Errorf("%s: used: %v", name, err)
		}
	}
}

// fit moves n by multiples of step into 2048 bits.
func fit(n, step *big.Int) *big.Int {
	low := new(big.Int).Lsh(big.NewInt(1), 2047)
	k := new(big.Int).Div(new(big.Int).Sub(low, n), step)
	return n.Add(n, k.Add(k, big.NewInt(1)).Mul(k, step))
}

// Kinds of keys that only others understand do not spoil a set.
func TestForeignKeysAreLetPass(t *testing.T) {
	t.Parallel()
	_, _, keys := newShelf()
	good := strings.TrimSuffix(strings.TrimPrefix(setOf(t, jwkOf(ecKey(t), "k", "sig")), `{"keys":[`), `]}`)
	for _, foreign := range []string{
		`{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}`, `{"kty":"OKP","crv":"X25519","x":"AA"}`, `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}`,
		`{"kty":"RSA","alg":"RSA-OAEP","n":"AA","e":"AQAB"}`,
	} {
		if err := keys.CheckKeySet(idp.JWKSet(`{"keys":[` + foreign + `,` + good + `]}`)); err != nil {
			t.Errorf("%s: %v", foreign, err)
		}
		if err := keys.CheckKeySet(idp.JWKSet(`{"keys":[` + foreign + `]}`)); err == nil {
			t.Errorf("%s alone is registered", foreign)
		}
	}
}

// Whatever comes in as an assertion or a key set, nothing breaks.
func FuzzVerifyAssertion(f *testing.F) {
	_, _, keys := newShelf()
	key := ecKey(f)
	c := inlineClient("web", setOf(f, jwkOf(key, "k", "sig")))
	claims := fmt.Sprintf(`{"iss":"web","sub":"web","aud":%q,"jti":"1","exp":%d}`, issuer, epoch.Unix()+60)
	good := forge(f, key, idp.AlgES256, `{"alg":"ES256","kid":"k"}`, claims)
	audience := idp.AudienceRule{Accepted: []string{issuer}}
	if _, err := keys.VerifyAssertion(f.Context(), c, good, audience); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("..")
	f.Fuzz(func(t *testing.T, raw string) {
		keys.Claimant(raw)
		if _, err := keys.VerifyAssertion(t.Context(), c, raw, audience); err == nil && raw != good {
			t.Errorf("%q passes for an assertion", raw)
		}
		_ = keys.CheckKeySet(idp.JWKSet(raw))
	})
}

// Under a profile that takes the issuer alone, it is one string and nothing
// else.
func TestAttack_G08_SingleAudience(t *testing.T) {
	t.Parallel()
	_, _, keys := newShelf()
	key := ecKey(t)
	c := inlineClient("web", setOf(t, jwkOf(key, "k", "sig")))
	strict := idp.AudienceRule{Accepted: []string{issuer}, Single: true}
	for aud, good := range map[string]bool{
		`"` + issuer + `"`: true, `["` + issuer + `"]`: false, `"` + issuer + `/oauth2/token"`: false, `"` + issuer + `/"`: false,
	} {
		claims := fmt.Sprintf(`{"iss":"web","sub":"web","aud":%s,"jti":"1","exp":%d}`, aud, epoch.Unix()+60)
		_, err := keys.VerifyAssertion(t.Context(), c, forge(t, key, idp.AlgES256, `{"alg":"ES256","kid":"k"}`, claims), strict)
		if (err == nil) != good {
			t.Errorf("%s: %v", aud, err)
		}
	}
}
