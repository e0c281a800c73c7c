package tokens_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"idp/internal/idp"
)

func (f *fixture) logoutToken() idp.LogoutToken {
	now := f.clock.Now()
	return idp.LogoutToken{ID: idp.ID{1, 2, 3}, ClientID: "web", Subject: "user-1", SessionID: idp.ID{9}, IssuedAt: now, ExpiresAt: now.Add(2 * time.Minute)}
}

// OpenID Connect Back-Channel Logout section 2.4: a type of its own, and the
// claims of the section without a nonce.
func TestBackChannelLogout_2_4_Claims(t *testing.T) {
	f := newFixture(t)
	for _, alg := range append(idp.Algorithms(), "") {
		raw, err := f.SignLogoutToken(alg, f.logoutToken())
		if err != nil {
			t.Fatal(err)
		}
		want := alg
		if want == "" {
			want = idp.AlgRS256
		}
		jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(want)})
		if err != nil {
			t.Fatal(err)
		}
		kid, key := f.private(t, want)
		payload, err := jws.Verify(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		header := jws.Signatures[0].Header
		if header.ExtraHeaders["typ"] != "logout+jwt" || header.KeyID != kid {
			t.Errorf("%s: header %+v", want, header)
		}
		var claims map[string]any
		if err := json.Unmarshal(payload, &claims); err != nil {
			t.Fatal(err)
		}
		now := float64(f.clock.Now().Unix())
		if diff := cmp.Diff(map[string]any{
			"iss": issuer, "sub": "user-1", "aud": "web", "iat": now, "exp": now + 120, "jti": idp.ID{1, 2, 3}.String(), "sid": idp.ID{9}.String(),
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		}, claims); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want, diff)
		}
		// RFC 8725 section 3.11: it passes for nothing else.
		if _, err := f.VerifyIDToken(raw); err == nil {
			t.Errorf("%s: taken for an ID token", want)
		}
		if _, err := f.VerifyAccessToken(raw); err == nil {
			t.Errorf("%s: taken for an access token", want)
		}
	}
}

func TestSignLogoutToken_Incomplete(t *testing.T) {
	f := newFixture(t)
	for name, change := range map[string]func(*idp.LogoutToken){
		"jti":    func(l *idp.LogoutToken) { l.ID = idp.ID{} },
		"aud":    func(l *idp.LogoutToken) { l.ClientID = "" },
		"sid":    func(l *idp.LogoutToken) { l.SessionID = idp.ID{} },
		"expiry": func(l *idp.LogoutToken) { l.ExpiresAt = l.IssuedAt },
	} {
		token := f.logoutToken()
		change(&token)
		if raw, err := f.SignLogoutToken("", token); err == nil {
			t.Errorf("without %s: %s", name, raw)
		}
	}
}
