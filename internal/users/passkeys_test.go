package users_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"
	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/users"
)

// The flags of authenticator data (WebAuthn section 6.1).
const (
	flagPresent  = 1 << 0
	flagVerified = 1 << 2
	flagEligible = 1 << 3
	flagBackedUp = 1 << 4
	flagAttested = 1 << 6
)

// device is an authenticator with one credential, and the browser before it. It
// does what it is told, lies included.
type device struct {
	id, handle []byte
	aaguid     [16]byte
	signer     crypto.Signer
	alg        int64
	public     map[int64]any // COSE_Key
	count      uint32

	typ, origin, challenge, rpID string // empty for the true ones
	flags                        byte
	crossOrigin                  bool
	topOrigin                    string
	handleSent                   []byte // nil for the true one
	rawID                        []byte // nil for the true one
	spoil                        func(parts map[string]any)
}

func newDevice(t testing.TB, flags byte) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	d := &device{id: make([]byte, 32), signer: key, alg: -7, flags: flags}
	_, _ = rand.Read(d.id)
	x, y := make([]byte, 32), make([]byte, 32)
	point, err := key.PublicKey.Bytes()
	require.NoError(t, err)
	copy(x, point[1:33])
	copy(y, point[33:])
	d.public = map[int64]any{1: 2, 3: -7, -1: 1, -2: x, -3: y}
	return d
}

// options is what the device sees of a ceremony.
type options struct {
	PublicKey struct {
		Challenge string `json:"challenge"`
		RP        struct {
			ID string `json:"id"`
		} `json:"rp"`
		RPID string `json:"rpId"`
		User struct {
			ID string `json:"id"`
		} `json:"user"`
	} `json:"publicKey"`
}

