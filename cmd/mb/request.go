package main

import (
	"context"
	"encoding/json"
	"errors"
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
	failed   int // printer goroutine only, then read after it
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
	s := &source{app: a}
	r := &requester{app: a}
	var version string
	cmd := &cobra.Command{
		Use:   "request TOPIC [PAYLOAD]",
		Short: "Send requests and print the answers",
		Long: "Send one request with PAYLOAD, or one for every line of the input, and print the " +
			"answers in the order of the requests.\n" +
			"An input without a line makes one request with an empty payload. TOPIC may hold " +
			"fields of JSON payloads as in mb pub.\n\n" +
			"An error answer is printed on standard error and the work goes on; the exit code is " +
			"then 1. Each answer is waited for\n" +
			"--timeout; the broker gets it as the deadline.",
		Example: "  mb request time.now ''\n  mb request users.get --parallel 16 < ids.txt",
		Args:    cobra.MaximumNArgs(2),
		RunE: work(func(ctx context.Context, args []string) error {
			if err := s.arguments(args); err != nil {
				return err
			}
			if r.parallel < 1 {
				return usageError("--parallel must be at least 1")
			}
			return r.run(ctx, s, version)
		}),
	}
	f := cmd.Flags()
	s.register(f, "lines")
	f.IntVar(&r.parallel, "parallel", 1, "requests in flight at the same time")
	f.StringVar(&version, "version-of-message", client.DefaultVersion,
		"`VERSION` of the messages, MAJOR.MINOR.PATCH")
	return cmd
}

func (r *requester) run(ctx context.Context, s *source, version string) error {
	c, err := r.app.dial(ctx, client.WithoutReconnect(), client.WithMessageVersion(version))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // It never fails.
	out := newOutput(r.app.stdout)
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
		sent++
		x := &exchange{number: number, topic: topic, done: make(chan struct{})}
		inFlight <- x
		go r.exchange(ctx, c, x, payload)
		return nil
	}
	err = s.each(ctx, send)
	if err == nil && sent == 0 && ctx.Err() == nil && !s.tsv && s.topic.fixed() {
		err = send(1, s.topic.text, nil)
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
		r.failed++
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
		said := map[string]any{"message": x.err.Error()}
		var e *client.Error
		if errors.As(x.err, &e) {
			said = map[string]any{"code": e.Code, "message": e.Message}
			if e.Details != nil {
				said["details"] = e.Details
			}
		}
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
