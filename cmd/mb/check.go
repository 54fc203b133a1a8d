package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/cmd/mb/human"
	"mbserver/cmd/mb/observe"
	"mbserver/cmd/mb/terminal"
)

// Exit codes of mb check, as monitoring plugins have them.
const (
	stateOK = iota
	stateWarning
	stateCritical
	stateUnknown
)

var stateNames = []string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}

// checkName is the name of the command, whose errors are verdicts.
const checkName = "check"

// verdict ends mb check: its exit code is the state, and the line has been printed.
type verdict int

func (v verdict) Error() string { return stateNames[v] }

// checker is one run of mb check.
type checker struct {
	app      *app
	limits   [len(checks)]limit
	services []string
	over     time.Duration
	exporter exporter
}

// reading is what mb check looks at.
type reading struct {
	sample *observe.Sample
	rates  observe.Rates
}

// check is one figure that mb check can look at.
type check struct {
	name, usage string
	unit        unit
	// value returns false when the node does not tell it.
	value func(*reading) (float64, bool)
}

func figureOf(name string) func(*reading) (float64, bool) {
	return func(r *reading) (float64, bool) { v, ok := r.sample.Figures[name]; return v, ok }
}

func rateOf(of func(*observe.Rates) float64) func(*reading) (float64, bool) {
	return func(r *reading) (float64, bool) { return of(&r.rates), true }
}

// backlog is the largest of a connection, as the node's list or its admin listener tells it.
func backlog(r *reading) (v float64, told bool) {
	v, told = r.sample.Exported[observe.LargestBacklog]
	for i := range r.sample.Connections {
		if p := r.sample.Connections[i].BacklogBytes; p != nil {
			v, told = max(v, float64(*p)), true
		}
	}
	return v, told
}

var checks = [...]check{
	{"latency", "round trip of a heartbeat", seconds, func(r *reading) (float64, bool) {
		return r.sample.RoundTrip.Seconds(), true
	}},
	{"connections", "connections", plain, figureOf(observe.Connected)},
	{"outstanding", "requests not answered yet", plain, figureOf(observe.Outstanding)},
	{"queued", "requests that wait for room", plain, figureOf(observe.Queued)},
	{"backlog", "bytes that wait for the slowest connection", size, backlog},
	{"dropped", "deliveries lost a second", plain,
		rateOf(func(r *observe.Rates) float64 { return r.Dropped })},
	{"errors", "messages answered with an error a second", plain,
		rateOf(func(r *observe.Rates) float64 { return r.Errors })},
	{"timeouts", "requests a second that nobody answered in time", plain,
		rateOf(func(r *observe.Rates) float64 { return r.Timeouts })},
	{"memory", "resident memory of the node", size, figureOf(observe.Memory)},
	{"memory-share", "resident memory, of the machine's", percent, figureOf(observe.MemoryShare)},
	{"cpu", "CPU time of the node, of all cores", percent, figureOf(observe.CPU)},
}

func (a *app) check() *cobra.Command {
	c := &checker{app: a}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a node for a monitoring system",
		Long: "Check a node as a monitoring plugin does (Nagios, Icinga, Zabbix, Sensu): one " +
			"line with the state, the reasons and\n" +
			"the figures, and the exit code 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. A node that " +
			"does not answer within --timeout\n" +
			"is CRITICAL; a wrong command line, or a limit on what the node does not tell, is " +
			"UNKNOWN.\n\n" +
			"A limit is WARNING,CRITICAL, each a number above which the state holds; one may be " +
			"missing: --queued 100, --queued ,1000.\n" +
			"Rates are those of the last second, or of --over.",
		Example: "  mb check --latency 50ms,500ms --queued 100,1000 --dropped 0,100\n" +
			"  mb check --memory-share 60%,80% --service clock --over 5s",
		Args: cobra.NoArgs,
		RunE: work(func(ctx context.Context, _ []string) error { return c.run(ctx) }),
	}
	f := cmd.Flags()
	for i := range checks {
		c.limits[i].unit = checks[i].unit
		f.Var(&c.limits[i], checks[i].name, "`LIMIT` for "+checks[i].usage)
	}
	f.StringSliceVar(&c.services, "service", nil,
		"critical when no service has this `NAME` or ID; several with commas")
	f.DurationVar(&c.over, "over", 0, "measure rates over this `TIME`")
	c.exporter.register(f)
	return cmd
}

