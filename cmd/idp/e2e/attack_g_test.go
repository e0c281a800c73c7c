package e2e

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// Client authentication by secret.
func TestAttack_G(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		api := inst.NewResource(t, []string{"orders:read=Read"})
		scope := []string{"--grant-type", "client_credentials", "--audience", api, "--scope", "orders:read"}
		basic, other := inst.NewClient(t, scope...), inst.NewClient(t, scope...)
		post := inst.NewClient(t, append(scope, "--token-endpoint-auth-method", "client_secret_post")...)
		disabled := inst.NewClient(t, scope...)
		inst.CLI(t, "", "client", "disable", disabled.ID)
		public := inst.WebClient(t, "--public")
		long := Client{ID: "long-secret"}
		long.Secret = strings.Repeat("long-secret-of-an-operator-", 4) // past the 72 bytes of bcrypt
		inst.CLI(t, long.Secret+"\n", append([]string{"client", "create", long.ID, "--secret-stdin"}, scope...)...)
		node := inst.Start(t)
		w := watching(node)
		w.saw(long.Secret)

		basicHeader := func(id, secret string) string {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
		}
		// send asks for client credentials, from an address of its own so that
		// no guess counts for the next.
		send := func(t *testing.T, form url.Values, headers ...string) *Answer {
			t.Helper()
			if form == nil {
				form = url.Values{}
			}
			form.Set("grant_type", "client_credentials")
			r, err := http.NewRequest(http.MethodPost, inst.Issuer+"/oauth2/token", strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("X-Forwarded-For", NextAddress())
			for _, h := range headers {
				r.Header.Add("Authorization", h)
			}
			return Do(t, node.HTTP, r)
		}
		send(t, nil, basicHeader(basic.ID, basic.Secret)).Tokens(t)
		send(t, url.Values{"client_id": {post.ID}, "client_secret": {post.Secret}}).Tokens(t)
		send(t, nil, basicHeader(long.ID, long.Secret)).Tokens(t)

		// One method per request.
		t.Run("G01_two_methods", func(t *testing.T) {
			good := basicHeader(basic.ID, basic.Secret)
			for name, tt := range map[string]struct {
				form    url.Values
				headers []string
			}{
				"Basic and body":                {url.Values{"client_id": {basic.ID}, "client_secret": {basic.Secret}}, []string{good}},
				"Basic and another body":        {url.Values{"client_id": {post.ID}, "client_secret": {post.Secret}}, []string{good}},
				"Basic and secret alone":        {url.Values{"client_secret": {basic.Secret}}, []string{good}},
				"Basic and another client_id":   {url.Values{"client_id": {other.ID}}, []string{good}},
				"two headers":                   {nil, []string{good, good}},
				"two headers of two clients":    {nil, []string{good, basicHeader(other.ID, other.Secret)}},
				"Basic and Bearer":              {nil, []string{good, "Bearer x"}},
				"Basic and assertion":           {url.Values{"client_assertion": {"x.y.z"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}}, []string{good}},
				"body and assertion":            {url.Values{"client_id": {post.ID}, "client_secret": {post.Secret}, "client_assertion": {"x.y.z"}}, nil},
				"client_id twice":               {url.Values{"client_id": {basic.ID, basic.ID}}, []string{good}},
				"client_secret twice":           {url.Values{"client_id": {post.ID}, "client_secret": {post.Secret, post.Secret}}, nil},
				"an assertion and another type": {url.Values{"client_assertion": {"a", "b"}}, nil},
			} {
				t.Run(name, func(t *testing.T) {
					send(t, tt.form, tt.headers...).WantError(t, http.StatusBadRequest, "invalid_request")
				})
			}
			send(t, url.Values{"client_id": {basic.ID}}, good).Tokens(t) // naming oneself is no second method
		})
		t.Run("G02_malformed", func(t *testing.T) {
			raw := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
			good := base64.StdEncoding.EncodeToString([]byte(basic.ID + ":" + basic.Secret))
			var refused []string
			for name, header := range map[string]string{
				"empty secret":       raw(basic.ID + ":"),
				"empty id":           raw(":" + basic.Secret),
				"colon alone":        raw(":"),
				"no colon":           raw(basic.ID),
				"nothing":            "Basic ",
				"scheme alone":       "Basic",
				"spaces":             raw(basic.ID + ": " + basic.Secret + " "),
				"NUL":                raw(basic.ID + ":" + basic.Secret + "\x00"),
				"NUL in the id":      raw(basic.ID + "\x00:" + basic.Secret),
				"bad escape":         raw(basic.ID + ":%zz"),
				"half an escape":     raw(basic.ID + ":" + basic.Secret + "%4"),
				"no padding":         "Basic " + strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(basic.ID+":"+basic.Secret+"xx")), "="),
				"too much padding":   "Basic " + good + "====",
				"base64url":          "Basic " + base64.URLEncoding.EncodeToString([]byte(basic.ID+":\xff\xfe\xff\xfe?>")),
				"two spaces":         "Basic  " + good,
				"trailing word":      "Basic " + good + " x",
				"comma":              "Basic " + good + ",Basic " + good,
				"Bearer":             "Bearer " + good,
				"plain":              "Basic " + basic.ID + ":" + basic.Secret,
				"not UTF-8":          raw(basic.ID + ":\xff\xfe"),
				"capitals in the id": raw(strings.ToUpper(basic.ID) + ":" + basic.Secret),
				"wrong secret":       raw(basic.ID + ":" + Token()),
				"another's secret":   raw(basic.ID + ":" + other.Secret),
				"unknown client":     raw("nobody:" + Token()),
				"disabled client":    raw(disabled.ID + ":" + disabled.Secret),
				"wrong method":       raw(post.ID + ":" + post.Secret),
				"public client":      raw(public.ID + ":" + Token()),
			} {
				t.Run(name, func(t *testing.T) {
					a := send(t, nil, header)
					a.WantError(t, http.StatusUnauthorized, "invalid_client")
					if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic ") {
						t.Errorf("WWW-Authenticate %q", a.Header.Get("WWW-Authenticate"))
					}
					refused = append(refused, a.Body)
				})
			}
			for name, form := range map[string]url.Values{
				"no credentials":        nil,
				"client_id alone":       {"client_id": {post.ID}},
				"empty client_secret":   {"client_id": {post.ID}, "client_secret": {""}},
				"secret alone":          {"client_secret": {post.Secret}},
				"wrong secret in body":  {"client_id": {post.ID}, "client_secret": {Token()}},
				"unknown in body":       {"client_id": {"nobody"}, "client_secret": {Token()}},
				"wrong method in body":  {"client_id": {basic.ID}, "client_secret": {basic.Secret}},
				"assertion":             {"client_assertion": {"x.y.z"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}},
				"public client unasked": {"client_id": {basic.ID}},
			} {
				t.Run(name, func(t *testing.T) {
					a := send(t, form)
					a.WantError(t, http.StatusUnauthorized, "invalid_client")
					refused = append(refused, a.Body)
				})
			}
			// Whatever was wrong, the answer is one.
			slices.Sort(refused)
			if got := slices.Compact(refused); len(got) != 1 {
				t.Errorf("the refusals differ: %q", got)
			}
			wantEventsAtLeast(t, 20, node, "client.auth_failed")
		})
		t.Run("G04_long_secrets", func(t *testing.T) {
			for _, secret := range []string{
				long.Secret + "x", long.Secret[:72], long.Secret[:72] + strings.Repeat("y", len(long.Secret)-72),
				long.Secret + strings.Repeat("z", 1000), basic.Secret + "x", strings.Repeat("a", 60<<10),
			} {
				if len(secret) < 10_000 {
					send(t, nil, basicHeader(long.ID, secret)).WantError(t, http.StatusUnauthorized, "invalid_client")
					send(t, nil, basicHeader(basic.ID, secret)).WantError(t, http.StatusUnauthorized, "invalid_client")
				}
				send(t, url.Values{"client_id": {post.ID}, "client_secret": {secret}}).WantError(t, http.StatusUnauthorized, "invalid_client")
			}
			a := send(t, url.Values{"client_id": {post.ID}, "client_secret": {strings.Repeat("a", 1<<20)}})
			if a.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("1 MiB: %d", a.Status)
			}
			if a := send(t, nil, basicHeader(basic.ID, strings.Repeat("a", 1<<20))); a.Status != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("1 MiB in a header: %d", a.Status)
			}
		})
		// Guessing ends at 429, for the guesser alone.
		t.Run("G05_guessing", func(t *testing.T) {
			address := NextAddress()
			guess := func(c Client, address string) *Answer {
				r, _ := http.NewRequest(http.MethodPost, inst.Issuer+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("X-Forwarded-For", address)
				r.SetBasicAuth(c.ID, c.Secret)
				return Do(t, node.HTTP, r)
			}
			for _, id := range []string{basic.ID, "nobody-at-all"} {
				throttled := 0
				for range 30 {
					a := guess(Client{ID: id, Secret: Token()}, address)
					if a.Status == http.StatusTooManyRequests {
						throttled++
						if a.Header.Get("Retry-After") == "" {
							t.Error("429 without Retry-After")
						}
						continue
					}
					a.WantError(t, http.StatusUnauthorized, "invalid_client")
					if throttled > 0 {
						t.Error("a guess after 429 was looked at")
					}
				}
				if throttled < 15 {
					t.Errorf("%s: %d of 30 guesses were turned away", id, throttled)
				}
			}
			if a := guess(basic, address); a.Status != http.StatusTooManyRequests {
				t.Errorf("the guesser's right secret: %d", a.Status)
			}
			guess(basic, NextAddress()).Tokens(t)
			guess(other, address).Tokens(t)
		})
		// A rotated secret lives as long as its grace.
		t.Run("G06_rotation", func(t *testing.T) {
			rotated := func(c Client, grace string) Client {
				var out struct {
					ClientSecret string `json:"client_secret"`
				}
				inst.JSON(t, &out, "", "client", "rotate-secret", c.ID, "--grace", grace)
				return Client{ID: c.ID, Secret: out.ClientSecret}
			}
			const grace = 4 * time.Second
			end := time.Now().Add(grace) // at the earliest
			graced := rotated(basic, grace.String())
			expiry := time.Now().Add(grace)
			gone := rotated(other, "0")
			Settle()
			if old := send(t, nil, basicHeader(basic.ID, basic.Secret)); time.Now().Before(end) { // else the machine was too slow to see it
				old.Tokens(t)
			}
			send(t, nil, basicHeader(graced.ID, graced.Secret)).Tokens(t)
			send(t, nil, basicHeader(other.ID, other.Secret)).WantError(t, http.StatusUnauthorized, "invalid_client")
			send(t, nil, basicHeader(gone.ID, gone.Secret)).Tokens(t)
			time.Sleep(time.Until(expiry.Add(100 * time.Millisecond)))
			send(t, nil, basicHeader(basic.ID, basic.Secret)).WantError(t, http.StatusUnauthorized, "invalid_client")
			send(t, nil, basicHeader(graced.ID, graced.Secret)).Tokens(t)
		})
		// A secret in a URL authenticates nobody.
		t.Run("G_secret_in_the_query", func(t *testing.T) {
			for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
				query := url.Values{"client_id": {post.ID}, "client_secret": {post.Secret}}
				postRaw(t, node, path+"?"+query.Encode(), Client{}, "grant_type=client_credentials&token=x").WantError(t, http.StatusBadRequest, "invalid_request")
			}
		})
		calm(t, w, node)

		// Headers that name an address or a certificate count from listed
		// proxies only.
		t.Run("G16_untrusted_proxy", func(t *testing.T) {
			node.Stop(t)
			direct := inst.Launch(t, map[string]string{"IDP_TRUSTED_PROXIES": "192.0.2.0/24"})
			direct.WaitReady(t)
			throttled := 0
			for i := range 30 {
				r, _ := http.NewRequest(http.MethodPost, inst.Issuer+"/oauth2/token", strings.NewReader("grant_type=client_credentials&client_id="+post.ID+"&client_secret="+Token()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("X-Forwarded-For", NextAddress())
				r.Header.Set("Forwarded", "for=198.51.100."+string(rune('1'+i%9))+";host=evil.example;proto=https")
				r.Header.Set("X-Forwarded-Client-Cert", `Hash=0;Subject="CN=`+post.ID+`"`)
				r.Header.Set("X-SSL-Client-Verify", "SUCCESS")
				r.Header.Set("X-SSL-Client-S-DN", "CN="+post.ID)
				r.Header.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString([]byte("CN="+post.ID))+":") // RFC 9440
				switch a := Do(t, direct.HTTP, r); a.Status {
				case http.StatusTooManyRequests:
					throttled++
				default:
					a.WantError(t, http.StatusUnauthorized, "invalid_client")
				}
			}
			if throttled == 0 {
				t.Error("a header that anyone can send gave the guesser a new address each time")
			}
			for _, record := range direct.Records(t) {
				if ip, _ := record["ip"].(string); strings.HasPrefix(ip, "198.") {
					t.Errorf("the log believes the header: %v", record)
				}
			}
			// The audit tells of it once, by the headers' names.
			wantEvents(t, 1, direct, "proxy.untrusted_header", "remote_addr", "127.0.0.1")
			for _, record := range direct.audited(t, "proxy.untrusted_header", "") {
				detail, _ := record["detail"].(map[string]any)
				if got := detail["headers"]; got != "Client-Cert Forwarded X-Forwarded-Client-Cert X-Forwarded-For X-Ssl-Client-S-Dn X-Ssl-Client-Verify" {
					t.Errorf("headers %v", got)
				}
			}
			calm(t, w, direct)
		})
	})
}

// wantEventsAtLeast waits for a number of audit records or more.
func wantEventsAtLeast(t *testing.T, want int, n *Node, kind string, pairs ...string) {
	t.Helper()
	got := 0
	for range 40 {
		if got = events(t, n, kind, pairs...); got >= want {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Errorf("%d audit records %s %v, want at least %d", got, kind, pairs, want)
}
