package tokens_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"idp/internal/idp"
	"idp/internal/tokens"
)

func TestParseMasterKey(t *testing.T) {
	t.Parallel()
	key := make([]byte, 34) // needs padding in base64, and both odd characters
	for i := range key {
		key[i] = 0xff - byte(i*3)
	}
	for name, text := range map[string]string{
		"base64":            base64.StdEncoding.EncodeToString(key),
		"base64 unpadded":   base64.RawStdEncoding.EncodeToString(key),
		"base64url":         base64.URLEncoding.EncodeToString(key),
		"base64url raw":     base64.RawURLEncoding.EncodeToString(key),
		"hex":               hex.EncodeToString(key),
		"hex upper case":    strings.ToUpper(hex.EncodeToString(key)),
		"a file's new line": base64.StdEncoding.EncodeToString(key) + "\r\n",
	} {
		got, err := tokens.ParseMasterKey(text)
		if err != nil || !bytes.Equal(got, key) {
			t.Errorf("%s: got %x, %v", name, got, err)
		}
	}
	for name, text := range map[string]string{
		"empty":              "",
		"padding alone":      "====",
		"31 bytes":           base64.StdEncoding.EncodeToString(key[:31]),
		"31 bytes as hex":    hex.EncodeToString(key[:31]),
		"both alphabets":     "+-" + base64.RawStdEncoding.EncodeToString(key),
		"a line break in it": base64.RawStdEncoding.EncodeToString(key)[:20] + "\n" + base64.RawStdEncoding.EncodeToString(key)[20:],
		"a sentence":         "correct horse battery staple correct horse battery staple",
		"too much padding":   base64.RawStdEncoding.EncodeToString(key) + "===",
	} {
		got, err := tokens.ParseMasterKey(text)
		if err == nil {
			t.Errorf("%s: accepted as %x", name, got)
			continue
		}
		for _, word := range strings.Fields(text) {
			if len(word) > 3 && strings.Contains(err.Error(), word) {
				t.Errorf("%s: the error shows the key: %v", name, err)
			}
		}
	}
}

func TestGenerateMasterKey(t *testing.T) {
	t.Parallel()
	one, other := tokens.GenerateMasterKey(), tokens.GenerateMasterKey()
	if one == other {
		t.Fatal("generated the same key twice")
	}
	key, err := tokens.ParseMasterKey(one)
	if err != nil || len(key) != 32 {
		t.Fatalf("%d bytes, %v", len(key), err)
	}
	if _, err := tokens.NewMaster(key); err != nil {
		t.Fatal(err)
	}
}

func TestNewMasterRefusesWeakKeys(t *testing.T) {
	t.Parallel()
	for _, key := range [][]byte{nil, make([]byte, 31), make([]byte, 32), bytes.Repeat([]byte{'x'}, 64)} {
		if _, err := tokens.NewMaster(key); err == nil {
			t.Errorf("accepted %d bytes of %v", len(key), key[:min(1, len(key))])
		}
	}
}

