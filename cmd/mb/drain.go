package main

import (
	"context"
	"fmt"
	"net"
	"net/url"

	"github.com/spf13/cobra"

	"mbserver/cmd/mb/observe"
	"mbserver/cmd/mb/terminal"
)

// drainer is one run of mb drain.
type drainer struct {
	app      *app
	exporter exporter
	rate     int
	cancel   bool
}

func (a *app) drain() *cobra.Command {
	d := &drainer{app: a}
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Send a node's connections away without ending it",
		Long: "Have a node send its connections away, as before its end, and go on running: it " +
			"is not ready any more, so that\n" +
			"balancers send it nobody; after shutdown.delay each connection is told when to go, " +
			"and closed then, or as soon\n" +
			"after as nothing of it is outstanding. Its listeners stay open: who comes later " +
			"stays. --cancel makes it ready\n" +
			"again, and whose time to go has not come stays.\n\n" +
			"It takes the word admin of a role. Without a credential a node on this machine " +
			"is asked on its admin listener, which\ntakes this with admin.operator: true; else a " +
			"node is asked over the wire. --admin names the listener to ask; a\ncredential is " +
			"shown there on this machine only. The command does not wait: mb_drain_connections, " +
			"at /metrics, is how\nmany are still to go.",
		Example: "  mb drain\n  mb drain --rate 50 --admin 10.0.0.7:3002\n  mb drain --cancel",
		Args:    cobra.NoArgs,
		RunE:    work(func(ctx context.Context, _ []string) error { return d.run(ctx) }),
	}
	f := cmd.Flags()
	f.IntVar(&d.rate, "rate", 0, "have `N` connections go a second (default: shutdown.rate)")
	f.BoolVar(&d.cancel, "cancel", false, "end a drain: the node is ready again")
	d.exporter.register(f)
	return cmd
}

func (d *drainer) run(ctx context.Context) error {
	a := d.app
	address := d.exporter.given
	switch {
	case d.rate < 0:
		return usageError("--rate must not be negative")
	case d.rate > 0 && d.cancel:
		return usageError("--rate goes with no --cancel")
	case address == adminOff:
		return usageError("a node is drained on its admin listener: --admin HOST:PORT")
	case address == adminAuto:
		// Never a node of this machine when another is meant.
		u, err := url.Parse(a.address())
		if err != nil || !loopback(u.Hostname()) || a.token != "" {
			return d.overTheWire(ctx)
		}
		address = adminDefault
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	token := ""
	if host, _, err := net.SplitHostPort(address); err == nil && loopback(host) {
		token = a.token // what it passes on the way nobody reads
	}
	says, err := observe.AskDrain(ctx, address, token, d.rate, d.cancel)
	if err != nil {
		return err
	}
	return a.tell(says)
}

// overTheWire asks like any other client.
func (d *drainer) overTheWire(ctx context.Context) error {
	ask := map[string]any{}
	switch {
	case d.cancel:
		ask["cancel"] = true
	case d.rate > 0:
		ask["rate"] = d.rate
	}
	var answer struct{ State string }
	if err := d.app.system(ctx, "system.node.drain", ask, &answer); err != nil {
		return err
	}
	return d.app.tell(answer.State)
}

// drained is what a node that was asked says of itself.
type drained struct {
	State string `json:"state"`
}

// tell prints it.
func (a *app) tell(state string) error {
	if a.json {
		return objects(a, []drained{{state}})
	}
	_, err := fmt.Fprintln(a.stdout, terminal.Cell(state))
	return err
}
