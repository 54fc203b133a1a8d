package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"mbserver/client"
	"mbserver/cmd/mb/observe"
	"mbserver/cmd/mb/top"
	"mbserver/codec"
)

// watcher is one run of mb top.
type watcher struct {
	app      *app
	interval time.Duration
	count    int
	order    string
	exporter exporter

	visit *visit
}

// leastInterval is the shortest time between two samples.
const leastInterval = 100 * time.Millisecond

// notesWaiting bounds the lines of the log that wait for the screen.
const notesWaiting = 256

func (a *app) top() *cobra.Command {
	w := &watcher{app: a}
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch a node: rates, who is slow, topics, warnings",
		Long: "Watch a node: messages in and out, requests, errors and losses, a graph of the " +
			"last minutes, the connections by what\n" +
			"they hold up, the topics, and the warnings of its log. ? shows the keys.\n\n" +
			"Without a terminal, with --count or with --json it prints snapshots: one, or " +
			"--count of them, as text; with --json one\n" +
			"object a line, endlessly unless --count says how many.\n\n" +
			"Only the admin listener tells what goes out, and the largest backlog; see --admin.",
		Example: "  mb top\n  mb top --server tcp://broker:3001 --admin broker:3002\n" +
			"  mb top --count 1\n  mb top --json --interval 10s >> node.ndjson",
		Args: cobra.NoArgs,
		RunE: work(func(ctx context.Context, _ []string) error { return w.run(ctx) }),
	}
	f := cmd.Flags()
	f.DurationVarP(&w.interval, "interval", "i", time.Second,
		"`TIME` between two looks; more when the node takes long to answer")
	f.IntVarP(&w.count, "count", "n", 0, "print `N` snapshots and end")
	w.exporter.register(f)
	choice(cmd, &w.order, "sort", "sort the connections by `ORDER`", observe.Orders()...)
	return cmd
}

func (w *watcher) run(ctx context.Context) error {
	a := w.app
	switch {
	case w.count < 0:
		return usageError("--count must not be negative")
	case w.interval < leastInterval:
		return usageError(fmt.Sprintf("--interval must be at least %v", leastInterval))
	}
	in, inOK := terminalOf(a.stdin)
	out, outOK := terminalOf(a.out.w)
	live := inOK && outOK && w.count == 0 && !a.json && os.Getenv("TERM") != "dumb"
	notes := make(chan top.Note, notesWaiting)
	// A connection that is lost is made again, by the next sample's time at the latest.
	var opts []client.Option
	if live {
		opts = append(opts, client.WithName("mb top"),
			client.WithReconnect(100*time.Millisecond, time.Second, 0),
			client.OnDisconnect(func(error) {}), client.OnReconnect(func(client.Renewal) {}),
			client.OnError(func(*client.Error) {}), client.OnGap(func(client.Gap) {}),
			client.OnRevoked(func(*client.Subscription) {}))
	} else {
		opts = append(opts, client.WithoutReconnect())
	}
	v, err := a.visit(ctx, opts...)
	if err != nil {
		return err
	}
	defer v.close()
	w.visit = v
	if err := w.exporter.find(ctx, a, v); err != nil {
		return err
	}
	o := top.Options{
		Source: func(ctx context.Context, subscriptions bool) (*observe.Sample, error) {
			return w.exporter.sample(ctx, v, subscriptions)
		},
		Notes: notes, Interval: w.interval, Server: a.address(), Order: w.order,
	}
	if !live {
		return w.print(ctx, o)
	}
	if err := w.readLog(ctx, notes); err != nil {
		return err
	}
	return top.Run(ctx, in, out, o)
}

// terminalOf returns stream as a terminal, when it is one.
func terminalOf(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// readLog sends warnings and errors of the node's log to notes. Those that find no room are not
// seen: the screen keeps the newest anyway.
func (w *watcher) readLog(ctx context.Context, notes chan<- top.Note) error {
	asked, cancel := w.app.ask(ctx)
	defer cancel()
	filter := client.LogFilter{Levels: []string{"warn", "error"}}
	_, err := w.visit.client.SubscribeLog(asked, filter, func(m client.Message) {
		select {
		case notes <- noteOf(m.Payload):
		default:
		}
	})
	return err
}

// noteOf shortens a line of the log: the screen has little room.
func noteOf(payload []byte) top.Note {
	var line struct {
		Level     string
		Timestamp time.Time
	}
	text := logLine(payload)
	if json.Unmarshal(payload, &line) == nil {
		_, text, _ = strings.Cut(text, strings.ToUpper(line.Level))
		text = line.Timestamp.Local().Format(time.TimeOnly) + " " + strings.TrimSpace(text)
	}
	return top.Note{Level: line.Level, Text: text}
}

// print is mb top without a screen.
func (w *watcher) print(ctx context.Context, o top.Options) error {
	count := w.count
	if count == 0 && !w.app.json {
		count = 1
	}
	var before *observe.Sample
	next := time.NewTimer(0)
	defer next.Stop()
	for done := 0; count == 0 || done < count; done++ {
		select {
		case <-next.C:
		case <-ctx.Done():
			return cut(ctx, done, count, "snapshot")
		}
		next.Reset(w.interval)
		s, err := w.exporter.sample(ctx, w.visit, !w.app.json)
		if err != nil {
			if ctx.Err() != nil {
				return cut(ctx, done, count, "snapshot")
			}
			return err
		}
		if w.app.json {
			err = objects(w.app, []snapshot{newSnapshot(s, before, w.order)})
		} else {
			if done > 0 {
				_, _ = fmt.Fprintln(w.app.stdout) // The next write tells.
			}
			_, err = fmt.Fprint(w.app.stdout, top.Text(s, before, o))
		}
		if err != nil {
			return err
		}
		before = s
	}
	return nil
}

// snapshot is one line of mb top --json; durations are in seconds.
type snapshot struct {
	Time        string            `json:"time"`
	NodeID      string            `json:"nodeId"`
	Version     string            `json:"version"`
	Uptime      float64           `json:"uptime"`
	RoundTrip   float64           `json:"roundTrip"`
	Connections float64           `json:"connections"`
	Outstanding float64           `json:"outstanding"`
	Queued      float64           `json:"queued"`
	CPU         float64           `json:"cpu"`
	Memory      float64           `json:"memory"`
	Rates       observe.Rates     `json:"rates"`
	Busiest     []json.RawMessage `json:"busiest"` // connections, in the order of --sort
}

// busiest is how many connections a snapshot has.
const busiest = 10

func newSnapshot(s, before *observe.Sample, order string) snapshot {
	f := s.Figures
	line := snapshot{
		Time: s.At.UTC().Format(codec.TimestampLayout), NodeID: s.NodeID, Version: s.Version,
		Uptime: f[observe.Uptime], RoundTrip: s.RoundTrip.Seconds(),
		Connections: f[observe.Connected], Outstanding: f[observe.Outstanding],
		Queued: f[observe.Queued], CPU: f[observe.CPU], Memory: f[observe.Memory],
		Rates: s.Since(before), Busiest: []json.RawMessage{},
	}
	observe.Sort(s.Connections, order)
	for i := range s.Connections[:min(busiest, len(s.Connections))] {
		line.Busiest = append(line.Busiest, s.Connections[i].Raw)
	}
	return line
}
