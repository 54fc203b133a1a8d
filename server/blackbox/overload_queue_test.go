package blackbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Waiting requests are served round robin between requesters, first in first out within one,
// one at a time.
func TestOverload_QueueOrder(t *testing.T) {
	perPlain(t, nil, func(t *testing.T, n *node, transport string) {
		requesters := []*client{n.dial(t, transport), n.dial(t, overTCP), n.dial(t, overWS)}
		target, held := busy(t, n, transport, "order.test", requesters[0])
		waiting := 0
		for i, count := range []int{4, 2, 1} {
			for j := range count {
				requesters[i].send("request:order.test:1.0.0:"+uuid.NewString()+"::600000",
					fmt.Sprintf("%c%d", 'a'+i, j))
			}
			waiting += count
			eventually(t, "they wait, in this order", func() bool {
				return n.counter(t, "mb_requests_queued") == waiting
			})
			requesters[i].none()
		}
		var order []string
		for range 7 {
			target.send("response:order.test:1.0.0:"+held.ID, "done")
			held = target.expect("request:order.test:1.0.0:*")
			order = append(order, string(held.Payload))
		}
		target.none()
		if got := strings.Join(order, " "); got != "a0 b0 c0 a1 b1 a2 a3" {
			t.Errorf("served in the order %s", got)
		}
	})
}

// Each instance takes as many as it registered, at once;
// the rest wait until any of them has room again.
func TestOverload_CapacityOfInstances(t *testing.T) {
	settings := []string{"max.outstanding.perService=2"}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		requester := n.dial(t, transport)
		capacity := map[*client]int{}
		var targets []*client
		for i, most := range []int{1, 3, 2} { // the last one registers nothing: the node's limit
			target := n.dial(t, []string{transport, overTCP, overWS}[i])
			if i < 2 {
				target.ok("system.service.register", fmt.Sprintf(
					`{"name":"t%d","description":"d","maxConcurrent":%d}`, i, most))
			}
			target.subscribe("request", "capacity.test")
			capacity[target] = most
			targets = append(targets, target)
		}
		const count = 30
		waiting := map[string]bool{}
		for range count {
			id := uuid.NewString()
			waiting[id] = true
			requester.send("request:capacity.test:1.0.0:"+id+"::600000", "")
		}
		requester.none()
		held := map[*client][]message{}
		for done := 0; ; done++ {
			for _, target := range targets {
				target.settle()
				for _, m := range target.backlog {
					m.mustHead(t, "request:capacity.test:1.0.0:"+m.ID)
					held[target] = append(held[target], m)
				}
				target.backlog = nil
				may := capacity[target]
				for done+6 <= count && len(held[target]) < may { // it may come from another loop
					held[target] = append(held[target], target.recv())
				}
				if has := len(held[target]); has > may {
					t.Fatalf("after %d answers one that may have %d has %d", done, may, has)
				}
			}
			if done == count {
				break
			}
			by := targets[slices.IndexFunc(targets, func(c *client) bool {
				return len(held[c]) > 0
			})]
			m := held[by][0]
			held[by] = held[by][1:]
			by.send("response:capacity.test:1.0.0:"+m.ID, "done")
			m = requester.recv()
			if !waiting[m.ID] || string(m.Payload) != "done" {
				t.Fatalf("answered twice or wrong: %v", m)
			}
			delete(waiting, m.ID)
		}
		requester.none()
	})
}

// The deadline counts from arrival: a request that waited has what is left of it. One that came
// later, did not wait and has 100 ms more must still be there when it ends.
func TestOverload_DeadlineCountsWaiting(t *testing.T) {
	perPlain(t, nil, func(t *testing.T, n *node, transport string) {
		requester := n.dial(t, transport)
		silent := n.dial(t, transport)
		silent.subscribe("request", "control.test")
		target, held := busy(t, n, transport, "deadline.test", requester)
		start := time.Now()
		requester.send("request:deadline.test:1.0.0:"+idA+"::1000", "waits")
		requester.send("request:control.test:1.0.0:"+idB+"::1100", "does not")
		silent.expect("request:control.test:1.0.0:*")
		for time.Since(start) < 400*time.Millisecond { // it waits for longer than the two are apart
			requester.settle()
		}
		target.send("response:deadline.test:1.0.0:"+held.ID, "done")
		requester.expect("response:deadline.test:1.0.0:" + held0(requester))
		late := target.expectPayload("request:deadline.test:1.0.0:*", "waits")
		e := requester.expectFault("response:deadline.test:1.0.0:"+idA, "TIMEOUT")
		if passed := time.Since(start); passed < time.Second {
			t.Errorf("its second ended after %v", passed)
		}
		if e.Details["targetServiceId"] != target.id {
			t.Errorf("details %v", e.Details)
		}
		requester.expectFault("response:control.test:1.0.0:"+idB, "TIMEOUT")
		target.send("response:deadline.test:1.0.0:"+late.ID, "too late")
		target.expectFault("response:deadline.test:1.0.0:"+late.ID, "INVALID_REQUEST_ID")
		requester.none()
	})
}

