package tokens

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"idp/internal/idp"
)

// reservedClaims are what the issuer alone says in an ID token. The last two
// would make it look like a logout token or a confirmation of possession.
var reservedClaims = []string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "acr", "amr", "azp",
	"at_hash", "c_hash", "s_hash", "sid", "events", "cnf",
}

// SignIDToken returns t as an ID token (OpenID Connect Core section 2), signed
// with the active key of the algorithm; an empty alg is RS256, the default of
// OpenID Connect. It refuses t.Claims that would shadow what the issuer says.
// It fails with idp.ErrUnavailable when no key of the algorithm can sign.
func (k *Keyring) SignIDToken(alg string, t idp.IDToken) (string, error) {
	if t.ClientID == "" || t.Subject == "" || t.IssuedAt.IsZero() || !t.ExpiresAt.After(t.IssuedAt) {
		return "", errors.New("sign ID token: client, subject and times are required")
	}
	if alg == "" {
		alg = idp.AlgRS256
	}
	key, err := k.signer(alg)
	if err != nil {
		return "", fmt.Errorf("sign ID token: %w", err)
	}
	var scratch [1024]byte
	w := claimWriter{buf: scratch[:0]}
	w.text("iss", k.cfg.Issuer)
	w.text("sub", t.Subject)
	w.text("aud", t.ClientID)
	w.seconds("exp", t.ExpiresAt)
	w.seconds("iat", t.IssuedAt)
	w.secondsIfAny("auth_time", t.AuthTime)
	w.textIfAny("nonce", t.Nonce)
	w.textIfAny("acr", t.ACR)
	w.listIfAny("amr", t.AMR)
	if !t.SessionID.IsZero() {
		w.text("sid", t.SessionID.String())
	}
	if t.AccessToken != "" {
		w.text("at_hash", halfHash(alg, t.AccessToken))
	}
	if t.Code != "" {
		w.text("c_hash", halfHash(alg, t.Code))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Claims)) {
		if slices.Contains(reservedClaims, name) {
			return "", fmt.Errorf("sign ID token: claim %q is the issuer's own", name)
		}
		value, err := json.Marshal(t.Claims[name])
		if err != nil {
			return "", fmt.Errorf("sign ID token: claim %q: %w", name, err)
		}
		w.buf = append(w.buf, ',')
		w.buf = appendString(w.buf, name)
		w.buf = append(w.buf, ':')
		w.buf = append(w.buf, value...)
	}
	return k.signCompact(key, key.idHeader, w.end())
}

// halfHash is at_hash and c_hash of OpenID Connect Core sections 3.1.3.6 and
// 3.3.2.11: the left half of the value's hash, by the hash of the signature
// algorithm.
func halfHash(alg, value string) string {
	h := hashOf(alg).New()
	h.Write([]byte(value))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:h.Size()/2])
}

// VerifyIDToken returns what an ID token of this issuer, presented as a hint,
// says: who signed in, where and when. It may have expired (OpenID Connect
// RP-Initiated Logout section 2), and so may its key, unless that was retired
// by hand. The claims about the person are not returned, and AccessToken is
// empty. Anything else is idp.ErrMalformed.
func (k *Keyring) VerifyIDToken(raw string) (idp.IDToken, error) {
	s, now := k.current()
	payload, err := verifyCompact(s.hintKeys, raw)
	if err != nil {
		return idp.IDToken{}, err
	}
	r, err := readClaims(payload)
	if err != nil {
		return idp.IDToken{}, err
	}
	t := idp.IDToken{
		ClientID:  r.text("aud", true),
		Subject:   r.text("sub", true),
		Nonce:     r.text("nonce", false),
		IssuedAt:  r.seconds("iat", true),
		ExpiresAt: r.seconds("exp", true),
		AuthTime:  r.seconds("auth_time", false),
		ACR:       r.text("acr", false),
		AMR:       r.list("amr"),
	}
	issuer, sid := r.text("iss", true), r.text("sid", false)
	if r.err != nil {
		return idp.IDToken{}, r.err
	}
	if issuer != k.cfg.Issuer {
		return idp.IDToken{}, malformed("another issuer's")
	}
	if sid != "" {
		if t.SessionID, err = idp.ParseID(sid); err != nil || t.SessionID.String() != sid {
			return idp.IDToken{}, malformed("sid is not ours")
		}
	}
	if t.IssuedAt.After(now.Add(clockSkew)) {
		return idp.IDToken{}, malformed("issued in the future")
	}
	return t, nil
}
