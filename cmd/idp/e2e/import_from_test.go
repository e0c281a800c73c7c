package e2e

import (
	"encoding/base32"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// imported is a row of a report.
type imported struct {
	Result, Kind, Name, Where string
	Notes, Reasons            []string
}

// foreign is the path of an export of another system.
func foreign(name string) string {
	return filepath.Join(moduleRoot(), "internal", "foreign", "testdata", name)
}

// report takes in an export and returns what became of each object.
func (i *Installation) report(t *testing.T, args ...string) map[string]imported {
	t.Helper()
	var rows []imported
	i.JSON(t, &rows, "", append([]string{"import"}, args...)...)
	named := map[string]imported{}
	for _, r := range rows {
		named[r.Kind+" "+r.Name] = r
	}
	return named
}

func wantResults(t *testing.T, got map[string]imported, want map[string]string) {
	t.Helper()
	for name, result := range want {
		if got[name].Result != result {
			t.Errorf("%s: %s, want %s\n%+v", name, got[name].Result, result, got[name])
		}
	}
}

// hashOf is how the password of somebody is kept.
func (i *Installation) hashOf(t *testing.T, username string) string {
	t.Helper()
	for _, line := range i.lines(t) {
		var row struct {
			Table string
			Row   struct {
				Username string
				Hash     string `json:"password_hash"`
			}
		}
		if json.Unmarshal([]byte(line), &row) == nil && row.Table == "users" && row.Row.Username == username {
			return row.Row.Hash
		}
	}
	t.Fatalf("nobody is called %s", username)
	return ""
}

// wantRehashed waits until the password is kept as it is here.
func (i *Installation) wantRehashed(t *testing.T, username string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !strings.HasPrefix(i.hashOf(t, username), "$argon2id$v=19$m=19456,t=2,p=1$") {
		if time.Now().After(deadline) {
			t.Fatalf("%s: kept as %.20s", username, i.hashOf(t, username))
		}
	}
}

// TestImportFromKeycloak takes in a realm. People sign in with their old
// passwords, and applications know them by the identifiers from before.
func TestImportFromKeycloak(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		rehearsed := inst.report(t, "--from", "keycloak", foreign("realm.json"), "--dry-run")
		if left := inst.lines(t); len(left) > 0 {
			t.Fatalf("a rehearsal: %s", left)
		}
		done := inst.report(t, "--from", "keycloak", foreign("realm.json"))
		for _, report := range []map[string]imported{rehearsed, done} {
			wantResults(t, report, map[string]string{
				"group meadow-staff": "created", "group meadow-staff/greenhouse": "created", "role gardener": "created", "role almanac:editor": "created",
				"client almanac": "created", "client pocket-almanac": "created", "client hoarder": "created", "client weather-api": "skipped", "client old-forum": "skipped",
				"user alice": "created", "user bob": "created", "user carol": "created", "user dave": "created", "user erin": "created",
				"user service-account-almanac": "skipped", "other identity provider neighbour": "skipped",
			})
		}
		if almanac := done["client almanac"]; almanac.Where != "realm.json:39 clients[2]" || !strings.Contains(strings.Join(almanac.Notes, "\n"), `"https://almanac.example/*" is left out: wildcards`) {
			t.Errorf("the client: %+v", almanac)
		}

		node := inst.Start(t)
		web := Client{ID: "almanac", Secret: "pZ3v9QmT6yLk2WcXr8BfNa7SdHj4UgE1", RedirectURI: "https://almanac.example/cb"}
		for name, sub := range map[string]string{"alice": "5f0c2a6e-3b39-4e3e-8f6a-0c5a2f1e0001", "carol": "5f0c2a6e-3b39-4e3e-8f6a-0c5a2f1e0003", "erin": "5f0c2a6e-3b39-4e3e-8f6a-0c5a2f1e0005"} {
			person := User{Username: name, Password: name + " knew this in the old place"}
			claims := node.Verify(t, node.SignIn(t, web, person, "scope", "openid profile email").ID, "JWT", "RS256")
			if claims["sub"] != sub {
				t.Errorf("%s: sub %v, want %s", name, claims["sub"], sub)
			}
			inst.wantRehashed(t, name)
		}
		var alice struct {
			Groups, Roles []string
			Locale        string
			EmailVerified bool `json:"email_verified"`
		}
		inst.JSON(t, &alice, "", "user", "get", "alice")
		if strings.Join(alice.Groups, " ") != "meadow-staff/greenhouse" || strings.Join(alice.Roles, " ") != "almanac:editor gardener head-gardener" || alice.Locale != "de" || !alice.EmailVerified {
			t.Errorf("alice: %+v", alice)
		}

		// A second factor is asked for here as it was there.
		phone := &app{secret: base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte("q7RkT2mWx9ZbV4nLc8Jf"))}
		b, p := node.NewBrowser(t), NewPKCE()
		request := web.Request(p, "scope", "openid")
		page := b.Login(t, b.Get(t, "/oauth2/auth?"+request.Encode()), "bob", "bob knew this in the old place")
		wantSecondFactor(t, page, http.StatusOK)
		code := b.prove(t, page, phone.code(t)).wantCode(t, node, request)
		if sub := node.Verify(t, node.Exchange(t, web, code, p).Tokens(t).ID, "JWT", "RS256")["sub"]; sub != "5f0c2a6e-3b39-4e3e-8f6a-0c5a2f1e0002" {
			t.Errorf("bob: sub %v", sub)
		}
		if a := node.Post(t, "/oauth2/token", web, url.Values{"grant_type": {"client_credentials"}}); a.Status != http.StatusOK {
			t.Errorf("the application for itself: %s", a.Body)
		}

		before := inst.lines(t)
		again := inst.report(t, "--from", "keycloak", foreign("realm.json"))
		wantResults(t, again, map[string]string{"client almanac": "unchanged", "user alice": "unchanged", "group meadow-staff": "unchanged", "role gardener": "unchanged"})
		if got := inst.lines(t); strings.Join(got, "\n") != strings.Join(before, "\n") {
			t.Error("a second time changed something")
		}
	})
}