// checked makes a verdict of whatever else ended mb check, a wrong command line above all: what
// calls it looks for one line on standard output, and for exit codes that are states.
func (a *app) checked(err error) error {
	if _, is := errors.AsType[verdict](err); err == nil || is {
		return err
	}
	return a.judge(stateUnknown, []string{err.Error()}, nil)
}

// judge prints the line and returns the verdict.
func (a *app) judge(state int, reasons, data []string) error {
	line := "MB " + stateNames[state] + " - " + terminal.Cell(strings.Join(reasons, ", "))
	// What is before the bar is text, what is behind it is data.
	line = strings.ReplaceAll(line, "|", "/")
	if len(data) > 0 {
		line += " | " + strings.Join(data, " ")
	}
	if _, err := fmt.Fprintln(a.stdout, line); err != nil {
		return verdict(stateUnknown) // Nobody has seen it.
	}
	return verdict(state)
}

func (c *checker) run(ctx context.Context) error {
	if c.over < 0 {
		return usageError("--over must not be negative")
	}
	r, err := c.read(ctx)
	switch usage, wrong := errors.AsType[usageError](err); {
	case wrong:
		return usage
	case err != nil && ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil:
		return c.app.judge(stateCritical, []string{err.Error()}, nil)
	}
	return c.app.judge(c.weigh(r))
}

// read asks the node. All of it may take --timeout, and --over.
func (c *checker) read(ctx context.Context) (*reading, error) {
	ctx, cancel := context.WithTimeout(ctx, c.app.timeout+c.over)
	defer cancel()
	v, err := c.app.visit(ctx, client.WithoutReconnect())
	if err != nil {
		return nil, err
	}
	defer v.close()
	if err := c.exporter.find(ctx, c.app, v); err != nil {
		return nil, err
	}
	r := &reading{}
	var before *observe.Sample
	if c.over > 0 {
		if before, err = c.exporter.sample(ctx, v, false); err != nil {
			return nil, err
		}
		select {
		case <-time.After(c.over):
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-v.client.Closing():
			return nil, v.client.Err()
		}
	}
	if r.sample, err = c.exporter.sample(ctx, v, false); err != nil {
		return nil, err
	}
	r.rates = r.sample.Since(before)
	return r, nil
}

// weigh finds the worst state, the reasons for it, and the figures.
func (c *checker) weigh(r *reading) (state int, reasons, data []string) {
	for i := range checks {
		limit, k := &c.limits[i], &checks[i]
		v, told := k.value(r)
		if !told {
			if limit.given() {
				state = worse(state, stateUnknown)
				reasons = append(reasons, k.name+" is not told by the node")
			}
			continue
		}
		if exceeded, by := limit.state(v); exceeded != stateOK {
			state = worse(state, exceeded)
			reasons = append(reasons, fmt.Sprintf("%s %s above %s",
				k.name, k.unit.write(v), k.unit.write(by)))
		}
		data = append(data, k.name+"="+limit.data(v))
	}
	for _, name := range c.services {
		if !slices.ContainsFunc(r.sample.Connections, func(s observe.Connection) bool {
			return s.Is(name)
		}) {
			state = worse(state, stateCritical)
			reasons = append(reasons, "no service "+name)
		}
	}
	if len(reasons) == 0 {
		reasons = []string{fmt.Sprintf("answers in %s, %s connections, up %s",
			human.Latency(r.sample.RoundTrip), human.Count(r.sample.Figures[observe.Connected]),
			human.Span(r.sample.Figures.Uptime()))}
	}
	return state, reasons, data
}

// worse returns the state that matters more: what is known to be critical more than what is not
// known.
func worse(a, b int) int {
	order := []int{stateOK, stateWarning, stateUnknown, stateCritical}
	if slices.Index(order, a) > slices.Index(order, b) {
		return a
	}
	return b
}
