package discovery

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// SecurityTxtPath is where security.txt is, at the root of the host (RFC 9116
// section 3).
const SecurityTxtPath = "/.well-known/security.txt"

// securityTxtLife is how far ahead the file expires when its operator does not
// say; RFC 9116 section 2.5.5 asks for less than a year.
const securityTxtLife = 90 * 24 * time.Hour

// SecurityTxt says how to report a vulnerability of this installation. The
// operator's values are checked before: no line breaks, URIs with a scheme.
type SecurityTxt struct {
	Issuer             string
	Contacts           []string // URIs, the preferred one first; none for no file
	Expires            time.Time
	Encryption         string // URI
	Acknowledgments    string // URI
	Policy             string // URI
	PreferredLanguages []string
}

// Handler serves the file. It is rendered anew for each request, because
// without a configured Expires its end moves on from day to day.
func (s SecurityTxt) Handler(now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := s.render(now())
		serve(w, r, Page{Body: body, ETag: etagOf(body)}, "text/plain; charset=utf-8")
	})
}

func (s SecurityTxt) render(now time.Time) []byte {
	expires := s.Expires
	if expires.IsZero() {
		expires = now.UTC().Truncate(24 * time.Hour).Add(securityTxtLife)
	}
	var file strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&file, "%s: %s\n", name, value)
		}
	}
	for _, contact := range s.Contacts {
		field("Contact", contact)
	}
	field("Expires", expires.UTC().Format(time.RFC3339))
	field("Encryption", s.Encryption)
	field("Acknowledgments", s.Acknowledgments)
	field("Policy", s.Policy)
	field("Preferred-Languages", strings.Join(s.PreferredLanguages, ", "))
	if u, err := url.Parse(s.Issuer); err == nil && u.Scheme == "https" { // section 2.5.2: https only
		field("Canonical", "https://"+u.Host+SecurityTxtPath)
	}
	return []byte(file.String())
}
