package console

// The fields of a client, for the form that changes them and for the wizard.
// They are called as RFC 7591 does, so that the service's faults find them.

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"idp/internal/idp"
	"idp/web"
)

type metadata = idp.ClientMetadata

// clientField is one field: how it is shown, and what becomes of what was typed.
type clientField struct {
	show func(*visit, *metadata) web.ConsoleField
	read func(*visit, *metadata) error
}

func textField(name, label, hint string, of func(*metadata) *string) clientField {
	return clientField{
		func(v *visit, m *metadata) web.ConsoleField { return v.line(name, label, hint, *of(m)) },
		func(v *visit, m *metadata) error { *of(m) = strings.TrimSpace(v.form.Get(name)); return nil },
	}
}

func linesField(name, label, hint string, of func(*metadata) *[]string) clientField {
	return clientField{
		func(v *visit, m *metadata) web.ConsoleField { return v.lines(name, label, hint, *of(m)) },
		func(v *visit, m *metadata) error { *of(m) = v.list(name); return nil },
	}
}

func tickField(name, label, hint string, of func(*metadata) *bool) clientField {
	return clientField{
		func(v *visit, m *metadata) web.ConsoleField { return v.tick(name, label, hint, *of(m)) },
		func(v *visit, m *metadata) error { *of(m) = v.form.Get(name) != ""; return nil },
	}
}

func secondsField(name, label, hint string, of func(*metadata) *int) clientField {
	return clientField{
		func(v *visit, m *metadata) web.ConsoleField {
			f := v.line(name, label, hint, "")
			if n := *of(m); n > 0 && v.form == nil {
				f.Value = strconv.Itoa(n)
			}
			f.Kind, f.Unit = web.FieldNumber, "seconds"
			return f
		},
		func(v *visit, m *metadata) (err error) { *of(m), err = v.number(name); return err },
	}
}

func choiceField(name, label, hint string, of func(*metadata) *string, options ...web.ConsoleOption) clientField {
	return clientField{
		func(v *visit, m *metadata) web.ConsoleField {
			all := options
			if !slices.ContainsFunc(all, func(o web.ConsoleOption) bool { return o.Value == *of(m) }) { // what is there stays
				all = append(slices.Clone(all), web.ConsoleOption{Value: *of(m), Label: *of(m)})
			}
			return v.choice(name, label, hint, *of(m), all...)
		},
		func(v *visit, m *metadata) error { *of(m) = v.form.Get(name); return nil },
	}
}

func ticksField(name, label, hint string, of func(*metadata) *[]string, options func(*visit) ([]web.ConsoleOption, error)) clientField {
	return clientField{
		func(v *visit, m *metadata) web.ConsoleField {
			all, _ := options(v) // what cannot be read cannot be ticked; what is there stays
			for _, there := range *of(m) {
				if !slices.ContainsFunc(all, func(o web.ConsoleOption) bool { return o.Value == there }) {
					all = append(all, web.ConsoleOption{Value: there, Label: there})
				}
			}
			return v.ticks(name, label, hint, *of(m), all...)
		},
		func(v *visit, m *metadata) error {
			*of(m) = inOrder(v.chosen(name), *of(m))
			return nil
		},
	}
}

// inOrder keeps the order that there was, so that nothing seems changed that is
// not.
func inOrder(chosen, before []string) []string {
	var ordered []string
	for _, b := range before {
		if slices.Contains(chosen, b) {
			ordered = append(ordered, b)
		}
	}
	for _, c := range chosen {
		if !slices.Contains(ordered, c) {
			ordered = append(ordered, c)
		}
	}
	return ordered
}

// choices are the options of a field; the empty one is what the server is set to.
func choices(values ...string) []web.ConsoleOption {
	var options []web.ConsoleOption
	for _, value := range values {
		label := value
		if value == "" {
			label = "As the server is set"
		}
		options = append(options, web.ConsoleOption{Value: value, Label: label})
	}
	return options
}

func algorithms() []web.ConsoleOption { return choices(append([]string{""}, idp.Algorithms()...)...) }

