package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// parked keeps the requests on the topic "slow" until the test answers them, and echoes those on
// "echo".
type parked struct {
	mu    sync.Mutex
	conns []*clienttest.Conn
	ids   []string
}

func (p *parked) intercept(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
	if h.Action != codec.Request {
		return false
	}
	switch string(h.Topic) {
	case "echo":
		c.Send("response:echo:1.0.0:"+string(h.RequestID), append([]byte(nil), payload...))
		return true
	case "slow":
		p.mu.Lock()
		defer p.mu.Unlock()
		p.conns, p.ids = append(p.conns, c), append(p.ids, string(h.RequestID))
		return true
	}
	return false
}

func (p *parked) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ids)
}

func (p *parked) answer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range p.conns {
		c.Send("response:slow:1.0.0:"+p.ids[i], []byte("late"))
	}
	p.conns, p.ids = nil, nil
}

// twoNodes are two brokers, and the address of a client of theirs.
func twoNodes(t *testing.T, transport string) (a, b *clienttest.Broker, p *parked, address string) {
	t.Helper()
	p = &parked{}
	a = newBroker(t, clienttest.Options{Intercept: p.intercept})
	b = newBroker(t, clienttest.Options{Intercept: p.intercept})
	return a, b, p, a.URL(transport) + "," + b.URL(transport)
}

// hooks journals what becomes of the connection.
func hooks(j *journal) []Option {
	return []Option{
		fastReconnect(),
		OnDisconnect(func(err error) { j.add("lost: " + err.Error()) }),
		OnReconnect(func(Renewal) { j.add("reconnected") }),
		OnMove(func(r Renewal) { j.add(fmt.Sprintf("moved, %d failed", len(r.Failed))) }),
	}
}

func slowCall(c *Client) <-chan error {
	done := make(chan error, 1)
	go func() {
		answer, err := c.Request(context.Background(), "slow", nil)
		if err == nil && string(answer) != "late" {
			err = fmt.Errorf("answer %q", answer)
		}
		done <- err
	}()
	return done
}

// A client goes to the other node before its time, takes everything along, and is answered on
// both connections. With a handler it stays on the old one until the node closes that.
func TestMove(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		var j journal
		a, b, p, address := twoNodes(t, transport)
		c := dial(t, address, hooks(&j)...)
		ctx := testContext(t)
		if err := c.Register(ctx, Registration{Name: "tester"}); err != nil {
			t.Fatal(err)
		}
		_, err := c.Subscribe(ctx, "a.#", func(m Message) { j.add(string(m.Payload)) })
		if err != nil {
			t.Fatal(err)
		}
		handle(t, c, "svc", echo)
		late := slowCall(c)
		eventually(t, "the call at the node", func() bool { return p.count() == 1 })
		first, before := a.Conns()[0], time.Now()
		first.Announce(100*time.Millisecond, time.Minute)
		eventually(t, "the other node", func() bool { return c.NodeID() == b.NodeID })
		if early := time.Since(before); early < 50*time.Millisecond {
			t.Errorf("went after %v", early)
		}
		eventually(t, "OnMove", func() bool {
			return reflect.DeepEqual(j.all(), []string{"moved, 0 failed"})
		})
		second := b.Conns()[0]
		want := []string{"publish a.#", "request svc"}
		got := second.Subscriptions()
		if !reflect.DeepEqual(got, want) || second.Name() != "tester" {
			t.Errorf("at the new node: %v, name %q", got, second.Name())
		}
		if left := first.Subscriptions(); !reflect.DeepEqual(left, want[1:]) {
			t.Errorf("at the old node: %v", left)
		}
		for name, requester := range map[string]*clienttest.Broker{"old": a, "new": b} {
			r := dial(t, requester.URL(transport))
			if got, err := r.Request(ctx, "svc", []byte("x")); err != nil || string(got) != "x" {
				t.Errorf("a request at the %s node: %q, %v", name, got, err)
			}
		}
		if got, err := c.Request(ctx, "echo", []byte("y")); err != nil || string(got) != "y" {
			t.Errorf("a request over the new connection: %q, %v", got, err)
		}
		p.answer()
		if err := receive(t, "the late answer", late); err != nil {
			t.Errorf("the call that was under way: %v", err)
		}
		first.GoAway()
		eventually(t, "the end of the old connection", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return len(c.left) == 0
		})
		if _, err := c.PublishAck(ctx, "a.b", []byte("message")); err != nil {
			t.Error(err)
		}
		if err := c.Settle(ctx); err != nil {
			t.Error(err)
		}
		want = []string{"moved, 0 failed", "message"}
		if got := j.all(); !reflect.DeepEqual(got, want) || !c.Connected() {
			t.Errorf("hooks: %q, want %q; connected: %v", got, want, c.Connected())
		}
	})
}

