package broker

import (
	"fmt"
	"testing"

	"mbserver/codec"
	"mbserver/server/metrics"
)

// ringEnds are the ways in which a connection ends.
var ringEnds = []struct {
	name string
	end  func(n *testNode, k, publisher *testClient)
}{
	{"reset", func(_ *testNode, k, _ *testClient) { k.hangUp(true) }},
	{"its sending side ends", func(n *testNode, k, _ *testClient) {
		k.hangUp(false)
		n.settle()
		n.pass(lingerTime.Milliseconds())
	}},
	{"a write fails", func(n *testNode, k, _ *testClient) {
		k.sock.err = errTestReset
		k.unblock(0, true)
		n.settle()
		k.hangUp(true) // and the poller says so, too
	}},
	{"a write fails in the turn of its messages", func(n *testNode, k, publisher *testClient) {
		k.unblock(0, true)
		n.settle()
		k.sock.err = errTestReset
		publish(50, publisher)
	}},
	{"cut as slow", func(_ *testNode, k, _ *testClient) {
		k.loop.begin()
		k.abort()
	}},
	{"silent", func(n *testNode, _, _ *testClient) {
		n.pass(n.heartbeatDeregister)
		n.pass(lingerTime.Milliseconds())
	}},
	{"a framing error, and no end from the peer", func(n *testNode, k, _ *testClient) {
		k.arrive([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		n.settle()
		n.pass(lingerTime.Milliseconds())
	}},
	{"a fault of ours", func(n *testNode, k, publisher *testClient) {
		k.unblock(0, true)
		n.settle()
		k.sock.unlimited, k.sock.budget = false, -1 // what it takes of a slice panics
		publish(50, publisher)
		n.run(0)
		n.faults = nil // which it is logged as
	}},
	{"the closing handshake, unread", func(n *testNode, k, _ *testClient) {
		if k.transport == TransportWS {
			k.arrive(codec.AppendWSFrame(nil, codec.Close, [4]byte{1, 2, 3, 4}, nil))
		} else {
			k.hangUp(false)
		}
		n.settle()
		n.pass(lingerTime.Milliseconds())
	}},
}

// What waits for a connection when it ends, in whichever way, is lost and counted: whatever was
// sent to it is received, or in the count. Control frames are no messages.
func TestReleasedRingIsCounted(t *testing.T) {
	for _, transport := range []Transport{TransportTCP, TransportWS} {
		for _, e := range ringEnds {
			t.Run(fmt.Sprintf("%v/%s", transport, e.name), func(t *testing.T) {
				n := newTestNode(t, 1, 1, nil)
				k := n.subscribers(1, 0, transport, "publish", "a.b")[0]
				publisher := n.connect(0, TransportTCP)
				n.settle()
				k.messages()
				publisher.messages()
				counts := &n.loops[0].counts
				sent, dropped := counts[metrics.Sent], counts[metrics.Dropped]
				k.sock.unlimited, k.sock.budget = false, 1000 // some of it, and a part of one
				publish(50, publisher)
				n.settle()
				e.end(n, k, publisher)
				n.settle()
				if n.loops[0].conns[k.slot] == k.Conn {
					t.Fatal("the connection did not end")
				}
				received := 0
				for _, reader := range []*testClient{k, publisher} {
					ms, _ := reader.take() // the last one may be a part
					for _, m := range ms {
						if m.kind == codec.Text || m.kind == codec.Binary {
							received++
						}
					}
				}
				sent, dropped = counts[metrics.Sent]-sent, counts[metrics.Dropped]-dropped
				if sent < 50 || uint64(received)+dropped != sent {
					t.Errorf("%d were sent: %d received, %d counted as lost",
						sent, received, dropped)
				}
				if n.charged() != n.base() {
					t.Errorf("%d bytes are charged", n.charged()-n.base())
				}
			})
		}
	}
}

// publish sends count small messages on a.b.
func publish(count int, publisher *testClient) {
	for i := range count {
		publisher.send(fmt.Sprintf("publish:a.b:1.0.0\n%d", i))
	}
}

// What is published while its subscriber is leaving is not delivered, and is not called so.
func TestLeavingSubscriberGetsNothing(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	k := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
	publisher := n.connect(0, TransportTCP)
	n.settle()
	publisher.messages()
	counts := &n.loops[0].counts
	sent := counts[metrics.Sent]
	k.loop.begin()
	k.abort()
	publisher.send("publish:a.b:1.0.0:5b0c8e5e-0000-4000-8000-000000000001\nx")
	n.settle()
	ms := publisher.messages()
	if len(ms) != 1 || string(ms[0].payload) != `{"status":"success","subscribers":1,"dropped":1}` {
		t.Errorf("the publisher got %v", ms)
	}
	if got := counts[metrics.Sent] - sent; got != 1 || counts[metrics.Dropped] != 1 {
		t.Errorf("%d were sent, the answer is one; %d lost", got, counts[metrics.Dropped])
	}
}
