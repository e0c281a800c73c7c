package registration

import (
	"strings"
	"testing"
)

// Attack M10: an address of a document has one spelling and leads nowhere but
// there.
func TestAttack_M10_Addresses(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"https://app.example/client", "https://app.example:8443/oauth/client.json", "https://app.example/a/"} {
		if _, reason := documentHost(good); reason != "" {
			t.Errorf("%s %s", good, reason)
		}
	}
	for _, bad := range []string{
		"https://app.example", "https://app.example/", "http://app.example/client", "HTTPS://app.example/client", "https:///client", "https:client",
		"https://user@app.example/client", "https://user:pw@app.example/client", "https://app.example@evil.example/client", "https://@app.example/client",
		"https://app.example/client#", "https://app.example/client#x", "https://app.example/client?", "https://app.example/client?a=b",
		"https://app.example/./client", "https://app.example/../client", "https://app.example/a/..", "https://app.example/a/.", "https://app.example/%2e%2e/client",
		"https://app.example/%2E/client", "https://app.example//client", "https://app.example/a%2fb", "https://app.example/a\\b", "https://app.example\\@evil.example/x",
		"https://App.example/client", "https://app.example./client", "https://app.example/cli ent", "https://app.example/\x00", "https://app.example:x/client",
		"https://app.example/" + strings.Repeat("a", 512),
	} {
		if _, reason := documentHost(bad); reason == "" {
			t.Errorf("%q passes", bad)
		}
	}
}

// Whatever is at the address, what is made of it is the client's, without a
// secret, and leads to its own origin.
func FuzzClientDocument(f *testing.F) {
	const id = "https://app.example/client"
	for _, s := range []string{
		`{"client_id":"https://app.example/client","redirect_uris":["https://app.example/cb"]}`,
		`{"client_id":"https://app.example/client","redirect_uris":["https://evil.example/cb"]}`,
		`{"client_id":"https://app.example/client","client_secret":"x"}`, `[]`, `{"client_id":7}`,
		`{"client_id":"https://app.example/client","redirect_uris":["http://127.0.0.1/cb"],"skip_consent":true}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		in, err := readClientDocument([]byte(body), "application/json", id)
		if err != nil {
			return
		}
		if in.clientID != id || in.metadata.SkipConsent || in.metadata.Verified || in.metadata.SectorIdentifierURI != "" {
			t.Errorf("%q: %+v", body, in)
		}
		for _, uri := range in.metadata.RedirectURIs {
			if !strings.HasPrefix(strings.ToLower(uri), "https://app.example") && !strings.HasPrefix(strings.ToLower(uri), "http://") {
				t.Errorf("%q leads to %s", body, uri)
			}
		}
	})
}
