package client

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

func TestNotices(t *testing.T) {
	gaps, flows, malformed := make(chan Gap, 1), make(chan Flow, 1), make(chan *Error, 1)
	var before atomic.Int64
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"),
		OnGap(func(g Gap) { gaps <- g }),
		OnFlow(func(f Flow) { flows <- f }),
		OnError(func(e *Error) { malformed <- e }))
	if _, err := c.Subscribe(testContext(t), "#", func(m Message) {
		if strings.HasPrefix(m.Topic, "system") {
			t.Errorf("a notice came as a message: %s", m.Topic)
		}
		before.Add(1)
	}); err != nil {
		t.Fatal(err)
	}
	conn := b.Conns()[0]
	conn.Send("publish:a:1.0.0", nil)
	conn.Send("publish:system.dropped:1.0.0", []byte(`{"count":7,"conflated":2,`+
		`"since":"2026-01-02T03:04:05.678Z","until":"2026-01-02T03:04:06.000Z"}`))
	g := receive(t, "gap", gaps)
	if g.Count != 7 || g.Conflated != 2 ||
		g.Since.UnixMilli()%1000 != 678 || g.Until.Sub(g.Since) != 322*time.Millisecond {
		t.Errorf("gap %+v", g)
	}
	if before.Load() != 1 {
		t.Error("the gap came before the message that was sent first")
	}
	conn.Send("publish:system.flow:1.0.0", []byte(`{"state":"resumed","topic":"a"}`))
	if f := receive(t, "flow", flows); f != (Flow{"resumed", "a"}) {
		t.Errorf("flow %+v", f)
	}
	conn.Send("nonsense", nil)
	if e := receive(t, "error", malformed); !errors.Is(e, ErrMalformed) {
		t.Errorf("OnError: %v", e)
	}
}

func TestHeartbeats(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		answers := make(chan string, 1)
		intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
			if h.Action != codec.Response {
				return false
			}
			answers <- string(h.Topic) + " " + string(payload)
			return true
		}
		b := newBroker(t, clienttest.Options{Intercept: intercept})
		c := dial(t, b.URL(transport))
		conn := b.Conns()[0]
		conn.Send("request:system.heartbeat:1.0.0", []byte(`{}`))
		if got := receive(t, "answer", answers); got != `system.heartbeat {"status":"success"}` {
			t.Errorf("answer %q", got)
		}
		if transport == "ws" {
			conn.SendRaw(append(codec.AppendWSHeader(nil, codec.Ping, 2), "hi"...))
		}
		if err := c.Ping(testContext(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestKeepAlive(t *testing.T) {
	var mute atomic.Bool
	intercept := func(*clienttest.Conn, *codec.Header, []byte) bool { return mute.Load() }
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	c := dial(t, b.URL("tcp"), WithKeepAlive(20*time.Millisecond), WithoutReconnect())
	eventually(t, "heartbeats", func() bool { return b.Received(codec.Request) >= 5 })
	if !c.Connected() {
		t.Fatalf("lost: %v", c.Err())
	}
	mute.Store(true)
	receive(t, "Closing", c.Closing())
	err := c.Err()
	if !errors.Is(err, ErrDisconnected) || !strings.Contains(err.Error(), "no sign of life") {
		t.Errorf("Err() = %v", err)
	}
}

func TestFramingLost(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), WithoutReconnect(), WithMaxMessage(1000))
	b.Conns()[0].SendRaw([]byte{0x7f, 0, 0, 0})
	receive(t, "Closing", c.Closing())
	if err := c.Err(); !strings.Contains(err.Error(), "framing") {
		t.Errorf("Err() = %v", err)
	}
}

func TestLog(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"))
	ctx := testContext(t)
	lines := make(chan string, 10)
	filter := LogFilter{Levels: []string{"info"}}
	s, err := c.SubscribeLog(ctx, filter, func(m Message) { lines <- string(m.Payload) })
	if err != nil {
		t.Fatal(err)
	}
	b.Log("info", "hello")
	var line struct{ Level, Message string }
	err = json.Unmarshal([]byte(receive(t, "line", lines)), &line)
	if err != nil || line.Message != "hello" {
		t.Errorf("line %+v, %v", line, err)
	}
	if err := s.Unsubscribe(ctx); err != nil {
		t.Fatal(err)
	}
	b.Log("info", "unheard")
	if err := c.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 0 {
		t.Errorf("after Unsubscribe: %s", <-lines)
	}
}

