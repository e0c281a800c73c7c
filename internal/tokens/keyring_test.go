package tokens_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"idp/internal/idp"
	"idp/internal/tokens"
)

// states returns the states of the keys of one algorithm, oldest first.
func states(k *tokens.Keyring, alg string) []idp.KeyState {
	var list []idp.KeyState
	for _, key := range k.States() {
		if key.Alg == alg {
			list = append(list, key.State)
		}
	}
	return list
}

func expectStates(t *testing.T, k *tokens.Keyring, alg string, want ...idp.KeyState) {
	t.Helper()
	if got := states(k, alg); !slices.Equal(got, want) {
		t.Errorf("%s keys are %v, want %v", alg, got, want)
	}
}

func kids(t *testing.T, jwks []byte) []string {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, key := range set.Keys {
		list = append(list, key.KeyID)
	}
	return list
}

// verifies reports whether a relying party that holds the key set accepts raw.
func verifies(t *testing.T, jwks []byte, raw string) bool {
	t.Helper()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA, jose.ES384, jose.ES512})
	if err != nil {
		t.Fatal(err)
	}
	keys := set.Key(jws.Signatures[0].Header.KeyID)
	if len(keys) != 1 {
		return false
	}
	if keys[0].Algorithm != jws.Signatures[0].Header.Algorithm {
		t.Errorf("a %s key signed %s", keys[0].Algorithm, jws.Signatures[0].Header.Algorithm)
	}
	_, err = jws.Verify(keys[0])
	return err == nil
}

func TestStartMakesFirstKeys(t *testing.T) {
	t.Parallel()
	store, c := &memoryStore{}, &clock{at: epoch}
	k := tokens.NewKeyring(tokens.KeyringConfig{Issuer: issuer, Master: newMaster(t, 3), Store: store, Now: c.Now})
	if body, etag := k.JWKS(); string(body) != `{"keys":[]}` || etag == "" {
		t.Errorf("before the start the key set is %s, %s", body, etag)
	}
	if _, err := k.SignAccessToken("", (&fixture{clock: c}).accessToken()); !errors.Is(err, idp.ErrUnavailable) {
		t.Errorf("signed before the start: %v", err)
	}
	ctx := idp.WithRequest(t.Context(), &idp.Request{ID: "req", ClientID: "cli", Subject: "admin", RemoteAddr: "::1"})
	if err := k.Start(ctx); err != nil {
		t.Fatal(err)
	}
	expectStates(t, k, idp.AlgES256, idp.KeyActive)
	expectStates(t, k, idp.AlgRS256, idp.KeyActive)
	if len(store.keys) != 2 || len(store.events) != 2 {
		t.Fatalf("%d keys, %d events", len(store.keys), len(store.events))
	}
	for i, e := range store.events {
		if e.Kind != idp.EventKeyCreated || e.Detail["target"] != store.keys[i].KID || e.RequestID != "req" ||
			e.ClientID != "cli" || e.UserID != "admin" || e.RemoteAddr != "::1" || e.ID[6]>>4 != 7 || e.ID[8]>>6 != 2 || !e.At.Equal(epoch) {
			t.Errorf("event %+v", e)
		}
	}
	// A second start, of this node or another, makes nothing.
	if err := k.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if store.writes != 1 {
		t.Errorf("%d writes", store.writes)
	}
}

// lostRace is a store in which another node makes the first keys in between.
type lostRace struct {
	*memoryStore
	theirs []idp.Key
}

func (s *lostRace) InsertFirstKeys(_ context.Context, _ []idp.Key, _ ...idp.Event) error {
	s.keys = s.theirs
	return fmt.Errorf("first keys: %w", idp.ErrConflict)
}

func TestStartTakesTheKeysOfTheNodeThatWasFirst(t *testing.T) {
	t.Parallel()
	rows, err := sharedKeys()
	if err != nil {
		t.Fatal(err)
	}
	store := &lostRace{&memoryStore{}, rows}
	k := tokens.NewKeyring(tokens.KeyringConfig{Issuer: issuer, Master: newMaster(t, 7), Store: store, Now: func() time.Time { return epoch }})
	if err := k.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := k.States(); len(got) != len(rows) {
		t.Errorf("%d keys, want %d", len(got), len(rows))
	}
}

