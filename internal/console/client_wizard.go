package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"idp/internal/admin"
	"idp/internal/idp"
	"idp/web"
)

// kind is a sort of application, and what it is registered with.
type kind struct {
	name, title, text string
	hint              string // about its redirect URIs
	metadata          idp.ClientMetadata
	fields            []clientField
}

const signInScopes = "openid profile email"

// wizardKinds are the sorts of applications that the wizard knows.
func wizardKinds() []kind {
	person := []string{idp.GrantAuthorizationCode, idp.GrantRefreshToken}
	signIn := []clientField{nameField, redirectField, afterLogoutField, audienceOf(audiencesOfOthers), scopeField(scopesOf), skipField}
	return []kind{
		{
			"web", "Web application", "It runs on a server, and keeps a secret there.", "Such as https://app.example.com/callback.",
			idp.ClientMetadata{TokenEndpointAuthMethod: idp.AuthClientSecretBasic, GrantTypes: person, Scope: signInScopes},
			signIn,
		},
		{
			"spa", "Single-page application", "It runs in the browser, and keeps no secret. Its scripts may call the token endpoint.", "Such as https://app.example.com/. Their origins may call the token endpoint.",
			idp.ClientMetadata{TokenEndpointAuthMethod: idp.AuthNone, GrantTypes: person, Scope: signInScopes},
			signIn,
		},
		{
			"native", "Mobile or desktop app", "It is installed on people's devices, and keeps no secret.", "An address that the app claims, its own scheme (com.example.app:/callback), or http://127.0.0.1/callback for any port.",
			idp.ClientMetadata{TokenEndpointAuthMethod: idp.AuthNone, ApplicationType: idp.ApplicationNative, GrantTypes: person, Scope: signInScopes + " offline_access"},
			signIn,
		},
		{
			"service", "Service", "It calls an API as itself: no person is there.", "",
			idp.ClientMetadata{TokenEndpointAuthMethod: idp.AuthClientSecretBasic, GrantTypes: []string{idp.GrantClientCredentials}},
			[]clientField{nameField, audienceField, scopeField(scopesOfServices)},
		},
	}
}

func chooseKind(v *visit) error {
	p := v.frame("/console/clients", "Register a client")
	p.Trail = []web.ConsoleLink{{Title: "Clients", To: "/console/clients"}}
	list := web.ConsoleChoices{ID: "kinds", Lead: "What is it?"}
	for _, k := range wizardKinds() {
		list.Choices = append(list.Choices, web.ConsoleChoice{Title: k.title, Text: k.text, To: "/console/new-client/" + k.name})
	}
	p.Parts = []web.ConsolePart{list}
	return v.show(p)
}

// kind is the one that the address names.
func (v *visit) kind() (kind, error) {
	kinds := wizardKinds()
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == v.PathValue("kind") })
	if i < 0 {
		return kind{}, &refusal{http.StatusNotFound, "There is no such kind of application.", nil}
	}
	return kinds[i], nil
}

func askNewClient(v *visit) error {
	k, err := v.kind()
	if err != nil {
		return err
	}
	p := v.frame("/console/clients", "Register a client: "+strings.ToLower(k.title[:1])+k.title[1:])
	p.Trail = []web.ConsoleLink{{Title: "Clients", To: "/console/clients"}, {Title: "Register a client", To: "/console/new-client"}}
	groups := shown(v, []clientGroup{{fields: k.fields}}, &k.metadata)
	for i := range groups[0].Fields {
		switch f := &groups[0].Fields[i]; f.Name {
		case "client_name":
			f.Required = true
		case "redirect_uris":
			f.Hint, f.Required = f.Hint+" "+k.hint, true
		}
	}
	groups = append(groups, web.ConsoleGroup{Title: "Its identifier", Folded: true, Fields: []web.ConsoleField{
		v.line("client_id", "Client ID", "Letters, digits and . _ ~ -. Empty makes one.", ""),
	}})
	p.Parts = []web.ConsolePart{web.ConsoleForm{
		ID: "client", To: "/console/new-client/" + k.name, Groups: groups, Submit: "Register", Cancel: "/console/clients",
	}}
	return v.show(p)
}

func registerClient(v *visit) error {
	k, err := v.kind()
	if err != nil {
		return err
	}
	m := k.metadata
	if err := read(v, []clientGroup{{fields: k.fields}}, &m); err != nil {
		return err
	}
	if k.name == "spa" {
		m.AllowedCORSOrigins = origins(m.RedirectURIs)
	}
	if !slices.Contains(strings.Fields(m.Scope), idp.ScopeOfflineAccess) {
		m.GrantTypes = slices.DeleteFunc(slices.Clone(m.GrantTypes), func(g string) bool { return g == idp.GrantRefreshToken })
	}
	c, secret, err := v.admin.CreateClient(v.Context(), admin.ClientInput{ClientID: strings.TrimSpace(v.form.Get("client_id")), ClientMetadata: m})
	if err != nil {
		return err
	}
	return showNewClient(v, c, secret)
}

// showNewClient is the answer to the form itself: the secret is there once, and
// in no address.
func showNewClient(v *visit, c idp.Client, secret idp.Secret) error {
	v.status = http.StatusCreated
	p := v.frame("/console/clients", c.DisplayName()+" is registered")
	p.Trail = []web.ConsoleLink{{Title: "Clients", To: "/console/clients"}}
	p.Done = "Registered."
	facts := web.ConsoleFacts{ID: "created", Facts: []web.ConsoleFact{
		{Name: "Client ID", Values: []web.ConsoleCell{code(c.ClientID)}},
		{Name: "Issuer", Values: []web.ConsoleCell{code(v.console.Issuer)}},
		{Name: "Kind", Values: []web.ConsoleCell{plain(kindTitle(kindOf(&c)))}},
	}}
	if len(c.RedirectURIs) > 0 {
		facts.Facts = append(facts.Facts, web.ConsoleFact{Name: "Redirect URIs", Values: codes(c.RedirectURIs)})
	}
	if c.Scope != "" {
		facts.Facts = append(facts.Facts, web.ConsoleFact{Name: "Scopes", Values: []web.ConsoleCell{code(c.Scope)}})
	}
	if secret != "" {
		p.Parts = append(p.Parts, theSecret(secret))
	}
	p.Parts = append(p.Parts, facts, web.ConsoleChoices{ID: "next", Title: "What next?", Choices: []web.ConsoleChoice{
		{Title: "Put it into the application", Text: "Texts to paste, for the stack that you use.", To: clientPath(c.ClientID) + "/snippets"},
		{Title: "Look at its settings", Text: fmt.Sprintf("%d fields, with good values.", fieldCount()), To: clientPath(c.ClientID) + "/settings"},
		{Title: "Register another", Text: "An application or a service.", To: "/console/new-client"},
	}})
	return v.show(p)
}

func fieldCount() int {
	count := 0
	for _, g := range clientGroups() {
		count += len(g.fields)
	}
	return count
}

func theSecret(secret idp.Secret) web.ConsoleSecret {
	return web.ConsoleSecret{
		ID: "client-secret", Title: "Client secret", Value: secret.Reveal(),
		Hint: "It is shown this once: only a hash of it is kept. Put it where the application reads it, not into its source.",
	}
}
