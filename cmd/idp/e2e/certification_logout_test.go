package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

// The modules of the logout and session management plans.

// leaving is a sign-in at a client that registered what the plans of logout
// take, with changes.
func (r *run) leaving(changes fields) outcome {
	r.Helper()
	metadata := fields{"post_logout_redirect_uris": []string{r.party.url + "/bye"}}
	for name, v := range changes {
		metadata[name] = v
	}
	r.registers(metadata)
	return r.happy()
}

// signOutAt is the address that signs out.
func (r *run) signOutAt(parameters ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		query.Set(parameters[i], parameters[i+1])
	}
	return text(r.metadata(r.T)["end_session_endpoint"]) + "?" + query.Encode()
}

// confirmed answers the question that may come.
func (r *run) confirmed(s *sight, enough func(*sight) bool) *sight {
	r.Helper()
	if s.has("logout-form") {
		return r.who.press("logout-yes", enough)
	}
	return s
}

// back at the relying party.
func returned(s *sight) bool { return s.Received != nil }

// out goes through a sign-out that leads back to the client.
func (r *run) out(parameters ...string) *sight {
	r.Helper()
	r.who.opens(r.signOutAt(parameters...))
	s := r.who.see(func(s *sight) bool { return returned(s) || s.has("logout-form") })
	return r.confirmed(s, returned)
}

// returnedWith checks that the browser is back with this query and no other.
func (r *run) returnedWith(s *sight, query url.Values) {
	r.Helper()
	at := mustURL(r.T, s.At)
	if s.Received == nil || at.Path != "/bye" || at.RawQuery != query.Encode() || at.Fragment != "" {
		r.Errorf("came out at %s", at)
	}
}

// signedIn checks without any page whether the session goes on.
func (r *run) signedIn(want bool) {
	r.Helper()
	a := r.silently("prompt", "none")
	if a.Has("code") != want || !want && a.Get("error") != "login_required" {
		r.Errorf("signed in: want %v, got %v", want, a.Values)
	}
}

// stays is a module of a sign-out that must not lead to the client.
func stays(name string, parameters func(r *run, hint string) []string) module {
	return module{name: name, run: func(r *run) {
		o := r.leaving(nil)
		s := r.who.visit(r.signOutAt(parameters(r, o.raw)...))
		if s.has("logout-form") {
			s = r.who.press("logout-yes", arrived)
		} else {
			r.refusedOnPage(s)
			r.signedIn(true)
			return
		}
		if !strings.HasPrefix(s.At, r.Issuer+"/") {
			r.Errorf("came out at %s", s.At)
		}
	}}
}

// told is a module of a sign-out that ends on a page of the issuer.
func told(name string, parameters func(hint string) []string) module {
	return module{name: name, run: func(r *run) {
		o := r.leaving(nil)
		s := r.confirmed(r.who.visit(r.signOutAt(parameters(o.raw)...)), arrived)
		if !strings.HasPrefix(s.At, r.Issuer+"/") || s.Status != http.StatusOK || s.has("logout-form") || s.has("error") {
			r.Errorf("at %s, status %d:\n%s", s.At, s.Status, s.Text)
		}
		r.signedIn(false)
	}}
}

// discovers is a module of what the metadata has to say.
func discovers(name string, want func(r *run, meta map[string]any) bool) module {
	return module{name: name, run: func(r *run) {
		if meta := r.metadata(r.T); !want(r, meta) {
			r.Errorf("%v", meta)
		}
	}}
}

func atIssuer(r *run, meta map[string]any, field string) bool {
	return strings.HasPrefix(text(meta[field]), r.Issuer+"/")
}

var rpInitiatedLogoutModules = []module{
	discovers("oidcc-rp-initiated-logout-discovery-endpoint-verification", func(r *run, meta map[string]any) bool {
		return atIssuer(r, meta, "end_session_endpoint")
	}),
	{name: "oidcc-rp-initiated-logout", run: func(r *run) {
		o := r.leaving(nil)
		s := r.out("id_token_hint", o.raw, "post_logout_redirect_uri", r.party.url+"/bye", "state", "s&1")
		r.returnedWith(s, url.Values{"state": {"s&1"}})
		r.signedIn(false)
	}},
	{name: "oidcc-rp-initiated-logout-no-state", run: func(r *run) {
		o := r.leaving(nil)
		r.returnedWith(r.out("id_token_hint", o.raw, "post_logout_redirect_uri", r.party.url+"/bye"), nil)
		r.signedIn(false)
	}},
	stays("oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", func(r *run, hint string) []string {
		return []string{"id_token_hint", hint, "post_logout_redirect_uri", r.party.url + "/cb2", "state", "s1"}
	}),
	stays("oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri", func(r *run, hint string) []string {
		return []string{"id_token_hint", hint, "post_logout_redirect_uri", r.party.url + "/bye?foo=bar", "state", "s1"}
	}),
	stays("oidcc-rp-initiated-logout-modified-id-token-hint", func(r *run, hint string) []string {
		return []string{"id_token_hint", unsigned(hint), "post_logout_redirect_uri", r.party.url + "/bye", "state", "s1"}
	}),
	stays("oidcc-rp-initiated-logout-bad-id-token-hint", func(r *run, hint string) []string {
		claims := r.Verify(r.T, hint, "JWT", "RS256")
		foreign := &ClientKey{KID: kidOf(r.T, hint), Alg: "RS256", Private: r.static.key.Private}
		return []string{"id_token_hint", foreign.Sign(r.T, claims), "post_logout_redirect_uri", r.party.url + "/bye", "state", "s1"}
	}),
	stays("oidcc-rp-initiated-logout-no-id-token-hint", func(r *run, _ string) []string {
		return []string{"post_logout_redirect_uri", r.party.url + "/bye", "state", "s1"}
	}),
	told("oidcc-rp-initiated-logout-no-params", func(string) []string { return nil }),
	told("oidcc-rp-initiated-logout-no-post-logout-redirect-uri", func(hint string) []string { return []string{"id_token_hint", hint, "state", "s1"} }),
	told("oidcc-rp-initiated-logout-only-state", func(string) []string { return []string{"state", "s1"} }),
}

