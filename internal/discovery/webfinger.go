package discovery

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// issuerRelation is the link relation by which a client asks whose issuer
// somebody is at (OpenID Connect Discovery section 2).
const issuerRelation = "http://openid.net/specs/connect/1.0/issuer"

// WebFinger says that the issuer is in charge of an account (RFC 7033, OpenID
// Connect Discovery section 2). It answers the same for every account, whether
// it exists or not: which domains it is asked for is decided by who sends their
// requests here.
func WebFinger(issuer string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		resource := query["resource"]
		if err != nil || len(resource) != 1 || !isSubject(resource[0]) {
			http.Error(w, "resource must be one acct: or https: URI", http.StatusBadRequest)
			return
		}
		type link struct {
			Rel  string `json:"rel"`
			Href string `json:"href"`
		}
		links := []link{}
		if rels := query["rel"]; len(rels) == 0 || slices.Contains(rels, issuerRelation) {
			links = append(links, link{issuerRelation, issuer})
		}
		body, err := json.Marshal(struct {
			Subject string `json:"subject"`
			Links   []link `json:"links"`
		}{resource[0], links})
		if err != nil { // strings only
			http.Error(w, "", http.StatusInternalServerError)
			return
		}
		h := w.Header()
		// Anybody's script may ask (RFC 7033 section 5): there is nothing to learn.
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Content-Type", "application/jrd+json")
		h.Set("Cache-Control", CacheControl)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(body)
		}
	})
}

// isSubject reports whether a URI can name somebody.
func isSubject(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > 512 {
		return false
	}
	switch u.Scheme {
	case "acct":
		_, host, ok := strings.Cut(u.Opaque, "@")
		return ok && host != ""
	case "https", "http":
		return u.Host != ""
	}
	return false
}
