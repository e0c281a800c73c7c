package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// claimView is one claim of a token, and where it comes from.
type claimView struct {
	Name  string          `json:"name"`
	Value json.RawMessage `json:"value"`
	From  string          `json:"from"`
}

// signedView says which key a token is signed with.
type signedView struct {
	KID   string       `json:"kid"`
	Alg   string       `json:"alg"`
	State idp.KeyState `json:"state"`
}

// liveView says whether something lives that a token lives and dies with.
type liveView struct {
	What  string `json:"what"`
	State string `json:"state"` // alive, or why not
}

const alive = "alive"

// explainJWT adds to the view of a token, whose signature was verified, which
// key that is, where each claim comes from, and what the token depends on. State
// is nil where no grant is behind it, or none is left.
func (d *database) explainJWT(ctx context.Context, v *tokenView, raw string, state *idp.GrantState) error {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil
	}
	var header struct {
		KID string `json:"kid"`
		Alg string `json:"alg"`
	}
	claims := map[string]json.RawMessage{}
	if decodePart(parts[0], &header) != nil || decodePart(parts[1], &claims) != nil {
		return nil
	}
	v.Signed = &signedView{header.KID, header.Alg, ""}
	for _, k := range d.keyring.States() {
		if k.KID == header.KID {
			v.Signed.State = k.State
		}
	}
	o := origins{d: d, view: v, claims: claims, state: state}
	o.client, _ = d.directory.Client(o.text("client_id"))
	if v.Kind == "id_token" {
		o.client, _ = d.directory.Client(v.ClientID)
		if id, err := idp.ParseID(o.text("sid")); err == nil {
			who, err := d.store.AuthorizationContext(ctx, id, v.ClientID)
			switch {
			case err == nil:
				o.session = &who
			case !errors.Is(err, idp.ErrNotFound):
				return err
			}
		}
	}
	for _, name := range claimOrder(claims) {
		v.Claims = append(v.Claims, claimView{name, claims[name], o.from(name)})
	}
	v.Live = o.live()
	return nil
}