func pick(lie, truth string) string {
	if lie != "" {
		return lie
	}
	return truth
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (d *device) clientData(t testing.TB, typ, challenge string) []byte {
	t.Helper()
	data := map[string]any{"type": pick(d.typ, typ), "challenge": pick(d.challenge, challenge), "origin": pick(d.origin, "https://id.example.com"), "crossOrigin": d.crossOrigin}
	if d.topOrigin != "" {
		data["topOrigin"] = d.topOrigin
	}
	raw, err := json.Marshal(data)
	require.NoError(t, err)
	return raw
}

func (d *device) authData(t testing.TB, rpID string, attested bool) []byte {
	t.Helper()
	hash := sha256.Sum256([]byte(pick(d.rpID, rpID)))
	flags := d.flags
	if attested {
		flags |= flagAttested
	}
	data := append(hash[:], flags)
	data = binary.BigEndian.AppendUint32(data, d.count)
	if attested {
		data = append(data, d.aaguid[:]...)
		data = binary.BigEndian.AppendUint16(data, uint16(len(d.id)))
		data = append(data, d.id...)
		key, err := webauthncbor.Marshal(d.public)
		require.NoError(t, err)
		data = append(data, key...)
	}
	return data
}

func (d *device) answer(t testing.TB, response map[string]any) []byte {
	t.Helper()
	id := d.id
	if d.rawID != nil {
		id = d.rawID
	}
	parts := map[string]any{"id": b64(id), "rawId": b64(id), "type": "public-key", "clientExtensionResults": map[string]any{}, "response": response}
	if d.spoil != nil {
		d.spoil(parts)
	}
	raw, err := json.Marshal(parts)
	require.NoError(t, err)
	return raw
}

// create makes the credential: navigator.credentials.create().
func (d *device) create(t testing.TB, c idp.Ceremony) []byte {
	t.Helper()
	var o options
	require.NoError(t, json.Unmarshal(c.Options, &o))
	if d.handle == nil {
		var err error
		d.handle, err = base64.RawURLEncoding.DecodeString(o.PublicKey.User.ID)
		require.NoError(t, err)
	}
	object, err := webauthncbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": d.authData(t, o.PublicKey.RP.ID, true)})
	require.NoError(t, err)
	return d.answer(t, map[string]any{
		"clientDataJSON": b64(d.clientData(t, "webauthn.create", o.PublicKey.Challenge)), "attestationObject": b64(object), "transports": []string{"internal", "hybrid", "strange one"},
	})
}

// get signs: navigator.credentials.get().
func (d *device) get(t testing.TB, c idp.Ceremony) []byte {
	t.Helper()
	var o options
	require.NoError(t, json.Unmarshal(c.Options, &o))
	client, data := d.clientData(t, "webauthn.get", o.PublicKey.Challenge), d.authData(t, o.PublicKey.RPID, false)
	clientHash := sha256.Sum256(client)
	signed := append(bytes.Clone(data), clientHash[:]...)
	digest, hash := sha256.Sum256(signed), crypto.Hash(crypto.SHA256)
	message := digest[:]
	if d.alg == -8 {
		message, hash = signed, 0
	}
	signature, err := d.signer.Sign(rand.Reader, message, hash)
	require.NoError(t, err)
	handle := d.handle
	if d.handleSent != nil {
		handle = d.handleSent
	}
	response := map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
	if len(handle) > 0 {
		response["userHandle"] = b64(handle)
	}
	return d.answer(t, response)
}

var here, elsewhere = []byte("this browser"), []byte("another browser")

// register adds the device's credential to a person's.
func (w *factorWorld) register(t *testing.T, u idp.User, d *device) idp.Passkey {
	t.Helper()
	c, err := w.BeginPasskeyRegistration(t.Context(), u, here)
	require.NoError(t, err)
	p, _, err := w.FinishPasskeyRegistration(t.Context(), u, here, c.Sealed, "", d.create(t, c))
	require.NoError(t, err)
	return p
}

// signIn uses the device's credential.
func (w *factorWorld) signIn(t *testing.T, r idp.PasskeyRequest, d *device) (idp.User, []idp.Factor, error) {
	t.Helper()
	r.Browser = here
	c, err := w.BeginPasskeySignIn(t.Context(), r)
	require.NoError(t, err)
	return w.FinishPasskeySignIn(t.Context(), here, c.Sealed, d.get(t, c))
}

func TestPasskeys(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		ctx := t.Context()
		require.True(t, w.PasskeysAvailable())
		d := newDevice(t, flagPresent|flagVerified|flagEligible|flagBackedUp)
		copy(d.aaguid[:], []byte{0xfb, 0xfc, 0x30, 0x07, 0x15, 0x4e, 0x4e, 0xcc, 0x8c, 0x0b, 0x6e, 0x02, 0x05, 0x57, 0xd7, 0xbd})

		// What the browser is asked for.
		c, err := w.BeginPasskeyRegistration(ctx, w.alice, here)
		require.NoError(t, err)
		var asked map[string]map[string]any
		require.NoError(t, json.Unmarshal(c.Options, &asked))
		key := asked["publicKey"]
		require.Equal(t, map[string]any{"id": "id.example.com", "name": "Example: Co"}, key["rp"])
		require.Equal(t, "alice", key["user"].(map[string]any)["name"])
		require.Equal(t, "ALICE", key["user"].(map[string]any)["displayName"])
		handle, err := base64.RawURLEncoding.DecodeString(key["user"].(map[string]any)["id"].(string))
		require.NoError(t, err)
		require.Len(t, handle, 32)
		require.NotContains(t, string(handle), "alice")
		require.Equal(t, map[string]any{"residentKey": "required", "requireResidentKey": true, "userVerification": "preferred"}, key["authenticatorSelection"])
		require.Equal(t, "none", key["attestation"])
		require.EqualValues(t, 300_000, key["timeout"])
		algs := []any{}
		for _, p := range key["pubKeyCredParams"].([]any) {
			algs = append(algs, p.(map[string]any)["alg"])
		}
		require.Equal(t, []any{-7.0, -8.0, -257.0}, algs)
		require.NotContains(t, key, "excludeCredentials")

		p, factors, err := w.FinishPasskeyRegistration(ctx, w.alice, here, c.Sealed, "", d.create(t, c))
		require.NoError(t, err)
		require.Equal(t, []idp.Factor{idp.FactorPasskey, idp.FactorVerified}, factors)
		require.Equal(t, "iCloud Keychain", p.Name)
		require.Equal(t, []string{"internal", "hybrid"}, p.Transports)
		has, err := w.Of(ctx, w.alice.ID)
		require.NoError(t, err)
		require.Equal(t, []idp.Passkey{p}, has.Passkeys)
		require.True(t, p.UserVerified && p.BackupEligible && p.BackupState)

		// Without a user, with one, with verification.
		first, err := w.BeginPasskeySignIn(ctx, idp.PasskeyRequest{Browser: here})
		require.NoError(t, err)
		require.NotContains(t, string(first.Options), "allowCredentials", "nobody is named before somebody signed")
		require.Contains(t, string(first.Options), `"userVerification":"preferred"`)
		for _, r := range []idp.PasskeyRequest{{}, {UserID: w.alice.ID}, {Verification: true}, {UserID: w.alice.ID, Verification: true}} {
			u, factors, err := w.signIn(t, r, d)
			require.NoError(t, err)
			require.Equal(t, w.alice.ID, u.ID)
			require.Equal(t, []idp.Factor{idp.FactorPasskey, idp.FactorVerified}, factors)
			proof := (&idp.Proof{UserID: u.ID}).With(w.now(), factors...)
			require.Equal(t, idp.ACRPhishingResistant, proof.ACR())
		}
		known, err := w.BeginPasskeySignIn(ctx, idp.PasskeyRequest{Browser: here, UserID: w.alice.ID})
		require.NoError(t, err)
		require.Contains(t, string(known.Options), b64(d.id))

		// A key that stays where it is, and counts.
		w.pass(time.Second)
		bound := newDevice(t, flagPresent|flagVerified)
		bound.count = 1
		w.register(t, w.alice, bound)
		bound.count = 2
		_, factors, err = w.signIn(t, idp.PasskeyRequest{}, bound)
		require.NoError(t, err)
		require.Equal(t, []idp.Factor{idp.FactorPasskey, idp.FactorVerified, idp.FactorBound}, factors)
		require.Equal(t, idp.ACRHardwareProtected, (&idp.Proof{}).With(w.now(), factors...).ACR())

		// The authenticator is told what it has already, under the same handle.
		again, err := w.BeginPasskeyRegistration(ctx, w.alice, here)
		require.NoError(t, err)
		require.Contains(t, string(again.Options), `"excludeCredentials":[{"type":"public-key","id":"`+b64(d.id)+`","transports":["internal","hybrid"]}`)
		require.Contains(t, string(again.Options), b64(handle))

		accepted, err := w.AcceptedPasskeys(ctx, w.alice.ID)
		require.NoError(t, err)
		require.JSONEq(t, `{"rpId":"id.example.com","userId":"`+b64(handle)+`","allAcceptedCredentialIds":["`+b64(d.id)+`","`+b64(bound.id)+`"]}`, string(accepted))

		require.NoError(t, w.RenamePasskey(ctx, w.alice.ID, d.id, "Phone"))
		require.ErrorIs(t, w.RenamePasskey(ctx, w.bob.ID, d.id, "Mine"), idp.ErrNotFound)
		require.ErrorIs(t, w.RemovePasskey(ctx, w.bob, d.id, time.Time{}), idp.ErrNotFound)
		require.NoError(t, w.RemovePasskey(ctx, w.alice, d.id, time.Time{}))
		w.notes.take()
		_, _, err = w.signIn(t, idp.PasskeyRequest{}, d)
		require.ErrorIs(t, err, idp.ErrFactor)
		require.Equal(t, []string{"webauthn.rejected passkey unknown_credential"}, w.reasons())
		require.Len(t, w.events(t, idp.EventFactorUsed), 5)

		_, err = w.BeginPasskeySignIn(ctx, idp.PasskeyRequest{Browser: here, UserID: w.bob.ID})
		require.ErrorIs(t, err, idp.ErrNotFound)
		for range 24 {
			w.register(t, w.alice, newDevice(t, flagPresent))
		}
		var invalid *idp.InvalidError
		_, err = w.BeginPasskeyRegistration(ctx, w.alice, here)
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, "passkeys", invalid.Field)
	})
}

