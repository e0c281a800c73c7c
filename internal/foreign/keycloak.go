package foreign

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"idp/internal/declared"
	"idp/internal/idp"
)

// realm is what is read of an export of Keycloak before its parts refer to each
// other.
type realm struct {
	Here
	*text
	name    string
	objects []declared.Object
	// holders are the groups whose members hold a role, by its name here.
	holders map[string][]string
	// builtIn are the identifiers of clients that every realm has.
	builtIn map[string]bool
}

// keycloak reads the export of one realm, or files of users beside it.
func (h Here) keycloak(t *text) ([]declared.Object, error) {
	r := realm{Here: h, text: t, holders: map[string][]string{}, builtIn: map[string]bool{}}
	for _, id := range []string{"account", "account-console", "admin-cli", "broker", "realm-management", "security-admin-console"} {
		r.builtIn[id] = true
	}
	sections, err := r.members(member{raw: t.raw})
	if err != nil {
		return nil, err
	}
	if len(t.raw) > 0 && strings.TrimSpace(string(t.raw))[0] != '{' {
		return nil, fmt.Errorf("%s: must be the export of one realm, an object", t.at(0))
	}
	parts := map[string][]member{}
	for _, s := range sections {
		switch first := strings.TrimSpace(string(s.raw)); {
		case s.name == "realm":
			_ = json.Unmarshal(s.raw, &r.name) // or it stays empty
		case strings.HasPrefix(first, "["), s.name == "roles" && strings.HasPrefix(first, "{"):
			if parts[s.name], err = r.members(s); err != nil {
				return nil, err
			}
		}
	}
	if r.name == "" && parts["users"] == nil && parts["clients"] == nil {
		return nil, fmt.Errorf("%s: is no export of a realm: neither realm nor users nor clients are in it", t.at(0))
	}
	roles, err := r.readRoles(parts["roles"])
	if err != nil {
		return nil, err
	}
	for i, m := range parts["groups"] {
		r.group(m, fmt.Sprintf("groups[%d]", i), "", nil)
	}
	for i := range roles {
		roles[i].Role.Groups = r.holders[roles[i].Name]
	}
	r.objects = append(r.objects, roles...)
	for i, m := range parts["clients"] {
		r.client(m, i)
	}
	for i, m := range parts["users"] {
		r.user(m, i)
	}
	for _, section := range []struct{ name, noun, field, reason string }{
		{"identityProviders", "identity provider", "alias", "people who come from elsewhere do not sign in here yet"},
		{"clientScopes", "client scope", "name", "scopes belong to resources here: idp resource create"},
	} {
		for i, m := range parts[section.name] {
			var named map[string]any
			if json.Unmarshal(m.raw, &named) != nil {
				continue
			}
			name, _ := named[section.field].(string)
			if section.name == "clientScopes" && standardScope(name) {
				continue
			}
			r.objects = append(r.objects, declared.Object{
				Kind: declared.KindOther, Name: section.noun + " " + name, Where: fmt.Sprintf("%s %s[%d]", r.at(m.begin), section.name, i), Skip: section.reason,
			})
		}
	}
	return r.objects, nil
}

// standardScope reports whether a client scope is one that every realm has.
func standardScope(name string) bool {
	return idp.IsIdentityScope(name) || slices.Contains([]string{
		"roles", "web-origins", "acr", "basic", "microprofile-jwt", "role_list", "saml_organization", "organization", "service_account",
	}, name)
}

type keycloakRole struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Composite   bool            `json:"composite"`
	Attributes  json.RawMessage `json:"attributes"`
}

// readRoles reads the roles of the realm and of its clients, which come after the
// groups that hold them.
func (r *realm) readRoles(sections []member) ([]declared.Object, error) {
	var objects []declared.Object
	add := func(of []member, path, prefix string) {
		for i, m := range of {
			o := declared.Object{Kind: declared.KindRole, Where: fmt.Sprintf("%s roles.%s[%d]", r.at(m.begin), path, i)}
			var role keycloakRole
			r.decode(&o, m, &role)
			o.Name = prefix + role.Name
			o.Role = idp.Role{Name: o.Name, Description: oneLine(role.Description)}
			if role.Composite {
				note(&o, "is composite: it does not bring other roles along here")
			}
			if r.builtInRole(role.Name, prefix) {
				continue
			}
			objects = append(objects, o)
		}
	}
	for _, s := range sections {
		switch s.name {
		case "realm":
			roles, err := r.members(s)
			if err != nil {
				return nil, err
			}
			add(roles, "realm", "")
		case "client":
			clients, err := r.members(s)
			if err != nil {
				return nil, err
			}
			for _, c := range clients {
				if r.isBuiltIn(c.name) {
					continue
				}
				roles, err := r.members(c)
				if err != nil {
					return nil, err
				}
				add(roles, "client."+c.name, c.name+":")
			}
		}
	}
	return objects, nil
}