func fixed(options ...web.ConsoleOption) func(*visit) ([]web.ConsoleOption, error) {
	return func(*visit) ([]web.ConsoleOption, error) { return slices.Clone(options), nil }
}

func audiences(v *visit) ([]web.ConsoleOption, error) {
	resources, err := v.resources()
	var options []web.ConsoleOption
	for _, r := range resources {
		options = append(options, web.ConsoleOption{Value: r.Audience, Label: r.Audience, Hint: r.Name})
	}
	return options, err
}

// resources are the APIs that there are, this server's own among them.
func (v *visit) resources() ([]idp.Resource, error) {
	all, err := v.admin.Resources(v.Context())
	own := idp.AdminAudience(v.console.Issuer)
	if !slices.ContainsFunc(all, func(r idp.Resource) bool { return r.Audience == own }) {
		all = append(all, *idp.AdminResource(v.console.Issuer))
	}
	return all, err
}

var identityHints = map[string]string{
	idp.ScopeOpenID: "sign people in", idp.ScopeProfile: "names, picture, language", idp.ScopeEmail: "e-mail address",
	idp.ScopeAddress: "postal address", idp.ScopePhone: "phone number", idp.ScopeMemberships: "names of the person's groups",
	idp.ScopeOfflineAccess: "go on while the person is away",
}

func scopes(v *visit) ([]web.ConsoleOption, error) {
	var options []web.ConsoleOption
	for _, s := range idp.IdentityScopes() {
		options = append(options, web.ConsoleOption{Value: s, Label: s, Hint: identityHints[s]})
	}
	return apiScopes(v, options)
}

func apiScopes(v *visit, options []web.ConsoleOption) ([]web.ConsoleOption, error) {
	resources, err := v.resources()
	for _, r := range resources {
		for _, s := range r.Scopes {
			if !slices.ContainsFunc(options, func(o web.ConsoleOption) bool { return o.Value == s.Name }) {
				options = append(options, web.ConsoleOption{Value: s.Name, Label: s.Name, Hint: strings.TrimPrefix(s.Description+" · "+r.Audience, " · ")})
			}
		}
	}
	return options, err
}

// The API of this server is for few: its scopes are offered to clients that have
// it in their audience, and the wizard offers it to services alone.

func scopesOf(m *metadata) func(*visit) ([]web.ConsoleOption, error) {
	return func(v *visit) ([]web.ConsoleOption, error) {
		all, err := scopes(v)
		if slices.Contains(m.Audience, idp.AdminAudience(v.console.Issuer)) {
			return all, err
		}
		return slices.DeleteFunc(all, func(o web.ConsoleOption) bool { return idp.IsAdminScope(o.Value) }), err
	}
}

func scopesOfServices(*metadata) func(*visit) ([]web.ConsoleOption, error) {
	return func(v *visit) ([]web.ConsoleOption, error) { return apiScopes(v, nil) }
}

func audiencesOfOthers(v *visit) ([]web.ConsoleOption, error) {
	all, err := audiences(v)
	return slices.DeleteFunc(all, func(o web.ConsoleOption) bool { return o.Value == idp.AdminAudience(v.console.Issuer) }), err
}

func groups(v *visit) ([]web.ConsoleOption, error) {
	all, err := v.admin.Groups(v.Context())
	var options []web.ConsoleOption
	for _, g := range all {
		options = append(options, web.ConsoleOption{Value: g.Name, Label: g.Name, Hint: g.Description})
	}
	return options, err
}

