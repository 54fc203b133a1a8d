package client

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// journal is a list of what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

func fastReconnect() Option { return WithReconnect(time.Millisecond, 5*time.Millisecond, 0) }

func TestReconnect(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		var j journal
		b := newBroker(t, clienttest.Options{})
		c := dial(t, b.URL(transport), fastReconnect(),
			OnDisconnect(func(err error) {
				if !errors.Is(err, ErrDisconnected) {
					t.Errorf("OnDisconnect(%v)", err)
				}
				j.add("disconnect")
			}),
			OnReconnect(func(Renewal) { j.add("reconnect") }))
		ctx := testContext(t)
		if err := c.Register(ctx, Registration{Name: "tester", Description: "d"}); err != nil {
			t.Fatal(err)
		}
		note := func(m Message) { j.add(string(m.Payload)) }
		if _, err := c.Subscribe(ctx, "a.#", note); err != nil {
			t.Fatal(err)
		}
		gone, err := c.Subscribe(ctx, "gone", func(m Message) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := gone.Unsubscribe(ctx); err != nil {
			t.Fatal(err)
		}
		handle(t, c, "svc", echo)
		if _, err := c.PublishAck(ctx, "a.b", []byte("one")); err != nil {
			t.Fatal(err)
		}
		first := c.ServiceID()
		b.Conns()[0].Cut()
		eventually(t, "reconnect", func() bool {
			return strings.Contains(strings.Join(j.all(), " "), "reconnect")
		})
		if _, err := c.PublishAck(ctx, "a.b", []byte("two")); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Request(ctx, "svc", []byte("x")); err != nil || string(got) != "x" {
			t.Errorf("Request: %q, %v", got, err)
		}
		if err := c.Settle(ctx); err != nil {
			t.Fatal(err)
		}
		want := []string{"one", "disconnect", "reconnect", "two"}
		if got := j.all(); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		conn := b.Conns()[0]
		if conn.ID == first || c.ServiceID() != conn.ID {
			t.Errorf("service ID %s, then %s; the broker says %s", first, c.ServiceID(), conn.ID)
		}
		want = []string{"publish a.#", "request svc"}
		if got := conn.Subscriptions(); !reflect.DeepEqual(got, want) || conn.Name() != "tester" {
			t.Errorf("at the broker: %v, name %q", got, conn.Name())
		}
	})
}

func TestDisconnectFailsCallsAtOnce(t *testing.T) {
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		return string(h.Topic) == "hole"
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	c := dial(t, b.URL("tcp"), fastReconnect())
	failed := make(chan error, 3)
	for range 2 {
		go func() {
			_, err := c.Request(context.Background(), "hole", nil)
			failed <- err
		}()
	}
	go func() {
		_, err := c.PublishAck(context.Background(), "hole", nil)
		failed <- err
	}()
	eventually(t, "calls at the broker", func() bool {
		return b.Received(codec.Request)+b.Received(codec.Publish) == 3
	})
	b.StopListening()
	b.Disconnect()
	for range 3 {
		if err := receive(t, "failure", failed); !errors.Is(err, ErrDisconnected) {
			t.Errorf("call: %v", err)
		}
	}
	eventually(t, "no connection", func() bool { return !c.Connected() })
	ctx := testContext(t)
	_, subscribe := c.Subscribe(ctx, "a", func(Message) {})
	_, request := c.Request(ctx, "a", nil)
	_, ack := c.PublishAck(ctx, "a", nil)
	for what, err := range map[string]error{
		"Publish": c.Publish(context.Background(), "a", nil), "PublishAck": ack, "Request": request,
		"Subscribe": subscribe, "Ping": c.Ping(ctx), "Flush": c.Flush(ctx),
	} {
		if !errors.Is(err, ErrDisconnected) || errors.Is(err, ErrClosed) {
			t.Errorf("%s while disconnected: %v", what, err)
		}
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connection", c.Connected)
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
	if left := b.Conns()[0].Subscriptions(); len(left) != 0 {
		t.Errorf("at the broker: %v", left)
	}
}

func TestUnsubscribeWhileDisconnected(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), fastReconnect())
	ctx := testContext(t)
	s, err := c.Subscribe(ctx, "a", func(Message) {})
	if err != nil {
		t.Fatal(err)
	}
	b.StopListening()
	b.Disconnect()
	eventually(t, "no connection", func() bool { return !c.Connected() })
	if err := s.Unsubscribe(ctx); err != nil {
		t.Errorf("Unsubscribe: %v", err)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connection", c.Connected)
	if left := b.Conns()[0].Subscriptions(); len(left) != 0 {
		t.Errorf("at the broker: %v", left)
	}
}