// builtInRole reports whether every realm has the role.
func (r *realm) builtInRole(name, prefix string) bool {
	return prefix == "" && (name == "offline_access" || name == "uma_authorization" || strings.HasPrefix(name, "default-roles-")) || name == "uma_protection"
}

func (r *realm) isBuiltIn(clientID string) bool {
	return r.builtIn[clientID] || r.name == "master" && strings.HasSuffix(clientID, "-realm")
}

// oneLine is a text without line breaks at its ends, or none.
func oneLine(text string) string {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "${") { // a key of Keycloak's own words
		return ""
	}
	return strings.Join(strings.Fields(text), " ")
}

type keycloakGroup struct {
	Name        string              `json:"name"`
	RealmRoles  []string            `json:"realmRoles"`
	ClientRoles map[string][]string `json:"clientRoles"`
	SubGroups   json.RawMessage     `json:"subGroups"`
	Attributes  map[string][]string `json:"attributes"`
}

// group reads a group and those below it, which hold its roles too.
func (r *realm) group(m member, path, above string, inherited []string) {
	o := declared.Object{Kind: declared.KindGroup, Where: r.at(m.begin) + " " + path}
	var g keycloakGroup
	r.decode(&o, m, &g)
	o.Name = above + g.Name
	o.Group = idp.Group{Name: o.Name}
	if len(g.Attributes) > 0 {
		note(&o, "attributes are left out")
	}
	held := slices.Concat(inherited, r.heldRoles(&o, g.RealmRoles, g.ClientRoles))
	r.objects = append(r.objects, o)
	for _, role := range held {
		r.holders[role] = append(r.holders[role], o.Name)
	}
	below := member{raw: g.SubGroups, begin: m.begin}
	if len(g.SubGroups) == 0 || string(g.SubGroups) == "null" {
		return
	}
	// Where they are in the text, as the raw value does not say.
	if members, err := r.members(m); err == nil {
		if i := slices.IndexFunc(members, func(m member) bool { return m.name == "subGroups" }); i >= 0 {
			below = members[i]
		}
	}
	children, err := r.members(below)
	if err != nil {
		return // it was read before
	}
	for i, child := range children {
		r.group(child, fmt.Sprintf("%s.subGroups[%d]", path, i), o.Name+"/", held)
	}
}

// heldRoles are the roles as they are called here, of those that are here.
func (r *realm) heldRoles(o *declared.Object, ofRealm []string, ofClients map[string][]string) []string {
	var held []string
	for _, name := range ofRealm {
		if !r.builtInRole(name, "") {
			held = append(held, name)
		}
	}
	for _, clientID := range slices.Sorted(maps.Keys(ofClients)) {
		switch {
		case clientID == "account" || clientID == "broker": // what everybody may with an account
			continue
		case r.isBuiltIn(clientID):
			note(o, "roles of %s are left out: who administers is in the group %s here", clientID, idp.AdminGroup)
			continue
		}
		for _, name := range ofClients[clientID] {
			held = append(held, clientID+":"+name)
		}
	}
	return held
}

type keycloakClient struct {
	ClientID                string            `json:"clientId"`
	Name                    string            `json:"name"`
	RootURL                 string            `json:"rootUrl"`
	BaseURL                 string            `json:"baseUrl"`
	Enabled                 *bool             `json:"enabled"`
	ClientAuthenticatorType string            `json:"clientAuthenticatorType"`
	Secret                  string            `json:"secret"`
	RedirectURIs            []string          `json:"redirectUris"`
	WebOrigins              []string          `json:"webOrigins"`
	BearerOnly              bool              `json:"bearerOnly"`
	ConsentRequired         bool              `json:"consentRequired"`
	StandardFlow            *bool             `json:"standardFlowEnabled"`
	ImplicitFlow            bool              `json:"implicitFlowEnabled"`
	DirectAccess            bool              `json:"directAccessGrantsEnabled"`
	ServiceAccounts         bool              `json:"serviceAccountsEnabled"`
	Authorization           bool              `json:"authorizationServicesEnabled"`
	Public                  bool              `json:"publicClient"`
	FrontchannelLogout      bool              `json:"frontchannelLogout"`
	Protocol                string            `json:"protocol"`
	Attributes              map[string]string `json:"attributes"`
	Mappers                 []keycloakMapper  `json:"protocolMappers"`
	DefaultScopes           []string          `json:"defaultClientScopes"`
	OptionalScopes          []string          `json:"optionalClientScopes"`
}