// The fields that the wizard asks for as well.
var (
	nameField = textField("client_name", "Name", "What people see when they sign in.", func(m *metadata) *string { return &m.ClientName })

	redirectField = linesField("redirect_uris", "Redirect URIs", "Where people come back to, one per line, compared letter by letter.",
		func(m *metadata) *[]string { return &m.RedirectURIs })
	afterLogoutField = linesField("post_logout_redirect_uris", "Redirect URIs after signing out", "Where people may come back to after signing out, one per line.",
		func(m *metadata) *[]string { return &m.PostLogoutRedirectURIs })
	audienceField = audienceOf(audiences)
	skipField     = tickField("skip_consent", "It is our own: people are not asked for consent", "Only where the redirect proves that it is this application that asks.",
		func(m *metadata) *bool { return &m.SkipConsent })
	groupsField = ticksField("allowed_groups", "Who may sign in", "Members of these groups; none ticked is everybody.", func(m *metadata) *[]string { return &m.AllowedGroups }, groups)
)

func audienceOf(options func(*visit) ([]web.ConsoleOption, error)) clientField {
	return ticksField("audience", "APIs", "Whose tokens it may ask for.", func(m *metadata) *[]string { return &m.Audience }, options)
}

// scopeField is the scopes, which are one text in the metadata.
func scopeField(options func(*metadata) func(*visit) ([]web.ConsoleOption, error)) clientField {
	split := func(m *metadata) []string { return strings.Fields(m.Scope) }
	return clientField{
		func(v *visit, m *metadata) web.ConsoleField {
			list := split(m)
			return ticksField("scope", "Scopes", "What it may ask for.", func(*metadata) *[]string { return &list }, options(m)).show(v, m)
		},
		func(v *visit, m *metadata) error {
			m.Scope = strings.Join(inOrder(v.chosen("scope"), split(m)), " ")
			return nil
		},
	}
}

// maxAgeField may be 0, which is something else than none.
var maxAgeField = clientField{
	func(v *visit, m *metadata) web.ConsoleField {
		there := ""
		if m.DefaultMaxAge != nil {
			there = strconv.Itoa(*m.DefaultMaxAge)
		}
		f := v.line("default_max_age", "Sign-ins may be this old", "Empty is any age.", there)
		f.Kind, f.Unit = web.FieldNumber, "seconds"
		return f
	},
	func(v *visit, m *metadata) error {
		n, err := v.number("default_max_age")
		if m.DefaultMaxAge = nil; strings.TrimSpace(v.form.Get("default_max_age")) != "" {
			m.DefaultMaxAge = &n
		}
		return err
	},
}

var keysField = clientField{
	func(v *visit, m *metadata) web.ConsoleField {
		f := v.line("jwks", "Public keys", "A JSON Web Key Set, instead of its address.", string(m.JWKS))
		f.Kind, f.Rows = web.FieldCode, 4
		return f
	},
	func(v *visit, m *metadata) error {
		typed := strings.TrimSpace(v.form.Get("jwks"))
		if m.JWKS = nil; typed == "" {
			return nil
		}
		if !json.Valid([]byte(typed)) {
			return idp.Invalid("jwks", "is no JSON")
		}
		m.JWKS = idp.JWKSet(typed)
		return nil
	},
}

// clientGroup holds fields that belong together.
type clientGroup struct {
	title, hint string
	folded      bool
	fields      []clientField
}

