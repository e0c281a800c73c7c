package admin

// What can be better about a client: judged by RFC 9700 (best current practice
// of OAuth security), OAuth 2.1 and RFC 8252 (native applications). The rules
// are a table; each names its change, so that it can be made by one word.

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// Severity says how much a finding matters.
type Severity string

// The severities, worst first. Advice is for those who want more than is asked
// of anybody.
const (
	SeverityHigh   Severity = "high"
	SeverityMedium Severity = "medium"
	SeverityLow    Severity = "low"
	SeverityAdvice Severity = "advice"
)

// costs is what a finding takes away from 100.
var costs = map[Severity]int{SeverityHigh: 30, SeverityMedium: 15, SeverityLow: 5, SeverityAdvice: 1}

// ClientScore is how good a client is, and what would make it better.
type ClientScore struct {
	ClientID string    `json:"client_id"`
	Score    int       `json:"score"` // 0 to 100
	Grade    string    `json:"grade"` // A to E
	Findings []Finding `json:"findings"`
}

// Finding is one thing that can be better.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Sentence string   `json:"sentence"`
	// Concerns are the values that it is about, if it is not about all of the client.
	Concerns  []string `json:"concerns,omitempty"`
	Reference string   `json:"reference"`
	// Mind is what to know or do, before a fix or in the place of one.
	Mind string `json:"mind,omitempty"`
	// Fix is the change that ends the finding: a merge patch (RFC 7396) of the
	// client; empty where somebody has to decide or act.
	Fix json.RawMessage `json:"fix,omitempty"`
}

// ScoreClient judges a client.
func (s *Service) ScoreClient(ctx context.Context, clientID string) (ClientScore, error) {
	c, err := s.Client(ctx, clientID)
	if err != nil {
		return ClientScore{}, err
	}
	return Judge(&c, s.now()), nil
}

// FixClient makes the change of one finding. It is idp.ErrNotFound when the
// client has no such finding, and an *idp.InvalidError when that finding has no
// fix.
func (s *Service) FixClient(ctx context.Context, clientID, finding string) (idp.Client, error) {
	return s.ChangeClient(ctx, clientID, func(c *idp.Client) error {
		for _, r := range scoreRules {
			if r.id != finding {
				continue
			}
			if _, found := r.found(c, s.now()); !found {
				break
			}
			fixed, ok := r.fixed(c, s.now())
			if !ok {
				return idp.Invalid("finding", finding+" has no change that ends it: "+r.mind)
			}
			c.ClientMetadata = fixed
			return nil
		}
		return missing("finding", finding)
	})
}

// Judge says how good a client is at an instant, worst findings first.
func Judge(c *idp.Client, now time.Time) ClientScore {
	out := ClientScore{ClientID: c.ClientID, Score: 100, Findings: []Finding{}}
	for _, r := range scoreRules {
		concerns, found := r.found(c, now)
		if !found {
			continue
		}
		f := Finding{ID: r.id, Severity: r.severity, Sentence: r.sentence, Concerns: concerns, Reference: r.reference, Mind: r.mind}
		if fixed, ok := r.fixed(c, now); ok {
			f.Fix = mergePatch(c.ClientMetadata, fixed)
		}
		out.Score -= costs[r.severity]
		out.Findings = append(out.Findings, f)
	}
	slices.SortStableFunc(out.Findings, func(a, b Finding) int { return costs[b.Severity] - costs[a.Severity] })
	out.Score = max(out.Score, 0)
	for grade, least := range map[string]int{"A": 90, "B": 75, "C": 50, "D": 25, "E": 0} {
		if out.Score >= least && (out.Grade == "" || grade < out.Grade) {
			out.Grade = grade
		}
	}
	return out
}

// mergePatch returns what turns one into the other (RFC 7396).
func mergePatch(before, after idp.ClientMetadata) json.RawMessage {
	values := fieldsOf(after)
	patch := map[string]json.RawMessage{}
	for _, name := range changedFields(before, after) {
		if patch[name] = values[name]; patch[name] == nil {
			patch[name] = json.RawMessage("null")
		}
	}
	var raw bytes.Buffer
	encoder := json.NewEncoder(&raw)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(patch) // of parts that are JSON already
	return bytes.TrimSpace(raw.Bytes())
}

