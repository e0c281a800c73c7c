package admin_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
	"idp/internal/tokens"
	"idp/internal/users"
)

var (
	_ admin.Store     = (*store.Store)(nil)
	_ admin.Directory = (*store.Directory)(nil)
	_ admin.Secrets   = (*tokens.Master)(nil)
	_ admin.Hasher    = (*users.Hasher)(nil)
)

// marks stands for the keyed hash of secrets.
type marks struct{}

func (marks) HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "test-sha256:" + hex.EncodeToString(sum[:])
}

// hashes stands for the password hasher, which has its own tests.
type hashes struct{}

func (hashes) HashNew(_ context.Context, _ string, password idp.Secret) (string, error) {
	if len(password) < 12 {
		return "", idp.Invalid("password", "has fewer than 12 characters")
	}
	return marks{}.HashSecret(password.Reveal()), nil
}

// world is a service over a real database, with a clock that moves by hand,
// and by a millisecond whenever it is read, so that events have an order.
type world struct {
	*admin.Service
	store     *store.Store
	directory *store.Directory

	mu  sync.Mutex
	now time.Time
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(time.Millisecond)
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

const phrase = "correct horse battery staple"

// run tests on both engines.
func run(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	storetest.Engines(t, func(t *testing.T, url func(t *testing.T) string) {
		w := &world{now: time.Now().UTC().Truncate(time.Second)}
		w.store = storetest.Migrated(t, store.Config{URL: url(t), Now: w.clock})
		var err error
		w.directory, err = w.store.LoadDirectory(t.Context())
		require.NoError(t, err)
		w.Service = admin.New(admin.Config{
			Store: w.store, Directory: w.directory, Secrets: marks{}, Hasher: hashes{},
			Issuer: "https://issuer.example", Actor: "command", Now: w.clock,
		})
		f(t, w)
	})
}

// last returns the newest event.
func (w *world) last(t *testing.T) idp.Event {
	t.Helper()
	events := w.events(t)
	require.NotEmpty(t, events)
	return events[len(events)-1]
}

func (w *world) events(t *testing.T) []idp.Event {
	t.Helper()
	events, err := w.store.Events(t.Context(), idp.ID{}, 1000)
	require.NoError(t, err)
	return events
}

// client is metadata that is accepted.
func client() idp.ClientMetadata {
	return idp.ClientMetadata{
		ClientName:   "Notes",
		GrantTypes:   []string{idp.GrantAuthorizationCode, idp.GrantRefreshToken},
		RedirectURIs: []string{"https://notes.example/callback"},
		Scope:        "openid profile",
	}
}

// faultsOf returns the fields that an error names.
func faultsOf(t *testing.T, err error) map[string]string {
	t.Helper()
	fields := map[string]string{}
	var walk func(error)
	walk = func(err error) {
		var invalid *idp.InvalidError
		switch joined, ok := err.(interface{ Unwrap() []error }); { //nolint:errorlint // walking the tree itself
		case ok:
			for _, e := range joined.Unwrap() {
				walk(e)
			}
		case errors.As(err, &invalid):
			fields[invalid.Field] += invalid.Reason + "\n"
		default:
			t.Fatalf("not about the input: %v", err)
		}
	}
	require.Error(t, err)
	walk(err)
	return fields
}

// RFC 7591 section 2: what is left out has a default.
func TestRFC7591_2_Defaults(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		c, secret, err := w.CreateClient(t.Context(), admin.ClientInput{ClientMetadata: idp.ClientMetadata{
			RedirectURIs: []string{"https://notes.example/callback"},
		}})
		require.NoError(t, err)
		require.Equal(t, idp.AuthClientSecretBasic, c.TokenEndpointAuthMethod)
		require.Equal(t, []string{"authorization_code"}, c.GrantTypes)
		require.Equal(t, []string{"code"}, c.ResponseTypes)
		require.Equal(t, "web", c.ApplicationType)
		require.Regexp(t, `^[0-9a-hjkmnp-tv-z]{5}(-[0-9a-hjkmnp-tv-z]{5}){3}$`, c.ClientID)
		require.GreaterOrEqual(t, len(secret.Reveal()), 43)
		got, err := w.Client(t.Context(), c.ClientID)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(c, got))
	})
}