func TestStartWithoutItsStore(t *testing.T) {
	t.Parallel()
	store := &memoryStore{err: idp.ErrUnavailable}
	k := tokens.NewKeyring(tokens.KeyringConfig{Issuer: issuer, Master: newMaster(t, 7), Store: store, Now: func() time.Time { return epoch }})
	refuse(t, k.Start(t.Context()), idp.ErrUnavailable)
	if store.writes != 0 {
		t.Error("wrote")
	}
}

func TestAttack_S04_WrongMasterKey(t *testing.T) {
	t.Parallel()
	rows, err := sharedKeys()
	if err != nil {
		t.Fatal(err)
	}
	store := &memoryStore{keys: slices.Clone(rows)}
	k := tokens.NewKeyring(tokens.KeyringConfig{Issuer: issuer, Master: newMaster(t, 8), Store: store, Now: func() time.Time { return epoch }})
	err = k.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), rows[0].KID) || !strings.Contains(err.Error(), "master key") {
		t.Errorf("the error names neither key nor fault: %v", err)
	}
	if store.writes != 0 {
		t.Error("a server with the wrong master key wrote")
	}
	if body, _ := k.JWKS(); string(body) != `{"keys":[]}` {
		t.Errorf("published %s", body)
	}
}

// A row that was written or moved about by somebody without the master key is
// never published and never signs.
func TestAttack_S04_AlteredKeyRow(t *testing.T) {
	t.Parallel()
	rows, err := sharedKeys()
	if err != nil {
		t.Fatal(err)
	}
	m := newMaster(t, 7)
	es, rs := rows[0], rows[1]
	reseal := func(as, of idp.Key, change func([]byte) []byte) []byte {
		der, err := m.Open(tokens.PurposeSigningKeys, of.SealedPrivate, []byte("signing_keys|"+of.KID+"|"+of.Alg))
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := m.Seal(tokens.PurposeSigningKeys, change(der), []byte("signing_keys|"+as.KID+"|"+as.Alg))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	same := func(b []byte) []byte { return b }
	for name, change := range map[string]func(*idp.Key){
		"another key's private half":             func(k *idp.Key) { k.SealedPrivate = rs.SealedPrivate },
		"another key's public half":              func(k *idp.Key) { k.PublicJWK = rs.PublicJWK },
		"public half is not JSON":                func(k *idp.Key) { k.PublicJWK = []byte("{") },
		"another algorithm":                      func(k *idp.Key) { k.Alg = idp.AlgEdDSA },
		"another kid":                            func(k *idp.Key) { k.KID = rs.KID },
		"nothing sealed":                         func(k *idp.Key) { k.SealedPrivate = nil },
		"sealed garbage":                         func(k *idp.Key) { k.SealedPrivate = reseal(es, es, func([]byte) []byte { return []byte("x") }) },
		"sealed for it, of the wrong type":       func(k *idp.Key) { k.SealedPrivate = reseal(es, rs, same) },
		"sealed for it, of the same type":        func(k *idp.Key) { k.SealedPrivate = reseal(es, es, otherES256) },
		"a private JWK where the public belongs": func(k *idp.Key) { k.PublicJWK = privateJWK(t, m, es) },
	} {
		row := es
		change(&row)
		store := &memoryStore{keys: slices.Clone(rows)}
		k := tokens.NewKeyring(tokens.KeyringConfig{Issuer: issuer, Master: m, Store: store, Now: func() time.Time { return epoch }})
		if err := k.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		before, _ := k.JWKS()
		store.keys[0] = row
		if err := k.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), row.KID) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := k.JWKS(); string(before) != string(after) {
			t.Errorf("%s: the key set changed", name)
		}
	}
}

func otherES256([]byte) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(newES256())
	if err != nil {
		panic(err)
	}
	return der
}

