package e2e

import (
	"net/http"
	"net/url"
	"testing"
)

// Mixing up servers (RFC 9700 section 4.4): an application trusts two issuers,
// one of which is the attacker's. It sends a person there, and the attacker
// sends the person on to the honest issuer with the application's own request.
// The answer comes back to the application as if it were the attacker's, and
// would take the honest code there, if it did not say whose it is (RFC 9207).
func TestAttack_B18_MixUp(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		honest, evil := Install(t, engine, nil), Install(t, engine, nil)
		alice, mallory := honest.NewUser(t), evil.NewUser(t)
		ours, theirs := honest.WebClient(t), evil.WebClient(t)
		// The attacker may name its clients as it likes: the twin has the honest
		// one's name, and its secret is known there.
		twin := Client{ID: ours.ID, Secret: ours.Secret, RedirectURI: ours.RedirectURI}
		evil.CLI(t, twin.Secret+"\n", "client", "create", twin.ID, "--secret-stdin", "--redirect-uri", twin.RedirectURI,
			"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", "openid offline_access")
		good, bad := honest.Start(t), evil.Start(t)
		victim, attacker := good.NewBrowser(t), bad.NewBrowser(t)

		sendOn := func(request url.Values) url.Values {
			request.Set("client_id", ours.ID)
			return request
		}
		var caught string // the honest code in the attacker's hands
		person := func(address string) string {
			u := mustURL(t, address)
			request := u.Query()
			mode := request.Get("login_hint") // what the script wants to happen
			request.Del("login_hint")
			switch at := u.Scheme + "://" + u.Host; {
			case at == honest.Issuer: // as it should be
				return victim.Authorize(t, request, alice).String()
			case at != evil.Issuer:
				t.Fatalf("the application sends people to %s", address)
			case mode == "honest":
				return attacker.Authorize(t, request, mallory).String()
			case mode == "mix-up":
				back := victim.Authorize(t, sendOn(request), alice)
				caught = back.Query().Get("code")
				return back.String()
			case mode == "named": // the attacker asks the honest server to name it
				request.Set("iss", evil.Issuer)
				return victim.Authorize(t, sendOn(request), alice).String()
			case mode == "error":
				request.Set("scope", "unheard_of")
				return good.authorize(t, victim.Client, sendOn(request)).Header.Get("Location")
			case mode == "stripped":
				back := victim.Authorize(t, sendOn(request), alice)
				answer := back.Query()
				answer.Del("iss")
				back.RawQuery = answer.Encode()
				return back.String()
			}
			t.Fatalf("what is %q", mode)
			return ""
		}
		runScript(t, "mixup.mjs", fields{
			"redirectURI": ours.RedirectURI,
			"honest":      fields{"issuer": honest.Issuer, "id": ours.ID, "secret": ours.Secret, "sub": alice.Sub},
			"evil":        fields{"issuer": evil.Issuer, "id": theirs.ID, "secret": theirs.Secret, "sub": mallory.Sub},
		}, person)

		// The application came to the attacker's token endpoint with the attacker's
		// own code alone, and the honest code is worth nothing there or elsewhere
		// without the application's verifier.
		asked := 0
		for _, r := range bad.Records(t) {
			if r["route"] == "/oauth2/token" {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("the attacker was asked for tokens %d times, want once", asked)
		}
		if caught == "" {
			t.Fatal("no code was mixed up")
		}
		for _, c := range []Client{theirs, twin} {
			bad.Exchange(t, c, caught, NewPKCE()).WantError(t, http.StatusBadRequest, "invalid_grant")
		}

		// Nor does anything else of the honest issuer count at the other, with the
		// right verifier, the client's name and its secret.
		p := NewPKCE()
		code := victim.Authorize(t, ours.Request(p), alice).Query().Get("code")
		for _, c := range []Client{theirs, twin} {
			bad.Exchange(t, c, code, p).WantError(t, http.StatusBadRequest, "invalid_grant")
		}
		tokens := good.Exchange(t, ours, code, p).Tokens(t)
		wantBadToken(t, bad.Userinfo(t, tokens.Access))
		bad.Refresh(t, twin, tokens.Refresh).WantError(t, http.StatusBadRequest, "invalid_grant")
		for name, token := range map[string]string{"access token": tokens.Access, "refresh token": tokens.Refresh, "ID token": tokens.ID} {
			wantInactive(t, bad, twin, name, token)
			bad.Post(t, "/oauth2/revoke", twin, url.Values{"token": {token}})
		}
		hinted := twin.Request(NewPKCE(), "id_token_hint", tokens.ID, "prompt", "none")
		bad.authorize(t, attacker.Client, hinted).wantRefusal(t, bad, hinted, "invalid_request")
		for _, c := range victim.Client.Jar.Cookies(mustURL(t, honest.Issuer)) {
			setCookie(t, attacker, c.Name, c.Value)
		}
		silent := twin.Request(NewPKCE(), "prompt", "none")
		bad.authorize(t, attacker.Client, silent).wantRefusal(t, bad, silent, "login_required")
		// The honest grant lives on.
		if !good.Active(t, ours, tokens.Access) {
			t.Error("the attacker ended the honest grant")
		}
		good.Refresh(t, ours, tokens.Refresh).Tokens(t)
		good.wantQuiet(t, ours.Secret, alice.Password)
		bad.wantQuiet(t, theirs.Secret, mallory.Password)
	})
}
