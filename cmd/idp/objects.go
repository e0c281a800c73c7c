package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/admin"
	"idp/internal/idp"
	"idp/internal/remote"
)

// objects are what the commands about clients, people and all else manage: those
// in this machine's database or, with --endpoint, those of another server. The
// same commands print the same about both.
type objects struct {
	clientObjects
	userObjects
	sessionObjects
	groupObjects
	roleObjects
	resourceObjects
	ruleObjects
	keyObjects
	eventObjects

	issuer string // without a trailing slash; may be empty
	// local is the database, nil with --endpoint.
	local *database
}

// The parts of objects, each implemented by *remote.Service and, where nothing
// else is said, by *admin.Service.
type (
	clientObjects interface {
		CreateClient(ctx context.Context, in admin.ClientInput) (idp.Client, idp.Secret, error)
		Client(ctx context.Context, clientID string) (idp.Client, error)
		Clients(ctx context.Context) ([]idp.Client, error)
		UpdateClient(ctx context.Context, clientID string, change func(*idp.ClientMetadata)) (idp.Client, error)
		DisableClient(ctx context.Context, clientID string) error
		EnableClient(ctx context.Context, clientID string) error
		DeleteClient(ctx context.Context, clientID string) error
		RotateSecret(ctx context.Context, clientID string, grace time.Duration) (idp.Secret, error)
	}
	userObjects interface {
		CreateUser(ctx context.Context, in admin.UserInput) (idp.User, error)
		User(ctx context.Context, idOrUsername string) (idp.User, error)
		AllUsers(ctx context.Context) ([]idp.User, error)
		UpdateUser(ctx context.Context, idOrUsername string, change func(*admin.UserChange)) (idp.User, error)
		SetPassword(ctx context.Context, idOrUsername string, password idp.Secret) error
		DisableUser(ctx context.Context, idOrUsername string) error
		LockUser(ctx context.Context, idOrUsername string) error
		EnableUser(ctx context.Context, idOrUsername string) error
		DeleteUser(ctx context.Context, idOrUsername string) error
		RemovePicture(ctx context.Context, idOrUsername string) error
		Memberships(ctx context.Context, idOrUsername string) (idp.Memberships, error)
		AttributeFaults(ctx context.Context, idOrUsername string) ([]string, error)
		Factors(ctx context.Context, idOrUsername string) (idp.Factors, error)
		ResetFactors(ctx context.Context, idOrUsername string) error
	}
	// sessionObjects are implemented by *database here.
	sessionObjects interface {
		StatedSessions(ctx context.Context, idOrUsername string) ([]idp.StatedSession, error)
		EndSessionOf(ctx context.Context, idOrUsername string, id idp.ID) error
		EndSessions(ctx context.Context, idOrUsername string) (int64, error)
		Consents(ctx context.Context, idOrUsername string) ([]idp.Consent, error)
		WithdrawConsent(ctx context.Context, idOrUsername, clientID string) error
	}
	groupObjects interface {
		CreateGroup(ctx context.Context, name, description string) (idp.Group, error)
		Groups(ctx context.Context) ([]idp.Group, error)
		DeleteGroup(ctx context.Context, name string) error
		Members(ctx context.Context, group string) ([]idp.User, error)
		AddMember(ctx context.Context, group, idOrUsername string) error
		RemoveMember(ctx context.Context, group, idOrUsername string) error
	}
	roleObjects interface {
		CreateRole(ctx context.Context, r idp.Role) error
		Role(ctx context.Context, name string) (idp.Role, error)
		Roles(ctx context.Context) ([]idp.Role, error)
		UpdateRole(ctx context.Context, name string, change func(*idp.Role)) (idp.Role, error)
		DeleteRole(ctx context.Context, name string) error
		GiveRoleToGroup(ctx context.Context, role, group string) error
		TakeRoleFromGroup(ctx context.Context, role, group string) error
		AssignRole(ctx context.Context, role, idOrUsername string) error
		UnassignRole(ctx context.Context, role, idOrUsername string) error
	}
	resourceObjects interface {
		CreateResource(ctx context.Context, audience string, m idp.ResourceMetadata) (idp.Resource, error)
		Resource(ctx context.Context, audience string) (idp.Resource, error)
		Resources(ctx context.Context) ([]idp.Resource, error)
		UpdateResource(ctx context.Context, audience string, change func(*idp.ResourceMetadata)) (idp.Resource, error)
		DeleteResource(ctx context.Context, audience string) error
	}
	ruleObjects interface {
		CreateSignInRule(ctx context.Context, rule idp.SignInRule) error
		SignInRule(ctx context.Context, name string) (idp.SignInRule, error)
		SignInRules(ctx context.Context) (idp.SignInPolicy, error)
		UpdateSignInRule(ctx context.Context, name string, change func(*idp.SignInRule)) (idp.SignInRule, error)
		DeleteSignInRule(ctx context.Context, name string) error
	}
	// keyObjects are implemented by *database here.
	keyObjects interface {
		Keys(ctx context.Context) ([]idp.StatedKey, error)
		RotateKeys(ctx context.Context, alg string, immediately bool) ([]idp.StatedKey, error)
		RetireKey(ctx context.Context, kid string) error
	}
	// eventObjects are implemented by *database here.
	eventObjects interface {
		Events(ctx context.Context, q idp.EventQuery, use func(idp.Event) (more bool, err error)) error
	}
)