// hears waits for what the relying party is told at a path.
func (r *run) hears(path string) *http.Request {
	r.Helper()
	select {
	case heard := <-r.party.hears(path):
		return heard
	case <-time.After(20 * time.Second):
		r.Fatal("the relying party heard nothing")
		return nil
	}
}

var backchannelModules = []module{
	discovers("oidcc-backchannel-logout-discovery-endpoint-verification", func(r *run, meta map[string]any) bool {
		return meta["backchannel_logout_supported"] == true && meta["backchannel_logout_session_supported"] == true && atIssuer(r, meta, "end_session_endpoint")
	}),
	{name: "oidcc-backchannel-rp-initiated-logout", run: func(r *run) {
		path := "/heard/" + Token()
		o := r.leaving(fields{"backchannel_logout_uri": r.party.url + path, "backchannel_logout_session_required": true})
		s := r.out("id_token_hint", o.raw, "post_logout_redirect_uri", r.party.url+"/bye", "state", "s1")
		r.returnedWith(s, url.Values{"state": {"s1"}})
		heard := r.hears(path)
		if heard.Method != http.MethodPost || heard.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || heard.URL.RawQuery != "" || len(heard.PostForm) != 1 {
			r.Errorf("%s %s, %v, %v", heard.Method, heard.URL, heard.Header, heard.PostForm)
		}
		// OpenID Connect Back-Channel Logout section 2.6.
		claims := r.Verify(r.T, heard.PostForm.Get("logout_token"), "logout+jwt", "RS256")
		events, _ := claims["events"].(map[string]any)
		event, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
		iat, _ := claims["iat"].(float64)
		if claims["iss"] != r.Issuer || claims["aud"] != r.client.ID || claims["sub"] != r.erin.Sub || claims["sid"] == nil || claims["sid"] != o.id["sid"] ||
			text(claims["jti"]) == "" || !ok || len(event) != 0 || iat < float64(time.Now().Add(-time.Minute).Unix()) || claims["exp"] == nil {
			r.Errorf("%v", claims)
		}
		if _, ok := claims["nonce"]; ok {
			r.Error("a nonce")
		}
		r.signedIn(false)
	}},
}

var frontchannelModules = []module{
	discovers("oidcc-frontchannel-logout-discovery-endpoint-verification", func(r *run, meta map[string]any) bool {
		return meta["frontchannel_logout_supported"] == true && meta["frontchannel_logout_session_supported"] == true && atIssuer(r, meta, "end_session_endpoint")
	}),
	{name: "oidcc-frontchannel-rp-initiated-logout", run: func(r *run) {
		path := "/heard/" + Token()
		o := r.leaving(fields{"frontchannel_logout_uri": r.party.url + path, "frontchannel_logout_session_required": true})
		s := r.out("id_token_hint", o.raw, "post_logout_redirect_uri", r.party.url+"/bye", "state", "s1")
		r.returnedWith(s, url.Values{"state": {"s1"}})
		heard := r.hears(path)
		if q := heard.URL.Query(); q.Get("iss") != r.Issuer || q.Get("sid") == "" || q.Get("sid") != o.id["sid"] || heard.Header.Get("Sec-Fetch-Dest") != "iframe" {
			r.Errorf("%s %v", heard.URL, heard.Header)
		}
		r.signedIn(false)
	}},
}

var sessionModules = []module{
	discovers("oidcc-session-management-discovery-endpoint-verification", func(r *run, meta map[string]any) bool {
		return atIssuer(r, meta, "check_session_iframe") && atIssuer(r, meta, "end_session_endpoint")
	}),
	{name: "oidcc-session-management-rp-initiated-logout", run: func(r *run) {
		o := r.leaving(nil)
		if hash, salt, ok := strings.Cut(o.Get("session_state"), "."); !ok || hash == "" || salt == "" || strings.Contains(salt, " ") {
			r.Errorf("session_state %q", o.Get("session_state"))
		}
		watch := func(want string) {
			r.Helper()
			r.who.opens(r.party.url + "/watch?" + url.Values{"issuer": {r.Issuer}, "client_id": {r.client.ID}, "session_state": {o.Get("session_state")}}.Encode())
			r.who.see(func(s *sight) bool { return s.has("answer") })
			if got, err := chromedp.Run(r.who.ctx, chromedp.TextContent("#answer")); err != nil || got != want {
				r.Errorf("the frame says %s, want %s: %v", got, want, err)
			}
		}
		watch("unchanged")
		s := r.out("id_token_hint", o.raw, "post_logout_redirect_uri", r.party.url+"/bye", "state", "s1")
		r.returnedWith(s, url.Values{"state": {"s1"}})
		watch("changed")
		r.signedIn(false)
	}},
}
