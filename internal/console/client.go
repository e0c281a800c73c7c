package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"idp/internal/admin"
	"idp/internal/idp"
	"idp/web"
)

// kinds are what sorts of applications there are.
var kinds = []struct{ name, title string }{
	{"web", "Web application"},
	{"spa", "Single-page application"},
	{"native", "Mobile or desktop app"},
	{"service", "Service"},
	{"other", "Other"},
}

// kindOf says what sort of application a client is, by what it was registered
// with.
func kindOf(c *idp.Client) string {
	switch {
	case !c.HasGrantType(idp.GrantAuthorizationCode) && c.HasGrantType(idp.GrantClientCredentials):
		return "service"
	case !c.HasGrantType(idp.GrantAuthorizationCode):
		return "other"
	case c.ApplicationType == idp.ApplicationNative:
		return "native"
	case c.Public():
		return "spa"
	}
	return "web"
}

func kindTitle(kind string) string {
	for _, k := range kinds {
		if k.name == kind {
			return k.title
		}
	}
	return "Other"
}

// clientPath is the address of a client's pages. The server takes one spelling.
func clientPath(id string) string {
	return "/console/clients/" + strings.ReplaceAll(url.QueryEscape(id), "+", "%20")
}

func listClients(v *visit) error {
	p := v.frame("/console/clients", "Clients")
	p.Lead = "Applications and services that people sign in to, or that ask for tokens."
	p.Actions = []web.ConsoleLink{{Title: "Register a client", To: "/console/new-client", Primary: true}}
	all, err := v.admin.Clients(v.Context())
	if err != nil {
		return err
	}
	query := v.URL.Query()
	search, kind := query.Get("search"), query.Get("kind")
	all = slices.DeleteFunc(all, func(c idp.Client) bool {
		return !matches(search, c.ClientID, c.ClientName) || kind != "" && kindOf(&c) != kind
	})
	part, next := pageOf(v, "/console/clients", all, func(c idp.Client) string { return c.ClientID })
	t := web.ConsoleTable{ID: "clients", Columns: []string{"Name", "Kind", "Client ID", "Registered"}, Next: next, Empty: "There are no clients yet."}
	options := []web.ConsoleOption{{Label: "All kinds"}}
	for _, k := range kinds {
		options = append(options, web.ConsoleOption{Value: k.name, Label: k.title})
	}
	t.Search = &web.ConsoleSearch{To: "/console/clients", Active: search+kind != "", Fields: []web.ConsoleField{
		{Kind: web.FieldSearch, Name: "search", Label: "Name or client ID", Value: search},
		{Kind: web.FieldSelect, Name: "kind", Label: "Kind", Value: kind, Options: options},
	}}
	if t.Search.Active {
		t.Empty = "No client is like that."
	}
	for _, c := range part {
		name := web.ConsoleCell{Text: c.DisplayName(), To: clientPath(c.ClientID)}
		if badges := clientBadges(&c); len(badges) > 0 {
			name.Badge = badges[0]
		}
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{name, plain(kindTitle(kindOf(&c))), code(c.ClientID), {At: c.CreatedAt}}})
	}
	p.Parts = []web.ConsolePart{t}
	return v.show(p)
}

func clientBadges(c *idp.Client) (badges []web.ConsoleBadge) {
	if c.Disabled {
		badges = append(badges, web.ConsoleBadge{Text: "Disabled", Tone: "bad"})
	}
	if c.Unverified() {
		badges = append(badges, web.ConsoleBadge{Text: "Registered itself", Tone: "warn"})
	}
	return badges
}

// client is the one that the address names.
func (v *visit) client() (idp.Client, error) {
	return v.admin.Client(v.Context(), v.PathValue("client_id"))
}

func clientTrail(c *idp.Client) []web.ConsoleLink {
	return []web.ConsoleLink{{Title: "Clients", To: "/console/clients"}, {Title: c.DisplayName(), To: clientPath(c.ClientID)}}
}

