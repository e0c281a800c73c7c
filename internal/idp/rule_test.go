package idp_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"idp/internal/idp"
)

var update = flag.Bool("update", false, "write the table of rules in docs/explain.md anew")

// The documentation says what the program says.
func TestRuleTableIsCurrent(t *testing.T) {
	t.Parallel()
	const heading = "| rule | what it demands | written in | what helps |\n|---|---|---|---|\n"
	var table strings.Builder
	for _, r := range idp.Rules() {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", r.Rule, r.Sentence, r.Reference, r.Hint)
	}
	path := filepath.Join("..", "..", "docs", "explain.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(page), heading)
	want := before + heading + table.String()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(page) {
		t.Error("docs/explain.md is not current: generate it anew with -update")
	}
}

// Every rule that is declared is in words, once, and nothing else is.
func TestRulesAreInWords(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("rule.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[idp.Rule]bool{}
	for _, m := range regexp.MustCompile(`Rule = "([a-z_.]+)"`).FindAllStringSubmatch(string(source), -1) {
		declared[idp.Rule(m[1])] = true
	}
	seen := map[idp.Rule]bool{}
	for _, r := range idp.Rules() {
		if !declared[r.Rule] || seen[r.Rule] {
			t.Errorf("%s is not declared, or twice in words", r.Rule)
		}
		seen[r.Rule] = true
		for _, text := range []string{r.Sentence, r.Hint} {
			if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "…") || strings.ContainsAny(text, "|\n") {
				t.Errorf("%s: %q", r.Rule, text)
			}
		}
		if r.Reference == "" || r.Rule.Text() != r {
			t.Errorf("%s: no reference", r.Rule)
		}
	}
	for rule := range declared {
		if !seen[rule] {
			t.Errorf("%s is not in words", rule)
		}
	}
}

// Why the gate refuses has a rule of its own, so that people learn it.
func TestRefusalsHaveRules(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("gate.go")
	if err != nil {
		t.Fatal(err)
	}
	rules := map[idp.Rule]string{}
	for _, m := range regexp.MustCompile(`Refusal = "([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		rule := idp.Refusal(m[1]).Rule()
		if other, taken := rules[rule]; taken {
			t.Errorf("%q and %q have the same rule", m[1], other)
		}
		rules[rule] = m[1]
	}
	if len(rules) < 10 {
		t.Errorf("%d refusals found", len(rules))
	}
}

// A trace says how a request ended by what is in it.
func TestExplain(t *testing.T) {
	t.Parallel()
	passed := idp.Step{Rule: idp.RuleClientKnown, Outcome: idp.Passed}
	asked := idp.Step{Rule: idp.RuleSessionAlive, Outcome: idp.Asked, Facts: []idp.Fact{{Name: "session", Value: "none"}}}
	failed := idp.Step{Rule: idp.RuleRedirectExact, Outcome: idp.Failed}
	for _, c := range []struct {
		trace           idp.Trace
		result, summary string
	}{
		{idp.Trace{Steps: []idp.Step{passed}}, idp.ResultDone, "Nothing stood in the way."},
		{idp.Trace{Steps: []idp.Step{passed}, Issued: "code id_token"}, idp.ResultIssued, "Handed out: code, id_token."},
		{idp.Trace{Steps: []idp.Step{passed, asked}}, idp.ResultAsked, "The person was led to a page, by the rule session.alive."},
		{idp.Trace{Steps: []idp.Step{passed, failed}, Error: "invalid_redirect_uri"}, idp.ResultRefused, "Refused with invalid_redirect_uri by the rule redirect_uri.exact."},
		{idp.Trace{Steps: []idp.Step{failed}}, idp.ResultRefused, "Refused by the rule redirect_uri.exact."},
		{idp.Trace{Error: "server_error"}, idp.ResultRefused, "Refused with server_error."},
	} {
		e := c.trace.Explain()
		if e.Result != c.result || e.Summary != c.summary {
			t.Errorf("%+v: %s, %s", c.trace, e.Result, e.Summary)
		}
		for _, s := range e.Steps {
			if (s.Hint == "") != (s.Outcome == idp.Passed) {
				t.Errorf("%+v", s)
			}
		}
	}
}

// What a request tells is bounded, and what refused it is never left out.
func TestStepsAreBounded(t *testing.T) {
	var r idp.Request
	ctx := idp.WithRequest(t.Context(), &r)
	for range 100 {
		idp.Decide(ctx, idp.RuleClientKnown, idp.Passed, idp.Fact{Name: "x", Value: strings.Repeat("ä", 1000)})
	}
	r.Refused(idp.Step{Rule: idp.RuleClientSecret, Outcome: idp.Failed})
	r.Refused(idp.Step{Rule: idp.RuleServerWorks, Outcome: idp.Failed})
	last := r.Steps[len(r.Steps)-1]
	if len(r.Steps) != 33 || last.Rule != idp.RuleClientSecret || len(r.Steps[0].Facts[0].Value) > 310 {
		t.Errorf("%d steps, the last is %v", len(r.Steps), last)
	}
	idp.Decide(t.Context(), idp.RuleClientKnown, idp.Passed) // of no request
	if n := testing.AllocsPerRun(100, func() { idp.Pass(t.Context(), idp.RuleClientKnown) }); n != 0 {
		t.Errorf("%v allocations where no request is", n)
	}
}
