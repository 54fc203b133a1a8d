package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/cmd/mb/human"
	"mbserver/cmd/mb/observe"
	"mbserver/cmd/mb/terminal"
)

// selection is which rows of a list are shown, and in which order.
type selection struct {
	filter  string
	sort    string
	reverse bool
	limit   int
}

func (s *selection) register(cmd *cobra.Command, orders ...string) {
	f := cmd.Flags()
	f.StringVar(&s.filter, "filter", "", "only rows with `TEXT` in them, in any case")
	choice(cmd, &s.sort, "sort", "sort by `ORDER`", orders...)
	f.BoolVar(&s.reverse, "reverse", false, "the other way round")
	f.IntVar(&s.limit, "limit", 0, "only the first `N` rows")
}

func (s *selection) check() error {
	if s.limit < 0 {
		return usageError("--limit must not be negative")
	}
	return nil
}

// cutTo applies reverse and limit to sorted rows.
func cutTo[T any](s *selection, rows []T) []T {
	if s.reverse {
		slices.Reverse(rows)
	}
	if s.limit > 0 && len(rows) > s.limit {
		rows = rows[:s.limit]
	}
	return rows
}

func (a *app) connections() *cobra.Command {
	s := &selection{}
	cmd := &cobra.Command{
		Use:   "connections",
		Short: "List the connections and what they hold up",
		Long: "List the connections. The list is that of mb services: on the wire every " +
			"connection is a service, with or without\n" +
			"a name. AGE is since it connected, IDLE since it said something; OUTSTANDING are " +
			"requests that it has not answered,\n" +
			"QUEUED those that wait for it. Address, identity, backlog and losses are shown when " +
			"the node tells them.\n\n" +
			"The order load has those first that hold others up: by backlog, then waiting " +
			"requests, then unanswered ones.",
		Example: "  mb connections --limit 10\n" +
			"  mb connections --filter clock --sort age\n" +
			"  mb connections --json | jq 'select(.outstanding > 0) | .id'",
		Args: cobra.NoArgs,
		RunE: work(func(ctx context.Context, _ []string) error {
			if err := s.check(); err != nil {
				return err
			}
			return a.listConnections(ctx, s)
		}),
	}
	s.register(cmd, observe.Orders()...)
	return cmd
}

func (a *app) listConnections(ctx context.Context, s *selection) error {
	v, err := a.visit(ctx, client.WithoutReconnect())
	if err != nil {
		return err
	}
	defer v.close()
	all, err := v.Connections(ctx)
	if err != nil {
		return err
	}
	now := observe.Clock(all)
	shown := slices.DeleteFunc(all, func(c observe.Connection) bool { return !c.Has(s.filter) })
	observe.Sort(shown, s.sort)
	shown = cutTo(s, shown)
	if a.json {
		raw := make([]json.RawMessage, len(shown))
		for i := range shown {
			raw[i] = shown[i].Raw
		}
		return objects(a, raw)
	}
	return a.connectionTable(shown, now, v.client.ServiceID())
}

// connectionTable prints connections; own is the ID of this command's.
func (a *app) connectionTable(all []observe.Connection, now time.Time, own string) error {
	type row = observe.Connection
	optional := []struct {
		title string
		told  func(*row) bool
		cell  func(*row) string
	}{
		{"REMOTE", func(c *row) bool { return c.Remote != "" },
			func(c *row) string { return terminal.Cell(c.Remote) }},
		{"IDENTITY", func(c *row) bool { return c.Identity != "" },
			func(c *row) string { return terminal.Cell(c.Identity) }},
		{"BACKLOG", func(c *row) bool { return c.BacklogBytes != nil },
			func(c *row) string { return human.Bytes(float64(observe.Told(c.BacklogBytes))) }},
		{"DROPPED", func(c *row) bool { return c.Dropped != nil },
			func(c *row) string { return human.Count(float64(observe.Told(c.Dropped))) }},
		{"NODE", func(c *row) bool { return c.NodeID != "" },
			func(c *row) string { return terminal.Cell(c.NodeID) }},
	}
	heading := "ID\tNAME\tTRANSPORT\tAGE\tIDLE\tOUTSTANDING\tQUEUED"
	kept := optional[:0]
	for _, o := range optional {
		if slices.ContainsFunc(all, func(c row) bool { return o.told(&c) }) {
			heading += "\t" + o.title
			kept = append(kept, o)
		}
	}
	return a.table(heading+"\tDESCRIPTION", func(w io.Writer) {
		for i := range all {
			c := &all[i]
			name := terminal.Cell(c.Name)
			if c.ID == own && c.Name == "" {
				name = "(this command)"
			}
			// A buffer takes everything.
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d", terminal.Cell(c.ID), name,
				terminal.Cell(c.Transport), human.Span(c.Age(now)), human.Span(c.Idle(now)),
				c.Outstanding, c.Queued)
			for _, o := range kept {
				_, _ = fmt.Fprint(w, "\t"+o.cell(c))
			}
			_, _ = fmt.Fprintln(w, "\t"+terminal.Cell(c.Description))
		}
	})
}
