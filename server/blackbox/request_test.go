package blackbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A request goes to one service under a masked ID and comes back under its own, whatever the
// answer's bytes are.
func TestS6_RoundTrip(t *testing.T) {
	perSides(t, nil, func(t *testing.T, n, m *node, from, to string) {
		requester, target := n.dial(t, from), m.dial(t, to)
		target.subscribe("request", "sum.+")
		seen := map[string]bool{}
		for i, payload := range []string{
			"", "{}", "1+1", "a\nb\n", "\xff\xfe\x00", everyByte(), "error: not for one with an ID",
		} {
			id := uuid.NewString()
			requester.send(fmt.Sprintf("request:Sum.Test:%d.2.3:%s:%s:60000", i, id, idB), payload)
			got := target.expectPayload(fmt.Sprintf("request:Sum.Test:%d.2.3:*", i), payload)
			if got.ID == id || seen[got.ID] {
				t.Errorf("masked ID %s is not fresh", got.ID)
			}
			seen[got.ID] = true
			// The answer's own topic and version do not reach the requester.
			target.send("response:sum.TEST:"+got.Version+":"+got.ID, payload+"!")
			requester.expectPayload(fmt.Sprintf("response:Sum.Test:%d.2.3:%s", i, id), payload+"!")
		}
		requester.none()
		target.none()
	})
}

// A service may answer its own request.
func TestS6_Self(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		c.subscribe("request", "self.test")
		c.send("request:self.test:1.0.0:"+idA, "q")
		m := c.expectPayload("request:self.test:1.0.0:*", "q")
		c.send("response:self.test:1.0.0:"+m.ID, "a")
		c.expectPayload("response:self.test:1.0.0:"+idA, "a")
		c.none()
	})
}

// The same request ID may be outstanding several times: masked IDs tell them apart.
func TestS6_SameIDTwice(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		a, b, target := n.dial(t, transport), n.dial(t, transport), n.dial(t, transport)
		target.subscribe("request", "same.test")
		a.send("request:same.test:1.0.0:"+idA, "a")
		first := target.expectPayload("request:same.test:1.0.0:*", "a")
		b.send("request:same.test:1.0.0:"+idA, "b")
		second := target.expectPayload("request:same.test:1.0.0:*", "b")
		target.send("response:same.test:1.0.0:"+second.ID, "to b")
		target.send("response:same.test:1.0.0:"+first.ID, "to a")
		a.expectPayload("response:same.test:1.0.0:"+idA, "to a")
		b.expectPayload("response:same.test:1.0.0:"+idA, "to b")
	})
}

// Highest priority wins; subscribing again replaces it; when the best leaves the next is asked.
func TestS6_Priority(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		requester := n.dial(t, transport)
		low, zero, high := n.dial(t, transport), n.dial(t, transport), n.dial(t, transport)
		low.subscribe("request", "prio.test", `,"priority":-2.5`)
		zero.subscribe("request", "prio.#")
		high.subscribe("request", "+.test", `,"priority":0.5`)
		asks := func(target *client) {
			t.Helper()
			requester.send("request:prio.test:1.0.0:"+idA, "")
			m := target.expect("request:prio.test:1.0.0:*")
			target.send("response:prio.test:1.0.0:"+m.ID, "ok")
			requester.expectPayload("response:prio.test:1.0.0:"+idA, "ok")
		}
		for range 5 {
			asks(high)
		}
		low.subscribe("request", "prio.test", `,"priority":1e3`)
		asks(low)
		low.subscribe("request", "prio.test") // back to 0, like zero
		asks(high)
		high.ok("system.topic.unsubscribe", `{"topic":"+.test"}`)
		_ = low.peer.Close()
		eventually(t, "the service is gone", func() bool {
			return requester.service(low.id) == nil
		})
		asks(zero)
		zero.none()
		high.none()
	})
}

