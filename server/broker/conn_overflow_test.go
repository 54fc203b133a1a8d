package broker

import (
	"testing"

	"mbserver/server/config"
	"mbserver/server/metrics"
)

// Word of room that comes in the turn in which a slow subscriber is cut changes nothing: what was
// counted as lost is not written after all.
func TestDisconnectIsFinal(t *testing.T) {
	n := newTestNode(t, 1, 1, func(cfg *config.Config) {
		cfg.Connection.OutboundOverflow = config.OverflowDisconnect
		cfg.Connection.OutboundBytes = 64 << 10
	})
	subscriber := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
	publisher := n.connect(0, TransportTCP)
	n.settle()
	subscriber.messages()
	subscriber.sock.unlimited, subscriber.sock.budget = false, 20<<10
	published := 0
	for ; subscriber.Conn.state == stateOpen && published < 100; published++ {
		n.settle()
		publisher.send("publish:a.b:1.0.0" + largePublish)
	}
	if subscriber.Conn.state != stateClosing {
		t.Fatal("it was not cut")
	}
	subscriber.unblock(0, true)
	n.settle()
	received := 0
	ms, _ := subscriber.take() // the last one may be a part
	for _, m := range ms {
		if string(m.Topic) == "a.b" {
			received++
		}
	}
	lost := int(n.loops[0].counts[metrics.Dropped])
	if !subscriber.sock.closed || received == 0 || received+lost != published {
		t.Errorf("received %d, %d counted as lost, of %d", received, lost, published)
	}
}