// privateJWK returns the key of the row as a JWK with its private half.
func privateJWK(t *testing.T, m *tokens.Master, row idp.Key) []byte {
	t.Helper()
	_, key := (&fixture{master: m, store: &memoryStore{keys: []idp.Key{row}}}).private(t, row.Alg)
	raw, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: row.KID, Algorithm: row.Alg, Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// The life of a key, as the clock alone moves it.
func TestKeyLifeOverTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const day = 24 * time.Hour
	if err := f.Maintain(t.Context()); err != nil || f.store.writes != 0 {
		t.Fatalf("nothing was due, %d writes, %v", f.store.writes, err)
	}
	start := epoch.Add(-time.Minute) // when the first keys begin to sign

	f.clock.Set(start.Add(29*day - time.Second))
	if err := f.Maintain(t.Context()); err != nil || f.store.writes != 0 {
		t.Fatalf("too early, %d writes, %v", f.store.writes, err)
	}
	f.clock.Set(start.Add(29 * day))
	for range 3 {
		if err := f.Maintain(t.Context()); err != nil || f.store.writes != 1 {
			t.Fatalf("%d writes, %v", f.store.writes, err)
		}
	}
	if len(f.store.keys) != 2*len(idp.Algorithms()) || len(f.store.events) != len(idp.Algorithms()) {
		t.Fatalf("%d keys, %d events", len(f.store.keys), len(f.store.events))
	}
	other := f.node(t)
	first := f.store.keys[slices.IndexFunc(f.store.keys, func(k idp.Key) bool { return k.Alg == idp.AlgES256 })].KID
	for _, step := range []struct {
		at     time.Time
		states []idp.KeyState
	}{
		{start.Add(29 * day), []idp.KeyState{idp.KeyActive, idp.KeyNext}},
		{start.Add(30*day - time.Microsecond), []idp.KeyState{idp.KeyActive, idp.KeyNext}},
		{start.Add(30 * day), []idp.KeyState{idp.KeyRetiring, idp.KeyActive}},
		{start.Add(30*day + time.Hour - time.Microsecond), []idp.KeyState{idp.KeyRetiring, idp.KeyActive}},
		{start.Add(30*day + time.Hour), []idp.KeyState{idp.KeyRetired, idp.KeyActive}},
		// The clock is set back.
		{start.Add(30 * day), []idp.KeyState{idp.KeyRetiring, idp.KeyActive}},
		{start.Add(29 * day), []idp.KeyState{idp.KeyActive, idp.KeyNext}},
		{start.Add(-time.Hour), []idp.KeyState{idp.KeyNext, idp.KeyNext}},
		{start.Add(31 * day), []idp.KeyState{idp.KeyRetired, idp.KeyActive}},
	} {
		f.clock.Set(step.at)
		for _, k := range []*tokens.Keyring{f.Keyring, other} {
			expectStates(t, k, idp.AlgES256, step.states...)
			jwks, _ := k.JWKS()
			if got, want := slices.Contains(kids(t, jwks), first), step.states[0] != idp.KeyRetired; got != want {
				t.Errorf("%v: first key published: %v, want %v", step.at, got, want)
			}
			raw, err := k.SignAccessToken(idp.AlgES256, f.accessToken())
			if err != nil {
				t.Fatalf("%v: %v", step.at, err)
			}
			if !verifies(t, jwks, raw) {
				t.Errorf("%v: signed by a key that is not published", step.at)
			}
			signedByFirst := headerOf(t, raw)["kid"] == first
			if want := step.states[0] == idp.KeyActive || step.states[0] == idp.KeyNext; signedByFirst != want {
				t.Errorf("%v: signed by the first key: %v, want %v", step.at, signedByFirst, want)
			}
		}
	}
}

// A server that was off for long makes up for it without breaking caches.
func TestMaintainAfterALongPause(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.clock.Advance(400 * 24 * time.Hour)
	if err := f.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectStates(t, f.Keyring, idp.AlgES256, idp.KeyActive, idp.KeyNext)
	f.clock.Advance(15*time.Minute - time.Microsecond) // max-age and margin
	expectStates(t, f.Keyring, idp.AlgES256, idp.KeyActive, idp.KeyNext)
	f.clock.Advance(time.Microsecond)
	expectStates(t, f.Keyring, idp.AlgES256, idp.KeyRetiring, idp.KeyActive)
}