// serveStorm answers four of five requests until the one that says "end" and returns those it got.
func serveStorm(p peer) map[string]bool {
	seen := map[string]bool{}
	for k := 0; ; k++ {
		f, err := p.Recv(time.Now().Add(patience))
		if err != nil {
			break
		}
		m, err := parseMessage(f)
		if err != nil || m.Action != "request" {
			continue
		}
		if string(m.Payload) == "end" {
			break
		}
		seen[string(m.Payload)] = true
		if k%5 != 0 { // one of five is never answered
			_ = p.Send([]byte("response:" + m.Topic + ":1.0.0:" + m.ID + "\ndone"))
		}
	}
	return seen
}

// A storm of requests with short deadlines on services that take two at a time and answer some:
// each gets exactly one answer, and none that was told to have expired while it waited was ever
// delivered.
func TestOverload_RequestStorm(t *testing.T) {
	settings := []string{"max.queued.perTopic=150"}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		const requesters, count = 3, 200
		random := rand.New(rand.NewPCG(1, 2))
		delivered := make(chan map[string]bool, 2)
		for i := range 2 {
			target := n.dial(t, []string{transport, overTCP}[i])
			target.ok("system.service.register",
				`{"name":"storm","description":"two at a time","maxConcurrent":2}`)
			target.subscribe("request", "storm.#", fmt.Sprintf(`,"priority":%d`, i))
			go func() { delivered <- serveStorm(target.peer) }()
		}
		clients := make([]*client, requesters)
		for i := range clients {
			clients[i] = n.dial(t, transport)
			for range count {
				id := uuid.NewString()
				clients[i].send(fmt.Sprintf("request:storm.t%d:1.0.0:%s::%d",
					random.IntN(2), id, 20+random.IntN(400)), id)
			}
		}
		outcomes, expired := map[string]int{}, map[string]bool{}
		for _, c := range clients {
			answered := map[string]bool{}
			for range count {
				m := c.recv()
				if answered[m.ID] {
					t.Fatalf("answered twice: %v", m)
				}
				answered[m.ID] = true
				if string(m.Payload) == "done" {
					outcomes["done"]++
					continue
				}
				e := m.fault(t)
				reason, _ := e.Details["reason"].(string)
				if e.Code == "TIMEOUT" && e.Details["targetServiceId"] == nil {
					expired[m.ID], reason = true, "waiting"
				}
				outcomes[e.Code+" "+reason]++
			}
		}
		for _, c := range clients {
			c.none()
		}
		for range 4 { // two fill one of them, the others go to the next
			clients[0].send("request:storm.end:1.0.0:"+uuid.NewString()+"::60000", "end")
		}
		for range 2 {
			for id := range <-delivered {
				if expired[id] {
					t.Errorf("%s expired while it waited, and was delivered", id)
				}
			}
		}
		t.Log(outcomes)
		for _, what := range []string{
			"done", "TIMEOUT waiting", "TIMEOUT ", "SERVICE_UNAVAILABLE queue_full",
		} {
			if outcomes[what] == 0 {
				t.Errorf("it never came to %q: %v", what, outcomes)
			}
			delete(outcomes, what)
		}
		if len(outcomes) > 0 {
			t.Errorf("unexpected: %v", outcomes)
		}
	})
}

// Who fills the queue does not keep others out: the newest request of who has more than a fair
// share gives way.
func TestOverload_QueueFullIsFair(t *testing.T) {
	settings := []string{"max.queued.perTopic=6"}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		greedy, polite, third := n.dial(t, transport), n.dial(t, overTCP), n.dial(t, overWS)
		target, held := busy(t, n, transport, "share.test", greedy)
		ids := make([]string, 8)
		for i := range ids {
			ids[i] = uuid.NewString()
			greedy.send("request:share.test:1.0.0:"+ids[i]+"::600000", fmt.Sprint("g", i))
		}
		full := func(c *client, id string) {
			t.Helper()
			e := c.expectFault("response:share.test:1.0.0:"+id, "SERVICE_UNAVAILABLE")
			if e.Details["reason"] != "queue_full" {
				t.Errorf("details %v", e.Details)
			}
		}
		full(greedy, ids[6])
		full(greedy, ids[7])
		greedy.none()
		for i := range 2 {
			polite.send("request:share.test:1.0.0:"+uuid.NewString()+"::600000", fmt.Sprint("p", i))
			full(greedy, ids[5-i])
			polite.none()
		}
		third.send("request:share.test:1.0.0:"+uuid.NewString()+"::600000", "t0")
		full(greedy, ids[3])
		polite.send("request:share.test:1.0.0:"+idA+"::600000", "p2")
		full(polite, idA) // two, two and two would be fair; it has two
		for _, c := range []*client{greedy, polite, third} {
			c.none()
		}
		var order []string
		for range 6 {
			target.send("response:share.test:1.0.0:"+held.ID, "done")
			held = target.expect("request:share.test:1.0.0:*")
			order = append(order, string(held.Payload))
		}
		target.none()
		if got := strings.Join(order, " "); got != "g0 p0 t0 g1 p1 g2" {
			t.Errorf("served in the order %s", got)
		}
	})
}