// TestImportFromHydra takes in clients, which go on with their secrets if those
// are there.
func TestImportFromHydra(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "resource", "create", "https://orders.example", "--scope", "orders:read")
		alice := inst.NewUser(t)
		done := inst.report(t, "--from", "hydra", foreign("hydra.json"))
		batch := "6f6c1f0e-7c2e-4d6e-9a55-0d7f3a1b0002"
		wantResults(t, done, map[string]string{"client ledger": "created", "client " + batch: "created", "client tool": "created"})
		if notes := strings.Join(done["client "+batch].Notes, "\n"); !strings.Contains(notes, "the secret is not in the export; the client can do nothing before idp client rotate-secret") {
			t.Errorf("a client without its secret: %s", notes)
		}
		secret := strings.TrimSpace(inst.CLI(t, "", "client", "rotate-secret", batch, "-q", "--grace", "0s"))
		node := inst.Start(t)
		if a := node.Post(t, "/oauth2/token", Client{ID: batch, Secret: secret}, url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read"}}); a.Status != http.StatusOK {
			t.Errorf("the service: %s", a.Body)
		}
		ledger := Client{ID: "ledger", RedirectURI: "https://ledger.example/cb"}
		p := NewPKCE()
		code := node.Code(t, ledger, alice, p, "scope", "openid offline_access orders:read")
		form := CodeForm(ledger, code, p)
		form.Set("client_id", ledger.ID)
		form.Set("client_secret", "wT5nY8qLb2VxKd7RfJz3HgMc6PsUa9Ee") // as client_secret_post
		if a := node.Post(t, "/oauth2/token", Client{}, form); a.Status != http.StatusOK {
			t.Errorf("the application: %s", a.Body)
		}
	})
}

