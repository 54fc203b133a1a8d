package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/codec"
)

// requester is one run of mb request.
type requester struct {
	app      *app
	parallel int
	failFast bool
	failed   int           // printer goroutine only, then read after it
	enough   chan struct{} // closed at the first error with failFast
}

// exchange is one request and, once done is closed, its answer.
type exchange struct {
	number int
	topic  string
	answer []byte
	err    error
	took   time.Duration
	done   chan struct{}
}

func (a *app) request() *cobra.Command {
	s := &source{app: a, prints: true}
	r := &requester{app: a}
	cmd := &cobra.Command{
		Use:     "request TOPIC [PAYLOAD]",
		Aliases: []string{"req"},
		Short:   "Send requests and print the answers",
		Long: "Send one request with PAYLOAD, or one for every line of the input, and print the " +
			"answers in the order of the requests.\n" +
			"An input without a line makes one request with an empty payload. TOPIC may hold " +
			"fields of JSON payloads as in mb pub.\n\n" +
			"An error answer is printed on standard error and the work goes on (--fail-fast ends " +
			"it); the exit code is then 1. Each\n" +
			"answer is waited for --timeout; the broker gets it as the deadline.",
		Example: "  mb request time.now ''\n  mb request users.get --parallel 16 < ids.txt",
		Args:    cobra.MaximumNArgs(2),
		RunE: work(func(ctx context.Context, args []string) error {
			if err := s.arguments(args); err != nil {
				return err
			}
			if r.parallel < 1 {
				return usageError("--parallel must be at least 1")
			}
			r.failFast = s.failFast
			return r.run(ctx, s)
		}),
	}
	f := cmd.Flags()
	s.register(f, "lines")
	f.Lookup("fail-fast").Usage = "end at the first line that cannot be sent, and at the first " +
		"error answer"
	f.IntVar(&r.parallel, "parallel", 1, "requests in flight at the same time")
	return cmd
}

func (r *requester) run(ctx context.Context, s *source) error {
	c, err := r.app.dial(ctx, client.WithoutReconnect(), client.WithMessageVersion(s.version))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // It never fails.
	out := newOutput(r.app.stdout)
	r.enough = make(chan struct{})
	// A slot for each request in flight, taken before and given back after printing.
	inFlight := make(chan *exchange, r.parallel)
	slots := make(chan struct{}, r.parallel)
	var printing sync.WaitGroup
	printing.Go(func() {
		for x := range inFlight {
			<-x.done
			r.print(out, x)
			<-slots
		}
	})
	sent := 0
	send := func(number int, topic string, payload []byte) error {
		select {
		case slots <- struct{}{}:
		case <-out.broken:
			return errSaid // close tells the error
		case <-c.Closing():
			return c.Err()
		}
		select {
		case <-r.enough:
			return errSaid // print did
		default:
		}
		sent++
		x := &exchange{number: number, topic: topic, done: make(chan struct{})}
		inFlight <- x
		go r.exchange(ctx, c, x, payload)
		return nil
	}
	err = s.each(ctx, send)
	if err == nil && sent == 0 && ctx.Err() == nil && !s.tsv && s.topic.Fixed() {
		err = send(1, s.topic.String(), nil)
	}
	close(inFlight)
	printing.Wait()
	if lost := out.close(); lost != nil {
		return lost
	}
	if err == nil && r.failed > 0 {
		err = errSaid
	}
	return err
}

func (r *requester) exchange(ctx context.Context, c *client.Client, x *exchange, payload []byte) {
	defer close(x.done)
	asked, cancel := r.app.ask(ctx)
	defer cancel()
	start := time.Now()
	x.answer, x.err = c.Request(asked, x.topic, payload)
	x.took = time.Since(start)
}

func (r *requester) print(out *output, x *exchange) {
	if x.err != nil {
		if r.failed++; r.failed == 1 && r.failFast {
			close(r.enough)
		}
		if x.number > 1 {
			r.app.complain("request %d: %v", x.number, x.err)
		} else {
			r.app.complain("%v", x.err)
		}
	}
	out.add(func(dst []byte) []byte {
		if r.app.json {
			return appendExchange(dst, x)
		}
		if x.err != nil {
			return dst
		}
		return append(append(dst, x.answer...), '\n')
	})
}

func appendExchange(dst []byte, x *exchange) []byte {
	dst = codec.AppendJSONQuoted(append(dst, `{"topic":`...), x.topic)
	if x.err == nil {
		dst = appendPayload(dst, x.answer)
	} else {
		said := saidError{Message: x.err.Error()}
		said.detail(x.err)
		object, err := json.Marshal(said)
		if err != nil {
			object = fmt.Appendf(nil, "%q", x.err.Error())
		}
		dst = append(append(dst, `,"error":`...), object...)
	}
	dst = append(dst, `,"ms":`...)
	dst = strconv.AppendFloat(dst, float64(x.took.Microseconds())/1000, 'f', -1, 64)
	return append(dst, "}\n"...)
}
