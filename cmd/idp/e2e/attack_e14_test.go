package e2e

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// execute changes the database behind the server's back.
func (i *Installation) execute(t testing.TB, statements ...string) {
	t.Helper()
	driver, name := "pgx", i.DatabaseURL
	if path, ok := strings.CutPrefix(name, "sqlite:"); ok {
		driver, name = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// stored tells what the database holds of grants and tokens.
func (i *Installation) stored(t testing.TB) string {
	t.Helper()
	db := i.openDatabase(t)
	var grants, used, generations, tokens, issued int
	err := db.QueryRow(`SELECT count(*), count(code_used_at), coalesce(sum(generation), 0) FROM grants`).Scan(&grants, &used, &generations)
	if err == nil {
		err = db.QueryRow(`SELECT count(*) FROM access_tokens`).Scan(&tokens)
	}
	if err == nil {
		err = db.QueryRow(`SELECT count(*) FROM audit_events WHERE kind IN ('token.issued', 'code.issued')`).Scan(&issued)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d grants, %d codes used, %d generations, %d tokens, %d issuances", grants, used, generations, tokens, issued)
}

// When a key does not sign, half an answer signed already, nothing is issued
// and nothing stored; once it signs again, what was presented is still good.
func TestAttack_E14_SignerFailsMidIssue(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		alice := inst.NewUser(t)
		eddsa := []string{"--id-token-signed-response-alg", "EdDSA", "--userinfo-signed-response-alg", "EdDSA"}
		web := inst.WebClient(t, eddsa...) // its access tokens are signed with another key
		opaque := inst.WebClient(t, append(eddsa, "--access-token-format", "opaque")...)
		legacy := inst.WebClient(t, append(eddsa, "--security-profile", "oidc-legacy", "--response-type", "code id_token", "--skip-consent")...)
		service := inst.NewClient(t, "--grant-type", "client_credentials", "--access-token-signing-alg", "EdDSA")
		node := inst.Start(t)

		// signs waits until the node signs with EdDSA, or does not.
		signs := func(want bool) {
			t.Helper()
			retired := "created_at"
			if want {
				retired = "NULL"
			}
			inst.execute(t, "UPDATE signing_keys SET retired_at = "+retired+" WHERE alg = 'EdDSA'", "UPDATE revisions SET revision = revision + 1 WHERE topic = 'keys'")
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				keys := node.open(t, node.HTTP, "/.well-known/jwks.json")
				if strings.Contains(keys.Body, `"EdDSA"`) == want {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("EdDSA is published: %v: %s", !want, keys.Body)
				}
			}
		}
		b := node.NewBrowser(t)
		p, q := NewPKCE(), NewPKCE()
		first := node.SignIn(t, web, alice)
		code := b.Authorize(t, web.Request(p), alice).Query().Get("code")
		other := b.Authorize(t, opaque.Request(q), alice).Query().Get("code")

		signs(false)
		before := inst.stored(t)
		requests := map[string]func() *Answer{
			"code":                   func() *Answer { return node.Exchange(t, web, code, p) },
			"code for opaque tokens": func() *Answer { return node.Exchange(t, opaque, other, q) },
			"refresh":                func() *Answer { return node.Refresh(t, web, first.Refresh) },
			"client credentials": func() *Answer {
				return node.Post(t, "/oauth2/token", service, url.Values{"grant_type": {"client_credentials"}})
			},
			"userinfo": func() *Answer { return node.Userinfo(t, first.Access) },
			"authorize": func() *Answer {
				return node.authorize(t, b.Client, legacy.Request(NewPKCE(), "response_type", "code id_token", "scope", "openid"))
			},
		}
		for name, send := range requests {
			for range 2 {
				a := send()
				if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || a.Header.Get("Location") != "" {
					t.Errorf("%s: status %d, Retry-After %q, Location %q: %.300s", name, a.Status, a.Header.Get("Retry-After"), a.Header.Get("Location"), a.Body)
				}
				if slices.ContainsFunc([]string{"access_token", "id_token", "refresh_token"}, func(s string) bool { return strings.Contains(a.Body, `"`+s+`"`) }) {
					t.Errorf("%s: half an answer: %s", name, a.Body)
				}
			}
		}
		if after := inst.stored(t); after != before {
			t.Errorf("before: %s, after: %s", before, after)
		}

		signs(true)
		for name, send := range requests {
			if a := send(); a.Status != http.StatusOK && a.Status != http.StatusSeeOther {
				t.Errorf("%s: once it signs again: %d %s", name, a.Status, a.Body)
			}
		}
		node.Exchange(t, web, code, p).WantError(t, http.StatusBadRequest, "invalid_grant") // now it was used
		node.wantQuiet(t, web.Secret, service.Secret, first.Refresh)
	})
}
