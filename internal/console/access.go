package console

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// Minter makes tokens that are shown once. Implemented by *tokens.Master.
type Minter interface {
	MintOpaque(t idp.OpaqueToken, salt []byte) string
}

func showAccess(v *visit) error {
	p := v.frame("/console/api-access", "API access")
	p.Lead = "Who may manage this server by its admin API, and who may register clients."
	all, err := v.admin.Clients(v.Context())
	if err != nil {
		return err
	}
	held := map[string][]string{}
	var ids []string
	for _, c := range all {
		for _, scope := range strings.Fields(c.Scope) {
			if idp.IsAdminScope(scope) {
				held[c.ClientID] = append(held[c.ClientID], scope)
			}
		}
		if held[c.ClientID] != nil {
			ids = append(ids, c.ClientID)
		}
	}
	last, since, err := v.admin.LastTokens(v.Context(), ids)
	if err != nil {
		return err
	}
	t := web.ConsoleTable{ID: "clients", Title: "Clients of the admin API", Columns: []string{"Client", "Scopes", "Acts for", "Last token"}, Empty: "No client has a scope of the admin API."}
	for _, c := range all {
		if held[c.ClientID] == nil {
			continue
		}
		name := web.ConsoleCell{Text: c.DisplayName(), To: clientPath(c.ClientID), Note: c.ClientID}
		if name.Note == name.Text {
			name.Note = ""
		}
		switch {
		case c.Disabled:
			name.Badge = web.ConsoleBadge{Text: "Disabled", Tone: "bad"}
		case slices.Contains(held[c.ClientID], idp.ScopeAdmin):
			name.Badge = web.ConsoleBadge{Text: "Everything", Tone: "warn"}
		}
		actsFor := "Administrators"
		if c.HasGrantType(idp.GrantClientCredentials) {
			actsFor = "Itself"
			if c.HasGrantType(idp.GrantAuthorizationCode) {
				actsFor = "Itself and administrators"
			}
		}
		used := plain("Never")
		if at, ok := last[c.ClientID]; ok {
			used = web.ConsoleCell{At: at, Note: v.ago(at)}
		} else if !since.IsZero() {
			used = web.ConsoleCell{Text: "Not lately", Note: "none since " + since.Format(time.DateOnly)}
		}
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{name, code(strings.Join(held[c.ClientID], " ")), plain(actsFor), used}})
	}
	tokens, err := v.initialTokens()
	if err != nil {
		return err
	}
	p.Parts = []web.ConsolePart{t, tokens, v.settings("Clients that register themselves",
		[2]string{"Registration", "registration.mode"}, [2]string{"Scopes that they get", "registration.scope"}, [2]string{"APIs that they may call", "registration.audience"},
		[2]string{"At most", "registration.max_clients"}, [2]string{"In an hour", "registration.per_hour"}, [2]string{"Gone when unused for", "registration.idle_life"},
	)}
	p.Actions = []web.ConsoleLink{{Title: "Make a registration token", To: "/console/new-registration-token", Primary: true}}
	return v.show(p)
}

func (v *visit) initialTokens() (web.ConsoleTable, error) {
	t := web.ConsoleTable{
		ID: "tokens", Title: "Registration tokens", Lead: "Each lets somebody register clients: so often, and until then (RFC 7591).",
		Columns: []string{"Token", "Uses left", "Made", "Good until", "Actions"}, Empty: "There are none.",
	}
	all, err := v.admin.InitialTokens(v.Context())
	for _, token := range all {
		name := web.ConsoleCell{Text: token.Label, Note: token.ID.String()}
		if name.Text == "" {
			name = code(token.ID.String())
		}
		if token.Uses == 0 || !v.console.Now().Before(token.ExpiresAt) {
			name.Badge = web.ConsoleBadge{Text: "Spent"}
		}
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{
			name, plain(strconv.FormatInt(token.Uses, 10)),
			{At: token.CreatedAt},
			{At: token.ExpiresAt},
			{Text: "Delete…", To: "/console/registration-tokens/" + token.ID.String() + "/delete"},
		}})
	}
	return t, err
}