// The algorithms of the allow-list are verified, too, not only asked for.
func TestPasskeysOfEveryAlgorithm(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		_, ed, err := ed25519.GenerateKey(rand.Reader)
		require.NoError(t, err)
		okp := newDevice(t, flagPresent)
		okp.signer, okp.alg = ed, -8
		okp.public = map[int64]any{1: 1, 3: -8, -1: 6, -2: []byte(ed.Public().(ed25519.PublicKey))}
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		require.NoError(t, err)
		rs := newDevice(t, flagPresent)
		rs.signer, rs.alg = key, -257
		rs.public = map[int64]any{1: 3, 3: -257, -1: key.N.Bytes(), -2: []byte{1, 0, 1}}
		for name, d := range map[string]*device{"EdDSA": okp, "RS256": rs} {
			w.register(t, w.alice, d)
			_, factors, err := w.signIn(t, idp.PasskeyRequest{}, d)
			require.NoError(t, err, name)
			require.Equal(t, []idp.Factor{idp.FactorPasskey, idp.FactorBound}, factors, name)
		}
	})
}

// WebAuthn section 7.1, each thing that may be wrong with an answer by itself.
func TestAttack_Q14_RegistrationRefusals(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		ctx := t.Context()
		for name, tc := range map[string]struct {
			reason string
			spoil  func(d *device)
		}{
			"type of a sign-in":        {"type", func(d *device) { d.typ = "webauthn.get" }},
			"challenge":                {"challenge", func(d *device) { d.challenge = b64(make([]byte, 32)) }},
			"origin":                   {"origin", func(d *device) { d.origin = "https://id.example.com.evil.example" }},
			"origin with another port": {"origin", func(d *device) { d.origin = "https://id.example.com:8443" }},
			"origin without TLS":       {"origin", func(d *device) { d.origin = "http://id.example.com" }},
			"origin of a sub-domain":   {"origin", func(d *device) { d.origin = "https://evil.id.example.com" }},
			"origin with a path":       {"origin", func(d *device) { d.origin = "https://id.example.com/evil" }},
			"origin with a user":       {"origin", func(d *device) { d.origin = "https://evil@id.example.com" }},
			"origin in capitals":       {"origin", func(d *device) { d.origin = "HTTPS://ID.EXAMPLE.COM" }},
			"cross origin":             {"origin", func(d *device) { d.crossOrigin = true }},
			"top origin":               {"origin", func(d *device) { d.crossOrigin, d.topOrigin = true, "https://evil.example" }},
			"relying party":            {"rp_id", func(d *device) { d.rpID = "example.com" }},
			"nobody touched it":        {"user_presence", func(d *device) { d.flags &^= flagPresent }},
			"backed up, not eligible":  {"backup_state", func(d *device) { d.flags |= flagBackedUp }},
			"algorithm":                {"attestation", func(d *device) { d.public[3] = -35 }},
			"another curve":            {"public_key", func(d *device) { d.public[-1] = 2 }},
			"a point that is none":     {"public_key", func(d *device) { d.public[-3] = make([]byte, 32) }},
			"short RSA": {"public_key", func(d *device) {
				d.public = map[int64]any{1: 3, 3: -257, -1: bytes.Repeat([]byte{255}, 128), -2: []byte{1, 0, 1}}
			}},
			"long RSA": {"public_key", func(d *device) {
				d.public = map[int64]any{1: 3, 3: -257, -1: bytes.Repeat([]byte{255}, 1024), -2: []byte{1, 0, 1}}
			}},
			"another identifier":   {"attestation", func(d *device) { d.rawID = []byte("another identifier") }},
			"identifier over 1023": {"malformed", func(d *device) { d.id = make([]byte, 1024) }},
			"attestation with a 'none'": {"malformed", func(d *device) {
				d.spoil = func(p map[string]any) { p["response"].(map[string]any)["attestationObject"] = "oA" }
			}},
			"no response":        {"malformed", func(d *device) { d.spoil = func(p map[string]any) { delete(p, "response") } }},
			"type of credential": {"malformed", func(d *device) { d.spoil = func(p map[string]any) { p["type"] = "password" } }},
			"huge CBOR": {"size", func(d *device) {
				d.spoil = func(p map[string]any) {
					p["response"].(map[string]any)["attestationObject"] = strings.Repeat("A", 16<<10)
				}
			}},
		} {
			c, err := w.BeginPasskeyRegistration(ctx, w.alice, here)
			require.NoError(t, err)
			d := newDevice(t, flagPresent)
			tc.spoil(d)
			p, factors, err := w.FinishPasskeyRegistration(ctx, w.alice, here, c.Sealed, "", d.create(t, c))
			require.ErrorIs(t, err, idp.ErrFactor, name)
			require.Empty(t, factors)
			require.Empty(t, p.ID)
			require.Equal(t, []string{"webauthn.rejected passkey " + tc.reason}, w.reasons(), name)
		}
		for name, response := range map[string]string{"empty": "", "null": "null", "list": "[]", "text": "{", "trailing": "{} {}"} {
			c, err := w.BeginPasskeyRegistration(ctx, w.alice, here)
			require.NoError(t, err)
			_, _, err = w.FinishPasskeyRegistration(ctx, w.alice, here, c.Sealed, "", []byte(response))
			require.ErrorIs(t, err, idp.ErrFactor, name)
		}
		w.notes.take()

		// The state is one person's, one browser's, one kind's, and ends.
		c, err := w.BeginPasskeyRegistration(ctx, w.alice, here)
		require.NoError(t, err)
		d := newDevice(t, flagPresent)
		response := d.create(t, c)
		other, err := w.BeginPasskeySignIn(ctx, idp.PasskeyRequest{Browser: here})
		require.NoError(t, err)
		for name, finish := range map[string]func() error{
			"another browser": func() error {
				_, _, err := w.FinishPasskeyRegistration(ctx, w.alice, elsewhere, c.Sealed, "", response)
				return err
			},
			"another person": func() error {
				_, _, err := w.FinishPasskeyRegistration(ctx, w.bob, here, c.Sealed, "", response)
				return err
			},
			"a sign-in's state": func() error {
				_, _, err := w.FinishPasskeyRegistration(ctx, w.alice, here, other.Sealed, "", response)
				return err
			},
			"no state": func() error {
				_, _, err := w.FinishPasskeyRegistration(ctx, w.alice, here, "", "", response)
				return err
			},
		} {
			require.ErrorIs(t, finish(), idp.ErrFactor, name)
			require.Equal(t, []string{"webauthn.rejected passkey state"}, w.reasons(), name)
		}
		_, _, err = w.FinishPasskeyRegistration(ctx, w.alice, here, c.Sealed, "", response)
		require.NoError(t, err, "none of that used it up")
		_, _, err = w.FinishPasskeyRegistration(ctx, w.alice, here, c.Sealed, "", newDevice(t, flagPresent).create(t, c))
		require.ErrorIs(t, err, idp.ErrFactor)
		require.Equal(t, []string{"webauthn.rejected passkey replayed"}, w.reasons())

		// Somebody has it: section 7.1 step 26.
		taken, err := w.BeginPasskeyRegistration(ctx, w.bob, here)
		require.NoError(t, err)
		_, _, err = w.FinishPasskeyRegistration(ctx, w.bob, here, taken.Sealed, "", d.create(t, taken))
		require.ErrorIs(t, err, idp.ErrConflict)
		require.Equal(t, []string{"webauthn.rejected passkey known_credential"}, w.reasons())

		late, err := w.BeginPasskeyRegistration(ctx, w.alice, here)
		require.NoError(t, err)
		w.pass(5 * time.Minute)
		_, _, err = w.FinishPasskeyRegistration(ctx, w.alice, here, late.Sealed, "", newDevice(t, flagPresent).create(t, late))
		require.ErrorIs(t, err, idp.ErrFactor)
		require.Equal(t, []string{"webauthn.rejected passkey expired"}, w.reasons())
		has, err := w.Of(ctx, w.alice.ID)
		require.NoError(t, err)
		require.Len(t, has.Passkeys, 1)
	})
}