// clientPage is a page of the client, one of its tabs.
func (v *visit) clientPage(c *idp.Client, tab string) web.ConsolePage {
	p := v.frame("/console/clients", c.DisplayName())
	p.Trail = clientTrail(c)[:1]
	p.Badges = clientBadges(c)
	at := clientPath(c.ClientID)
	add := func(title, part string) {
		to := at
		if part != "" {
			to += "/" + part
		}
		p.Tabs = append(p.Tabs, web.ConsoleLink{Title: title, To: to, Current: part == tab})
	}
	add("Overview", "")
	add("Settings", "settings")
	if !c.Public() {
		add("Secrets", "secrets")
	}
	if c.HasGrantType(idp.GrantAuthorizationCode) {
		add("Claims", "claims")
	}
	add("Snippets", "snippets")
	add("Score", "score")
	add("Try it", "try")
	add("JSON", "json")
	return p
}

func showClient(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	p := v.clientPage(&c, "")
	at := clientPath(c.ClientID)
	if c.Unverified() {
		p.Parts = append(p.Parts, web.ConsoleNotice{
			Tone: "warn", Text: "It registered itself, and people are told that nobody here vouches for it.", To: &web.ConsoleLink{Title: "Look at its settings", To: at + "/settings"},
		})
	}
	facts := web.ConsoleFacts{ID: "overview", Facts: []web.ConsoleFact{
		{Name: "Client ID", Values: []web.ConsoleCell{code(c.ClientID)}},
		{Name: "Kind", Values: []web.ConsoleCell{plain(kindTitle(kindOf(&c)))}},
		{Name: "Authentication", Values: []web.ConsoleCell{code(c.TokenEndpointAuthMethod)}},
		{Name: "Grants", Values: codes(c.GrantTypes)},
		{Name: "Redirect URIs", Values: codes(c.RedirectURIs)},
		{Name: "Scopes", Values: codes(c.Scopes())},
		{Name: "APIs", Values: codes(c.Audience)},
		{Name: "Who may sign in", Values: codes(c.AllowedGroups), Hint: "Groups; none is everybody."},
		{Name: "Registered", Values: []web.ConsoleCell{{At: c.CreatedAt}}},
		{Name: "Changed", Values: []web.ConsoleCell{{At: c.UpdatedAt}}},
	}}
	if c.Logo != "" {
		facts.Facts = append(facts.Facts, web.ConsoleFact{Name: "Picture", Values: []web.ConsoleCell{{Text: "Uploaded", To: "/logos/" + c.Logo}}})
	}
	if !c.TokensValidAfter.IsZero() {
		facts.Facts = append(facts.Facts, web.ConsoleFact{Name: "Tokens are good since", Values: []web.ConsoleCell{{At: c.TokensValidAfter}}, Hint: "What was issued before is dead."})
	}
	switching := web.ConsoleLink{Title: "Disable…", To: at + "/disable", Danger: true}
	if c.Disabled {
		switching = web.ConsoleLink{Title: "Enable…", To: at + "/disable"}
	}
	p.Parts = append(p.Parts, facts, web.ConsoleText{
		ID: "ends", Title: "Stop it", Paragraphs: []string{"Disabling refuses it everything until it is enabled again. Ending its tokens leaves it working: people sign in anew. Deleting is for good."},
		Links: []web.ConsoleLink{switching, {Title: "End its tokens…", To: at + "/revoke", Danger: true}, {Title: "Delete…", To: at + "/delete", Danger: true}},
	})
	return v.show(p)
}

func showClientSettings(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	p := v.clientPage(&c, "settings")
	if c.MetadataDocument {
		p.Parts = append(p.Parts, web.ConsoleNotice{Tone: "warn", Text: "All of this is read from the document at its client ID, and read again: what is changed here is changed back."})
	}
	p.Parts = append(p.Parts, web.ConsoleForm{
		ID: "settings", To: clientPath(c.ClientID) + "/settings", Hidden: []web.Field{{Name: "seen", Value: v.typed("seen", seen(&c))}},
		Groups: shown(v, clientGroups(), &c.ClientMetadata), Submit: "Save", Cancel: clientPath(c.ClientID),
	})
	p.Parts = append(p.Parts, logoForm(&c))
	return v.show(p)
}