type keycloakMapper struct {
	Name string `json:"name"`
	Kind string `json:"protocolMapper"`
}

func (r *realm) client(m member, i int) {
	o := declared.Object{Kind: declared.KindClient, Where: fmt.Sprintf("%s clients[%d]", r.at(m.begin), i)}
	var c keycloakClient
	ok := r.decode(&o, m, &c)
	o.Name = c.ClientID
	switch {
	case r.isBuiltIn(c.ClientID):
		return
	case !ok:
	case c.Protocol != "" && c.Protocol != "openid-connect":
		o.Skip = "speaks " + c.Protocol + ", and this server OpenID Connect alone"
	case c.BearerOnly:
		o.Skip = "is bearer-only, an API: idp resource create"
	default:
		r.oidcClient(&o, c)
	}
	r.objects = append(r.objects, o)
}

// keycloakMethods are how clients authenticate.
var keycloakMethods = map[string]string{
	"": idp.AuthClientSecretBasic, "client-secret": idp.AuthClientSecretBasic, "client-secret-jwt": idp.AuthClientSecretJWT, "client-jwt": idp.AuthPrivateKeyJWT,
}

func (r *realm) oidcClient(o *declared.Object, c keycloakClient) {
	w := &o.Client
	w.ClientID, w.ClientName = c.ClientID, oneLine(c.Name)
	if c.Enabled != nil && !*c.Enabled {
		disabled := true
		w.Disabled = &disabled
	}
	method, ok := keycloakMethods[c.ClientAuthenticatorType]
	switch {
	case c.Public:
		method = idp.AuthNone
	case !ok:
		o.Faults = append(o.Faults, declared.Fault{Where: o.Where, Field: "clientAuthenticatorType", Reason: shown(c.ClientAuthenticatorType) + " is not to be had here"})
	}
	w.TokenEndpointAuthMethod = method

	code := c.StandardFlow == nil || *c.StandardFlow || c.ImplicitFlow
	if code {
		w.GrantTypes = append(w.GrantTypes, idp.GrantAuthorizationCode)
		if c.Attributes["use.refresh.tokens"] != "false" {
			w.GrantTypes = append(w.GrantTypes, idp.GrantRefreshToken)
		}
	}
	if c.ServiceAccounts && !c.Public {
		w.GrantTypes = append(w.GrantTypes, idp.GrantClientCredentials)
	}
	if c.DirectAccess {
		note(o, "directAccessGrantsEnabled: the password grant is not to be had here (RFC 9700 section 2.4)")
	}
	if c.Authorization {
		note(o, "authorization services are left out")
	}
	if c.Attributes["oauth2.device.authorization.grant.enabled"] == "true" {
		note(o, "the device grant is left out")
	}
	if len(w.GrantTypes) == 0 {
		o.Skip = "gets no tokens in a way that is to be had here"
		return
	}
	if code {
		r.signIns(o, c)
	}
	r.Here.scopes(o, r.scopeNames(c), nil)
	w.AccessTokenLifetime = r.seconds(o, c, "access.token.lifespan")
	w.AccessTokenSigningAlg = c.Attributes["access.token.signed.response.alg"]
	w.IDTokenSignedResponseAlg = c.Attributes["id.token.signed.response.alg"]
	w.UserinfoSignedResponseAlg = c.Attributes["user.info.response.signature.alg"]
	if method == idp.AuthPrivateKeyJWT {
		if c.Attributes["use.jwks.url"] == "true" {
			w.JWKSURI = c.Attributes["jwks.url"]
		} else if set := c.Attributes["jwks.string"]; set != "" && json.Valid([]byte(set)) {
			w.JWKS = idp.JWKSet(set)
		} else {
			note(o, "its keys are there as a certificate only: register jwks or jwks_uri")
		}
	}
	r.mappers(o, c.Mappers)
	secret(o, c.Secret)
}

