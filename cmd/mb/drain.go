package main

import (
	"context"
	"fmt"
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
			"It is asked on its admin listener (--admin), which takes this with admin.operator: " +
			"true only. The command does not\n" +
			"wait: mb_drain_connections, at /metrics, is how many are still to go.",
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
		if u, err := url.Parse(a.address()); err != nil || !loopback(u.Hostname()) {
			return usageError("say where the admin listener of " + a.server +
				" is: --admin HOST:PORT")
		}
		address = adminDefault
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	says, err := observe.AskDrain(ctx, address, d.rate, d.cancel)
	if err != nil {
		return err
	}
	return a.tell(says)
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