// A secret is shown once and only its hash is kept; not in the audit either.
func TestSecretsAreKeptAsHashesOnly(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		c, secret, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		require.Equal(t, marks{}.HashSecret(secret.Reveal()), c.Secrets[0].Hash)
		given := idp.Secret("0123456789abcdefghijklmnopqrstuv!")
		_, same, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "given", ClientMetadata: client(), Secret: given})
		require.NoError(t, err)
		require.Equal(t, given, same)
		rotated, err := w.RotateSecret(t.Context(), "notes", time.Hour)
		require.NoError(t, err)
		all := fmt.Sprintf("%+v %+v", w.directory.Clients(), w.events(t))
		for _, s := range []idp.Secret{secret, given, rotated} {
			require.NotContains(t, all, s.Reveal())
		}
	})
}

// All faults of an input are told at once, under the names of RFC 7591.
func TestRFC7591_AllFaultsTogether(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		age := -1
		_, _, err := w.CreateClient(t.Context(), admin.ClientInput{
			ClientID: "a b",
			Secret:   "short",
			ClientMetadata: idp.ClientMetadata{
				ClientName:               "Bank\u202Eknab",
				ApplicationType:          "desktop",
				TokenEndpointAuthMethod:  "none",
				GrantTypes:               []string{"authorization_code", "client_credentials", "password"},
				ResponseTypes:            []string{"code", "token"},
				RedirectURIs:             []string{"https://a.example/#", "http://a.example/"},
				Scope:                    "openid offline_access notes:read",
				LogoURI:                  "javascript:alert(1)",
				Contacts:                 []string{"nobody"},
				IDTokenSignedResponseAlg: "none", AccessTokenSigningAlg: "HS256", AccessTokenFormat: "saml",
				DefaultMaxAge: &age,
				Audience:      []string{"https://unknown.example"}, ResourceServerOf: []string{"https://unknown.example"},
				AllowedCORSOrigins: []string{"*"}, AllowedGroups: []string{"nobody"},
				PKCEOptional: true, AccessTokenLifetime: 59, RefreshTokenIdle: 100, RefreshTokenLifetime: 91 * 86400,
			},
		})
		fields := faultsOf(t, err)
		for _, field := range []string{
			"client_id", "client_secret", "client_name", "application_type", "grant_types", "response_types", "redirect_uris", "scope",
			"logo_uri", "contacts", "id_token_signed_response_alg", "access_token_signing_alg", "access_token_format", "default_max_age",
			"audience", "resource_server_of", "allowed_cors_origins", "allowed_groups", "pkce_optional", "access_token_lifetime",
			"refresh_token_lifetime",
		} {
			require.NotEmpty(t, fields[field], field)
		}
		require.Contains(t, fields["grant_types"], "client_credentials needs")
		require.Contains(t, fields["grant_types"], `"password" is not one of`)
		require.Contains(t, fields["scope"], "offline_access needs the refresh_token grant")
		require.Contains(t, fields["scope"], "belongs to no resource")
		require.NotContains(t, err.Error(), "short")
		require.Empty(t, w.events(t), "nothing happened")
	})
}

