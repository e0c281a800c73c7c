package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"idp/internal/admin"
	"idp/internal/demo"
	"idp/internal/idp"
)

var demoScopes = []string{"demo:read", "demo:write"}

// ensureDemonstration creates what the demonstration lacks and leaves the rest
// as it is, so that a second start finds what the first one made, and what
// people changed. Secrets are written down before they are used: a start that
// dies half way is finished by the next.
func (d *database) ensureDemonstration(ctx context.Context, application string) (demonstration, error) {
	secrets, err := readDemoSecrets(d.cfg.DataDir)
	known := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return demonstration{}, err
	}
	redirect, previous := application+"/callback", secrets.RedirectURI
	if !known {
		secrets = demoSecrets{
			Password: newPassword().Reveal(), WebSecret: newClientSecret(), ServiceSecret: newClientSecret(), Audience: application + "/api",
		}
	}
	if secrets.RedirectURI != redirect {
		secrets.RedirectURI = redirect
		if err := secrets.write(d.cfg.DataDir); err != nil {
			return demonstration{}, err
		}
	}

	sub, err := d.ensureDemoUser(ctx, secrets.Password, known)
	if err != nil {
		return demonstration{}, err
	}
	if err := d.ensureDemoResource(ctx, secrets.Audience); err != nil {
		return demonstration{}, err
	}
	dataDir, err := filepath.Abs(d.cfg.DataDir)
	if err != nil {
		return demonstration{}, err
	}
	shown := demonstration{
		Issuer:                d.cfg.Issuer,
		Discovery:             d.cfg.Issuer + "/.well-known/openid-configuration",
		JWKS:                  d.cfg.Issuer + "/.well-known/jwks.json",
		TokenEndpoint:         d.cfg.Issuer + "/oauth2/token",
		AuthorizationEndpoint: d.cfg.Issuer + "/oauth2/auth",
		DataDir:               dataDir,
		DemoApp:               application,
		ResourceAPI:           demoAPI{URL: application + "/api", Audience: secrets.Audience, Scopes: demoScopes},
		Users:                 []demoUser{{Username: "alice", Password: secrets.Password, Sub: sub}},
	}
	for _, in := range demoClients(secrets) {
		c, err := d.ensureDemoClient(ctx, in, previous, known, &secrets)
		if err != nil {
			return demonstration{}, err
		}
		shown.Clients = append(shown.Clients, c)
	}
	return shown, nil
}

// demoClients are a web application, a program on a desk and a service.
func demoClients(s demoSecrets) []admin.ClientInput {
	signIn := strings.Join(append([]string{idp.ScopeOpenID, idp.ScopeProfile, idp.ScopeEmail, idp.ScopeOfflineAccess}, demoScopes...), " ")
	person := []string{idp.GrantAuthorizationCode, idp.GrantRefreshToken}
	return []admin.ClientInput{
		{ClientID: "demo-web", Secret: idp.Secret(s.WebSecret), ClientMetadata: idp.ClientMetadata{
			ClientName: "Demo application", TokenEndpointAuthMethod: idp.AuthClientSecretBasic, GrantTypes: person,
			RedirectURIs: []string{s.RedirectURI}, Scope: signIn, Audience: []string{s.Audience},
			PostLogoutRedirectURIs: []string{besideCallback(s.RedirectURI, demo.SignedOutPath)},
			BackchannelLogoutURI:   besideCallback(s.RedirectURI, demo.BackchannelLogoutPath), BackchannelLogoutSessionRequired: true,
		}},
		{ClientID: "demo-cli", ClientMetadata: idp.ClientMetadata{
			ClientName: "Demo command line", ApplicationType: idp.ApplicationNative, TokenEndpointAuthMethod: idp.AuthNone, GrantTypes: person,
			RedirectURIs: []string{"http://127.0.0.1/callback", "http://[::1]/callback"}, Scope: signIn, Audience: []string{s.Audience},
		}},
		{ClientID: "demo-service", Secret: idp.Secret(s.ServiceSecret), ClientMetadata: idp.ClientMetadata{
			ClientName: "Demo service", TokenEndpointAuthMethod: idp.AuthClientSecretBasic, GrantTypes: []string{idp.GrantClientCredentials},
			Scope: strings.Join(demoScopes, " "), Audience: []string{s.Audience},
		}},
	}
}

