package broker

import (
	"fmt"
	"slices"
	"testing"

	"mbserver/server/config"
	"mbserver/server/metrics"
)

// would asks what would become of a message on a.b.
func (k *testClient) would(more string) explained {
	k.node.t.Helper()
	return k.explain(`{"topic":"A.b"` + more + `}`)
}

// forecasts are a node's state, and what is said of a message on a.b then.
var forecasts = []struct {
	name   string
	adjust func(*config.Config)
	given  func(n *testNode, k *testClient)
	ask    string
	want   []string
}{
	{name: "nobody", want: []string{"accepted", "unrouted"}},
	{name: "nobody answers", ask: `,"action":"request"`, want: []string{"accepted", "unrouted"}},
	{name: "subscribers", given: func(n *testNode, _ *testClient) {
		n.subscribers(1, 0, TransportTCP, "publish", "a.#")
		n.subscribers(1, len(n.loops)-1, TransportWS, "publish", "+.b")
		n.subscribers(1, 0, TransportWS, "request", "a.b")
	}, want: []string{"accepted", "matched", "matched", "delivered", "delivered"}},
	{name: "many subscribers", given: func(n *testNode, _ *testClient) {
		n.subscribers(40, 0, TransportTCP, "publish", "#")
	}, want: []string{"accepted", "matched", "matched 24 more", "delivered", "delivered 24 more"}},
	{name: "too long", ask: `,"payloadBytes":16385`,
		want: []string{"accepted", "dropped too long"}},
	{name: "behind", given: func(n *testNode, k *testClient) { stalled(n, k, "") },
		want: []string{"accepted", "matched", "queued its connection is behind"}},
	{name: "no room, drop", adjust: overflow(config.OverflowDrop), given: noRoom(""),
		ask: `,"payloadBytes":8000`, want: []string{"matched", "dropped drop"}},
	{name: "no room, disconnect", adjust: overflow(config.OverflowDrop),
		given: noRoom(`,"overflow":"disconnect"`),
		ask:   `,"payloadBytes":8000`, want: []string{"matched", "dropped disconnect"}},
	{name: "no room, drop-oldest", adjust: overflow(config.OverflowDrop),
		given: noRoom(`,"overflow":"drop-oldest"`),
		ask:   `,"payloadBytes":8000`, want: []string{"matched", "queued the oldest give way"}},
	{name: "no room, pause", adjust: func(cfg *config.Config) {
		small(cfg)
		cfg.Connection.Backpressure = config.BackpressurePause
	}, given: noRoom(""), ask: `,"payloadBytes":8000`, want: []string{"matched", "queued paused"}},
	{name: "a service", given: func(n *testNode, _ *testClient) { n.worker(0, 1, "a.+") },
		ask: `,"action":"request"`, want: []string{"accepted", "matched", "delivered"}},
	{name: "a busy service", given: func(n *testNode, k *testClient) { full(n, k) },
		ask:  `,"action":"request"`,
		want: []string{"accepted", "matched", "queued no service has room"}},
	{name: "a busy service, none may wait", adjust: func(cfg *config.Config) {
		cfg.Max.QueuedPerTopic = 0
	}, given: func(n *testNode, k *testClient) { full(n, k) },
		ask: `,"action":"request"`, want: []string{"accepted", "matched", "dropped queue_full"}},
}

// noRoom is a subscriber with those options whose ring is nearly full.
func noRoom(options string) func(*testNode, *testClient) {
	return func(n *testNode, k *testClient) {
		s := stalled(n, k, options)
		fill(n, k, func() bool { return s.out.Bytes() > n.droppable.Bytes-6000 })
	}
}

// TestForecast: the dry run says what would become of a message, and nothing of it happens.
func TestForecast(t *testing.T) {
	for _, loops := range []int{1, 2} {
		for _, c := range forecasts {
			t.Run(fmt.Sprintf("%s/loops=%d", c.name, loops), func(t *testing.T) {
				n := newTestNode(t, 1, loops, c.adjust)
				k := n.anonymous()
				if c.given != nil {
					c.given(n, k)
					n.settle()
				}
				before := n.loops[0].counts[metrics.Publishes]
				e := k.would(c.ask)
				said := e.said()
				left := c.want
				for _, s := range said {
					if len(left) > 0 && s == left[0] {
						left = left[1:]
					}
				}
				if !e.Found || e.Error != nil || len(left) > 0 {
					t.Errorf("%v, %v: of %q no %q in this order", e.Found, e.Error, said, left)
				}
				for _, s := range e.Stops {
					if s.Stop == "matched" && s.Reason == "" && (s.Pattern == "" ||
						s.ServiceID == "") {
						t.Errorf("%v does not say what matched", s)
					}
				}
				if n.loops[0].counts[metrics.Publishes] != before {
					t.Error("something was published")
				}
			})
		}
	}
}

// What comes of a forecast is what then happens.
func TestForecastComesTrue(t *testing.T) {
	for _, c := range forecasts {
		if c.ask != "" && c.ask != `,"action":"request"` {
			continue // of another size than the message
		}
		n := newTestNode(t, 1, 2, c.adjust)
		k := n.watch()
		if c.given != nil {
			c.given(n, k)
			n.settle()
		}
		is := func(e explained) (last []string) {
			for _, s := range e.said() {
				// Of a request all services that it could go to have matched.
				which := s == "accepted" || s == "matched" && c.ask != ""
				if !which && !slices.Contains(last, s) {
					last = append(last, s)
				}
			}
			slices.Sort(last)
			return last
		}
		said := is(k.would(c.ask))
		action := "publish"
		if c.ask != "" {
			action = "request"
		}
		k.send(message(action, "a.b"))
		n.settle()
		k.messages()
		if got := is(k.fateOf()); !slices.Equal(got, said) {
			t.Errorf("%s: %q was said, and %q is so", c.name, said, got)
		}
	}
}

// A wrong question is answered with what is wrong.
func TestExplainRefuses(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	k := n.anonymous()
	for payload, field := range map[string]string{
		`{}`:                                                      "topic",
		`{"requestId":"x"}`:                                       "requestId",
		`{"requestId":7}`:                                         "requestId",
		`{"topic":"a..b"}`:                                        "topic",
		`{"topic":"a.+"}`:                                         "topic",
		`{"topic":"system.heartbeat"}`:                            "topic",
		`{"topic":"a","action":"sub"}`:                            "action",
		`{"topic":"a","action":7}`:                                "action",
		`{"topic":"a","payloadBytes":-1}`:                         "payloadBytes",
		`{"topic":"a","payloadBytes":1.5}`:                        "payloadBytes",
		`{"topic":"a","payloadBytes":1e12}`:                       "payloadBytes",
		`{"topic":"a","identity":7}`:                              "identity",
		`{"armMs":-1,"topic":"a"}`:                                "armMs",
		`{"armMs":600001,"topic":"a"}`:                            "armMs",
		`{"armMs":"1","topic":"a"}`:                               "armMs",
		`{"armMs":1}`:                                             "topic",
		`{"armMs":1,"topic":"system.log"}`:                        "topic",
		`{"armMs":1,"topic":"system.#"}`:                          "topic",
		`{"armMs":1,"serviceId":"x"}`:                             "serviceId",
		`{"armMs":1,"topic":"a","serviceId":"` + explainID + `"}`: "serviceId",
	} {
		if e := k.explain(payload); e.Error == nil || e.Error.Details["field"] != field {
			t.Errorf("%s: %+v", payload, e)
		}
	}
}