// seen marks what the form was filled with, so that nobody undoes unseen what
// somebody else changed.
func seen(c *idp.Client) string { return strconv.FormatInt(c.UpdatedAt.UnixMicro(), 10) }

var errMeanwhile = fmt.Errorf("the client was changed meanwhile: open the page anew, and change it there: %w", idp.ErrConflict)

func saveClientSettings(v *visit) error {
	c, err := v.admin.ChangeClient(v.Context(), v.PathValue("client_id"), func(c *idp.Client) error {
		if v.form.Get("seen") != seen(c) {
			return errMeanwhile
		}
		return read(v, clientGroups(), &c.ClientMetadata)
	})
	if err != nil {
		return err
	}
	return v.see(clientPath(c.ClientID)+"/settings", "saved")
}

const logoField = "logo"

func logoForm(c *idp.Client) web.ConsoleForm {
	f := web.ConsoleForm{
		ID: "logo-form", Title: "Picture", To: clientPath(c.ClientID) + "/logo", Upload: true, Submit: "Upload",
		Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{{
			Kind: web.FieldFile, Name: logoField, Label: "A picture for the pages that people see", Accept: "image/png,image/jpeg,image/webp",
			Hint: fmt.Sprintf("PNG, JPEG or WebP, at most %d KiB and 1024 pixels each way.", admin.MaxLogo>>10),
		}}}},
	}
	if c.Logo != "" {
		f.Buttons = []web.Field{{Name: "remove", Value: "Remove the picture"}}
	}
	return f
}

func showClientLogo(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	p := v.clientPage(&c, "settings")
	p.Parts = []web.ConsolePart{logoForm(&c)}
	return v.show(p)
}

func saveClientLogo(v *visit) error {
	picture := []byte(v.form.Get(logoField))
	if v.form.Get("action") == "remove" {
		picture = nil
	} else if len(picture) == 0 {
		return idp.Invalid(logoField, "is missing: choose a file")
	}
	if _, err := v.admin.SetClientLogo(v.Context(), v.PathValue("client_id"), picture); err != nil {
		return err
	}
	return v.see(clientPath(v.PathValue("client_id"))+"/settings", "saved")
}

func showClientSecrets(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	p := v.clientPage(&c, "secrets")
	if c.TokenEndpointAuthMethod == idp.AuthPrivateKeyJWT || c.Public() {
		p.Parts = []web.ConsolePart{web.ConsoleNotice{Text: "It has no secret: it authenticates by " + c.TokenEndpointAuthMethod + "."}}
		return v.show(p)
	}
	t := web.ConsoleTable{ID: "secrets", Lead: "Two live side by side while one is replaced. What they are is not kept.", Columns: []string{"Secret", "Made", "Ends"}, Empty: "It has no secret."}
	for _, s := range c.Secrets {
		row := []web.ConsoleCell{code("…" + s.ID.String()[max(0, len(s.ID.String())-6):]), {At: s.CreatedAt}, plain("Never")}
		if !s.ExpiresAt.IsZero() {
			row[2] = web.ConsoleCell{At: s.ExpiresAt}
			if !s.ExpiresAt.After(v.console.Now()) {
				row[0].Badge = web.ConsoleBadge{Text: "Ended"}
			}
		}
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: row})
	}
	p.Parts = []web.ConsolePart{t, web.ConsoleText{
		ID: "rotate", Title: "Replace it", Paragraphs: []string{"A new secret is made and shown once. The old one goes on for as long as you say, so that nothing stands still."},
		Links: []web.ConsoleLink{{Title: "Make a new secret…", To: clientPath(c.ClientID) + "/rotate", Danger: true}},
	}}
	return v.show(p)
}

