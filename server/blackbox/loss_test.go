package blackbox

import (
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
			e := m.fault(t)
			if e.Code != "SERVICE_UNAVAILABLE" || e.Details["reason"] != "disconnected" ||
				e.Details["targetServiceId"] != target.id {
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
		eventually(t, "the requester is gone", func() bool {
			return watcher.service(requester.id) == nil
		})
		target.send("response:gone.test:1.0.0:"+m.ID, "too late for you")
		target.none()
		watcher.none()
	})
}

// Over the node's limit the oldest request is answered, wherever its requester and its target are.
func TestS6_Eviction(t *testing.T) {
	settings := []string{"max.outstanding.requests=4"}
	perTransport(t, settings, func(t *testing.T, n *node, transport string) {
		first, second := n.dial(t, transport), n.dial(t, overTCP)
		here, there := n.dial(t, transport), n.dial(t, overWS)
		here.subscribe("request", "evict.here")
		there.subscribe("request", "evict.there")
		var held []message
		ask := func(requester *client, target *client, topic, id string) {
			t.Helper()
			requester.send("request:"+topic+":1.0.0:"+id+"::600000", "")
			held = append(held, target.expect("request:"+topic+":1.0.0:*"))
			// Ages differ by more than a clock's tick.
			for start := time.Now(); time.Since(start) < 3*time.Millisecond; {
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
			e := requester.expectFault("response:"+topic+":1.0.0:"+id, "SERVICE_UNAVAILABLE")
			if e.Details["reason"] != "evicted" {
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