// scoreRule is one thing that can be better.
type scoreRule struct {
	id        string
	severity  Severity
	sentence  string
	reference string
	found     func(*idp.Client, time.Time) (concerns []string, found bool)
	fix       func(*idp.ClientMetadata) // nil for none; it makes lists anew
	mind      string
}

// fixed returns what the client is registered with after the fix; false when
// there is none, or it would not end the finding.
func (r scoreRule) fixed(c *idp.Client, now time.Time) (idp.ClientMetadata, bool) {
	if r.fix == nil || c.MetadataDocument { // what its document says is not ours to change
		return idp.ClientMetadata{}, false
	}
	after := *c
	r.fix(&after.ClientMetadata)
	_, still := r.found(&after, now)
	return after.ClientMetadata, !still
}

const (
	longAccessToken  = 3600             // seconds
	longRefreshToken = 30 * 86400       // seconds
	oldSecret        = 8766 * time.Hour // a year
)

var scoreRules = []scoreRule{
	{
		id: "tokens_in_urls", severity: SeverityHigh, sentence: "It gets access tokens in URLs, where they leak.", reference: "RFC 9700 section 2.1.2",
		found: of(func(c *idp.Client) []string { return chosen(c.ResponseTypes, givesTokenInURL) }),
		fix: func(m *idp.ClientMetadata) {
			m.ResponseTypes = without(m.ResponseTypes, givesTokenInURL)
			if len(m.ResponseTypes) == 0 {
				m.ResponseTypes = []string{"code"}
			}
		},
		mind: "The application has to use the code flow first.",
	},
	{
		id: "redirect_in_clear", severity: SeverityHigh, sentence: "Codes travel in clear to a redirect URI.", reference: "RFC 9700 section 2.6",
		found: of(func(c *idp.Client) []string { return chosen(c.RedirectURIs, inClear) }),
		fix:   func(m *idp.ClientMetadata) { dropRedirectURIs(m, inClear) },
		mind:  "The application has to be there by https.",
	},
	{
		id: "pkce_optional", severity: SeverityMedium, sentence: "It may leave PKCE out, so that a stolen code can be used by others.", reference: "RFC 9700 section 2.1.1, OAuth 2.1 section 4.1.1",
		found: when(func(c *idp.Client) bool { return c.PKCEOptional }),
		fix:   func(m *idp.ClientMetadata) { m.PKCEOptional = false },
		mind:  "An application that sends no code_challenge is refused then.",
	},
	{
		id: "legacy_profile", severity: SeverityMedium, sentence: "Its profile allows what newer advice discourages.", reference: "RFC 9700 section 2.1.2",
		found: when(func(c *idp.Client) bool { return c.SecurityProfile == idp.ProfileOIDCLegacy }),
		fix: func(m *idp.ClientMetadata) {
			m.SecurityProfile = ""
			if slices.Contains(m.GrantTypes, idp.GrantAuthorizationCode) {
				m.ResponseTypes = []string{"code"}
			}
		},
		mind: "The application has to use the code flow, and gets no session_state.",
	},
	{
		id: "no_secret", severity: SeverityMedium, sentence: "It authenticates with a secret and has none that is good.", reference: "RFC 6749 section 2.3.1",
		found: func(c *idp.Client, now time.Time) ([]string, bool) {
			return nil, hasSecret(c.TokenEndpointAuthMethod) && newestSecret(c, now).IsZero()
		},
		mind: "Make one: idp client rotate-secret.",
	},
	{
		id: "foreign_cors_origins", severity: SeverityMedium, sentence: "Scripts of pages that are not its own may call the token endpoint for it.", reference: "OAuth 2.1 section 3.2, RFC 9700 section 2.6",
		found: of(foreignOrigins),
		fix: func(m *idp.ClientMetadata) {
			foreign := foreignOrigins(&idp.Client{ClientMetadata: *m})
			m.AllowedCORSOrigins = without(m.AllowedCORSOrigins, func(origin string) bool { return slices.Contains(foreign, origin) })
		},
		mind: "Pages of other origins than those of its redirect URIs cannot sign people in any more.",
	},
	{
		id: "long_access_tokens", severity: SeverityMedium, sentence: "Its access tokens live for more than an hour, and APIs do not hear when they are revoked.", reference: "RFC 6819 section 5.1.5.3",
		found: when(func(c *idp.Client) bool { return c.AccessTokenLifetime > longAccessToken }),
		fix:   func(m *idp.ClientMetadata) { m.AccessTokenLifetime = longAccessToken },
		mind:  "The application refreshes more often.",
	},
	{
		id: "cors_with_secret", severity: SeverityLow, sentence: "Pages may call the token endpoint, and it authenticates, which no page can without giving away how.", reference: "OAuth 2.1 section 2.1",
		found: of(func(c *idp.Client) []string {
			if c.Public() {
				return nil
			}
			return c.AllowedCORSOrigins
		}),
		fix:  func(m *idp.ClientMetadata) { m.AllowedCORSOrigins = nil },
		mind: "Register a public client for what runs in the browser.",
	},
	{
		id: "two_kinds", severity: SeverityLow, sentence: "It acts for people and for itself: an API has to tell by the token which of both.", reference: "RFC 9700 section 4.15",
		found: when(func(c *idp.Client) bool {
			return c.HasGrantType(idp.GrantAuthorizationCode) && c.HasGrantType(idp.GrantClientCredentials)
		}),
		mind: "Register a client of its own for what it does by itself, and take client_credentials from this one.",
	},
	{
		id: "unused_refresh_token", severity: SeverityLow, sentence: "It has the refresh_token grant and may not ask for offline_access, so it gets no refresh token.", reference: "OpenID Connect Core section 11",
		found: when(func(c *idp.Client) bool {
			return c.HasGrantType(idp.GrantRefreshToken) && !slices.Contains(c.Scopes(), idp.ScopeOfflineAccess)
		}),
		fix: func(m *idp.ClientMetadata) {
			m.GrantTypes = without(m.GrantTypes, func(g string) bool { return g == idp.GrantRefreshToken })
		},
		mind: "Add offline_access to scope instead, if it needs refresh tokens.",
	},
	{
		id: "refresh_token_in_browser", severity: SeverityLow, sentence: "A page keeps refresh tokens, where any script that gets into it finds them.", reference: "OAuth 2.0 for Browser-Based Applications section 6.3",
		found: when(func(c *idp.Client) bool {
			return c.Public() && c.ApplicationType != idp.ApplicationNative && c.HasGrantType(idp.GrantRefreshToken) && slices.Contains(c.Scopes(), idp.ScopeOfflineAccess)
		}),
		fix: func(m *idp.ClientMetadata) {
			m.GrantTypes = without(m.GrantTypes, func(g string) bool { return g == idp.GrantRefreshToken })
			m.Scope = strings.Join(without(strings.Fields(m.Scope), func(s string) bool { return s == idp.ScopeOfflineAccess }), " ")
		},
		mind: "The page gets the next token by prompt=none instead, or from a server of its own.",
	},
	{
		id: "long_refresh_tokens", severity: SeverityLow, sentence: "Its refresh tokens may live for more than 30 days without anybody signing in.", reference: "RFC 9700 section 4.14.2",
		found: when(func(c *idp.Client) bool { return max(c.RefreshTokenLifetime, c.RefreshTokenIdle) > longRefreshToken }),
		fix: func(m *idp.ClientMetadata) {
			m.RefreshTokenLifetime, m.RefreshTokenIdle = min(m.RefreshTokenLifetime, longRefreshToken), min(m.RefreshTokenIdle, longRefreshToken)
		},
		mind: "People sign in again after that time.",
	},
	{
		id: "native_as_web", severity: SeverityLow, sentence: "It runs on people's machines and is registered as a web application, so its port has to be the registered one.", reference: "RFC 8252 section 7.3",
		found: when(func(c *idp.Client) bool {
			return c.Public() && c.ApplicationType != idp.ApplicationNative && len(c.RedirectURIs) > 0 && len(chosen(c.RedirectURIs, onLoopback)) == len(c.RedirectURIs)
		}),
		fix: func(m *idp.ClientMetadata) { m.ApplicationType = idp.ApplicationNative },
	},
	{
		id: "localhost_by_name", severity: SeverityLow, sentence: "A redirect URI says localhost, which others can answer for where the name is resolved.", reference: "RFC 8252 section 8.3",
		found: of(func(c *idp.Client) []string {
			if c.ApplicationType != idp.ApplicationNative {
				return nil
			}
			return chosen(c.RedirectURIs, byName)
		}),
		fix: func(m *idp.ClientMetadata) {
			m.RedirectURIs, m.AllowedCORSOrigins = byAddress(m.RedirectURIs), byAddress(m.AllowedCORSOrigins)
			m.FrontchannelLogoutURI = strings.Join(byAddress([]string{m.FrontchannelLogoutURI}), "")
		},
		mind: "The application has to send people to 127.0.0.1.",
	},
	{
		id: "loopback_of_server", severity: SeverityLow, sentence: "A redirect URI leads to the person's own machine, and the application runs on a server: left over from its development?", reference: "RFC 9700 section 4.1.3",
		found: of(func(c *idp.Client) []string {
			loopback := chosen(c.RedirectURIs, onLoopback)
			if c.Public() || len(loopback) == len(c.RedirectURIs) { // all of them: it is being developed
				return nil
			}
			return loopback
		}),
		fix:  func(m *idp.ClientMetadata) { dropRedirectURIs(m, onLoopback) },
		mind: "Register a client of its own for development.",
	},
	{
		id: "kept_secrets", severity: SeverityAdvice, sentence: "Secrets are stored for it that it does not authenticate with.", reference: "RFC 9700 section 2.5",
		found: when(func(c *idp.Client) bool { return !hasSecret(c.TokenEndpointAuthMethod) && len(c.Secrets) > 0 }),
		mind:  "Register it anew.",
	},
	{
		id: "old_secret", severity: SeverityLow, sentence: "Its secret is older than a year.", reference: "RFC 9700 section 2.5",
		found: func(c *idp.Client, now time.Time) ([]string, bool) {
			made := newestSecret(c, now)
			return nil, hasSecret(c.TokenEndpointAuthMethod) && !made.IsZero() && now.Sub(made) > oldSecret
		},
		mind: "Make another, and leave the old one a few days: idp client rotate-secret.",
	},
	{
		id: "readable_secret", severity: SeverityLow, sentence: "Its secret has to be stored so that it can be read again.", reference: "RFC 9700 section 2.5",
		found: when(func(c *idp.Client) bool { return c.TokenEndpointAuthMethod == idp.AuthClientSecretJWT }),
		mind:  "Let it sign with a key of its own: private_key_jwt.",
	},
	{
		id: "all_of_admin", severity: SeverityLow, sentence: "It may do everything at the admin API.", reference: "RFC 9700 section 2.3",
		found: when(func(c *idp.Client) bool { return slices.Contains(c.Scopes(), idp.ScopeAdmin) }),
		mind:  "Give it the scopes of the areas that it manages.",
	},
	{
		id: "shared_secret", severity: SeverityAdvice, sentence: "It authenticates with a secret that both sides know; a key of its own never leaves it.", reference: "RFC 9700 section 2.5",
		found: when(func(c *idp.Client) bool {
			return c.TokenEndpointAuthMethod == idp.AuthClientSecretBasic || c.TokenEndpointAuthMethod == idp.AuthClientSecretPost
		}),
		fix: func(m *idp.ClientMetadata) {
			if m.HasKeys() {
				m.TokenEndpointAuthMethod = idp.AuthPrivateKeyJWT
			}
		},
		mind: "The application has to sign assertions with a key that it registered in jwks or jwks_uri (RFC 7523).",
	},
	{
		id: "secret_in_body", severity: SeverityAdvice, sentence: "It sends its secret among the parameters, which are logged more often than the header is.", reference: "RFC 6749 section 2.3.1",
		found: when(func(c *idp.Client) bool { return c.TokenEndpointAuthMethod == idp.AuthClientSecretPost }),
		fix:   func(m *idp.ClientMetadata) { m.TokenEndpointAuthMethod = idp.AuthClientSecretBasic },
		mind:  "Some libraries know no other way: look at yours first.",
	},
	{
		id: "requests_in_urls", severity: SeverityAdvice, sentence: "Its authorization requests go through the browser, where they can be read and changed.", reference: "RFC 9126, FAPI 2.0 section 5.3.2.2",
		found: when(func(c *idp.Client) bool {
			return !c.Public() && c.HasGrantType(idp.GrantAuthorizationCode) && !c.RequirePushedAuthorizationRequests
		}),
		fix:  func(m *idp.ClientMetadata) { m.RequirePushedAuthorizationRequests = true },
		mind: "The application has to push its requests first.",
	},
	{
		id: "private_scheme", severity: SeverityAdvice, sentence: "It is called by a private scheme, which another application can claim; https addresses of its own cannot be.", reference: "RFC 8252 section 7.2",
		found: of(func(c *idp.Client) []string {
			return chosen(c.RedirectURIs, func(uri string) bool {
				return !strings.HasPrefix(uri, "https://") && !strings.HasPrefix(uri, "http://")
			})
		}),
		mind: "Telephones open claimed https addresses with the application that proves to own them.",
	},
	{
		id: "no_way_back", severity: SeverityAdvice, sentence: "People who sign out do not come back to it.", reference: "OpenID Connect RP-Initiated Logout section 3.1",
		found: when(func(c *idp.Client) bool {
			return c.HasGrantType(idp.GrantAuthorizationCode) && len(c.PostLogoutRedirectURIs) == 0
		}),
		fix: func(m *idp.ClientMetadata) {
			for _, uri := range m.RedirectURIs {
				if u, err := url.Parse(uri); err == nil && u.Scheme == "https" && u.Host != "" {
					m.PostLogoutRedirectURIs = []string{"https://" + u.Host + "/"}
					return
				}
			}
		},
		mind: "The fix registers its first page.",
	},
	{
		id: "not_told_of_sign_out", severity: SeverityAdvice, sentence: "It does not hear when a session ends, and goes on with its own.", reference: "OpenID Connect Back-Channel Logout section 2.2",
		found: when(func(c *idp.Client) bool {
			return !c.Public() && c.HasGrantType(idp.GrantAuthorizationCode) && !c.HearsOfLogout()
		}),
		mind: "Register a backchannel_logout_uri, if it can be told.",
	},
}

