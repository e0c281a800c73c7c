package discovery_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/discovery"
)

// An end that nobody set is less than a year ahead, and the same all day (RFC
// 9116 section 2.5.5); an https issuer says where the file belongs.
func TestRFC9116_2_5_5_Expires(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 30, 0, 0, time.FixedZone("", 3600))
	file := discovery.SecurityTxt{Issuer: "https://id.example.com/tenant", Contacts: []string{"mailto:security@example.com"}}
	h := file.Handler(func() time.Time { return now })
	get := func(etag string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, discovery.SecurityTxtPath, nil)
		r.Header.Set("If-None-Match", etag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			require.Equal(t, "Contact: mailto:security@example.com\nExpires: 2026-05-30T00:00:00Z\nCanonical: https://id.example.com/.well-known/security.txt\n", w.Body.String())
		}
		return w.Result()
	}
	first := get("")
	now = now.Add(8 * time.Hour)
	require.Equal(t, http.StatusNotModified, get(first.Header.Get("ETag")).StatusCode)
}
