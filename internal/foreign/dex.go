package foreign

import (
	"encoding/base64"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"idp/internal/declared"
	"idp/internal/idp"
)

// dexConfig is what of a configuration of Dex can be had here.
type dexConfig struct {
	StaticClients   []yaml.Node `yaml:"staticClients"`
	StaticPasswords []yaml.Node `yaml:"staticPasswords"`
	Connectors      []struct {
		ID   string `yaml:"id"`
		Type string `yaml:"type"`
	} `yaml:"connectors"`
	OAuth2 struct {
		SkipApprovalScreen bool     `yaml:"skipApprovalScreen"`
		ResponseTypes      []string `yaml:"responseTypes"`
	} `yaml:"oauth2"`
}

type dexClient struct {
	ID           string   `yaml:"id"`
	IDEnv        string   `yaml:"idEnv"`
	Secret       string   `yaml:"secret"`
	SecretEnv    string   `yaml:"secretEnv"`
	Name         string   `yaml:"name"`
	LogoURL      string   `yaml:"logoURL"`
	RedirectURIs []string `yaml:"redirectURIs"`
	Public       bool     `yaml:"public"`
	TrustedPeers []string `yaml:"trustedPeers"`
}

type dexPassword struct {
	Email             string   `yaml:"email"`
	Hash              string   `yaml:"hash"`
	HashFromEnv       string   `yaml:"hashFromEnv"`
	Username          string   `yaml:"username"`
	PreferredUsername string   `yaml:"preferredUsername"`
	Name              string   `yaml:"name"`
	UserID            string   `yaml:"userID"`
	EmailVerified     *bool    `yaml:"emailVerified"`
	Groups            []string `yaml:"groups"`
}

// dex reads a configuration file of Dex: its static clients and passwords.
func (h Here) dex(t *text) ([]declared.Object, error) {
	var config dexConfig
	if err := yaml.Unmarshal(t.raw, &config); err != nil {
		return nil, fmt.Errorf("%s: is no configuration of Dex: %s", t.file, strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", " "))
	}
	var objects []declared.Object
	groups := map[string]bool{}
	for i, node := range config.StaticPasswords {
		o := declared.Object{Kind: declared.KindUser, Where: fmt.Sprintf("%s:%d staticPasswords[%d]", t.file, node.Line, i)}
		var p dexPassword
		if decodeYAML(&o, t.file, &node, &p) {
			dexUser(&o, p)
		}
		for _, group := range p.Groups {
			if !groups[group] {
				objects = append(objects, declared.Object{Kind: declared.KindGroup, Name: group, Where: o.Where, Group: idp.Group{Name: group}})
			}
			groups[group] = true
		}
		objects = append(objects, o)
	}
	for i, node := range config.StaticClients {
		o := declared.Object{Kind: declared.KindClient, Where: fmt.Sprintf("%s:%d staticClients[%d]", t.file, node.Line, i)}
		var c dexClient
		if decodeYAML(&o, t.file, &node, &c) {
			h.dexClient(&o, c, config)
		}
		o.Name = c.ID
		objects = append(objects, o)
	}
	for _, c := range config.Connectors {
		objects = append(objects, declared.Object{
			Kind: declared.KindOther, Name: "connector " + c.ID, Where: t.file,
			Skip: "people who come from elsewhere (" + c.Type + ") do not sign in here yet",
		})
	}
	return objects, nil
}

// decodeYAML reads a node, and refuses the object if it cannot be read.
func decodeYAML(o *declared.Object, file string, node *yaml.Node, into any) bool {
	err := node.Decode(into)
	if err == nil {
		return true
	}
	o.Faults = append(o.Faults, declared.Fault{Where: o.Where, Reason: strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", " ")})
	return false
}

func dexUser(o *declared.Object, p dexPassword) {
	u := &o.User
	u.Username = p.PreferredUsername
	if u.Username == "" {
		u.Username = p.Username
	}
	if idp.CheckUsername(u.Username) != nil {
		if u.Username != "" {
			note(o, "signs in as %s, as %s can be no user name here", p.Email, shown(u.Username))
		}
		u.Username = p.Email
	}
	o.Name = u.Username
	u.ID = dexSubject(p.UserID, "local")
	u.Profile = idp.Profile{Email: p.Email, EmailVerified: p.EmailVerified == nil || *p.EmailVerified, Name: p.Name, PreferredUsername: p.PreferredUsername}
	if u.Profile.Name == "" {
		u.Profile.Name = p.Username // the claim that Dex makes of it
	}
	u.Groups = p.Groups
	switch {
	case p.UserID == "":
		u.ID = ""
		note(o, "there is no userID: the sub is a new one")
	case p.Hash == "" && p.HashFromEnv != "":
		note(o, "the hash is in the environment variable %s of Dex: without a password before idp user link", p.HashFromEnv)
	}
	u.PasswordHash = idp.Secret(dexHash(p.Hash))
}

// dexHash is a bcrypt hash, which may be written in base64.
func dexHash(text string) string {
	if strings.HasPrefix(text, "$") {
		return text
	}
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil && strings.HasPrefix(string(raw), "$") {
		return string(raw)
	}
	return text
}

// dexSubject is the sub that Dex makes of a user of a connector: two texts as
// fields 1 and 2 of a protocol buffer, in base64url.
func dexSubject(userID, connector string) string {
	var message []byte
	for i, text := range []string{userID, connector} {
		message = append(message, byte(i+1)<<3|2)
		for n := len(text); ; n >>= 7 {
			if n < 0x80 {
				message = append(message, byte(n))
				break
			}
			message = append(message, byte(n)|0x80)
		}
		message = append(message, text...)
	}
	return base64.RawURLEncoding.EncodeToString(message)
}

func (h Here) dexClient(o *declared.Object, c dexClient, config dexConfig) {
	w := &o.Client
	w.ClientID, w.ClientName = c.ID, c.Name
	w.TokenEndpointAuthMethod = idp.AuthClientSecretBasic
	if c.Public {
		w.TokenEndpointAuthMethod = idp.AuthNone
		if isNative(c.RedirectURIs) {
			w.ApplicationType = idp.ApplicationNative
		}
	}
	w.GrantTypes = []string{idp.GrantAuthorizationCode, idp.GrantRefreshToken}
	w.RedirectURIs = redirectURIs(o, "redirectURIs", c.RedirectURIs, w.ApplicationType == idp.ApplicationNative)
	if c.Public && len(c.RedirectURIs) == 0 {
		note(o, "Dex lets a public client without redirectURIs go to any address of this machine: name them, and import again")
	}
	responseTypes(o, config.OAuth2.ResponseTypes)
	h.scopes(o, []string{idp.ScopeOpenID, idp.ScopeProfile, idp.ScopeEmail, idp.ScopeOfflineAccess}, nil)
	w.LogoURI = page(o, "logoURL", c.LogoURL)
	w.SkipConsent = config.OAuth2.SkipApprovalScreen
	if len(c.TrustedPeers) > 0 {
		note(o, "trustedPeers are left out: tokens for several audiences are asked for with resource (RFC 8707)")
	}
	pkce(o)
	switch {
	case c.Public:
	case c.Secret == "" && c.SecretEnv != "":
		note(o, "the secret is in the environment variable %s of Dex", c.SecretEnv)
		fallthrough
	default:
		secret(o, c.Secret)
	}
	if c.ID == "" && c.IDEnv != "" {
		note(o, "the id is in the environment variable %s of Dex: write it down", c.IDEnv)
	}
}
