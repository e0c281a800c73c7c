package e2e

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// What is encrypted is decrypted nowhere that does not ask for it: no bomb goes
// off, no password is stretched.
func TestAttack_H06_EncryptedTokensAreRefused(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", nil)
	api := inst.NewResource(t, []string{"orders:read"})
	key := NewClientKey(t, "ES256")
	c := assertingClient(t, inst, api, "--jwks-file", KeyFile(t, key))
	web := inst.WebClient(t)
	node := inst.Start(t)
	rest := "." + strings.Repeat("A", 342) + "." + b64("123456789012") + "." + b64(strings.Repeat("x", 2000)) + "." + b64("1234567890123456")
	for name, header := range map[string]string{
		"zip bomb":          `{"alg":"RSA-OAEP-256","enc":"A256GCM","zip":"DEF"}`,
		"PBES2":             `{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":2147483647,"p2s":"AAAA"}`,
		"RSA1_5":            `{"alg":"RSA1_5","enc":"A128CBC-HS256"}`,
		"dir":               `{"alg":"dir","enc":"A256GCM"}`,
		"wrap, empty key":   `{"alg":"A256KW","enc":"A256GCM"}`,
		"off the curve epk": `{"alg":"ECDH-ES","enc":"A256GCM","epk":{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}}`,
		"nested":            `{"alg":"RSA-OAEP-256","enc":"A256GCM","cty":"JWT"}`,
	} {
		raw := base64.RawURLEncoding.EncodeToString([]byte(header)) + rest
		started := time.Now()
		form := Asserted(url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ID}}, raw)
		node.anonymous(t, "/oauth2/token", form).WantError(t, http.StatusUnauthorized, "invalid_client")
		if a := node.Userinfo(t, raw); a.Status != http.StatusUnauthorized {
			t.Errorf("%s at userinfo: %d", name, a.Status)
		}
		if node.Active(t, web, raw) {
			t.Errorf("%s is active", name)
		}
		// Keys are stretched for minutes at such a count, not for seconds.
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}