func TestSystem(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("ws"))
	ctx := testContext(t)
	registration := Registration{
		Name: "n", Description: "d", MaxConcurrent: 3, Metadata: map[string]string{"k": "v"},
	}
	if err := c.Register(ctx, registration); err != nil {
		t.Fatal(err)
	}
	for _, payload := range []any{nil, []byte(`{}`), json.RawMessage(`{}`), map[string]any{}} {
		answer, err := c.System(ctx, "system.service.list", payload)
		if err != nil || !strings.Contains(string(answer), `"name":"n"`) {
			t.Errorf("System(%T): %s, %v", payload, answer, err)
		}
	}
	if _, err := c.System(ctx, "system.nothing", nil); !errors.Is(err, ErrTopicNotSupported) {
		t.Errorf("unknown topic: %v", err)
	}
	if _, err := c.System(ctx, "system.metrics", func() {}); err == nil {
		t.Error("a function was marshalled")
	}
}

func TestDrain(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		b := newBroker(t, clienttest.Options{})
		server, c := dial(t, b.URL(transport)), dial(t, b.URL(transport))
		ctx := testContext(t)
		inHandler, release := make(chan struct{}), make(chan struct{})
		handle(t, server, "svc", func(context.Context, Request) ([]byte, error) {
			close(inHandler)
			<-release
			return []byte("done"), nil
		})
		var messages atomic.Int64
		if _, err := server.Subscribe(ctx, "news", func(Message) {
			<-release
			messages.Add(1)
		}); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err := c.PublishAck(ctx, "news", nil); err != nil {
				t.Fatal(err)
			}
		}
		answers := make(chan string, 1)
		go func() {
			answer, err := c.Request(ctx, "svc", nil)
			answers <- string(answer)
			if err != nil {
				t.Error(err)
			}
		}()
		receive(t, "handler", inHandler)
		drained := make(chan error, 1)
		go func() { drained <- server.Drain(ctx) }()
		eventually(t, "unsubscribed", func() bool { return len(b.Conns()[0].Subscriptions()) == 0 })
		if _, err := server.Subscribe(ctx, "x", func(Message) {}); err == nil {
			t.Error("a draining client subscribed")
		}
		close(release)
		if err := receive(t, "Drain", drained); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, "answer", answers); got != "done" {
			t.Errorf("answer %q", got)
		}
		if got := messages.Load(); got != 100 {
			t.Errorf("%d callbacks, want 100", got)
		}
		if err := server.Publish(context.Background(), "a", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Publish after Drain: %v", err)
		}
		eventually(t, "gone at the broker", func() bool { return len(b.Conns()) == 1 })
	})
}

func TestDrainGivesUp(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"))
	release := make(chan struct{})
	started := make(chan struct{})
	handle(t, c, "svc", func(context.Context, Request) ([]byte, error) {
		close(started)
		<-release
		return nil, nil
	})
	b.Conns()[0].Send("request:svc:1.0.0:00000000-0000-4000-8000-000000000000", nil)
	receive(t, "handler", started)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := c.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Drain: %v", err)
	}
	receive(t, "Closing", c.Closing())
	close(release)
}

func TestCloseInCallback(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("ws"))
	calls := 0
	if _, err := c.Subscribe(testContext(t), "a", func(Message) {
		calls++
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		_ = c.Publish(context.Background(), "a", nil) // The later ones meet a closed client.
	}
	receive(t, "Done", c.Done())
	if calls != 1 {
		t.Errorf("%d callbacks, want 1", calls)
	}
	if err := c.Close(); err != nil || !errors.Is(c.Err(), ErrClosed) {
		t.Errorf("Close again: %v, Err() %v", err, c.Err())
	}
}

func TestCloseFailsCalls(t *testing.T) {
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		return string(h.Topic) == "hole"
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	c := dial(t, b.URL("tcp"))
	failed := make(chan error, 1)
	go func() {
		_, err := c.Request(context.Background(), "hole", nil)
		failed <- err
	}()
	eventually(t, "request at the broker", func() bool { return b.Received(codec.Request) == 1 })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "failure", failed); !errors.Is(err, ErrClosed) {
		t.Errorf("Request: %v", err)
	}
}

// Close writes what was sent before.
func TestCloseWrites(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		b := newBroker(t, clienttest.Options{})
		c := dial(t, b.URL(transport))
		for range 1000 {
			if err := c.Publish(context.Background(), "a", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all at the broker", func() bool { return b.Received(codec.Publish) == 1000 })
	})
}
