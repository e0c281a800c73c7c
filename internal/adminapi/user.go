package adminapi

import (
	"net/http"
	"strings"
	"time"

	"idp/internal/admin"
	"idp/internal/idp"
)

// user is a person as the API shows them: the standard claims by their names.
type user struct {
	Sub      string        `json:"sub"`
	Username string        `json:"username"`
	State    idp.UserState `json:"state"`
	idp.Profile
	Attributes  idp.Attributes `json:"attributes,omitempty"`
	HasPassword bool           `json:"has_password"`
	// UploadedPicture is where the person's own picture is.
	UploadedPicture string `json:"uploaded_picture,omitempty"`
	// AttributeFaults, as the following two, are shown of one person alone.
	AttributeFaults     []string  `json:"attribute_faults,omitempty"`
	Groups              []string  `json:"groups,omitempty"`
	Roles               []string  `json:"roles,omitempty"`
	DeletionRequestedAt time.Time `json:"deletion_requested_at,omitzero"`
	DeletionDueAt       time.Time `json:"deletion_due_at,omitzero"`
	CreatedAt           time.Time `json:"created_at"`
	UpdatedAt           time.Time `json:"updated_at"`
}

func (a *API) viewUser(u idp.User) user {
	picture := ""
	if !u.PictureID.IsZero() {
		picture = a.Issuer + "/pictures/" + u.PictureID.String()
	}
	return user{
		UploadedPicture: picture,
		Sub:             u.ID, Username: u.Username, State: u.State, Profile: u.Profile, Attributes: u.Attributes, HasPassword: u.PasswordHash != "",
		DeletionRequestedAt: u.DeletionRequestedAt, DeletionDueAt: u.DeletionDueAt,
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}
}

// userInput is a person as a caller writes them.
type userInput struct {
	Sub      string        `json:"sub"`
	Username string        `json:"username"`
	State    idp.UserState `json:"state"`
	idp.Profile
	Attributes idp.Attributes `json:"attributes"`
}

// ofTheServer are the members of a user that a caller may only send back.
var ofTheServer = []string{"attribute_faults", "created_at", "deletion_due_at", "deletion_requested_at", "groups", "has_password", "roles", "updated_at", "uploaded_picture"}

// Users answers /admin/users.
func (a *API) Users(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:  {idp.ScopeUsersRead, personal("users", listUsers)},
		http.MethodPost: {idp.ScopeUsers, createUser},
	})
}

// User answers /admin/users/{user_id}.
func (a *API) User(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:    {idp.ScopeUsersRead, personal("user", getUser)},
		http.MethodPatch:  {idp.ScopeUsers, patchUser},
		http.MethodDelete: {idp.ScopeUsers, deleteUser},
	})
}

// UserPassword answers /admin/users/{user_id}/password.
func (a *API) UserPassword(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodPut: {idp.ScopeUsers, setPassword}})
}

// UserFactors answers /admin/users/{user_id}/factors.
func (a *API) UserFactors(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet: {idp.ScopeUsersRead, personal("factors", getFactors)},
		http.MethodDelete: {idp.ScopeUsers, func(c *call) (answer, error) {
			return c.member(func(userID string) error { return c.admin.ResetFactors(c.Context(), userID) })
		}},
	})
}

// UserPicture answers /admin/users/{user_id}/picture.
func (a *API) UserPicture(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodDelete: {idp.ScopeUsers, func(c *call) (answer, error) {
		return c.member(func(userID string) error { return c.admin.RemovePicture(c.Context(), userID) })
	}}})
}

// UserSessions answers /admin/users/{user_id}/sessions.
func (a *API) UserSessions(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet: {idp.ScopeUsersRead, personal("sessions", listSessions)},
		http.MethodDelete: {idp.ScopeUsers, func(c *call) (answer, error) {
			return c.member(func(userID string) error {
				_, err := c.admin.EndSessions(c.Context(), userID)
				return err
			})
		}},
	})
}

// UserSession answers /admin/users/{user_id}/sessions/{sid}.
func (a *API) UserSession(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodDelete: {idp.ScopeUsers, func(c *call) (answer, error) {
		return c.member(func(userID string) error {
			id, err := idp.ParseID(c.PathValue("sid"))
			if err != nil {
				return newProblem(http.StatusNotFound, "not_found", "there is no such session")
			}
			return c.admin.EndSessionOf(c.Context(), userID, id)
		})
	}}})
}

// UserConsents answers /admin/users/{user_id}/consents.
func (a *API) UserConsents(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodGet: {idp.ScopeUsersRead, personal("consents", listConsents)}})
}

