//go:build ignore

// Testreport turns the output of go test -json into something to read, and
// counts.
//
//	go test -json ./... | go run scripts/testreport.go -record FILE [-v]
//	go run scripts/testreport.go -total FILE...
//
// The first form prints a line per package and what failing tests said, keeps
// the outcomes in FILE and exits 1 if something failed. The second prints how
// many different tests the files tell of. A test that ran in several parts
// counts once, with its worst outcome; a test with subtests counts by them.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
)

// event is a line of go test -json (go doc test2json).
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Elapsed    float64
	Output     string
}

// name identifies a test; a package as a whole has no Test.
type name struct{ Package, Test string }

func main() {
	record := flag.String("record", "", "file to keep the outcomes in")
	total := flag.Bool("total", false, "print the total of the files named as arguments")
	verbose := flag.Bool("v", false, "print the output of tests that pass, too")
	flag.Parse()
	if *total {
		printTotal(flag.Args())
		return
	}
	os.Exit(report(*record, *verbose))
}

func report(record string, verbose bool) int {
	outcomes := map[name]string{}
	output := map[name][]string{}
	tests := map[string]int{} // per package, run here
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Action == "" {
			fmt.Println(lines.Text())
			continue
		}
		n := name{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			fmt.Print(e.Output)
		case "output":
			if verbose {
				fmt.Print(e.Output)
			}
			output[n] = append(output[n], e.Output)
		case "pass", "fail", "skip":
			outcomes[n] = e.Action
			if e.Test == "" {
				printPackage(e, tests[e.Package], outcomes, output, verbose)
			} else {
				tests[e.Package]++
				if e.Action == "pass" {
					delete(output, n)
				}
			}
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		return 1
	}
	if record != "" {
		if err := write(record, outcomes); err != nil {
			fmt.Fprintln(os.Stderr, "testreport:", err)
			return 1
		}
	}
	for _, outcome := range outcomes {
		if outcome == "fail" {
			return 1
		}
	}
	return 0
}

// printPackage prints a package's line when it is done, with what its failing
// tests said, and names the tests that were skipped.
func printPackage(e event, tests int, outcomes map[name]string, output map[name][]string, verbose bool) {
	if e.Action == "skip" {
		return // no test files
	}
	var names []string
	for n := range outcomes {
		if n.Package == e.Package && n.Test != "" && outcomes[n] != "pass" {
			names = append(names, n.Test)
		}
	}
	sort.Strings(names)
	for _, test := range names {
		said := output[name{e.Package, test}]
		if outcomes[name{e.Package, test}] == "skip" {
			fmt.Printf("    skipped %s: %s\n", test, reason(said))
		} else if !verbose {
			fmt.Print(strings.Join(said, ""))
		}
	}
	word := "ok  "
	if e.Action == "fail" {
		word = "FAIL"
		if !verbose {
			// Panics, time-outs and races belong to no test, or to one that
			// never ended.
			for n, said := range output {
				if _, ended := outcomes[n]; n.Package == e.Package && (n.Test == "" || !ended) {
					fmt.Print(strings.Join(said, ""))
				}
			}
		}
	}
	fmt.Printf("%s  %-32s %5d tests  %7.2fs\n", word, e.Package, tests, e.Elapsed)
}

// reason is what a skipped test said, without the frame that go test puts
// around it.
func reason(said []string) string {
	for _, line := range said {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			return line
		}
	}
	return "no reason given"
}

func write(path string, outcomes map[name]string) error {
	var b strings.Builder
	for n, outcome := range outcomes {
		fmt.Fprintf(&b, "%s\t%s\t%s\n", outcome, n.Package, n.Test)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// rank orders outcomes: the worse wins, and having run beats being skipped.
var rank = map[string]int{"skip": 1, "pass": 2, "fail": 3}

func printTotal(files []string) {
	outcomes := map[name]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // that part did not run
		}
		for line := range strings.Lines(string(content)) {
			f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
			if len(f) != 3 {
				continue
			}
			if n := (name{f[1], f[2]}); rank[f[0]] > rank[outcomes[n]] {
				outcomes[n] = f[0]
			}
		}
	}
	parents, failedBelow := map[name]bool{}, map[name]bool{}
	for n, outcome := range outcomes {
		for above := n; above.Test != ""; {
			i := strings.LastIndexByte(above.Test, '/')
			above = name{n.Package, above.Test[:max(i, 0)]}
			parents[above] = true
			failedBelow[above] = failedBelow[above] || outcome == "fail"
		}
	}
	count := map[string]int{}
	for n, outcome := range outcomes {
		switch {
		case n.Test == "" || parents[n]:
			// What has tests below it fails by itself only when none of them
			// did: a build that breaks, a panic.
			if outcome == "fail" && !failedBelow[n] {
				count["fail"]++
			}
		default:
			count[outcome]++
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", count["pass"], count["fail"], count["skip"])
}
