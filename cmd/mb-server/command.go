package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

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
	environ []string // in the form of os.Environ
	stdout  io.Writer
	stderr  io.Writer
	signals <-chan os.Signal
	hangups <-chan os.Signal // nil: none come
	newNode func(config.Config, server.Options) (node, error)
}

// execute runs the command line (without the program's name) and returns the exit code.
func (d *daemon) execute(args []string) int {
	var check bool
	code := exitOK
	root := &cobra.Command{
		Use:   "mb-server",
		Short: "Run one node of the message broker",
		Long: "mb-server runs one node of the message broker until SIGTERM or SIGINT.\n" +
			"Every setting is a key; flags win over environment variables, those over the file, " +
			"that over the defaults.",
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags(), d.environ)
			if err != nil {
				return err
			}
			if check {
				return d.check(cfg)
			}
			code = d.serve(cfg)
			return nil
		},
	}
	root.SetVersionTemplate(versionLine() + "\n")
	root.SetOut(d.stdout)
	root.SetErr(d.stderr)
	root.SetArgs(args)
	config.RegisterFlags(root.Flags())
	root.Flags().SortFlags = false
	root.Flags().BoolVar(&check, "check", false,
		"check the configuration, print what is in force and exit")
	root.Flags().Bool("version", false, "print the version and exit")
	if err := root.Execute(); err != nil {
		fmt.Fprintf(d.stderr, "mb-server: bad configuration:\n%s\n", indent(err.Error()))
		return exitConfig
	}
	return code
}

// check prints the configuration in force, as a file that has the same effect.
func (d *daemon) check(cfg config.Config) error {
	for _, w := range cfg.Warnings() {
		fmt.Fprintf(d.stderr, "mb-server: warning: %s\n", w)
	}
	_, err := d.stdout.Write(cfg.YAML())
	return err
}
