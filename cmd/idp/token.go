package main

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/idp"
)

func (a *app) tokenCommand() *cobra.Command {
	return noun("token", "Get tokens, and look at those that were issued", a.tokenGet(), a.tokenInspect(), a.tokenRevoke())
}

// tokenView is what is known of a token.
type tokenView struct {
	Kind         string    `json:"kind"`   // access_token, refresh_token, authorization_code, session or id_token
	Format       string    `json:"format"` // jwt or opaque
	Active       bool      `json:"active"`
	Reason       string    `json:"reason,omitempty"` // why it is not active
	ClientID     string    `json:"client_id,omitempty"`
	Sub          string    `json:"sub,omitempty"`
	Username     string    `json:"username,omitempty"`
	Audience     []string  `json:"aud,omitempty"`
	Scope        string    `json:"scope,omitempty"`
	JTI          string    `json:"jti,omitempty"`
	GrantID      string    `json:"grant_id,omitempty"`
	IssuedAt     time.Time `json:"issued_at,omitzero"`
	ExpiresAt    time.Time `json:"expires_at,omitzero"`
	AuthTime     time.Time `json:"auth_time,omitzero"`
	ACR          string    `json:"acr,omitempty"`
	AMR          []string  `json:"amr,omitempty"`
	Groups       []string  `json:"groups,omitempty"`
	Roles        []string  `json:"roles,omitempty"`
	Entitlements []string  `json:"entitlements,omitempty"`

	// Of a JWT: which key signed it, where its claims come from, and what it lives
	// and dies with.
	Signed *signedView `json:"signed,omitempty"`
	Claims []claimView `json:"claims,omitempty"`
	Live   []liveView  `json:"live,omitempty"`

	grant idp.GrantHandle
	id    idp.ID
}

// opaqueKinds are the opaque tokens by their prefixes.
var opaqueKinds = []struct {
	prefix string
	kind   idp.TokenKind
	name   string
}{
	{"idp_at_", idp.KindAccess, "access_token"},
	{"idp_rt_", idp.KindRefresh, "refresh_token"},
	{"idp_ac_", idp.KindCode, "authorization_code"},
	{"idp_s_", idp.KindSession, "session"},
}

// inspectToken reads a token and asks the database whether it lives. Its error
// says that the database cannot tell; a token that is none of ours is a view
// with the reason.
func (d *database) inspectToken(ctx context.Context, raw string) (tokenView, error) {
	for _, k := range opaqueKinds {
		if strings.HasPrefix(raw, k.prefix) {
			v := tokenView{Kind: k.name, Format: idp.FormatOpaque}
			t, err := d.master.ParseOpaque(k.kind, raw)
			if err != nil {
				v.Reason = "malformed: its checksum does not fit, or it was cut"
				return v, nil
			}
			switch k.kind {
			case idp.KindAccess:
				return d.inspectOpaque(ctx, raw, v, t)
			case idp.KindSession:
				return d.inspectSession(ctx, raw, v, t)
			}
			return d.inspectGrant(ctx, raw, v, t)
		}
	}
	return d.inspectJWT(ctx, raw)
}

func (d *database) inspectJWT(ctx context.Context, raw string) (tokenView, error) {
	v := tokenView{Kind: "access_token", Format: idp.FormatJWT}
	t, err := d.keyring.VerifyAccessToken(raw)
	if errors.Is(err, idp.ErrExpired) {
		v.Reason = "expired"
		return v, d.explainJWT(ctx, &v, raw, nil)
	}
	if err != nil {
		if id, idErr := d.keyring.VerifyIDToken(raw); idErr == nil {
			v := d.idToken(id)
			return v, d.explainJWT(ctx, &v, raw, nil)
		}
		v.Reason = "not a token of " + orDash(d.issuer) + ", or signed with a key that is retired"
		return v, nil
	}
	v.describe(t)
	if t.Grant.IsZero() {
		revoked, err := d.store.AccessTokenRevoked(ctx, t.ID, idp.DayOf(t.ExpiresAt))
		if err != nil {
			return v, err
		}
		if revoked {
			v.Reason = "revoked"
		} else if err := d.judge(&v, t, nil); err != nil {
			return v, err
		}
		return v, d.explainJWT(ctx, &v, raw, nil)
	}
	state, err := d.store.GrantState(ctx, t.Grant)
	if errors.Is(err, idp.ErrNotFound) {
		v.Reason = "its grant is gone"
		return v, d.explainJWT(ctx, &v, raw, nil)
	}
	if err != nil {
		return v, err
	}
	if err := d.judge(&v, t, &state); err != nil {
		return v, err
	}
	return v, d.explainJWT(ctx, &v, raw, &state)
}

func (d *database) idToken(t idp.IDToken) tokenView {
	v := tokenView{
		Kind: "id_token", Format: idp.FormatJWT, Active: d.now().Before(t.ExpiresAt), ClientID: t.ClientID, Sub: t.Subject,
		Audience: []string{t.ClientID}, IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt, AuthTime: t.AuthTime, ACR: t.ACR, AMR: t.AMR,
	}
	if !v.Active {
		v.Reason = "expired"
	}
	return v
}

func (d *database) inspectOpaque(ctx context.Context, raw string, v tokenView, o idp.OpaqueToken) (tokenView, error) {
	if !d.master.VerifyOpaque(raw, nil) {
		v.Reason = "forged, or of another master key"
		return v, nil
	}
	state, err := d.store.AccessTokenState(ctx, o.ExpiresOn, o.ID)
	if errors.Is(err, idp.ErrNotFound) {
		v.Reason = "unknown, or expired long ago"
		return v, nil
	}
	if err != nil {
		return v, err
	}
	v.describe(state.Token)
	if !state.RevokedAt.IsZero() {
		v.Reason = "revoked " + when(state.RevokedAt)
		return v, nil
	}
	if !state.Token.Grant.IsZero() && state.Grant == nil {
		v.Reason = "its grant is gone"
		return v, nil
	}
	return v, d.judge(&v, state.Token, state.Grant)
}

func (d *database) inspectGrant(ctx context.Context, raw string, v tokenView, o idp.OpaqueToken) (tokenView, error) {
	state, err := d.store.GrantState(ctx, idp.GrantHandle{ExpiresOn: o.ExpiresOn, ID: o.ID})
	if errors.Is(err, idp.ErrNotFound) {
		v.Reason = "unknown, or expired long ago"
		return v, nil
	}
	if err != nil {
		return v, err
	}
	g := state.Grant
	if !d.master.VerifyOpaque(raw, g.Salt) {
		v.Reason = "forged"
		return v, nil
	}
	t := idp.AccessToken{
		Grant: g.Handle, ClientID: g.ClientID, Subject: g.UserID, Audience: g.Resources, Scopes: g.Scopes,
		IssuedAt: g.CreatedAt, ExpiresAt: g.CodeExpiresAt, AuthTime: g.AuthTime, ACR: g.ACR, AMR: g.AMR,
	}
	if o.Kind == idp.KindRefresh {
		t.IssuedAt, t.ExpiresAt = g.RotatedAt, g.IdleExpiresAt
		if g.ExpiresAt.Before(t.ExpiresAt) {
			t.ExpiresAt = g.ExpiresAt
		}
	}
	v.describe(t)
	switch {
	case o.Kind == idp.KindCode && !g.CodeUsedAt.IsZero():
		v.Reason = "used " + when(g.CodeUsedAt)
		return v, nil
	case o.Kind == idp.KindRefresh && o.Generation != g.Generation:
		v.Reason = "rotated: a newer one took its place"
		return v, nil
	}
	return v, d.judge(&v, t, &state)
}