// Among equals the one with the fewest outstanding requests is asked.
func TestS6_LeastOutstanding(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		requester := n.dial(t, from)
		targets := []*client{n.dial(t, to), n.dial(t, from), n.dial(t, to)}
		for _, target := range targets {
			target.subscribe("request", "least.test")
		}
		held := make([][]message, len(targets))
		ask := func(count int) {
			t.Helper()
			for range count {
				requester.send("request:least.test:1.0.0:"+uuid.NewString(), "")
				requester.settle()
			}
		}
		ask(12)
		for i, target := range targets {
			for range 4 {
				held[i] = append(held[i], target.expect("request:least.test:1.0.0:*"))
			}
			target.none()
		}
		for _, m := range held[1] {
			targets[1].send("response:least.test:1.0.0:"+m.ID, "")
			requester.await("an answer", func(m message) bool { return m.Topic == "least.test" })
		}
		targets[1].settle()
		ask(4) // the one that answered has 0, the others 4
		for range 4 {
			targets[1].expect("request:least.test:1.0.0:*")
		}
		for _, target := range targets {
			target.none()
		}
	})
}

// Ties are broken at random: nobody is left out.
func TestS6_Ties(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	requester := n.dial(t, overTCP)
	asked := map[string]int{}
	targets := []*client{n.dial(t, overTCP), n.dial(t, overWS)}
	for _, target := range targets {
		target.subscribe("request", "tie.test")
	}
	for range 64 {
		requester.send("request:tie.test:1.0.0:"+idA, "")
		requester.settle()
		for _, target := range targets {
			target.settle()
			for _, m := range target.backlog {
				asked[target.id]++
				target.send("response:tie.test:1.0.0:"+m.ID, "")
			}
			target.backlog = nil
		}
		requester.expectPayload("response:tie.test:1.0.0:"+idA, "")
	}
	if len(asked) != 2 { // by chance once in 2^63
		t.Errorf("asked %v", asked)
	}
}

// Only the service that was asked may answer, once, with the masked ID.
func TestS6_InvalidRequestID(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		requester, target, other := n.dial(t, transport), n.dial(t, transport), n.dial(t, transport)
		target.subscribe("request", "answer.test")
		const code = "INVALID_REQUEST_ID"

		target.send("response:Answer.Test:1.2.3", "no ID")
		target.expectFault("response:Answer.Test:1.2.3:*", code)
		target.send("response:Answer.Test:1.2.3:"+idC, "unknown ID")
		target.expectFault("response:Answer.Test:1.2.3:"+idC, code)

		requester.send("request:answer.test:1.0.0:"+idA, "")
		m := target.expect("request:answer.test:1.0.0:*")
		target.send("response:answer.test:1.0.0:"+idA, "the ID that was masked")
		target.expectFault("response:answer.test:1.0.0:"+idA, code)
		other.send("response:answer.test:1.0.0:"+m.ID, "not asked")
		other.expectFault("response:answer.test:1.0.0:"+m.ID, code)
		requester.send("response:answer.test:1.0.0:"+m.ID, "myself")
		requester.expectFault("response:answer.test:1.0.0:"+m.ID, code)
		requester.none()

		target.send("response:answer.test:1.0.0:"+m.ID, "first")
		target.send("response:answer.test:1.0.0:"+m.ID, "second")
		requester.expectPayload("response:answer.test:1.0.0:"+idA, "first")
		target.expectFault("response:answer.test:1.0.0:"+m.ID, code)
		requester.none()
		other.none()

		// A publish's masked ID is no request.
		target.subscribe("publish", "answer.test")
		requester.send("publish:answer.test:1.0.0", "")
		m = target.expect("publish:answer.test:1.0.0:*")
		target.send("response:answer.test:1.0.0:"+m.ID, "")
		target.expectFault("response:answer.test:1.0.0:"+m.ID, code)
	})
}

// A request without an ID: delivered, its answer dropped unless it begins with "error:", no
// timeout, freed in the end.
func TestS6_WithoutID(t *testing.T) {
	settings := []string{"request.response.timeout.default=500"}
	perSides(t, settings, func(t *testing.T, n, m *node, from, to string) {
		requester, target := n.dial(t, from), m.dial(t, to)
		requester.send("request:quiet.test:1.0.0", "")
		requester.expectFault("response:quiet.test:1.0.0:*", "NO_ROUTE_FOUND")

		target.subscribe("request", "quiet.test")
		requester.send("request:quiet.test:1.0.0", "one")
		got := target.expectPayload("request:quiet.test:1.0.0:*", "one")
		target.send("response:quiet.test:1.0.0:"+got.ID, "dropped")
		target.none()
		requester.none()

		requester.send("request:quiet.test:1.0.0", "two")
		got = target.expectPayload("request:quiet.test:1.0.0:*", "two")
		target.send("response:quiet.test:1.0.0:"+got.ID, "error: no paper")
		requester.expectPayload("response:quiet.test:1.0.0:*", "error: no paper")

		requester.send("request:quiet.test:1.0.0", "three")
		got = target.expectPayload("request:quiet.test:1.0.0:*", "three")
		if requester.metric("router.request.outstanding") != 1 {
			t.Error("the request is not outstanding")
		}
		eventually(t, "its entry is freed", func() bool {
			return requester.metric("router.request.outstanding") == 0
		})
		requester.none() // no TIMEOUT
		target.answerLate("response:quiet.test:1.0.0:"+got.ID, "error: late", n != m)
		requester.none()
	})
}

