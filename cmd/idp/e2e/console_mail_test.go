package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"idp/internal/mail/mailtest"
)

// Mail in the console: a test that shows what the server says, every message in
// every language, and nothing that runs.
func TestConsole_Mail(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		server := mailtest.New(t, mailtest.Behaviour{Mechanisms: "PLAIN LOGIN", Password: "relay-password-canary"})
		settings := mailing(t, server)
		settings["IDP_MAIL_USERNAME"], settings["IDP_MAIL_PASSWORD"] = "relay", "relay-password-canary"
		w := newConsoleWorld(t, engine, settings)
		sent := w.send(t, "/console/mail", "test", url.Values{"email": {"olga@example.com"}})
		if sent.Status != http.StatusOK || !sent.HasID("dialogue") || strings.Contains(sent.Body, "canary") || !strings.Contains(sent.Body, "olga@example.com") {
			t.Errorf("%d\n%s", sent.Status, sent.Body)
		}
		server.Wait(t, "olga@example.com", 1)
		if a := w.send(t, "/console/mail", "test", url.Values{"email": {"olga"}}); a.Status != http.StatusUnprocessableEntity || !a.HasID("test-email-problem") {
			t.Errorf("an address that is none: %d", a.Status)
		}
		server.Close()
		if a := w.send(t, "/console/mail", "test", url.Values{"email": {"olga@example.com"}}); a.Status != http.StatusUnprocessableEntity || !strings.Contains(a.Body, "It was not sent") {
			t.Errorf("no server: %d\n%s", a.Status, a.Body)
		}
		for _, kind := range []string{"mail.sent", "mail.undelivered"} {
			if a := w.b.Get(t, "/console/audit?kind="+kind+"&target=test&actor="+w.officer.Username); strings.Count(a.Body, ">"+kind+"</a>") != 1 {
				t.Errorf("%s:\n%s", kind, a.Body)
			}
		}

		for _, language := range []string{"en", "de", "fr", "es", "ar"} {
			a := w.b.Get(t, "/console/mail/reset_password?language="+language)
			raw := w.b.Get(t, "/console/mail/reset_password/html?language="+language)
			if a.Status != http.StatusOK || raw.Status != http.StatusOK || !strings.Contains(raw.Body, `lang="`+language+`"`) ||
				!strings.HasSuffix(raw.Header.Get("Content-Security-Policy"), "; sandbox") || strings.Contains(raw.Header.Get("Content-Security-Policy"), "script") {
				t.Errorf("%s: %d, %d %v\n%s", language, a.Status, raw.Status, raw.Header, raw.Body)
			}
		}
		for _, path := range []string{"/console/mail/none", "/console/mail/none/html", "/console/unsent-mail/none", "/console/unsent-mail/AAAAAAAAAAAAAAAAAAAAAA"} {
			if a := w.b.Get(t, path); a.Status != http.StatusNotFound {
				t.Errorf("%s: %d", path, a.Status)
			}
		}
	})
}

