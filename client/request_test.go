package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

func echo(_ context.Context, r Request) ([]byte, error) { return r.Payload, nil }

func handle(
	t *testing.T, c *Client, pattern string, f Handler, opts ...HandleOption,
) *Subscription {
	t.Helper()
	s, err := c.Handle(testContext(t), pattern, f, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRequest(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		b := newBroker(t, clienttest.Options{})
		server, c := dial(t, b.URL(transport)), dial(t, b.URL(transport))
		handle(t, server, "svc.+", func(_ context.Context, r Request) ([]byte, error) {
			if r.Topic != "Svc.Echo" || r.Version != "1.0.0" ||
				len(r.ID) != 36 || r.ParentID != "" {
				t.Errorf("request %+v", r)
			}
			return append([]byte("re: "), r.Payload...), nil
		})
		var requests sync.WaitGroup
		for i := range 50 {
			requests.Go(func() {
				payload := fmt.Sprint(i)
				got, err := c.Request(testContext(t), "Svc.Echo", []byte(payload))
				if err != nil || string(got) != "re: "+payload {
					t.Errorf("Request: %q, %v", got, err)
				}
			})
		}
		requests.Wait()
	})
}

func TestRequestErrors(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("ws"))
	handle(t, c, "fail", func(context.Context, Request) ([]byte, error) {
		return nil, errors.New("out of \"paper\"")
	})
	handle(t, c, "fail.typed", func(context.Context, Request) ([]byte, error) {
		e := &Error{Code: "E_PAPER", Message: "none", Details: map[string]any{"tray": 2.0}}
		return nil, fmt.Errorf("wrapped: %w", e)
	})
	handle(t, c, "text", func(context.Context, Request) ([]byte, error) {
		return []byte("error: of another client"), nil
	})
	handle(t, c, "large", func(context.Context, Request) ([]byte, error) {
		return make([]byte, 20000), nil
	})
	ctx := testContext(t)

	var e *Error
	_, err := c.Request(ctx, "fail", nil)
	if !errors.Is(err, ErrHandler) || !errors.As(err, &e) ||
		e.Message != `out of "paper"` || e.Topic != "fail" || len(e.RequestID) != 36 {
		t.Errorf("plain error: %#v", err)
	}
	_, err = c.Request(ctx, "fail.typed", nil)
	if !errors.As(err, &e) ||
		e.Code != "E_PAPER" || e.Message != "none" || e.Details["tray"] != 2.0 {
		t.Errorf("typed error: %#v", err)
	}
	got, err := c.Request(ctx, "text", nil)
	if err != nil || string(got) != "error: of another client" {
		t.Errorf("error text: %q, %v", got, err)
	}
	_, err = c.Request(ctx, "large", nil)
	if !errors.Is(err, ErrInternal) || !strings.Contains(err.Error(), "16384") {
		t.Errorf("large answer: %v", err)
	}
	if _, err = c.Request(ctx, "nobody", nil); !errors.Is(err, ErrNoRoute) {
		t.Errorf("no route: %v", err)
	}
	if _, err = c.Request(ctx, "bad topic", nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("bad topic: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err = c.Request(canceled, "fail", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before: %v", err)
	}
}

func TestParseErrorForms(t *testing.T) {
	for payload, want := range map[string]codec.Code{
		`{"error":{"code":"TIMEOUT","message":"m"}}`: "TIMEOUT",
		" \n{ \"error\" : {\"code\":\"X\"}}":         "X",
		`{"error":"text"}`:                           "",
		`{"error":{"message":"no code"}}`:            "",
		`{"errors":{"code":"X"}}`:                    "",
		`{"data":1,"error":{"code":"X"}}`:            "",
		`{"error":{"code":"X"}`:                      "",
		`error: x`:                                   "",
		``:                                           "",
	} {
		e := parseError([]byte(payload), "t", "")
		if (e == nil) != (want == "") || e != nil && e.Code != want {
			t.Errorf("parseError(%s) = %v, want code %q", payload, e, want)
		}
	}
}

// The deadline of the context is the timeout field of the request, and the
// broker's TIMEOUT that comes after it is nobody's.
func TestRequestDeadline(t *testing.T) {
	timeouts := make(chan uint64, 1)
	late := make(chan *Error, 1)
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		if string(h.Topic) != "slow" {
			return false
		}
		timeouts <- h.TimeoutMs
		return true
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	c := dial(t, b.URL("tcp"), OnError(func(e *Error) { late <- e }))
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := c.Request(ctx, "slow", nil)
	var e *Error
	if !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) ||
		!errors.As(err, &e) || e.Topic != "slow" {
		t.Errorf("Request: %#v", err)
	}
	if ms := receive(t, "timeout field", timeouts); ms < 1 || ms > 300 {
		t.Errorf("timeout field %d", ms)
	}
	b.Conns()[0].Send("response:slow:1.0.0:"+e.RequestID,
		[]byte(`{"error":{"code":"TIMEOUT","message":"late"}}`))
	if err := c.Settle(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if len(late) != 0 {
		t.Errorf("OnError: %v", <-late)
	}
	if n := len(c.link.Load().calls.open); n != 0 {
		t.Errorf("%d calls left", n)
	}
}