// signIns reads what is about people who sign in at the client.
func (r *realm) signIns(o *declared.Object, c keycloakClient) {
	w := &o.Client
	w.SkipConsent = !c.ConsentRequired
	root := c.RootURL
	if strings.Contains(root, "${") {
		note(o, "rootUrl %s is left out: write addresses of your own", shown(root))
		root = ""
	}
	absolute := func(uri string) string {
		if strings.HasPrefix(uri, "/") && root != "" {
			return strings.TrimSuffix(root, "/") + uri
		}
		return uri
	}
	var uris []string
	for _, uri := range c.RedirectURIs {
		uris = append(uris, absolute(uri))
	}
	if c.Public && isNative(uris) {
		w.ApplicationType = idp.ApplicationNative
	}
	native := w.ApplicationType == idp.ApplicationNative
	w.RedirectURIs = redirectURIs(o, "redirectUris", uris, native)
	if base := absolute(c.BaseURL); strings.HasPrefix(base, "http") {
		w.ClientURI = page(o, "baseUrl", base)
	}
	r.responses(o, c)

	var allowed []string
	for _, origin := range c.WebOrigins {
		if origin != "+" {
			allowed = append(allowed, origin)
			continue
		}
		for _, uri := range w.RedirectURIs {
			if u, err := url.Parse(uri); err == nil && strings.HasPrefix(u.Scheme, "http") {
				allowed = append(allowed, u.Scheme+"://"+u.Host)
			}
		}
	}
	w.AllowedCORSOrigins = origins(o, "webOrigins", allowed)

	var back []string
	for uri := range strings.SplitSeq(c.Attributes["post.logout.redirect.uris"], "##") {
		switch uri {
		case "", "-":
		case "+":
			back = append(back, w.RedirectURIs...)
		default:
			back = append(back, absolute(uri))
		}
	}
	w.PostLogoutRedirectURIs = redirectURIs(o, "post.logout.redirect.uris", back, native)
	w.BackchannelLogoutURI = page(o, "backchannel.logout.url", c.Attributes["backchannel.logout.url"])
	w.BackchannelLogoutSessionRequired = w.BackchannelLogoutURI != "" && c.Attributes["backchannel.logout.session.required"] == "true"
	if c.FrontchannelLogout {
		w.FrontchannelLogoutURI = page(o, "frontchannel.logout.url", c.Attributes["frontchannel.logout.url"])
		w.FrontchannelLogoutSessionRequired = w.FrontchannelLogoutURI != "" && c.Attributes["frontchannel.logout.session.required"] == "true"
	}
	if c.Attributes["pkce.code.challenge.method"] == "" {
		pkce(o)
	}
	w.RequirePushedAuthorizationRequests = c.Attributes["require.pushed.authorization.requests"] == "true"
}

// responses says what the client gets from authorize.
func (r *realm) responses(o *declared.Object, c keycloakClient) {
	if !c.ImplicitFlow {
		return
	}
	types := []string{"id_token", "id_token token"}
	if c.StandardFlow == nil || *c.StandardFlow {
		types = []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"}
	}
	responseTypes(o, types)
}

// scopeNames are what the client may ask for.
func (r *realm) scopeNames(c keycloakClient) []string {
	names := []string{idp.ScopeOpenID}
	for _, name := range slices.Concat(c.DefaultScopes, c.OptionalScopes) {
		if idp.IsIdentityScope(name) || !standardScope(name) {
			names = append(names, name)
		}
	}
	return names
}

func (r *realm) seconds(o *declared.Object, c keycloakClient, name string) int {
	text := c.Attributes[name]
	if text == "" || text == "-1" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		n = -1
	}
	return lifetime(o, name, n, maxAccessToken)
}

// mappers tells of what shapes the client's tokens.
func (r *realm) mappers(o *declared.Object, all []keycloakMapper) {
	var names []string
	for _, m := range all {
		switch m.Kind {
		case "oidc-sha256-pairwise-sub-mapper":
			note(o, "subjects are pairwise: the application sees other identifiers than before, which nobody can carry over")
		case "oidc-usersessionmodel-note-mapper": // of service accounts
		default:
			names = append(names, m.Name)
		}
	}
	if len(names) > 0 {
		note(o, "mappers are left out (%s): what claims say is ruled by scopes, attributes and resources here", shown(strings.Join(names, ", ")))
	}
}