// WebAuthn section 7.2, each thing that may be wrong with an answer by itself.
func TestAttack_Q14_SignInRefusals(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		ctx := t.Context()
		alices, bobs := newDevice(t, flagPresent|flagVerified), newDevice(t, flagPresent|flagVerified)
		alices.count = 10
		w.register(t, w.alice, alices)
		w.register(t, w.bob, bobs)
		refused := func(name, reason string, r idp.PasskeyRequest, spoil func(d *device)) {
			t.Helper()
			before, err := w.Of(ctx, w.alice.ID)
			require.NoError(t, err)
			d := *alices
			d.count = 11
			spoil(&d)
			u, factors, err := w.signIn(t, r, &d)
			require.ErrorIs(t, err, idp.ErrFactor, name)
			require.Empty(t, u.ID)
			require.Empty(t, factors)
			require.Equal(t, []string{"webauthn.rejected passkey " + reason}, w.reasons(), name)
			after, err := w.Of(ctx, w.alice.ID)
			require.NoError(t, err)
			require.Equal(t, before, after, name)
		}
		anybody, alice := idp.PasskeyRequest{}, idp.PasskeyRequest{UserID: w.alice.ID}
		for name, tc := range map[string]struct {
			reason string
			spoil  func(d *device)
		}{
			"type of a registration":   {"type", func(d *device) { d.typ = "webauthn.create" }},
			"challenge":                {"challenge", func(d *device) { d.challenge = b64(make([]byte, 32)) }},
			"origin":                   {"origin", func(d *device) { d.origin = "https://id.example.com.evil.example" }},
			"origin with another port": {"origin", func(d *device) { d.origin = "https://id.example.com:8443" }},
			"origin with a user":       {"origin", func(d *device) { d.origin = "https://evil@id.example.com" }},
			"cross origin":             {"origin", func(d *device) { d.crossOrigin = true }},
			"relying party":            {"rp_id", func(d *device) { d.rpID = "evil.example" }},
			"nobody touched it":        {"user_presence", func(d *device) { d.flags &^= flagPresent }},
			"backed up, not eligible":  {"backup_state", func(d *device) { d.flags |= flagBackedUp }},
			"eligible all of a sudden": {"backup_state", func(d *device) { d.flags |= flagEligible }},
			"counter stands":           {"counter", func(d *device) { d.count = 10 }},
			"counter back":             {"counter", func(d *device) { d.count = 9 }},
			"counter at zero":          {"counter", func(d *device) { d.count = 0 }},
			"unknown credential":       {"unknown_credential", func(d *device) { d.rawID = []byte("unknown") }},
			"another person's handle":  {"owner", func(d *device) { d.handleSent = bobs.handle }},
			"another's credential":     {"signature", func(d *device) { d.rawID, d.handleSent = bobs.id, bobs.handle }},
			"another key":              {"signature", func(d *device) { d.signer = bobs.signer }},
			"spoilt signature": {"signature", func(d *device) {
				d.spoil = func(p map[string]any) { p["response"].(map[string]any)["signature"] = "AAAA" }
			}},
			"huge CBOR": {"size", func(d *device) {
				d.spoil = func(p map[string]any) {
					p["response"].(map[string]any)["authenticatorData"] = strings.Repeat("A", 16<<10)
				}
			}},
		} {
			refused(name, tc.reason, anybody, tc.spoil)
			if name == "another's credential" {
				tc.reason = "owner"
			}
			refused(name, tc.reason, alice, tc.spoil)
		}
	})
}

