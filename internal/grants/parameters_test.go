package grants

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
)

func FuzzParameters(f *testing.F) {
	for _, s := range []string{"a=b", "a=b&a=c", "resource=x&resource=y", "a=%zz", "a;b=c", "client_secret=", strings.Repeat("a=b&", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parseParameters(raw)
		if err != nil {
			return
		}
		for name, values := range p.values {
			if len(values) > 1 && !repeatable(name) && !hasScope(p.duplicated, name) {
				t.Errorf("%q came %d times unnoticed", name, len(values))
			}
			if len(values) == 0 || values[0] == "" {
				t.Errorf("%q is empty, which counts as omitted", name)
			}
		}
		// What was understood once is understood the same again.
		again, err := parseParameters(p.values.Encode())
		if err != nil || again.values.Encode() != p.values.Encode() {
			t.Errorf("%q does not survive encoding: %v", raw, err)
		}
	})
}

func FuzzBasicCredentials(f *testing.F) {
	enc := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, s := range []string{enc("id:secret"), enc("id:"), enc(":"), enc("id"), enc("a%3Ab:c%20d"), "Basic !!!", "Bearer x", "Basic", enc("i%zz:s")} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		id, secret, ok := basicCredentials(header)
		if ok && (id == "" || secret == "") {
			t.Errorf("%q yields empty credentials", header)
		}
	})
}

// RFC 6749 section 2.3.1: both halves of Basic credentials are form-encoded.
func TestRFC6749_2_3_1_BasicCredentialsAreFormEncoded(t *testing.T) {
	id, secret, ok := basicCredentials("basic " + base64.StdEncoding.EncodeToString([]byte("a%3Ab:c%2Bd+e")))
	if !ok || id != "a:b" || secret != "c+d e" {
		t.Errorf("got %q, %q, %v", id, secret, ok)
	}
}

// RFC 6749 appendix A.4: scope tokens are %x21 / %x23-5B / %x5D-7E, separated
// by single spaces.
func TestRFC6749_3_3_ScopeSyntax(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "openid": true, "a b": true, "a:b/c.d": true,
		"a  b": false, " a": false, "a ": false, "a a": false, "a\"b": false, "a\\b": false, "ä": false, "a\tb": false,
	} {
		if _, ok := scopeList(s); ok != want {
			t.Errorf("%q: %v, want %v", s, ok, want)
		}
	}
}

// Guessing is free ten times, then it costs six seconds a guess.
func TestLimiterLetsTenGuessesPass(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := newLimiter(func() time.Time { return now }, freeGuesses, guessInterval)
	for i := range freeGuesses {
		if wait := l.blocked("k"); wait > 0 {
			t.Fatalf("guess %d has to wait %v", i+1, wait)
		}
		l.failed("k")
	}
	if wait := l.blocked("k"); wait != guessInterval {
		t.Errorf("the guess after the free ones waits %v, want %v", wait, guessInterval)
	}
	if wait := l.blocked("other"); wait != 0 {
		t.Errorf("another key waits %v", wait)
	}
	now = now.Add(guessInterval)
	if wait := l.blocked("k"); wait != 0 {
		t.Errorf("after the interval it still waits %v", wait)
	}
}

// The body of a token request is urlencoded, in UTF-8, and the URL holds
// nothing.
func TestRFC6749_3_2_FormOnly(t *testing.T) {
	for _, tc := range []struct {
		url, contentType, body string
		want                   bool
	}{
		{"/", "application/x-www-form-urlencoded", "a=b", true},
		{"/", "application/x-www-form-urlencoded; charset=utf-8", "a=b", true},
		{"/", "application/x-www-form-urlencoded; charset=latin1", "a=b", false},
		{"/?a=b", "application/x-www-form-urlencoded", "c=d", false},
		{"/?", "application/x-www-form-urlencoded", "c=d", false},
		{"/", "application/json", `{"a":"b"}`, false},
		{"/", "multipart/form-data; boundary=x", "--x--", false},
		{"/", "", "a=b", false},
		{"/", "application/x-www-form-urlencoded", "a=b&a=c", false},
		{"/", "application/x-www-form-urlencoded", "resource=b&resource=c", true},
		{"/", "application/x-www-form-urlencoded", "a=%", false},
	} {
		r, err := http.NewRequest(http.MethodPost, tc.url, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		if tc.contentType != "" {
			r.Header.Set("Content-Type", tc.contentType)
		}
		if _, oauthErr := parseForm(r); (oauthErr == nil) != tc.want {
			t.Errorf("%+v: %v", tc, oauthErr)
		}
	}
}
