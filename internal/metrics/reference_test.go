package metrics_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/metrics"
)

var update = flag.Bool("update", false, "write docs/reference/metrics.md anew")

func definitions() []metrics.Definition {
	m := newMetrics()
	m.Handler(sources(database{}))
	return m.Definitions()
}

// The reference says what there is.
func TestReferenceIsCurrent(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Metrics\n\n" +
		"`/metrics` on the management listener answers these, beside those of the Go runtime (`go_…`) and of the process (`process_…`).\n" +
		"Times are in seconds. No label names a client or a person. A series is there once it has counted something.\n\n" +
		"This page is generated: `go test ./internal/metrics -run Reference -update`.\n\n" +
		"| metric | kind | labels | |\n|---|---|---|---|\n")
	for _, d := range definitions() {
		names := "none"
		if len(d.Labels) > 0 {
			names = "`" + strings.Join(d.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Kind, names, d.Help)
	}
	path := filepath.Join("..", "..", "docs", "reference", "metrics.md")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
	}
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(written), "generate it anew with -update")
}

func TestNamesFollowTheConventions(t *testing.T) {
	t.Parallel()
	for _, d := range definitions() {
		require.Regexp(t, `^idp_[a-z_]+$`, d.Name)
		require.Equal(t, d.Kind == "counter", strings.HasSuffix(d.Name, "_total"), d.Name)
		require.Regexp(t, `^[A-Z].*[.]$`, d.Help, d.Name)
		for _, label := range d.Labels {
			require.NotContains(t, []string{"client", "client_id", "user", "user_id", "sub", "ip", "address", "session"}, label, d.Name)
			require.NotContains(t, []string{"job", "instance"}, label, "%s: Prometheus gives this label itself", d.Name)
		}
	}
}

// What is shipped to watch a server asks for metrics and labels that there are,
// and nothing is counted that nobody looks at.
func TestDashboardAndAlertsKnowTheMetrics(t *testing.T) {
	t.Parallel()
	known := map[string]metrics.Definition{}
	for _, d := range definitions() {
		known[d.Name] = d
		if d.Kind == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				known[d.Name+part] = d
			}
		}
	}
	used := map[string]bool{}
	for _, file := range []string{"prometheus/alerts.yml", "grafana/idp.json"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", filepath.FromSlash(file)))
		require.NoError(t, err)
		text := string(raw)
		if strings.HasSuffix(file, ".json") {
			require.True(t, json.Valid(raw), file)
			text = strings.ReplaceAll(text, `\"`, `"`)
		}
		found := regexp.MustCompile(`\b(idp_[a-z_]+)(\{[^}]*\})?`).FindAllStringSubmatch(text, -1)
		require.NotEmpty(t, found, file)
		for _, use := range found {
			d, ok := known[use[1]]
			require.True(t, ok, "%s asks for %s", file, use[1])
			used[d.Name] = true
			for _, label := range regexp.MustCompile(`([a-z_]+)\s*[=!]`).FindAllStringSubmatch(use[2], -1) {
				outer := []string{"job", "instance", "le"}
				require.True(t, slices.Contains(d.Labels, label[1]) || slices.Contains(outer, label[1]), "%s asks for %s of %s", file, label[1], use[1])
			}
		}
	}
	for _, d := range definitions() {
		require.True(t, used[d.Name], "neither the dashboard nor an alert looks at %s", d.Name)
	}
}

// Every alert has a case in which it fires and one in which it does not:
// promtool test rules deploy/prometheus/alerts_test.yml runs them.
func TestEveryAlertHasItsCases(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", name))
		require.NoError(t, err)
		return string(raw)
	}
	cases := read("alerts_test.yml")
	alerts := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(read("alerts.yml"), -1)
	require.NotEmpty(t, alerts)
	for _, alert := range alerts {
		require.Regexp(t, `alertname: `+alert[1]+`}`, cases, "there is no case in which it is silent")
		require.Regexp(t, `alertname: `+alert[1]+`\n +exp_alerts:`, cases, "there is no case in which it fires")
	}
}
