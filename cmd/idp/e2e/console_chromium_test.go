package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// From a fresh installation to somebody who signs in to an application that was
// registered in the console, at a browser.
func TestChromium_Console(t *testing.T) {
	t.Parallel()
	checker := axe(t)
	browser := chromium(t)
	inst := Install(t, "sqlite", map[string]string{"IDP_TRUSTED_PROXIES": ""})
	inst.CLI(t, "", "migrate", "up")
	api := inst.NewResource(t, []string{"notes:read=Read your notes", "notes:write=Change your notes"}, "--name", "Notes API")
	node := inst.Start(t)

	// The application: it signs people in and says who they are.
	var provider *oidc.Provider
	var conf oauth2.Config
	state, verifier := Token(), oauth2.GenerateVerifier()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, conf.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier)), http.StatusFound)
	})
	mux.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
		token, err := conf.Exchange(r.Context(), r.URL.Query().Get("code"), oauth2.VerifierOption(verifier))
		if err != nil || r.URL.Query().Get("state") != state {
			http.Error(w, "no token", http.StatusBadGateway)
			return
		}
		raw, _ := token.Extra("id_token").(string)
		verified, err := provider.Verifier(&oidc.Config{ClientID: conf.ClientID}).Verify(r.Context(), raw)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Notes</title><main><h1 id="hello">Hello ` + url.PathEscape(verified.Subject) + `</h1></main>`))
	})
	app := httptest.NewServer(mux)
	t.Cleanup(app.Close)
	at, _ := url.Parse(app.URL)

	// 1. The link of the first administrator.
	b := newTab(t, browser, true)
	b.open(inst.adminLink(t))
	b.seenAs("console-1-link", checker, looks[:1])
	b.do(chromedp.SendKeys(chromedp.ID("name"), "Ada Admin"), chromedp.SendKeys(chromedp.ID("username"), "ada"), chromedp.SendKeys(chromedp.ID("password"), newPassword))
	b.press("invitation-submit", http.StatusOK)
	b.at("/console")
	b.seen("console-2-home", checker)
	b.clean("home")
	b.has("steps", "Register an application")

	// 2. An application, by the wizard.
	b.open(inst.Issuer + "/console/new-client/web")
	b.do(chromedp.SendKeys(chromedp.ID("client-client_name"), "Notes"), chromedp.SendKeys(chromedp.ID("client-redirect_uris"), "http://127.0.0.1:"+at.Port()+"/callback"))
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[name='audience.` + api + `']").click(), document.querySelector("[name='scope.notes:read']").click(), undefined`))
	b.seenAs("console-3-wizard", checker, looks[:1])
	b.press("client-submit", http.StatusCreated)
	b.seenAs("console-4-created", checker, looks[:1])
	conf = oauth2.Config{ClientSecret: b.text("client-secret"), RedirectURL: "http://127.0.0.1:" + at.Port() + "/callback", Scopes: []string{oidc.ScopeOpenID, "profile", "notes:read"}}
	id, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector("#created code").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	conf.ClientID = id
	b.clean("wizard")

	// 3. Its pages.
	for i, page := range []string{"", "/settings", "/snippets", "/claims", "/score"} {
		b.open(inst.Issuer + "/console/clients/" + id + page)
		b.seenAs("console-client"+strings.ReplaceAll(page, "/", "-"), checker, looks[i%2:i%2+1])
		b.clean("client" + page)
	}
	b.open(inst.Issuer + "/console/clients/" + id + "/claims")
	b.has("id-token-text", `"sub"`)
	b.has("access-token-text", "notes:read")

	// 4. Somebody signs in to it.
	ctx := oidc.ClientContext(t.Context(), node.HTTP)
	if provider, err = oidc.NewProvider(ctx, inst.Issuer); err != nil {
		t.Fatal(err)
	}
	conf.Endpoint = provider.Endpoint()
	alice := inst.NewUser(t, "--name", "Alice Moreau")
	person := newTab(t, browser, true)
	person.open("http://127.0.0.1:" + at.Port() + "/")
	person.signIn(alice)
	person.press("consent-submit", http.StatusOK)
	person.has("hello", alice.Sub)

	// 5. All of it without scripts.
	plain := newTab(t, browser, false)
	plain.open(inst.Issuer + "/console/clients/" + id + "/settings")
	plain.do(chromedp.SetValue(chromedp.ID("username"), "ada"), chromedp.SendKeys(chromedp.ID("password"), newPassword))
	plain.press("login-submit", http.StatusOK)
	plain.at("/console/clients/" + id + "/settings")
	plain.worksWithoutScripts("settings")
	plain.do(chromedp.SetValue(chromedp.ID("settings-client_name"), "Better notes"))
	plain.press("settings-submit", http.StatusOK)
	plain.has("done", "Saved.")
}