func TestHandleConcurrency(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	server, c := dial(t, b.URL("tcp")), dial(t, b.URL("tcp"))
	const bound, backlog, sent = 3, 4, 10
	var running, most atomic.Int64
	entered, release := make(chan struct{}, sent), make(chan struct{})
	handle(t, server, "work", func(_ context.Context, r Request) ([]byte, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		entered <- struct{}{}
		<-release
		return nil, nil
	}, WithConcurrency(bound), WithBacklog(backlog))
	results := make(chan error, sent)
	for range sent {
		go func() {
			_, err := c.Request(testContext(t), "work", nil)
			results <- err
		}()
	}
	for range sent - bound - backlog {
		err := receive(t, "busy answer", results)
		var e *Error
		if !errors.Is(err, ErrServiceUnavailable) || !errors.As(err, &e) ||
			e.Details["reason"] != "handler_busy" {
			t.Errorf("over the backlog: %v", err)
		}
	}
	for range bound { // To be counted as running is not to run already.
		receive(t, "handler", entered)
	}
	close(release)
	for range bound + backlog {
		if err := receive(t, "answer", results); err != nil {
			t.Error(err)
		}
	}
	if got := most.Load(); got != bound {
		t.Errorf("%d at the same time, want %d", got, bound)
	}
}

func TestHandleOneAtATimeInOrder(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"))
	var got []string // one handler goroutine at a time
	handle(t, c, "seq", func(_ context.Context, r Request) ([]byte, error) {
		got = append(got, string(r.Payload))
		return nil, nil
	}, WithConcurrency(1))
	l := c.link.Load()
	ctx := testContext(t)
	var started []*call
	for i := range 200 {
		p, err := l.start(ctx, &frame{
			action: codec.Request, topic: "seq", version: "1.0.0", payload: fmt.Append(nil, i),
		})
		if err != nil {
			t.Fatal(err)
		}
		started = append(started, p)
	}
	for _, p := range started {
		if _, err := l.wait(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range got {
		if s != fmt.Sprint(i) {
			t.Fatalf("request %d is %s", i, s)
		}
	}
	if len(got) != 200 {
		t.Errorf("%d requests", len(got))
	}
}

func TestHandlePriority(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"))
	name := func(s string) Handler {
		return func(context.Context, Request) ([]byte, error) { return []byte(s), nil }
	}
	handle(t, c, "p.#", name("low"))
	handle(t, c, "p.x", name("first"), WithPriority(2))
	handle(t, c, "p.+", name("second"), WithPriority(2))
	for topic, want := range map[string]string{"p.x": "first", "p.y": "second", "p.y.z": "low"} {
		if got, err := c.Request(testContext(t), topic, nil); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", topic, got, err, want)
		}
	}
}

// A request that arrives behind the end of its subscription is answered.
func TestRequestWithoutHandler(t *testing.T) {
	answers := make(chan string, 1)
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		if h.Action == codec.Response && string(h.Topic) == "gone" {
			answers <- string(payload)
			return true
		}
		return false
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	dial(t, b.URL("tcp"))
	b.Conns()[0].Send("request:gone:1.0.0:00000000-0000-4000-8000-000000000000", nil)
	e := parseError([]byte(receive(t, "answer", answers)), "", "")
	if e == nil || e.Code != codec.ServiceUnavailable {
		t.Errorf("answer: %v", e)
	}
}

func TestHandlerContextEndsWithConnection(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	server, c := dial(t, b.URL("tcp"), WithoutReconnect()), dial(t, b.URL("tcp"))
	started, ended := make(chan struct{}), make(chan error, 1)
	handle(t, server, "wait", func(ctx context.Context, r Request) ([]byte, error) {
		close(started)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, nil
	})
	failed := make(chan error, 1)
	go func() {
		_, err := c.Request(testContext(t), "wait", nil)
		failed <- err
	}()
	receive(t, "handler", started)
	b.Conns()[0].Cut()
	if err := receive(t, "end of the handler's context", ended); !errors.Is(err, ErrDisconnected) {
		t.Errorf("cause: %v", err)
	}
	if err := receive(t, "answer", failed); !errors.Is(err, ErrServiceUnavailable) {
		t.Errorf("Request: %v", err)
	}
}

// A callback may wait for an answer although more messages wait for callbacks
// than the limit: the reader goes on.
func TestCallInCallbackWhileBehind(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), WithPending(4<<10))
	publisher := dial(t, b.URL("tcp"))
	handle(t, publisher, "echo", echo)
	const count = 60 // of 192 bytes with what is charged: over the limit, not over four times
	blocked := make(chan struct{})
	var calls int
	done := make(chan error, 1)
	if _, err := c.Subscribe(testContext(t), "data", func(m Message) {
		if calls++; calls == 1 {
			<-blocked
			_, err := c.Request(testContext(t), "echo", []byte("x"))
			done <- err
		}
	}); err != nil {
		t.Fatal(err)
	}
	for range count {
		if err := publisher.Publish(context.Background(), "data", make([]byte, 60)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "reader waits", c.queue.blocked)
	close(blocked)
	if err := receive(t, "request in a callback", done); err != nil {
		t.Fatal(err)
	}
	if err := c.Settle(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if calls != count {
		t.Errorf("%d messages, want %d", calls, count)
	}
}
