package broker

import (
	"fmt"
	"testing"

	"mbserver/server/config"
)

// routeBytes is what the loops hold of routes.
func (n *testNode) routeHeld() (bytes int64) {
	for _, l := range n.loops {
		bytes += int64(l.routes.publishes.Held() + l.routes.requests.Held())
	}
	return bytes
}

// Many services on a pattern that matches every topic, and messages on very many topics: the routes
// lead to each service once a loop, what they hold is bounded and charged, and when everybody has
// gone it is given back.
func TestRoutesAreBounded(t *testing.T) {
	const services, topics = 100, 1500
	n := newTestNode(t, 1, 2, func(c *config.Config) { c.Memory.Limit = 64 << 20 })
	var all []*testClient
	for i := range 2 {
		all = append(all, n.subscribers(services/2, i, TransportTCP, "both", "#")...)
	}
	quiet(all...)
	senders := []*testClient{n.connect(0, TransportTCP), n.connect(1, TransportWS)}
	flood := func() {
		for i := range topics {
			for _, k := range senders {
				k.send(fmt.Sprintf("publish:t%d.x:1.0.0\nx", i))
				k.send(fmt.Sprintf("request:t%d.x:1.0.0\nx", i))
			}
			n.settle()
			k := all[i%len(all)]
			if e := k.openEntry(); e != nil {
				k.arrive(appendAnswer(nil, e)) // or they would be too many
			}
		}
	}
	flood()
	const each = 2 * 2 * services // two kinds, two loops
	if got := n.Sample(n.background.now()).RouteTargets; got != each {
		t.Errorf("%d targets are remembered, want %d", got, each)
	}
	most := int64(len(n.loops) * 2 * n.routeBytes)
	if held := n.routeHeld(); held > most || most > n.budget.high/6 {
		t.Errorf("%d bytes are held, at most %d of %d", held, most, n.budget.high)
	}
	// A service that comes and goes on another wildcard makes no new ones.
	flapping := n.subscribers(1, 0, TransportTCP, "both", "+.y")[0]
	n.run(0)
	route, _ := n.loops[0].routes.publishes.Lookup([]byte("t1.x"))
	flapping.hangUp(true)
	n.settle()
	if again, _ := n.loops[0].routes.publishes.Lookup([]byte("t2.x")); again != route {
		t.Error("the route is made anew though nothing of it has changed")
	}
	// Nor are there more than may be when each topic has its own.
	for i := range topics {
		senders[0].send("request:system.topic.subscribe:1.0.0\n" +
			fmt.Sprintf(`{"action":"both","topic":"t%d.x"}`, i))
		n.settle()
		quiet(senders[0])
	}
	flood()
	held := n.routeHeld()
	if held > most || held < most/4 {
		t.Errorf("%d bytes are held, at most %d", held, most)
	}
	charge := held - int64(len(n.loops))*n.routesFree
	for _, k := range append(all, senders...) {
		k.hangUp(true)
	}
	n.settle()
	if got := n.charged(); got > charge || got == 0 {
		t.Errorf("%d bytes are charged of %d", got, charge)
	}
	// It goes though nobody speaks any more, and then nothing calls for a turn.
	n.pass(3 * routesAge)
	for i, l := range n.loops {
		if _, armed := l.wheel.Next(); armed {
			t.Errorf("loop %d has timers", i)
		}
	}
	if n.charged() != 0 || n.Sample(n.background.now()).RouteTargets != 0 {
		t.Errorf("%d bytes are charged when everybody has left", n.charged())
	}
}

// Requests are served in turn however few topics are remembered: one that waits on two topics gets
// on when each look-up makes the other topic forgotten.
func TestQueuesWithoutMemory(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	l := n.loops[0]
	n.routeBytes = 0
	l.routes.init(l)
	one := n.worker(0, 1, "many.#")
	requester := n.connect(0, TransportTCP)
	for i := range 10 {
		requester.send(fmt.Sprintf("request:many.t%d:1.0.0:%s\nx", i, testRequestID))
	}
	n.settle()
	for i := range 9 {
		if one.work() == "" {
			t.Fatalf("%d requests wait after %d answers", n.queued.Load(), i)
		}
	}
}
