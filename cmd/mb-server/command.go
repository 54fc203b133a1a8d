package main

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mbserver/cmd/internal/build"
	"mbserver/server"
	"mbserver/server/config"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitConfig  = 2
)

// daemon is the command with what it touches outside of itself, so that tests can run it in their
// process.
type daemon struct {
	environ  []string // in the form of os.Environ
	stdout   io.Writer
	stderr   io.Writer
	terminal func(io.Writer) bool // whether somebody reads it on a terminal
	signals  <-chan os.Signal     // that ask for the end
	hangups  <-chan os.Signal     // nil: none come
	newNode  func(config.Config, server.Options) (node, error)

	supervisor supervisor // who started the process

	load config.Loader // the configuration as it is written now; set by execute
	path string        // of the configuration's file; "" : there is none

	files atomic.Pointer[[]string]     // that the configuration was last read from
	noted chan struct{}                // files has changed
	seen  map[string][sha256.Size]byte // digests of the files from which the node began
}

// execute runs the command line (without the program's name) and returns the exit code.
func (d *daemon) execute(args []string) int {
	code := exitOK
	root := d.root(&code)
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		fmt.Fprintf(d.stderr, "mb-server: bad configuration:\n%s\n", indent(err.Error()))
		return exitConfig
	}
	return code
}

// root is the command; it writes the exit code of a node that has run.
func (d *daemon) root(code *int) *cobra.Command {
	var check bool
	root := &cobra.Command{
		Use:   "mb-server",
		Short: "Run one node of the message broker",
		Long: "mb-server runs one node of the message broker until SIGTERM or SIGINT.\n" +
			"Every setting is a key; flags win over environment variables, those over the file, " +
			"that over the defaults.",
		Version:       build.Version,
		Args:          noArguments,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, origins, err := config.Load(cmd.Flags(), d.environ)
			if err != nil {
				return err
			}
			if check {
				if err := server.Check(&cfg); err != nil {
					return err
				}
				return d.check(cfg, origins)
			}
			d.path = config.Path(cmd.Flags(), d.environ)
			d.noted = make(chan struct{}, 1)
			d.note(&cfg)
			d.seen = digests(*d.files.Load())
			d.load = func() (config.Config, config.Origins, error) {
				cfg, origins, err := config.Load(cmd.Flags(), d.environ)
				if err == nil {
					d.note(&cfg)
				}
				return cfg, origins, err
			}
			*code = d.serve(cfg, origins)
			return nil
		},
	}
	root.SetVersionTemplate(build.Line("mb-server") + "\n")
	root.SetOut(d.stdout)
	root.SetErr(d.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return explainFlag(err) })
	config.RegisterFlags(root.Flags())
	root.Flags().SortFlags = false
	root.Flags().BoolVar(&check, "check", false,
		"check the configuration, print what is in force and where it came from, and exit")
	root.Flags().Bool("version", false, "print the version and exit")
	return root
}

// noArguments refuses words that are no flags.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q is no flag, and nothing else is expected; "+
			"is it the value of --set or --config?", args[0])
	}
	return nil
}

// explainFlag says what may be meant by a flag that does not exist.
func explainFlag(err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	name, given := unknown.GetSpecifiedName(), "--"+unknown.GetSpecifiedName()
	if short := unknown.GetSpecifiedShortnames(); short != "" { // one dash
		name, _, _ = strings.Cut(short, "=")
		given = "-" + name
	}
	if best := config.NearestFlag(name); best != "" {
		return fmt.Errorf("%s: unknown flag; did you mean %s?", given, best)
	}
	return fmt.Errorf("%s: unknown flag; mb-server --help lists them", given)
}

// check prints the configuration in force, as a file that has the same effect.
func (d *daemon) check(cfg config.Config, origins config.Origins) error {
	for _, w := range cfg.Warnings() {
		fmt.Fprintf(d.stderr, "mb-server: warning: %s\n", w)
	}
	if cfg.Loops == 0 {
		cfg.Loops = processors()
		of := origins["loops"]
		of.Source = cmp.Or(of.Source, "default") + ", as many as the processors"
		origins["loops"] = of
	}
	_, err := d.stdout.Write(cfg.YAML(origins))
	return err
}

// indent sets the lines of a message of several faults apart from its heading.
func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }
