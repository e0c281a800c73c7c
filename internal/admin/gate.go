package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"idp/internal/idp"
)

// Gate judges what comes from another installation by the rules for what is
// made here. What it let through counts as there for what comes after.
type Gate struct {
	rules Service
	came  *arrivals
}

// arrivals are what a gate let through.
type arrivals struct {
	Directory
	Store
	resources []*idp.Resource
	groups    []idp.Group
	subjects  map[string]bool // users and clients: they are both a sub
}

// Resources are those that are here, and those that came.
func (a *arrivals) Resources() []*idp.Resource {
	return append(slices.Clone(a.Directory.Resources()), a.resources...)
}

// Groups are those that are here, and those that came.
func (a *arrivals) Groups(ctx context.Context) ([]idp.Group, error) {
	here, err := a.Store.Groups(ctx)
	return append(here, a.groups...), err
}

// NewGate returns a gate that let nothing through yet.
func (s *Service) NewGate(ctx context.Context) (*Gate, error) {
	if err := s.directory.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("admin: read what is there: %w", err)
	}
	came := &arrivals{Directory: s.directory, Store: s.store, subjects: map[string]bool{}}
	g := &Gate{rules: *s, came: came}
	g.rules.directory, g.rules.store = came, came
	return g, nil
}

// Resource judges a resource.
func (g *Gate) Resource(r idp.Resource) error {
	var f faults
	f.addIf("audience", audienceFault(r.Audience, g.rules.issuer))
	checkResource(&f, r.ResourceMetadata)
	g.came.resources = append(g.came.resources, &r)
	return f.err()
}

// Group judges a group.
func (g *Gate) Group(group idp.Group) error {
	var f faults
	checkGroupName(&f, "name", group.Name)
	f.description("description", group.Description)
	g.came.groups = append(g.came.groups, group)
	return f.err()
}

// User judges an account. Attributes that do not fit are kept, as those are
// that were there before the schema.
func (g *Gate) User(u idp.User) error {
	var f faults
	if !validSubject(u.ID) {
		f.add("user_id", "must be 1 to 255 letters, digits and . _ ~ @ : | + = -")
	}
	if _, ok := g.rules.directory.Client(u.ID); ok || g.came.subjects[u.ID] {
		f.add("user_id", "is there already, or the client_id of a client")
	}
	g.came.subjects[u.ID] = true
	checkUsername(&f, u.Username)
	checkProfile(&f, u.Profile)
	if !slices.Contains([]idp.UserState{idp.UserActive, idp.UserInvited, idp.UserLocked, idp.UserDisabled}, u.State) {
		f.add("state", "%s is no state of an account", quoted(string(u.State)))
	}
	if u.PasswordHash != "" {
		if _, err := g.rules.hasher.CheckImported(idp.Secret(u.PasswordHash)); err != nil {
			f.all = append(f.all, err)
		}
	}
	return f.err()
}

// Client judges a client. The resources and groups that it names have to be
// there or have come before.
func (g *Gate) Client(ctx context.Context, c idp.Client) error {
	var f faults
	if !c.MetadataDocument && !validClientID(c.ClientID) {
		f.add("client_id", "must be 1 to 128 letters, digits and . _ ~ -")
	}
	if g.came.subjects[c.ClientID] {
		f.add("client_id", "is there already, or the subject identifier of a person")
	}
	g.came.subjects[c.ClientID] = true
	if err := g.rules.checkClient(ctx, &f, c.ClientMetadata); err != nil {
		return err
	}
	return errors.Join(f.err(), g.rules.freeSubject(ctx, c.ClientID))
}

// Arrived is the audit event of an object that was brought here.
func (g *Gate) Arrived(ctx context.Context, kind idp.EventKind, target string) idp.Event {
	return with(g.rules.event(ctx, g.rules.now(), kind, target), "change", "imported")
}

// Read is the audit event of data about people that were read: which, and whose
// if they are one person's.
func (s *Service) Read(ctx context.Context, what, userID string) idp.Event {
	e := s.event(ctx, s.now(), idp.EventAdminRead, what)
	e.UserID = userID
	return e
}

// Brought is the audit event of all that was taken from here, or brought here,
// at once.
func (s *Service) Brought(ctx context.Context, kind idp.EventKind, tables []string) idp.Event {
	return with(s.event(ctx, s.now(), kind, "database"), "tables", strings.Join(tables, " "))
}