type keycloakUser struct {
	ID               string               `json:"id"`
	Username         string               `json:"username"`
	Enabled          *bool                `json:"enabled"`
	Email            string               `json:"email"`
	EmailVerified    bool                 `json:"emailVerified"`
	FirstName        string               `json:"firstName"`
	LastName         string               `json:"lastName"`
	Attributes       map[string][]string  `json:"attributes"`
	Credentials      []keycloakCredential `json:"credentials"`
	RequiredActions  []string             `json:"requiredActions"`
	RealmRoles       []string             `json:"realmRoles"`
	ClientRoles      map[string][]string  `json:"clientRoles"`
	Groups           []string             `json:"groups"`
	ServiceAccountOf string               `json:"serviceAccountClientId"`
	FederationLink   string               `json:"federationLink"`
	Federated        []struct {
		IdentityProvider string `json:"identityProvider"`
	} `json:"federatedIdentities"`
}

func (r *realm) user(m member, i int) {
	o := declared.Object{Kind: declared.KindUser, Where: fmt.Sprintf("%s users[%d]", r.at(m.begin), i)}
	var u keycloakUser
	ok := r.decode(&o, m, &u)
	o.Name = u.Username
	switch {
	case !ok:
	case u.ServiceAccountOf != "":
		o.Skip = "is the service account of " + u.ServiceAccountOf + ": a client acts for itself here"
	default:
		r.person(&o, u)
	}
	r.objects = append(r.objects, o)
}

func (r *realm) person(o *declared.Object, u keycloakUser) {
	w := &o.User
	w.ID, w.Username = u.ID, u.Username
	w.Disabled = u.Enabled != nil && !*u.Enabled
	w.Profile = idp.Profile{
		Name: strings.TrimSpace(strings.TrimSpace(u.FirstName) + " " + strings.TrimSpace(u.LastName)), GivenName: strings.TrimSpace(u.FirstName),
		FamilyName: strings.TrimSpace(u.LastName), Email: u.Email, EmailVerified: u.EmailVerified && u.Email != "",
	}
	if u.ID == "" {
		note(o, "there is no id: the sub is a new one")
	}
	r.attributes(o, u.Attributes)
	for _, path := range u.Groups {
		w.Groups = append(w.Groups, strings.TrimPrefix(path, "/"))
	}
	w.Roles = r.heldRoles(o, u.RealmRoles, u.ClientRoles)
	for _, c := range u.Credentials {
		r.credential(o, c)
	}
	if w.PasswordHash == "" && w.Password == "" {
		note(o, "has no password: idp user link hands over a link to set one")
	}
	if len(u.RequiredActions) > 0 {
		note(o, "required actions are left out: %s", strings.Join(u.RequiredActions, ", "))
	}
	if u.FederationLink != "" {
		note(o, "comes from a directory (user federation), which is not asked here")
	}
	for _, f := range u.Federated {
		note(o, "the link to the identity provider %s is left out", shown(f.IdentityProvider))
	}
}

// keycloakClaims are the attributes that Keycloak itself makes standard claims of.
func keycloakClaims(p *idp.Profile) map[string]*string {
	return map[string]*string{
		"middleName": &p.MiddleName, "nickname": &p.Nickname, "profile": &p.Profile, "picture": &p.Picture, "website": &p.Website, "gender": &p.Gender,
		"birthdate": &p.Birthdate, "zoneinfo": &p.Zoneinfo, "locale": &p.Locale, "phoneNumber": &p.PhoneNumber,
	}
}

func (r *realm) attributes(o *declared.Object, all map[string][]string) {
	p := &o.User.Profile
	claims := keycloakClaims(p)
	var address idp.Address
	parts := map[string]*string{
		"formatted": &address.Formatted, "street": &address.StreetAddress, "locality": &address.Locality, "region": &address.Region,
		"postal_code": &address.PostalCode, "country": &address.Country,
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		values := all[name]
		declaredHere := slices.ContainsFunc(r.Attributes.Declared(), func(a idp.Attribute) bool { return a.Name == name })
		switch {
		case len(values) == 0:
		case declaredHere:
			r.keepAttribute(o, name, values)
		case claims[name] != nil && len(values) == 1:
			*claims[name] = strings.TrimSpace(values[0])
		case parts[name] != nil && len(values) == 1:
			*parts[name] = strings.TrimSpace(values[0])
			p.Address = &address
		case name == "phoneNumberVerified":
			p.PhoneNumberVerified = values[0] == "true" && len(all["phoneNumber"]) == 1
		default:
			note(o, "attribute %s is left out: accounts.attributes_schema does not declare it", shown(name))
		}
	}
}
