package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
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
	admin    string

	visit *visit
	// exports is the address of the admin listener that is asked; empty: none.
	exports string
}

// Values of --admin that are no address.
const (
	adminAuto = "auto"
	adminOff  = "off"
)

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
			"Only the admin listener tells how many messages go out. Of a node on this machine " +
			"it is found where it is by default;\n" +
			"it counts only when it is the same node's.",
		Example: "  mb top\n  mb top --server tcp://broker:3001 --admin broker:3002\n" +
			"  mb top --count 1\n  mb top --json --interval 10s >> node.ndjson",
		Args: cobra.NoArgs,
		RunE: work(func(ctx context.Context, _ []string) error { return w.run(ctx) }),
	}
	f := cmd.Flags()
	f.DurationVarP(&w.interval, "interval", "i", time.Second,
		"`TIME` between two looks; more when the node takes long to answer")
	f.IntVarP(&w.count, "count", "n", 0, "print `N` snapshots and end")
	f.StringVar(&w.admin, "admin", environment("MB_ADMIN", adminAuto),
		"`HOST:PORT` of the node's admin listener, auto or off (environment: MB_ADMIN)")
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
			client.OnError(func(*client.Error) {}), client.OnGap(func(client.Gap) {}))
	} else {
		opts = append(opts, client.WithoutReconnect())
	}
	v, err := a.visit(ctx, opts...)
	if err != nil {
		return err
	}
	defer v.close()
	w.visit = v
	if err := w.findAdmin(ctx); err != nil {
		return err
	}
	o := top.Options{
		Source: w.sample, Notes: notes, Interval: w.interval, Server: a.address(), Order: w.order,
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

// findAdmin decides which admin listener is asked. One that the user named must answer.
func (w *watcher) findAdmin(ctx context.Context) error {
	if w.admin == adminOff {
		return nil
	}
	address := w.admin
	if address == adminAuto {
		u, err := url.Parse(w.app.address())
		if err != nil || !loopback(u.Hostname()) {
			return nil
		}
		address = "127.0.0.1:3002"
	}
	asked, cancel := context.WithTimeout(ctx, w.app.timeout)
	defer cancel()
	e, err := observe.ReadExport(asked, address)
	if w.admin == adminAuto {
		if err == nil && e.NodeID == w.visit.client.NodeID() {
			w.exports = address
		}
		return nil
	}
	if err == nil && e.NodeID != w.visit.client.NodeID() {
		err = fmt.Errorf("the admin listener at %s is another node's (%s)", address, e.NodeID)
	}
	w.exports = address
	return err
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// sample asks the node, and its admin listener if there is one.
func (w *watcher) sample(ctx context.Context, subscriptions bool) (*observe.Sample, error) {
	s, err := w.visit.Sample(ctx, subscriptions)
	if err != nil || w.exports == "" {
		return s, err
	}
	asked, cancel := context.WithTimeout(ctx, w.app.timeout)
	defer cancel()
	// Without it there are only some numbers less.
	if e, err := observe.ReadExport(asked, w.exports); err == nil && e.NodeID == s.NodeID {
		s.Exported = e.Values
	}
	return s, nil
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
		s, err := w.sample(ctx, !w.app.json)
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