// UserConsent answers /admin/users/{user_id}/consents/{client_id}.
func (a *API) UserConsent(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodDelete: {idp.ScopeUsers, func(c *call) (answer, error) {
		return c.member(func(userID string) error {
			return c.admin.WithdrawConsent(c.Context(), userID, c.PathValue("client_id"))
		})
	}}})
}

// user returns the person whom the address names: by their identifier, so that
// each has one address.
func (c *call) user() (idp.User, error) {
	id := c.PathValue("user_id")
	u, err := c.admin.User(c.Context(), id)
	if err == nil && u.ID != id {
		return idp.User{}, newProblem(http.StatusNotFound, "not_found", "there is no user of this sub")
	}
	return u, err
}

// whole returns the person with what they belong to.
func (c *call) whole(u idp.User) (user, error) {
	m, err := c.admin.Memberships(c.Context(), u.ID)
	if err != nil {
		return user{}, err
	}
	v := c.api.viewUser(u)
	v.Groups, v.Roles = m.Groups, m.Roles
	v.AttributeFaults, err = c.admin.AttributeFaults(c.Context(), u.ID)
	return v, err
}

func listUsers(c *call) (answer, error) {
	p, err := c.page("users", "username")
	if err != nil {
		return answer{}, err
	}
	if name := p.filter.Get("username"); p.filter.Has("username") {
		views := []user{}
		found, err := c.admin.User(c.Context(), name)
		if err == nil && strings.EqualFold(found.Username, name) {
			views = append(views, c.api.viewUser(found))
		}
		if err != nil && toProblem(err).Status != http.StatusNotFound {
			return answer{}, err
		}
		return answer{status: http.StatusOK, body: views}, nil
	}
	found, err := c.admin.Users(c.Context(), p.after, p.size+1)
	if err != nil {
		return answer{}, err
	}
	result := answer{status: http.StatusOK}
	if len(found) > p.size {
		found = found[:p.size]
		if result.header, err = c.next(p, found[p.size-1].Username); err != nil {
			return answer{}, err
		}
	}
	views := make([]user, len(found))
	for i, u := range found {
		views[i] = c.api.viewUser(u)
	}
	result.body = views
	return result, nil
}

func createUser(c *call) (answer, error) {
	var in struct {
		userInput
		Password     string `json:"password"`
		PasswordHash string `json:"password_hash"`
	}
	if err := c.input(&in, ofTheServer...); err != nil {
		return answer{}, err
	}
	if in.State != "" && in.State != idp.UserActive {
		return answer{}, invalidMember("state", "must be left out: a user begins active")
	}
	made, err := c.admin.CreateUser(c.Context(), admin.UserInput{
		ID: in.Sub, Username: in.Username, Password: idp.Secret(in.Password), PasswordHash: idp.Secret(in.PasswordHash), Profile: in.Profile, Attributes: in.Attributes,
	})
	if err != nil {
		return answer{}, err
	}
	return c.created(c.api.viewUser(made), "users", made.ID), nil
}

func getUser(c *call) (answer, error) {
	u, err := c.user()
	if err != nil {
		return answer{}, err
	}
	view, err := c.whole(u)
	if err != nil {
		return answer{}, err
	}
	return shown(view), nil
}

func patchUser(c *call) (answer, error) {
	u, err := c.user()
	if err != nil {
		return answer{}, err
	}
	before, err := c.whole(u)
	if err != nil {
		return answer{}, err
	}
	if err := c.unchanged(etag(before)); err != nil {
		return answer{}, err
	}
	var in userInput
	if err := c.patched(before, &in, ofTheServer...); err != nil {
		return answer{}, err
	}
	switch {
	case in.Sub != u.ID:
		return answer{}, invalidMember("sub", "cannot be changed")
	case in.State != u.State:
		err = c.setState(u, in)
	default:
		late := false
		_, err = c.admin.UpdateUser(c.Context(), u.ID, func(change *admin.UserChange) {
			read := admin.UserChange{Username: u.Username, Profile: u.Profile, Attributes: u.Attributes.With(nil)}
			if late = !c.still(read, *change); !late {
				in.over(change)
			}
		})
		if late {
			err = preconditionFailed()
		}
	}
	if err != nil {
		return answer{}, err
	}
	return getUser(c)
}

// over puts the input in the place of what the user was.
func (in userInput) over(change *admin.UserChange) {
	change.Username, change.Profile, change.Attributes = in.Username, in.Profile, in.Attributes
}

// setState changes the state of a user and nothing else: what ends sessions
// stands alone.
func (c *call) setState(u idp.User, in userInput) error {
	same := user{Sub: u.ID, Username: in.Username, Profile: in.Profile, Attributes: in.Attributes}
	if etag(same) != etag(user{Sub: u.ID, Username: u.Username, Profile: u.Profile, Attributes: u.Attributes}) {
		return invalidMember("state", "is changed by itself")
	}
	switch in.State {
	case idp.UserActive:
		return c.admin.EnableUser(c.Context(), u.ID)
	case idp.UserDisabled:
		return c.admin.DisableUser(c.Context(), u.ID)
	case idp.UserLocked:
		return c.admin.LockUser(c.Context(), u.ID)
	}
	return invalidMember("state", "must be active, disabled or locked")
}

