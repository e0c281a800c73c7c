package tokens

import (
	"context"
	"crypto/subtle"
	"slices"
	"strconv"
	"strings"
	"time"

	"idp/internal/idp"
)

const (
	// assertionLife bounds how far ahead an assertion may expire.
	assertionLife = 5 * time.Minute
	// assertionSkew is how far a client's clock may be ahead of ours.
	assertionSkew = 30 * time.Second
	// maxJTI bounds jti, in bytes.
	maxJTI = 512
)

// typAssertion is the explicit type of client assertions
// (draft-ietf-oauth-rfc7523bis section 3).
const typAssertion = "client-authentication+jwt"

// foreignClaims show that a JWT is something else than an assertion: a request
// object, a proof of possession, a token of an issuer.
var foreignClaims = []string{"response_type", "redirect_uri", "code_challenge", "request_uri", "htm", "htu", "events", "at_hash"}

// Claimant returns the client that an assertion says it is from, or "". Nothing
// of it is proven.
func (c *ClientKeys) Claimant(raw string) string {
	segments, err := compactSegments(raw)
	if err != nil {
		return ""
	}
	r, err := readClaims(segments[1])
	if err != nil {
		return ""
	}
	return r.text("sub", false)
}

// VerifyAssertion verifies a client assertion (RFC 7523 section 3, OpenID
// Connect Core section 9) by the method that the client is registered for. That
// it is used once is for the caller to see to. Every fault of the assertion is
// idp.ErrMalformed or idp.ErrExpired.
func (c *ClientKeys) VerifyAssertion(ctx context.Context, client *idp.Client, raw string, audience idp.AudienceRule) (idp.ClientAssertion, error) {
	var jwt SignedJWT
	var err error
	switch client.TokenEndpointAuthMethod {
	case idp.AuthPrivateKeyJWT:
		algs := idp.AssertionAlgorithms()
		if alg := client.TokenEndpointAuthSigningAlg; alg != "" {
			algs = []string{alg}
		}
		jwt, err = c.VerifySigned(ctx, client, raw, algs)
	case idp.AuthClientSecretJWT:
		jwt, err = c.verifyHMAC(client, raw)
	default:
		err = malformed("the client is not registered for assertions")
	}
	if err != nil {
		return idp.ClientAssertion{}, err
	}
	return checkAssertion(client.ClientID, jwt, audience, c.cfg.Now())
}

// verifyHMAC verifies a JWT with each of the client's secrets that live.
func (c *ClientKeys) verifyHMAC(client *idp.Client, raw string) (SignedJWT, error) {
	jwt, header, err := parseClientJWT(raw, []string{idp.AlgHS256})
	if err != nil {
		return SignedJWT{}, err
	}
	now := c.cfg.Now()
	for _, secret := range client.Secrets {
		if len(secret.Sealed) == 0 || !secret.ExpiresAt.IsZero() && !now.Before(secret.ExpiresAt) {
			continue
		}
		key, err := c.cfg.Master.OpenSecret(client.ClientID, secret)
		if err != nil {
			return SignedJWT{}, err
		}
		if _, err := jwt.Verify([]byte(key.Reveal())); err == nil {
			return header.signed(jwt)
		}
	}
	return SignedJWT{}, malformed("no secret of the client verifies the signature")
}

// checkAssertion applies the rules of RFC 7523 section 3 to the claims.
func checkAssertion(clientID string, jwt SignedJWT, audience idp.AudienceRule, now time.Time) (idp.ClientAssertion, error) {
	refuse := func(what string) (idp.ClientAssertion, error) { return idp.ClientAssertion{}, malformed(what) }
	if typ := strings.ToLower(strings.TrimPrefix(jwt.Type, "application/")); typ != "" && typ != "jwt" && typ != typAssertion {
		return refuse("typ is not an assertion's")
	}
	r := &claimReader{claims: jwt.Claims}
	for _, name := range foreignClaims {
		if _, ok := r.claims[name]; ok {
			return refuse("has claims that are not an assertion's")
		}
	}
	iss, sub, jti := r.text("iss", true), r.text("sub", true), r.text("jti", true)
	exp, nbf, iat := r.instant("exp", true), r.instant("nbf", false), r.instant("iat", false)
	aud, single := r.audience(), len(r.claims["aud"]) > 0 && r.claims["aud"][0] == '"'
	foreign := func(a string) bool { return !slices.Contains(audience.Accepted, a) }
	switch {
	case r.err != nil:
		return idp.ClientAssertion{}, r.err
	case !sameText(iss, clientID) || !sameText(sub, clientID):
		return refuse("iss and sub are not the client")
	case audience.Single && !single, slices.ContainsFunc(aud, foreign):
		return refuse("aud is not this issuer alone")
	case len(jti) > maxJTI:
		return refuse("jti is too long")
	case !now.Before(exp):
		return idp.ClientAssertion{}, idp.ErrExpired
	case exp.After(now.Add(assertionLife + assertionSkew)):
		return refuse("exp is more than five minutes ahead")
	case nbf.After(now.Add(assertionSkew)), iat.After(now.Add(assertionSkew)):
		return refuse("nbf or iat is in the future")
	}
	return idp.ClientAssertion{ClientID: clientID, ID: jti, ExpiresAt: exp}, nil
}

func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// instant reads a NumericDate, which others may write with a fraction (RFC 7519
// section 2).
func (r *claimReader) instant(name string, required bool) time.Time {
	value, ok := r.claims[name]
	if !ok && !required {
		return time.Time{}
	}
	seconds, err := strconv.ParseFloat(string(value), 64) // a string has quotes
	if err != nil || seconds < 0 || seconds > 1<<33 {
		if r.err == nil {
			r.err = malformed(name + " is missing or not a time")
		}
		return time.Time{}
	}
	return time.UnixMicro(int64(seconds * 1e6)).UTC()
}
