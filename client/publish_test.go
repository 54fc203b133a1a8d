package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

func TestPublishOrder(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		const count = 5000
		b := newBroker(t, clienttest.Options{})
		c := dial(t, b.URL(transport))
		done := make(chan struct{})
		next := 0
		_, err := c.Subscribe(testContext(t), "Order.+", func(m Message) {
			if want := fmt.Sprint(next); string(m.Payload) != want ||
				m.Topic != "order.Test" || m.Version != "1.0.0" || len(m.ID()) != 36 {
				t.Errorf("message %d: %+v payload %s", next, m, m.Payload)
			}
			if next++; next == count {
				close(done)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range count {
			err := c.Publish(context.Background(), "order.Test", fmt.Append(nil, i))
			if err != nil {
				t.Fatal(err)
			}
		}
		receive(t, "all messages", done)
	})
}

func TestSubscribeSeveral(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"))
	ctx := testContext(t)
	var got []string // dispatch goroutine only, read after Settle
	note := func(name string) func(Message) {
		return func(m Message) { got = append(got, name+" "+string(m.Payload)) }
	}
	first, err := c.Subscribe(ctx, "a.b", note("first"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Subscribe(ctx, "A.B", note("second"),
		WithOverflow("drop-oldest"), WithConflation())
	if err != nil {
		t.Fatal(err)
	}
	wild, err := c.Subscribe(ctx, "a.#", note("wild"))
	if err != nil {
		t.Fatal(err)
	}
	publish := func(payload string) {
		t.Helper()
		_, err := c.PublishAck(ctx, "a.b", []byte(payload))
		if err != nil && !errors.Is(err, ErrNoRoute) {
			t.Fatal(err)
		}
		if err := c.Settle(ctx); err != nil {
			t.Fatal(err)
		}
	}
	publish("1")
	for i, s := range []*Subscription{first, wild, second} {
		if err := s.Unsubscribe(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Unsubscribe(ctx); err != nil {
			t.Fatal("again: ", err)
		}
		publish(fmt.Sprint(i + 2))
	}
	want := "first 1,second 1,wild 1,second 2,wild 2,second 3"
	if strings.Join(got, ",") != want {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if left := b.Conns()[0].Subscriptions(); len(left) != 0 {
		t.Errorf("left at the broker: %v", left)
	}
	if second.Pattern() != "a.b" {
		t.Errorf("Pattern() = %q", second.Pattern())
	}
}

func TestSubscribeRefused(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"))
	_, err := c.Subscribe(testContext(t), "a.*", func(Message) {})
	var e *Error
	if !errors.Is(err, ErrInvalidRequest) || !errors.As(err, &e) ||
		e.Topic != topicSubscribe || len(e.RequestID) != 36 {
		t.Errorf("Subscribe: %#v", err)
	}
	if n := len(c.registry.all()); n != 0 {
		t.Errorf("%d subscriptions left here", n)
	}
}

func TestPublishErrors(t *testing.T) {
	asynchronous := make(chan *Error, 10)
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("ws"), OnError(func(e *Error) { asynchronous <- e }))
	ctx := testContext(t)
	if err := c.Publish(context.Background(), "no.body", []byte("x")); err != nil {
		t.Fatal(err)
	}
	e := receive(t, "NO_ROUTE_FOUND", asynchronous)
	if !errors.Is(e, ErrNoRoute) || e.Topic != "no.body" {
		t.Errorf("OnError: %v", e)
	}
	_, err := c.PublishAck(ctx, "no.body", nil)
	if !errors.Is(err, ErrNoRoute) || errors.Is(err, ErrTimeout) {
		t.Errorf("PublishAck: %v", err)
	}
	for _, topic := range []string{
		"", "a:b", "a\nb", "a..b", ".a", "a.", "1a", "a.b.c.d.e.f", "a+",
		strings.Repeat("a", 256), "ä",
	} {
		if err := c.Publish(context.Background(), topic, nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("Publish(%q): %v", topic, err)
		}
	}
	err = c.Publish(context.Background(), "a", make([]byte, 16385))
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("large payload: %v", err)
	}
	if _, err := c.System(ctx, "user.topic", nil); !errors.Is(err, ErrInvalidRequest) {
		t.Errorf("System: %v", err)
	}
}

func TestPublishAsync(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"))
	ctx := testContext(t)
	if _, err := c.Subscribe(ctx, "a", func(Message) {}); err != nil {
		t.Fatal(err)
	}
	var all []Pending
	for range 100 {
		p, err := c.PublishAsync(ctx, "a", []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	for _, p := range all {
		if ack, err := p.Wait(ctx); err != nil || ack.Subscribers != 1 {
			t.Fatalf("Wait: %+v, %v", ack, err)
		}
	}
}

func TestMessageClone(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), WithMessageVersion("2.10.0"))
	ctx := testContext(t)
	var kept []Message
	keep := func(m Message) { kept = append(kept, m.Clone()) }
	if _, err := c.Subscribe(ctx, "a", keep); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		err := c.Publish(context.Background(), "a", fmt.Appendf(nil, "payload %d", i))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for i, m := range kept {
		want := fmt.Sprintf("payload %d", i)
		if string(m.Payload) != want || m.Version != "2.10.0" {
			t.Errorf("message %d is %q, version %s", i, m.Payload, m.Version)
		}
		ids[m.ID()] = true
	}
	if len(kept) != 100 || len(ids) != 100 {
		t.Errorf("%d messages, %d IDs", len(kept), len(ids))
	}
}

// A lone message leaves at once; what comes while a write is under way leaves
// with the next one.
func TestBatching(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		const burst = 10000
		b := newBroker(t, clienttest.Options{})
		c, g := dialGate(t, b.URL(transport), WithOutbound(4<<20))
		before := g.count()
		g.set(true)
		if err := c.Publish(context.Background(), "a", []byte("lone")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "lone message written", func() bool { return g.count() == before+1 })
		for range burst {
			if err := c.Publish(context.Background(), "a", []byte("burst")); err != nil {
				t.Fatal(err)
			}
		}
		g.set(false)
		if err := c.Flush(testContext(t)); err != nil {
			t.Fatal(err)
		}
		most := 2
		if transport == "tls" || transport == "wss" {
			// One for each record: 16 KiB, the first ones less.
			most += 16 + burst*len("....publish:a:1.0.0\nburst......")>>14
		}
		if got := g.count() - before; got < 2 || got > most {
			t.Errorf("%d writes, want 2 to %d", got, most)
		}
		eventually(t, "all at the broker", func() bool {
			return b.Received(codec.Publish) == burst+1
		})
	})
}

// Flush returns when what was sent is written, and not before.
func TestFlush(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c, g := dialGate(t, b.URL("tcp"))
	if err := c.Flush(testContext(t)); err != nil {
		t.Errorf("nothing to write: %v", err)
	}
	g.set(true)
	if err := c.Publish(testContext(t), "a", nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := c.Flush(ctx); !errors.Is(err, ErrTimeout) {
		t.Errorf("while nothing is written: %v", err)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- c.Flush(testContext(t)) }()
	g.set(false)
	if err := receive(t, "Flush", flushed); err != nil {
		t.Error(err)
	}
	if err := c.Ping(testContext(t)); err != nil || b.Received(codec.Publish) != 1 {
		t.Errorf("%v; %d publishes arrived", err, b.Received(codec.Publish))
	}
}

func TestPublishBlocksWhenFull(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c, g := dialGate(t, b.URL("tcp"), WithOutbound(4096))
	g.set(true)
	const count = 100
	payload := make([]byte, 1000)
	taken := make(chan int, count)
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := range count {
			if err := c.Publish(context.Background(), "a", payload); err != nil {
				t.Error(err)
			}
			taken <- i
		}
	})
	eventually(t, "publisher waits", func() bool {
		c.link.Load().out.mu.Lock()
		defer c.link.Load().out.mu.Unlock()
		return c.link.Load().out.room != nil
	})
	if n := len(taken); n > 9 {
		t.Errorf("%d messages of 1000 bytes taken with a limit of 4096", n)
	}
	for name, call := range map[string]func(context.Context) error{
		"Publish": func(ctx context.Context) error { return c.Publish(ctx, "a", payload) },
		"PublishAck": func(ctx context.Context) error {
			_, err := c.PublishAck(ctx, "a", payload)
			return err
		},
		"Flush": c.Flush,
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		failed := make(chan error, 1)
		go func() { failed <- call(ctx) }()
		if err := receive(t, name, failed); !errors.Is(err, ErrTimeout) ||
			!errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s with a full buffer: %v", name, err)
		}
		cancel()
	}
	g.set(false)
	publishing.Wait()
	if err := c.Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if n := b.Received(codec.Publish); n != count {
		t.Errorf("%d publishes arrived, want %d", n, count)
	}
}