// However short the configured time, a key is published for longer than caches
// last, and still signs when it is due.
func TestPublishAheadCoversCaches(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(cfg *tokens.KeyringConfig) { cfg.RotateEvery, cfg.PublishAhead = time.Hour, time.Minute })
	start := epoch.Add(-time.Minute)
	f.clock.Set(start.Add(45 * time.Minute)) // max-age and margin before
	if err := f.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectStates(t, f.Keyring, idp.AlgES256, idp.KeyActive, idp.KeyNext)
	f.clock.Set(start.Add(time.Hour))
	expectStates(t, f.Keyring, idp.AlgES256, idp.KeyRetiring, idp.KeyActive)
}

// Keys appear in the set at least the JWKS max-age and a margin before they sign.
func TestAttack_H08_RotationDoesNotOutrunCaches(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cached, etag := f.JWKS()
	made, err := f.Rotate(t.Context(), "", false)
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != len(idp.Algorithms()) || made[0].SealedPrivate != nil {
		t.Fatalf("made %d keys", len(made))
	}
	published, newTag := f.JWKS()
	if etag == newTag || len(kids(t, published)) != 2*len(idp.Algorithms()) {
		t.Errorf("the new keys are not published: %v", kids(t, published))
	}
	for _, alg := range idp.Algorithms() {
		expectStates(t, f.Keyring, alg, idp.KeyActive, idp.KeyNext)
	}
	before := f.signAccess(t, idp.AlgES256)
	f.clock.Advance(5 * time.Minute) // a copy from before lives that long
	if raw := f.signAccess(t, idp.AlgES256); !verifies(t, cached, raw) {
		t.Error("a key set fetched before the rotation does not verify 5 minutes later")
	}
	f.clock.Advance(10*time.Minute - time.Microsecond)
	if raw := f.signAccess(t, idp.AlgES256); !verifies(t, cached, raw) {
		t.Error("the new key signs within the margin")
	}
	f.clock.Advance(time.Microsecond)
	after := f.signAccess(t, idp.AlgES256)
	if verifies(t, cached, after) {
		t.Error("the new key does not sign")
	}
	if !verifies(t, published, after) || !verifies(t, published, before) {
		t.Error("the set published at the rotation does not verify all tokens")
	}
	if _, err := f.VerifyAccessToken(after); err != nil {
		t.Error(err)
	}
}

func TestRotateImmediately(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old := f.signAccess(t, idp.AlgES256)
	made, err := f.Rotate(t.Context(), idp.AlgES256, true, idp.Event{Kind: "x"})
	if err != nil || len(made) != 1 {
		t.Fatal(made, err)
	}
	if len(f.store.events) != 2 || f.store.events[1].Kind != "x" || f.store.events[0].Detail["target"] != made[0].KID {
		t.Errorf("events %+v", f.store.events)
	}
	expectStates(t, f.Keyring, idp.AlgES256, idp.KeyRetiring, idp.KeyActive)
	expectStates(t, f.Keyring, idp.AlgRS256, idp.KeyActive)
	if kid := headerOf(t, f.signAccess(t, idp.AlgES256))["kid"]; kid != made[0].KID {
		t.Errorf("signed by %v", kid)
	}
	if _, err := f.VerifyAccessToken(old); err != nil {
		t.Errorf("the old key's token died: %v", err)
	}
	// Two at the same instant: the later one wins a moment later.
	for range 6 {
		for range 2 {
			if made, err = f.Rotate(t.Context(), idp.AlgES256, true); err != nil {
				t.Fatal(err)
			}
		}
		f.clock.Advance(2 * time.Microsecond)
		if kid := headerOf(t, f.signAccess(t, idp.AlgES256))["kid"]; kid != made[0].KID {
			t.Errorf("signed by %v, want %v", kid, made[0].KID)
		}
	}
	_, err = f.Rotate(t.Context(), "HS256", true)
	var invalid *idp.InvalidError
	if !errors.As(err, &invalid) {
		t.Errorf("rotated HS256: %v", err)
	}
}

