package foreign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"sort"
	"strings"

	"idp/internal/admin"
	"idp/internal/declared"
	"idp/internal/idp"
)

// Resources are the APIs that are registered here, which scopes of clients
// belong to. Implemented by *store.Directory.
type Resources interface {
	Resource(audience string) (*idp.Resource, bool)
	ScopeOwner(scope string) []*idp.Resource
}

// Attributes are those that the operator declared. Implemented by
// *attributes.Schema.
type Attributes interface {
	Declared() []idp.Attribute
	Parse(name, typed string) (json.RawMessage, error)
}

// Here is what the objects are read for.
type Here struct {
	Resources  Resources
	Attributes Attributes
}

// sources are the systems that are known, by name; csv stands for any other.
var sources = map[string]func(Here, *text) ([]declared.Object, error){
	"keycloak": Here.keycloak,
	"hydra":    Here.hydra,
	"dex":      Here.dex,
	"csv":      Here.csv,
}

// Sources names the systems that are known.
func Sources() []string { return slices.Sorted(maps.Keys(sources)) }

// Read reads what a system exports. file is its name, for the places of objects.
// An error says on which line it is nothing that the system would write.
func (h Here) Read(source, file string, raw []byte) ([]declared.Object, error) {
	read, ok := sources[source]
	if !ok {
		return nil, idp.Invalid("from", "must be one of "+strings.Join(Sources(), ", "))
	}
	return read(h, newText(file, raw))
}

// text is a file whose lines can be counted.
type text struct {
	file   string
	raw    []byte
	breaks []int // where its lines end
}

func newText(file string, raw []byte) *text {
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	t := &text{file: file, raw: raw}
	for i, c := range raw {
		if c == '\n' {
			t.breaks = append(t.breaks, i)
		}
	}
	return t
}

// at is the place of a byte.
func (t *text) at(offset int) string {
	return fmt.Sprintf("%s:%d", t.file, 1+sort.SearchInts(t.breaks, offset))
}

// member is a value in a JSON document.
type member struct {
	name  string // of one in an object
	raw   json.RawMessage
	begin int // where it is in the text
}

// members lists what is in an object or array that begins at an offset.
func (t *text) members(whole member) ([]member, error) {
	decoder := json.NewDecoder(bytes.NewReader(whole.raw))
	open, err := decoder.Token()
	if err != nil {
		return nil, t.syntax(whole, err)
	}
	var all []member
	for decoder.More() {
		var m member
		if open == json.Delim('{') {
			name, err := decoder.Token()
			if err != nil {
				return nil, t.syntax(whole, err)
			}
			m.name, _ = name.(string)
		}
		if err := decoder.Decode(&m.raw); err != nil {
			return nil, t.syntax(whole, err)
		}
		m.begin = whole.begin + int(decoder.InputOffset()) - len(m.raw)
		all = append(all, m)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, t.syntax(whole, err)
	}
	return all, nil
}

func (t *text) syntax(within member, err error) error {
	offset := len(within.raw)
	// A decoder does not count what it read as tokens.
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(within.raw, new(json.RawMessage))); ok {
		err, offset = syntax, int(syntax.Offset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = errors.New("it ends too early")
	}
	return fmt.Errorf("%s: is not JSON: %w", t.at(within.begin+offset-1), err)
}

// decode reads a member into a struct, and refuses the object if it cannot be.
func (t *text) decode(o *declared.Object, m member, into any) bool {
	err := json.Unmarshal(m.raw, into)
	if err == nil {
		return true
	}
	fault := declared.Fault{Where: o.Where, Reason: "cannot be read"}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		fault = declared.Fault{Where: t.at(m.begin+int(wrong.Offset)-1) + pathOf(o.Where), Field: wrong.Field, Reason: "must not be a " + wrong.Value}
	}
	o.Faults = append(o.Faults, fault)
	return false
}

// pathOf is what stands behind the line in a place.
func pathOf(where string) string {
	if _, path, ok := strings.Cut(where, " "); ok {
		return " " + path
	}
	return ""
}

// note says what of an object does not come along.
func note(o *declared.Object, format string, args ...any) {
	o.Notes = append(o.Notes, fmt.Sprintf(format, args...))
}

// shown is a value of the source in a note.
func shown(value string) string {
	const most = 120
	if len(value) > most {
		value = value[:most]
	}
	return fmt.Sprintf("%+q", value)
}

// redirectURIs leaves out what cannot be registered here.
func redirectURIs(o *declared.Object, field string, uris []string, native bool) []string {
	var kept []string
	for i, uri := range uris {
		if reason := admin.RedirectURIFault(uri, native); reason != "" {
			note(o, "%s[%d] %s is left out: %s", field, i, shown(uri), reason)
		} else if !slices.Contains(kept, uri) {
			kept = append(kept, uri)
		}
	}
	return kept
}

// isNative reports whether a public client's redirect URIs are those of an
// application on a device (RFC 8252 section 7).
func isNative(uris []string) bool {
	return slices.ContainsFunc(uris, func(uri string) bool {
		u, err := url.Parse(uri)
		if err != nil {
			return false
		}
		loopback := u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost"
		return u.Scheme != "https" && (u.Scheme != "http" || loopback)
	})
}