func TestMasterPrintsNothing(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 3)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, m); got != "[master key]" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	m, place := newMaster(t, 3), []byte("row 1")
	sealed, err := m.Seal(tokens.PurposeSigningKeys, []byte("plain"), place)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Open(tokens.PurposeSigningKeys, sealed, place); err != nil || string(got) != "plain" {
		t.Fatalf("got %q, %v", got, err)
	}
	again, err := m.Seal(tokens.PurposeSigningKeys, []byte("plain"), place)
	if err != nil || bytes.Equal(sealed, again) {
		t.Errorf("sealing twice gives the same: %v", err)
	}
	for i := range sealed {
		for bit := range 8 {
			broken := bytes.Clone(sealed)
			broken[i] ^= 1 << bit
			if _, err := m.Open(tokens.PurposeSigningKeys, broken, place); err == nil {
				t.Fatalf("bit %d of byte %d does not matter", bit, i)
			}
		}
		_, err := m.Open(tokens.PurposeSigningKeys, sealed[:i], place)
		refuse(t, err, idp.ErrMalformed)
	}
	_, err = m.Open(tokens.PurposeSigningKeys, append(bytes.Clone(sealed), 0), place)
	refuse(t, err, idp.ErrMalformed)
	_, err = m.Open(tokens.PurposeSigningKeys, sealed, []byte("row 2"))
	refuse(t, err, idp.ErrMalformed)
	_, err = m.Open(tokens.PurposeFlow, sealed, place)
	refuse(t, err, idp.ErrMalformed)
	_, err = newMaster(t, 4).Open(tokens.PurposeSigningKeys, sealed, place)
	refuse(t, err, idp.ErrMalformed)
	// Keys that hash never encrypt, and there is no key for what is unknown.
	for _, purpose := range []string{"", "opaque", "browser", "client-secret", "check", "x"} {
		if _, err := m.Seal(purpose, nil, nil); err == nil {
			t.Errorf("sealed for %q", purpose)
		}
		if _, err := m.Open(purpose, sealed, place); err == nil {
			t.Errorf("opened for %q", purpose)
		}
	}
}

func TestClientSecrets(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 3)
	hash := m.HashSecret("s3cret")
	if !m.VerifySecret(hash, "s3cret") {
		t.Error("the right secret is refused")
	}
	for name, c := range map[string]struct{ hash, presented string }{
		"another secret":       {hash, "s3creT"},
		"a longer one":         {hash, "s3cret "},
		"empty secret":         {hash, ""},
		"empty hash":           {"", "s3cret"},
		"both empty":           {"", ""},
		"hash of nothing":      {m.HashSecret(""), ""},
		"the hash itself":      {hash, hash},
		"plain text as hash":   {"s3cret", "s3cret"},
		"prefix alone":         {"hmac-sha256:", "s3cret"},
		"another master's":     {newMaster(t, 4).HashSecret("s3cret"), "s3cret"},
		"hash with more to it": {hash + "A", "s3cret"},
	} {
		if m.VerifySecret(c.hash, c.presented) {
			t.Errorf("%s: accepted", name)
		}
	}
	if strings.Contains(hash, base64.RawURLEncoding.EncodeToString(m.Bind("s3cret"))) {
		t.Error("two purposes share a key")
	}
}

// What is stored or handed out today has to be readable by every later version.
func TestFormatsStay(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 3)
	check := func(name, got, want string) {
		if got != want {
			t.Errorf("%s is %q, was %q", name, got, want)
		}
	}
	check("check value", hex.EncodeToString(m.CheckValue()), "325b54e655f5eed51d5da2e98a3efc63dc4a79e9c5bcd29140f82453b37f22bb")
	check("secret hash", m.HashSecret("s3cret"), "hmac-sha256:REoksqjeAWJaQwsIzRzaUWGoIU7AFBckyDQxiU61mk4")
	check("browser binding", hex.EncodeToString(m.Bind("cookie")), "4ac2648d5e7c44de9851e4da23680bc70b8ee091fef05be73845b6db3aab8722")
	check("refresh token", m.MintOpaque(idp.OpaqueToken{
		Kind: idp.KindRefresh, ExpiresOn: 20545, ID: idp.ID{0xde, 0xad, 15: 0xff}, Generation: 7,
	}, []byte("0123456789abcdef")), "idp_rt_AXJQQd6tAAAAAAAAAAAAAAAAAP8AAAAHeDTHlsOiAsS6FRSyl8SB24_rgHA-psbKH62SsO8p0HYDlYvY")
	sealed, err := hex.DecodeString("01e8586f41c8740af6eafe3c8b2bd0b8c2b019987899730551a3618dd48318e530e70fef1959884ef04ef64908632d4bb549")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := m.Open(tokens.PurposeFlow, sealed, []byte("place"))
	if err != nil {
		t.Fatal(err)
	}
	check("sealed text", string(plain), "plain")
}