var accessTrail = []web.ConsoleLink{{Title: "API access", To: "/console/api-access"}}

func askInitialToken(v *visit) error {
	p := v.frame("/console/api-access", "Make a registration token")
	p.Trail = accessTrail
	if v.console.Setting("registration.mode").Value == "off" {
		p.Parts = append(p.Parts, web.ConsoleNotice{ID: "off", Tone: "warn", Text: "registration.mode is off: nobody can use it before that is token or open."})
	}
	uses := v.line("uses", "Clients that may be registered", "", "1")
	uses.Kind = web.FieldNumber
	p.Parts = append(p.Parts, web.ConsoleForm{
		ID: "token", To: "/console/new-registration-token", Submit: "Make it", Cancel: "/console/api-access",
		Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{
			v.line("label", "What it is for", "For you to know it again.", ""), uses,
			v.choice("expires", "Good for", "", "7", web.ConsoleOption{Value: "1", Label: "A day"}, web.ConsoleOption{Value: "7", Label: "A week"},
				web.ConsoleOption{Value: "30", Label: "30 days"}, web.ConsoleOption{Value: "366", Label: "A year"}),
			v.tick("verified", "You vouch for its clients", "People are not warned of them.", false),
		}}},
	})
	return v.show(p)
}

// makeInitialToken answers with the page that shows the token: it is nowhere
// else.
func makeInitialToken(v *visit) error {
	uses, err := v.number("uses")
	if err != nil {
		return err
	}
	days, err := v.number("expires")
	if err != nil {
		return err
	}
	vouches := v.form.Get("verified") != ""
	t, err := v.admin.CreateInitialToken(v.Context(), strings.TrimSpace(v.form.Get("label")), uses, time.Duration(min(days, 1000))*24*time.Hour, vouches)
	if err != nil {
		return err
	}
	p := v.frame("/console/api-access", "The token is made")
	p.Trail = accessTrail
	p.Parts = []web.ConsolePart{
		web.ConsoleSecret{
			ID: "secret", Title: "Registration token", Value: v.console.Minter.MintOpaque(t.Opaque(vouches), t.Salt),
			Hint: "It is shown this once. Whoever registers a client sends it as a bearer token.",
		},
		web.ConsoleFacts{ID: "facts", Facts: []web.ConsoleFact{
			{Name: "Clients", Values: []web.ConsoleCell{plain(strconv.FormatInt(t.Uses, 10))}},
			{Name: "Good until", Values: []web.ConsoleCell{{At: t.ExpiresAt}}},
			{Name: "They register at", Values: codes([]string{v.console.Issuer + "/oauth2/register"})},
		}},
	}
	p.Actions = []web.ConsoleLink{{Title: "Done", To: "/console/api-access", Primary: true}}
	return v.show(p)
}

// initialToken is the one that the address names.
func (v *visit) initialToken() (idp.InitialToken, error) {
	all, err := v.admin.InitialTokens(v.Context())
	if err != nil {
		return idp.InitialToken{}, err
	}
	for _, t := range all {
		if t.ID.String() == v.PathValue("token_id") {
			return t, nil
		}
	}
	return idp.InitialToken{}, fmt.Errorf("there is no such registration token: %w", idp.ErrNotFound)
}

func askDeleteInitialToken(v *visit) error {
	t, err := v.initialToken()
	if err != nil {
		return err
	}
	name := t.Label
	if name == "" {
		name = t.ID.String()
	}
	p := v.confirmation("/console/api-access", "Delete the registration token?",
		name+" cannot be used any more. Clients that were registered with it stay.", "Delete", "/console/api-access")
	p.Trail = accessTrail
	return v.show(p)
}

func deleteInitialToken(v *visit) error {
	if err := v.admin.DeleteInitialToken(v.Context(), v.PathValue("token_id")); err != nil {
		return err
	}
	return v.see("/console/api-access", "deleted")
}
