package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// Keys are the signing keys. Implemented by *tokens.Keyring.
type Keys interface {
	States() []idp.StatedKey
	Rotate(ctx context.Context, alg string, immediately bool, events ...idp.Event) ([]idp.Key, error)
	Retire(ctx context.Context, kid string) error
}

// keyStates say what each state means.
var keyStates = map[idp.KeyState]struct {
	title, text, tone string
}{
	idp.KeyNext:     {"Next", "Everybody can see it already. It does not sign yet.", ""},
	idp.KeyActive:   {"Active", "It signs.", "good"},
	idp.KeyRetiring: {"Retiring", "It signs no more, and stays published until the last token that it signed has died.", "warn"},
	idp.KeyRetired:  {"Retired", "It is not published any more, and nothing that it signed counts.", "bad"},
}

func keyPath(kid string) string { return "/console/keys/" + url.QueryEscape(kid) }

func listKeys(v *visit) error {
	p := v.frame("/console/keys", "Signing keys")
	p.Lead = "Tokens are signed with them. Each is published before it signs, and for as long as something that it signed lives."
	p.Actions = []web.ConsoleLink{{Title: "Rotate…", To: "/console/rotate-keys", Primary: true}}
	all := v.console.Keys.States()
	t := web.ConsoleTable{ID: "keys", Columns: []string{"Key", "Algorithm", "Created", "Signs from", "What comes next"}, Empty: "There are no keys."}
	order := []idp.KeyState{idp.KeyActive, idp.KeyNext, idp.KeyRetiring, idp.KeyRetired}
	slices.SortStableFunc(all, func(a, b idp.StatedKey) int { return slices.Index(order, a.State) - slices.Index(order, b.State) })
	for _, k := range all {
		state := keyStates[k.State]
		t.Rows = append(t.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{
			{Text: shortened(k.KID, 12), Code: true, To: keyPath(k.KID), Badge: web.ConsoleBadge{Text: state.title, Tone: state.tone}},
			plain(k.Alg),
			{At: k.CreatedAt, Note: v.ago(k.CreatedAt)},
			{At: k.ActiveFrom},
			v.keyFuture(k, all),
		}})
	}
	p.Parts = []web.ConsolePart{t, v.settings("How they change by themselves",
		[2]string{"A key signs for", "keys.rotate_every"}, [2]string{"The next one is published before, by", "keys.publish_ahead"})}
	return v.show(p)
}

// keyFuture says what becomes of a key by itself, and when.
func (v *visit) keyFuture(k idp.StatedKey, all []idp.StatedKey) web.ConsoleCell {
	switch k.State {
	case idp.KeyNext:
		return web.ConsoleCell{At: k.Until, Note: "it begins to sign"}
	case idp.KeyRetiring:
		return web.ConsoleCell{At: k.Until, Note: "it is published no more"}
	case idp.KeyRetired:
		return plain("–")
	}
	for _, other := range all {
		if other.Alg == k.Alg && other.State == idp.KeyNext {
			return web.ConsoleCell{At: other.ActiveFrom, Note: "the next one takes over"}
		}
	}
	due := k.ActiveFrom.Add(v.console.RotateEvery - v.console.PublishAhead)
	if due.Before(v.console.Now()) {
		return web.ConsoleCell{Text: "Due", Note: "the next one is published within minutes"}
	}
	return web.ConsoleCell{At: due, Note: "the next one is published"}
}

// ago says how long ago something was, roughly.
func (v *visit) ago(at time.Time) string {
	d := v.console.Now().Sub(at)
	count := func(n int, unit string) string {
		if n != 1 {
			unit += "s"
		}
		return fmt.Sprintf("%d %s ago", n, unit)
	}
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return count(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return count(int(d/time.Hour), "hour")
	}
	return count(int(d/(24*time.Hour)), "day")
}

// key is the one that the address names.
func (v *visit) key() (idp.StatedKey, error) {
	kid := v.PathValue("kid")
	all := v.console.Keys.States()
	i := slices.IndexFunc(all, func(k idp.StatedKey) bool { return k.KID == kid })
	if i < 0 {
		return idp.StatedKey{}, fmt.Errorf("there is no key %q: %w", kid, idp.ErrNotFound)
	}
	return all[i], nil
}

