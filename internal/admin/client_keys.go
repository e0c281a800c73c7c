package admin

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// ClientKeys judges the key sets that clients register. Implemented by
// *tokens.ClientKeys.
type ClientKeys interface {
	CheckKeySet(set idp.JWKSet) error
}

// SigningKeys makes keys of the server's own. Implemented by *tokens.Keyring.
type SigningKeys interface {
	// Ensure makes a key for each of the algorithms that has none.
	Ensure(ctx context.Context, algs ...string) error
}

// authMethods lists how a client may prove who it is.
func authMethods() []string {
	return []string{idp.AuthNone, idp.AuthClientSecretBasic, idp.AuthClientSecretPost, idp.AuthClientSecretJWT, idp.AuthPrivateKeyJWT}
}

// hasSecret reports whether clients of the method hold a secret.
func hasSecret(method string) bool {
	return slices.Contains([]string{idp.AuthClientSecretBasic, idp.AuthClientSecretPost, idp.AuthClientSecretJWT}, method)
}

// keepSecret returns what is stored of a client's secret: a hash, and for
// client_secret_jwt the secret itself under the master key, because an HMAC
// cannot be checked with less.
func (s *Service) keepSecret(c idp.Client, secret idp.Secret, now time.Time) (idp.ClientSecret, error) {
	kept := idp.ClientSecret{ID: newID(now), Hash: s.secrets.HashSecret(secret.Reveal()), CreatedAt: now}
	if c.TokenEndpointAuthMethod != idp.AuthClientSecretJWT {
		return kept, nil
	}
	var err error
	kept.Sealed, err = s.secrets.SealSecret(c.ClientID, kept.ID, secret)
	return kept, err
}

// readableKeys refuses keys that are no JSON: they cannot be compared with those
// that there are.
func readableKeys(m idp.ClientMetadata) error {
	if len(m.JWKS) > 0 && !json.Valid(m.JWKS) {
		return idp.Invalid("jwks", "is no JSON")
	}
	return nil
}

// checkClientKeys checks the client's own keys, and what is signed with them
// and encrypted to them.
func (s *Service) checkClientKeys(f *faults, m idp.ClientMetadata) {
	switch {
	case len(m.JWKS) > 0 && m.JWKSURI != "":
		f.add("jwks", "must be left out when there is a jwks_uri (RFC 7591 section 2)")
	case len(m.JWKS) > 0:
		if err := s.clientKeys.CheckKeySet(m.JWKS); err != nil {
			f.add("jwks", "%s", err)
		}
	case m.JWKSURI != "":
		f.addIf("jwks_uri", secureURLFault(m.JWKSURI))
	}

	keyed := m.TokenEndpointAuthMethod == idp.AuthPrivateKeyJWT
	if keyed && !m.HasKeys() {
		f.add("token_endpoint_auth_method", "private_key_jwt needs jwks or jwks_uri")
	}
	switch alg := m.TokenEndpointAuthSigningAlg; {
	case alg == "":
	case keyed && !slices.Contains(idp.AssertionAlgorithms(), alg):
		f.add("token_endpoint_auth_signing_alg", "must be one of %s", strings.Join(idp.AssertionAlgorithms(), ", "))
	case m.TokenEndpointAuthMethod == idp.AuthClientSecretJWT && alg != idp.AlgHS256:
		f.add("token_endpoint_auth_signing_alg", "must be HS256 for client_secret_jwt")
	case !keyed && m.TokenEndpointAuthMethod != idp.AuthClientSecretJWT:
		f.add("token_endpoint_auth_signing_alg", "is for private_key_jwt and client_secret_jwt")
	}

	algorithm(f, "userinfo_signed_response_alg", m.UserinfoSignedResponseAlg)
	checkEncryption(f, "id_token_encrypted_response", m.IDTokenEncryptedResponseAlg, m.IDTokenEncryptedResponseEnc, m.HasKeys())
	checkEncryption(f, "userinfo_encrypted_response", m.UserinfoEncryptedResponseAlg, m.UserinfoEncryptedResponseEnc, m.HasKeys())
	checkEncryption(f, "request_object_encryption", m.RequestObjectEncryptionAlg, m.RequestObjectEncryptionEnc, true)
}

func checkEncryption(f *faults, field, alg, enc string, keys bool) {
	switch {
	case alg == "" && enc != "":
		f.add(field+"_enc", "needs %s_alg", field)
	case alg == "":
	case !slices.Contains(idp.EncryptionAlgorithms(), alg):
		f.add(field+"_alg", "must be one of %s", strings.Join(idp.EncryptionAlgorithms(), ", "))
	case !keys:
		f.add(field+"_alg", "needs jwks or jwks_uri with a key for encryption")
	}
	if enc != "" && !slices.Contains(idp.ContentEncryptions(), enc) {
		f.add(field+"_enc", "must be one of %s", strings.Join(idp.ContentEncryptions(), ", "))
	}
}

// secureURLFault says why the text is no address that the server would read
// from.
func secureURLFault(raw string) string {
	if reason := webURLFault(raw); reason != "" {
		return reason
	}
	if !strings.HasPrefix(raw, "https:") {
		return "the scheme must be https"
	}
	return ""
}