func deleteUser(c *call) (answer, error) {
	u, err := c.user()
	if err != nil {
		return answer{}, err
	}
	view, err := c.whole(u)
	if err != nil {
		return answer{}, err
	}
	if err := c.unchanged(etag(view)); err != nil {
		return answer{}, err
	}
	return gone(c.admin.DeleteUser(c.Context(), u.ID))
}

func setPassword(c *call) (answer, error) {
	var in struct {
		Password string `json:"password"`
	}
	if err := c.input(&in); err != nil {
		return answer{}, err
	}
	return c.member(func(userID string) error { return c.admin.SetPassword(c.Context(), userID, idp.Secret(in.Password)) })
}

// factors are what a person can sign in with besides the password.
type factors struct {
	Passkeys       []factor `json:"passkeys"`
	Authenticators []factor `json:"authenticators"`
	RecoveryCodes  int      `json:"recovery_codes"` // how many are left
}

type factor struct {
	Name       string    `json:"name"`
	AAGUID     string    `json:"aaguid,omitempty"`
	Synced     bool      `json:"synced,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// model writes an AAGUID; an authenticator that does not tell its model has none.
func model(aaguid [16]byte) string {
	if aaguid == [16]byte{} {
		return ""
	}
	return idp.ID(aaguid).UUID()
}

func getFactors(c *call) (answer, error) {
	u, err := c.user()
	if err != nil {
		return answer{}, err
	}
	found, err := c.admin.Factors(c.Context(), u.ID)
	if err != nil {
		return answer{}, err
	}
	view := factors{Passkeys: []factor{}, Authenticators: []factor{}, RecoveryCodes: found.RecoveryCodes}
	for _, p := range found.Passkeys {
		view.Passkeys = append(view.Passkeys, factor{p.Name, model(p.AAGUID), p.BackupState, p.CreatedAt, p.LastUsedAt})
	}
	for _, a := range found.Authenticators {
		view.Authenticators = append(view.Authenticators, factor{Name: a.Name, CreatedAt: a.CreatedAt, LastUsedAt: a.LastUsedAt})
	}
	return answer{status: http.StatusOK, body: view}, nil
}

// session is a browser that a person is or was signed in at.
type session struct {
	ID         string    `json:"sid"`
	State      string    `json:"state"`
	AuthTime   time.Time `json:"auth_time"`
	ACR        string    `json:"acr,omitempty"`
	AMR        []string  `json:"amr,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	RemoteAddr string    `json:"remote_addr,omitempty"`
	UserAgent  string    `json:"user_agent,omitempty"`
}

func listSessions(c *call) (answer, error) {
	u, err := c.user()
	if err != nil {
		return answer{}, err
	}
	p, err := c.page("sessions of " + u.ID)
	if err != nil {
		return answer{}, err
	}
	found, err := c.admin.Sessions(c.Context(), u.ID)
	if err != nil {
		return answer{}, err
	}
	var views []session
	for _, s := range found {
		views = append(views, session{
			s.ID.String(), s.State(c.api.Now(), c.api.SessionIdle), s.AuthTime, s.ACR, s.AMR, s.CreatedAt, s.LastSeenAt, s.ExpiresAt, s.EndedAt, s.RemoteAddr, s.UserAgent,
		})
	}
	sid := func(s session) string { return s.ID }
	return listed(c, p, sorted(views, sid), sid)
}

// consent is what a person allowed a client.
type consent struct {
	ClientID    string    `json:"client_id"`
	Scopes      []string  `json:"scopes"`
	Resources   []string  `json:"resources,omitempty"`
	Remembered  bool      `json:"remembered"`
	GrantedAt   time.Time `json:"granted_at"`
	WithdrawnAt time.Time `json:"withdrawn_at,omitzero"`
}

func listConsents(c *call) (answer, error) {
	u, err := c.user()
	if err != nil {
		return answer{}, err
	}
	p, err := c.page("consents of " + u.ID)
	if err != nil {
		return answer{}, err
	}
	found, err := c.admin.Consents(c.Context(), u.ID)
	if err != nil {
		return answer{}, err
	}
	var views []consent
	for _, g := range found {
		views = append(views, consent{g.ClientID, append([]string{}, g.Scopes...), g.Resources, g.Remembered, g.GrantedAt, g.WithdrawnAt})
	}
	id := func(g consent) string { return g.ClientID }
	return listed(c, p, sorted(views, id), id)
}
