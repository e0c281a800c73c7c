package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"idp/docs"
	"idp/internal/tokens"
)

// The files that idp init writes beside the master key.
const (
	configName      = "idp.yaml"
	databaseURLName = "database_url"
)

func (a *app) initCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a configuration for production and a master key",
		Long: "Writes " + configName + ", which holds every key with what it means and nothing secret, and beside it a new master key.\n" +
			"Without a database URL the embedded database under DIR/idp-data is used. Nothing is overwritten, and no database is asked.",
		Example: "  idp init /etc/idp --issuer https://id.example.com --database-url-file /run/secrets/database_url",
		Args:    atMost(1),
	}
	issuer := c.Flags().String("issuer", "", "address that people and applications reach the server at")
	var database secretFlags
	database.register(c, "database-url", "the URL of the database, with its password,")
	c.RunE = func(_ *cobra.Command, args []string) error {
		if *issuer == "" {
			return usage("--issuer: name the address that people and applications will reach the server at, such as https://id.example.com")
		}
		if reason := issuerFault(*issuer); reason != "" {
			return usage("--issuer %s: %s", printable(*issuer), reason)
		}
		url, err := database.read(a)
		if err != nil {
			return err
		}
		if url != "" {
			if reason := databaseURLFault(url.Reveal()); reason != "" {
				return usage("the database URL %s", reason)
			}
		}
		dir := "."
		if len(args) == 1 {
			dir = args[0]
		}
		if dir, err = filepath.Abs(dir); err != nil {
			return err
		}
		return a.initialize(dir, *issuer, url.Reveal(), database.file)
	}
	return c
}

// initialize writes the files. Those that were written are taken back when one
// cannot be.
func (a *app) initialize(dir, issuer, databaseURL, databaseURLFile string) (err error) {
	set := map[string]string{"issuer": issuer, "data_dir": filepath.Join(dir, "idp-data"), "master_key_file": filepath.Join(dir, masterKeyName)}
	type file struct {
		path    string
		content []byte
	}
	files := []file{{set["master_key_file"], []byte(tokens.GenerateMasterKey() + "\n")}}
	switch {
	case databaseURL == "":
	case databaseURLFile != "" && databaseURLFile != "-":
		if set["database_url_file"], err = filepath.Abs(databaseURLFile); err != nil {
			return err
		}
	default:
		set["database_url_file"] = filepath.Join(dir, databaseURLName)
		files = append(files, file{set["database_url_file"], []byte(databaseURL + "\n")})
	}
	text, err := commentedConfig(set)
	if err != nil {
		return err
	}
	config := filepath.Join(dir, configName)
	files = append(files, file{config, text})

	// All of them are looked for first: a master key that lies there already
	// belongs to a database.
	for _, f := range files {
		if _, err := os.Lstat(f.path); err == nil {
			return fmt.Errorf("%s exists: nothing is overwritten, and nothing was written", f.path)
		}
	}
	var written []string
	defer func() {
		if err != nil {
			for _, path := range written {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}()
	for _, f := range files {
		if err := writeSecretFile(f.path, f.content); errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists: nothing is overwritten", f.path)
		} else if err != nil {
			return err
		}
		written = append(written, f.path)
	}
	if err := os.Chmod(config, 0o644); err != nil { // nothing secret; whoever serves has to read it
		return err
	}

	fmt.Fprintf(a.Stdout, "%s written: every key is in it, with what it means.\n", config)
	fmt.Fprintf(a.Stdout, "%s written: every node needs it. Keep a copy apart from the database's backups; without it they are worth nothing.\n", set["master_key_file"])
	if databaseURL != "" && len(files) == 3 {
		fmt.Fprintf(a.Stdout, "%s written: it holds the database's password.\n", set["database_url_file"])
	}
	fmt.Fprintf(a.Stdout, "\nNext:\n  export IDP_CONFIG=%s\n  idp config check\n  idp serve\n", shellWord(config))
	return nil
}

// shellWord writes a path so that a shell reads it as one word.
func shellWord(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-", r)
	}
	if strings.ContainsFunc(path, func(r rune) bool { return !plain(r) }) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

const configHead = `# Configuration of idp. Every key stands here; what follows a # is its default.
# Each can be set by its environment variable instead, which counts more:
# lifetimes.code is IDP_LIFETIMES_CODE. What is wrong: idp config check.
# What holds, and where it comes from: idp config print.
`

// commentedConfig writes a configuration file with every key: what is set, and
// as comments the defaults.
func commentedConfig(set map[string]string) ([]byte, error) {
	l := newLoader()
	for key, value := range set {
		l.set(key, value, configName)
	}
	said := docs.Settings()
	var out bytes.Buffer
	out.WriteString(configHead)
	var section []string
	for _, key := range l.order {
		path := strings.Split(key, ".")
		name, above := path[len(path)-1], path[:len(path)-1]
		for depth, part := range above {
			if depth < len(section) && section[depth] == part {
				continue
			}
			section = above[:depth]
			fmt.Fprintf(&out, "\n%s%s:\n", strings.Repeat("  ", depth), part)
		}
		section = above
		indent := strings.Repeat("  ", len(above))
		if indent == "" || !strings.HasSuffix(out.String(), ":\n") {
			out.WriteByte('\n')
		}
		allowed := strings.TrimPrefix(l.allowed(key), "must be ")
		for _, line := range append(wrap(said[key], 100), wrap("Allowed: "+allowed, 100)...) {
			fmt.Fprintf(&out, "%s# %s\n", indent, line)
		}
		var line bytes.Buffer
		if err := encodeYAML(&line, &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar(name), l.valueNode(key)}}); err != nil {
			return nil, err
		}
		mark := "#"
		if _, ok := set[key]; ok {
			mark = ""
		}
		out.WriteString(indent + mark + line.String())
	}
	return out.Bytes(), nil
}

// wrap breaks a text into lines of at most so many characters.
func wrap(text string, most int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > most {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
