package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mbserver/bench"
	"mbserver/bench/raw"
	"mbserver/cmd/internal/build"
)

func (a *app) bench() *cobra.Command {
	o := bench.DefaultOptions()
	o.Version = build.Full()
	var out string
	var quick bool
	cmd := &cobra.Command{
		Use:   "bench [SCENARIO...]",
		Short: "Measure what a node costs",
		Long: "Measure what a node costs: CPU time per message, latency, memory (Linux).\n\n" +
			"Starts a fresh mb-server for each repetition, pinned to one core, and loads it from " +
			"another. With --server it\n" +
			"measures a node that runs already; its CPU time and memory need --pid. SCENARIO is " +
			"a name or its beginning\n" +
			"(see mb bench list); without one every scenario of one node is measured, which " +
			"takes minutes. Those of\ncluster need what make bench-peers builds.",
		Example: "  mb bench fan-out request/1x1 --repeat 3\n" +
			"  mb bench --targets mb --transports tcp --payload 16,1024,65536 " +
			"--out results.json\n" +
			"  mb bench report results.json && mb bench compare old.json new.json\n" +
			"  mb bench --publishers 4 --subscribers 20 --payload 512 --rate 10000 --duration 10s",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := knownScenarios(cmd, args); err != nil {
				return err
			}
			o.Scenarios = args
			if quick {
				for name, value := range map[string]string{
					"repeat": "1", "duration": "300ms", "warmup": "100ms",
				} {
					if !cmd.Flags().Changed(name) {
						_ = cmd.Flags().Set(name, value) // The value is good.
					}
				}
			}
			if cmd.Flags().Changed("server") {
				u, err := url.Parse(a.server)
				if err != nil || u.Port() == "" || !slices.Contains(bench.Transports(), u.Scheme) {
					return usageError(fmt.Sprintf("--server %q: %s, with a port",
						a.server, strings.Join(bench.Transports(), ", ")))
				}
				if o.TLS, err = a.tlsConfig(a.server); err != nil {
					return &failure{err}
				}
				o.TLS.ServerName = or(o.TLS.ServerName, u.Hostname())
				for _, name := range []string{"loops", "procs"} {
					if cmd.Flags().Changed(name) {
						return usageError("--" + name + ": a running node has its own")
					}
				}
				o.Address, o.Transports = map[string]string{u.Scheme: u.Host}, []string{u.Scheme}
			}
			measure := func(ctx context.Context, _ []string) error { return a.measure(ctx, o, out) }
			return work(measure)(cmd, args)
		},
	}
	f := cmd.Flags()
	wordsFlag(cmd, &o.Targets, "targets", "`NAMES` of what is measured: "+
		strings.Join(bench.Targets(), ", ")+" (raw is the floor)", bench.Targets()...)
	wordsFlag(cmd, &o.Transports, "transports", "`NAMES` of transports: "+
		strings.Join(bench.Transports(), ", "), bench.Transports()...)
	f.IntSliceVar(&o.Payloads, "payload", o.Payloads, "payloads in `BYTES`, 16 to 65536")
	f.DurationVar(&o.Duration, "duration", o.Duration, "`TIME` of one measurement")
	f.DurationVar(&o.Warmup, "warmup", o.Warmup, "`TIME` before it that does not count")
	f.IntVar(&o.Repeat, "repeat", o.Repeat, "`N` repetitions, each against a fresh server")
	f.BoolVar(&quick, "quick", false, "one short repetition of each, unless said otherwise")
	f.IntSliceVar(&o.Loops, "loops", o.Loops, "loops of the node: measured with each of `COUNTS`")
	f.IntVar(&o.Procs, "procs", o.Procs, "GOMAXPROCS `N` of every server")
	f.IntVar(&o.ServerCore, "server-core", o.ServerCore,
		"processor `N` of the server, -1: not pinned")
	f.IntVar(&o.LoadCore, "load-core", o.LoadCore, "processor `N` of the load, -1: not pinned")
	f.StringVar(&o.Node, "node", "", "mb-server `FILE` (beside mb, or in PATH)")
	f.StringVar(&o.Peers, "peers", "bin/peers",
		"`FOLDER` of the peers that make bench-peers has built")
	f.StringVar(&o.Traffic, "traffic", o.Traffic, "`FILE` of flights for the scenario traffic")
	f.IntVar(&o.PID, "pid", 0, "with --server: `PID` of the node")
	f.StringVarP(&out, "out", "o", "", "write the results as JSON to `FILE` (- is standard output)")
	a.loadWith(cmd, &o)
	cmd.AddCommand(a.benchList(), a.benchCompare(), a.benchReport(), a.benchGuard(), a.benchHub())
	return cmd
}

// measure runs and shows. Results of a run that was cut short are shown too.
func (a *app) measure(ctx context.Context, o bench.Options, out string) error {
	o.Progress = func(line string) { a.notice("%s", line) }
	r, err := bench.Run(ctx, o)
	if r == nil {
		return err
	}
	if out != "-" {
		if shown := a.show(r); shown != nil {
			return errors.Join(err, shown)
		}
	}
	switch out {
	case "":
		return err
	case "-":
		return errors.Join(err, r.WriteJSON(a.stdout))
	}
	return errors.Join(err, toFile(out, r.WriteJSON))
}

func (a *app) show(r *bench.Results) error {
	if a.json {
		return objects(a, []*bench.Results{r})
	}
	return r.WriteTable(a.stdout)
}

// knownScenarios refuses names of scenarios, or of commands below bench, that
// there are none of.
func knownScenarios(cmd *cobra.Command, names []string) error {
	known := scenarioNames()
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	for _, name := range names {
		fits := func(k string) bool { return k == name || strings.HasPrefix(k, name+"/") }
		if !slices.ContainsFunc(known, fits) {
			return usageError(fmt.Sprintf("unknown scenario %q%s", name, didYouMean(name, known)))
		}
	}
	return nil
}

func scenarioNames() []string {
	var names []string
	for _, s := range bench.Scenarios() {
		names = append(names, s.Name)
	}
	return names
}

// toFile writes a file whole or says why not.
func toFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// scenarioRow is a scenario as --json lists it.
type scenarioRow struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

func (a *app) benchList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the scenarios",
		Args:  cobra.NoArgs,
		RunE: work(func(context.Context, []string) error {
			if a.json {
				var rows []scenarioRow
				for _, s := range bench.Scenarios() {
					rows = append(rows, scenarioRow{s.Name, s.About})
				}
				return objects(a, rows)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
			for _, s := range bench.Scenarios() {
				_, _ = fmt.Fprintf(w, "%s\t%s\n", s.Name, s.About) // Flush tells.
			}
			return w.Flush()
		}),
	}
}

// benchHub is the floor as a process of its own.
func (a *app) benchHub() *cobra.Command {
	return &cobra.Command{
		Use:    "hub PORT",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: work(func(ctx context.Context, args []string) error {
			port, err := strconv.ParseUint(args[0], 10, 16)
			if err != nil {
				return usageError(fmt.Sprintf("port %q", args[0]))
			}
			h, err := raw.Listen(int(port))
			if err != nil {
				return err
			}
			return h.Serve(ctx)
		}),
	}
}