// One wrong thing at a time.
func TestClientMetadataRules(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, err := w.CreateResource(t.Context(), "https://api.example", idp.ResourceMetadata{Scopes: []idp.ResourceScope{{Name: "notes:read"}}})
		require.NoError(t, err)
		long := func(m *idp.ClientMetadata) {
			for i := range 65 {
				m.RedirectURIs = append(m.RedirectURIs, fmt.Sprintf("https://notes.example/%d", i))
			}
		}
		for _, tc := range []struct {
			name, field string
			change      func(m *idp.ClientMetadata)
		}{
			{"code without redirect URI", "redirect_uris", func(m *idp.ClientMetadata) { m.RedirectURIs = nil }},
			{"the same redirect URI twice", "redirect_uris", func(m *idp.ClientMetadata) { m.RedirectURIs = append(m.RedirectURIs, m.RedirectURIs[0]) }},
			{"too many redirect URIs", "redirect_uris", long},
			{"redirect URI without code", "redirect_uris", func(m *idp.ClientMetadata) { m.GrantTypes, m.Scope = []string{"client_credentials"}, "" }},
			{"implicit", "response_types", func(m *idp.ClientMetadata) { m.ResponseTypes = []string{"id_token"} }},
			{"refresh alone", "grant_types", func(m *idp.ClientMetadata) {
				*m = idp.ClientMetadata{GrantTypes: []string{"refresh_token"}}
			}},
			{"a grant twice", "grant_types", func(m *idp.ClientMetadata) { m.GrantTypes = append(m.GrantTypes, m.GrantTypes[0]) }},
			{"unknown authentication", "token_endpoint_auth_method", func(m *idp.ClientMetadata) { m.TokenEndpointAuthMethod = "tls_client_auth" }},
			{"openid for a service", "scope", func(m *idp.ClientMetadata) {
				*m = idp.ClientMetadata{GrantTypes: []string{"client_credentials"}, Scope: "openid"}
			}},
			{"scope of a resource that is not in audience", "scope", func(m *idp.ClientMetadata) { m.Scope = "openid notes:read" }},
			{"a scope twice", "scope", func(m *idp.ClientMetadata) { m.Scope = "openid openid" }},
			{"two spaces", "scope", func(m *idp.ClientMetadata) { m.Scope = "openid  profile" }},
			{"quote in a scope", "scope", func(m *idp.ClientMetadata) { m.Scope = `open"id` }},
			{"offline_access without refresh_token", "scope", func(m *idp.ClientMetadata) {
				m.GrantTypes, m.Scope = []string{"authorization_code"}, "openid offline_access"
			}},
			{"long name", "client_name", func(m *idp.ClientMetadata) { m.ClientName = string(make([]byte, 201)) }},
			{"invisible character", "client_name", func(m *idp.ClientMetadata) { m.ClientName = "No\u200Btes" }},
			{"line end", "client_name", func(m *idp.ClientMetadata) { m.ClientName = "No\ntes" }},
			{"http link", "policy_uri", func(m *idp.ClientMetadata) { m.PolicyURI = "http://notes.example/policy" }},
			{"a day and a second", "access_token_lifetime", func(m *idp.ClientMetadata) { m.AccessTokenLifetime = 86401 }},
			{"negative lifetime", "refresh_token_idle", func(m *idp.ClientMetadata) { m.RefreshTokenIdle = -1 }},
			{"idle longer than life", "refresh_token_idle", func(m *idp.ClientMetadata) { m.RefreshTokenIdle, m.RefreshTokenLifetime = 7200, 3600 }},
		} {
			m := client()
			tc.change(&m)
			_, _, err := w.CreateClient(t.Context(), admin.ClientInput{ClientMetadata: m})
			fields := faultsOf(t, err)
			require.Len(t, fields, 1, "%s: %v", tc.name, err)
			require.NotEmpty(t, fields[tc.field], "%s: %v", tc.name, err)
		}
		m := client()
		m.Scope, m.Audience = "openid notes:read", []string{"https://api.example"}
		m.AllowedCORSOrigins, m.AccessTokenLifetime = []string{"https://notes.example"}, 60
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientMetadata: m})
		require.NoError(t, err)

		m.Audience = nil
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientMetadata: m})
		require.Contains(t, faultsOf(t, err)["scope"], "add to audience: https://api.example")
	})
}

// A public client has no secret and cannot get one.
func TestRFC6749_2_1_PublicClientsHaveNoSecret(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		m := client()
		m.TokenEndpointAuthMethod = idp.AuthNone
		c, secret, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "cli", ClientMetadata: m})
		require.NoError(t, err)
		require.Empty(t, secret)
		require.Empty(t, c.Secrets)
		_, err = w.RotateSecret(t.Context(), "cli", 0)
		require.NotEmpty(t, faultsOf(t, err)["token_endpoint_auth_method"])
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientMetadata: m, Secret: "0123456789abcdefghijklmnopqrstuv"})
		require.NotEmpty(t, faultsOf(t, err)["client_secret"])
	})
}

// A change is validated as a whole, stored with its audit row, and the row
// names the fields and not their values.
func TestClientUpdateLeavesItsAuditRow(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		ctx := idp.WithRequest(t.Context(), &idp.Request{ID: "r1", RemoteAddr: "192.0.2.1", Subject: "u-admin"})
		_, _, err := w.CreateClient(ctx, admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		_, _, err = w.CreateClient(ctx, admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.ErrorIs(t, err, idp.ErrConflict)
		before := len(w.events(t))

		c, err := w.UpdateClient(ctx, "notes", func(m *idp.ClientMetadata) {
			m.RedirectURIs[0] = "https://notes.example/other"
			m.ClientName = "Other"
		})
		require.NoError(t, err)
		require.Equal(t, "Other", c.ClientName)
		e := w.last(t)
		require.Equal(t, idp.EventClientUpdated, e.Kind)
		require.Equal(t, "notes", e.ClientID)
		require.Equal(t, "192.0.2.1", e.RemoteAddr)
		require.Equal(t, map[string]string{"target": "notes", "actor": "u-admin", "fields": "client_name redirect_uris"}, e.Detail)

		_, err = w.UpdateClient(ctx, "notes", func(m *idp.ClientMetadata) { m.ClientName = "Other" })
		require.NoError(t, err)
		require.Len(t, w.events(t), before+1, "nothing changed, nothing written")

		_, err = w.UpdateClient(ctx, "notes", func(m *idp.ClientMetadata) { m.RedirectURIs[0] = "http://evil.tld/" })
		require.NotEmpty(t, faultsOf(t, err)["redirect_uris"])
		c, err = w.Client(ctx, "notes")
		require.NoError(t, err)
		require.Equal(t, []string{"https://notes.example/other"}, c.RedirectURIs, "the shared client is untouched")

		_, err = w.UpdateClient(ctx, "nobody", func(*idp.ClientMetadata) {})
		require.ErrorIs(t, err, idp.ErrNotFound)
	})
}