// Without handlers the client leaves the old connection as soon as it waits for nothing there.
func TestMoveLeavesWhenIdle(t *testing.T) {
	for _, transport := range []string{"tcp", "ws"} {
		t.Run(transport, func(t *testing.T) {
			a, b, p, address := twoNodes(t, transport)
			c := dial(t, address, WithoutReconnect())
			late := slowCall(c)
			eventually(t, "the call at the node", func() bool { return p.count() == 1 })
			a.Conns()[0].Announce(0, time.Minute)
			eventually(t, "the other node", func() bool { return c.NodeID() == b.NodeID })
			if err := c.Ping(testContext(t)); err != nil { // The old node has answered a heartbeat.
				t.Fatal(err)
			}
			if len(a.Conns()) != 1 {
				t.Error("left a node that owes an answer")
			}
			p.answer()
			if err := receive(t, "the late answer", late); err != nil {
				t.Error(err)
			}
			eventually(t, "the end of the old one", func() bool { return len(a.Conns()) == 0 })
		})
	}
}

// What is outstanding at the deadline is not waited for much longer.
func TestMoveDeadline(t *testing.T) {
	a, _, p, _ := twoNodes(t, "tcp")
	c := dial(t, a.URL("tcp"), WithoutReconnect())
	late := slowCall(c)
	eventually(t, "the call at the node", func() bool { return p.count() == 1 })
	const deadline = 10 * time.Millisecond
	before, unwatched := time.Now(), make(chan struct{})
	close(unwatched)
	c.leaving.Add(1)
	c.leave(c.link.Load(), before.Add(deadline), unwatched)
	if took := time.Since(before); took < deadline+moveGrace {
		t.Errorf("gave up after %v", took)
	}
	if err := receive(t, "the end", late); !errors.Is(err, ErrDisconnected) {
		t.Errorf("the call: %v", err)
	}
}

// While there is no other node the old connection is kept, and used. When it is cut the client
// reconnects as ever, and says why.
func TestMoveNowhere(t *testing.T) {
	for _, transport := range []string{"tcp", "ws"} {
		t.Run(transport, func(t *testing.T) {
			var j journal
			a := newBroker(t, clienttest.Options{})
			c := dial(t, a.URL(transport), hooks(&j)...)
			ctx := testContext(t)
			if _, err := c.Subscribe(ctx, "a", func(Message) {}); err != nil {
				t.Fatal(err)
			}
			first := a.Conns()[0]
			heartbeats := a.Received(codec.Request)
			first.Announce(0, time.Minute)
			eventually(t, "several attempts", func() bool { // Each is greeted by the same node.
				return a.Arrived() > 4
			})
			if c.ServiceID() != first.ID || a.Received(codec.Request) != heartbeats {
				t.Error("used another connection to the node that goes away")
			}
			if _, err := c.PublishAck(ctx, "a", nil); err != nil {
				t.Errorf("over the old connection: %v", err)
			}
			a.StopListening()
			first.GoAway()
			eventually(t, "the loss", func() bool { return len(j.all()) == 1 })
			if err := a.Listen(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "a reconnect", func() bool { return len(j.all()) == 2 })
			all := strings.Join(j.all(), "; ")
			if !strings.Contains(all, "the node went away") ||
				!strings.HasSuffix(all, "; reconnected") {
				t.Errorf("hooks: %s", all)
			}
		})
	}
}

