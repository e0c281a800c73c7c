// Package docs holds those pages of the documentation that the program itself
// reads, so that both say the same.
package docs

import (
	_ "embed" // the pages
	"regexp"
	"strings"
)

//go:embed configuration.md
var configuration string

var (
	quoted = regexp.MustCompile("`([^`]+)`")
	link   = regexp.MustCompile(`\[([^\]]+)\]\([^)]*\)`)
)

// Settings returns what the tables of configuration.md say of each key, as plain
// text; empty where they say no more than its default.
func Settings() map[string]string {
	said := map[string]string{}
	for line := range strings.SplitSeq(configuration, "\n") {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 5 || cells[0] != "" {
			continue
		}
		text := link.ReplaceAllString(strings.TrimSpace(cells[len(cells)-2]), "$1")
		text = strings.ReplaceAll(text, "`", "")
		for _, key := range quoted.FindAllStringSubmatch(cells[1], -1) {
			said[key[1]] = text
		}
	}
	return said
}