// clientGroups are all fields of a client.
func clientGroups() []clientGroup {
	return []clientGroup{
		{fields: []clientField{nameField, redirectField, afterLogoutField, audienceField, scopeField(scopesOf), groupsField, skipField}},
		{title: "How it proves who it is", folded: true, fields: []clientField{
			choiceField("token_endpoint_auth_method", "Authentication", "", func(m *metadata) *string { return &m.TokenEndpointAuthMethod },
				choices(idp.AuthClientSecretBasic, idp.AuthClientSecretPost, idp.AuthPrivateKeyJWT, idp.AuthClientSecretJWT, idp.AuthNone)...),
			textField("jwks_uri", "Address of its public keys", "", func(m *metadata) *string { return &m.JWKSURI }),
			keysField,
			textField("token_endpoint_auth_signing_alg", "Algorithm of its assertions", "Empty allows what fits its keys.", func(m *metadata) *string { return &m.TokenEndpointAuthSigningAlg }),
			ticksField("resource_server_of", "Introspection", "Whose tokens it may ask about.", func(m *metadata) *[]string { return &m.ResourceServerOf }, audiences),
		}},
		{title: "How it asks", folded: true, fields: []clientField{
			choiceField("application_type", "Kind", "", func(m *metadata) *string { return &m.ApplicationType }, choices(idp.ApplicationWeb, idp.ApplicationNative)...),
			ticksField("grant_types", "Grants", "", func(m *metadata) *[]string { return &m.GrantTypes },
				fixed(choices(idp.GrantAuthorizationCode, idp.GrantRefreshToken, idp.GrantClientCredentials)...)),
			choiceField("security_profile", "Profile", "oidc-legacy also allows the response types that newer advice discourages.", func(m *metadata) *string { return &m.SecurityProfile },
				web.ConsoleOption{Label: "baseline"}, web.ConsoleOption{Value: idp.ProfileOIDCLegacy, Label: idp.ProfileOIDCLegacy}),
			ticksField("response_types", "Response types", "", func(m *metadata) *[]string { return &m.ResponseTypes },
				fixed(choices("code", "id_token", "id_token token", "code id_token", "code token", "code id_token token")...)),
			tickField("pkce_optional", "It may go without PKCE", "For old programs only.", func(m *metadata) *bool { return &m.PKCEOptional }),
			tickField("require_pushed_authorization_requests", "Requests have to be pushed", "RFC 9126.", func(m *metadata) *bool { return &m.RequirePushedAuthorizationRequests }),
			tickField("require_signed_request_object", "Requests have to be signed", "RFC 9101.", func(m *metadata) *bool { return &m.RequireSignedRequestObject }),
			linesField("request_uris", "Where it keeps request objects", "", func(m *metadata) *[]string { return &m.RequestURIs }),
			textField("request_object_signing_alg", "Algorithm of request objects", "", func(m *metadata) *string { return &m.RequestObjectSigningAlg }),
			textField("request_object_encryption_alg", "Their encryption: algorithm", "", func(m *metadata) *string { return &m.RequestObjectEncryptionAlg }),
			textField("request_object_encryption_enc", "Their encryption: content", "", func(m *metadata) *string { return &m.RequestObjectEncryptionEnc }),
			linesField("allowed_cors_origins", "Origins of its scripts", "Whose pages may call the token endpoint, one per line.", func(m *metadata) *[]string { return &m.AllowedCORSOrigins }),
		}},
		{title: "Tokens", hint: "What is empty is as the server is set.", folded: true, fields: []clientField{
			choiceField("access_token_format", "Access tokens", "", func(m *metadata) *string { return &m.AccessTokenFormat }, choices("", idp.FormatJWT, idp.FormatOpaque)...),
			choiceField("access_token_signing_alg", "Their algorithm", "", func(m *metadata) *string { return &m.AccessTokenSigningAlg }, algorithms()...),
			secondsField("access_token_lifetime", "They live for", "", func(m *metadata) *int { return &m.AccessTokenLifetime }),
			secondsField("refresh_token_idle", "Refresh tokens unused for", "", func(m *metadata) *int { return &m.RefreshTokenIdle }),
			secondsField("refresh_token_lifetime", "Refresh tokens in all", "", func(m *metadata) *int { return &m.RefreshTokenLifetime }),
			choiceField("id_token_signed_response_alg", "Algorithm of ID tokens", "", func(m *metadata) *string { return &m.IDTokenSignedResponseAlg }, algorithms()...),
			textField("id_token_encrypted_response_alg", "Encryption of ID tokens: algorithm", "", func(m *metadata) *string { return &m.IDTokenEncryptedResponseAlg }),
			textField("id_token_encrypted_response_enc", "Encryption of ID tokens: content", "", func(m *metadata) *string { return &m.IDTokenEncryptedResponseEnc }),
			choiceField("userinfo_signed_response_alg", "Signed userinfo", "Empty is plain JSON.", func(m *metadata) *string { return &m.UserinfoSignedResponseAlg },
				append([]web.ConsoleOption{{Label: "No"}}, choices(idp.Algorithms()...)...)...),
			textField("userinfo_encrypted_response_alg", "Encryption of userinfo: algorithm", "", func(m *metadata) *string { return &m.UserinfoEncryptedResponseAlg }),
			textField("userinfo_encrypted_response_enc", "Encryption of userinfo: content", "", func(m *metadata) *string { return &m.UserinfoEncryptedResponseEnc }),
		}},
		{title: "People", folded: true, fields: []clientField{
			choiceField("subject_type", "Subject identifiers", "Pairwise ones are the client's alone.", func(m *metadata) *string { return &m.SubjectType },
				web.ConsoleOption{Label: idp.SubjectPublic}, web.ConsoleOption{Value: idp.SubjectPairwise, Label: idp.SubjectPairwise}),
			textField("sector_identifier_uri", "Sector identifier", "Of several hosts that know people by the same identifiers.", func(m *metadata) *string { return &m.SectorIdentifierURI }),
			maxAgeField,
			linesField("default_acr_values", "Classes of sign-in", "That it asks for, one per line.", func(m *metadata) *[]string { return &m.DefaultACRValues }),
			tickField("require_auth_time", "ID tokens say when the sign-in was", "", func(m *metadata) *bool { return &m.RequireAuthTime }),
			textField("initiate_login_uri", "Where others send people to sign in to it", "", func(m *metadata) *string { return &m.InitiateLoginURI }),
		}},
		{title: "Signing out", folded: true, fields: []clientField{
			textField("backchannel_logout_uri", "Back channel", "It is told here when a session ends.", func(m *metadata) *string { return &m.BackchannelLogoutURI }),
			tickField("backchannel_logout_session_required", "With the session", "", func(m *metadata) *bool { return &m.BackchannelLogoutSessionRequired }),
			textField("frontchannel_logout_uri", "Front channel", "Loaded in the person's browser.", func(m *metadata) *string { return &m.FrontchannelLogoutURI }),
			tickField("frontchannel_logout_session_required", "With the session", "", func(m *metadata) *bool { return &m.FrontchannelLogoutSessionRequired }),
		}},
		{title: "About it", folded: true, fields: []clientField{
			textField("client_uri", "Website", "", func(m *metadata) *string { return &m.ClientURI }),
			textField("logo_uri", "Address of its picture", "One that is uploaded goes before it.", func(m *metadata) *string { return &m.LogoURI }),
			textField("policy_uri", "Privacy policy", "", func(m *metadata) *string { return &m.PolicyURI }),
			textField("tos_uri", "Terms", "", func(m *metadata) *string { return &m.TosURI }),
			linesField("contacts", "Contacts", "E-mail addresses, one per line.", func(m *metadata) *[]string { return &m.Contacts }),
			textField("software_id", "Software", "", func(m *metadata) *string { return &m.SoftwareID }),
			textField("software_version", "Its version", "", func(m *metadata) *string { return &m.SoftwareVersion }),
			tickField("verified", "We vouch for it", "Of a client that registered itself.", func(m *metadata) *bool { return &m.Verified }),
		}},
	}
}

// shown are the groups as a form has them.
func shown(v *visit, groups []clientGroup, m *metadata) []web.ConsoleGroup {
	var all []web.ConsoleGroup
	for _, g := range groups {
		group := web.ConsoleGroup{Title: g.title, Hint: g.hint, Folded: g.folded}
		for _, f := range g.fields {
			group.Fields = append(group.Fields, f.show(v, m))
		}
		all = append(all, group)
	}
	return all
}

// read puts what was typed into the metadata.
func read(v *visit, groups []clientGroup, m *metadata) error {
	var faults []error
	for _, g := range groups {
		for _, f := range g.fields {
			faults = append(faults, f.read(v, m))
		}
	}
	return errors.Join(faults...)
}

// origins are those of addresses, each once.
func origins(addresses []string) []string {
	var all []string
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			continue
		}
		if origin := u.Scheme + "://" + u.Host; !slices.Contains(all, origin) {
			all = append(all, origin)
		}
	}
	return all
}