func askRotate(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	p := v.confirmation("/console/clients", "Make a new secret for "+c.DisplayName()+"?", "The new one is shown once.", "Make a new secret", clientPath(c.ClientID)+"/secrets",
		v.choice("grace", "The old one works", "", "24h", []web.ConsoleOption{
			{Value: "0s", Label: "No longer"}, {Value: "1h", Label: "One hour more"}, {Value: "24h", Label: "One day more"}, {Value: "168h", Label: "One week more"}, {Value: "720h", Label: "30 days more"},
		}...))
	p.Trail = clientTrail(&c)
	return v.show(p)
}

func rotateSecret(v *visit) error {
	grace, err := time.ParseDuration(v.form.Get("grace"))
	if err != nil {
		return idp.Invalid("grace", "is none of these")
	}
	c, err := v.client()
	if err != nil {
		return err
	}
	secret, err := v.admin.RotateSecret(v.Context(), c.ClientID, grace)
	if err != nil {
		return err
	}
	p := v.frame("/console/clients", "A new secret for "+c.DisplayName())
	p.Trail = clientTrail(&c)
	p.Done = "Made."
	p.Parts = []web.ConsolePart{theSecret(secret), web.ConsoleText{Links: []web.ConsoleLink{{Title: "Back to the secrets", To: clientPath(c.ClientID) + "/secrets"}}}}
	return v.show(p)
}

func askDisableClient(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	title, question, submit := "Disable "+c.DisplayName()+"?", "It is refused everything, and everything that it was issued stops working at once. It can be enabled again.", "Disable"
	if c.Disabled {
		title, question, submit = "Enable "+c.DisplayName()+"?", "It works again. What it was issued before stays dead.", "Enable"
	}
	p := v.confirmation("/console/clients", title, question, submit, clientPath(c.ClientID))
	p.Trail = clientTrail(&c)
	form := p.Parts[0].(web.ConsoleForm)
	form.Hidden = []web.Field{{Name: "disabled", Value: v.typed("disabled", strconv.FormatBool(!c.Disabled))}}
	form.Danger = !c.Disabled
	p.Parts[0] = form
	return v.show(p)
}

func disableClient(v *visit) error {
	turn := v.admin.EnableClient
	if v.form.Get("disabled") != "false" {
		turn = v.admin.DisableClient
	}
	if err := turn(v.Context(), v.PathValue("client_id")); err != nil {
		return err
	}
	return v.see(clientPath(v.PathValue("client_id")), "saved")
}

func askRevokeClient(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	p := v.confirmation("/console/clients", "End the tokens of "+c.DisplayName()+"?",
		"Every token and code that it was issued until now stops working. People have to sign in to it anew.", "End its tokens", clientPath(c.ClientID))
	p.Trail = clientTrail(&c)
	return v.show(p)
}

func revokeClient(v *visit) error {
	if err := v.admin.RevokeClientTokens(v.Context(), v.PathValue("client_id")); err != nil {
		return err
	}
	return v.see(clientPath(v.PathValue("client_id")), "ended")
}

func askDeleteClient(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	p := v.confirmation("/console/clients", "Delete "+c.DisplayName()+"?",
		"Nobody can sign in to it any more, and everything that it was issued stops working at once. Nothing brings it back.", "Delete", clientPath(c.ClientID))
	p.Trail = clientTrail(&c)
	return v.show(p)
}

func deleteClient(v *visit) error {
	if err := v.admin.DeleteClient(v.Context(), v.PathValue("client_id")); err != nil {
		return err
	}
	return v.see("/console/clients", "deleted")
}

// clientDocument is a client in the names of RFC 7591, as it can be written.
type clientDocument struct {
	ClientID string `json:"client_id"`
	idp.ClientMetadata
}