func TestRetire(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var kid string
	for _, key := range f.States() {
		if key.SealedPrivate != nil {
			t.Error("States shows the sealed private key")
		}
		if key.Alg == idp.AlgRS256 {
			kid = key.KID
		}
	}
	access, hint := f.signAccess(t, idp.AlgRS256), f.signID(t, idp.AlgRS256)
	refuse(t, f.Retire(t.Context(), "nobody"), idp.ErrNotFound)
	err := f.Retire(t.Context(), kid)
	refuse(t, err, idp.ErrConflict)
	if !strings.Contains(err.Error(), "only active key") || f.store.writes != 0 {
		t.Errorf("%v, %d writes", err, f.store.writes)
	}
	if _, err := f.Rotate(t.Context(), idp.AlgRS256, true); err != nil {
		t.Fatal(err)
	}
	if _, err := f.VerifyAccessToken(access); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Retire(t.Context(), kid); err != nil {
			t.Fatal(err)
		}
	}
	if f.store.writes != 2 || f.store.events[1].Kind != idp.EventKeyRetired || f.store.events[1].Detail["target"] != kid {
		t.Errorf("%d writes, events %+v", f.store.writes, f.store.events)
	}
	expectStates(t, f.Keyring, idp.AlgRS256, idp.KeyRetired, idp.KeyActive)
	if jwks, _ := f.JWKS(); slices.Contains(kids(t, jwks), kid) {
		t.Error("still published")
	}
	_, err = f.VerifyAccessToken(access)
	refuse(t, err, idp.ErrMalformed)
	_, err = f.VerifyIDToken(hint)
	refuse(t, err, idp.ErrMalformed)
	// A key that does not sign yet may go as well, and its place is filled.
	next, err := f.Rotate(t.Context(), idp.AlgRS256, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Retire(t.Context(), next[0].KID); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(time.Hour)
	expectStates(t, f.Keyring, idp.AlgRS256, idp.KeyRetired, idp.KeyActive, idp.KeyRetired)
}

// A relying party logs somebody out with an ID token from before the rotation.
func TestHintsOutliveTheirKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	hint, access := f.signID(t, ""), f.signAccess(t, idp.AlgRS256)
	if _, err := f.Rotate(t.Context(), "", true); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(12 * time.Hour)
	expectStates(t, f.Keyring, idp.AlgRS256, idp.KeyRetired, idp.KeyActive)
	if got, err := f.node(t).VerifyIDToken(hint); err != nil || got.Subject != "user-1" {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err := f.VerifyAccessToken(access)
	refuse(t, err, idp.ErrMalformed)
}

func TestEnsure(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.store.keys = slices.DeleteFunc(f.store.keys, func(k idp.Key) bool { return k.Alg == idp.AlgEdDSA })
	k, other := f.node(t), f.node(t)
	if _, err := k.SignAccessToken(idp.AlgEdDSA, f.accessToken()); !errors.Is(err, idp.ErrUnavailable) {
		t.Fatal(err)
	}
	for range 2 {
		if err := k.Ensure(t.Context(), idp.AlgEdDSA, idp.AlgES256, "", idp.AlgEdDSA); err != nil {
			t.Fatal(err)
		}
	}
	if f.store.writes != 1 || len(f.store.events) != 1 {
		t.Errorf("%d writes, %d events", f.store.writes, len(f.store.events))
	}
	expectStates(t, k, idp.AlgEdDSA, idp.KeyActive)
	raw, err := k.SignAccessToken(idp.AlgEdDSA, f.accessToken())
	if err != nil {
		t.Error(err)
	}
	for _, alg := range []string{"none", "HS256", "RS512"} {
		if err := k.Ensure(t.Context(), alg); err == nil {
			t.Errorf("made a key for %s", alg)
		}
	}
	// A node that has not heard of the new key looks before it makes one.
	if err := other.Ensure(t.Context(), idp.AlgEdDSA); err != nil || f.store.writes != 1 {
		t.Errorf("%d writes, %v", f.store.writes, err)
	}
	if _, err := other.VerifyAccessToken(raw); err != nil {
		t.Error(err)
	}
}