// What TestAttack_Q14_SignInRefusals spoils in the answer alone; here it is
// somebody else's, of another time or of another browser.
func TestAttack_Q14_AnswersOutOfPlace(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		ctx := t.Context()
		alices, bobs := newDevice(t, flagPresent|flagVerified), newDevice(t, flagPresent)
		w.register(t, w.alice, alices)
		w.register(t, w.bob, bobs)
		begin := func(r idp.PasskeyRequest) idp.Ceremony {
			r.Browser = here
			c, err := w.BeginPasskeySignIn(ctx, r)
			require.NoError(t, err)
			return c
		}
		refused := func(reason string, browser []byte, sealed string, response []byte) {
			t.Helper()
			_, _, err := w.FinishPasskeySignIn(ctx, browser, sealed, response)
			require.ErrorIs(t, err, idp.ErrFactor, reason)
			require.Equal(t, []string{"webauthn.rejected passkey " + reason}, w.reasons())
		}
		c := begin(idp.PasskeyRequest{})
		refused("state", elsewhere, c.Sealed, alices.get(t, c))
		refused("state", here, "", alices.get(t, c))
		registration, err := w.BeginPasskeyRegistration(ctx, w.alice, here)
		require.NoError(t, err)
		refused("state", here, registration.Sealed, alices.get(t, c))
		refused("challenge", here, begin(idp.PasskeyRequest{}).Sealed, alices.get(t, c))

		// Once.
		response := alices.get(t, c)
		_, _, err = w.FinishPasskeySignIn(ctx, here, c.Sealed, response)
		require.NoError(t, err)
		refused("replayed", here, c.Sealed, response)
		refused("replayed", here, c.Sealed, bobs.get(t, c))

		// Whoever began as alice cannot go on as bob.
		known := begin(idp.PasskeyRequest{UserID: w.alice.ID})
		refused("owner", here, known.Sealed, bobs.get(t, known))
		before := begin(idp.PasskeyRequest{UserID: w.alice.ID})
		later := newDevice(t, flagPresent)
		w.register(t, w.alice, later)
		refused("owner", here, before.Sealed, later.get(t, before))
		anonymous := begin(idp.PasskeyRequest{})
		nameless := *alices
		nameless.handleSent = []byte{}
		refused("owner", here, anonymous.Sealed, nameless.get(t, anonymous))
		_, _, err = w.FinishPasskeySignIn(ctx, here, known.Sealed, nameless.get(t, known))
		require.NoError(t, err, "a known person needs no handle")

		// Verification that was required.
		must := begin(idp.PasskeyRequest{Verification: true})
		require.Contains(t, string(must.Options), `"userVerification":"required"`)
		refused("user_verification", here, must.Sealed, bobs.get(t, must))

		// Too late, and a disabled account.
		late := begin(idp.PasskeyRequest{})
		w.pass(5 * time.Minute)
		refused("expired", here, late.Sealed, alices.get(t, late))
		require.NoError(t, w.store.SetUserState(ctx, w.alice.ID, idp.UserDisabled, w.now(), idp.Event{Kind: idp.EventUserDisabled}))
		disabled := begin(idp.PasskeyRequest{})
		refused("disabled", here, disabled.Sealed, alices.get(t, disabled))
	})
}

