package tokens

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"idp/internal/idp"
)

// claimGrant is a private claim: the handle of the grant that the token lives
// and dies with. Resource servers have no use for it.
const claimGrant = "gid"

// clockSkew is how far in the future a token may have been issued: nodes'
// clocks differ. An expiry gets no such grace.
const clockSkew = 10 * time.Second

// SignAccessToken returns t as a JWT in the profile of RFC 9068, signed with
// the active key of the algorithm; an empty alg is ES256. Times are cut to
// whole seconds. An empty audience stands for the issuer itself. It fails with
// idp.ErrUnavailable when no key of the algorithm can sign.
func (k *Keyring) SignAccessToken(alg string, t idp.AccessToken) (string, error) {
	if t.ID.IsZero() || t.ClientID == "" || t.Subject == "" || t.IssuedAt.IsZero() || !t.ExpiresAt.After(t.IssuedAt) {
		return "", errors.New("sign access token: ID, client, subject and times are required")
	}
	if alg == "" {
		alg = idp.AlgES256
	}
	key, err := k.signer(alg)
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	var scratch [1024]byte
	w := claimWriter{buf: scratch[:0]}
	w.text("iss", k.cfg.Issuer)
	w.text("sub", t.Subject)
	if len(t.Audience) == 0 {
		w.text("aud", k.cfg.Issuer)
	} else {
		w.audience(t.Audience)
	}
	w.text("client_id", t.ClientID)
	w.seconds("exp", t.ExpiresAt)
	w.seconds("iat", t.IssuedAt)
	w.text("jti", t.ID.String())
	w.wordsIfAny("scope", t.Scopes)
	w.secondsIfAny("auth_time", t.AuthTime)
	w.textIfAny("acr", t.ACR)
	w.listIfAny("amr", t.AMR)
	w.listIfAny(idp.ClaimGroups, t.Groups)
	w.listIfAny(idp.ClaimRoles, t.Roles)
	w.listIfAny(idp.ClaimEntitlements, t.Entitlements)
	if !t.Grant.IsZero() {
		w.text(claimGrant, encodeHandle(t.Grant))
	}
	return k.signCompact(key, key.accessHeader, w.end())
}

// VerifyAccessToken returns the content of an access token that this issuer
// signed and that has not expired. It asks no database: whether the token was
// revoked is for the caller to find out. It fails with idp.ErrExpired for a
// good token whose time is over, with idp.ErrMalformed for everything else.
func (k *Keyring) VerifyAccessToken(raw string) (idp.AccessToken, error) {
	s, now := k.current()
	payload, err := verifyCompact(s.accessKeys, raw)
	if err != nil {
		return idp.AccessToken{}, err
	}
	return k.readAccessToken(payload, now)
}

func (k *Keyring) readAccessToken(payload []byte, now time.Time) (idp.AccessToken, error) {
	r, err := readClaims(payload)
	if err != nil {
		return idp.AccessToken{}, err
	}
	t := idp.AccessToken{
		ClientID:     r.text("client_id", true),
		Subject:      r.text("sub", true),
		Audience:     r.audience(),
		Scopes:       strings.Fields(r.text("scope", false)),
		IssuedAt:     r.seconds("iat", true),
		ExpiresAt:    r.seconds("exp", true),
		AuthTime:     r.seconds("auth_time", false),
		ACR:          r.text("acr", false),
		AMR:          r.list("amr"),
		Groups:       r.list(idp.ClaimGroups),
		Roles:        r.list(idp.ClaimRoles),
		Entitlements: r.list(idp.ClaimEntitlements),
	}
	issuer, jti, gid := r.text("iss", true), r.text("jti", true), r.text(claimGrant, false)
	notBefore := r.seconds("nbf", false)
	if r.err != nil {
		return idp.AccessToken{}, r.err
	}
	if issuer != k.cfg.Issuer {
		return idp.AccessToken{}, malformed("another issuer's")
	}
	if t.ID, err = idp.ParseID(jti); err != nil || t.ID.IsZero() || t.ID.String() != jti {
		return idp.AccessToken{}, malformed("jti is not ours")
	}
	if gid != "" {
		var ok bool
		if t.Grant, ok = decodeHandle(gid); !ok {
			return idp.AccessToken{}, malformed("gid is not ours")
		}
	}
	latest := now.Add(clockSkew)
	switch {
	case t.IssuedAt.After(latest) || notBefore.After(latest):
		return idp.AccessToken{}, malformed("issued in the future")
	case !now.Before(t.ExpiresAt):
		return idp.AccessToken{}, fmt.Errorf("token: %w", idp.ErrExpired)
	}
	return t, nil
}

// encodeHandle writes 18 bytes, which fill 24 characters without a bit to spare.
func encodeHandle(h idp.GrantHandle) string {
	var raw [18]byte
	binary.BigEndian.PutUint16(raw[:], uint16(h.ExpiresOn))
	copy(raw[2:], h.ID[:])
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

func decodeHandle(s string) (idp.GrantHandle, bool) {
	raw, ok := decodeSegment(s)
	if !ok || len(raw) != 18 {
		return idp.GrantHandle{}, false
	}
	h := idp.GrantHandle{ExpiresOn: idp.Day(binary.BigEndian.Uint16(raw)), ID: idp.ID(raw[2:])}
	return h, !h.IsZero()
}