// when makes a rule's test of a condition.
func when(is func(*idp.Client) bool) func(*idp.Client, time.Time) ([]string, bool) {
	return func(c *idp.Client, _ time.Time) ([]string, bool) { return nil, is(c) }
}

// of makes a rule's test of values that should not be there.
func of(values func(*idp.Client) []string) func(*idp.Client, time.Time) ([]string, bool) {
	return func(c *idp.Client, _ time.Time) ([]string, bool) {
		concerns := values(c)
		return concerns, len(concerns) > 0
	}
}

func chosen(values []string, is func(string) bool) []string {
	return without(values, func(v string) bool { return !is(v) })
}

func without(values []string, is func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(values), is)
}

// dropRedirectURIs takes redirect URIs away, and what was let in because of
// them; none when nothing would be left.
func dropRedirectURIs(m *idp.ClientMetadata, is func(string) bool) {
	left, gone := without(m.RedirectURIs, is), chosen(m.RedirectURIs, is)
	if len(left) == 0 {
		return
	}
	m.RedirectURIs = left
	in := func(uris []string, origin string) bool {
		return slices.ContainsFunc(uris, func(uri string) bool { return sameOrigin(uri, origin) })
	}
	m.AllowedCORSOrigins = without(m.AllowedCORSOrigins, func(origin string) bool { return in(gone, origin) && !in(left, origin) })
	if m.FrontchannelLogoutURI != "" && !in(left, m.FrontchannelLogoutURI) {
		m.FrontchannelLogoutURI, m.FrontchannelLogoutSessionRequired = "", false
	}
}

