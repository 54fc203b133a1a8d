package broker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mbserver/server/config"
)

// explained is an answer of system.explain.
type explained struct {
	Found bool
	Stops []struct{ At, Stop, Reason, ServiceID, Pattern string }
	Error *struct {
		Code    string
		Details map[string]any
	}
}

// said is the stops, each with its reason.
func (e *explained) said() (all []string) {
	for _, s := range e.Stops {
		all = append(all, strings.TrimSuffix(s.Stop+" "+s.Reason, " "))
	}
	return all
}

const explainID = "5e0c0000-0000-4000-8000-00000000ffff"

// explain asks about a message, or what payload says else.
func (k *testClient) explain(payload string) (e explained) {
	k.node.t.Helper()
	k.send("request:system.explain:1.0.0:" + explainID + "\n" + payload)
	k.node.settle()
	for _, m := range k.messages() {
		if string(m.RequestID) == explainID {
			if err := json.Unmarshal(m.payload, &e); err != nil {
				k.node.t.Fatalf("%s: %v", m.payload, err)
			}
			return e
		}
	}
	k.node.t.Fatal("there is no answer")
	return e
}

// fateOf asks what became of the message with testRequestID.
func (k *testClient) fateOf() explained {
	k.node.t.Helper()
	return k.explain(`{"requestId":"` + testRequestID + `"}`)
}

// watch arms for all topics of the tests, and returns who asks.
func (n *testNode) watch() *testClient {
	n.t.Helper()
	k := n.connect(0, TransportTCP)
	n.settle()
	if e := k.explain(`{"armMs":600000,"topic":"#"}`); e.Error != nil {
		n.t.Fatalf("not armed: %v", e.Error)
	}
	return k
}

// message is one with the ID that is asked for.
func message(action, topic string) string {
	return action + ":" + topic + ":1.0.0:" + testRequestID + "\nx"
}

// stall has k's socket take nothing any more.
func (k *testClient) stall() {
	k.node.settle()
	k.messages()
	k.sock.unlimited, k.sock.budget = false, 0
}

// fateCase is a way in which something becomes of a message, and what is told of it.
type fateCase struct {
	name   string
	loops  int
	adjust func(*config.Config)
	roles  testRoles
	happen func(n *testNode, asks *testClient)
	want   []string // stops in this order, others may be between
}

// fill publishes on a.b until something was lost or waits.
func fill(n *testNode, k *testClient, done func() bool) {
	n.t.Helper()
	for range 100 {
		if done() {
			return
		}
		k.send("publish:a.b:1.0.0" + largePublish)
		n.settle()
	}
	n.t.Fatal("nothing came of it")
}

func small(cfg *config.Config) { cfg.Connection.OutboundBytes = 64 << 10 }

func overflow(policy string) func(*config.Config) {
	return func(cfg *config.Config) {
		small(cfg)
		cfg.Connection.OutboundOverflow = policy
	}
}

// stalled is a subscriber of a.b that takes nothing, with something waiting.
func stalled(n *testNode, k *testClient, options string) *testClient {
	s := n.connect(len(n.loops)-1, TransportTCP)
	s.send("request:system.topic.subscribe:1.0.0\n" +
		`{"action":"publish","topic":"a.+"` + options + `}`)
	n.settle()
	s.stall()
	k.send("publish:a.b:1.0.0\nx")
	n.settle()
	return s
}

// TestFates: whatever becomes of a message, system.explain names it.
func TestFates(t *testing.T) {
	for _, loops := range []int{1, 2} {
		for _, c := range slices.Concat(refusals, deliveries, requests) {
			t.Run(fmt.Sprintf("%s/loops=%d", c.name, loops), func(t *testing.T) {
				if c.loops > loops {
					t.Skip("needs more loops")
				}
				n := newTestNode(t, 1, loops, c.adjust)
				if c.roles != nil {
					n.Desk.do = func(f func()) { f() }
					n.authority.Store(c.roles.authority(t))
				}
				asks := n.watch()
				c.happen(n, asks)
				n.settle()
				asks.messages()
				e := asks.fateOf()
				if !e.Found {
					t.Fatalf("it is not found; want %q", c.want)
				}
				left := c.want
				for _, s := range e.said() {
					if len(left) > 0 && s == left[0] {
						left = left[1:]
					}
				}
				if len(left) > 0 {
					t.Errorf("of %q no %q in this order", e.said(), left)
				}
				for _, s := range e.Stops {
					if s.Stop == "matched" && (s.Pattern == "" || s.ServiceID == "") {
						t.Errorf("%q does not say what matched", s)
					}
				}
			})
		}
	}
}

