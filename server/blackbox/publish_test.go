package blackbox

import (
	"fmt"
	"strings"
	"testing"
)

// One masked ID for a message, the same at all its subscribers, another one for the next message.
func TestS5_MaskedID(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		publisher := n.dial(t, transport)
		var subscribers []*client
		for range 4 {
			subscribers = append(subscribers, n.dial(t, overTCP), n.dial(t, overWS))
		}
		for i, s := range subscribers {
			s.subscribe("publish", []string{"mask.test", "mask.+", "#"}[i%3])
		}
		seen := map[string]bool{idA: true}
		for i := range 20 {
			header, payload := "publish:mask.test:1.2.3", fmt.Sprint(i)
			if i%2 == 1 {
				header += ":" + idA
			}
			publisher.send(header, payload)
			first := subscribers[0].expectPayload("publish:mask.test:1.2.3:*", payload)
			if seen[first.ID] {
				t.Fatalf("masked ID %s again", first.ID)
			}
			seen[first.ID] = true
			for _, s := range subscribers[1:] {
				s.expectPayload("publish:mask.test:1.2.3:"+first.ID, payload)
			}
		}
	})
}

// The acknowledgement comes to a publish with an ID only, and counts.
func TestS5_Acknowledgement(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		publisher := n.dial(t, from)
		for count := 1; count <= 3; count++ {
			n.dial(t, to).subscribe("publish", "ack.test")
			publisher.send("publish:Ack.Test:3.2.1", "")
			publisher.none()
			publisher.send("publish:Ack.Test:3.2.1:"+idA+":"+idB, "")
			o := publisher.expect("response:Ack.Test:3.2.1:" + idA).object(t)
			if o["status"] != "success" || o["subscribers"] != float64(count) {
				t.Errorf("got %v, want %d subscribers", o, count)
			}
			if _, there := o["dropped"]; there {
				t.Errorf("nothing was dropped: %v", o)
			}
		}
		n.dial(t, to).subscribe("request", "ack.test") // a request subscription does not count
		publisher.send("publish:ack.test:1.0.0:"+idA, "")
		o := publisher.expect("response:ack.test:1.0.0:" + idA).object(t)
		if o["subscribers"] != 3.0 {
			t.Errorf("got %v, want 3 subscribers", o)
		}
	})
}

// A publisher that subscribed gets its own message.
func TestS5_SelfDelivery(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		c.subscribe("publish", "self.+")
		c.send("publish:self.test:1.0.0:"+idA, "me")
		ack := c.await("the acknowledgement", func(m message) bool {
			return m.Action == "response"
		})
		ack.mustHead(t, "response:self.test:1.0.0:"+idA)
		if ack.object(t)["subscribers"] != 1.0 {
			t.Errorf("got %v", ack)
		}
		if m := c.expectPayload("publish:self.test:1.0.0:*", "me"); m.ID == idA {
			t.Error("the ID is not masked")
		}
		c.none()
	})
}

func TestS5_NoRoute(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c, other := n.dial(t, transport), n.dial(t, transport)
		other.subscribe("request", "nobody.here") // does not make a route for a publish
		c.send("publish:nobody.Here:4.5.6", "x")
		c.expectFault("response:nobody.Here:4.5.6:*", "NO_ROUTE_FOUND")
		c.send("publish:nobody.Here:4.5.6:"+idA+":"+idB, "x")
		c.expectFault("response:nobody.Here:4.5.6:"+idA, "NO_ROUTE_FOUND")
		other.subscribe("publish", "nobody.here")
		c.send("publish:nobody.here:4.5.6", "x")
		other.expectPayload("publish:nobody.here:4.5.6:*", "x")
		other.ok("system.topic.unsubscribe", `{"topic":"nobody.here"}`)
		c.send("publish:nobody.here:4.5.6", "x")
		c.expectFault("response:nobody.here:4.5.6:*", "NO_ROUTE_FOUND")
		other.subscribe("publish", "nobody.here")
		_ = other.peer.Close()
		eventually(t, "the subscription goes with its service", func() bool {
			c.send("publish:nobody.here:4.5.6:"+idB, "x")
			return strings.Contains(string(c.recv().Payload), "NO_ROUTE_FOUND")
		})
		c.none()
	})
}

// Publishes of one connection to one topic keep their order, whatever their size.
func TestS5_Order(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		publisher := n.dial(t, from)
		var subscribers []*client
		for _, pattern := range []string{"order.test", "order.#", "+.test"} {
			s := n.dial(t, to)
			s.subscribe("publish", pattern)
			subscribers = append(subscribers, s)
		}
		const count = 300
		payload := func(i int) string {
			return fmt.Sprintf("%d %s", i, strings.Repeat("x", i*37%9000))
		}
		for i := range count {
			publisher.send("publish:order.test:1.0.0", payload(i))
		}
		for _, s := range subscribers {
			for i := range count {
				s.expectPayload("publish:order.test:1.0.0:*", payload(i))
			}
			s.none()
		}
	})
}

// A topic in other capitals is the same topic; the message carries it as its sender spelled it.
func TestS5_TopicCase(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		a, b := n.dial(t, from), n.dial(t, to)
		b.subscribe("publish", "Case.TEST")
		for _, topic := range []string{"case.test", "CASE.TEST", "cAsE.tEsT"} {
			a.send("publish:"+topic+":1.0.0", topic)
			b.expectPayload("publish:"+topic+":1.0.0:*", topic)
		}
		b.ok("system.topic.unsubscribe", `{"topic":"cASE.test"}`)
		a.send("publish:Case.TEST:1.0.0", "")
		a.expectFault("response:Case.TEST:1.0.0:*", "NO_ROUTE_FOUND")
		b.none()
	})
}
