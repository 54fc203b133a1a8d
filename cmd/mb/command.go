package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mbserver/client"
)

const defaultServer = "tcp://127.0.0.1:3001"

// app is one invocation: its streams and the global flags.
type app struct {
	stdin  io.Reader
	stdout io.Writer // out
	stderr io.Writer
	out    *outlet

	server   string
	token    string
	ca       string
	insecure bool
	json     bool
	quiet    bool
	timeout  time.Duration
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
	out := &outlet{w: stdout}
	a := &app{stdin: stdin, stdout: out, stderr: stderr, out: out}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if cmd.Name() == checkName {
		err = a.checked(err)
	}
	return a.exit(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "mb",
		Short:         "Talk to an MB message broker",
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Long: "Talk to an MB message broker.\n\n" +
			"Exit codes: 0 everything worked, 1 an error, 2 a wrong command line, 130 " +
			"interrupted before a job with an\nend (a --count, a --file) was done. mb ping " +
			"and mb check have their own.",
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.server, "server", environment("MB_SERVER", defaultServer),
		"address `URL` of the broker: tcp, tls, ws or wss (environment: MB_SERVER)")
	flags.StringVar(&a.token, "token", "", "credential `TOKEN` (environment: MB_TOKEN)")
	flags.StringVar(&a.ca, "ca", "", "certificates `FILE` (PEM) to trust instead of the system's")
	flags.BoolVar(&a.insecure, "insecure", false, "do not check the broker's certificate")
	flags.BoolVar(&a.json, "json", false, "print JSON, one object a line")
	flags.BoolVarP(&a.quiet, "quiet", "q", false,
		"print no notices and no progress on standard error")
	flags.DurationVar(&a.timeout, "timeout", 5*time.Second,
		"longest `WAIT` for the connection and for one answer")
	root.AddCommand(a.pub(), a.sub(), a.request(), a.reply(),
		a.services(), a.topics(), a.metrics(), a.log(), a.bench())
	root.AddCommand(a.top(), a.ping(), a.info(), a.connections(), a.subscriptions(), a.check())
	return root
}

func environment(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// complain prints one line on standard error.
func (a *app) complain(format string, args ...any) {
	line := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	_, _ = fmt.Fprintln(a.stderr, "mb: "+line) // There is nowhere to tell that this failed.
}

// notice is complain, unless --quiet.
func (a *app) notice(format string, args ...any) {
	if !a.quiet {
		a.complain(format, args...)
	}
}

// dial connects within the timeout.
func (a *app) dial(ctx context.Context, opts ...client.Option) (*client.Client, error) {
	if a.timeout <= 0 {
		return nil, usageError("--timeout must be positive")
	}
	server := a.server
	if !strings.Contains(server, "://") {
		server = "tcp://" + server
	}
	// Insecure: the user asked for it.
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: a.insecure}
	if a.ca != "" {
		pem, err := os.ReadFile(a.ca)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in it", a.ca)
		}
	}
	token := a.token
	if token == "" {
		token = os.Getenv("MB_TOKEN")
	}
	basic := []client.Option{
		client.WithDialTimeout(a.timeout), client.WithTLS(cfg), client.WithToken(token),
	}
	return client.Dial(ctx, server, append(basic, opts...)...)
}

// ask is a context for one answer. It outlives a signal, so that what was
// begun can be finished.
func (a *app) ask(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
}

// follow is what the commands that stay connected dial with: they say what
// happens to the connection.
func (a *app) follow() []client.Option {
	return []client.Option{
		client.OnDisconnect(func(err error) { a.notice("%v; reconnecting", err) }),
		client.OnReconnect(func(client.Renewal) { a.notice("reconnected") }),
		client.OnError(func(e *client.Error) { a.notice("%v", e) }),
		client.OnGap(func(g client.Gap) { a.complain("%s", gapLine(g)) }),
	}
}

func gapLine(g client.Gap) string {
	line := fmt.Sprintf("gap: %d messages were dropped", g.Count)
	if g.Conflated > 0 {
		line += fmt.Sprintf(", %d replaced by newer ones", g.Conflated)
	}
	if !g.Since.IsZero() {
		line += fmt.Sprintf(", from %s to %s",
			g.Since.Format(time.RFC3339Nano), g.Until.Format(time.RFC3339Nano))
	}
	return line
}

// stay waits for a signal (nil), for done (nil), for the end of the connection
// or of the output, and drains.
func (a *app) stay(ctx context.Context, c *client.Client, out *output, done <-chan struct{}) error {
	select {
	case <-ctx.Done():
	case <-done:
	case <-out.broken:
	case <-c.Closing():
		return errors.Join(c.Err(), out.close())
	}
	if !c.Connected() {
		return out.close() // Between two connections there is nothing to drain.
	}
	drained, cancel := a.ask(ctx)
	defer cancel()
	err := c.Drain(drained)
	if lost := out.close(); lost != nil {
		return lost
	}
	return err
}