// While a secret is rotated, the old one lives for the grace and not longer,
// however often one rotates.
func TestRotatedSecretsEnd(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, first, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		_, err = w.RotateSecret(t.Context(), "notes", -time.Second)
		require.NotEmpty(t, faultsOf(t, err)["grace"])
		start := w.clock()
		_, err = w.RotateSecret(t.Context(), "notes", time.Hour)
		require.NoError(t, err)
		w.pass(time.Minute)
		last, err := w.RotateSecret(t.Context(), "notes", 24*time.Hour)
		require.NoError(t, err)
		c, err := w.Client(t.Context(), "notes")
		require.NoError(t, err)
		ends := map[string]time.Time{}
		for _, s := range c.Secrets {
			ends[s.Hash] = s.ExpiresAt
		}
		require.Len(t, ends, 3)
		require.WithinDuration(t, start.Add(time.Hour), ends[marks{}.HashSecret(first.Reveal())], time.Second, "the grace is not prolonged")
		require.Zero(t, ends[marks{}.HashSecret(last.Reveal())])

		only, err := w.RotateSecret(t.Context(), "notes", 0)
		require.NoError(t, err)
		c, err = w.Client(t.Context(), "notes")
		require.NoError(t, err)
		for _, s := range c.Secrets {
			require.True(t, s.Hash == marks{}.HashSecret(only.Reveal()) || !w.clock().Before(s.ExpiresAt), "an old secret lives on")
		}
		require.Equal(t, idp.EventClientSecretRotated, w.last(t).Kind)
	})
}

// Disabling acts at once, and enabling does not bring back what was issued.
func TestDisabledClientComesBackWithoutItsTokens(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, _, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		w.pass(time.Minute)
		issued := w.clock()
		w.pass(time.Minute)
		require.NoError(t, w.DisableClient(t.Context(), "notes"))
		c, ok := w.directory.Client("notes")
		require.True(t, ok)
		require.Equal(t, idp.RefusedClientDisabled, c.Gate(issued))
		w.pass(time.Minute)
		require.NoError(t, w.EnableClient(t.Context(), "notes"))
		c, _ = w.directory.Client("notes")
		require.Equal(t, idp.RefusedClientReset, c.Gate(issued))
		require.NoError(t, c.Gate(w.clock()))
		require.Equal(t, "false", w.last(t).Detail["disabled"])
	})
}

// A client_id that was deleted and taken again inherits no secret, no token and
// no consent.
func TestRecreatedClientInheritsNothing(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, old, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice", Password: phrase})
		require.NoError(t, err)
		require.NoError(t, w.store.SaveConsent(t.Context(), idp.Consent{
			UserID: u.ID, ClientID: "notes", Scopes: []string{"openid"}, Remembered: true, GrantedAt: w.clock(),
		}, idp.Event{Kind: idp.EventConsentGranted}))
		issued := w.clock()
		w.pass(time.Minute)
		require.NoError(t, w.DeleteClient(t.Context(), "notes"))
		_, err = w.Client(t.Context(), "notes")
		require.ErrorIs(t, err, idp.ErrNotFound)
		require.ErrorIs(t, w.DeleteClient(t.Context(), "notes"), idp.ErrNotFound)
		w.pass(time.Minute)
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		c, ok := w.directory.Client("notes")
		require.True(t, ok)
		require.Error(t, c.Gate(issued))
		require.NoError(t, c.Gate(w.clock()))
		require.Len(t, c.Secrets, 1)
		require.NotEqual(t, marks{}.HashSecret(old.Reveal()), c.Secrets[0].Hash)
		consents, err := w.Consents(t.Context(), "alice")
		require.NoError(t, err)
		require.Empty(t, consents)
	})
}

// Everything can be revoked at once.
func TestRevokeAllReachesEveryClient(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, _, err := w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		issued := w.clock()
		w.pass(time.Minute)
		require.NoError(t, w.RevokeAll(t.Context()))
		c, _ := w.directory.Client("notes")
		require.Equal(t, idp.RefusedClientReset, c.Gate(issued))
		require.Equal(t, map[string]string{"target": "*", "actor": "command", "reason": "all tokens revoked by an operator"}, w.last(t).Detail)
	})
}

// Accounts: time-ordered subjects by default, found by either name, unique
// without case.
func TestUsers(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "Alice", Password: phrase, Profile: idp.Profile{Email: "alice@example.com"}})
		require.NoError(t, err)
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, u.ID)
		require.NotContains(t, u.PasswordHash, phrase)
		_, err = w.CreateUser(t.Context(), admin.UserInput{Username: "aLICE"})
		require.ErrorIs(t, err, idp.ErrConflict)
		for _, name := range []string{u.ID, "alice", "ALICE"} {
			got, err := w.User(t.Context(), name)
			require.NoError(t, err)
			require.Equal(t, u.ID, got.ID)
		}
		_, err = w.User(t.Context(), "nobody")
		require.ErrorIs(t, err, idp.ErrNotFound)

		fixed, err := w.CreateUser(t.Context(), admin.UserInput{ID: "legacy|42", Username: "bob"})
		require.NoError(t, err)
		require.Equal(t, "legacy|42", fixed.ID)
		require.Empty(t, fixed.PasswordHash)
		_, err = w.CreateUser(t.Context(), admin.UserInput{ID: "legacy|42", Username: "carol"})
		require.ErrorIs(t, err, idp.ErrConflict)

		got, err := w.UpdateUser(t.Context(), "bob", func(c *admin.UserChange) {
			c.Username, c.Profile.Name = "robert", "Robert"
		})
		require.NoError(t, err)
		require.Equal(t, "robert", got.Username)
		require.Equal(t, "name username", w.last(t).Detail["fields"])
		require.Equal(t, "legacy|42", w.last(t).UserID)
		_, err = w.UpdateUser(t.Context(), "robert", func(c *admin.UserChange) { c.Username = "alice" })
		require.ErrorIs(t, err, idp.ErrConflict)

		all, err := w.Users(t.Context(), "", 10)
		require.NoError(t, err)
		require.Len(t, all, 2)
		_, err = w.Users(t.Context(), "", 0)
		require.NotEmpty(t, faultsOf(t, err)["limit"])

		require.NoError(t, w.DeleteUser(t.Context(), "robert"))
		require.ErrorIs(t, w.DeleteUser(t.Context(), "robert"), idp.ErrNotFound)
		require.Equal(t, idp.EventUserDeleted, w.last(t).Kind)
	})
}

// What an account may not hold.
func TestUserRules(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		for _, tc := range []struct {
			field string
			in    admin.UserInput
		}{
			{"username", admin.UserInput{Username: ""}},
			{"username", admin.UserInput{Username: "al ice"}},
			{"username", admin.UserInput{Username: "аlice"}}, // a Cyrillic a
			{"username", admin.UserInput{Username: "alice\n"}},
			{"id", admin.UserInput{Username: "alice", ID: "a b"}},
			{"password", admin.UserInput{Username: "alice", Password: "short"}},
			{"email", admin.UserInput{Username: "alice", Profile: idp.Profile{Email: "Alice <alice@example.com>"}}},
			{"email", admin.UserInput{Username: "alice", Profile: idp.Profile{Email: "a@b\r\nBcc: x@y"}}},
			{"email_verified", admin.UserInput{Username: "alice", Profile: idp.Profile{EmailVerified: true}}},
			{"name", admin.UserInput{Username: "alice", Profile: idp.Profile{Name: "Al\u202Eice"}}},
			{"picture", admin.UserInput{Username: "alice", Profile: idp.Profile{Picture: "javascript:alert(1)"}}},
			{"birthdate", admin.UserInput{Username: "alice", Profile: idp.Profile{Birthdate: "31.12.1999"}}},
			{"zoneinfo", admin.UserInput{Username: "alice", Profile: idp.Profile{Zoneinfo: "../etc/passwd"}}},
			{"locale", admin.UserInput{Username: "alice", Profile: idp.Profile{Locale: "english please"}}},
			{"phone_number", admin.UserInput{Username: "alice", Profile: idp.Profile{PhoneNumber: "call me"}}},
			{"address.country", admin.UserInput{Username: "alice", Profile: idp.Profile{Address: &idp.Address{Country: "\x1b[2J"}}}},
		} {
			_, err := w.CreateUser(t.Context(), tc.in)
			fields := faultsOf(t, err)
			require.Len(t, fields, 1, "%v", err)
			require.NotEmpty(t, fields[tc.field], "%v", err)
		}
		_, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice.o'hara+x@example.com", Profile: idp.Profile{
			Name: "Алиса دانشجوی‌ خوب", Birthdate: "1999-12-31", Zoneinfo: "America/Argentina/Buenos_Aires", Locale: "zh-Hant-TW",
			PhoneNumber: "+1 (604) 555-1234;ext=5678", Picture: "https://cdn.example/a.png",
			Address: &idp.Address{Formatted: "1 Main Street\r\nSpringfield", Country: "US"},
		}})
		require.NoError(t, err)
		require.Empty(t, w.events(t)[1:], "refused inputs leave no row")
	})
}