// A node may close a connection while the client is on its way to another: calls wait for that.
func TestMoveGap(t *testing.T) {
	a, b, _, address := twoNodes(t, "tcp")
	var dials atomic.Int32
	open := make(chan struct{})
	dialer := func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			<-open
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	c := dial(t, address, WithDialer(dialer))
	l := c.link.Load()
	a.Conns()[0].Announce(0, time.Minute)
	eventually(t, "the attempt", func() bool { return dials.Load() == 2 })
	a.Conns()[0].GoAway()
	receive(t, "the end of the old connection", l.dead)
	if !c.Connected() {
		t.Error("not connected while on its way")
	}
	done := make(chan error, 3)
	ctx := testContext(t)
	go func() {
		_, err := c.Request(ctx, "echo", nil)
		done <- err
	}()
	go func() { done <- c.Publish(ctx, "a", nil) }()
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	if err := c.Publish(short, "a", nil); !errors.Is(err, ErrTimeout) {
		t.Errorf("with a deadline: %v", err)
	}
	close(open)
	for range 2 {
		if err := receive(t, "a call", done); err != nil {
			t.Error(err)
		}
	}
	if c.NodeID() != b.NodeID {
		t.Error("is not at the other node")
	}
}

// Calls in flight at all stages of moves to and fro, by a node that closes at its time: none fails.
func TestMoveCalls(t *testing.T) {
	for _, transport := range []string{"tcp", "ws"} {
		t.Run(transport, func(t *testing.T) {
			a, b, _, address := twoNodes(t, transport)
			c := dial(t, address, fastReconnect())
			handle(t, c, "svc", echo)
			stop, failed := make(chan struct{}), make(chan error, 16)
			var calls sync.WaitGroup
			for i := range 8 {
				calls.Go(func() {
					topic := []string{"echo", "svc"}[i%2]
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						default:
						}
						want := fmt.Sprint(i, " ", n)
						got, err := c.Request(testContext(t), topic, []byte(want))
						if err != nil || string(got) != want {
							failed <- fmt.Errorf("request %s on %s: %q, %w", want, topic, got, err)
							return
						}
					}
				})
			}
			from, to := a, b
			for range 6 {
				conn := from.Conns()[0]
				conn.Announce(10*time.Millisecond, time.Minute)
				eventually(t, "the other node", func() bool { return c.NodeID() == to.NodeID })
				eventually(t, "an idle old connection", func() bool {
					c.mu.Lock()
					defer c.mu.Unlock()
					for l := range c.left {
						if l.welcome.ServiceID == conn.ID {
							l.calls.mu.Lock()
							defer l.calls.mu.Unlock()
							return len(l.calls.open) == 0 && l.calls.serving == 0
						}
					}
					return false
				})
				conn.GoAway()
				eventually(t, "the end", func() bool { return len(from.Conns()) == 0 })
				from, to = to, from
			}
			close(stop)
			calls.Wait()
			select {
			case err := <-failed:
				t.Error(err)
			default:
			}
		})
	}
}

// Notices that make no sense do no harm.
func TestAbsurdNotices(t *testing.T) {
	a, _, _, address := twoNodes(t, "tcp")
	c := dial(t, address)
	conn := a.Conns()[0]
	for _, payload := range []string{
		"", "[]", `{"reconnectAfterMs":"soon"}`, `{"reconnectAfterMs":1e300,"deadlineMs":-1}`,
		`{"reconnectAfterMs":1e18}`, `{"reconnectAfterMs":0,"deadlineMs":0}`,
	} {
		conn.Send("publish:system.drain:1.0.0", []byte(payload))
	}
	if err := c.Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if c.NodeID() != a.NodeID {
		t.Error("moved at once for a time that is far away")
	}
	told := <-func() chan drainNotice {
		l := &link{going: make(chan drainNotice, 1)}
		l.drains([]byte(`{"reconnectAfterMs":1e300,"deadlineMs":-1}`))
		return l.going
	}()
	if in := time.Until(told.slot); in > maxNotice || told.deadline.Before(told.slot) {
		t.Errorf("slot in %v, deadline %v later", in, told.deadline.Sub(told.slot))
	}
}