// Without a mail server messages are read here, and the audit says by whom. The
// rest of what the server is set to stands beside, and who may use the admin API
// and register clients.
func TestConsole_Server(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, map[string]string{
			"IDP_REGISTRATION_MODE": "token", "IDP_PAGES_ACCENT": "#7a1f5c",
		})
		w.CLI(t, "", "user", "invite", "--email", "ines@example.com")
		waiting := w.letters(t)[0].ID
		page := w.b.Get(t, "/console/mail")
		if !page.HasID("no-server") || page.HasID("test") || !strings.Contains(page.Body, "ines@example.com") || strings.Contains(page.Body, "/invitation?link=") {
			t.Errorf("%s", page.Body)
		}
		if a := w.b.Get(t, "/console/unsent-mail/"+waiting); a.Status != http.StatusOK || !strings.Contains(a.Body, "/invitation?link=") {
			t.Errorf("%d\n%s", a.Status, a.Body)
		}
		if a := w.b.Get(t, "/console/audit?kind=mail.shown&actor="+w.officer.Username); strings.Count(a.Body, ">mail.shown</a>") != 1 {
			t.Errorf("nobody knows who read it:\n%s", a.Body)
		}
		w.staleSignIns(t, w.officer)
		w.b.Get(t, "/console/unsent-mail/"+waiting).wantLogin(t)
		w.b.Login(t, w.b.Get(t, "/console/fresh"), w.officer.Username, w.officer.Password)

		if a := w.b.Get(t, "/console/branding"); !strings.Contains(a.Body, `fill="#7a1f5c"`) || !strings.Contains(a.Body, "IDP_PAGES_DIRECTORY") || !strings.Contains(a.Body, "Deutsch") {
			t.Errorf("%s", a.Body)
		}

		// Who uses the admin API, and when they last did.
		unused := w.NewClient(t, "--grant-type", "client_credentials", "--audience", w.Issuer+"/admin", "--scope", "idp.users.read")
		used := w.NewClient(t, "--grant-type", "client_credentials", "--audience", w.Issuer+"/admin", "--scope", "idp.admin")
		other := w.WebClient(t)
		Settle()
		w.Post(t, "/oauth2/token", used, url.Values{"grant_type": {"client_credentials"}}).Tokens(t)
		table := w.b.Get(t, "/console/api-access")
		row := func(id string) string {
			_, after, _ := strings.Cut(table.Body, `href="/console/clients/`+id+`"`)
			row, _, _ := strings.Cut(after, "</tr>")
			return row
		}
		if r := row(unused.ID); !strings.Contains(r, "idp.users.read") || !strings.Contains(r, "Never") {
			t.Errorf("the client that was not used: %s", r)
		}
		if r := row(used.ID); !strings.Contains(r, "Everything") || !strings.Contains(r, "just now") {
			t.Errorf("the client that was used: %s", r)
		}
		if row(other.ID) != "" {
			t.Error("a client without such a scope")
		}

		// A registration token is shown once, and works until it is deleted.
		wrong := w.send(t, "/console/new-registration-token", "token", url.Values{"label": {"shop"}, "uses": {"0"}, "expires": {"7"}})
		if wrong.Status != http.StatusUnprocessableEntity || !wrong.HasID("token-uses-problem") || !strings.Contains(wrong.Body, `value="shop"`) {
			t.Errorf("%d\n%s", wrong.Status, wrong.Body)
		}
		made := w.b.Submit(t, wrong, wrong.Form(t, "token"), url.Values{"uses": {"2"}, "expires": {"7"}})
		if made.Status != http.StatusOK || made.URL.RawQuery != "" {
			t.Fatalf("%d at %s\n%s", made.Status, made.URL, made.Body)
		}
		token := strings.TrimSpace(made.element(t, "secret").FirstChild.Data)
		register := func() *Answer {
			return w.JSONRequest(t, http.MethodPost, w.Issuer+"/oauth2/register", token, map[string]any{"redirect_uris": []string{"https://shop.example/callback"}})
		}
		if a := register(); a.Status != http.StatusCreated {
			t.Errorf("the token: %d %s", a.Status, a.Body)
		}
		list := w.b.Get(t, "/console/api-access")
		if !strings.Contains(list.Body, "shop") || strings.Contains(list.Body, token) {
			t.Errorf("%s", list.Body)
		}
		_, after, _ := strings.Cut(list.Body, `href="/console/registration-tokens/`)
		path, _, _ := strings.Cut(after, `"`)
		wantPage(t, w.send(t, "/console/registration-tokens/"+path, "confirm", nil), http.StatusOK, "/console/api-access")
		if a := register(); a.Status != http.StatusUnauthorized {
			t.Errorf("a deleted token: %d", a.Status)
		}
		w.wantQuiet(t, token)
	})
}
