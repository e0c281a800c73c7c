package declared

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"idp/internal/admin"
	"idp/internal/idp"
)

// Service is what objects are made with. Implemented by *admin.Service.
type Service interface {
	Clients
	Directory
	People
}

// Clients are the clients of a Service.
type Clients interface {
	Clients(ctx context.Context) ([]idp.Client, error)
	CreateClient(ctx context.Context, in admin.ClientInput) (idp.Client, idp.Secret, error)
	ChangeClient(ctx context.Context, clientID string, change func(*idp.Client) error) (idp.Client, error)
	DeleteClient(ctx context.Context, clientID string) error
}

// Directory is what clients and people are ruled by.
type Directory interface {
	Groups(ctx context.Context) ([]idp.Group, error)
	CreateGroup(ctx context.Context, name, description string) (idp.Group, error)
	UpdateGroup(ctx context.Context, name string, change func(*idp.Group)) (idp.Group, error)
	DeleteGroup(ctx context.Context, name string) error

	Resources(ctx context.Context) ([]idp.Resource, error)
	CreateResource(ctx context.Context, audience string, m idp.ResourceMetadata) (idp.Resource, error)
	UpdateResource(ctx context.Context, audience string, change func(*idp.ResourceMetadata)) (idp.Resource, error)
	DeleteResource(ctx context.Context, audience string) error

	Roles(ctx context.Context) ([]idp.Role, error)
	CreateRole(ctx context.Context, r idp.Role) error
	UpdateRole(ctx context.Context, name string, change func(*idp.Role)) (idp.Role, error)
	DeleteRole(ctx context.Context, name string) error

	SignInRules(ctx context.Context) (idp.SignInPolicy, error)
	CreateSignInRule(ctx context.Context, rule idp.SignInRule) error
	UpdateSignInRule(ctx context.Context, name string, change func(*idp.SignInRule)) (idp.SignInRule, error)
	DeleteSignInRule(ctx context.Context, name string) error
}

// People are the people of a Service.
type People interface {
	User(ctx context.Context, idOrUsername string) (idp.User, error)
	CreateUser(ctx context.Context, in admin.UserInput) (idp.User, error)
	DisableUser(ctx context.Context, idOrUsername string) error
	AddMember(ctx context.Context, group, idOrUsername string) error
	AssignRole(ctx context.Context, role, idOrUsername string) error
}

// Options say how objects are applied.
type Options struct {
	Service Service
	// OnlyAbsent makes what is not there and changes nothing that is.
	OnlyAbsent bool
	// Lenient notes of people which groups and roles are not there, instead of
	// refusing the person.
	Lenient bool
	// Prune deletes what is there of these kinds and not wanted. People, clients
	// that registered themselves and the group of administrators stay.
	Prune []Kind
	// Attempt runs what belongs to one object, and undoes it when it fails; nil
	// only runs it.
	Attempt func(ctx context.Context, f func() error) error
	// Authenticate gives a person an authenticator; nil for none.
	Authenticate func(ctx context.Context, u idp.User, a Authenticator) error
}

// Result is what becomes of an object.
type Result string

// The results.
const (
	Created   Result = "created"
	Updated   Result = "updated"
	Deleted   Result = "deleted"
	Unchanged Result = "unchanged"
	Skipped   Result = "skipped"
	Refused   Result = "refused"
)

// Row is one object of a report.
type Row struct {
	Result Result   `json:"result"`
	Kind   Kind     `json:"kind"`
	Name   string   `json:"name"`
	Where  string   `json:"where,omitempty"`
	Fields []Change `json:"fields,omitempty"` // of what was updated
	Notes  []string `json:"notes,omitempty"`
	Faults []Fault  `json:"-"` // of what was refused
	// Secret was made for a client. It is shown once, by who asked for it.
	Secret idp.Secret `json:"-"`
}

