package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"mbserver/cmd/mb/terminal"
)

// node is what mb nodes shows of one.
type node struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	ConnectedAt string   `json:"connectedAt"`
	State       string   `json:"state"`
	Draining    bool     `json:"draining"`
	Connections int      `json:"connections"`
	Self        bool     `json:"self"`
	RoundTrip   *float64 `json:"rttMs"`
	Lost        *uint64  `json:"lost"`
}

func (a *app) nodes() *cobra.Command {
	return &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes of the cluster",
		Long: "List the nodes of the cluster as the node that answers sees them, itself first: " +
			"since when they are what they are,\nhow many connections they have, how far they " +
			"are, and how many publishes of theirs did not arrive here.",
		Example: "  mb nodes\n  mb nodes --server tcp://other.example:3001",
		Args:    cobra.NoArgs,
		RunE: work(func(ctx context.Context, _ []string) error {
			var answer struct{ Nodes []json.RawMessage }
			if err := a.system(ctx, "system.node.list", nil, &answer); err != nil {
				return err
			}
			if a.json {
				return objects(a, answer.Nodes)
			}
			all := make([]node, len(answer.Nodes))
			for i, raw := range answer.Nodes {
				if err := json.Unmarshal(raw, &all[i]); err != nil {
					return fmt.Errorf("answer of the broker: %w", err)
				}
			}
			return a.table("NAME\tID\tSTATE\tSINCE\tVERSION\tCONNECTIONS\tRTT MS\tLOST",
				func(w io.Writer) {
					for i := range all {
						all[i].write(w)
					}
				})
		}),
	}
}

// write writes a row. A buffer takes everything.
func (n *node) write(w io.Writer) {
	state, trip, lost := n.State, "-", "-"
	if n.Self {
		state = "asked"
	}
	if n.Draining {
		state += ", draining"
	}
	if n.RoundTrip != nil {
		trip = strconv.FormatFloat(*n.RoundTrip, 'f', -1, 64)
	}
	if n.Lost != nil {
		lost = strconv.FormatUint(*n.Lost, 10)
	}
	_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
		terminal.Cell(n.Name), terminal.Cell(n.ID), terminal.Cell(state),
		terminal.Cell(n.ConnectedAt), terminal.Cell(n.Version), n.Connections, trip, lost)
}
