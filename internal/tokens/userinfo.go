package tokens

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// SignUserinfo returns the claims as the signed answer of userinfo (OpenID
// Connect Core section 5.3.2), with iss and aud. It has no typ, no exp and no
// iat: it passes for none of the tokens that this issuer signs (RFC 9701
// section 8 tells what could come of it).
func (k *Keyring) SignUserinfo(alg, clientID string, claims map[string]any) (string, error) {
	if claims["sub"] == nil || clientID == "" {
		return "", errors.New("sign userinfo: client and subject are required")
	}
	key, err := k.signer(alg)
	if err != nil {
		return "", fmt.Errorf("sign userinfo: %w", err)
	}
	all := maps.Clone(claims)
	all["iss"], all["aud"] = k.cfg.Issuer, clientID
	payload, err := json.Marshal(all)
	if err != nil {
		return "", fmt.Errorf("sign userinfo: %w", err)
	}
	return k.signCompact(key, key.plainHeader, payload)
}