// Subjects of users and clients do not meet: a service's token must not read
// like a person's (RFC 9068 section 5).
func TestRFC9068_5_SubjectsDoNotCollide(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		_, err := w.CreateUser(t.Context(), admin.UserInput{ID: "both", Username: "alice"})
		require.NoError(t, err)
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientID: "both", ClientMetadata: client()})
		require.NotEmpty(t, faultsOf(t, err)["client_id"])
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: client()})
		require.NoError(t, err)
		_, err = w.CreateUser(t.Context(), admin.UserInput{ID: "notes", Username: "bob"})
		require.NotEmpty(t, faultsOf(t, err)["id"])
	})
}

// A new password and disabling end all that came before; enabling does not
// bring it back.
func TestPasswordChangeAndDisablingEndSessions(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice", Password: phrase})
		require.NoError(t, err)
		for _, act := range []func() error{
			func() error { return w.SetPassword(t.Context(), "alice", "another "+phrase) },
			func() error { return w.DisableUser(t.Context(), "alice") },
		} {
			session := signIn(t, w, u.ID)
			w.pass(time.Minute)
			require.NoError(t, act())
			sessions, err := w.Sessions(t.Context(), "alice")
			require.NoError(t, err)
			for _, s := range sessions {
				require.False(t, s.EndedAt.IsZero())
			}
			w.pass(time.Minute)
			require.NoError(t, w.EnableUser(t.Context(), "alice"))
			u, err = w.User(t.Context(), "alice")
			require.NoError(t, err)
			require.Equal(t, idp.RefusedUserReset, u.Gate(session.AuthTime))
			require.NoError(t, u.Gate(w.clock()))
		}
		require.Equal(t, marks{}.HashSecret("another "+phrase), u.PasswordHash)
		require.NotEmpty(t, faultsOf(t, w.SetPassword(t.Context(), "alice", ""))["password"])
		require.NotEmpty(t, faultsOf(t, w.SetPassword(t.Context(), "alice", "short"))["password"])
		kinds := map[idp.EventKind]int{}
		for _, e := range w.events(t) {
			kinds[e.Kind]++
		}
		require.Equal(t, 1, kinds[idp.EventUserPasswordSet])
		require.Equal(t, 1, kinds[idp.EventUserDisabled])
		require.Equal(t, 1, kinds[idp.EventUserEnabled], "enabling an active user changes nothing")
		require.Equal(t, 2, kinds[idp.EventSessionEnded])
	})
}

func signIn(t *testing.T, w *world, userID string) idp.Session {
	t.Helper()
	now := idp.Instant(w.clock())
	s := idp.Session{
		ID: idp.TimeOrderedID(now, idp.ID{}), UserID: userID, Salt: make([]byte, 16), AuthTime: now,
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(12 * time.Hour),
	}
	require.NoError(t, w.store.CreateSession(t.Context(), s, idp.ID{}))
	return s
}

// Sessions are ended one by one or all at once.
func TestSessionsEnd(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice"})
		require.NoError(t, err)
		first := signIn(t, w, u.ID)
		w.pass(time.Second)
		signIn(t, w, u.ID)
		w.pass(time.Second)
		signIn(t, w, u.ID)
		require.NoError(t, w.EndSession(t.Context(), first.ID))
		require.Equal(t, first.ID.String(), w.last(t).SessionID)
		n, err := w.EndSessions(t.Context(), "alice")
		require.NoError(t, err)
		require.Equal(t, int64(2), n)
		n, err = w.EndSessions(t.Context(), "alice")
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

// A consent is withdrawn once.
func TestConsentIsWithdrawn(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice"})
		require.NoError(t, err)
		require.ErrorIs(t, w.WithdrawConsent(t.Context(), "alice", "notes"), idp.ErrNotFound)
		require.NoError(t, w.store.SaveConsent(t.Context(), idp.Consent{UserID: u.ID, ClientID: "notes", Scopes: []string{"openid"}, GrantedAt: w.clock()},
			idp.Event{Kind: idp.EventConsentGranted}))
		w.pass(time.Second)
		require.NoError(t, w.WithdrawConsent(t.Context(), "alice", "notes"))
		e := w.last(t)
		require.Equal(t, idp.EventConsentWithdrawn, e.Kind)
		require.Equal(t, u.ID, e.UserID)
		require.Equal(t, "notes", e.ClientID)
		consents, err := w.Consents(t.Context(), "alice")
		require.NoError(t, err)
		require.False(t, consents[0].WithdrawnAt.IsZero())
		require.ErrorIs(t, w.WithdrawConsent(t.Context(), "alice", "notes"), idp.ErrNotFound)
	})
}