// objects are those of the database.
func (d *database) objects() *objects {
	return &objects{
		clientObjects: d.admin, userObjects: d.admin, sessionObjects: statedSessions{d.admin, d}, groupObjects: d.admin, roleObjects: d.admin,
		resourceObjects: d.admin, ruleObjects: d.admin, keyObjects: d, eventObjects: d, issuer: d.issuer, local: d,
	}
}

// statedSessions are the sessions of the service, with what has become of them.
type statedSessions struct {
	*admin.Service
	d *database
}

func (s statedSessions) StatedSessions(ctx context.Context, idOrUsername string) ([]idp.StatedSession, error) {
	sessions, err := s.Sessions(ctx, idOrUsername)
	var stated []idp.StatedSession
	for _, session := range sessions {
		stated = append(stated, idp.StatedSession{Session: session, State: session.State(s.d.now(), s.d.cfg.Lifetimes.SessionIdle.std())})
	}
	return stated, err
}

// Keys returns the signing keys with their states.
func (d *database) Keys(context.Context) ([]idp.StatedKey, error) { return d.keyring.States(), nil }

// RotateKeys makes new signing keys and returns them.
func (d *database) RotateKeys(ctx context.Context, alg string, immediately bool) ([]idp.StatedKey, error) {
	made, err := d.keyring.Rotate(ctx, alg, immediately)
	var states []idp.StatedKey
	for _, k := range d.keyring.States() {
		if slices.ContainsFunc(made, func(m idp.Key) bool { return m.KID == k.KID }) {
			states = append(states, k)
		}
	}
	return states, err
}

// RetireKey takes a key out of the key set for good.
func (d *database) RetireKey(ctx context.Context, kid string) error {
	return d.keyring.Retire(ctx, kid)
}

// anywhere marks commands that --endpoint is for.
func anywhere(commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.Annotations = map[string]string{"endpoint": "yes"}
	}
	return commands
}

// mindEndpoint refuses --endpoint for what only this machine can do.
func (a *app) mindEndpoint(cmd *cobra.Command, _ []string) error {
	if a.endpoint != "" && cmd.Annotations["endpoint"] == "" {
		return usage("%s works on this machine alone: run it where the server is, without --endpoint", cmd.CommandPath())
	}
	return nil
}

// withObjects runs a command on the configured database or, with --endpoint, on
// another server.
func (a *app) withObjects(run func(ctx context.Context, o *objects, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if a.endpoint == "" {
			return a.withDatabase(func(ctx context.Context, d *database, args []string) error { return run(ctx, d.objects(), args) })(cmd, args)
		}
		o, err := a.distantObjects()
		if err != nil {
			return err
		}
		return run(cmd.Context(), o, args)
	}
}

// distantObjects are those of the server that --endpoint names. The access token
// comes by the environment or a file: arguments can be seen by every process of
// the machine.
func (a *app) distantObjects() (*objects, error) {
	token, file := idp.Secret(a.getenv("IDP_TOKEN")), a.getenv("IDP_TOKEN_FILE")
	switch {
	case token != "" && file != "":
		return nil, usage("IDP_TOKEN and IDP_TOKEN_FILE exclude each other")
	case token == "" && file == "":
		return nil, usage("--endpoint needs an access token of that server for its admin API in IDP_TOKEN, or a file of it in IDP_TOKEN_FILE")
	case file != "":
		text, err := a.readInput(file)
		if err != nil {
			return nil, err
		}
		token = idp.Secret(strings.TrimSpace(string(text)))
	}
	there, err := remote.New(remote.Config{Endpoint: a.endpoint, Token: token})
	if fault, ok := errors.AsType[*idp.InvalidError](err); ok {
		if fault.Field == "endpoint" {
			return nil, usage("--endpoint %s: %s", a.endpoint, fault.Reason)
		}
		return nil, usage("IDP_TOKEN, IDP_TOKEN_FILE: %s", fault.Reason)
	}
	if err != nil {
		return nil, err
	}
	return &objects{
		clientObjects: there, userObjects: there, sessionObjects: there, groupObjects: there, roleObjects: there, resourceObjects: there,
		ruleObjects: there, keyObjects: there, eventObjects: there, issuer: strings.TrimSuffix(a.endpoint, "/"),
	}, nil
}
