package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/cmd/mb/observe"
)

// visit is a connection that asks the node about itself.
type visit struct {
	*observe.Node
	client *client.Client
}

// visit connects. The caller closes the client.
func (a *app) visit(ctx context.Context, opts ...client.Option) (*visit, error) {
	c, err := a.dial(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return &visit{observe.Of(c, a.timeout), c}, nil
}

// close ends the connection.
func (v *visit) close() { _ = v.client.Close() } // It never fails.

// address is the server as dial takes it.
func (a *app) address() string {
	if strings.Contains(a.server, "://") {
		return a.server
	}
	return "tcp://" + a.server
}

// choice is a flag whose value is one of a few words, which the shell completes.
func choice(cmd *cobra.Command, to *string, name, usage string, words ...string) {
	cmd.Flags().StringVar(to, name, words[0], usage+": "+strings.Join(words, ", "))
	_ = cmd.RegisterFlagCompletionFunc(name, // The flag is there.
		cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// oneOf checks such a flag.
func oneOf(name, value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	return usageError(fmt.Sprintf("--%s %q: %s", name, value, strings.Join(words, ", ")))
}
