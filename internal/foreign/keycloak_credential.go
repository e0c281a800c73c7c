package foreign

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"idp/internal/declared"
	"idp/internal/idp"
)

// keycloakCredential is a credential as an export has it: two documents in texts,
// or the fields of old versions.
type keycloakCredential struct {
	Type           string `json:"type"`
	UserLabel      string `json:"userLabel"`
	SecretData     string `json:"secretData"`
	CredentialData string `json:"credentialData"`
	Value          string `json:"value"` // of a file written by hand
	Temporary      bool   `json:"temporary"`

	HashedSaltedValue string `json:"hashedSaltedValue"`
	Salt              string `json:"salt"`
	HashIterations    int    `json:"hashIterations"`
	Algorithm         string `json:"algorithm"`
}

// keycloakSecret is what secretData holds.
type keycloakSecret struct {
	Value string `json:"value"`
	Salt  string `json:"salt"`
}

// keycloakParameters are what credentialData holds.
type keycloakParameters struct {
	HashIterations int                 `json:"hashIterations"`
	Algorithm      string              `json:"algorithm"`
	Additional     map[string][]string `json:"additionalParameters"`

	SubType        string `json:"subType"`
	Digits         int    `json:"digits"`
	Period         int    `json:"period"`
	SecretEncoding string `json:"secretEncoding"`
}

func (r *realm) credential(o *declared.Object, c keycloakCredential) {
	secret := keycloakSecret{c.HashedSaltedValue, c.Salt}
	parameters := keycloakParameters{HashIterations: c.HashIterations, Algorithm: c.Algorithm}
	for document, into := range map[string]any{c.SecretData: &secret, c.CredentialData: &parameters} {
		if document != "" && json.Unmarshal([]byte(document), into) != nil {
			note(o, "a credential of type %s cannot be read and is left out", shown(c.Type))
			return
		}
	}
	switch c.Type {
	case "password":
		if c.Value != "" {
			o.User.Password = idp.Secret(c.Value)
			return
		}
		hash, err := keycloakHash(secret, parameters)
		if err != nil {
			o.Faults = append(o.Faults, declared.Fault{Where: o.Where, Field: "credentials", Reason: err.Error()})
			return
		}
		o.User.PasswordHash = idp.Secret(hash)
		if c.Temporary {
			note(o, "the password was a temporary one, and goes on")
		}
	case "otp", "totp":
		r.authenticator(o, c.UserLabel, secret, parameters)
	case "webauthn", "webauthn-passwordless":
		note(o, "a passkey is left out: it is good at the address of Keycloak alone")
	default:
		note(o, "a credential of type %s is left out", shown(c.Type))
	}
}

// pbkdf2Variants are the names of PBKDF2 in Keycloak and in modular crypt format.
var pbkdf2Variants = map[string]string{"pbkdf2": "pbkdf2-sha1", "pbkdf2-sha256": "pbkdf2-sha256", "pbkdf2-sha512": "pbkdf2-sha512"}

// keycloakHash writes a password's hash in the form that is checked here.
func keycloakHash(s keycloakSecret, p keycloakParameters) (string, error) {
	value, err := base64.StdEncoding.DecodeString(s.Value)
	if err != nil || len(value) == 0 {
		return "", fmt.Errorf("the password's hash is not base64")
	}
	salt, err := base64.StdEncoding.DecodeString(s.Salt)
	if err != nil {
		return "", fmt.Errorf("the salt of the password's hash is not base64")
	}
	if variant, ok := pbkdf2Variants[p.Algorithm]; ok {
		adapted := func(raw []byte) string {
			return strings.ReplaceAll(base64.RawStdEncoding.EncodeToString(raw), "+", ".")
		}
		return fmt.Sprintf("$%s$%d$%s$%s", variant, p.HashIterations, adapted(salt), adapted(value)), nil
	}
	if p.Algorithm != "argon2" {
		return "", fmt.Errorf("password hashes of %s are not known here", shown(p.Algorithm))
	}
	parameter := func(name, otherwise string) string {
		if values := p.Additional[name]; len(values) == 1 {
			return values[0]
		}
		return otherwise
	}
	if version := parameter("version", "1.3"); version != "1.3" {
		return "", fmt.Errorf("password hashes of argon2 %s are not known here", shown(version))
	}
	for _, name := range []string{"memory", "parallelism"} {
		if _, err := strconv.ParseUint(parameter(name, "1"), 10, 32); err != nil {
			return "", fmt.Errorf("the %s of the password's hash is no number", name)
		}
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2%s$v=19$m=%s,t=%d,p=%s$%s$%s", parameter("type", "id"), parameter("memory", "7168"), p.HashIterations, parameter("parallelism", "1"),
		encode(salt), encode(value)), nil
}

// minSeed is the shortest secret of an authenticator that is kept, in bytes.
const minSeed = 16

// authenticator keeps an app that shows codes, if it shows those that are asked
// for here.
func (r *realm) authenticator(o *declared.Object, label string, s keycloakSecret, p keycloakParameters) {
	seed := []byte(s.Value)
	var err error
	if p.SecretEncoding == "BASE32" {
		seed, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(s.Value, "="))
	}
	switch {
	case err != nil || len(seed) < minSeed:
		note(o, "an authenticator app is left out: its secret is too short")
	case p.SubType != "totp" || p.Digits != 6 || p.Period != 30 || p.Algorithm != "HmacSHA1":
		note(o, "an authenticator app is left out: codes are of six digits, 30 seconds and SHA-1 here")
	default:
		o.User.Authenticators = append(o.User.Authenticators, declared.Authenticator{Name: label, Secret: seed})
	}
}