// ensureDemoUser returns alice's subject. When her password is not known any
// more she gets another one.
func (d *database) ensureDemoUser(ctx context.Context, password string, known bool) (string, error) {
	u, err := d.admin.User(ctx, "alice")
	switch {
	case errors.Is(err, idp.ErrNotFound):
		u, err = d.admin.CreateUser(ctx, admin.UserInput{Username: "alice", Password: idp.Secret(password), Profile: idp.Profile{
			Name: "Alice Example", GivenName: "Alice", FamilyName: "Example", Email: "alice@example.com", EmailVerified: true, Locale: "en",
		}})
	case err == nil && !known:
		err = d.admin.SetPassword(ctx, u.ID, idp.Secret(password))
	}
	return u.ID, err
}

func (d *database) ensureDemoResource(ctx context.Context, audience string) error {
	_, err := d.admin.Resource(ctx, audience)
	if errors.Is(err, idp.ErrNotFound) {
		_, err = d.admin.CreateResource(ctx, audience, idp.ResourceMetadata{
			Name: "Demo API",
			Scopes: []idp.ResourceScope{
				{Name: demoScopes[0], Description: "Read the demo data"},
				{Name: demoScopes[1], Description: "Change the demo data"},
			},
		})
	}
	return err
}

// ensureDemoClient creates the client, or follows the demo application to
// another port. A client whose secret is not known any more gets another one.
func (d *database) ensureDemoClient(ctx context.Context, in admin.ClientInput, previousRedirect string, known bool, secrets *demoSecrets) (demoClient, error) {
	c, err := d.admin.Client(ctx, in.ClientID)
	switch {
	case errors.Is(err, idp.ErrNotFound):
		c, _, err = d.admin.CreateClient(ctx, in)
	case err == nil && in.ClientID == "demo-web" && !(slices.Contains(c.RedirectURIs, secrets.RedirectURI) && slices.Contains(c.PostLogoutRedirectURIs, in.PostLogoutRedirectURIs[0])):
		c, err = d.admin.UpdateClient(ctx, in.ClientID, func(m *idp.ClientMetadata) {
			moved := func(uris []string, from, to string) []string {
				return append(slices.DeleteFunc(uris, func(uri string) bool { return uri == from || uri == to }), to)
			}
			m.RedirectURIs = moved(m.RedirectURIs, previousRedirect, secrets.RedirectURI)
			m.PostLogoutRedirectURIs = moved(m.PostLogoutRedirectURIs, besideCallback(previousRedirect, demo.SignedOutPath), in.PostLogoutRedirectURIs[0])
			m.BackchannelLogoutURI, m.BackchannelLogoutSessionRequired = in.BackchannelLogoutURI, true
		})
	}
	if err == nil && !known && in.Secret != "" && !d.holdsSecret(c, in.Secret) {
		in.Secret, err = d.admin.RotateSecret(ctx, in.ClientID, 0)
		if err == nil && in.ClientID == "demo-web" {
			secrets.WebSecret = in.Secret.Reveal()
		} else if err == nil {
			secrets.ServiceSecret = in.Secret.Reveal()
		}
		if err == nil {
			err = secrets.write(d.cfg.DataDir)
		}
	}
	if err != nil {
		return demoClient{}, err
	}
	return demoClient{
		ClientID: c.ClientID, ClientSecret: in.Secret.Reveal(), GrantTypes: c.GrantTypes,
		RedirectURIs: append([]string{}, c.RedirectURIs...), Scopes: c.Scopes(), Audience: append([]string{}, c.Audience...),
	}, nil
}

// besideCallback is another address of the demo application than its redirect URI.
func besideCallback(redirectURI, path string) string {
	return strings.TrimSuffix(redirectURI, "/callback") + path
}

func (d *database) holdsSecret(c idp.Client, secret idp.Secret) bool {
	return slices.ContainsFunc(c.Secrets, func(s idp.ClientSecret) bool {
		return (s.ExpiresAt.IsZero() || d.now().Before(s.ExpiresAt)) && d.master.VerifySecret(s.Hash, secret.Reveal())
	})
}

// newClientSecret returns more than 256 random bits as text.
func newClientSecret() string { return randomText() + randomText() }