func decodePart(part string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// claimOrder has the claims that every token has first, and the others sorted.
func claimOrder(claims map[string]json.RawMessage) []string {
	first := []string{"iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti"}
	var names, rest []string
	for _, name := range first {
		if _, ok := claims[name]; ok {
			names = append(names, name)
		}
	}
	for name := range claims {
		if !slices.Contains(first, name) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	return append(names, rest...)
}

// origins knows where the claims of one token come from, as things are now.
type origins struct {
	d       *database
	view    *tokenView
	claims  map[string]json.RawMessage
	client  *idp.Client // nil when it is gone
	state   *idp.GrantState
	session *idp.AuthorizationContext // of an ID token; nil when it is gone
}

func (o *origins) text(name string) string {
	var s string
	_ = json.Unmarshal(o.claims[name], &s)
	return s
}

func (o *origins) list(name string) []string {
	var all []string
	if json.Unmarshal(o.claims[name], &all) == nil {
		return all
	}
	return strings.Fields(o.text(name))
}

// user is the person behind the token, nil for nobody.
func (o *origins) user() *idp.User {
	switch {
	case o.state != nil:
		return &o.state.User
	case o.session != nil:
		return &o.session.User
	}
	return nil
}

func (o *origins) memberships() idp.Memberships {
	switch {
	case o.state != nil:
		return o.state.Memberships
	case o.session != nil:
		return o.session.Memberships
	}
	return idp.Memberships{}
}

// resource is the API that the token is for, nil for the issuer alone.
func (o *origins) resource() *idp.Resource {
	for _, aud := range o.list("aud") {
		if r, ok := o.d.directory.Resource(aud); ok {
			return r
		}
	}
	return nil
}

func (o *origins) from(name string) string {
	idToken := o.view.Kind == "id_token"
	switch name {
	case "iss":
		return "setting issuer"
	case "sub":
		return o.subject()
	case "aud":
		return o.audience(idToken)
	case "client_id":
		return "the client that asked"
	case "azp":
		return "the client that asked"
	case "iat":
		return "when it was issued"
	case "exp":
		return o.expiry(idToken)
	case "jti":
		return "drawn for this token"
	case "gid":
		return "the grant that it lives and dies with"
	case "sid":
		return "the session of the sign-in"
	case "auth_time", "acr", "amr":
		return "the session: how and when the person last proved who they are"
	case "nonce":
		return "parameter nonce of the authorization request"
	case "at_hash":
		return "hash of the access token that was issued with it"
	case "c_hash":
		return "hash of the code that was issued with it"
	case "scope":
		return o.each("scope", o.scope)
	case idp.ClaimGroups:
		return "groups that the person is in; " + o.asked(name)
	case idp.ClaimRoles:
		return o.each(name, o.role) + "; " + o.asked(name)
	case idp.ClaimEntitlements:
		return o.each(name, o.entitlement) + "; " + o.asked(name)
	}
	for _, a := range o.d.attributes.Declared() {
		if a.Claim == name {
			return "attribute " + a.Name + " of the person, by the scope " + a.Scope
		}
	}
	return "the person's profile, by a scope or the parameter claims"
}

func (o *origins) subject() string {
	user := o.user()
	switch {
	case o.text("sub") == o.text("client_id"):
		return "the client itself: no person is behind it"
	case o.client != nil && o.client.Sector() != "":
		return "a pseudonym of the person for " + o.client.Sector() + " (client setting subject_type)"
	case user != nil:
		return "the account of " + user.Username
	}
	return "the person's account"
}

func (o *origins) audience(idToken bool) string {
	if idToken {
		return "the client that asked"
	}
	var parts []string
	for _, aud := range o.list("aud") {
		if aud == o.d.issuer {
			parts = append(parts, "the issuer, for userinfo")
		} else if r, ok := o.d.directory.Resource(aud); ok {
			parts = append(parts, "resource "+r.DisplayName()+", by parameter resource or a scope of its own")
		} else {
			parts = append(parts, "a resource that is gone")
		}
	}
	return strings.Join(parts, "; ")
}

func (o *origins) expiry(idToken bool) string {
	switch r := o.resource(); {
	case idToken:
		return "iat and setting lifetimes.id_token"
	case r != nil && r.AccessTokenLifetime > 0:
		return "iat and access_token_lifetime of the resource " + r.DisplayName() + ", not after the end of the grant"
	case o.client != nil && o.client.AccessTokenLifetime > 0:
		return "iat and access_token_lifetime of the client, not after the end of the grant"
	}
	return "iat and setting lifetimes.access_token, not after the end of the grant"
}

// each says of every member of a list where it comes from.
func (o *origins) each(name string, from func(string) string) string {
	var parts []string
	for _, member := range o.list(name) {
		parts = append(parts, member+": "+from(member))
	}
	return strings.Join(parts, "; ")
}

func (o *origins) scope(name string) string {
	if idp.IsIdentityScope(name) {
		return "asked for, and the client's"
	}
	r := o.resource()
	if r == nil {
		return "of no resource that is there"
	}
	scope, ok := r.Scope(name)
	switch {
	case !ok:
		return "not of the resource any more"
	case scope.RequiresRole && o.user() != nil:
		return "of " + r.DisplayName() + ", " + o.entitlement(name)
	case o.user() == nil:
		return "of " + r.DisplayName() + ", and the client's"
	}
	return "of " + r.DisplayName() + ", asked for, and the client's"
}

// role says why the person holds a role.
func (o *origins) role(name string) string {
	m := o.memberships()
	for _, r := range o.d.directory.Roles() {
		if r.Name != name {
			continue
		}
		if slices.Contains(m.Roles, name) {
			return "given to the person"
		}
		for _, g := range r.Groups {
			if slices.Contains(m.Groups, g) {
				return "by the group " + g
			}
		}
	}
	return "not held any more"
}

// entitlement says by which role the person has a scope of the resource.
func (o *origins) entitlement(scope string) string {
	r := o.resource()
	roles := o.d.directory.Roles()
	for _, held := range o.memberships().EffectiveRoles(roles) {
		if r != nil && slices.Contains(idp.Entitlements(roles, []string{held}, r.Audience), scope) {
			return "by the role " + held + " (" + o.role(held) + ")"
		}
	}
	return "not by a role that the person holds"
}

// asked names the resource whose tokens carry a claim.
func (o *origins) asked(claim string) string {
	if r := o.resource(); r != nil && slices.Contains(r.Claims, claim) {
		return "asked for by claims of the resource " + r.DisplayName()
	}
	return "not asked for by the resource any more"
}

// live says of all that the token depends on whether it lives.
func (o *origins) live() []liveView {
	var all []liveView
	add := func(what string, state string) { all = append(all, liveView{what, state}) }
	gate := func(err error) string {
		if err != nil {
			return err.Error()
		}
		return alive
	}
	now := o.d.now()
	if o.client == nil {
		add("client", "gone")
	} else {
		var issued float64
		_ = json.Unmarshal(o.claims["iat"], &issued)
		add("client", gate(o.client.Gate(time.Unix(int64(issued), 0))))
	}
	switch {
	case o.state != nil:
		g := &o.state.Grant
		add("user", gate(o.state.User.Gate(g.AuthTime)))
		add("session", ended(o.state.SessionEndedAt))
		consent := alive
		if !o.state.ConsentWithdrawnAt.IsZero() && !o.state.ConsentWithdrawnAt.Before(g.CreatedAt) {
			consent = "withdrawn " + when(o.state.ConsentWithdrawnAt)
		}
		add("consent", consent)
		grant := ended(g.RevokedAt)
		if grant == alive && !now.Before(g.ExpiresAt) {
			grant = "expired " + when(g.ExpiresAt)
		}
		add("grant", grant)
		if o.client != nil && !o.client.Admits(o.state.Memberships) {
			add("groups", idp.RefusedUserGroups.Error())
		}
	case o.session != nil:
		s := &o.session.Session
		add("user", gate(o.session.User.Gate(s.AuthTime)))
		state := s.State(now, o.d.cfg.Lifetimes.SessionIdle.std())
		if state == "live" {
			state = alive
		}
		add("session", state)
	case o.view.Kind == "id_token":
		add("session", "gone")
	case o.view.GrantID != "":
		add("grant", "gone")
	}
	return all
}

func ended(at time.Time) string {
	if at.IsZero() {
		return alive
	}
	return "ended " + when(at)
}

// originTable prints what explainJWT found.
func originTable(t *table, v tokenView) {
	if v.Signed != nil {
		t.row("signed", fmt.Sprintf("%s, by the key %s, which is %s", v.Signed.Alg, v.Signed.KID, orDash(string(v.Signed.State))))
	}
	for _, l := range v.Live {
		t.row("its "+l.What, l.State)
	}
	if len(v.Claims) > 0 {
		t.row("")
	}
	for _, c := range v.Claims {
		t.row("claim "+c.Name, string(c.Value))
		t.row("", "from "+c.From)
	}
}
