package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mbserver/bench"
	"mbserver/cmd/mb/human"
	"mbserver/cmd/mb/load"
)

// loadPayload is the payload in bytes when none is given.
const loadPayload = 128

// loadWith makes cmd load a running node instead when --publishers or --subscribers is given.
// --payload and --duration are those of o.
func (a *app) loadWith(cmd *cobra.Command, o *bench.Options) {
	l := load.Options{}
	f := cmd.Flags()
	f.IntVar(&l.Publishers, "publishers", 1,
		"load the running node --server with `N` publishing clients")
	f.IntVar(&l.Subscribers, "subscribers", 1, "and with `N` clients that subscribe")
	f.Float64Var(&l.Rate, "rate", 0,
		"messages a second of all publishers together: an open `LOOP`; 0: as fast as they can")
	f.BoolVar(&l.Ack, "ack", false, "publishers wait for acknowledgements")
	f.StringVar(&l.Topic, "topic", "", "`TOPIC` of the messages (one that nobody else has)")
	own := []string{"publishers", "subscribers", "rate", "ack", "topic"}
	measure := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		given := func(name string) bool { return f.Changed(name) }
		if !given("publishers") && !given("subscribers") {
			if i := slices.IndexFunc(own, given); i >= 0 {
				return usageError("--" + own[i] + ": with --publishers and --subscribers only")
			}
			return measure(cmd, args)
		}
		wrong := ""
		f.Visit(func(flag *pflag.Flag) {
			if cmd.LocalNonPersistentFlags().Lookup(flag.Name) != nil &&
				!slices.Contains(append(own, "payload", "duration"), flag.Name) {
				wrong = flag.Name
			}
		})
		switch {
		case len(args) > 0:
			return usageError("--publishers and --subscribers go with no scenario: " + args[0])
		case wrong != "":
			return usageError("--" + wrong + ": not with --publishers and --subscribers")
		}
		l.Payload, l.Duration = loadPayload, o.Duration
		if given("payload") {
			l.Payload = o.Payloads[0]
		}
		if err := checkLoad(&l, len(o.Payloads), given("payload")); err != nil {
			return err
		}
		run := func(ctx context.Context, _ []string) error { return a.load(ctx, l) }
		return work(run)(cmd, args)
	}
}

func checkLoad(l *load.Options, payloads int, given bool) error {
	switch {
	case l.Publishers < 1:
		return usageError("--publishers must be at least 1")
	case l.Subscribers < 0:
		return usageError("--subscribers must not be negative")
	case l.Rate < 0:
		return usageError("--rate must not be negative")
	case l.Duration <= 0:
		return usageError("--duration must be positive")
	case given && payloads > 1:
		return usageError("--payload: one size with --publishers and --subscribers")
	case l.Payload < load.LeastPayload:
		return usageError(fmt.Sprintf("--payload must be at least %d", load.LeastPayload))
	}
	return nil
}

// load loads the node and tells what the clients saw.
func (a *app) load(ctx context.Context, l load.Options) error {
	l.Dial = a.dial
	if l.Topic == "" {
		l.Topic = fmt.Sprintf("mb.bench.r%d", rand.Uint64())
	}
	start := time.Now()
	r, err := load.Run(ctx, l)
	if err != nil {
		return err
	}
	if a.json {
		err = a.loadJSON(&l, r)
	} else {
		err = a.loadText(&l, r)
	}
	if err != nil {
		return err
	}
	if l.Rate == 0 && !l.Ack {
		a.notice("at full speed the latency is that of full queues: measure it with --rate")
	}
	a.notice("these are the clients' figures, of a process that shares its machine with them; " +
		"what the node costs is measured with mb bench SCENARIO --server URL --pid PID")
	if r.Refused > 0 {
		return fmt.Errorf("%d of %d messages were refused, the first with %w",
			r.Refused, r.Published, r.Refusal)
	}
	if ctx.Err() != nil {
		return interrupted(fmt.Sprintf("after %v of %v",
			time.Since(start).Round(time.Millisecond), l.Duration))
	}
	return nil
}

// perSecond is n over a time; 0 for none.
func perSecond(n int64, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(n) / took.Seconds()
}

func (a *app) loadText(l *load.Options, r *load.Result) error {
	var b strings.Builder
	line := func(name string, n int64, took time.Duration) {
		rate := perSecond(n, took)
		fmt.Fprintf(&b, "%-11s %12d  %10s  %12s/s\n",
			name, n, human.Rate(rate), human.Bytes(rate*float64(l.Payload)))
	}
	fmt.Fprintf(&b, "%s: %s, %s, %s each, %s\n", a.address(),
		plural(l.Publishers, "publisher"), plural(l.Subscribers, "subscriber"),
		human.Bytes(float64(l.Payload)), r.Took.Round(time.Millisecond))
	line("published", r.Published, r.Took)
	line("delivered", r.Delivered, r.Arriving)
	lost := r.Dropped + r.Missing
	share := 0.0
	if all := lost + r.Delivered; all > 0 {
		share = float64(lost) / float64(all)
	}
	fmt.Fprintf(&b, "%-11s %12d  %10s", "lost", lost, human.Percent(share))
	if lost > 0 {
		fmt.Fprintf(&b, "  %d told by the node as dropped for slow subscribers", r.Dropped)
	}
	b.WriteByte('\n')
	if h := r.Latency; h.TotalCount() > 0 {
		of := func(ns int64) string { return human.Latency(time.Duration(ns)) }
		fmt.Fprintf(&b, "%-11s min %s, mean %s", "latency", of(h.Min()), of(int64(h.Mean())))
		for _, q := range percentiles {
			fmt.Fprintf(&b, ", p%v %s", q, of(h.ValueAtPercentile(q)))
		}
		fmt.Fprintf(&b, ", max %s\n", of(h.Max()))
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

func (a *app) loadJSON(l *load.Options, r *load.Result) error {
	said := map[string]any{
		"server": a.address(), "publishers": l.Publishers, "subscribers": l.Subscribers,
		"payload": l.Payload, "rate": l.Rate, "ack": l.Ack, "seconds": r.Took.Seconds(),
		"published": r.Published, "publishedRate": perSecond(r.Published, r.Took),
		"delivered": r.Delivered, "deliveredRate": perSecond(r.Delivered, r.Arriving),
		"dropped": r.Dropped, "missing": r.Missing, "refused": r.Refused,
	}
	if h := r.Latency; h.TotalCount() > 0 {
		said["minMs"], said["maxMs"] = milliseconds(h.Min()), milliseconds(h.Max())
		said["meanMs"] = milliseconds(int64(h.Mean()))
		for _, q := range percentiles {
			said[fmt.Sprintf("p%vMs", q)] = milliseconds(h.ValueAtPercentile(q))
		}
	}
	line, err := json.Marshal(said)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(append(line, '\n'))
	return err
}
