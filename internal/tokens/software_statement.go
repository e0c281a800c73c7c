package tokens

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"idp/internal/idp"
)

// spentClaims show that a JWT of the issuer is no software statement, but
// something that it told about a person or an event.
var spentClaims = []string{"nonce", "at_hash", "c_hash", "events", "sid", "htm", "htu", "client_assertion"}

// VerifySoftwareStatement verifies a software statement (RFC 7591 section 2.3)
// that one of the trusted issuers signed with one of the algorithms, and returns
// its claims. A statement of anybody else is idp.ErrNotFound, every other fault
// of it idp.ErrMalformed or idp.ErrExpired. It may be for everybody or, with aud,
// for this issuer among others.
func (c *ClientKeys) VerifySoftwareStatement(ctx context.Context, trusted []idp.StatementIssuer, algs []string, issuer, raw string) (map[string]json.RawMessage, error) {
	segments, err := compactSegments(raw)
	if err != nil {
		return nil, err
	}
	unproven, err := readClaims(segments[1])
	if err != nil {
		return nil, err
	}
	from := unproven.text("iss", true)
	if unproven.err != nil {
		return nil, unproven.err
	}
	i := slices.IndexFunc(trusted, func(t idp.StatementIssuer) bool { return t.Issuer == from })
	if i < 0 {
		return nil, fmt.Errorf("issuer of software statements: %w", idp.ErrNotFound)
	}
	// No client has a space in its name: the issuer's keys are nobody else's.
	signer := &idp.Client{ClientID: "software statements of " + from, ClientMetadata: idp.ClientMetadata{JWKS: trusted[i].JWKS, JWKSURI: trusted[i].JWKSURI}}
	jwt, err := c.VerifySigned(ctx, signer, raw, algs)
	if err != nil {
		return nil, err
	}
	if typ := strings.ToLower(strings.TrimPrefix(jwt.Type, "application/")); typ != "" && typ != "jwt" {
		return nil, malformed("typ is not a software statement's")
	}
	r := &claimReader{claims: jwt.Claims}
	for _, name := range spentClaims {
		if _, ok := r.claims[name]; ok {
			return nil, malformed("has claims that are not a software statement's")
		}
	}
	var aud []string
	if _, ok := r.claims["aud"]; ok {
		aud = r.audience()
	}
	exp, nbf, iat := r.instant("exp", false), r.instant("nbf", false), r.instant("iat", false)
	now := c.cfg.Now()
	switch {
	case r.err != nil:
		return nil, r.err
	case len(aud) > 0 && !slices.Contains(aud, issuer):
		return nil, malformed("aud is not this issuer")
	case !exp.IsZero() && !now.Before(exp):
		return nil, idp.ErrExpired
	case nbf.After(now.Add(assertionSkew)), iat.After(now.Add(assertionSkew)):
		return nil, malformed("nbf or iat is in the future")
	}
	return jwt.Claims, nil
}
