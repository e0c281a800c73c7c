package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Keys are looked at, rotated and retired in the console, by people who signed
// in a moment ago, and the audit says by whom.
func TestConsole_Keys(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, nil)
		type key struct{ KID, Alg, State string }
		keys := func(state string) []key {
			t.Helper()
			var all []key
			w.JSON(t, &all, "", "key", "list")
			return slices.DeleteFunc(all, func(k key) bool { return k.State != state })
		}
		active := keys("active")
		for _, k := range active {
			a := w.b.Get(t, "/console/keys/"+k.KID)
			wantPage(t, a, http.StatusOK, "/console/keys/"+k.KID)
			if !strings.Contains(a.Body, k.KID) || strings.Contains(a.Body, `&#34;d&#34;`) || strings.Contains(a.Body, "/retire") {
				t.Errorf("an active key:\n%s", a.Body)
			}
		}
		if a := w.b.Get(t, "/console/keys"); !strings.Contains(a.Body, "keys.rotate_every") || !strings.Contains(a.Body, "IDP_KEYS_PUBLISH_AHEAD") || !strings.Contains(a.Body, ">30d<") {
			t.Errorf("the configuration is not shown:\n%s", a.Body)
		}

		wantPage(t, w.send(t, "/console/rotate-keys", "rotate", url.Values{"alg": {active[0].Alg}}), http.StatusOK, "/console/keys")
		next := keys("next")
		if len(next) != 1 || next[0].Alg != active[0].Alg {
			t.Fatalf("next keys: %v", next)
		}
		if a := w.send(t, "/console/rotate-keys", "rotate", url.Values{"alg": {"none"}}); a.Status != http.StatusUnprocessableEntity || len(keys("next")) != 1 {
			t.Errorf("an algorithm that there is not: %d", a.Status)
		}
		if a := w.send(t, "/console/keys/"+active[0].KID+"/retire", "confirm", nil); a.Status != http.StatusConflict || len(keys("active")) != len(active) {
			t.Errorf("the key that signs was retired: %d", a.Status)
		}

		// A sign-in of a moment ago.
		page := w.b.Get(t, "/console/keys/"+next[0].KID+"/retire")
		w.staleSignIns(t, w.officer)
		if a := w.b.Submit(t, page, page.Form(t, "confirm"), nil); a.Status != http.StatusForbidden || !a.HasID("stale") || len(keys("next")) != 1 {
			t.Errorf("retired by a stale sign-in: %d", a.Status)
		}
		w.b.Login(t, w.b.Get(t, "/console/fresh"), w.officer.Username, w.officer.Password)
		wantPage(t, w.b.Submit(t, page, page.Form(t, "confirm"), nil), http.StatusOK, "/console/keys")
		if len(keys("next")) != 0 {
			t.Error("the key is still there")
		}
		for _, path := range []string{"/console/keys/none", "/console/keys/none/retire"} {
			if a := w.b.Get(t, path); a.Status != http.StatusNotFound {
				t.Errorf("%s: %d", path, a.Status)
			}
		}
		for _, kind := range []string{"key.created", "key.retired"} {
			if a := w.b.Get(t, "/console/audit?kind="+kind+"&actor="+w.officer.Username); !strings.Contains(a.Body, next[0].KID) {
				t.Errorf("%s does not say by whom:\n%s", kind, a.Body)
			}
		}
	})
}

// Sign-in rules are added, changed and deleted; what is wrong with one stands at
// its field, and nothing that was typed is lost.
func TestConsole_SignInRules(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		w := newConsoleWorld(t, engine, nil)
		app := w.WebClient(t)
		w.CLI(t, "", "group", "create", "staff")
		wrong := w.send(t, "/console/new-sign-in-rule", "rule", url.Values{"name": {"of staff"}, "clients": {"nobody"}, "max_age": {"5s"}, "groups.staff": {"on"}})
		if wrong.Status != http.StatusUnprocessableEntity || !wrong.HasID("rule-name-problem") || !wrong.HasID("rule-clients-problem") || !wrong.HasID("rule-max_age-problem") ||
			!strings.Contains(wrong.Body, `value="of staff"`) || !strings.Contains(wrong.Body, `name="groups.staff" checked`) {
			t.Errorf("%d\n%s", wrong.Status, wrong.Body)
		}
		fields := url.Values{"name": {"staff"}, "clients": {app.ID}, "acr": {"2"}, "max_age": {"1h30m"}, "groups.staff": {"on"}}
		wantPage(t, w.b.Submit(t, wrong, wrong.Form(t, "rule"), fields), http.StatusOK, "/console/sign-in-rules")
		if got := w.CLI(t, "", "policy", "get", "staff", "-o", "json"); !strings.Contains(strings.Join(strings.Fields(got), ""), `{"name":"staff","groups":["staff"],"clients":["`+app.ID+`"],"acr":"2","max_age":5400}`) {
			t.Errorf("the rule: %s", got)
		}
		if a := w.b.Submit(t, wrong, wrong.Form(t, "rule"), fields); a.Status != http.StatusConflict {
			t.Errorf("a name that is taken: %d", a.Status)
		}
		if a := w.b.Get(t, "/console/sign-in-rules"); !strings.Contains(a.Body, "Two factors (2)") || !strings.Contains(a.Body, "1h30m") || !strings.Contains(a.Body, "passwords.min_length") {
			t.Errorf("the list:\n%s", a.Body)
		}
		w.send(t, "/console/sign-in-rules/staff", "rule", url.Values{"clients": {""}, "acr": {"phr"}, "max_age": {""}})
		if got := w.CLI(t, "", "policy", "get", "staff", "-o", "json"); !strings.Contains(strings.Join(strings.Fields(got), ""), `{"name":"staff","groups":["staff"],"acr":"phr"}`) {
			t.Errorf("the changed rule: %s", got)
		}
		if a := w.send(t, "/console/sign-in-rules/staff", "rule", url.Values{"acr": {""}}); a.Status != http.StatusUnprocessableEntity || !a.HasID("rule-acr-problem") {
			t.Errorf("a rule that asks for nothing: %d", a.Status)
		}
		wantPage(t, w.send(t, "/console/sign-in-rules/staff/delete", "confirm", nil), http.StatusOK, "/console/sign-in-rules")
		if a := w.b.Get(t, "/console/sign-in-rules/staff"); a.Status != http.StatusNotFound {
			t.Errorf("a deleted rule: %d", a.Status)
		}
		if a := w.b.Get(t, "/console/audit?kind=setting.*&target=sign_in_policy&actor="+w.officer.Username); strings.Count(a.Body, ">setting.changed</a>") != 3 {
			t.Errorf("the audit of the policy:\n%s", a.Body)
		}
	})
}
