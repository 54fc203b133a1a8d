package client

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// Several addresses: the first that answers is used, and the next after a loss.
func TestSeveralAddresses(t *testing.T) {
	dead, first, second := newBroker(t, clienttest.Options{}),
		newBroker(t, clienttest.Options{}), newBroker(t, clienttest.Options{})
	addresses := dead.URL("tcp") + ", " + first.URL("ws") + "," + second.URL("tcp")
	dead.Close()
	c := dial(t, addresses, fastReconnect(), WithName("wanderer"))
	if len(first.Conns()) != 1 || first.Conns()[0].Name() != "wanderer" {
		t.Fatal("not at the first that answers")
	}
	if _, err := c.Subscribe(testContext(t), "a", func(Message) {}); err != nil {
		t.Fatal(err)
	}
	first.Close()
	eventually(t, "failover", func() bool {
		up := second.Conns()
		return len(up) == 1 && len(up[0].Subscriptions()) == 1 && up[0].Name() == "wanderer"
	})
	second.Close()
	_, err := Dial(testContext(t), addresses)
	if err == nil || strings.Count(err.Error(), "refused") != 3 {
		t.Errorf("Dial: %v", err)
	}
}

// A topic error says which rule was broken.
func TestTopicFaults(t *testing.T) {
	for topic, want := range map[string]string{
		"":                       "it is empty",
		"a..b":                   "level 2 is empty",
		"a.b.":                   "level 3 is empty",
		"a.b-c":                  `level 2 contains '-'`,
		"a.ä":                    `level 2 begins with 'ä'`,
		"1a":                     `level 1 begins with '1'`,
		"a.+":                    "wildcards are for subscriptions",
		"a.b.c.d.e.f":            "it has 6 levels, at most 5",
		strings.Repeat("a", 256): "it has 256 bytes, at most 255",
	} {
		if got := topicFault(topic); !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", topic, got, want)
		}
	}
	for _, topic := range []string{"a", "A1.b2.c3.d4.e5", strings.Repeat("a", 255)} {
		if got := topicFault(topic); got != "" {
			t.Errorf("%q: %q", topic, got)
		}
	}
}

// A request names its parent, and a handler's context has the deadline that the
// request came with.
func TestParentAndDeadline(t *testing.T) {
	headers := make(chan codec.Header, 1)
	b := newBroker(t, clienttest.Options{
		Intercept: func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
			if string(h.Topic) != "svc" || h.Action != codec.Request {
				return false
			}
			copied := *h
			copied.ParentID = append([]byte(nil), h.ParentID...)
			headers <- copied
			c.Send("request:svc:1.0.0:"+string(h.RequestID)+"::60000", nil)
			return true
		},
	})
	c := dial(t, b.URL("tcp"))
	deadlines := make(chan time.Time, 2)
	handle(t, c, "svc", func(ctx context.Context, _ Request) ([]byte, error) {
		d, _ := ctx.Deadline()
		deadlines <- d
		return nil, nil
	})
	const parent = "11111111-2222-4333-8444-555555555555"
	ctx, cancel := context.WithCancel(context.Background()) // no deadline: no timeout field
	defer cancel()
	go func() { _, _ = c.Request(WithParentID(ctx, parent), "svc", nil) }()
	if h := receive(t, "request", headers); string(h.ParentID) != parent || h.TimeoutMs != 0 {
		t.Errorf("parent %q, timeout %d", h.ParentID, h.TimeoutMs)
	}
	left := time.Until(receive(t, "deadline", deadlines))
	if left <= 0 || left > time.Minute {
		t.Errorf("the handler has %v left", left)
	}
	go func() { _, _ = c.Request(WithParentID(testContext(t), parent), "svc", nil) }()
	if h := receive(t, "request", headers); string(h.ParentID) != parent || h.TimeoutMs == 0 {
		t.Errorf("parent %q, timeout %d", h.ParentID, h.TimeoutMs)
	}
	receive(t, "deadline", deadlines)
	_, err := c.Request(WithParentID(ctx, "x"), "svc", nil)
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("a parent that is no UUID: %v", err)
	}
}

func TestJSON(t *testing.T) {
	type point struct{ X, Y int }
	refused := make(chan *Error, 1)
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), OnError(func(e *Error) { refused <- e }))
	ctx := testContext(t)
	got := make(chan point, 1)
	_, err := SubscribeJSON(ctx, c, "point", func(_ Message, p point) { got <- p })
	if err != nil {
		t.Fatal(err)
	}
	swap := func(_ context.Context, _ Request, p point) (point, error) {
		return point{p.Y, p.X}, nil
	}
	if _, err := HandleJSON(ctx, c, "swap", swap); err != nil {
		t.Fatal(err)
	}
	if err := PublishJSON(ctx, c, "point", point{1, 2}); err != nil {
		t.Fatal(err)
	}
	if p := receive(t, "message", got); p != (point{1, 2}) {
		t.Errorf("got %v", p)
	}
	if p, err := RequestJSON[point](ctx, c, "swap", point{1, 2}); err != nil || p != (point{2, 1}) {
		t.Errorf("RequestJSON: %v, %v", p, err)
	}
	if _, err := RequestJSON[point](ctx, c, "swap", "x"); !errors.Is(err, ErrMalformed) {
		t.Errorf("a request that does not fit: %v", err)
	}
	if _, err := RequestJSON[string](ctx, c, "swap", point{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("an answer that does not fit: %v", err)
	}
	if err := c.Publish(ctx, "point", []byte("no JSON")); err != nil {
		t.Fatal(err)
	}
	if e := receive(t, "OnError", refused); e.Code != CodeMalformed || e.Topic != "point" {
		t.Errorf("OnError: %v", e)
	}
}

// A stream is pulled, also by who makes calls between two messages and has more
// before it than the client holds.
// Without OnError what is not JSON is told to the logger, once.
func TestJSONIsLogged(t *testing.T) {
	var logged bytes.Buffer
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))
	ctx := testContext(t)
	if _, err := SubscribeJSON(ctx, c, "number", func(Message, int) {}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.Publish(ctx, "number", []byte("none")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(logged.String(), "subscription=number"); n != 1 {
		t.Errorf("logged %d times: %s", n, logged.String())
	}
}

func TestStream(t *testing.T) {
	const count = 1000
	b := newBroker(t, clienttest.Options{})
	lost := make(chan Gap, count)
	c := dial(t, b.URL("tcp"), WithPending(4<<10), OnGap(func(g Gap) { lost <- g }))
	ctx := testContext(t)
	s, err := c.Stream(ctx, "flood")
	if err != nil {
		t.Fatal(err)
	}
	flood(b.Conns()[0], count, 100)
	eventually(t, "full queue", c.queue.blocked)
	seen := 0
	for m, err := range s.All(ctx) {
		if err != nil || len(m.Payload) != 100 {
			t.Fatal(m, err)
		}
		if seen++; seen == 3 {
			break
		}
	}
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if _, err := s.Next(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Stop: %v", err)
	}
	if got := b.Conns()[0].Subscriptions(); len(got) != 0 {
		t.Errorf("at the broker: %v", got)
	}
	rest, err := c.Stream(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if _, err := rest.Next(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
}
