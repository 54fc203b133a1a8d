package client

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// Nothing is sent for a context that has ended already, whatever the call.
func TestEndedContextSendsNothing(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"))
	stands, err := c.Subscribe(testContext(t), "stands", func(Message) {})
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	expired, cancel := context.WithTimeout(context.Background(), -time.Second)
	defer cancel()
	for ctx, want := range map[context.Context]error{
		cancelled: context.Canceled, expired: ErrTimeout,
	} {
		calls := map[string]func() error{
			"Publish": func() error { return c.Publish(ctx, "stands", nil) },
			"PublishAck": func() error {
				_, err := c.PublishAck(ctx, "stands", nil)
				return err
			},
			"Request": func() error {
				_, err := c.Request(ctx, "stands", nil)
				return err
			},
			"System": func() error {
				_, err := c.System(ctx, topicHeartbeat, nil)
				return err
			},
			"Ping":        func() error { return c.Ping(ctx) },
			"Settle":      func() error { return c.Settle(ctx) },
			"Flush":       func() error { return c.Flush(ctx) },
			"Register":    func() error { return c.Register(ctx, Registration{Name: "n"}) },
			"Unsubscribe": func() error { return stands.Unsubscribe(ctx) },
			"Subscribe": func() error {
				s, err := c.Subscribe(ctx, "a", func(Message) {})
				if s != nil {
					t.Error("Subscribe returned a subscription beside an error")
				}
				return err
			},
			"Handle": func() error { _, err := c.Handle(ctx, "a", echo); return err },
			"SubscribeLog": func() error {
				_, err := c.SubscribeLog(ctx, LogFilter{}, func(Message) {})
				return err
			},
		}
		for name, call := range calls {
			before := b.Received(codec.Publish) + b.Received(codec.Request)
			if err := call(); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
			if err := c.Ping(testContext(t)); err != nil {
				t.Fatal(err)
			}
			if n := b.Received(codec.Publish) + b.Received(codec.Request) - before; n != 1 {
				t.Errorf("%s: %d messages were sent beside the ping", name, n-1)
			}
		}
	}
	conn := b.Conns()[0]
	if got := conn.Subscriptions(); !reflect.DeepEqual(got, []string{"publish stands"}) {
		t.Errorf("at the broker: %v", got)
	}
	if err := stands.Unsubscribe(testContext(t)); err != nil || len(conn.Subscriptions()) != 0 {
		t.Errorf("repeated Unsubscribe: %v, at the broker: %v", err, conn.Subscriptions())
	}
}

// giveUp makes a call that the broker does not read before the context ends,
// but does afterwards.
func giveUp(
	t *testing.T, c *Client, conn *clienttest.Conn, call func(context.Context) error,
) {
	t.Helper()
	conn.Stall(true)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	_ = c.Ping(ctx) // A read in progress takes this one message and no other.
	cancel()
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up: %v", err)
	}
	conn.Stall(false)
}

// What was sent and given up is undone.
func TestGivenUpIsUndone(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		arrived := make(chan string, 100)
		b := newBroker(t, clienttest.Options{
			Intercept: func(_ *clienttest.Conn, h *codec.Header, payload []byte) bool {
				arrived <- string(h.Topic) + " " + string(payload)
				return false
			},
		})
		c := dial(t, b.URL(transport))
		ctx := testContext(t)
		conn := b.Conns()[0]
		if err := c.Register(ctx, Registration{Name: "first", Description: "d"}); err != nil {
			t.Fatal(err)
		}
		shared, err := c.Subscribe(ctx, "shared", func(Message) {}, WithOverflow("drop"))
		if err != nil {
			t.Fatal(err)
		}
		for _, given := range []struct {
			sends, undo string
			call        func(context.Context) error
		}{
			{topicSubscribe, topicUnsubscribe, func(ctx context.Context) error {
				_, err := c.Subscribe(ctx, "ghost", func(Message) {})
				return err
			}},
			{topicSubscribe, topicUnsubscribe, func(ctx context.Context) error {
				_, err := c.Handle(ctx, "ghost.service", echo)
				return err
			}},
			{topicSubscribe, topicSubscribe, func(ctx context.Context) error {
				_, err := c.Subscribe(ctx, "shared", func(Message) {})
				return err
			}},
			{topicUnsubscribe, topicSubscribe, shared.Unsubscribe},
			{topicRegister, topicRegister, func(ctx context.Context) error {
				return c.Register(ctx, Registration{Name: "second", Description: "d"})
			}},
			{topicLogSubscribe, topicLogUnsubscribe, func(ctx context.Context) error {
				_, err := c.SubscribeLog(ctx, LogFilter{}, func(Message) {})
				return err
			}},
		} {
			for len(arrived) > 0 {
				<-arrived
			}
			giveUp(t, c, conn, given.call)
			for _, want := range []string{given.sends, given.undo} {
				for !strings.HasPrefix(receive(t, want, arrived), want+" ") {
				}
			}
			if err := c.Ping(ctx); err != nil {
				t.Fatal(err)
			}
			if got := conn.Subscriptions(); !reflect.DeepEqual(got, []string{"publish shared"}) ||
				conn.Name() != "first" {
				t.Errorf("%s given up: the broker has %v, %q", given.sends, got, conn.Name())
			}
		}
		if err := shared.Unsubscribe(ctx); err != nil || len(conn.Subscriptions()) != 0 {
			t.Errorf("Unsubscribe: %v, at the broker: %v", err, conn.Subscriptions())
		}
	})
}

