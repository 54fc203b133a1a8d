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

// later answers a request of a client with RATE_LIMIT_EXCEEDED.
func later(c *clienttest.Conn, h *codec.Header) bool {
	c.Send(fmt.Sprintf("response:%s:1.0.0:%s", h.Topic, h.RequestID),
		[]byte(`{"error":{"code":"RATE_LIMIT_EXCEEDED","details":{"retryAfterMs":3}}}`))
	return true
}

// A registration that was delayed does not undo a newer one, whether it is the
// renewal after a reconnect or what takes back a call that was given up.
func TestDelayedRegistration(t *testing.T) {
	var limited atomic.Bool // "first" is refused until "second" was taken
	asked := make(chan struct{}, 1000)
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		if string(h.Topic) != topicRegister || !limited.Load() {
			return false
		}
		if strings.Contains(string(payload), "second") {
			limited.Store(false)
			return false
		}
		asked <- struct{}{}
		return later(c, h)
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	renewed := make(chan Renewal, 1)
	c := dial(t, b.URL("tcp"), fastReconnect(), WithName("first"),
		OnReconnect(func(r Renewal) { renewed <- r }))
	second := func() {
		t.Helper()
		receive(t, "the first is asked for", asked)
		if err := c.Register(testContext(t), Registration{Name: "second"}); err != nil {
			t.Fatal(err)
		}
	}
	limited.Store(true)
	b.Disconnect()
	second()
	receive(t, "OnReconnect", renewed)
	if name := b.Conns()[0].Name(); name != "second" {
		t.Errorf("after a reconnect the broker knows %q", name)
	}

	if err := c.Register(testContext(t), Registration{Name: "first"}); err != nil {
		t.Fatal(err)
	}
	giveUp(t, c, b.Conns()[0], func(ctx context.Context) error {
		limited.Store(true)
		return c.Register(ctx, Registration{Name: "given up"})
	})
	<-asked // the call that was given up
	second()
	for range 20 { // round trips, time enough for what waits 3 ms
		time.Sleep(time.Millisecond)
		if err := c.Ping(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	if name := b.Conns()[0].Name(); name != "second" {
		t.Errorf("after a call that was given up the broker knows %q", name)
	}
}

// The broker cannot forget a registration. A first one that was given up is not
// made again after a reconnect, and gives way to the next.
func TestFirstRegistrationGivenUp(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	renewed := make(chan Renewal, 1)
	c := dial(t, b.URL("tcp"), fastReconnect(), OnReconnect(func(r Renewal) { renewed <- r }))
	register := func(ctx context.Context) error { return c.Register(ctx, Registration{Name: "n"}) }
	giveUp(t, c, b.Conns()[0], register)
	b.Disconnect()
	receive(t, "OnReconnect", renewed)
	if name := b.Conns()[0].Name(); name != "" {
		t.Errorf("the broker knows %q", name)
	}
	giveUp(t, c, b.Conns()[0], register)
	if err := c.Register(testContext(t), Registration{Name: "next"}); err != nil {
		t.Fatal(err)
	}
	if name := b.Conns()[0].Name(); name != "next" {
		t.Errorf("the broker knows %q", name)
	}
}

// WithName waits for a rate limit, and not for ever for a broker that says nothing.
func TestNameWhileConnecting(t *testing.T) {
	var refused atomic.Int64
	var mute atomic.Bool
	intercept := func(c *clienttest.Conn, h *codec.Header, _ []byte) bool {
		return mute.Load() || refused.Add(1) <= 2 && later(c, h)
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	dial(t, b.URL("tcp"), WithName("n"))
	if name := b.Conns()[0].Name(); name != "n" {
		t.Errorf("the broker knows %q", name)
	}
	mute.Store(true)
	isTimeout := func(err error) bool { return errors.Is(err, ErrTimeout) }
	if err := dialTooLong(b.URL("tcp"), isTimeout, WithName("n")); err != nil {
		t.Errorf("Dial: %v", err)
	}
}

// When of two subscriptions with one pattern the later ends before it was
// renewed, the pattern is renewed for the earlier.
func TestRenewForTheOther(t *testing.T) {
	var limited atomic.Bool
	asked := make(chan struct{}, 1000)
	intercept := func(c *clienttest.Conn, h *codec.Header, _ []byte) bool {
		if string(h.Topic) != topicSubscribe || !limited.Load() {
			return false
		}
		asked <- struct{}{}
		return later(c, h)
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	renewed := make(chan Renewal, 1)
	c := dial(t, b.URL("tcp"), fastReconnect(), OnReconnect(func(r Renewal) { renewed <- r }))
	var both [2]*Subscription
	for i := range both {
		var err error
		if both[i], err = c.Subscribe(testContext(t), "a", func(Message) {}); err != nil {
			t.Fatal(err)
		}
	}
	limited.Store(true)
	b.Disconnect()
	receive(t, "renewal", asked)
	eventually(t, "connection", c.Connected)
	if err := both[1].Unsubscribe(testContext(t)); err != nil {
		t.Fatal(err)
	}
	limited.Store(false)
	receive(t, "OnReconnect", renewed)
	if got := b.Conns()[0].Subscriptions(); !reflect.DeepEqual(got, []string{"publish a"}) {
		t.Errorf("at the broker: %v", got)
	}
}

// When of two subscriptions with one pattern the later ends, the options of the
// earlier count at the broker again; when the earlier ends, nothing changes.
func TestOptionsOfTheOther(t *testing.T) {
	asked := make(chan string, 10)
	intercept := func(_ *clienttest.Conn, h *codec.Header, payload []byte) bool {
		asked <- string(h.Topic) + " " + string(payload)
		return false
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	c := dial(t, b.URL("tcp"))
	ctx := testContext(t)
	kinds := map[string]func(i int) (*Subscription, error){
		"Subscribe": func(i int) (*Subscription, error) {
			return c.Subscribe(ctx, "a", func(Message) {},
				WithOverflow([]string{"drop", "drop-oldest"}[i]))
		},
		"Handle": func(i int) (*Subscription, error) {
			return c.Handle(ctx, "a", echo, WithPriority(float64(i)))
		},
		"SubscribeLog": func(i int) (*Subscription, error) {
			filter := LogFilter{Regex: []string{"first", "second"}[i]}
			return c.SubscribeLog(ctx, filter, func(Message) {})
		},
	}
	for name, subscribe := range kinds {
		var both [2]*Subscription
		var made, ended [2]string
		again := func(i int) {
			t.Helper()
			var err error
			if both[i], err = subscribe(i); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			made[i] = receive(t, "subscribe", asked)
		}
		end := func(i int) {
			t.Helper()
			if err := both[i].Unsubscribe(ctx); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := c.Ping(ctx); err != nil {
				t.Fatal(err)
			}
			for {
				got := receive(t, "heartbeat", asked)
				if strings.HasPrefix(got, topicHeartbeat) {
					return
				}
				ended[i] += got
			}
		}
		again(0)
		again(1)
		end(1)
		again(1)
		end(0)
		if ended[1] != made[0] || ended[0] != "" {
			t.Errorf("%s: the later's end sent %q, want %q; the earlier's %q, want nothing",
				name, ended[1], made[0], ended[0])
		}
		end(1)
	}
}

// What is refused only for now is asked for again, and after a sane time.
func TestRetryAfter(t *testing.T) {
	ms := func(code Code, ms float64) error {
		return &Error{Code: code, Details: map[string]any{"retryAfterMs": ms}}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 0)
	defer cancel()
	for _, c := range []struct {
		err   error
		after time.Duration // 0: never
	}{
		{nil, 0},
		{ErrDisconnected, 0},
		{gaveUp(ctx, "", ""), 0}, // It was we who did not wait.
		{&Error{Code: CodeForbidden}, 0},
		{&Error{Code: CodeServiceUnavailable,
			Details: map[string]any{"reason": "subscription_limit"}}, 0},
		{&Error{Code: CodeServiceUnavailable}, retryDefault},
		{&Error{Code: CodeRateLimited}, retryDefault},
		{&Error{Code: CodeTimeout}, retryDefault},
		{fmt.Errorf("wrapped: %w", &Error{Code: CodeTimeout}), retryDefault},
		{ms(CodeRateLimited, 250), 250 * time.Millisecond},
		{ms(CodeRateLimited, 0), time.Millisecond},
		{ms(CodeRateLimited, 1e300), time.Minute},
	} {
		after, again := RetryAfter(c.err)
		if again != (c.after > 0) || again && after != c.after {
			t.Errorf("%v: %v, %v; want %v", c.err, after, again, c.after)
		}
	}
}
