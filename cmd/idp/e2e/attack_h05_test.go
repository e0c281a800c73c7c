package e2e

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// However a million dots arrive where tokens are taken, they are refused for
// their length: nobody takes them apart.
func TestAttack_H05_Dots(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		const rounds = 10
		inst := Install(t, engine, map[string]string{"IDP_REGISTRATION_MODE": "token"})
		web := inst.WebClient(t)
		node := inst.Start(t)
		dots := strings.Repeat(".", 1_000_000)
		assertion := url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}

		type way struct {
			name   string
			status int
			send   func(token string) *Answer
		}
		// post is a way in a form, its length said ahead or not.
		post := func(path, parameter string, c Client, form url.Values) []way {
			request := func(token string, announced bool) *Answer {
				values := url.Values{parameter: {token}}
				for name, v := range form {
					values[name] = v
				}
				body := io.Reader(strings.NewReader(values.Encode()))
				if !announced {
					body = io.NopCloser(body)
				}
				r, err := http.NewRequest(http.MethodPost, inst.Issuer+path, body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				if c.ID != "" {
					r.SetBasicAuth(c.ID, c.Secret)
				}
				return Do(t, node.HTTP, r)
			}
			return []way{
				{parameter + " to " + path, http.StatusRequestEntityTooLarge, func(token string) *Answer { return request(token, true) }},
				{parameter + " to " + path + " in chunks", http.StatusRequestEntityTooLarge, func(token string) *Answer { return request(token, false) }},
			}
		}
		header := func(method, path, name, prefix string) way {
			return way{name + " of " + path, http.StatusRequestHeaderFieldsTooLarge, func(token string) *Answer {
				return node.request(t, node.HTTP, method, path, "", http.Header{name: {prefix + token}})
			}}
		}
		query := func(path string) way {
			return way{path, http.StatusRequestHeaderFieldsTooLarge, func(token string) *Answer { return node.open(t, node.HTTP, path+token) }}
		}
		var ways []way
		for _, w := range [][]way{
			post("/oauth2/introspect", "token", web, nil),
			post("/oauth2/revoke", "token", web, nil),
			post("/userinfo", "access_token", Client{}, nil),
			post("/oauth2/token", "refresh_token", web, url.Values{"grant_type": {"refresh_token"}}),
			post("/oauth2/token", "code", web, url.Values{"grant_type": {"authorization_code"}}),
			post("/oauth2/token", "client_assertion", Client{}, assertion),
			post("/oauth2/par", "request", web, nil),
			post("/oauth2/auth", "request", Client{}, nil),
			post("/oauth2/auth", "id_token_hint", Client{}, nil),
			post("/oauth2/sessions/logout", "id_token_hint", Client{}, nil),
		} {
			ways = append(ways, w...)
		}
		ways = append(
			ways,
			header(http.MethodGet, "/userinfo", "Authorization", "Bearer "),
			header(http.MethodPost, "/oauth2/register", "Authorization", "Bearer "),
			header(http.MethodGet, "/oauth2/register/"+web.ID, "Authorization", "Bearer "),
			header(http.MethodGet, "/oauth2/auth", "Cookie", "idp_session="),
			query("/oauth2/auth?request="),
			query("/oauth2/auth?id_token_hint="),
			query("/oauth2/sessions/logout?id_token_hint="),
		)
		for _, w := range ways {
			w.send(dots) // what is made once is made
		}
		memory := node.rss(t)
		for _, w := range ways {
			before := node.cpu(t)
			for range rounds {
				a := w.send(dots)
				if a.Status != w.status {
					t.Fatalf("%s: status %d, want %d: %.300s", w.name, a.Status, w.status, a.Body)
				}
				told := slices.ContainsFunc([]string{"larger than 65536 bytes", "is too long", "Request Header Fields Too Large"}, func(s string) bool { return strings.Contains(a.Body, s) })
				if !told || len(a.Body) > 20<<10 || strings.Contains(a.Body, "....") {
					t.Fatalf("%s: the refusal does not say what is wrong: %s", w.name, a.Body)
				}
			}
			if spent := (node.cpu(t) - before) / rounds; spent > 20*time.Millisecond {
				t.Errorf("%s: a refusal costs %s of CPU", w.name, spent)
			}
		}
		// As many as are let in are refused as quickly.
		for _, w := range ways {
			most := 60_000
			if w.status != http.StatusRequestEntityTooLarge {
				most = 7_000
			}
			before := node.cpu(t)
			for range rounds {
				if a := w.send(dots[:most]); a.Status >= 500 || strings.Contains(a.Body, `"active":true`) || strings.Contains(a.Body, "access_token\":") {
					t.Fatalf("%s, %d dots: status %d: %.300s", w.name, most, a.Status, a.Body)
				}
			}
			if spent := (node.cpu(t) - before) / rounds; spent > 20*time.Millisecond {
				t.Errorf("%s: refusing %d dots costs %s of CPU", w.name, most, spent)
			}
		}
		if grown := node.rss(t) - memory; grown > 64<<20 {
			t.Errorf("the dots left %d MiB behind", grown>>20)
		}
		node.wantQuiet(t, web.Secret)
	})
}