// flood sends n messages on "flood" from the broker, without waiting.
func flood(conn *clienttest.Conn, n, size int) {
	for range n {
		conn.Send("publish:flood:1.0.0", make([]byte, size))
	}
}

// A call in a callback returns, whatever stands before its answer; messages
// that had to be dropped for that are told.
func TestCallsInCallbacksUnderFlood(t *testing.T) {
	calls := map[string]func(ctx context.Context, c *Client) error{
		"Request": func(ctx context.Context, c *Client) error {
			_, err := c.Request(ctx, "svc", nil)
			return err
		},
		// As when messages are handed to a goroutine that makes the calls.
		"Ping of another": func(ctx context.Context, c *Client) error {
			answered := make(chan error)
			go func() { answered <- c.Ping(ctx) }()
			return <-answered
		},
		"Ping": func(ctx context.Context, c *Client) error { return c.Ping(ctx) },
		"PublishAck": func(ctx context.Context, c *Client) error {
			_, err := c.PublishAck(ctx, "svc", nil)
			return err
		},
		"Subscribe": func(ctx context.Context, c *Client) error {
			s, err := c.Subscribe(ctx, "svc", func(Message) {})
			if err != nil {
				return err
			}
			return s.Unsubscribe(ctx)
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // They wait.
			const count, size, calls = 5000, 4000, 2
			var seen, lost, locally atomic.Uint64
			b := newBroker(t, clienttest.Options{})
			c := dial(t, b.URL("tcp"), WithPending(64<<10), OnGap(func(g Gap) {
				lost.Add(g.Count)
				if g.Local {
					locally.Add(1)
				}
			}))
			other := dial(t, b.URL("tcp"))
			handle(t, other, "svc", echo)
			if _, err := other.Subscribe(testContext(t), "svc", func(Message) {}); err != nil {
				t.Fatal(err)
			}
			entered := make(chan struct{})
			answered := make(chan error, 8)
			flooded := make(chan struct{})
			_, err := c.Subscribe(testContext(t), "flood", func(Message) {
				n := seen.Add(1)
				if n == 1 {
					close(entered)
					<-flooded
				}
				if n <= calls {
					answered <- call(testContext(t), c)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			conn := b.Conns()[0]
			flood(conn, 1, size)
			receive(t, "callback", entered)
			flood(conn, count-1, size)
			eventually(t, "full queue", c.queue.blocked)
			close(flooded)
			for range calls {
				if err := receive(t, "answer", answered); err != nil {
					t.Error(err)
				}
			}
			all := func() bool { return seen.Load()+lost.Load() == count }
			eventually(t, "every message seen or told", all)
			if locally.Load() == 0 {
				t.Error("no local gap: the flood was too small to test anything")
			}
		})
	}
}

// While callbacks block the reader, the client says that it lives, and notices
// when the connection is gone.
func TestBlockedReader(t *testing.T) {
	for _, keepAlive := range []time.Duration{20 * time.Millisecond, 0} {
		t.Run(fmt.Sprint(keepAlive), func(t *testing.T) {
			welcome := []byte(`{"heartbeat":{"retryMs":20}}`)
			b := newBroker(t, clienttest.Options{Welcome: welcome})
			c := dial(t, b.URL("tcp"), fastReconnect(),
				WithPending(4<<10), WithKeepAlive(keepAlive))
			entered, release := make(chan struct{}, 10), make(chan struct{})
			_, err := c.Subscribe(testContext(t), "flood", func(Message) {
				entered <- struct{}{}
				<-release
			})
			if err != nil {
				t.Fatal(err)
			}
			conn := b.Conns()[0]
			flood(conn, 1, 1000)
			receive(t, "callback", entered)
			flood(conn, 1000, 1000)
			eventually(t, "full queue", c.queue.blocked)
			heartbeats := b.Received(codec.Response)
			eventually(t, "heartbeats", func() bool {
				return b.Received(codec.Response) >= heartbeats+10
			})
			if now := b.Conns(); len(now) != 1 || now[0] != conn {
				t.Fatal("the connection was given up")
			}
			b.StopListening()
			b.Disconnect()
			eventually(t, "the loss is noticed", func() bool { return !c.Connected() })
			if c.queue.blocked() {
				eventually(t, "the reader has left", func() bool { return !c.queue.blocked() })
			}
			go func() {
				for range entered {
				}
			}()
			close(release)
			_ = c.Close()
			<-c.Done()
			close(entered)
		})
	}
}

// What a rate limit refuses after a reconnect is asked for again until all
// stand; OnReconnect comes then, with what was refused for good.
func TestRenewRateLimited(t *testing.T) {
	const count = 50
	var limiting atomic.Bool
	var tokens atomic.Int64
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		if !limiting.Load() || string(h.Topic) != topicSubscribe {
			return false
		}
		answer := `{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"slow",` +
			`"details":{"retryAfterMs":3,"limit":20}}}`
		if strings.Contains(string(payload), "never") {
			answer = `{"error":{"code":"FORBIDDEN","message":"no more"}}`
		} else if tokens.Add(-1) >= 0 {
			return false
		} else {
			tokens.Store(1) // at the next retry there is one again
		}
		c.Send("response:"+string(h.Topic)+":1.0.0:"+string(h.RequestID), []byte(answer))
		return true
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	renewed := make(chan Renewal, 1)
	c := dial(t, b.URL("ws"), fastReconnect(), OnReconnect(func(r Renewal) { renewed <- r }))
	ctx := testContext(t)
	for i := range count {
		if _, err := c.Subscribe(ctx, fmt.Sprintf("a.x%d", i), func(Message) {}); err != nil {
			t.Fatal(err)
		}
	}
	never, err := c.Subscribe(ctx, "never", func(Message) {})
	if err != nil {
		t.Fatal(err)
	}
	tokens.Store(20)
	limiting.Store(true)
	b.Disconnect()
	r := receive(t, "OnReconnect", renewed)
	if got := len(b.Conns()[0].Subscriptions()); got != count {
		t.Errorf("%d subscriptions stand of %d", got, count)
	}
	if len(r.Failed) != 1 || r.Failed[0].Subscription != never ||
		!errors.Is(r.Failed[0].Err, ErrForbidden) || r.ServiceID != b.Conns()[0].ID {
		t.Errorf("OnReconnect(%+v)", r)
	}
}

// Keep-alive counts on the monotonic clock, which the wall clock's steps do
// not touch: the note of the last read is a time since the connection began.
func TestKeepAliveIsMonotonic(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"))
	l := c.link.Load()
	if last := time.Duration(l.lastRead.Load()); last <= 0 || last > time.Hour {
		t.Errorf("last read at %v after the beginning", last)
	}
	if !strings.Contains(l.born.String(), "m=") {
		t.Error("the beginning has no monotonic reading")
	}
}

// Events for slow hooks are bounded, and what was dropped is counted and told.
func TestHooksAreBounded(t *testing.T) {
	const count = maxErrors + 1000
	entered, release := make(chan struct{}), make(chan struct{})
	var seen, dropped, high uint64
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), OnError(func(e *Error) {
		if n, ok := e.Details["count"].(uint64); ok && e.Code == CodeEventsDropped {
			dropped += n
			return
		}
		seen++
		if seen == 1 {
			close(entered)
			<-release
		}
	}))
	for i := range count {
		if err := c.Publish(testContext(t), "no.body", nil); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			receive(t, "hook", entered)
		}
	}
	if err := c.Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
	c.queue.mu.Lock()
	high = uint64(len(c.queue.items))
	c.queue.mu.Unlock()
	close(release)
	if err := c.Settle(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Settle(testContext(t)); err != nil { // The notice comes after the events.
		t.Fatal(err)
	}
	if high > maxErrors+1 || dropped == 0 || seen+dropped != count {
		t.Errorf("%d waited, %d seen, %d dropped of %d", high, seen, dropped, count)
	}
}

// A message belongs to who gets it, however many there are and whatever comes
// after it.
func TestMessagesAreTheReceiversOwn(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"))
	ctx := testContext(t)
	first, second := make(chan Message, 100), make(chan Message, 100)
	for _, ch := range []chan Message{first, second} {
		if _, err := c.Subscribe(ctx, "a", func(m Message) { ch <- m }); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if _, err := c.PublishAck(ctx, "a", fmt.Appendf(nil, "message %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for i := range 100 {
		m, other := <-first, <-second
		ids[m.ID()] = true
		clear(other.Payload) // Another subscription's copy is its own.
		if want := fmt.Sprintf("message %d", i); string(m.Payload) != want {
			t.Errorf("got %q, want %q", m.Payload, want)
		}
	}
	if len(ids) != 100 {
		t.Errorf("%d different IDs", len(ids))
	}
}