// metric reads one number of system.metrics.
func (c *client) metric(name string) float64 {
	c.t.Helper()
	metrics, _ := c.ok("system.metrics", "")["metrics"].(map[string]any)
	v, ok := metrics[name].(float64)
	if !ok {
		c.t.Fatalf("metric %s is %v", name, metrics[name])
	}
	return v
}

// The deadline is the header's timeout, else the default; a late answer has nowhere to go.
func TestS6_Timeout(t *testing.T) {
	settings := []string{"request.response.timeout.default=300"}
	perSides(t, settings, func(t *testing.T, n, m *node, from, to string) {
		requester, target := n.dial(t, from), m.dial(t, to)
		target.subscribe("request", "late.test")
		for _, row := range []struct {
			tail  string
			after time.Duration
		}{
			{"", 300 * time.Millisecond}, {"::100", 100 * time.Millisecond},
			{":" + idB + ":700", 700 * time.Millisecond}, {"::0040", 40 * time.Millisecond},
		} {
			start := time.Now()
			requester.send("request:Late.Test:9.8.7:"+idA+row.tail, "")
			got := target.expect("request:Late.Test:9.8.7:*")
			e := requester.expectFault("response:Late.Test:9.8.7:"+idA, "TIMEOUT")
			passed := time.Since(start)
			if passed < row.after-5*time.Millisecond || passed > row.after+3*time.Second {
				t.Errorf("timeout %q after %v, want %v", row.tail, passed, row.after)
			}
			if e.Details["targetServiceId"] != target.id {
				t.Errorf("details %v, want targetServiceId %s", e.Details, target.id)
			}
			target.answerLate("response:late.test:9.8.7:"+got.ID, "late", n != m)
		}
		requester.none()
		target.none()
	})
}

// An answer in time wins over deadlines shorter than the default as over longer ones.
func TestS6_DeadlinesInAnyOrder(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		requester, target := n.dial(t, transport), n.dial(t, transport)
		target.subscribe("request", "mixed.test")
		const count = 50
		kind := map[string]int{}
		for i := range count {
			id := uuid.NewString()
			kind[id] = i % 2
			timeout := []int{60_000, 20 + (i*37)%400}[i%2]
			head := fmt.Sprintf("request:mixed.test:1.0.0:%s::%d", id, timeout)
			requester.send(head, fmt.Sprint(i%2))
		}
		for left := count / 2; left > 0; { // of the others some may end before they are delivered
			if m := target.expect("request:mixed.test:1.0.0:*"); string(m.Payload) == "0" {
				target.send("response:mixed.test:1.0.0:"+m.ID, "yes")
				left--
			}
		}
		for range count {
			m := requester.recv()
			was, known := kind[m.ID]
			delete(kind, m.ID)
			switch {
			case !known:
				t.Fatalf("a second answer: %v", m)
			case was == 0 && string(m.Payload) != "yes":
				t.Errorf("got %v instead of the answer", m)
			case was == 1 && m.fault(t).Code != "TIMEOUT":
				t.Errorf("got %v instead of a timeout", m)
			}
		}
		requester.none()
	})
}

func TestS6_NoRoute(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c, other := n.dial(t, transport), n.dial(t, transport)
		other.subscribe("publish", "#") // does not make a route for a request
		c.send("request:Nobody.here:4.5.6:"+idA+":"+idB+":100", "x")
		c.expectFault("response:Nobody.here:4.5.6:"+idA, "NO_ROUTE_FOUND")
		c.send("request:Nobody.here:4.5.6", "x")
		c.expectFault("response:Nobody.here:4.5.6:*", "NO_ROUTE_FOUND")
		other.none()
	})
}
