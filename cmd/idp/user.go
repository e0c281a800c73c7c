package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/admin"
	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/users"
)

// userView is a person as printed: the standard claims by their names.
type userView struct {
	Sub      string        `json:"sub"`
	Username string        `json:"username"`
	Password string        `json:"password,omitempty"` // once, when it was made here
	State    idp.UserState `json:"state"`
	idp.Profile
	Attributes idp.Attributes `json:"attributes,omitempty"`
	// UploadedPicture is where the person's own picture is.
	UploadedPicture string `json:"uploaded_picture,omitempty"`
	// DeletionRequestedAt is since when the person wants the account deleted.
	DeletionRequestedAt *time.Time `json:"deletion_requested_at,omitempty"`
	DeletionDueAt       *time.Time `json:"deletion_due_at,omitempty"`
	// AttributeFaults say, of one person, which of them fit no more.
	AttributeFaults []string `json:"attribute_faults,omitempty"`
	HasPassword     bool     `json:"has_password"`
	Groups          []string `json:"groups,omitempty"`
	Roles           []string `json:"roles,omitempty"`
	// Factors are shown of one person alone.
	Factors   *factorsView `json:"factors,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
	UpdatedAt time.Time    `json:"updated_at"`
}

// factorsView is what a person can sign in with besides the password, as printed.
type factorsView struct {
	Passkeys       []factorView `json:"passkeys,omitempty"`
	Authenticators []factorView `json:"authenticators,omitempty"`
	RecoveryCodes  int          `json:"recovery_codes"` // how many are left
}

type factorView struct {
	Name       string     `json:"name"`
	Provider   string     `json:"provider,omitempty"`
	Synced     bool       `json:"synced,omitempty"` // there are copies on other devices
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

func viewFactors(f idp.Factors) *factorsView {
	used := func(at time.Time) *time.Time {
		if at.IsZero() {
			return nil
		}
		return &at
	}
	v := &factorsView{RecoveryCodes: f.RecoveryCodes}
	for _, p := range f.Passkeys {
		v.Passkeys = append(v.Passkeys, factorView{
			Name: p.Name, Provider: users.PasskeyProvider(p.AAGUID), Synced: p.BackupState, CreatedAt: p.CreatedAt, LastUsedAt: used(p.LastUsedAt),
		})
	}
	for _, a := range f.Authenticators {
		v.Authenticators = append(v.Authenticators, factorView{Name: a.Name, CreatedAt: a.CreatedAt, LastUsedAt: used(a.LastUsedAt)})
	}
	return v
}

func (v factorView) String() string {
	text := v.Name
	if v.Provider != "" && v.Provider != v.Name {
		text += " (" + v.Provider + ")"
	}
	if v.LastUsedAt == nil {
		return text + "   never used"
	}
	return text + "   last used " + when(*v.LastUsedAt)
}

func viewUser(u idp.User) userView {
	return userView{
		DeletionRequestedAt: timeIfAny(u.DeletionRequestedAt), DeletionDueAt: timeIfAny(u.DeletionDueAt),
		Sub: u.ID, Username: u.Username, State: u.State, Profile: u.Profile, Attributes: u.Attributes, HasPassword: u.PasswordHash != "",
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt,
	}
}

// timeIfAny is nil for no time.
func timeIfAny(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

func profileFlags(cmd *cobra.Command) *fieldFlags[idp.Profile] {
	type p = idp.Profile
	f := flagsOf[p](cmd)
	f.text("name", "full name", func(p *p) *string { return &p.Name })
	f.text("given-name", "given_name", func(p *p) *string { return &p.GivenName })
	f.text("family-name", "family_name", func(p *p) *string { return &p.FamilyName })
	f.text("middle-name", "middle_name", func(p *p) *string { return &p.MiddleName })
	f.text("nickname", "nickname", func(p *p) *string { return &p.Nickname })
	f.text("preferred-username", "preferred_username", func(p *p) *string { return &p.PreferredUsername })
	f.text("email", "e-mail address", func(p *p) *string { return &p.Email })
	f.truth("email-verified", "the e-mail address is known to be the person's", func(p *p) *bool { return &p.EmailVerified })
	f.text("phone-number", "phone_number", func(p *p) *string { return &p.PhoneNumber })
	f.truth("phone-number-verified", "the phone number is known to be the person's", func(p *p) *bool { return &p.PhoneNumberVerified })
	f.text("profile", "address of a profile page", func(p *p) *string { return &p.Profile })
	f.text("picture", "address of a picture", func(p *p) *string { return &p.Picture })
	f.text("website", "address of a website", func(p *p) *string { return &p.Website })
	f.text("gender", "gender", func(p *p) *string { return &p.Gender })
	f.text("birthdate", "birthdate, YYYY-MM-DD", func(p *p) *string { return &p.Birthdate })
	f.text("zoneinfo", "time zone, like Europe/Paris", func(p *p) *string { return &p.Zoneinfo })
	f.text("locale", "language, like en-US", func(p *p) *string { return &p.Locale })
	f.text("address", "postal address as one text", func(p *p) *string { return &address(p).Formatted })
	f.text("street-address", "address: street and number", func(p *p) *string { return &address(p).StreetAddress })
	f.text("locality", "address: city", func(p *p) *string { return &address(p).Locality })
	f.text("region", "address: state or province", func(p *p) *string { return &address(p).Region })
	f.text("postal-code", "address: postal code", func(p *p) *string { return &address(p).PostalCode })
	f.text("country", "address: country", func(p *p) *string { return &address(p).Country })
	return f
}

// attributeFlags change what an account says beyond the standard claims.
type attributeFlags struct {
	pairs *[]string
	file  *string
}

func addAttributeFlags(cmd *cobra.Command) attributeFlags {
	return attributeFlags{
		pairs: cmd.Flags().StringArray("attribute", nil, "NAME=VALUE: an attribute of accounts.attributes_schema; NAME= takes it away (repeatable)"),
		file:  cmd.Flags().String("attributes-file", "", "JSON object of attributes, - for stdin; null takes one away"),
	}
}

// read returns what the flags change: null for what they take away.
func (f attributeFlags) read(a *app, o *objects) (idp.Attributes, error) {
	changes := idp.Attributes{}
	if len(*f.pairs) > 0 && o.local == nil {
		return nil, usage("--attribute needs the schema, which lies where the server is: with --endpoint, use --attributes-file")
	}
	if *f.file != "" {
		raw, err := a.readInput(*f.file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &changes); err != nil || changes == nil {
			return nil, usage("--attributes-file %s: must hold a JSON object", *f.file)
		}
	}
	for _, pair := range *f.pairs {
		name, typed, ok := strings.Cut(pair, "=")
		switch {
		case !ok || name == "":
			return nil, usage("--attribute %s: must be NAME=VALUE", pair)
		case typed == "":
			changes[name] = json.RawMessage("null")
		default:
			value, err := o.local.attributes.Parse(name, typed)
			if err != nil {
				return nil, err
			}
			changes[name] = value
		}
	}
	return changes, nil
}

// address returns the profile's own address, an empty one if it has none.
func address(p *idp.Profile) *idp.Address {
	var own idp.Address
	if p.Address != nil {
		own = *p.Address
	}
	p.Address = &own
	return p.Address
}

func (a *app) userCommand() *cobra.Command {
	return noun("user", "People who can sign in", append(anywhere(
		a.userCreate(), a.userList(), a.userGet(), a.userUpdate(), a.userSetPassword(),
		a.userVerb("reset-factors", "Take a person's passkeys, authenticators and recovery codes away and end their sessions",
			"has no passkey, authenticator app or recovery code any more; their sessions have ended", userObjects.ResetFactors),
		a.userVerb("remove-picture", "Take away the picture that a person uploaded", "has no uploaded picture any more", userObjects.RemovePicture),
		a.userVerb("disable", "Refuse a person from now on and end what was issued", "disabled", userObjects.DisableUser),
		a.userVerb("lock", "Refuse a person until they chose a new password by a link, and end what was issued", "locked: until a new password is chosen by a link",
			userObjects.LockUser),
		a.userVerb("enable", "Let a disabled or locked person in again", "enabled", userObjects.EnableUser),
		a.userVerb("delete", "Delete a person's account", "deleted", userObjects.DeleteUser)),
		a.userImport(), a.userInvite(), a.userLink())...)
}

func (a *app) userVerb(verb, short, done string, do func(userObjects, context.Context, string) error) *cobra.Command {
	return a.actionOn("user", "USER", verb, short, done, func(ctx context.Context, o *objects, id string) error {
		return do(o, ctx, id)
	})
}

// passwordFlags are the ways to come to a password.
type passwordFlags struct {
	secret   secretFlags
	generate bool
}

func (p *passwordFlags) register(cmd *cobra.Command) {
	p.secret.register(cmd, "password", "the password")
	cmd.Flags().BoolVar(&p.generate, "generate-password", false, "make a password and show it this once")
}

// read returns the password, "" for none, and whether it was made here.
func (p *passwordFlags) read(a *app) (password idp.Secret, made bool, err error) {
	if !p.generate {
		password, err = p.secret.read(a)
		return password, false, err
	}
	if p.secret.stdin || p.secret.file != "" {
		return "", false, usage("--generate-password and a given password exclude each other")
	}
	return newPassword(), true, nil
}

// newPassword returns 100 random bits in four groups that can be typed.
func newPassword() idp.Secret {
	text := randomText()
	return idp.Secret(text[:5] + "-" + text[5:10] + "-" + text[10:15] + "-" + text[15:20])
}

func (a *app) userCreate() *cobra.Command {
	c := &cobra.Command{
		Use:     "create USERNAME",
		Short:   "Create an account for a person",
		Example: "  idp user create alice --name 'Alice Example' --email alice@example.com --generate-password\n  pass show alice | idp user create alice --password-stdin",
		Args:    exactly("USERNAME"),
	}
	flags := profileFlags(c)
	attributes := addAttributeFlags(c)
	var password passwordFlags
	password.register(c)
	var imported secretFlags
	imported.register(c, "password-hash", "the password's hash in another system (argon2, bcrypt, scrypt, pbkdf2, sha-crypt)")
	sub := c.Flags().String("sub", "", "the subject identifier, to keep one from elsewhere (default: a new one)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		in := admin.UserInput{ID: *sub, Username: args[0]}
		if err := flags.apply(&in.Profile); err != nil {
			return err
		}
		var made bool
		var err error
		if in.Password, made, err = password.read(a); err != nil {
			return err
		}
		if in.PasswordHash, err = imported.read(a); err != nil {
			return err
		}
		return a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			changes, err := attributes.read(a, o)
			if err != nil {
				return err
			}
			in.Attributes = idp.Attributes{}.With(changes)
			u, err := o.CreateUser(ctx, in)
			if err != nil {
				return err
			}
			v := viewUser(u)
			if made {
				v.Password = in.Password.Reveal()
			}
			return a.show(v, v.Sub, func(t *table) { userTable(t, v) })
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

func (a *app) userList() *cobra.Command {
	var leaving bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List all people",
		Args:  exactly(),
		RunE: a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			var views []userView
			users, err := o.AllUsers(ctx)
			if err != nil {
				return err
			}
			for _, u := range users {
				if !leaving || !u.DeletionRequestedAt.IsZero() {
					views = append(views, viewUser(u))
				}
			}
			return showList(a, views, func(v userView) string { return v.Sub },
				"There are no users yet. Create one: idp user create --help", func(t *table) {
					t.row("USERNAME", "NAME", "EMAIL", "STATE", "SUB")
					for _, v := range views {
						t.row(v.Username, orDash(v.Name), orDash(v.Email), string(v.State), v.Sub)
					}
				})
		}),
	}
	c.Flags().BoolVar(&leaving, "deletion-requested", false, "those who want their account deleted, and no others")
	a.outputFlags(c)
	return c
}

func (a *app) userGet() *cobra.Command {
	c := &cobra.Command{
		Use:   "get USER",
		Short: "Show one person, by user name or sub",
		Args:  exactly("USER"),
		RunE: a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			u, err := o.User(ctx, args[0])
			if err != nil {
				return err
			}
			m, err := o.Memberships(ctx, u.ID)
			if err != nil {
				return err
			}
			roles, err := o.Roles(ctx)
			if err != nil {
				return err
			}
			factors, err := o.Factors(ctx, u.ID)
			if err != nil {
				return err
			}
			v := viewUser(u)
			if !u.PictureID.IsZero() {
				v.UploadedPicture = o.issuer + "/pictures/" + u.PictureID.String()
			}
			if v.AttributeFaults, err = o.AttributeFaults(ctx, u.ID); err != nil {
				return err
			}
			v.Factors = viewFactors(factors)
			v.Groups, v.Roles = m.Groups, m.EffectiveRoles(roles)
			return a.show(v, v.Sub, func(t *table) { userTable(t, v) })
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) userUpdate() *cobra.Command {
	c := &cobra.Command{
		Use:   "update USER",
		Short: "Change what the flags name, and nothing else",
		Args:  exactly("USER"),
	}
	flags := profileFlags(c)
	attributes := addAttributeFlags(c)
	username := c.Flags().String("username", "", "another user name")
	c.RunE = a.withObjects(func(ctx context.Context, o *objects, args []string) error {
		changes, err := attributes.read(a, o)
		if err != nil {
			return err
		}
		u, err := o.UpdateUser(ctx, args[0], func(change *admin.UserChange) {
			_ = flags.apply(&change.Profile) // texts and truths cannot fail
			if *username != "" {
				change.Username = *username
			}
			change.Attributes = change.Attributes.With(changes)
		})
		if err != nil {
			return err
		}
		v := viewUser(u)
		return a.show(v, v.Sub, func(t *table) { userTable(t, v) })
	})
	a.outputFlags(c)
	return c
}

func (a *app) userSetPassword() *cobra.Command {
	c := &cobra.Command{
		Use:   "set-password USER",
		Short: "Set a person's password and end their sessions",
		Args:  exactly("USER"),
	}
	var password passwordFlags
	password.register(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		text, made, err := password.read(a)
		if err != nil {
			return err
		}
		if text == "" {
			return usage("%s needs --password-stdin, --password-file or --generate-password", cmd.CommandPath())
		}
		return a.withObjects(func(ctx context.Context, o *objects, args []string) error {
			u, err := o.User(ctx, args[0])
			if err != nil {
				return err
			}
			if err := o.SetPassword(ctx, u.ID, text); err != nil {
				return err
			}
			v := struct {
				Sub      string `json:"sub"`
				Username string `json:"username"`
				Password string `json:"password,omitempty"`
			}{Sub: u.ID, Username: u.Username}
			if made {
				v.Password = text.Reveal()
			}
			return a.show(v, v.Sub, func(t *table) {
				t.field("username", v.Username)
				if v.Password != "" {
					t.field("password", v.Password+"   (shown this once)")
				} else {
					t.field("password", "set; their sessions have ended")
				}
			})
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

func (a *app) userInvite() *cobra.Command {
	c := &cobra.Command{
		Use:   "invite",
		Short: "Ask somebody by mail to take over an account, or ask once more",
		Long: "Makes an account that waits for a person and sends a link to its address, good once for seven days, with which they choose\n" +
			"user name and password or passkey. For an address that is invited already it sends another link, which ends the one from before.",
		Example: "  idp user invite --email alice@example.com --group staff",
		Args:    exactly(),
	}
	flags := profileFlags(c)
	attributes := addAttributeFlags(c)
	groups := c.Flags().StringArray("group", nil, "a group that the person is in (repeatable)")
	c.RunE = a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
		var in admin.UserInput
		if err := flags.apply(&in.Profile); err != nil {
			return err
		}
		changes, err := attributes.read(a, d.objects())
		if err != nil {
			return err
		}
		in.Attributes = idp.Attributes{}.With(changes)
		u, err := d.admin.CreateInvited(ctx, in, *groups...)
		if err != nil {
			return err
		}
		if err := d.admin.Invite(ctx, u.ID, ""); err != nil {
			return err
		}
		v := viewUser(u)
		return a.show(v, v.Sub, func(t *table) { userTable(t, v) })
	})
	a.outputFlags(c)
	return c
}

func (a *app) userLink() *cobra.Command {
	c := &cobra.Command{
		Use:   "link USER",
		Short: "Make a link with which a person chooses a new password, once",
		Long: "Makes a link with which a person chooses a new password, once, and prints it: hand it over by a way that nobody else reads.\n" +
			"A reset link works for 15 minutes, a setup link for a day; a newer one of its kind ends it. Second factors stay as they are.",
		Example: "  idp user link alice\n  idp user link alice --kind setup",
		Args:    exactly("USER"),
	}
	kind := c.Flags().String("kind", string(idp.LinkReset), "reset or setup")
	c.RunE = a.withDatabase(func(ctx context.Context, d *database, args []string) error {
		if *kind != string(idp.LinkReset) && *kind != string(idp.LinkSetup) {
			return usage("--kind is reset or setup")
		}
		if d.issuer == "" {
			return usage("the links lead to the issuer: set IDP_ISSUER")
		}
		u, err := d.admin.User(ctx, args[0])
		if err != nil {
			return err
		}
		path, link, err := d.admin.HandOver(ctx, u.ID, idp.LinkKind(*kind))
		if err != nil {
			return err
		}
		v := struct {
			Sub       string    `json:"sub"`
			Username  string    `json:"username"`
			Link      string    `json:"link"`
			ExpiresAt time.Time `json:"expires_at"`
		}{u.ID, u.Username, strings.TrimSuffix(d.issuer, "/") + string(path), link.ExpiresAt}
		return a.show(v, v.Link, func(t *table) {
			t.field("username", v.Username)
			t.field("link", v.Link)
			t.field("works", "once, until "+when(v.ExpiresAt))
		})
	})
	a.outputFlags(c)
	return c
}

// accounts are what a command does about accounts; nothing waits in them.
func (d *database) accounts() *users.Accounts { return d.accountsIn(d.store) }

func (d *database) accountsIn(s *store.Store) *users.Accounts {
	return users.NewAccounts(users.AccountsConfig{Store: s, Sealer: d.master, Hasher: d.hasher, Throttle: s, Now: d.now, Logger: d.logger})
}

func userTable(t *table, v userView) {
	t.field("sub", v.Sub)
	t.field("username", v.Username)
	switch {
	case v.Password != "":
		t.field("password", v.Password+"   (shown this once)")
	case v.State == idp.UserInvited:
	case !v.HasPassword:
		t.field("password", "none: set one with idp user set-password")
	}
	t.field("state", string(v.State))
	t.field("name", v.Name)
	t.field("given_name", v.GivenName)
	t.field("family_name", v.FamilyName)
	t.field("middle_name", v.MiddleName)
	t.field("nickname", v.Nickname)
	t.field("preferred_username", v.PreferredUsername)
	t.field("email", verified(v.Email, v.EmailVerified))
	t.field("phone_number", verified(v.PhoneNumber, v.PhoneNumberVerified))
	t.field("profile", v.Profile.Profile)
	t.field("picture", v.Picture)
	t.field("uploaded_picture", v.UploadedPicture)
	t.field("website", v.Website)
	t.field("gender", v.Gender)
	t.field("birthdate", v.Birthdate)
	t.field("zoneinfo", v.Zoneinfo)
	t.field("locale", v.Locale)
	if a := v.Address; a != nil {
		t.field("address", nonEmpty([]string{strings.Join(strings.Fields(a.Formatted), " "), a.StreetAddress, a.PostalCode, a.Locality, a.Region, a.Country})...)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Attributes)) {
		t.field(name, idp.TextOf(v.Attributes[name]))
	}
	for _, fault := range v.AttributeFaults {
		t.field("fits no more", strings.TrimPrefix(fault, "attributes."))
	}
	t.field("groups", strings.Join(v.Groups, " "))
	t.field("roles", strings.Join(v.Roles, " "))
	if v.Factors != nil {
		for _, p := range v.Factors.Passkeys {
			t.field("passkey", p.String())
		}
		for _, a := range v.Factors.Authenticators {
			t.field("authenticator", a.String())
		}
		if n := v.Factors.RecoveryCodes; n > 0 {
			t.field("recovery_codes", fmt.Sprintf("%d left", n))
		}
	}
	if v.DeletionRequestedAt != nil {
		t.field("deletion asked for", when(*v.DeletionRequestedAt))
	}
	if v.DeletionDueAt != nil {
		t.field("deletion due", when(*v.DeletionDueAt))
	}
	t.field("created_at", when(v.CreatedAt))
	t.field("updated_at", when(v.UpdatedAt))
}

func verified(text string, ok bool) string {
	if text == "" || !ok {
		return text
	}
	return text + "   (verified)"
}

// randomText returns 130 random bits as 26 letters and digits.
func randomText() string { return strings.ToLower(rand.Text()) }