// What others name stays: groups, scopes, resources.
func TestWhatIsNamedIsNotDeleted(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		const api = "https://api.example"
		_, err := w.CreateGroup(t.Context(), "staff", "Employees")
		require.NoError(t, err)
		_, err = w.CreateGroup(t.Context(), "staff", "")
		require.ErrorIs(t, err, idp.ErrConflict)
		_, err = w.CreateGroup(t.Context(), "st\naff", "")
		require.NotEmpty(t, faultsOf(t, err)["name"])
		_, err = w.CreateResource(t.Context(), api, idp.ResourceMetadata{Scopes: []idp.ResourceScope{{Name: "notes:read"}, {Name: "notes:write"}}})
		require.NoError(t, err)
		_, err = w.CreateResource(t.Context(), api, idp.ResourceMetadata{})
		require.ErrorIs(t, err, idp.ErrConflict)
		require.NoError(t, w.CreateRole(t.Context(), idp.Role{Name: "writer", Groups: []string{"staff"}, Scopes: []idp.RoleScope{{Audience: api, Scope: "notes:write"}}}))
		require.ErrorIs(t, w.CreateRole(t.Context(), idp.Role{Name: "writer"}), idp.ErrConflict)
		m := client()
		m.Audience, m.Scope, m.AllowedGroups = []string{api}, "openid notes:read", []string{"staff"}
		_, _, err = w.CreateClient(t.Context(), admin.ClientInput{ClientID: "notes", ClientMetadata: m})
		require.NoError(t, err)

		require.ErrorIs(t, w.DeleteGroup(t.Context(), "staff"), idp.ErrConflict)
		require.ErrorContains(t, w.DeleteResource(t.Context(), api), "client notes")
		_, err = w.UpdateResource(t.Context(), api, func(m *idp.ResourceMetadata) { m.Scopes = m.Scopes[1:] })
		require.ErrorContains(t, err, "client notes")
		_, err = w.UpdateResource(t.Context(), api, func(m *idp.ResourceMetadata) { m.Scopes = m.Scopes[:1] })
		require.ErrorContains(t, err, "role writer")
		_, err = w.UpdateResource(t.Context(), api, func(m *idp.ResourceMetadata) { m.Name = "Notes" })
		require.NoError(t, err)
		require.Equal(t, map[string]string{"target": api, "actor": "command", "change": "updated", "fields": "name"}, w.last(t).Detail)

		require.NoError(t, w.DeleteClient(t.Context(), "notes"))
		require.ErrorContains(t, w.DeleteGroup(t.Context(), "staff"), "role writer")
		require.ErrorContains(t, w.DeleteResource(t.Context(), api), "role writer")
		require.NoError(t, w.DeleteRole(t.Context(), "writer"))
		require.NoError(t, w.DeleteGroup(t.Context(), "staff"))
		require.NoError(t, w.DeleteResource(t.Context(), api))
		require.ErrorIs(t, w.DeleteResource(t.Context(), api), idp.ErrNotFound)
		require.ErrorIs(t, w.DeleteGroup(t.Context(), "staff"), idp.ErrNotFound)
		require.ErrorIs(t, w.DeleteRole(t.Context(), "writer"), idp.ErrNotFound)
	})
}

