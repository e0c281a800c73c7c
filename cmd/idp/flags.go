package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"idp/internal/idp"
)

// fieldFlags binds flags to the fields of a T. Apply sets the fields whose
// flags were given and leaves the others alone, so that one set of flags
// serves create and update.
type fieldFlags[T any] struct {
	cmd      *cobra.Command
	appliers []func(*T) error
}

func flagsOf[T any](cmd *cobra.Command) *fieldFlags[T] { return &fieldFlags[T]{cmd: cmd} }

func (f *fieldFlags[T]) add(name string, apply func(*T) error) {
	f.appliers = append(f.appliers, func(t *T) error {
		if !f.cmd.Flags().Changed(name) {
			return nil
		}
		return apply(t)
	})
}

func (f *fieldFlags[T]) text(name, help string, field func(*T) *string) {
	v := f.cmd.Flags().String(name, "", help)
	f.add(name, func(t *T) error { *field(t) = *v; return nil })
}

func (f *fieldFlags[T]) truth(name, help string, field func(*T) *bool) {
	v := f.cmd.Flags().Bool(name, false, help)
	f.add(name, func(t *T) error { *field(t) = *v; return nil })
}

// list takes a flag several times; giving it once empty clears the field.
func (f *fieldFlags[T]) list(name, help string, field func(*T) *[]string) {
	v := f.cmd.Flags().StringArray(name, nil, help+" (repeatable)")
	f.add(name, func(t *T) error { *field(t) = nonEmpty(*v); return nil })
}

// words takes a flag several times, each time with one or more words.
func (f *fieldFlags[T]) words(name, help string, field func(*T) *string) {
	v := f.cmd.Flags().StringArray(name, nil, help+" (repeatable, or several separated by spaces)")
	f.add(name, func(t *T) error { *field(t) = strings.Join(strings.Fields(strings.Join(*v, " ")), " "); return nil })
}

// seconds takes a duration for a field in whole seconds.
func (f *fieldFlags[T]) seconds(name, help string, put func(*T, int)) {
	v := f.cmd.Flags().String(name, "", help+", such as 10m or 12h; 0 for the server's default")
	f.add(name, func(t *T) error {
		d, err := parseDuration(*v)
		if err != nil || d.std()%time.Second != 0 {
			return usage("--%s %s: must be a duration in whole seconds, such as 90s, 10m or 12h", name, *v)
		}
		put(t, int(d.std()/time.Second))
		return nil
	})
}

// apply sets the fields whose flags were given.
func (f *fieldFlags[T]) apply(t *T) error {
	for _, apply := range f.appliers {
		if err := apply(t); err != nil {
			return err
		}
	}
	return nil
}

func nonEmpty(values []string) []string {
	var out []string
	for _, v := range values {
		if v != "" {
			out = append(out, v)
		}
	}
	return out
}

// maxInput bounds what is read from stdin or a file, in bytes.
const maxInput = 1 << 20

// secretFlags are the two ways to give a secret: a file, or stdin. There is no
// third: arguments can be seen by every process of the machine.
type secretFlags struct {
	name  string
	file  string
	stdin bool
}

func (s *secretFlags) register(cmd *cobra.Command, name, what string) {
	s.name = name
	cmd.Flags().StringVar(&s.file, name+"-file", "", "read "+what+" from this file (- for stdin)")
	cmd.Flags().BoolVar(&s.stdin, name+"-stdin", false, "read "+what+" from stdin")
}

// read returns the secret without its last line end, or "" when none is given.
func (s *secretFlags) read(a *app) (idp.Secret, error) {
	if s.stdin && s.file != "" {
		return "", usage("--%s-stdin and --%s-file exclude each other", s.name, s.name)
	}
	path := s.file
	if s.stdin {
		path = "-"
	}
	if path == "" {
		return "", nil
	}
	text, err := a.readInput(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if secret == "" {
		return "", usage("--%s-file, --%s-stdin: nothing to read", s.name, s.name)
	}
	return idp.Secret(secret), nil
}

// readInput reads a file, or stdin for "-".
func (a *app) readInput(path string) ([]byte, error) {
	in := a.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(text) > maxInput {
		err = fmt.Errorf("%s: longer than %d bytes", path, maxInput)
	}
	return text, err
}

// readDocument reads a YAML or JSON document into a value; names that the
// value does not know are an error.
func (a *app) readDocument(path string, into any) error {
	text, err := a.readInput(path)
	if err != nil {
		return err
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		return usage("%s: %s", path, strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", " "))
	}
	return nil
}