func TestWithoutReconnect(t *testing.T) {
	causes := make(chan error, 1)
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("ws"), WithoutReconnect(), OnDisconnect(func(err error) { causes <- err }))
	if c.Err() != nil {
		t.Errorf("Err() = %v", c.Err())
	}
	payload := codec.AppendClosePayload(nil, codec.CloseGoingAway, "draining")
	b.Conns()[0].SendRaw(append(codec.AppendWSHeader(nil, codec.Close, len(payload)), payload...))
	receive(t, "Closing", c.Closing())
	receive(t, "Done", c.Done())
	if err := receive(t, "OnDisconnect", causes); !strings.Contains(err.Error(), "1001 draining") {
		t.Errorf("cause: %v", err)
	}
	err := c.Publish(context.Background(), "a", nil)
	if !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "1001") {
		t.Errorf("Publish: %v", err)
	}
}

func TestReconnectAttemptsRunOut(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), WithReconnect(time.Millisecond, time.Millisecond, 3))
	b.StopListening()
	b.Disconnect()
	receive(t, "Closing", c.Closing())
	err := c.Err()
	if !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Err() = %v", err)
	}
}

func TestWaitConnected(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), fastReconnect())
	if err := c.WaitConnected(testContext(t)); err != nil {
		t.Errorf("connected: %v", err)
	}
	b.StopListening()
	b.Disconnect()
	eventually(t, "no connection", func() bool { return !c.Connected() })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	if err := c.WaitConnected(ctx); !errors.Is(err, ErrTimeout) {
		t.Errorf("without a broker: %v", err)
	}
	waited := make(chan error, 2)
	for range 2 {
		go func() { waited <- c.WaitConnected(testContext(t)) }()
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := receive(t, "connection", waited); err != nil {
			t.Error(err)
		}
	}
	if err := c.Ping(testContext(t)); err != nil {
		t.Error(err)
	}
	b.StopListening()
	b.Disconnect()
	eventually(t, "no connection", func() bool { return !c.Connected() })
	go func() { waited <- c.WaitConnected(testContext(t)) }()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := receive(t, "the end", waited); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestCloseWhileReconnecting(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), WithReconnect(time.Hour, time.Hour, 0))
	b.Disconnect()
	eventually(t, "no connection", func() bool { return !c.Connected() })
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	receive(t, "Done", c.Done())
	err := c.Publish(context.Background(), "a", nil)
	if !errors.Is(err, ErrClosed) || !errors.Is(err, ErrDisconnected) {
		t.Errorf("Publish: %v", err)
	}
}

// What the broker refuses on renewal is told, and the rest works.
func TestRenewRefused(t *testing.T) {
	var refuse sync.Map
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		if _, on := refuse.Load("on"); !on || !strings.Contains(string(payload), `"secret"`) {
			return false
		}
		c.Send("response:"+string(h.Topic)+":1.0.0:"+string(h.RequestID),
			[]byte(`{"error":{"code":"FORBIDDEN","message":"no more"}}`))
		return true
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	refused := make(chan *Error, 1)
	c := dial(t, b.URL("tcp"), fastReconnect(), OnError(func(e *Error) { refused <- e }))
	ctx := testContext(t)
	for _, pattern := range []string{"secret", "open"} {
		if _, err := c.Subscribe(ctx, pattern, func(Message) {}); err != nil {
			t.Fatal(err)
		}
	}
	refuse.Store("on", true)
	b.Disconnect()
	if e := receive(t, "OnError", refused); !errors.Is(e, ErrForbidden) {
		t.Errorf("OnError: %v", e)
	}
	eventually(t, "connection", c.Connected)
	if got := b.Conns()[0].Subscriptions(); !reflect.DeepEqual(got, []string{"publish open"}) {
		t.Errorf("at the broker: %v", got)
	}
}

