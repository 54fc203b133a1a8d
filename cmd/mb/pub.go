package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mbserver/client"
)

// ackWindow is how many publishes may wait for their acknowledgement.
const ackWindow = 1024

// publication is one run of mb pub.
type publication struct {
	app         *app
	client      *client.Client
	ack         bool
	failNoRoute bool

	published int
	waiting   []client.Pending // in the order sent

	// Guarded by mu: the hooks run on another goroutine.
	mu          sync.Mutex
	subscribers int
	dropped     int
	unconfirmed int // the most nodes that did not say what became of one of them
	noRoute     int
	failed      int
	firstFailed error
}

func (a *app) pub() *cobra.Command {
	s := &source{app: a}
	p := &publication{app: a}
	cmd := &cobra.Command{
		Use:     "pub TOPIC [PAYLOAD]",
		Aliases: []string{"publish"},
		Short:   "Publish messages",
		Long: "Publish one PAYLOAD, or every line of the input (standard input or --file) as one " +
			"message; empty lines are skipped,\n" +
			"and so are lines that cannot be sent: they are told, and the exit code is 1.\n\n" +
			"TOPIC may hold fields of JSON payloads: {origin} is the text of the field in lower " +
			"case, {a.b} a field of an object, and\n" +
			"{delay:early<0,ontime<15,late} the name whose bound is the first one above the " +
			"number (the last name otherwise).\n\n" +
			"The command ends when the broker has taken every message. Messages without a " +
			"subscriber are counted on standard error;\n" +
			"they are an error only with --fail-no-route.",
		Example: "  mb pub news.weather sunny\n" +
			"  mb pub 'flights.{origin}.{delay:early<0,ontime<15,late}' --file flights.ndjson " +
			"--rate 2000\n" +
			`  printf 'a.b\thello\n' | mb pub --tsv --ack`,
		Args: cobra.MaximumNArgs(2),
		RunE: work(func(ctx context.Context, args []string) error {
			if err := s.arguments(args); err != nil {
				return err
			}
			return p.run(ctx, s)
		}),
	}
	f := cmd.Flags()
	s.register(f, "lines")
	f.BoolVar(&p.ack, "ack", false, "ask the broker to acknowledge every message, and count the "+
		"deliveries; what a subscriber with drop-oldest or conflation loses later is among them")
	f.BoolVar(&p.failNoRoute, "fail-no-route", false,
		"exit with 1 when a message had no subscriber")
	return cmd
}

func (p *publication) run(ctx context.Context, s *source) error {
	flow := func(f client.Flow) {
		p.app.notice("the broker has %s this publisher (topic %s)", f.State, f.Topic)
	}
	c, err := p.app.dial(ctx, client.WithoutReconnect(), client.WithMessageVersion(s.version),
		client.OnError(p.refused), client.OnFlow(flow))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // It never fails.
	p.client = c
	start := time.Now()
	err = s.each(ctx, func(_ int, topic string, payload []byte) error {
		if err := p.publish(ctx, topic, payload); err != nil {
			return err
		}
		p.published++
		return nil
	})
	// What was sent counts, whatever came then. A broker that is gone or does not
	// answer any more ends these waits: the client notices.
	finish := context.WithoutCancel(ctx)
	var settled error
	for settled == nil && len(p.waiting) > 0 && c.Err() == nil {
		settled = p.settleOne(finish)
	}
	if settled == nil {
		settled = c.Settle(finish)
	}
	// What is lost with the connection weighs more than a signal.
	if _, early := errors.AsType[interrupted](err); err == nil || early && settled != nil {
		err = settled
	}
	return p.report(err, time.Since(start), s.skipped, p.published > 1 || !s.given)
}

func (p *publication) publish(ctx context.Context, topic string, payload []byte) error {
	if !p.ack {
		return p.client.Publish(context.WithoutCancel(ctx), topic, payload)
	}
	if len(p.waiting) >= ackWindow {
		if err := p.settleOne(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	pending, err := p.client.PublishAsync(context.WithoutCancel(ctx), topic, payload)
	if err == nil {
		p.waiting = append(p.waiting, pending)
	}
	return err
}

// settleOne waits for the oldest acknowledgement. Only a lost connection is an error.
func (p *publication) settleOne(ctx context.Context) error {
	ack, err := p.waiting[0].Wait(ctx)
	p.waiting = p.waiting[1:]
	var e *client.Error
	switch {
	case errors.As(err, &e):
		p.refused(e)
		return nil
	case err != nil:
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subscribers += ack.Subscribers
	p.dropped += ack.Dropped
	p.unconfirmed = max(p.unconfirmed, ack.Unconfirmed)
	return nil
}

func (p *publication) refused(e *client.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(e, client.ErrNoRoute) {
		p.noRoute++
		return
	}
	count := 1
	if n, ok := e.Details["count"].(uint64); ok && e.Code == client.CodeEventsDropped {
		count = int(n) // refusals that were not shown one by one
	}
	p.failed += count
	if p.firstFailed == nil {
		p.firstFailed = e
	}
}

// report says what became of the messages; err is what ended the work early.
func (p *publication) report(err error, took time.Duration, skipped int, summary bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Of those that a message was routed to, some may have had no room for it.
	delivered := p.subscribers - p.dropped
	if p.app.json {
		result := map[string]any{
			"published": p.published, "noRoute": p.noRoute, "failed": p.failed,
			"skipped": skipped, "seconds": took.Seconds(),
		}
		if p.ack {
			result["subscribers"], result["dropped"] = p.subscribers, p.dropped
			result["unconfirmed"] = p.unconfirmed
			result["deliveries"] = delivered
		}
		line, _ := json.Marshal(result) // Numbers only.
		if _, werr := p.app.stdout.Write(append(line, '\n')); err == nil {
			err = werr
		}
	} else if summary || p.ack {
		text := fmt.Sprintf("published %s in %v",
			plural(p.published, "message"), took.Round(time.Millisecond))
		if p.ack {
			text += ", deliveries: " + number(delivered)
		}
		if p.dropped > 0 {
			text += fmt.Sprintf(", %s more lost: the subscribers are too slow", number(p.dropped))
		}
		if p.unconfirmed > 0 {
			text += fmt.Sprintf(", without those of %s that did not say in time",
				plural(p.unconfirmed, "node"))
		}
		p.app.notice("%s", text)
	}
	if p.noRoute > 0 {
		tell := p.app.notice
		if p.failNoRoute {
			tell = p.app.complain
		}
		tell("NO_ROUTE_FOUND: %s of %s had no subscriber",
			number(p.noRoute), plural(p.published, "message"))
	}
	var refused error
	if p.failed > 0 {
		refused = fmt.Errorf("refused: %s of %s, the first with %w",
			number(p.failed), plural(p.published, "message"), p.firstFailed)
	}
	switch {
	case err != nil:
		if refused != nil {
			p.app.complain("%v", refused)
		}
		return err
	case refused != nil:
		return refused
	case p.noRoute > 0 && p.failNoRoute:
		return errSaid
	}
	return nil
}