// Of fifty that bring the same answer at the same moment one signs in, although
// the authenticator does not count.
func TestAttack_Q14_OneChallengeForManyAtOnce(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		d := newDevice(t, flagPresent)
		w.register(t, w.alice, d)
		c, err := w.BeginPasskeySignIn(t.Context(), idp.PasskeyRequest{Browser: here})
		require.NoError(t, err)
		response := d.get(t, c)
		var in, refused atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				switch _, _, err := w.FinishPasskeySignIn(t.Context(), here, c.Sealed, response); {
				case err == nil:
					in.Add(1)
				case errors.Is(err, idp.ErrFactor):
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, in.Load())
		require.EqualValues(t, 49, refused.Load())
		require.Len(t, w.events(t, idp.EventFactorUsed), 1)
	})
}

// WebAuthn section 7.2 steps 17 and 25: a security key that had no PIN when it
// was registered may have got one from its finder. Its word counts when another
// factor stood beside it.
func TestAttack_Q14_VerificationMustBeKnown(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		d := newDevice(t, flagPresent)
		require.False(t, w.register(t, w.alice, d).UserVerified)
		d.flags |= flagVerified
		_, factors, err := w.signIn(t, idp.PasskeyRequest{}, d)
		require.NoError(t, err)
		require.Equal(t, []idp.Factor{idp.FactorPasskey, idp.FactorBound}, factors)
		_, _, err = w.signIn(t, idp.PasskeyRequest{Verification: true}, d)
		require.ErrorIs(t, err, idp.ErrFactor)
		require.Equal(t, []string{"webauthn.rejected passkey user_verification"}, w.reasons())

		for _, r := range []idp.PasskeyRequest{{UserID: w.alice.ID}, {}, {Verification: true}} {
			_, factors, err = w.signIn(t, r, d)
			require.NoError(t, err)
			require.Equal(t, []idp.Factor{idp.FactorPasskey, idp.FactorVerified, idp.FactorBound}, factors)
		}
	})
}