func TestAttack_H09_JWKSHoldsPublicKeysOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	body, _ := f.JWKS()
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"EC":  {"alg", "crv", "kid", "kty", "use", "x", "y"},
		"OKP": {"alg", "crv", "kid", "kty", "use", "x"},
		"RSA": {"alg", "e", "kid", "kty", "n", "use"},
	}
	seen := map[any]bool{}
	for _, key := range set.Keys {
		var names []string
		for name := range key {
			names = append(names, name)
		}
		slices.Sort(names)
		if !slices.Equal(names, want[key["kty"].(string)]) {
			t.Errorf("a %s key has %v", key["kty"], names)
		}
		if seen[key["kid"]] {
			t.Errorf("kid %s twice", key["kid"])
		}
		seen[key["kid"]] = true
		if key["use"] != "sig" {
			t.Errorf("use is %v", key["use"])
		}
		raw, _ := json.Marshal(key)
		var jwk jose.JSONWebKey
		if err := jwk.UnmarshalJSON(raw); err != nil || !jwk.Valid() || !jwk.IsPublic() {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if len(seen) != len(idp.Algorithms()) {
		t.Errorf("%d keys", len(seen))
	}
}

// The entity tag changes with the set, and with nothing else.
func TestJWKSEntityTag(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	body, etag := f.JWKS()
	if !strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, `"`) || len(etag) < 10 {
		t.Errorf("%s is no strong entity tag", etag)
	}
	same := func(what string, k *tokens.Keyring) {
		t.Helper()
		if b, e := k.JWKS(); e != etag || string(b) != string(body) {
			t.Errorf("%s: the set changed", what)
		}
	}
	changed := func(what string) {
		t.Helper()
		b, e := f.JWKS()
		if e == etag {
			t.Errorf("%s: the set did not change", what)
		}
		body, etag = b, e
	}
	if err := f.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	same("reload", f.Keyring)
	same("another node", f.node(t))
	slices.Reverse(f.store.keys)
	same("rows in another order", f.node(t))
	f.clock.Advance(time.Hour)
	same("time", f.Keyring)
	if _, err := f.Rotate(t.Context(), idp.AlgES256, false); err != nil {
		t.Fatal(err)
	}
	changed("rotation")
	f.clock.Advance(15 * time.Minute)
	expectStates(t, f.Keyring, idp.AlgES256, idp.KeyRetiring, idp.KeyActive)
	same("the new key signs", f.Keyring)
	f.clock.Advance(time.Hour)
	changed("the old key is retired")
	same("another node", f.node(t))
}

// With the database away, signing, verifying and publishing go on.
func TestKeysAreInMemory(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.store.err = idp.ErrUnavailable
	refuse(t, f.Reload(t.Context()), idp.ErrUnavailable)
	refuse(t, f.Maintain(t.Context()), idp.ErrUnavailable)
	_, err := f.Rotate(t.Context(), "", true)
	refuse(t, err, idp.ErrUnavailable)
	if _, err := f.VerifyAccessToken(f.signAccess(t, "")); err != nil {
		t.Error(err)
	}
	if body, _ := f.JWKS(); len(kids(t, body)) != len(idp.Algorithms()) {
		t.Error("keys are gone")
	}
}

func TestKeyringConcurrently(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				raw, err := f.SignAccessToken(idp.AlgEdDSA, f.accessToken())
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := f.VerifyAccessToken(raw); err != nil && !errors.Is(err, idp.ErrExpired) {
					t.Error(err)
				}
				f.JWKS()
				f.States()
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if _, err := f.Rotate(t.Context(), idp.AlgEdDSA, false); err != nil {
				t.Error(err)
			}
			f.clock.Advance(5 * time.Minute)
			if err := f.Reload(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}
