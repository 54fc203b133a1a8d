package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/cmd/internal/build"
	"mbserver/cmd/mb/human"
	"mbserver/cmd/mb/observe"
	"mbserver/cmd/mb/terminal"
)

func (a *app) info() *cobra.Command {
	return &cobra.Command{
		Use:   "info",
		Short: "Show which node this is, since when, and its limits",
		Long: "Show which node answers: its ID, its version as it says it (with the commit, " +
			"where the node's build has one in it),\n" +
			"how long it has been running, the limits that it tells clients, and how much it is " +
			"used. The protocol does not tell\n" +
			"a node's other listeners and limits: mb-server --check prints them where the node's " +
			"configuration is.",
		Example: "  mb info\n  mb info --server wss://broker.example --json",
		Args:    cobra.NoArgs,
		RunE:    work(func(ctx context.Context, _ []string) error { return a.showInfo(ctx) }),
	}
}

// about is what mb info tells; durations are in seconds.
type about struct {
	Server      string        `json:"server"`
	NodeID      string        `json:"nodeId"`
	Version     string        `json:"version"`
	Uptime      float64       `json:"uptime"`
	Connect     float64       `json:"connect"`   // time until the node had said hello
	RoundTrip   float64       `json:"roundTrip"` // of one heartbeat
	Limits      client.Limits `json:"limits"`
	Connections float64       `json:"connections"`
	Outstanding float64       `json:"outstanding"`
	Queued      float64       `json:"queued"`
	CPU         float64       `json:"cpu"` // 0 to 1 of all cores
	Memory      float64       `json:"memory"`
	MemoryShare float64       `json:"memoryShare"`
	Tool        string        `json:"tool"` // the version of mb
}

func (a *app) showInfo(ctx context.Context) error {
	start := time.Now()
	v, err := a.visit(ctx, client.WithoutReconnect())
	if err != nil {
		return err
	}
	defer v.close()
	connect := time.Since(start)
	trip, err := v.RoundTrip(ctx)
	if err != nil {
		return err
	}
	f, err := v.Figures(ctx)
	if err != nil {
		return err
	}
	i := about{
		Server: a.address(), NodeID: v.client.NodeID(), Version: v.client.ServerVersion(),
		Uptime: f[observe.Uptime], Connect: connect.Seconds(), RoundTrip: trip.Seconds(),
		Limits: v.client.Limits(), Connections: f[observe.Connected],
		Outstanding: f[observe.Outstanding], Queued: f[observe.Queued], CPU: f[observe.CPU],
		Memory: f[observe.Memory], MemoryShare: f[observe.MemoryShare], Tool: build.Full(),
	}
	if a.json {
		return objects(a, []about{i})
	}
	limit := func(v int) string {
		if v == 0 {
			return "not told"
		}
		return number(v)
	}
	payload, longest := "not told", "not told"
	if i.Limits.PayloadBytes > 0 {
		payload = human.Bytes(float64(i.Limits.PayloadBytes))
	}
	if i.Limits.TimeoutMs > 0 {
		longest = human.Span(time.Duration(i.Limits.TimeoutMs) * time.Millisecond)
	}
	return a.table("SERVER\t"+i.Server, func(w io.Writer) {
		for _, row := range [][2]string{
			{"node", terminal.Cell(i.NodeID)},
			{"version", terminal.Cell(i.Version)},
			{"uptime", human.Span(f.Uptime())},
			{"connect", human.Latency(connect)},
			{"round trip", human.Latency(trip)},
			{"connections", number(int(i.Connections))},
			{"outstanding", number(int(i.Outstanding)) + " requests, of " +
				limit(i.Limits.OutstandingRequests)},
			{"queued", number(int(i.Queued)) + " requests"},
			{"cpu", human.Percent(i.CPU)},
			{"memory", human.Bytes(i.Memory) + ", " + human.Percent(i.MemoryShare) +
				" of the machine's"},
			{"largest payload", payload},
			{"longest timeout", longest},
			{"this tool", i.Tool},
		} {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", row[0], row[1]) // A buffer takes everything.
		}
	})
}