// WebAuthn section 7.1 step 15: what is made in passing needs no touch, and
// proves nothing then; using it does.
func TestPasskeyMadeInPassing(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		ctx := t.Context()
		for _, flags := range []byte{flagEligible | flagBackedUp, flagEligible | flagPresent} {
			c, err := w.BeginPasskeyUpgrade(ctx, w.alice, here)
			require.NoError(t, err)
			require.Contains(t, string(c.Options), `"mediation":"conditional"`)
			d := newDevice(t, flags)
			_, factors, err := w.FinishPasskeyRegistration(ctx, w.alice, here, c.Sealed, "", d.create(t, c))
			require.NoError(t, err)
			require.Equal(t, flags&flagPresent != 0, len(factors) > 0)
			_, _, err = w.signIn(t, idp.PasskeyRequest{}, d)
			require.Equal(t, flags&flagPresent != 0, err == nil)
		}
	})
}

// WebAuthn ties passkeys to a domain.
func TestPasskeysNeedADomain(t *testing.T) {
	t.Parallel()
	w := &factorWorld{notes: &notes{}}
	for issuer, want := range map[string]bool{
		"https://id.example.com": true, "https://ID.example.com:8443/tenant": true, "http://localhost:8080": true, "https://sso": false,
		"http://127.0.0.1:8080": false, "http://[::1]:8080": false, "https://192.0.2.7": false, "https://[2001:db8::1]": false,
	} {
		f := newFactors(t, w, issuer, freely{})
		require.Equal(t, want, f.PasskeysAvailable(), issuer)
		if want {
			continue
		}
		_, err := f.BeginPasskeySignIn(t.Context(), idp.PasskeyRequest{})
		require.ErrorIs(t, err, idp.ErrNotFound)
		_, err = f.BeginPasskeyRegistration(t.Context(), idp.User{ID: "u"}, nil)
		require.ErrorIs(t, err, idp.ErrNotFound)
		_, err = f.AcceptedPasskeys(t.Context(), "u")
		require.ErrorIs(t, err, idp.ErrNotFound)
		_, _, err = f.FinishPasskeySignIn(t.Context(), nil, "", nil)
		require.ErrorIs(t, err, idp.ErrFactor)
		_, _, err = f.FinishPasskeyRegistration(t.Context(), idp.User{ID: "u"}, nil, "", "", nil)
		require.ErrorIs(t, err, idp.ErrFactor)
	}
	_, err := users.NewFactors(users.FactorsConfig{Issuer: "nonsense"})
	require.Error(t, err)
}