// origins leaves out what is no origin.
func origins(o *declared.Object, field string, all []string) []string {
	var kept []string
	for _, origin := range all {
		origin = strings.TrimSuffix(origin, "/")
		if reason := admin.OriginFault(origin); reason != "" {
			note(o, "%s %s is left out: %s", field, shown(origin), reason)
		} else if !slices.Contains(kept, origin) {
			kept = append(kept, origin)
		}
	}
	return kept
}

// page leaves out what is no address of a page.
func page(o *declared.Object, field, uri string) string {
	if uri == "" {
		return ""
	}
	if reason := admin.PageFault(uri); reason != "" {
		note(o, "%s %s is left out: %s", field, shown(uri), reason)
		return ""
	}
	return uri
}

// secret keeps a client's secret, if it can be kept.
func secret(o *declared.Object, text string) {
	c := &o.Client
	if c.TokenEndpointAuthMethod == idp.AuthNone || c.TokenEndpointAuthMethod == idp.AuthPrivateKeyJWT {
		return
	}
	const rotate = "; the client can do nothing before idp client rotate-secret"
	hash := strings.HasPrefix(text, "$")
	switch reason := admin.SecretFault(text, c.TokenEndpointAuthMethod); {
	case text == "" || strings.Trim(text, "*") == "":
		note(o, "the secret is not in the export"+rotate)
	case hash:
		note(o, "the secret is there as a hash only"+rotate)
	case reason != "":
		note(o, "the secret cannot be kept, it %s%s", reason, rotate)
	default:
		c.Secret = idp.Secret(text)
		return
	}
	c.Unsecret = true
}

// pkce lets a confidential client go on without PKCE, which the others do not ask
// for.
func pkce(o *declared.Object) {
	if o.Client.TokenEndpointAuthMethod != idp.AuthNone && slices.Contains(o.Client.GrantTypes, idp.GrantAuthorizationCode) {
		o.Client.PKCEOptional = true
		note(o, "pkce_optional is set, as the application may not send PKCE: take it away once it does")
	}
}

// scopes keeps those that there are, with the audiences that they belong to.
func (h Here) scopes(o *declared.Object, all, audiences []string) {
	c := &o.Client
	code := slices.Contains(c.GrantTypes, idp.GrantAuthorizationCode)
	for _, audience := range audiences {
		if _, ok := h.Resources.Resource(audience); ok {
			c.Audience = append(c.Audience, audience)
		} else {
			note(o, "audience %s is left out: no resource of that name is registered here", shown(audience))
		}
	}
	var kept []string
	for _, scope := range all {
		if scope == "offline" { // as Hydra also calls it
			scope = idp.ScopeOfflineAccess
		}
		owners := h.Resources.ScopeOwner(scope)
		switch {
		case slices.Contains(kept, scope):
			continue
		case idp.IsIdentityScope(scope):
			if !code || scope == idp.ScopeOfflineAccess && !slices.Contains(c.GrantTypes, idp.GrantRefreshToken) {
				continue // means nothing without
			}
		case idp.IsAdminScope(scope):
			note(o, "scope %s is left out: it is of the admin API here", shown(scope))
			continue
		case slices.ContainsFunc(owners, func(r *idp.Resource) bool { return slices.Contains(c.Audience, r.Audience) }):
		case len(owners) == 1:
			c.Audience = append(c.Audience, owners[0].Audience)
		case len(owners) > 1:
			note(o, "scope %s is left out: several resources have it", shown(scope))
			continue
		default:
			note(o, "scope %s is left out: no resource that is registered here has it", shown(scope))
			continue
		}
		kept = append(kept, scope)
	}
	c.Scope = strings.Join(kept, " ")
}

// responseTypes keeps those that there are; tokens in addresses need the legacy
// profile.
func responseTypes(o *declared.Object, all []string) {
	c := &o.Client
	for _, name := range all {
		t, ok := idp.ParseResponseType(name)
		switch {
		case !ok:
			note(o, "response type %s is left out: there is none of that name here", shown(name))
			continue
		case t.FrontChannel():
			c.SecurityProfile = idp.ProfileOIDCLegacy
			note(o, "response type %q needs security_profile oidc-legacy, which is set: tokens in addresses leak", t)
		}
		if !slices.Contains(c.ResponseTypes, t.String()) {
			c.ResponseTypes = append(c.ResponseTypes, t.String())
		}
	}
}

// How long tokens may live here, in seconds.
const (
	minToken        = 60
	maxAccessToken  = 86400
	maxRefreshToken = 90 * 86400
)

// lifetime keeps how long something lives, if it may here.
func lifetime(o *declared.Object, field string, seconds, most int) int {
	if seconds != 0 && (seconds < minToken || seconds > most) {
		note(o, "%s is left out: must be from %d to %d seconds", field, minToken, most)
		return 0
	}
	return seconds
}

// keepAttribute keeps an attribute that is declared here: the one value of a list,
// or the list.
func (h Here) keepAttribute(o *declared.Object, name string, values []string) {
	var value json.RawMessage
	var err error
	if len(values) == 1 {
		value, err = h.Attributes.Parse(name, values[0])
	} else {
		value, err = json.Marshal(values)
	}
	if err != nil {
		reason := err.Error()
		if invalid, ok := errors.AsType[*idp.InvalidError](err); ok {
			reason = invalid.Reason
		}
		o.Faults = append(o.Faults, declared.Fault{Where: o.Where, Field: "attributes." + name, Reason: reason})
		return
	}
	if o.User.Attributes == nil {
		o.User.Attributes = idp.Attributes{}
	}
	o.User.Attributes[name] = value
}
