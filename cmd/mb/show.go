package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/cmd/mb/observe"
	"mbserver/cmd/mb/terminal"
)

// system asks the broker once and decodes the answer.
func (a *app) system(ctx context.Context, topic string, payload, answer any) error {
	c, err := a.dial(ctx, client.WithoutReconnect())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // It never fails.
	asked, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	raw, err := c.System(asked, topic, payload)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("answer of the broker to %s: %w", topic, err)
	}
	return nil
}

// table prints rows under a head in columns.
func (a *app) table(head string, rows func(w io.Writer)) error {
	var all bytes.Buffer
	w := tabwriter.NewWriter(&all, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, head) // A buffer takes everything.
	rows(w)
	_ = w.Flush() // As above.
	_, err := a.stdout.Write(all.Bytes())
	return err
}

// objects prints one JSON value a line.
func objects[T any](a *app, all []T) error {
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	e.SetEscapeHTML(false)
	for _, v := range all {
		if err := e.Encode(v); err != nil {
			return err
		}
	}
	_, err := a.stdout.Write(lines.Bytes())
	return err
}

type service struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	ConnectedAt string `json:"connectedAt"`
	Transport   string `json:"transport"`
	NodeID      string `json:"nodeId"` // in a cluster
	Outstanding int    `json:"outstanding"`
	Queued      int    `json:"queued"`
}

func (a *app) services() *cobra.Command {
	return &cobra.Command{
		Use:   "services",
		Short: "List the connected services",
		Args:  cobra.NoArgs,
		RunE: work(func(ctx context.Context, _ []string) error {
			var answer struct{ Services []json.RawMessage }
			if err := a.system(ctx, "system.service.list", nil, &answer); err != nil {
				return err
			}
			if a.json {
				return objects(a, answer.Services)
			}
			all := make([]service, len(answer.Services))
			for i, raw := range answer.Services {
				if err := json.Unmarshal(raw, &all[i]); err != nil {
					return fmt.Errorf("answer of the broker: %w", err)
				}
			}
			const heading = "ID\tNAME\tNODE\tTRANSPORT\tCONNECTED\t" +
				"OUTSTANDING\tQUEUED\tDESCRIPTION"
			return a.table(heading, func(w io.Writer) {
				for _, s := range all {
					// A buffer takes everything.
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n",
						terminal.Cell(s.ID), terminal.Cell(s.Name),
						terminal.Cell(observe.Short(s.NodeID)),
						terminal.Cell(s.Transport), terminal.Cell(s.ConnectedAt),
						s.Outstanding, s.Queued, terminal.Cell(s.Description))
				}
			})
		}),
	}
}

// topicRow is a pattern as --json lists it.
type topicRow struct {
	Topic string `json:"topic"`
}

func (a *app) topics() *cobra.Command {
	return &cobra.Command{
		Use:   "topics",
		Short: "List the patterns somebody subscribes to",
		Args:  cobra.NoArgs,
		RunE: work(func(ctx context.Context, _ []string) error {
			var answer struct{ Topics []string }
			if err := a.system(ctx, "system.topic.list", nil, &answer); err != nil {
				return err
			}
			if a.json {
				rows := make([]topicRow, len(answer.Topics))
				for i, pattern := range answer.Topics {
					rows[i].Topic = pattern
				}
				return objects(a, rows)
			}
			if len(answer.Topics) == 0 {
				return nil
			}
			_, err := io.WriteString(a.stdout, strings.Join(answer.Topics, "\n")+"\n")
			return err
		}),
	}
}

func (a *app) metrics() *cobra.Command {
	var filter, id string
	cmd := &cobra.Command{
		Use:     "metrics",
		Short:   "Show the broker's metrics",
		Example: "  mb metrics --filter router.publish",
		Args:    cobra.NoArgs,
		RunE: work(func(ctx context.Context, _ []string) error {
			payload := map[string]any{}
			if id != "" {
				payload["paramFilter"] = map[string]string{"serviceid": id}
			}
			var answer struct{ Metrics map[string]json.Number }
			if err := a.system(ctx, "system.metrics", payload, &answer); err != nil {
				return err
			}
			if id != "" && len(answer.Metrics) == 0 {
				return fmt.Errorf("no service has the ID %s; mb services lists them", id)
			}
			if id == "" && filter == "" && !a.json {
				a.dropServices(answer.Metrics)
			}
			return a.showMetrics(answer.Metrics, filter)
		}),
	}
	cmd.Flags().StringVar(&filter, "filter", "", "only metrics with `TEXT` in their names")
	cmd.Flags().StringVar(&id, "service", "", "only metrics of the service with this `ID`")
	return cmd
}

// dropServices leaves out the metrics of single services, and says so: there may
// be thousands.
func (a *app) dropServices(all map[string]json.Number) {
	before := len(all)
	maps.DeleteFunc(all, func(name string, _ json.Number) bool {
		return strings.HasPrefix(name, "registry.service.{")
	})
	if n := before - len(all); n > 0 {
		a.notice("%s of single services not shown; --service ID or --filter registry.service does",
			plural(n, "metric"))
	}
}

func (a *app) showMetrics(all map[string]json.Number, filter string) error {
	type metric struct {
		Name  string      `json:"name"`
		Value json.Number `json:"value"`
	}
	var shown []metric
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if strings.Contains(strings.ToLower(name), strings.ToLower(filter)) {
			shown = append(shown, metric{name, all[name]})
		}
	}
	if len(shown) == 0 && filter != "" {
		return fmt.Errorf("no metric has %q in its name; mb metrics lists them", filter)
	}
	if a.json {
		return objects(a, shown)
	}
	return a.table("METRIC\tVALUE", func(w io.Writer) {
		for _, m := range shown {
			// A buffer takes everything.
			_, _ = fmt.Fprintf(w, "%s\t%s\n", terminal.Cell(m.Name), metricText(m.Name, m.Value))
		}
	})
}

// metricText is a metric's value for people, in the unit that its name tells
// (protocol §8).
func metricText(name string, value json.Number) string {
	v, err := value.Float64()
	if err != nil {
		return terminal.Cell(value.String())
	}
	switch {
	case strings.HasSuffix(name, ".percent"):
		return strconv.FormatFloat(100*v, 'f', 1, 64) + " %"
	case strings.HasSuffix(name, ".bytes"), strings.Contains(name, ".size."):
		return humanize.IBytes(uint64(max(v, 0)))
	case strings.HasSuffix(name, ".uptime"):
		return (time.Duration(v) * time.Second).String()
	case strings.Contains(name, ".rate"):
		return figure(v) + "/s"
	}
	return figure(v)
}

// figure is v for people, with one decimal when it is not whole.
func figure(v float64) string {
	if v == math.Trunc(v) {
		return humanize.Commaf(v)
	}
	return humanize.Commaf(math.Round(v*10) / 10)
}