func showClientJSON(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	there, err := json.MarshalIndent(clientDocument{c.ClientID, c.ClientMetadata}, "", "  ")
	if err != nil {
		return err
	}
	p := v.clientPage(&c, "json")
	f := v.line("document", "Metadata", "In the names of RFC 7591, and this server's own.", string(there))
	f.Kind, f.Rows = web.FieldCode, min(40, strings.Count(f.Value, "\n")+3)
	p.Parts = []web.ConsolePart{web.ConsoleForm{
		ID: "json", Lead: "What is saved takes the place of all that there is: what is left out is gone.", To: clientPath(c.ClientID) + "/json",
		Hidden: []web.Field{{Name: "seen", Value: v.typed("seen", seen(&c))}},
		Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{f}}}, Submit: "Replace", Cancel: clientPath(c.ClientID),
	}}
	return v.show(p)
}

func saveClientJSON(v *visit) error {
	var in clientDocument
	decoder := json.NewDecoder(strings.NewReader(v.form.Get("document")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return idp.Invalid("document", "cannot be read: "+strings.TrimPrefix(err.Error(), "json: "))
	}
	if decoder.More() {
		return idp.Invalid("document", "has something behind its end")
	}
	_, err := v.admin.ChangeClient(v.Context(), v.PathValue("client_id"), func(c *idp.Client) error {
		switch {
		case v.form.Get("seen") != seen(c):
			return errMeanwhile
		case in.ClientID != "" && in.ClientID != c.ClientID:
			return idp.Invalid("document", "has another client_id than the page")
		}
		in.SelfRegistered, in.MetadataDocument, in.SoftwareStatement = c.SelfRegistered, c.MetadataDocument, c.SoftwareStatement
		c.ClientMetadata = in.ClientMetadata
		return nil
	})
	var fault *idp.InvalidError
	if errors.As(err, &fault) {
		var lines []string
		for _, f := range idp.Faults(err) {
			if f.Field == "document" {
				return err
			}
			lines = append(lines, f.Error())
		}
		return idp.Invalid("document", strings.Join(lines, "; "))
	}
	if err != nil {
		return err
	}
	return v.see(clientPath(v.PathValue("client_id"))+"/json", "saved")
}

// tryClient shows how to sign in to the client. It asks for nothing itself: the
// answer would go to the client, which did not ask.
func tryClient(v *visit) error {
	c, err := v.client()
	if err != nil {
		return err
	}
	p := v.clientPage(&c, "try")
	if c.Disabled {
		p.Parts = append(p.Parts, web.ConsoleNotice{Tone: "bad", Text: "It is disabled: whatever it asks for is refused."})
	}
	if !c.HasGrantType(idp.GrantAuthorizationCode) {
		p.Parts = append(p.Parts, web.ConsoleCode{
			ID: "curl", Title: "A token of its own", Lead: "Ask for one from where the secret is: curl asks for it, so that it stands in no history.",
			Text: "curl -sS -u " + shellWord(url.QueryEscape(c.ClientID)) + " -d grant_type=client_credentials " + shellWord(v.console.Issuer+"/oauth2/token"),
		})
		return v.show(p)
	}
	p.Parts = append(p.Parts, web.ConsoleCode{
		ID: "command", Title: "A real sign-in, from your terminal", Lead: "It opens the browser, and prints what is in the tokens. For a client whose redirect URI is on loopback.",
		Text: "idp token get --issuer " + shellWord(v.console.Issuer) + " --client " + shellWord(c.ClientID),
	})
	for i, redirect := range c.RedirectURIs {
		request := url.Values{
			"response_type": {"code"}, "client_id": {c.ClientID}, "redirect_uri": {redirect}, "scope": {c.Scope}, "state": {"try"},
			// The challenge of RFC 7636 appendix B: nobody redeems this code.
			"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
		}
		p.Parts = append(p.Parts, web.ConsoleText{
			ID: "request-" + strconv.Itoa(i), Title: "The sign-in, as people see it", Paragraphs: []string{"Ends at " + redirect + ", with an answer that the application refuses, because it did not ask."},
			Links: []web.ConsoleLink{{Title: "Begin the sign-in", To: "/oauth2/auth?" + request.Encode()}},
		})
	}
	return v.show(p)
}

// shellWord writes a text as one word of a POSIX shell.
func shellWord(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
