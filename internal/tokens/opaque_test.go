package tokens_test

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"idp/internal/idp"
)

var (
	opaqueKinds = []idp.TokenKind{idp.KindCode, idp.KindRefresh, idp.KindAccess, idp.KindSession, idp.KindPushed, idp.KindInitial, idp.KindRegistration}
	salt        = []byte("0123456789abcdef")
)

// saltOf is the salt that a row of the kind has: none for access tokens.
func saltOf(kind idp.TokenKind) []byte {
	if kind == idp.KindAccess {
		return nil
	}
	return salt
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func TestOpaqueRoundTrip(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 3)
	rapid.Check(t, func(t *rapid.T) {
		want := idp.OpaqueToken{
			Kind:       rapid.SampledFrom(opaqueKinds).Draw(t, "kind"),
			ExpiresOn:  idp.Day(rapid.Uint16().Draw(t, "day")),
			ID:         idp.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
			Generation: rapid.Uint32().Draw(t, "generation"),
		}
		s := m.MintOpaque(want, saltOf(want.Kind))
		if again := m.MintOpaque(want, saltOf(want.Kind)); s != again {
			t.Fatal("the same link of a family is two tokens")
		}
		for _, kind := range opaqueKinds {
			got, err := m.ParseOpaque(kind, s)
			if (err == nil) != (kind == want.Kind) {
				t.Fatalf("a %c as %c: %v", want.Kind, kind, err)
			}
			if err == nil && got != want {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		}
		if !m.VerifyOpaque(s, saltOf(want.Kind)) {
			t.Fatal("not verified")
		}
	})
}

// Every single-character change, truncation and extension is refused before
// the database is asked.
func TestAttack_E08_OpaqueTokenHasOneSpelling(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 3)
	for _, kind := range opaqueKinds {
		s := m.MintOpaque(idp.OpaqueToken{Kind: kind, ExpiresOn: 20545, ID: idp.ID{1, 2, 3, 15: 4}, Generation: 3}, saltOf(kind))
		bad := func(what, changed string) {
			if _, err := m.ParseOpaque(kind, changed); err == nil {
				t.Fatalf("%c: %s: parsed %q", kind, what, changed)
			}
			if m.VerifyOpaque(changed, saltOf(kind)) {
				t.Fatalf("%c: %s: verified %q", kind, what, changed)
			}
		}
		for i := range len(s) {
			for _, c := range []byte(base64url + "=+/ \r\n\t\x00\x80.~") {
				if c != s[i] {
					bad("changed", s[:i]+string([]byte{c})+s[i+1:])
				}
				bad("inserted", s[:i]+string([]byte{c})+s[i:])
			}
			bad("truncated", s[:i])
			bad("cut out", s[:i]+s[i+1:])
			bad("cut in front", s[i+1:])
			if i > 0 && s[i-1] != s[i] {
				bad("swapped", s[:i-1]+s[i:i+1]+s[i-1:i]+s[i+1:])
			}
		}
		for _, tail := range []string{"A", "=", "==", "AAAA", "\n", " ", "\x00", s} {
			bad("extended", s+tail)
		}
		bad("upper case", strings.ToUpper(s))
	}
}

// The checksum is no secret: with it put right, only the proof is left to
// refuse a forgery.
func TestAttack_E08_OpaqueTokenForged(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 3)
	s := m.MintOpaque(idp.OpaqueToken{Kind: idp.KindRefresh, ExpiresOn: 20545, ID: idp.ID{1}, Generation: 3}, salt)
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(s, "idp_rt_"))
	if err != nil || len(raw) != 60 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	for i := range 56 {
		for bit := range 8 {
			forged := append([]byte(nil), raw...)
			forged[i] ^= 1 << bit
			binary.BigEndian.PutUint32(forged[56:], crc32.ChecksumIEEE(forged[:56]))
			text := "idp_rt_" + base64.RawURLEncoding.EncodeToString(forged)
			if _, err := m.ParseOpaque(idp.KindRefresh, text); (err == nil) != (i >= 2) {
				t.Fatalf("byte %d: parsed: %v", i, err)
			}
			if m.VerifyOpaque(text, salt) {
				t.Fatalf("bit %d of byte %d forged", bit, i)
			}
		}
	}
	if m.VerifyOpaque(s, []byte("0123456789abcdeF")) || m.VerifyOpaque(s, nil) || m.VerifyOpaque(s, salt[:15]) {
		t.Error("another row's salt, or none, verifies")
	}
	if newMaster(t, 4).VerifyOpaque(s, salt) {
		t.Error("another master key verifies")
	}
}

func TestMintOpaqueRefusesMistakes(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 3)
	for name, mint := range map[string]func(){
		"no salt":             func() { m.MintOpaque(idp.OpaqueToken{Kind: idp.KindCode}, nil) },
		"short salt":          func() { m.MintOpaque(idp.OpaqueToken{Kind: idp.KindCode}, salt[:15]) },
		"salted access token": func() { m.MintOpaque(idp.OpaqueToken{Kind: idp.KindAccess}, salt) },
		"no such kind":        func() { m.MintOpaque(idp.OpaqueToken{Kind: 'x'}, salt) },
		"zero token":          func() { m.MintOpaque(idp.OpaqueToken{}, salt) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: minted", name)
				}
			}()
			mint()
		}()
	}
	if _, err := m.ParseOpaque(0, ""); err == nil {
		t.Error("parsed a token of no kind")
	}
}

func FuzzParseOpaque(f *testing.F) {
	m := newMaster(f, 3)
	for _, kind := range opaqueKinds {
		f.Add(byte(kind), m.MintOpaque(idp.OpaqueToken{Kind: kind, ID: idp.ID{1}}, saltOf(kind)))
	}
	f.Fuzz(func(t *testing.T, kind byte, s string) {
		parsed, err := m.ParseOpaque(idp.TokenKind(kind), s)
		if err != nil {
			refuse(t, err, idp.ErrMalformed)
			return
		}
		minted := m.MintOpaque(parsed, saltOf(parsed.Kind))
		if len(s) != len(minted) {
			t.Fatalf("%q has another length than %q", s, minted)
		}
		if m.VerifyOpaque(s, saltOf(parsed.Kind)) != (s == minted) {
			t.Fatalf("%q and %q", s, minted)
		}
	})
}
