package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"idp/cmd/idp/e2e"
	"idp/internal/idp"
	"idp/internal/tokens"
)

// brokenReader gives some bytes and then fails, or ends.
type brokenReader struct {
	left int
	err  error
}

func (r *brokenReader) Read(p []byte) (int, error) {
	n := min(len(p), r.left)
	r.left -= n
	clear(p[:n]) // what could be guessed
	if n == 0 {
		return 0, r.err
	}
	return n, nil
}

// What needs randomness, each in a process of its own. Each returns what it
// made.
var random = map[string]func(t *testing.T, n *node) (any, error){
	"master key": func(*testing.T, *node) (any, error) { return tokens.GenerateMasterKey(), nil },
	"sealing": func(_ *testing.T, n *node) (any, error) {
		return n.master.SealFlow(idp.Flow{Request: url.Values{"state": {"x"}}.Encode()})
	},
	"client secret": func(t *testing.T, n *node) (any, error) {
		secret, err := n.admin.RotateSecret(t.Context(), "web-jwt", time.Hour)
		return secret.Reveal(), err
	},
	"audit event": func(t *testing.T, n *node) (any, error) {
		return "an event", n.store.AppendEvents(t.Context(), []idp.Event{{Kind: idp.EventTokenIssued}})
	},
	"password": func(t *testing.T, n *node) (any, error) {
		return n.hasher.HashNew(t.Context(), idp.User{Username: "alice"}, "a good long password")
	},
	"token": func(_ *testing.T, n *node) (any, error) {
		client := e2e.Client{ID: "batch", Secret: "a-secret-that-guards-nothing-batch"}
		a := n.ask("/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, as(client))
		return a.Body.String(), nil
	},
}

// When there is no randomness, the process stops and has made nothing.
func TestAttack_S10_RandomnessFails(t *testing.T) {
	if what := os.Getenv("IDP_TEST_RANDOM"); what != "" {
		childWithoutRandomness(t, what)
		return
	}
	t.Parallel()
	w := newClockwork(t, "sqlite")
	w.run(t, "a-secret-that-guards-nothing-batch\n", "client", "create", "batch", "--secret-stdin", "--grant-type", "client_credentials")
	for what := range random {
		for _, how := range []string{"fails", "falls short", "works"} {
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestAttack_S10_RandomnessFails$", "-test.v")
			child.Env = append(slices.Clone(w.env), "IDP_TEST_RANDOM="+what, "IDP_TEST_RANDOM_HOW="+how, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"))
			var out bytes.Buffer
			child.Stdout, child.Stderr = &out, &out
			err := child.Run()
			if how == "works" {
				if err != nil || !strings.Contains(out.String(), "MADE ") {
					t.Fatalf("%s: the child shows nothing: %v\n%s", what, err, out.String())
				}
				continue
			}
			// A library that hashes passwords says that it cannot; all else ends the process.
			if strings.Contains(out.String(), "MADE ") || err == nil && what != "password" {
				t.Errorf("%s, when randomness %s: %v\n%s", what, how, err, out.String())
			}
			if what != "password" && !strings.Contains(out.String(), "fatal error: crypto/rand: failed to read random data") {
				t.Errorf("%s, when randomness %s, ends otherwise: %s", what, how, out.String())
			}
		}
	}
}

func childWithoutRandomness(t *testing.T, what string) {
	t.Helper()
	n := (&clockwork{engine: "sqlite", env: os.Environ()}).wired(t)
	switch os.Getenv("IDP_TEST_RANDOM_HOW") {
	case "fails":
		rand.Reader = &brokenReader{err: errors.New("no device")}
	case "falls short":
		rand.Reader = &brokenReader{left: 7, err: io.EOF}
	}
	made, err := random[what](t, n)
	if err != nil {
		fmt.Println("REFUSED", err)
		os.Exit(0)
	}
	fmt.Println("MADE", made)
	os.Exit(0)
}

// Randomness that guards anything comes from crypto/rand.Read and rand.Text,
// which end the process when they fail, or is given to the standard library's
// own signing and key making, which do.
func TestRandomnessHasOneSource(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || name == filepath.Join("cmd", "idp", "e2e") || d.Name() == "mailtest" || d.Name() == "testdata" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, i := range file.Imports {
			if strings.HasPrefix(i.Path.Value, `"math/rand`) && name != filepath.Join("internal", "store", "postgres.go") { // how long to wait
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
		safe := map[ast.Node]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if f, ok := call.Fun.(*ast.SelectorExpr); ok {
					if pkg, ok := f.X.(*ast.Ident); ok && slices.Contains([]string{"ecdsa", "rsa", "ed25519"}, pkg.Name) {
						for _, argument := range call.Args {
							safe[argument] = true
						}
					}
				}
			}
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Reader" && !safe[n] {
				if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "rand" {
					t.Errorf("%s reads crypto/rand.Reader, whose errors can be passed over", name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