// A resource owns its scopes and no others.
func TestResourceRules(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		scope := func(names ...string) []idp.ResourceScope {
			var all []idp.ResourceScope
			for _, n := range names {
				all = append(all, idp.ResourceScope{Name: n})
			}
			return all
		}
		for _, tc := range []struct {
			field, audience string
			m               idp.ResourceMetadata
		}{
			{"audience", "https://issuer.example/", idp.ResourceMetadata{}},
			{"audience", "api", idp.ResourceMetadata{}},
			{"scopes", "https://api.example", idp.ResourceMetadata{Scopes: scope("openid")}},
			{"scopes", "https://api.example", idp.ResourceMetadata{Scopes: scope("a b")}},
			{"scopes", "https://api.example", idp.ResourceMetadata{Scopes: scope("")}},
			{"scopes", "https://api.example", idp.ResourceMetadata{Scopes: scope("a", "a")}},
			{"scopes", "https://api.example", idp.ResourceMetadata{Scopes: []idp.ResourceScope{{Name: "a", Description: "x\u202Ey"}}}},
			{"claims", "https://api.example", idp.ResourceMetadata{Claims: []string{"email"}}},
			{"access_token_format", "https://api.example", idp.ResourceMetadata{AccessTokenFormat: "paseto"}},
			{"access_token_signing_alg", "https://api.example", idp.ResourceMetadata{AccessTokenSigningAlg: "none"}},
			{"access_token_lifetime", "https://api.example", idp.ResourceMetadata{AccessTokenLifetime: 1}},
		} {
			_, err := w.CreateResource(t.Context(), tc.audience, tc.m)
			fields := faultsOf(t, err)
			require.Len(t, fields, 1, "%v", err)
			require.NotEmpty(t, fields[tc.field], "%v", err)
		}
		for _, audience := range []string{"https://a.example", "https://b.example"} {
			_, err := w.CreateResource(t.Context(), audience, idp.ResourceMetadata{Scopes: scope("read")})
			require.NoError(t, err, "two resources may have a scope of one name")
		}
	})
}

// Roles reach people directly and by groups.
func TestRolesAndMembers(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		u, err := w.CreateUser(t.Context(), admin.UserInput{Username: "alice"})
		require.NoError(t, err)
		_, err = w.CreateGroup(t.Context(), "staff", "")
		require.NoError(t, err)
		err = w.CreateRole(t.Context(), idp.Role{Name: "writer", Groups: []string{"nobody"}, Scopes: []idp.RoleScope{{Audience: "https://api.example", Scope: "x"}}})
		fields := faultsOf(t, err)
		require.NotEmpty(t, fields["groups"])
		require.NotEmpty(t, fields["scopes"])
		require.NoError(t, w.CreateRole(t.Context(), idp.Role{Name: "writer"}))
		require.NoError(t, w.CreateRole(t.Context(), idp.Role{Name: "reader"}))

		require.ErrorIs(t, w.AddMember(t.Context(), "nobody", "alice"), idp.ErrNotFound)
		require.ErrorIs(t, w.AddMember(t.Context(), "staff", "nobody"), idp.ErrNotFound)
		require.NoError(t, w.AddMember(t.Context(), "staff", "alice"))
		require.Equal(t, "member_added", w.last(t).Detail["change"])
		require.Equal(t, u.ID, w.last(t).UserID)
		members, err := w.Members(t.Context(), "staff")
		require.NoError(t, err)
		require.Len(t, members, 1)

		require.NoError(t, w.GiveRoleToGroup(t.Context(), "writer", "staff"))
		require.NoError(t, w.AssignRole(t.Context(), "reader", "alice"))
		require.ErrorIs(t, w.AssignRole(t.Context(), "nobody", "alice"), idp.ErrNotFound)
		held := func() []string {
			m, err := w.Memberships(t.Context(), "alice")
			require.NoError(t, err)
			roles, err := w.Roles(t.Context())
			require.NoError(t, err)
			return m.EffectiveRoles(roles)
		}
		require.Equal(t, []string{"reader", "writer"}, held())
		require.NoError(t, w.TakeRoleFromGroup(t.Context(), "writer", "staff"))
		require.NoError(t, w.UnassignRole(t.Context(), "reader", "alice"))
		require.Empty(t, held())
		require.NoError(t, w.RemoveMember(t.Context(), "staff", "alice"))
		members, err = w.Members(t.Context(), "staff")
		require.NoError(t, err)
		require.Empty(t, members)
	})
}

// What is made up at random has its shape, and does not repeat.
func TestGeneratedNamesAndSecrets(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id, secret := admin.NewClientID(), admin.NewSecret().Reveal()
		require.True(t, admin.ValidClientID(id))
		require.Regexp(t, `^[0-9A-Za-z]{43}$`, secret)
		require.False(t, seen[id] || seen[secret])
		seen[id], seen[secret] = true, true
	}
	require.Equal(t, "[redacted]", fmt.Sprint(admin.NewSecret()))
	for _, id := range []string{"", ".", "..", "a b", "a/b", "a?b", "é", "a\n", string(make([]byte, 129))} {
		require.False(t, admin.ValidClientID(id), id)
	}
}