func TestPasskeyProviders(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Proton Pass", users.PasskeyProvider([16]byte([]byte("ProtonPassProton"))))
	require.Empty(t, users.PasskeyProvider([16]byte{}))
}

func TestRoundTripsOfPasskeys(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		d := newDevice(t, flagPresent)
		w.register(t, w.alice, d)
		count := func(name string, want int, call func(ctx context.Context) error) {
			t.Helper()
			request := &idp.Request{}
			require.NoError(t, call(idp.WithRequest(t.Context(), request)), name)
			require.EqualValues(t, want, request.RoundTrips.Load(), name)
		}
		var c idp.Ceremony
		begin := func(r idp.PasskeyRequest) func(context.Context) error {
			return func(ctx context.Context) (err error) {
				r.Browser = here
				c, err = w.BeginPasskeySignIn(ctx, r)
				return err
			}
		}
		count("known user", 1, begin(idp.PasskeyRequest{UserID: w.alice.ID}))
		count("anybody", 0, begin(idp.PasskeyRequest{}))
		count("sign in", 2, func(ctx context.Context) error { // read, use
			_, _, err := w.FinishPasskeySignIn(ctx, here, c.Sealed, d.get(t, c))
			return err
		})
		count("register", 2, func(ctx context.Context) error {
			_, err := w.BeginPasskeyRegistration(ctx, w.alice, here)
			return err
		})
	})
}

// onePasskey is a store in which the one passkey is whatever is asked for.
type onePasskey struct {
	users.FactorStore
	state idp.PasskeyState
}

func (o onePasskey) PasskeyState(context.Context, []byte) (idp.PasskeyState, error) {
	return o.state, nil
}

func (o onePasskey) UserHandle(context.Context, string, []byte) ([]byte, error) {
	return o.state.Handle, nil
}

func (o onePasskey) Factors(context.Context, string) (idp.Factors, error) { return idp.Factors{}, nil }

// Whatever comes as an answer is refused quietly: the challenge is not the one
// that any seed has signed.
func FuzzPasskeyAnswers(f *testing.F) {
	w := &factorWorld{notes: &notes{}}
	d := newDevice(f, flagPresent|flagVerified)
	d.handle = bytes.Repeat([]byte{7}, 32)
	key, err := webauthncbor.Marshal(d.public)
	require.NoError(f, err)
	alice := idp.User{ID: "u-alice", Username: "alice", State: idp.UserActive}
	w.Factors = factorsOver(f, w, onePasskey{state: idp.PasskeyState{
		Passkey: idp.Passkey{ID: d.id, UserID: alice.ID, PublicKey: key}, Handle: d.handle, User: alice,
	}}, "https://id.example.com", freely{})
	ctx := context.Background()
	begun := func() (idp.Ceremony, idp.Ceremony) {
		in, err := w.BeginPasskeySignIn(ctx, idp.PasskeyRequest{Browser: here})
		require.NoError(f, err)
		made, err := w.BeginPasskeyRegistration(ctx, alice, here)
		require.NoError(f, err)
		return in, made
	}
	in, made := begun()
	for _, seed := range [][]byte{d.get(f, in), d.create(f, made), nil, []byte("{}"), []byte("null"), []byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{}}`)} {
		f.Add(seed)
	}
	in, made = begun()
	f.Fuzz(func(t *testing.T, response []byte) {
		_, factors, err := w.FinishPasskeySignIn(ctx, here, in.Sealed, response)
		require.ErrorIs(t, err, idp.ErrFactor)
		require.Empty(t, factors)
		_, factors, err = w.FinishPasskeyRegistration(ctx, alice, here, made.Sealed, "", response)
		require.ErrorIs(t, err, idp.ErrFactor)
		require.Empty(t, factors)
		w.notes.take()
	})
}
