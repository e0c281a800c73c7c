package main

import (
	"regexp"
	"strings"
	"testing"

	"idp/internal/idp"
)

// What helps against a refusal names commands and flags that there are.
func TestHintsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	root := (&app{}).root()
	command := regexp.MustCompile(`\bidp ([a-z]+(?: [a-z]+(?:-[a-z]+)*)?)((?: (?:--[a-z-]+|[A-Z]+))*)`)
	found := 0
	for _, r := range idp.Rules() {
		for _, m := range command.FindAllStringSubmatch(r.Hint, -1) {
			c, rest, err := root.Find(strings.Fields(m[1]))
			if err != nil || c == root || len(rest) > 0 && c.HasSubCommands() {
				t.Errorf("%s: there is no idp %s", r.Rule, m[1])
				continue
			}
			found++
			for _, word := range strings.Fields(m[2]) {
				if flag, ok := strings.CutPrefix(word, "--"); ok && c.Flags().Lookup(flag) == nil {
					t.Errorf("%s: idp %s has no flag %s", r.Rule, m[1], word)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d commands found", found)
	}
}
