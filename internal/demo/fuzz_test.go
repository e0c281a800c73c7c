package demo

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Whatever an issuer or an API sends, the pieces shown add up to it.
func FuzzSpans(f *testing.F) {
	for _, seed := range []string{`{"exp":1767323045,"a":["b",null,true,-1.5e3]}`, `"\\\""`, `{"a:":{}}`, ``, `not json`, `[1,2`, "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		want, _ := indent([]byte(raw))
		got := ""
		for _, s := range spans([]byte(raw)) {
			got += s.Text
		}
		if got != want {
			t.Errorf("spans(%q) add up to %q, want %q", raw, got, want)
		}
	})
}

// No header gets past the API without an issuer to vouch for it, and none makes
// it ask an issuer unless it looks like an access token.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{
		"", "Bearer", "Bearer ", "bearer a.b.c", "Basic YTpi", "Bearer e30.e30.",
		"Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.AA", "Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authorization string) {
		asked := false
		api := NewAPI(APIConfig{
			Issuer: "https://id.example.test", Audience: "https://api.example.test", Now: time.Now,
			HTTPClient: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				asked = true
				return nil, http.ErrHandlerTimeout
			})},
		})
		r := httptest.NewRequest(http.MethodGet, "https://api.example.test/", nil)
		r.Header["Authorization"] = []string{authorization}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		switch {
		case asked && w.Code != http.StatusServiceUnavailable:
			t.Errorf("%q: %d although the issuer is away", authorization, w.Code)
		case !asked && w.Code != http.StatusUnauthorized:
			t.Errorf("%q: %d, want 401", authorization, w.Code)
		case !asked && w.Header().Get("WWW-Authenticate") == "":
			t.Errorf("%q: 401 without a challenge", authorization)
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
