package server_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/server"
)

// A thing that a path names has one address, whatever its name holds, also
// under an issuer with a path; every other spelling is nobody's.
func TestNamesInPathsHaveOneSpelling(t *testing.T) {
	t.Parallel()
	for _, issuer := range []string{"https://id.example", "https://id.example/sso"} {
		h, err := server.NewHandler(server.HandlerConfig{
			Issuer: issuer,
			Handlers: server.Handlers{AdminResource: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.PathValue("audience")+" "+r.URL.EscapedPath())
			})},
			Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		})
		require.NoError(t, err)
		for segment, want := range map[string]string{
			"plain":                          "plain",
			"https%3A%2F%2Fapi.example%2Fv1": "https://api.example/v1",
			"https:%2F%2Fapi.example%2Fv1":   "https://api.example/v1",
			"a%20b%25%C3%A9":                 "a b%é",
			"%70lain":                        "", // p needs no encoding
			"https%3a%2f%2fapi.example":      "", // lower case
			"a%2":                            "",
			"a%00b":                          "",
			"a%0Ab":                          "",
			"%FF":                            "", // not UTF-8
			"a//b":                           "",
			"a/b":                            "",
			"a;b":                            "",
			"":                               "",
		} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, issuer+"/admin/resources/x", nil)
			r.RequestURI = "/admin/resources/" + segment
			r.URL.RawPath = ""
			parsed, err := r.URL.Parse(issuer + "/admin/resources/" + segment)
			if err == nil {
				r.URL = parsed
				h.ServeHTTP(w, r)
			}
			if want == "" {
				require.True(t, err != nil || w.Code == http.StatusNotFound, "%s: %d %s", segment, w.Code, w.Body)
				if err == nil {
					require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), segment)
				}
				continue
			}
			require.Equal(t, want+" /admin/resources/"+segment, w.Body.String(), segment)
		}
	}
}