func showKey(v *visit) error {
	k, err := v.key()
	if err != nil {
		return err
	}
	state := keyStates[k.State]
	p := v.frame("/console/keys", k.Alg+" key")
	p.Trail = []web.ConsoleLink{{Title: "Signing keys", To: "/console/keys"}}
	p.Badges = []web.ConsoleBadge{{Text: state.title, Tone: state.tone}}
	p.Lead = state.text
	if k.State == idp.KeyNext || k.State == idp.KeyRetiring {
		p.Actions = []web.ConsoleLink{{Title: "Retire…", To: keyPath(k.KID) + "/retire", Danger: true}}
	}
	facts := []web.ConsoleFact{
		{Name: "Key ID", Hint: "kid", Values: codes([]string{k.KID})},
		{Name: "Algorithm", Values: codes([]string{k.Alg})},
		{Name: "Created", Values: []web.ConsoleCell{{At: k.CreatedAt, Note: v.ago(k.CreatedAt)}}},
		{Name: "Signs from", Values: []web.ConsoleCell{{At: k.ActiveFrom}}},
		{Name: "What comes next", Values: []web.ConsoleCell{v.keyFuture(k, v.console.Keys.States())}},
	}
	if !k.RetiredAt.IsZero() {
		facts = append(facts, web.ConsoleFact{Name: "Retired", Values: []web.ConsoleCell{{At: k.RetiredAt}}})
	}
	var public bytes.Buffer
	if err := json.Indent(&public, k.PublicJWK, "", "  "); err != nil {
		return fmt.Errorf("public half of key %s: %w", k.KID, err)
	}
	p.Parts = []web.ConsolePart{
		web.ConsoleFacts{ID: "key", Facts: facts},
		web.ConsoleCode{ID: "public", Title: "Public half", Lead: "As the key set has it (RFC 7517).", Text: public.String()},
	}
	if k.State == idp.KeyActive {
		p.Parts = append(p.Parts, web.ConsoleText{ID: "leaked", Title: "If it leaked", Paragraphs: []string{
			"Rotate at once, so that another key signs. Then this one can be retired, and what it signed is refused.",
		}, Links: []web.ConsoleLink{{Title: "Rotate…", To: "/console/rotate-keys"}}})
	}
	return v.show(p)
}

func askRetireKey(v *visit) error {
	k, err := v.key()
	if err != nil {
		return err
	}
	p := v.confirmation("/console/keys", "Retire this key?",
		"It leaves the key set for good. Every token that it signed is refused from now on, here and by whoever reads the key set. Nothing brings it back.", "Retire", keyPath(k.KID))
	p.Trail = []web.ConsoleLink{{Title: "Signing keys", To: "/console/keys"}, {Title: k.Alg + " " + shortened(k.KID, 12), To: keyPath(k.KID)}}
	return v.show(p)
}

func retireKey(v *visit) error {
	if err := v.console.Keys.Retire(v.Context(), v.PathValue("kid")); err != nil {
		return err
	}
	return v.see("/console/keys", "retired")
}

func askRotateKeys(v *visit) error {
	p := v.frame("/console/keys", "Rotate signing keys")
	p.Trail = []web.ConsoleLink{{Title: "Signing keys", To: "/console/keys"}}
	options := []web.ConsoleOption{{Label: "All that are used"}}
	for _, alg := range idp.Algorithms() {
		if slices.ContainsFunc(v.console.Keys.States(), func(k idp.StatedKey) bool { return k.Alg == alg && k.State == idp.KeyActive }) {
			options = append(options, web.ConsoleOption{Value: alg, Label: alg})
		}
	}
	p.Parts = []web.ConsolePart{web.ConsoleForm{
		ID: "rotate", To: "/console/rotate-keys", Submit: "Rotate", Danger: true, Cancel: "/console/keys",
		Lead: "New keys are made. They sign once everybody had the time to see them; the keys of now stay published until the last token that they signed has died.",
		Groups: []web.ConsoleGroup{{Fields: []web.ConsoleField{
			v.choice("alg", "Algorithm", "", "", options...),
			v.tick("immediately", "Sign with them at once", "For after a leak. Whoever keeps the key set may refuse tokens for some minutes.", false),
		}}},
	}}
	return v.show(p)
}

func rotateKeys(v *visit) error {
	alg := v.form.Get("alg")
	if alg != "" && !slices.Contains(idp.Algorithms(), alg) {
		return idp.Invalid("alg", "is none of the algorithms")
	}
	if _, err := v.console.Keys.Rotate(v.Context(), alg, v.form.Get("immediately") != ""); err != nil {
		return err
	}
	return v.see("/console/keys", "rotated")
}
