package blackbox

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
)

// busy makes a target that takes one request at a time and gives it one;
// the returned message is unanswered.
func busy(t *testing.T, n *node, transport, topic string, requester *client) (*client, message) {
	t.Helper()
	target := n.dial(t, transport)
	target.ok("system.service.register",
		`{"name":"busy","description":"one at a time","maxConcurrent":1}`)
	target.subscribe("request", topic)
	requester.send("request:"+topic+":1.0.0:"+uuid.NewString()+"::600000", "first")
	return target, target.expectPayload("request:"+topic+":1.0.0:*", "first")
}

// Without room a request waits; its deadline runs meanwhile and knows no target.
func TestS6_QueueDeadline(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		requester := n.dial(t, from)
		target, held := busy(t, n, to, "queue.test", requester)
		requester.send("request:queue.test:1.0.0:"+idA+"::150", "expires")
		requester.send("request:queue.test:1.0.0:"+idB+"::600000", "waits")
		e := requester.expectFault("response:queue.test:1.0.0:"+idA, "TIMEOUT")
		if _, there := e.Details["targetServiceId"]; there {
			t.Errorf("a queued request has no target: %v", e.Details)
		}
		target.none()
		if got := requester.metric("router.request.queued"); got != 1 {
			t.Errorf("queued: %v", got)
		}
		target.send("response:queue.test:1.0.0:"+held.ID, "done")
		requester.expect("response:queue.test:1.0.0:" + held0(requester))
		// The expired one never comes.
		m := target.expectPayload("request:queue.test:1.0.0:*", "waits")
		target.send("response:queue.test:1.0.0:"+m.ID, "ok")
		requester.expectPayload("response:queue.test:1.0.0:"+idB, "ok")
		target.none()
	})
}

// held0 looks at the next message's ID without taking the message.
func held0(c *client) string {
	c.t.Helper()
	m := c.recv()
	c.backlog = append([]message{m}, c.backlog...)
	return m.ID
}

// The next priority down is asked before anything waits.
func TestS6_NextPriorityWhenFull(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		requester, backup := n.dial(t, transport), n.dial(t, transport)
		backup.subscribe("request", "room.#", `,"priority":-1`)
		target, held := busy(t, n, transport, "room.test", requester)
		requester.send("request:room.test:1.0.0:"+idA, "second")
		m := backup.expectPayload("request:room.test:1.0.0:*", "second")
		backup.send("response:room.test:1.0.0:"+m.ID, "from the backup")
		requester.expectPayload("response:room.test:1.0.0:"+idA, "from the backup")
		target.send("response:room.test:1.0.0:"+held.ID, "free")
		requester.expect("response:room.test:1.0.0:" + held0(requester))
		target.settle()
		requester.send("request:room.test:1.0.0:"+idB, "third")
		target.expectPayload("request:room.test:1.0.0:*", "third")
		backup.none()
	})
}

// A queued request whose last possible target leaves has no route any more.
func TestS6_QueueLosesTarget(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		requester, other := n.dial(t, from), n.dial(t, from)
		target, _ := busy(t, n, to, "lost.test", other)
		requester.send("request:lost.test:1.0.0:"+idA+"::600000", "")
		requester.none()
		_ = target.peer.Close()
		requester.expectFault("response:lost.test:1.0.0:"+idA, "NO_ROUTE_FOUND")
		if e := other.recv().fault(t); e.Code != "SERVICE_UNAVAILABLE" {
			t.Errorf("the delivered one: %+v", e)
		}
		requester.none()
		other.none()
	})
}

// A requester that leaves takes its queued requests with it.
func TestS6_QueueLosesRequester(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		first, second := n.dial(t, from), n.dial(t, from)
		target, held := busy(t, n, to, "left.test", first)
		second.send("request:left.test:1.0.0:"+idA+"::600000", "never delivered")
		second.none()
		_ = second.peer.Close()
		eventually(t, "the queued request is gone", func() bool {
			return first.metric("router.request.queued") == 0
		})
		target.send("response:left.test:1.0.0:"+held.ID, "done")
		first.expect("response:left.test:1.0.0:" + held0(first))
		target.none()
	})
}

// The queue of one topic is bounded, and fair: round robin between requesters,
// first in first out within one.
func TestS6_QueueBoundAndOrder(t *testing.T) {
	settings := []string{"max.queued.perTopic=6"}
	perTransport(t, settings, func(t *testing.T, n *node, transport string) {
		a, b := n.dial(t, transport), n.dial(t, transport)
		target, held := busy(t, n, transport, "fair.test", a)
		for i := range 4 {
			a.send("request:fair.test:1.0.0:"+uuid.NewString()+"::600000", fmt.Sprint("a", i))
		}
		a.none()
		for i := range 2 {
			b.send("request:fair.test:1.0.0:"+uuid.NewString()+"::600000", fmt.Sprint("b", i))
		}
		b.none()
		b.send("request:fair.test:1.0.0:"+idA, "one too many")
		e := b.expectFault("response:fair.test:1.0.0:"+idA, "SERVICE_UNAVAILABLE")
		if e.Details["reason"] != "queue_full" {
			t.Errorf("details %v", e.Details)
		}
		var order []string
		for range 6 {
			target.send("response:fair.test:1.0.0:"+held.ID, "done")
			held = target.expect("request:fair.test:1.0.0:*")
			order = append(order, string(held.Payload))
			target.none() // one at a time
		}
		position := map[string]int{}
		for i, p := range order {
			position[p] = i
		}
		for _, pair := range [][2]string{
			{"a0", "a1"}, {"a1", "a2"}, {"a2", "a3"}, {"b0", "b1"}, {"b0", "a2"}, {"b1", "a3"},
		} {
			if position[pair[0]] > position[pair[1]] {
				t.Errorf("%s came after %s: %v", pair[0], pair[1], order)
			}
		}
	})
}

// The list shows how many requests a service works on, and those that wait:
// at whom they wait for or at who waits.
func TestS8_ServiceListQueued(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		requester := n.dial(t, from)
		target, _ := busy(t, n, to, "list.test", requester)
		for range 3 {
			requester.send("request:list.test:1.0.0:"+uuid.NewString()+"::600000", "waits")
		}
		requester.none()
		// On the topic's loop, which may be another.
		eventually(t, "one is worked on and three wait", func() bool {
			asked, asking := requester.service(target.id), requester.service(requester.id)
			return asked["outstanding"] == 1.0 &&
				(asked["queued"] == 3.0 || asking["queued"] == 3.0)
		})
	})
}
