package tokens

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

const (
	// objectLife bounds how far ahead a request object may expire, and how long
	// ago it may have become valid: as FAPI 2.0 Message Signing has it.
	objectLife = time.Hour
	// objectSkew is how far a client's clock may be ahead of ours.
	objectSkew = 10 * time.Second
)

// typRequestObject is the explicit type of request objects (RFC 9101 section
// 10.8). Others leave it out, or say JWT.
const typRequestObject = "oauth-authz-req+jwt"

// VerifyRequestObject verifies a request object that the client signed, for
// this issuer (RFC 9101 section 6, OpenID Connect Core section 6.1), and
// returns its claims. Every fault of it is idp.ErrMalformed or idp.ErrExpired.
//
// Who it is from and for, and from when to when it is good, may be left out by
// clients of the profile oidc-legacy alone: OpenID Connect Core does not demand
// it. What is there has to be right.
func (c *ClientKeys) VerifyRequestObject(ctx context.Context, client *idp.Client, issuer, raw string) (map[string]json.RawMessage, error) {
	algs := idp.AssertionAlgorithms()
	if alg := client.RequestObjectSigningAlg; alg != "" {
		algs = []string{alg}
	}
	jwt, err := c.VerifySigned(ctx, client, raw, algs)
	if err != nil {
		return nil, err
	}
	if typ := strings.ToLower(strings.TrimPrefix(jwt.Type, "application/")); typ != "" && typ != "jwt" && typ != typRequestObject {
		return nil, malformed("typ is not a request object's")
	}
	lax := client.SecurityProfile == idp.ProfileOIDCLegacy
	r := &claimReader{claims: jwt.Claims}
	iss, sub, clientID := r.text("iss", !lax), r.text("sub", false), r.text("client_id", false)
	var aud []string
	if _, ok := r.claims["aud"]; ok || !lax {
		aud = r.audience()
	}
	exp, nbf := r.instant("exp", !lax), r.instant("nbf", !lax)
	now := c.cfg.Now()
	switch {
	case r.err != nil:
		return nil, r.err
	case iss != "" && !sameText(iss, client.ClientID), clientID != "" && !sameText(clientID, client.ClientID):
		return nil, malformed("iss or client_id is not the client")
	case sub == client.ClientID: // a client assertion in other clothes
		return nil, malformed("sub is the client")
	case len(aud) > 0 && !slices.Contains(aud, issuer):
		return nil, malformed("aud is not this issuer")
	case !exp.IsZero() && !now.Before(exp):
		return nil, idp.ErrExpired
	case exp.After(now.Add(objectLife + objectSkew)):
		return nil, malformed("exp is more than an hour ahead")
	case nbf.After(now.Add(objectSkew)):
		return nil, malformed("nbf is in the future")
	case !nbf.IsZero() && nbf.Before(now.Add(-objectLife-objectSkew)):
		return nil, malformed("nbf is more than an hour ago")
	}
	return jwt.Claims, nil
}