func (d *database) inspectSession(ctx context.Context, raw string, v tokenView, o idp.OpaqueToken) (tokenView, error) {
	held, err := d.store.AuthorizationContext(ctx, o.ID, "")
	if errors.Is(err, idp.ErrNotFound) {
		v.Reason = "unknown, or its user is gone"
		return v, nil
	}
	if err != nil {
		return v, err
	}
	if !d.master.VerifyOpaque(raw, held.Session.Salt) {
		v.Reason = "forged"
		return v, nil
	}
	v.Sub, v.Username = held.User.ID, held.User.Username
	v.AuthTime, v.ACR, v.AMR = held.Session.AuthTime, held.Session.ACR, held.Session.AMR
	v.IssuedAt, v.ExpiresAt = held.Session.CreatedAt, held.Session.ExpiresAt
	state := held.Session.State(d.now(), d.cfg.Lifetimes.SessionIdle.std())
	if refused := held.User.Gate(held.Session.AuthTime); refused != nil {
		v.Reason = refused.Error()
	} else if state != "live" {
		v.Reason = state
	} else {
		v.Active = true
	}
	return v, nil
}

// describe copies what the token says.
func (v *tokenView) describe(t idp.AccessToken) {
	v.ClientID, v.Sub, v.Audience, v.Scope = t.ClientID, t.Subject, t.Audience, strings.Join(t.Scopes, " ")
	v.IssuedAt, v.ExpiresAt, v.AuthTime, v.ACR, v.AMR = t.IssuedAt, t.ExpiresAt, t.AuthTime, t.ACR, t.AMR
	v.Groups, v.Roles, v.Entitlements = t.Groups, t.Roles, t.Entitlements
	v.grant, v.id = t.Grant, t.ID
	if !t.ID.IsZero() {
		v.JTI = t.ID.String()
	}
	if !t.Grant.IsZero() {
		v.GrantID = t.Grant.ID.String()
	}
}

// judge asks the gate, as every endpoint does.
func (d *database) judge(v *tokenView, t idp.AccessToken, state *idp.GrantState) error {
	client, ok := d.directory.Client(t.ClientID)
	var refused error
	switch {
	case !ok:
		v.Reason = "its client is gone"
		return nil
	case !d.now().Before(t.ExpiresAt):
		v.Reason = "expired"
		return nil
	case state != nil:
		v.Username = state.User.Username
		refused = state.Gate(client, d.now())
	}
	if refused == nil {
		refused = client.Gate(t.IssuedAt)
	}
	if refused != nil {
		v.Reason = refused.Error()
		return nil
	}
	v.Active = true
	return nil
}

// readToken reads one token from a file or stdin. Arguments would show it to
// every process of the machine.
func (a *app) readToken(args []string) (string, error) {
	path := "-"
	if len(args) == 1 {
		path = args[0]
	}
	text, err := a.readInput(path)
	if err != nil {
		if strings.HasPrefix(path, "eyJ") || strings.HasPrefix(path, "idp_") {
			return "", usage("give the token on stdin or in a file, not as an argument: it can be seen by every process of this machine")
		}
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", usage("there is no token on stdin")
	}
	return token, nil
}