func givesTokenInURL(name string) bool {
	t, _ := idp.ParseResponseType(name)
	return t.Token
}

func onLoopback(uri string) bool {
	return strings.HasPrefix(uri, "http://") && !inClear(uri)
}

// inClear reports http anywhere but on the machine itself.
func inClear(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme == "http" && authorityFault(u) != ""
}

func byName(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Scheme == "http" && u.Hostname() == "localhost"
}

// byAddress names the machine itself by its address.
func byAddress(uris []string) []string {
	var out []string
	for _, uri := range uris {
		if byName(uri) {
			uri = strings.Replace(uri, "http://localhost", "http://127.0.0.1", 1)
		}
		if !slices.Contains(out, uri) {
			out = append(out, uri)
		}
	}
	return out
}

// foreignOrigins are those that none of the client's redirect URIs has.
func foreignOrigins(c *idp.Client) []string {
	return chosen(c.AllowedCORSOrigins, func(origin string) bool {
		return !slices.ContainsFunc(c.RedirectURIs, func(uri string) bool { return sameOrigin(uri, origin) })
	})
}

// newestSecret is when the last secret was made that is still good; zero for
// none.
func newestSecret(c *idp.Client, now time.Time) time.Time {
	var newest time.Time
	for _, s := range c.Secrets {
		if (s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt)) && s.CreatedAt.After(newest) {
			newest = s.CreatedAt
		}
	}
	return newest
}