// Change is one field of an object that was updated.
type Change struct {
	Field  string          `json:"field"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// Report is what becomes of all objects.
type Report []Row

// Count returns how many rows have the result.
func (r Report) Count(result Result) int {
	n := 0
	for _, row := range r {
		if row.Result == result {
			n++
		}
	}
	return n
}

// Changes reports whether anything is not as it was.
func (r Report) Changes() bool { return r.Count(Created)+r.Count(Updated)+r.Count(Deleted) > 0 }

// Faults returns all that was refused.
func (r Report) Faults() Faults {
	var all Faults
	for _, row := range r {
		all = append(all, row.Faults...)
	}
	return all
}

// InOrder sorts faults of one document by their lines.
func (f Faults) InOrder() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(len(a.Where), len(b.Where)), strings.Compare(a.Where, b.Where))
	})
	return f
}

// Apply makes, changes and deletes until the objects are as they are wanted. What
// is wrong with one is in its row, and the others go on; an error says that
// nothing could be decided.
func Apply(ctx context.Context, o Options, objects []Object) (Report, error) {
	if o.Attempt == nil {
		o.Attempt = func(_ context.Context, f func() error) error { return f() }
	}
	r := run{Options: o, wanted: map[Kind]map[string]string{}, subjects: map[string]string{}}
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	for _, kind := range kinds {
		r.wanted[kind] = map[string]string{}
		for _, object := range objects {
			if object.Kind == kind {
				if err := r.object(ctx, &object); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, object := range objects {
		if object.Kind == KindOther {
			r.report = append(r.report, Row{Result: Skipped, Kind: object.Kind, Name: object.Name, Where: object.Where, Notes: append([]string{object.Skip}, object.Notes...)})
		}
	}
	if err := r.finish(ctx); err != nil {
		return nil, err
	}
	return r.report, nil
}

// errFaulty says that an object's faults are known.
var errFaulty = errors.New("faulty")

// run is one Apply.
type run struct {
	Options
	there  there
	wanted map[Kind]map[string]string // where each name was wanted first
	// subjects are where each sub was wanted first.
	subjects map[string]string
	report   Report
	// later takes scopes from resources when nothing names them any more.
	later []later
}

// there is what there was before.
type there struct {
	groups    map[string]idp.Group
	resources map[string]idp.Resource
	roles     map[string]idp.Role
	clients   map[string]idp.Client
	rules     map[string]idp.SignInRule
}

type later struct {
	object *Object
	row    int
}

func index[T any](all []T, name func(T) string) map[string]T {
	named := make(map[string]T, len(all))
	for _, v := range all {
		named[name(v)] = v
	}
	return named
}

func (r *run) read(ctx context.Context) error {
	groups, err := r.Service.Groups(ctx)
	if err != nil {
		return err
	}
	resources, err := r.Service.Resources(ctx)
	if err != nil {
		return err
	}
	roles, err := r.Service.Roles(ctx)
	if err != nil {
		return err
	}
	clients, err := r.Service.Clients(ctx)
	if err != nil {
		return err
	}
	rules, err := r.Service.SignInRules(ctx)
	r.there = there{
		groups:    index(groups, func(g idp.Group) string { return g.Name }),
		resources: index(resources, func(r idp.Resource) string { return r.Audience }),
		roles:     index(roles, func(r idp.Role) string { return r.Name }),
		clients:   index(clients, func(c idp.Client) string { return c.ClientID }),
		rules:     index(rules, func(r idp.SignInRule) string { return r.Name }),
	}
	return err
}

// object applies one object and adds its row.
func (r *run) object(ctx context.Context, o *Object) error {
	row := Row{Kind: o.Kind, Name: o.Name, Where: o.Where, Notes: o.Notes}
	first, twice := r.wanted[o.Kind][o.Name]
	sub := o.User.ID
	if where, taken := r.subjects[sub]; sub != "" && taken && !twice {
		o.Faults = append(slices.Clip(o.Faults), o.fault("sub", "is there twice, first at "+where))
	} else if sub != "" {
		r.subjects[sub] = o.Where
	}
	switch {
	case o.Skip != "":
		row.Result, row.Notes = Skipped, append([]string{o.Skip}, o.Notes...)
	case o.Name != "" && twice:
		row.Result, row.Faults = Refused, []Fault{o.fault("", "is there twice, first at "+first)}
	default:
		r.wanted[o.Kind][o.Name] = o.Where
		attempted := row
		err := r.Attempt(ctx, func() error {
			attempted = row
			if err := r.apply(ctx, o, &attempted); err != nil {
				return err
			}
			if len(o.Faults) > 0 {
				return errFaulty
			}
			return nil
		})
		row = attempted
		if err != nil {
			row = Row{Result: Refused, Kind: o.Kind, Name: o.Name, Where: o.Where, Notes: o.Notes}
			faults, other := r.faults(o, err)
			if other != nil {
				return other
			}
			row.Faults = append(slices.Clone(o.Faults), faults...)
		}
	}
	r.report = append(r.report, row)
	return nil
}

// faults turns what the service said into faults at their places. An error that
// is not about the object is returned as it is.
func (r *run) faults(o *Object, err error) (faults []Fault, other error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, part := range joined.Unwrap() {
			more, other := r.faults(o, part)
			if other != nil {
				return nil, err
			}
			faults = append(faults, more...)
		}
		return faults, nil
	}
	invalid, ok := errors.AsType[*idp.InvalidError](err)
	switch {
	case errors.Is(err, idp.ErrUnavailable):
		return nil, err
	case ok && o.faulty(invalid.Field):
		return nil, nil
	case ok:
		return []Fault{o.fault(invalid.Field, invalid.Reason)}, nil
	case errors.Is(err, errFaulty):
		return nil, nil
	case errors.Is(err, idp.ErrConflict), errors.Is(err, idp.ErrNotFound), errors.Is(err, idp.ErrForbidden):
		return []Fault{o.fault("", err.Error())}, nil
	}
	return nil, err
}

func (r *run) apply(ctx context.Context, o *Object, row *Row) error {
	switch o.Kind {
	case KindGroup:
		return r.group(ctx, o, row)
	case KindResource:
		return r.resource(ctx, o, row)
	case KindRole:
		return r.role(ctx, o, row)
	case KindClient:
		return r.client(ctx, o, row)
	case KindSignInRule:
		return r.rule(ctx, o, row)
	}
	return r.user(ctx, o, row)
}

// settle compares what is there with what is wanted, and says what to do.
func (r *run) settle(row *Row, before, after any) (change bool) {
	row.Result = Unchanged
	fields := changes(before, after)
	switch {
	case len(fields) == 0:
	case r.OnlyAbsent:
		row.Result = Skipped
		var names []string
		for _, f := range fields {
			names = append(names, f.Field)
		}
		row.Notes = append([]string{"is there already, with another " + strings.Join(names, ", ") + ", and stays as it is"}, row.Notes...)
	default:
		row.Result, row.Fields = Updated, fields
		return true
	}
	return false
}

func (r *run) group(ctx context.Context, o *Object, row *Row) error {
	type shown struct {
		Description string `json:"description,omitempty"`
	}
	before, ok := r.there.groups[o.Name]
	if !ok {
		row.Result = Created
		_, err := r.Service.CreateGroup(ctx, o.Name, o.Group.Description)
		return err
	}
	if !r.settle(row, shown{before.Description}, shown{o.Group.Description}) {
		return nil
	}
	_, err := r.Service.UpdateGroup(ctx, o.Name, func(g *idp.Group) { g.Description = o.Group.Description })
	return err
}

func (r *run) resource(ctx context.Context, o *Object, row *Row) error {
	before, ok := r.there.resources[o.Name]
	if !ok {
		row.Result = Created
		_, err := r.Service.CreateResource(ctx, o.Name, o.Resource.ResourceMetadata)
		return err
	}
	if !r.settle(row, before.ResourceMetadata, o.Resource.ResourceMetadata) {
		return nil
	}
	_, err := r.Service.UpdateResource(ctx, o.Name, func(m *idp.ResourceMetadata) {
		*m = o.Resource.ResourceMetadata
		m.Scopes = slices.Clone(m.Scopes)
		for _, scope := range before.Scopes {
			if _, kept := o.Resource.Scope(scope.Name); !kept {
				m.Scopes = append(m.Scopes, scope) // until clients and roles do not name it any more
			}
		}
		if len(m.Scopes) > len(o.Resource.Scopes) {
			r.later = append(r.later, later{o, len(r.report)})
		}
	})
	return err
}

func (r *run) role(ctx context.Context, o *Object, row *Row) error {
	wanted := sortedRole(o.Role)
	before, ok := r.there.roles[o.Name]
	if !ok {
		row.Result = Created
		return r.Service.CreateRole(ctx, wanted)
	}
	if !r.settle(row, sortedRole(before), wanted) {
		return nil
	}
	_, err := r.Service.UpdateRole(ctx, o.Name, func(role *idp.Role) { *role = wanted })
	return err
}

// sortedRole is a role as the store has it.
func sortedRole(r idp.Role) idp.Role {
	r.Scopes, r.Groups = slices.Clone(r.Scopes), slices.Clone(r.Groups)
	slices.SortFunc(r.Scopes, func(a, b idp.RoleScope) int {
		return strings.Compare(a.Audience+" "+a.Scope, b.Audience+" "+b.Scope)
	})
	r.Scopes = slices.Compact(r.Scopes)
	slices.Sort(r.Groups)
	r.Groups = slices.Compact(r.Groups)
	return r
}

// shownClient is what is compared of a client.
type shownClient struct {
	idp.ClientMetadata
	Disabled bool `json:"disabled,omitempty"`
}

func (r *run) client(ctx context.Context, o *Object, row *Row) error {
	before, ok := r.there.clients[o.Name]
	if ok {
		return r.changeClient(ctx, o, row, before)
	}
	row.Result = Created
	made, secret, err := r.Service.CreateClient(ctx, o.Client.ClientInput)
	if err != nil {
		return err
	}
	if o.Client.Secret == "" && !o.Client.Unsecret {
		row.Secret = secret
	}
	if row.Name == "" {
		row.Name = made.ClientID
	}
	if o.Client.Disabled != nil && *o.Client.Disabled {
		_, err = r.Service.ChangeClient(ctx, made.ClientID, func(c *idp.Client) error {
			c.Disabled = true
			return nil
		})
	}
	return err
}

func (r *run) changeClient(ctx context.Context, o *Object, row *Row, before idp.Client) error {
	after := shownClient{admin.WithDefaults(o.Client.ClientMetadata), before.Disabled}
	// What is no wish of anybody's stays.
	after.SelfRegistered, after.MetadataDocument, after.SoftwareStatement = before.SelfRegistered, before.MetadataDocument, before.SoftwareStatement
	if o.Client.Disabled != nil {
		after.Disabled = *o.Client.Disabled
	}
	if sameJSON(before.JWKS, after.JWKS) {
		after.JWKS = before.JWKS
	}
	if !r.settle(row, shownClient{before.ClientMetadata, before.Disabled}, after) {
		return nil
	}
	_, err := r.Service.ChangeClient(ctx, o.Name, func(c *idp.Client) error {
		c.ClientMetadata, c.Disabled = after.ClientMetadata, after.Disabled
		return nil
	})
	return err
}

func (r *run) rule(ctx context.Context, o *Object, row *Row) error {
	before, ok := r.there.rules[o.Name]
	if !ok {
		row.Result = Created
		return r.Service.CreateSignInRule(ctx, o.SignInRule)
	}
	if !r.settle(row, before, o.SignInRule) {
		return nil
	}
	_, err := r.Service.UpdateSignInRule(ctx, o.Name, func(rule *idp.SignInRule) { *rule = o.SignInRule })
	return err
}

func (r *run) user(ctx context.Context, o *Object, row *Row) error {
	for _, name := range []string{o.User.ID, o.Name} {
		if name == "" {
			continue
		}
		u, err := r.Service.User(ctx, name)
		switch {
		case errors.Is(err, idp.ErrNotFound):
			continue
		case err != nil:
			return err
		case !strings.EqualFold(u.Username, o.Name), o.User.ID != "" && u.ID != o.User.ID:
			row.Result = Skipped
			row.Notes = append([]string{"is there already, as " + u.Username + " with the sub " + u.ID}, row.Notes...)
		default:
			row.Result = Unchanged
		}
		return nil
	}
	row.Result = Created
	u, err := r.Service.CreateUser(ctx, o.User.UserInput)
	if err != nil {
		return err
	}
	var faults []error
	for _, group := range o.User.Groups {
		if err := r.Service.AddMember(ctx, group, u.ID); err != nil {
			faults = append(faults, r.belongs(row, "groups", err))
		}
	}
	for _, role := range o.User.Roles {
		if err := r.Service.AssignRole(ctx, role, u.ID); err != nil {
			faults = append(faults, r.belongs(row, "roles", err))
		}
	}
	for _, a := range o.User.Authenticators {
		if r.Authenticate == nil {
			break
		}
		if err := r.Authenticate(ctx, u, a); err != nil {
			faults = append(faults, err)
		}
	}
	if o.User.Disabled {
		faults = append(faults, r.Service.DisableUser(ctx, u.ID))
	}
	return errors.Join(faults...)
}

// belongs says what becomes of a person whom a group or role cannot be given.
func (r *run) belongs(row *Row, field string, err error) error {
	switch {
	case !errors.Is(err, idp.ErrNotFound):
		return err
	case r.Lenient:
		row.Notes = append(slices.Clone(row.Notes), field+": "+err.Error())
		return nil
	}
	return idp.Invalid(field, err.Error())
}

// finish takes away what is not wanted.
func (r *run) finish(ctx context.Context) error {
	// Rules, clients and roles before what they name.
	for _, kind := range []Kind{KindSignInRule, KindClient, KindRole} {
		if err := r.prune(ctx, kind); err != nil {
			return err
		}
	}
	for _, l := range r.later {
		_, err := r.Service.UpdateResource(ctx, l.object.Name, func(m *idp.ResourceMetadata) { *m = l.object.Resource.ResourceMetadata })
		if err != nil {
			faults, other := r.faults(l.object, err)
			if other != nil {
				return other
			}
			r.report[l.row].Result, r.report[l.row].Faults = Refused, faults
		}
	}
	for _, kind := range []Kind{KindGroup, KindResource} {
		if err := r.prune(ctx, kind); err != nil {
			return err
		}
	}
	return nil
}

// prune deletes what is there of a kind and not wanted.
func (r *run) prune(ctx context.Context, kind Kind) error {
	if !slices.Contains(r.Prune, kind) {
		return nil
	}
	var names []string
	var remove func(context.Context, string) error
	switch kind {
	case KindGroup:
		names, remove = slices.Collect(maps.Keys(r.there.groups)), r.Service.DeleteGroup
	case KindResource:
		names, remove = slices.Collect(maps.Keys(r.there.resources)), r.Service.DeleteResource
	case KindRole:
		names, remove = slices.Collect(maps.Keys(r.there.roles)), r.Service.DeleteRole
	case KindSignInRule:
		names, remove = slices.Collect(maps.Keys(r.there.rules)), r.Service.DeleteSignInRule
	case KindClient:
		for id, c := range r.there.clients {
			if !c.SelfRegistered && !c.MetadataDocument {
				names = append(names, id)
			}
		}
		remove = r.Service.DeleteClient
	}
	slices.Sort(names)
	for _, name := range names {
		if _, wanted := r.wanted[kind][name]; wanted || kind == KindGroup && name == idp.AdminGroup {
			continue
		}
		o := &Object{Kind: kind, Name: name}
		row := Row{Result: Deleted, Kind: kind, Name: name}
		if err := r.Attempt(ctx, func() error { return remove(ctx, name) }); err != nil {
			faults, other := r.faults(o, err)
			if other != nil {
				return other
			}
			row.Result, row.Faults = Refused, faults
		}
		r.report = append(r.report, row)
	}
	return nil
}

// changes are the fields in which the JSON forms of two values differ.
func changes(before, after any) []Change {
	a, b := fieldsOf(before), fieldsOf(after)
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var all []Change
	for _, name := range names {
		if !bytes.Equal(a[name], b[name]) {
			all = append(all, Change{name, a[name], b[name]})
		}
	}
	return all
}

func fieldsOf(v any) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, &fields)
	}
	if err != nil {
		panic("declared: a noun without a JSON form: " + err.Error())
	}
	return fields
}

// sameJSON reports whether two documents say the same.
func sameJSON(a, b []byte) bool {
	var one, other any
	return json.Unmarshal(a, &one) == nil && json.Unmarshal(b, &other) == nil && reflect.DeepEqual(one, other)
}