func (a *app) tokenInspect() *cobra.Command {
	c := &cobra.Command{
		Use:   "inspect [FILE]",
		Short: "Verify a token from stdin or a file and say its state",
		Long: "Verifies a token of any kind against the configured database: what it says, and whether it lives. Of a JWT it also says where each claim\n" +
			"comes from, as things are now, and what the token lives and dies with. Reads it from FILE, or from stdin.",
		Args: atMost(1),
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		raw, err := a.readToken(args)
		if err != nil {
			return err
		}
		return a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
			v, err := d.inspectToken(ctx, raw)
			if err != nil {
				return err
			}
			return a.show(v, v.JTI, func(t *table) { tokenTable(t, v) })
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

func tokenTable(t *table, v tokenView) {
	t.field("kind", v.Kind, "("+v.Format+")")
	if v.Active {
		t.field("state", "active")
	} else {
		t.field("state", "not active:", v.Reason)
	}
	t.field("client_id", v.ClientID)
	t.field("sub", v.Sub)
	t.field("username", v.Username)
	t.field("aud", v.Audience...)
	t.field("scope", v.Scope)
	if !v.IssuedAt.IsZero() {
		t.field("issued_at", when(v.IssuedAt))
	}
	if !v.ExpiresAt.IsZero() {
		t.field("expires_at", when(v.ExpiresAt))
	}
	if !v.AuthTime.IsZero() {
		t.field("auth_time", when(v.AuthTime))
	}
	t.field("acr", v.ACR)
	t.field("amr", v.AMR...)
	t.field("groups", v.Groups...)
	t.field("roles", v.Roles...)
	t.field("entitlements", v.Entitlements...)
	t.field("jti", v.JTI)
	t.field("grant", v.GrantID)
	originTable(t, v)
}

func (a *app) tokenRevoke() *cobra.Command {
	c := &cobra.Command{
		Use:   "revoke [FILE]",
		Short: "Revoke a token from stdin or a file, a client's tokens, or all",
		Long: "Revokes the token in FILE or on stdin; one that belongs to a person's grant ends the whole grant.\n" +
			"APIs that verify JWTs offline accept them until they expire.",
		Args: atMost(1),
	}
	all := c.Flags().Bool("all", false, "revoke everything that was issued until now, for every client")
	client := c.Flags().String("client", "", "revoke everything that this client was issued until now")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if *all && *client != "" || (*all || *client != "") && len(args) > 0 {
			return usage("%s takes one of FILE, --client and --all", cmd.CommandPath())
		}
		var raw string
		if !*all && *client == "" {
			var err error
			if raw, err = a.readToken(args); err != nil {
				return err
			}
		}
		return a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
			switch {
			case *all:
				if err := d.admin.RevokeAll(ctx); err != nil {
					return err
				}
				a.say("everything issued until now is revoked, and all sessions have ended: people sign in again")
				return nil
			case *client != "":
				if err := d.admin.RevokeClientTokens(ctx, *client); err != nil {
					return err
				}
				a.say("everything that %s was issued until now is revoked", printable(*client))
				return nil
			}
			return a.revokeOne(ctx, d, raw)
		})(cmd, nil)
	}
	return c
}

func (a *app) revokeOne(ctx context.Context, d *database, raw string) error {
	v, err := d.inspectToken(ctx, raw)
	if err != nil {
		return err
	}
	now := idp.Instant(d.now())
	var random idp.ID
	rand.Read(random[:])
	event := idp.Event{
		ID: idp.TimeOrderedID(now, random), At: now, Kind: idp.EventTokenRevoked, ClientID: v.ClientID, UserID: v.Sub,
		Detail: map[string]string{"reason": "revoked by an operator", "actor": "command"},
	}
	if c, ok := d.directory.Client(v.ClientID); ok && c.Sector() != "" {
		event.UserID = "" // a pseudonym names nobody here; the grant does
	}
	switch {
	case v.ClientID == "" || v.Kind == "id_token":
		return withCode(exitFailure, errors.New("there is nothing to revoke: "+strings.TrimSpace(v.Kind+" "+v.Reason)))
	case !v.grant.IsZero():
		event.GrantID = v.grant.ID.String()
		err = d.store.RevokeGrant(ctx, v.grant, "revoked by an operator", now, event)
	default:
		event.UserID, event.Detail["jti"] = "", v.JTI
		err = d.store.RevokeAccessToken(ctx, v.id, idp.DayOf(v.ExpiresAt), now, event)
	}
	if err != nil {
		return err
	}
	if v.grant.IsZero() {
		a.say("token %s revoked", v.JTI)
	} else {
		a.say("grant %s of %s to %s revoked, with all its tokens", v.GrantID, orDash(v.Username), v.ClientID)
	}
	return nil
}