// Nothing is allocated per publish.
func TestAllocationsSend(t *testing.T) {
	payload := []byte(strings.Repeat("x", 128))
	for _, overWS := range []bool{false, true} {
		o := newOutbox(nil, overWS, 1<<20)
		if n := testing.AllocsPerRun(1000, func() {
			for range 100 {
				ok, err := o.send(nil, &frame{
					action: codec.Publish, topic: "a.b", version: "1.0.0", payload: payload,
				})
				if !ok || err != nil {
					t.Fatal(ok, err)
				}
			}
			batch, err := o.take()
			if err != nil {
				t.Fatal(err)
			}
			o.wrote(batch)
		}); n > 0.5 {
			t.Errorf("WebSocket %v: %v allocations per 100 messages", overWS, n)
		}
	}
}

// A borrowed message costs no allocation on its way to the callback.
func TestAllocationsReceive(t *testing.T) {
	payload := []byte(strings.Repeat("x", 128))
	seen := 0
	q := newQueue(1<<20, func(Gap) {}, func(uint64) {}, func(change) {})
	count := func(m Message) { seen += len(m.Payload) }
	rt := &route{topic: "a.b", subs: []*Subscription{{message: count, borrow: true}}}
	id := []byte("00000000-0000-4000-8000-000000000000")
	if n := testing.AllocsPerRun(1000, func() {
		for range 100 {
			q.message(nil, steady, rt, id, payload)
		}
		q.swap()
		start := 0
		for _, it := range q.workItems {
			body := start + it.idLen
			it.route.deliver(q.workArena[start:body], q.workArena[body:it.end])
			start = it.end
		}
	}); n > 0.5 {
		t.Errorf("%v allocations per 100 messages", n)
	}
	if seen == 0 {
		t.Error("nothing delivered")
	}
}