// A client comes again when the broker says, over each transport, and not when its own back-off
// would have it.
func TestRetryAfterIsObeyed(t *testing.T) {
	for _, transport := range []string{"tcp", "ws"} {
		t.Run(transport, func(t *testing.T) {
			const after = 100 * time.Millisecond
			var refusing atomic.Bool
			refused := make(chan time.Time, 1)
			b := newBroker(t, clienttest.Options{Authenticate: func(string) (
				clienttest.Grant, *clienttest.Refusal,
			) {
				if refusing.Swap(false) {
					refused <- time.Now()
					return clienttest.Grant{}, &clienttest.Refusal{
						Code: codec.ServiceUnavailable, Reason: "admission", RetryAfter: after,
					}
				}
				return clienttest.Grant{Identity: "me"}, nil
			}})
			c := dial(t, b.URL(transport), WithToken("t"), fastReconnect())
			refusing.Store(true)
			first := c.ServiceID()
			b.Disconnect()
			eventually(t, "a connection", func() bool { return c.ServiceID() != first })
			if d := time.Since(receive(t, "refusal", refused)); d < after {
				t.Errorf("came again after %v, asked for %v", d, after)
			}
		})
	}
}

// Of two brokers, one that wants to be left alone is, while the other is tried.
func TestOneOfTwoWantsToBeLeftAlone(t *testing.T) {
	var asked atomic.Int32
	busy := newBroker(t, clienttest.Options{Authenticate: func(string) (
		clienttest.Grant, *clienttest.Refusal,
	) {
		asked.Add(1)
		return clienttest.Grant{}, &clienttest.Refusal{
			Code: codec.ServiceUnavailable, Reason: "admission", RetryAfter: time.Hour,
		}
	}})
	good := newBroker(t, clienttest.Options{})
	c := dial(t, good.URL("tcp")+","+busy.URL("tcp"), WithToken("t"), fastReconnect())
	good.StopListening()
	good.Disconnect()
	eventually(t, "an attempt at the busy one", func() bool { return asked.Load() == 1 })
	time.Sleep(30 * time.Millisecond) // Several attempts at the other.
	if err := good.Listen(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a connection", c.Connected)
	if n := asked.Load(); n != 1 {
		t.Errorf("the busy one was asked %d times", n)
	}
}

func TestBackOffIsJittered(t *testing.T) {
	c := &Client{
		options: newOptions([]Option{WithReconnect(time.Millisecond, 4*time.Millisecond, 0)}),
		closing: make(chan struct{}),
	}
	for n := range 40 {
		most := min(time.Millisecond<<min(n, 10), 4*time.Millisecond)
		if d := c.pauseBefore(n, errors.New("refused")); d < 0 || d > most {
			t.Errorf("attempt %d waits %v, at most %v", n, d, most)
		}
	}
	const told = time.Second // Up to a quarter more, however many attempts there were.
	asked := &Error{Code: codec.ServiceUnavailable, Details: map[string]any{"retryAfterMs": 1000.0}}
	absurd := &Error{Code: codec.ServiceUnavailable, Details: map[string]any{"retryAfterMs": 1e300}}
	differ := make(map[time.Duration]bool)
	for n := range 40 {
		d := c.pauseBefore(n, fmt.Errorf("reconnecting: %w", asked))
		if d < told || d > told*5/4 {
			t.Errorf("asked for %v, attempt %d waits %v", told, n, d)
		}
		differ[d] = true
		if d := c.pauseBefore(n, absurd); d < time.Minute || d > time.Minute*5/4 {
			t.Errorf("asked for ages, attempt %d waits %v", n, d)
		}
		if d := c.pauseBefore(n, failures{asked, errors.New("refused")}); d > 4*time.Millisecond {
			t.Errorf("for the sake of one of two addresses attempt %d waits %v", n, d)
		}
	}
	if len(differ) < 10 {
		t.Error("no jitter")
	}
	if !c.rest(time.Millisecond) {
		t.Error("did not wait")
	}
	close(c.closing)
	if c.rest(time.Hour) {
		t.Error("a finished client waited")
	}
}