// TestImportFromDex takes in a configuration. The sub is the one that Dex makes
// of user and connector.
func TestImportFromDex(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		done := inst.report(t, "--from", "dex", foreign("dex.yaml"))
		wantResults(t, done, map[string]string{
			"client field-notes": "created", "client notes-cli": "created", "client short": "created", "group pickers": "created",
			"user frank": "created", "user grace@meadow.example": "created", "other connector directory": "skipped",
		})
		node := inst.Start(t)
		web := Client{ID: "field-notes", Secret: "kR6vD2sXw9QpLz4TfYb8NcJh3MgAe7Ui", RedirectURI: "https://notes.example/callback"}
		for name, want := range map[string]string{
			"frank@meadow.example": "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs",
			"grace@meadow.example": "CgEyEgVsb2NhbA",
		} {
			first, _, _ := strings.Cut(name, "@")
			tokens := node.SignIn(t, web, User{Username: name, Password: first + " knew this in the old place"}, "scope", "openid email")
			if sub := node.Verify(t, tokens.ID, "JWT", "RS256")["sub"]; sub != want {
				t.Errorf("%s: sub %v, want %s", name, sub, want)
			}
		}
		inst.wantRehashed(t, "frank")
	})
}

// TestImportFromRefuses changes nothing when anything is refused, and says where;
// what is refused can be left out by wish.
func TestImportFromRefuses(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		inst := Install(t, engine, nil)
		inst.CLI(t, "", "migrate", "up")
		raw, err := os.ReadFile(foreign("realm.json"))
		if err != nil {
			t.Fatal(err)
		}
		changed := func(was, is string) string {
			if !strings.Contains(string(raw), was) {
				t.Fatalf("there is no %s", was)
			}
			return strings.Replace(string(raw), was, is, 1)
		}
		last := changed(`"username": "erin"`, `"username": "erin the last"`)
		for name, c := range map[string]struct{ from, text, want string }{
			"a name":           {"keycloak", last, "username: must be 1 to 128"},
			"a hash":           {"keycloak", changed(`\"hashIterations\":27500`, `\"hashIterations\":2000000000`), "password_hash: takes too long to check"},
			"an unknown hash":  {"keycloak", changed(`\"algorithm\":\"pbkdf2-sha256\"`, `\"algorithm\":\"rot13\"`), `credentials: password hashes of "rot13" are not known here`},
			"wildcards alone":  {"keycloak", changed(`"com.example.almanac:/cb", "http://127.0.0.1/cb"`, `"https://pocket.example/*"`), "redirect_uris: at least one is needed"},
			"a person twice":   {"keycloak", changed(`"username": "carol"`, `"username": "alice"`), "is there twice, first at -:93 users[0]"},
			"a type":           {"keycloak", changed(`"publicClient": false,`, `"publicClient": "maybe",`), "publicClient: must not be a string"},
			"a client":         {"hydra", `[{"client_id":"a/b","grant_types":["client_credentials"]}]`, "client_id: must be 1 to 128"},
			"a subject":        {"dex", "staticPasswords:\n- email: a@example.com\n  username: a\n  userID: x\n  hash: nothing\n", "password_hash: must be one of"},
			"a truth":          {"csv", "username,email,email_verified\na,a@example.com,perhaps\n", "email_verified: must be true or false"},
			"an attribute":     {"csv", "username,attributes.shoe\na,38\n", "attributes.shoe: is no attribute"},
			"a dex of another": {"dex", "staticClients:\n- id: [1]\n", "cannot unmarshal"},
		} {
			stdout, stderr, code := inst.Try(t, c.text, "import", "--from", c.from, "-")
			if code != 1 || !strings.Contains(stderr, "nothing was changed") || !strings.Contains(stdout, c.want) || !strings.Contains(stdout, "refused") || !strings.Contains(stdout, "(-:") {
				t.Errorf("%s: exit %d, %s%s", name, code, stdout, stderr)
			}
		}
		for name, c := range map[string]struct{ from, text, want string }{
			"nothing":       {"keycloak", "", "is not JSON"},
			"no JSON":       {"keycloak", "{\n\"users\": [\n{]}", "-:3: is not JSON"},
			"another thing": {"keycloak", "{}", "is no export of a realm"},
			"several":       {"keycloak", "[{}]", "must be the export of one realm"},
			"a number":      {"hydra", "7", "-:1: must be a list of clients"},
			"no clients":    {"hydra", "{\"a\":1}", "-:1: is neither a list of clients nor a client"},
			"no YAML":       {"dex", "a: [", "is no configuration of Dex"},
			"a column":      {"csv", "username,shoe_size\na,38\n", `-:1: is no column that is known: "shoe_size"`},
			"no names":      {"csv", "email\na@example.com\n", "-:1: the column username is missing"},
			"a short line":  {"csv", "username,email\nalice\n", "-:2: is not CSV: wrong number of fields"},
		} {
			stdout, stderr, code := inst.Try(t, c.text, "import", "--from", c.from, "-")
			if code != 1 || !strings.Contains(stderr, "nothing was changed") || !strings.Contains(stderr, c.want) {
				t.Errorf("%s: exit %d, %s%s", name, code, stdout, stderr)
			}
		}
		if left := inst.lines(t); len(left) > 0 {
			t.Fatalf("something was taken in: %s", left)
		}
		if _, stderr, code := inst.Try(t, "", "import", "--from", "paper", "-"); code != 2 || !strings.Contains(stderr, "must be one of csv, dex, hydra, keycloak") {
			t.Errorf("another source: exit %d, %s", code, stderr)
		}

		out := inst.CLI(t, last, "import", "--from", "keycloak", "--skip-refused", "-")
		if !strings.Contains(out, "refused   user erin the last   (-:158 users[4])") || !strings.Contains(inst.CLI(t, "", "user", "list"), "dave") {
			t.Errorf("without what is refused: %s", out)
		}
	})
}

