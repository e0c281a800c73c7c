package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

// Whose issuer an account is at, the same for accounts that exist and others
// (OpenID Connect Discovery section 2, RFC 7033).
func TestOIDC_webfinger(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", nil)
	inst.CLI(t, "", "migrate", "up")
	alice := inst.NewUser(t)
	node := inst.Start(t)
	const issuer = "http://openid.net/specs/connect/1.0/issuer"
	ask := func(query url.Values) *Answer {
		r, err := http.NewRequest(http.MethodGet, node.Issuer+"/.well-known/webfinger?"+query.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return Do(t, node.HTTP, r)
	}
	for _, resource := range []string{"acct:" + alice.Username + "@corp.example", "acct:nobody@corp.example", "https://corp.example/nobody"} {
		a := ask(url.Values{"resource": {resource}, "rel": {issuer}})
		want := fmt.Sprintf(`{"subject":%q,"links":[{"rel":%q,"href":%q}]}`, resource, issuer, inst.Issuer)
		if a.Status != http.StatusOK || a.Body != want || a.Header.Get("Content-Type") != "application/jrd+json" || a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %v %s", resource, a.Status, a.Header, a.Body)
		}
	}
	if a := ask(url.Values{"resource": {"acct:a@b"}, "rel": {"avatar"}}); a.Body != `{"subject":"acct:a@b","links":[]}` {
		t.Errorf("another relation: %s", a.Body)
	}
	for _, bad := range []url.Values{{}, {"resource": {""}}, {"resource": {"acct:a@b", "acct:c@d"}}, {"resource": {"mailto:a@b"}}, {"resource": {"acct:a"}}, {"resource": {"javascript:alert(1)"}}} {
		if a := ask(bad); a.Status != http.StatusBadRequest {
			t.Errorf("%v: %d %s", bad, a.Status, a.Body)
		}
	}
}