var refusals = []fateCase{
	{name: "limited, service", adjust: func(cfg *config.Config) { cfg.RateLimit.PerService = 2 },
		happen: func(n *testNode, _ *testClient) {
			k := n.connect(0, TransportTCP)
			for range 3 {
				k.send(message("publish", "a.b"))
			}
		}, want: []string{"accepted", "limited service"}},
	{name: "limited, topic", adjust: func(cfg *config.Config) { cfg.RateLimit.PerTopic = 2 },
		happen: func(n *testNode, k *testClient) {
			for range 3 {
				k.send(message("publish", "a.b"))
			}
		}, want: []string{"limited topic"}},
	{name: "limited, total", adjust: func(cfg *config.Config) { cfg.RateLimit.Total = 3 },
		happen: func(n *testNode, k *testClient) {
			n.pass(1000)
			for range 4 {
				k.send(message("publish", "a.b"))
			}
			n.pass(1000)
		}, want: []string{"limited node"}},
	{name: "limited, topic of a service", adjust: func(cfg *config.Config) {
		cfg.RateLimit.TopicPerService = map[string]int{"a.#": 2}
	}, happen: func(n *testNode, k *testClient) {
		for range 3 {
			k.send(message("publish", "a.b"))
		}
	}, want: []string{"limited pattern"}},
	{name: "forbidden to publish", roles: testRoles{"": asking("b.#")},
		happen: func(_ *testNode, k *testClient) { k.send(message("publish", "a.b")) },
		want:   []string{"accepted", "forbidden publish"}},
	{name: "forbidden to request", roles: testRoles{"": asking("b.#")},
		happen: func(_ *testNode, k *testClient) { k.send(message("request", "a.b")) },
		want:   []string{"accepted", "forbidden request"}},
	{name: "no route of a publish",
		happen: func(_ *testNode, k *testClient) { k.send(message("publish", "a.b")) },
		want:   []string{"accepted", "unrouted"}},
	{name: "no route of a request",
		happen: func(_ *testNode, k *testClient) { k.send(message("request", "a.b")) },
		want:   []string{"accepted", "unrouted"}},
	{name: "too long", adjust: func(cfg *config.Config) { cfg.Message.PayloadMaxLength = 100 },
		happen: func(_ *testNode, k *testClient) {
			k.send(message("publish", "a.b") + strings.Repeat("x", 100))
		}, want: []string{"accepted", "dropped too long"}},
	{name: "malformed", happen: func(n *testNode, k *testClient) {
		k.explain(`{"armMs":600000,"serviceId":"` + k.id.String() + `"}`)
		k.send("publish:a.b:1.0.0:" + testRequestID + "::never\nx")
	}, want: []string{"accepted", "dropped malformed: timeout"}},
}

var deliveries = []fateCase{
	{name: "delivered", happen: func(n *testNode, k *testClient) {
		n.subscribers(2, 0, TransportWS, "publish", "a.#")
		n.subscribers(1, len(n.loops)-1, TransportTCP, "publish", "+.b")
		k.send(message("publish", "A.b"))
	}, want: []string{"accepted", "matched", "matched", "delivered", "delivered"}},
	{name: "dropped", adjust: overflow(config.OverflowDrop),
		happen: func(n *testNode, k *testClient) {
			s := stalled(n, k, "")
			fill(n, k, func() bool { return s.gap != nil })
			k.send(message("publish", "a.b"))
		}, want: []string{"matched", "dropped drop"}},
	{name: "the oldest is dropped", adjust: overflow(config.OverflowDropOldest),
		happen: func(n *testNode, k *testClient) {
			s := stalled(n, k, "")
			k.send(message("publish", "a.b"))
			fill(n, k, func() bool { return s.gap != nil && s.gap.oldest > 3 })
		}, want: []string{"matched", "queued its connection is behind", "dropped drop-oldest"}},
	{name: "disconnected for it", adjust: overflow(config.OverflowDisconnect),
		happen: func(n *testNode, k *testClient) {
			s := stalled(n, k, "")
			k.send(message("publish", "a.b"))
			fill(n, k, func() bool { return s.Conn.state == stateGone })
		}, want: []string{"queued its connection is behind", "dropped disconnect"}},
	{name: "conflated", happen: func(n *testNode, k *testClient) {
		stalled(n, k, `,"conflate":true`)
		k.send(message("publish", "a.b"))
		n.settle()
		k.send("publish:a.b:1.0.0\nnewer")
	}, want: []string{"queued its connection is behind", "conflated"}},
	{name: "behind, and then delivered", happen: func(n *testNode, k *testClient) {
		s := stalled(n, k, "")
		k.send(message("publish", "a.b"))
		n.settle()
		s.unblock(0, true)
	}, want: []string{"matched", "queued its connection is behind", "delivered"}},
	{name: "its receiver leaves", happen: func(n *testNode, k *testClient) {
		s := stalled(n, k, "")
		k.send(message("publish", "a.b"))
		n.settle()
		s.hangUp(true)
	}, want: []string{"queued its connection is behind", "dropped disconnected"}},
	{name: "paused", adjust: func(cfg *config.Config) {
		small(cfg)
		cfg.Connection.Backpressure = config.BackpressurePause
	}, happen: func(n *testNode, k *testClient) {
		s := stalled(n, k, "")
		p := n.connect(0, TransportTCP)
		fill(n, k, func() bool { return s.gap != nil })
		p.send(message("publish", "a.b"))
		n.settle()
		n.pass(3000)
	}, want: []string{"matched", "queued paused", "dropped drop"}},
	{name: "cut for memory", happen: func(n *testNode, k *testClient) {
		s := stalled(n, k, "")
		k.send(message("publish", "a.b"))
		n.settle()
		n.wake(s.loop)
		s.loop.begin()
		s.loop.cut(s.Conn)
	}, want: []string{"queued its connection is behind", "dropped memory"}},
	{name: "revoked in its ring", roles: testRoles{"": asking("a.#", "b.#")},
		happen: func(n *testNode, _ *testClient) {
			k := n.anonymous()
			stalled(n, k, "")
			k.send(message("publish", "a.b"))
			n.settle()
			n.reload(testRoles{"": asking("b.#")}.authority(n.t))
			n.reload(testRoles{"": asking("a.#")}.authority(n.t))
		}, want: []string{"queued its connection is behind", "revoked subscribe"}},
	{name: "busy", loops: 2, happen: func(n *testNode, k *testClient) {
		n.subscribers(1, 1, TransportTCP, "publish", "a.b")
		n.loops[1].inbox.full.Store(true)
		k.send(message("publish", "a.b"))
		k.loop.run()
		n.loops[1].inbox.full.Store(false)
	}, want: []string{"accepted", "dropped busy"}},
}
