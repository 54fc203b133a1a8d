package blackbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A target that leaves fails its outstanding requests at once, long before their deadlines.
func TestS6_TargetDisconnects(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		requester, target := n.dial(t, from), n.dial(t, to)
		target.subscribe("request", "loss.test")
		ids := map[string]bool{}
		for range 10 {
			id := uuid.NewString()
			ids[id] = true
			requester.send("request:Loss.test:1.2.3:"+id+"::600000", "")
			target.expect("request:Loss.test:1.2.3:*")
		}
		requester.send("request:loss.test:1.2.3", "nobody waits for this one")
		target.expect("request:loss.test:1.2.3:*")
		start := time.Now()
		_ = target.peer.Close()
		for range 10 {
			m := requester.recv()
			m.mustHead(t, "response:Loss.test:1.2.3:"+m.ID)
			if !ids[m.ID] {
				t.Fatalf("not asked or twice: %v", m)
			}
			delete(ids, m.ID)
			if e := m.fault(t); e.Code != "SERVICE_UNAVAILABLE" || e.Details["reason"] != "disconnected" || e.Details["targetServiceId"] != target.id {
				t.Errorf("got %v", m)
			}
		}
		if passed := time.Since(start); passed > 4*time.Second {
			t.Errorf("at once took %v", passed)
		}
		requester.none()
	})
}

// The answer to a requester that left is dropped without a word.
func TestS6_RequesterDisconnects(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		requester, target, watcher := n.dial(t, from), n.dial(t, to), n.dial(t, to)
		target.subscribe("request", "gone.test")
		requester.send("request:gone.test:1.0.0:"+idA, "")
		m := target.expect("request:gone.test:1.0.0:*")
		_ = requester.peer.Close()
		eventually(t, "the requester is gone", func() bool { return watcher.service(requester.id) == nil })
		target.send("response:gone.test:1.0.0:"+m.ID, "too late for you")
		target.none()
		watcher.none()
	})
}

// Over the node's limit the oldest request is answered, wherever its requester and its target are.
func TestS6_Eviction(t *testing.T) {
	perTransport(t, []string{"max.outstanding.requests=4"}, func(t *testing.T, n *node, transport string) {
		first, second := n.dial(t, transport), n.dial(t, overTCP)
		here, there := n.dial(t, transport), n.dial(t, overWS)
		here.subscribe("request", "evict.here")
		there.subscribe("request", "evict.there")
		var held []message
		ask := func(requester *client, target *client, topic, id string) {
			t.Helper()
			requester.send("request:"+topic+":1.0.0:"+id+"::600000", "")
			held = append(held, target.expect("request:"+topic+":1.0.0:*"))
			for start := time.Now(); time.Since(start) < 3*time.Millisecond; { // ages differ by more than a clock's tick
				target.settle()
			}
		}
		ids := make([]string, 7)
		for i := range ids {
			ids[i] = uuid.NewString()
		}
		ask(first, here, "evict.here", ids[0])
		ask(second, there, "evict.there", ids[1])
		ask(first, there, "evict.there", ids[2])
		ask(second, here, "evict.here", ids[3])
		first.none()
		second.none()
		evicted := func(requester *client, topic, id string) {
			t.Helper()
			if e := requester.expectFault("response:"+topic+":1.0.0:"+id, "SERVICE_UNAVAILABLE"); e.Details["reason"] != "evicted" {
				t.Errorf("details %v", e.Details)
			}
		}
		ask(second, there, "evict.there", ids[4])
		evicted(first, "evict.here", ids[0])
		ask(first, here, "evict.here", ids[5])
		evicted(second, "evict.there", ids[1])
		// An answered request makes room again.
		there.send("response:evict.there:1.0.0:"+held[2].ID, "yes")
		first.expectPayload("response:evict.there:1.0.0:"+ids[2], "yes")
		ask(first, there, "evict.there", ids[6])
		first.none()
		second.none()
		// The answer to an evicted one comes too late.
		here.send("response:evict.here:1.0.0:"+held[0].ID, "")
		here.expectFault("response:evict.here:1.0.0:"+held[0].ID, "INVALID_REQUEST_ID")
		here.send("response:evict.here:1.0.0:"+held[3].ID, "still good")
		second.expectPayload("response:evict.here:1.0.0:"+ids[3], "still good")
	})
}

// busy makes a target that takes one request at a time and gives it one; the returned message is unanswered.
func busy(t *testing.T, n *node, transport, topic string, requester *client) (*client, message) {
	t.Helper()
	target := n.dial(t, transport)
	target.ok("system.service.register", `{"name":"busy","description":"one at a time","maxConcurrent":1}`)
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
		m := target.expectPayload("request:queue.test:1.0.0:*", "waits") // the expired one never comes
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
		eventually(t, "the queued request is gone", func() bool { return first.metric("router.request.queued") == 0 })
		target.send("response:left.test:1.0.0:"+held.ID, "done")
		first.expect("response:left.test:1.0.0:" + held0(first))
		target.none()
	})
}

// The queue of one topic is bounded, and fair: round robin between requesters, first in first out within one.
func TestS6_QueueBoundAndOrder(t *testing.T) {
	perTransport(t, []string{"max.queued.perTopic=6"}, func(t *testing.T, n *node, transport string) {
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
		if e := b.expectFault("response:fair.test:1.0.0:"+idA, "SERVICE_UNAVAILABLE"); e.Details["reason"] != "queue_full" {
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
		for _, pair := range [][2]string{{"a0", "a1"}, {"a1", "a2"}, {"a2", "a3"}, {"b0", "b1"}, {"b0", "a2"}, {"b1", "a3"}} {
			if position[pair[0]] > position[pair[1]] {
				t.Errorf("%s came after %s: %v", pair[0], pair[1], order)
			}
		}
	})
}
