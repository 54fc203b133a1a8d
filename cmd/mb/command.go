package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mbserver/cmd/internal/build"
	"mbserver/cmd/mb/terminal"
)

const defaultServer = "tcp://127.0.0.1:3001"

// app is one invocation: its streams and the global flags.
type app struct {
	stdin      io.Reader
	stdout     io.Writer // out
	stderr     io.Writer
	onTerminal bool // standard error is one
	out        *outlet
	command    string // as it was called, "mb pub"; for hints

	// Global flags. server, token and security are those of the context that is chosen.
	context  string
	server   string
	token    string
	security security
	json     bool
	quiet    bool
	timeout  time.Duration
	unchosen error // why no server could be chosen
	standing standing

	// Guarded by saying.
	saying      sync.Mutex
	progressing bool // a line of progress is shown
}

// work makes a RunE whose errors are failures, unless they are of usage.
func work(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd.Context(), args)
		var usage usageError
		if err == nil || errors.As(err, &usage) {
			return err
		}
		return &failure{err}
	}
}

// run executes one command line and returns the exit code. The end of ctx
// drains: what was begun is finished, nothing new is.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &outlet{w: stdout, terminal: terminal.Is(stdout)}
	a := &app{stdin: stdin, stdout: out, stderr: stderr, out: out, onTerminal: terminal.Is(stderr)}
	root := a.root()
	root.SetArgs(append([]string{}, args...)) // For nil cobra would take those of the process.
	cmd, err := root.ExecuteContextC(ctx)
	a.command = cmd.CommandPath()
	// Whoever asks for objects gets them from a command line with errors too.
	a.json = a.json || err != nil && slices.Contains(args, "--json")
	if cmd.Name() == checkName {
		err = a.checked(err)
	}
	return a.exit(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "mb",
		Short:         "Talk to an MB message broker",
		Version:       build.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Long: "Talk to an MB message broker.\n\n" +
			"Exit codes: 0 everything worked, 1 an error, 2 a wrong command line, 130 " +
			"interrupted before a job with an\nend (a --count, a --file) was done. mb ping " +
			"and mb check have their own.\n\n" +
			"The broker is that of --server, else of --context, of MB_SERVER, of the context " +
			"in use (mb context), else\n" + defaultServer + ".",
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.unchosen = a.choose(cmd.Flags())
			if usage, is := errors.AsType[usageError](a.unchosen); is {
				return usage
			}
			// Without a connection it does not matter that there is no server.
			return a.takeToken(cmd)
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.out)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetVersionTemplate(build.Line("mb") + "\n")
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { a.help(cmd) })
	flags := root.PersistentFlags()
	flags.StringVar(&a.context, "context", "",
		"use the saved server and credential with this `NAME`")
	flags.StringVar(&a.server, "server", environment("MB_SERVER", defaultServer),
		"address `URL` of the broker: tcp, tls, ws or wss (environment: MB_SERVER)")
	flags.StringVar(&a.token, "token", "", "credential `TOKEN`; - reads the first line of "+
		"standard input, or asks (environment: MB_TOKEN)")
	a.security.register(root)
	flags.BoolVar(&a.json, "json", false, "print JSON, one object a line; notices and errors too")
	flags.BoolVarP(&a.quiet, "quiet", "q", false,
		"print no notices and no progress on standard error")
	flags.DurationVar(&a.timeout, "timeout", 5*time.Second,
		"longest `WAIT` for the connection and for one answer")
	root.AddCommand(a.pub(), a.sub(), a.request(), a.reply(),
		a.nodes(), a.services(), a.topics(), a.metrics(), a.log(), a.bench(), a.contexts(),
		a.tokens())
	root.AddCommand(a.top(), a.ping(), a.info(), a.connections(), a.subscriptions(), a.check(),
		a.drain(), a.kick(), a.mute(), a.unsubscribe(), a.explain())
	root.SetHelpCommand(a.helpCommand())
	root.InitDefaultCompletionCmd()
	a.completions(root)
	speakPlainly(root)
	return root
}

func environment(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
