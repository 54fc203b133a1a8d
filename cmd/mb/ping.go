package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/cmd/mb/human"
)

// pinger is one run of mb ping.
type pinger struct {
	app      *app
	count    int
	interval time.Duration

	client   *client.Client // nil: not connected
	sent     int
	answered int
	times    *hdrhistogram.Histogram // nanoseconds
}

func (a *app) ping() *cobra.Command {
	p := &pinger{app: a}
	cmd := &cobra.Command{
		Use:   "ping",
		Short: "Measure how fast the node answers",
		Long: "Ask the node for heartbeats, one after the other on one connection, and say how " +
			"long each answer took: the network,\n" +
			"the node's loop and its queue, without any service. A node that cannot be reached " +
			"is tried again with each one.\n\n" +
			"Exit codes as of ping: 0 at least one answer came, 1 none did, 2 another error. " +
			"--timeout is how long one may take.",
		Example: "  mb ping\n  mb ping --count 1000 --interval 1ms --quiet\n" +
			"  until mb ping --count 1 --timeout 1s; do :; done",
		Args: cobra.NoArgs,
		RunE: work(func(ctx context.Context, _ []string) error {
			if p.count < 0 {
				return usageError("--count must not be negative")
			}
			if p.interval < 0 {
				return usageError("--interval must not be negative")
			}
			return p.run(ctx)
		}),
	}
	f := cmd.Flags()
	f.IntVarP(&p.count, "count", "n", 0, "end after `N` heartbeats")
	f.DurationVarP(&p.interval, "interval", "i", time.Second, "`TIME` from one to the next")
	return cmd
}

func (p *pinger) run(ctx context.Context) error {
	// From a microsecond to ten minutes, which is more than anybody waits, with three digits.
	p.times = hdrhistogram.New(int64(time.Microsecond), int64(10*time.Minute), 3)
	defer func() { p.leave() }()
	start := time.Now()
	due := time.NewTimer(0)
	defer due.Stop()
	for next := start; p.count == 0 || p.sent < p.count; {
		select {
		case <-due.C:
		case <-ctx.Done():
			return p.summary(time.Since(start))
		}
		if err := p.one(ctx); err != nil {
			return err
		}
		// Late ones are not made up for in a burst.
		if next = next.Add(p.interval); next.Before(time.Now()) {
			next = time.Now()
		}
		due.Reset(time.Until(next))
	}
	return p.summary(time.Since(start))
}

// one sends one heartbeat and tells. Only an error that does not go away is returned.
func (p *pinger) one(ctx context.Context) error {
	took, err := p.measure(ctx)
	if ctx.Err() != nil && err != nil {
		return nil // interrupted: it does not count
	}
	p.sent++
	if err == nil {
		p.answered++
		_ = p.times.RecordValue(min(int64(took), p.times.HighestTrackableValue())) // It fits.
		return p.tell(took, nil)
	}
	p.leave()
	if _, usage := errors.AsType[usageError](err); usage || errors.Is(err, client.ErrUnauthorized) {
		return err
	}
	return p.tell(0, err)
}

// measure connects if need be, which does not count, and times one heartbeat.
func (p *pinger) measure(ctx context.Context) (time.Duration, error) {
	if p.client == nil {
		c, err := p.app.dial(ctx, client.WithoutReconnect())
		if err != nil {
			return 0, err
		}
		p.client = c
	}
	asked, cancel := context.WithTimeout(ctx, p.app.timeout)
	defer cancel()
	start := time.Now()
	err := p.client.Ping(asked)
	return time.Since(start), err
}

// leave gives up the connection; the next heartbeat makes one.
func (p *pinger) leave() {
	if p.client != nil {
		_ = p.client.Close() // It never fails.
		p.client = nil
	}
}

// milliseconds is a time as numbers in JSON have it.
func milliseconds(ns int64) float64 { return float64(ns/1000) / 1000 }

// tell prints one heartbeat.
func (p *pinger) tell(took time.Duration, failed error) error {
	if p.app.json {
		said := map[string]any{"seq": p.sent}
		if failed != nil {
			said["error"] = failed.Error()
		} else {
			said["ms"] = milliseconds(int64(took))
		}
		return p.line(said)
	}
	if failed != nil {
		p.app.complain("seq=%d %v", p.sent, failed)
		return nil
	}
	if p.app.quiet {
		return nil
	}
	_, err := fmt.Fprintf(p.app.stdout, "%s: seq=%d time=%s\n",
		p.app.address(), p.sent, human.Latency(took))
	return err
}

func (p *pinger) line(object map[string]any) error {
	line, err := json.Marshal(object)
	if err != nil {
		return err
	}
	_, err = p.app.stdout.Write(append(line, '\n'))
	return err
}

// percentiles are those that are told.
var percentiles = []float64{50, 90, 99, 99.9}

// summary prints what all heartbeats were like.
func (p *pinger) summary(took time.Duration) error {
	if err := p.tellSummary(took); err != nil {
		return err
	}
	if p.answered == 0 && p.sent > 0 {
		return errSaid
	}
	return nil
}

func (p *pinger) tellSummary(took time.Duration) error {
	t := p.times
	if p.app.json {
		said := map[string]any{
			"sent": p.sent, "answered": p.answered, "seconds": took.Seconds(),
		}
		if p.answered > 0 {
			said["minMs"], said["maxMs"] = milliseconds(t.Min()), milliseconds(t.Max())
			said["meanMs"] = milliseconds(int64(t.Mean()))
			for _, q := range percentiles {
				said[fmt.Sprintf("p%vMs", q)] = milliseconds(t.ValueAtPercentile(q))
			}
		}
		return p.line(said)
	}
	lost := 0.0
	if p.sent > 0 {
		lost = float64(p.sent-p.answered) / float64(p.sent)
	}
	text := fmt.Sprintf("\n%s: %d sent, %d answered, %s lost, in %s\n", p.app.address(),
		p.sent, p.answered, human.Percent(lost), took.Round(time.Millisecond))
	if p.answered > 0 {
		of := func(ns int64) string { return human.Latency(time.Duration(ns)) }
		text += fmt.Sprintf("min %s, mean %s, max %s",
			of(t.Min()), of(int64(t.Mean())), of(t.Max()))
		for _, q := range percentiles {
			text += fmt.Sprintf(", p%v %s", q, of(t.ValueAtPercentile(q)))
		}
		text += "\n"
	}
	_, err := fmt.Fprint(p.app.stdout, text)
	return err
}