// TestUserImport takes in a table of people.
func TestUserImport(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", nil)
	inst.CLI(t, "", "group", "create", "pickers")
	table := "username,sub,name,email,email_verified,groups,disabled,password_hash\n" +
		"frank,sub-of-frank,\"Frank, of the \"\"hedge\"\"\",frank@example.com,true,pickers nobodies,,$2a$10$gO7GYwGfqlj6QrQgKuII3O6CbvP7oeW9Dvs3jDZATHut.pqHVgKAm\n" +
		"gone,,,,,,true,\n"
	path := filepath.Join(t.TempDir(), "people.csv")
	if err := os.WriteFile(path, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := inst.CLI(t, "", "user", "import", path, "--dry-run"); !strings.Contains(out, "2 created") || strings.Contains(inst.CLI(t, "", "user", "list"), "frank") {
		t.Errorf("a rehearsal: %s", out)
	}
	if out := inst.CLI(t, "", "user", "import", path); !strings.Contains(out, "created   user frank   (people.csv:2)") || !strings.Contains(out, `groups: group "nobodies": not found`) {
		t.Errorf("the report: %s", out)
	}
	var gone struct{ State string }
	if inst.JSON(t, &gone, "", "user", "get", "gone"); gone.State != "disabled" {
		t.Errorf("somebody who left: %+v", gone)
	}
	web, node := inst.WebClient(t, "--allowed-group", "pickers"), inst.Start(t)
	claims := node.Verify(t, node.SignIn(t, web, User{Username: "frank@example.com", Password: "frank knew this in the old place"}, "scope", "openid").ID, "JWT", "RS256")
	if claims["sub"] != "sub-of-frank" {
		t.Errorf("sub %v", claims["sub"])
	}
}
