package tokens

import (
	"errors"
	"fmt"

	"idp/internal/idp"
)

// typLogoutToken keeps a logout token from passing for any other (OpenID
// Connect Back-Channel Logout section 2.4).
const typLogoutToken = "logout+jwt"

// backchannelLogoutEvent is what a logout token tells of.
const backchannelLogoutEvent = `{"http://schemas.openid.net/event/backchannel-logout":{}}`

// SignLogoutToken returns t as a logout token (OpenID Connect Back-Channel
// Logout section 2.4), signed with the algorithm of the client's ID tokens; an
// empty alg is RS256. It fails with idp.ErrUnavailable when no key of the
// algorithm can sign.
func (k *Keyring) SignLogoutToken(alg string, t idp.LogoutToken) (string, error) {
	if t.ID.IsZero() || t.ClientID == "" || t.SessionID.IsZero() || t.IssuedAt.IsZero() || !t.ExpiresAt.After(t.IssuedAt) {
		return "", errors.New("sign logout token: ID, client, session and times are required")
	}
	if alg == "" {
		alg = idp.AlgRS256
	}
	key, err := k.signer(alg)
	if err != nil {
		return "", fmt.Errorf("sign logout token: %w", err)
	}
	var w claimWriter
	w.text("iss", k.cfg.Issuer)
	w.textIfAny("sub", t.Subject)
	w.text("aud", t.ClientID)
	w.seconds("exp", t.ExpiresAt)
	w.seconds("iat", t.IssuedAt)
	w.text("jti", t.ID.String())
	w.text("sid", t.SessionID.String())
	w.name("events")
	w.buf = append(w.buf, backchannelLogoutEvent...)
	return k.signCompact(key, protectedHeader(key.row.Alg, key.row.KID, typLogoutToken), w.end())
}
