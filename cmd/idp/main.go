package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/idp"
	"idp/internal/tracing"
)

// Exit codes, in the sense of sysexits.h.
const (
	exitOK            = 0
	exitFailure       = 1
	exitUsage         = 2
	exitUnavailable   = 69 // a dependency is away
	exitTryAgain      = 75 // something else is at it now
	exitConfiguration = 78
)

func main() {
	forbidCoreFiles()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, &app{
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Env:    os.Environ(),
		Now:    time.Now,
	}, os.Args[1:])
	stop()
	os.Exit(code)
}

// forbidCoreFiles has no copy of the memory written to disk should the process
// crash: keys and passwords lie there in clear. To lower a limit of one's own
// needs no rights.
func forbidCoreFiles() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }

// app is what the process gives to the commands.
type app struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Env    []string
	Now    func() time.Time

	tracing *tracing.Tracing // of a server; nil for none

	// The flags that every command knows.
	configFile string
	dataDir    string
	output     string
	quiet      bool
	endpoint   string
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, a *app, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(a.Stderr, "idp: "+line)
	}
	return exitCode(err)
}

// usageError is a command line that cannot be understood.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// codedError is an error with the exit code it stands for.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func withCode(code int, err error) error { return &codedError{code, err} }

// exitCode maps an error to the code that scripts and service managers read.
func exitCode(err error) int {
	if coded, ok := errors.AsType[*codedError](err); ok {
		return coded.code
	}
	if _, ok := errors.AsType[*configError](err); ok {
		return exitConfiguration
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	switch {
	case errors.Is(err, idp.ErrUnavailable):
		return exitUnavailable
	case errors.Is(err, idp.ErrThrottled):
		return exitTryAgain
	}
	return exitFailure
}

// root builds the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "idp",
		Short:         "An OAuth 2 and OpenID Connect authorization server",
		Long:          "idp signs people in and issues tokens to applications and services (OAuth 2, OpenID Connect).\n\nTry it: idp dev",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          needsVerb,
	}
	root.PersistentFlags().StringVar(&a.configFile, "config", "", "configuration file in YAML (IDP_CONFIG)")
	root.PersistentFlags().StringVar(&a.dataDir, "data-dir", "", "directory of the embedded database and its keys (default ./idp-data)")
	root.PersistentFlags().StringVar(&a.endpoint, "endpoint", "", "manage the objects of the server with this issuer by its admin API, with the access token in IDP_TOKEN")
	root.PersistentPreRunE = a.mindEndpoint
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%s (see %s --help)", err, cmd.CommandPath())
	})
	root.AddGroup(&cobra.Group{ID: "run", Title: "Run:"}, &cobra.Group{ID: "objects", Title: "Administer:"}, &cobra.Group{ID: "tools", Title: "Tools:"})
	root.SetHelpCommandGroupID("tools")
	root.SetCompletionCommandGroupID("tools")

	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("run", a.serveCommand(), a.devCommand(), a.initCommand(), a.doctorCommand(), a.migrateCommand(), a.healthcheckCommand())
	add("objects", a.adminCommand(), a.clientCommand(), a.userCommand(), a.groupCommand(), a.policyCommand(), a.roleCommand(), a.resourceCommand(),
		a.consentCommand(), a.sessionCommand(), a.keyCommand(), a.tokenCommand(), a.mailCommand(), a.auditCommand(), a.explainCommand())
	add("tools", a.applyCommand(), a.backupCommand(), a.exportCommand(), a.importCommand(), a.configCommand(), a.versionCommand())
	return root
}

// noun is a command that only holds verbs.
func noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: needsVerb}
	c.AddCommand(verbs...)
	return c
}

// needsVerb answers a noun without a verb, or with one that it does not know.
func needsVerb(cmd *cobra.Command, args []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	switch {
	case len(args) > 0:
		return usage("%s has no command %q%s", cmd.CommandPath(), args[0], didYouMean(args[0], names))
	case cmd.HasParent():
		return usage("%s needs one of: %s", cmd.CommandPath(), strings.Join(names, ", "))
	}
	return cmd.Help()
}

// exactly refuses any other number of arguments, naming those that are wanted.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usage("%s takes no argument, not %q (see %s --help)", cmd.CommandPath(), args[0], cmd.CommandPath())
		}
		return usage("%s takes %s (see %s --help)", cmd.CommandPath(), strings.Join(names, " "), cmd.CommandPath())
	}
}

// atMost refuses more arguments than n.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usage("%s takes no %q (see %s --help)", cmd.CommandPath(), args[n], cmd.CommandPath())
		}
		return nil
	}
}

// atLeast refuses fewer arguments than those named.
func atLeast(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= len(names) {
			return nil
		}
		return usage("%s takes %s (see %s --help)", cmd.CommandPath(), strings.Join(names, " "), cmd.CommandPath())
	}
}

// sources says where this process' configuration comes from. Flags are those
// of the command that stand for a key.
func (a *app) sources(cmd *cobra.Command) sources {
	src := sources{File: a.configFile, Env: a.Env, Flags: map[string]string{}}
	if src.File == "" {
		src.File = a.getenv("IDP_CONFIG")
	}
	for flag, key := range map[string]string{
		"data-dir": "data_dir", "issuer": "issuer", "listen": "listen", "management-listen": "management_listen", "migrate": "migrate", "log-level": "log.level",
	} {
		if f := cmd.Flags().Lookup(flag); f != nil && f.Changed {
			src.Flags[key] = f.Value.String()
		}
	}
	return src
}

func (a *app) getenv(name string) string {
	for _, entry := range a.Env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// logger writes the log to stderr in the configured form; its level can be
// changed while it runs.
func (a *app) logger(cfg LogConfig, level *slog.LevelVar) *slog.Logger {
	setLevel(cfg, level)
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(a.Stderr, options))
}

func setLevel(cfg LogConfig, level *slog.LevelVar) {
	var l slog.Level
	if l.UnmarshalText([]byte(cfg.Level)) == nil {
		level.Set(l)
	}
}
