package broker

import (
	"strings"
	"testing"

	"mbserver/server/config"
)

// pauseNode has a subscriber to a.b that takes nothing any more.
func pauseNode(t *testing.T) (n *testNode, l *Loop, subscriber, publisher, other *testClient) {
	n = newTestNode(t, 1, 1, func(cfg *config.Config) {
		cfg.Connection.Backpressure = config.BackpressurePause
		cfg.Connection.OutboundBytes = 64 << 10
	})
	subscriber = n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
	publisher, other = n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	n.settle()
	subscriber.messages()
	subscriber.sock.unlimited, subscriber.sock.budget = false, 0
	return n, n.loops[0], subscriber, publisher, other
}

var largePublish = "\n" + strings.Repeat("x", 4000)

// A small publish that the ring has room for waits behind a large one that it has none for.
func TestPauseKeepsOrder(t *testing.T) {
	n, l, _, publisher, other := pauseNode(t)
	for i := 0; l.parkedCount == 0 && i < 100; i++ {
		publisher.send("publish:a.b:1.0.0:" + testRequestID + largePublish)
		n.settle()
	}
	if l.parkedCount != 1 {
		t.Fatalf("%d publishes wait", l.parkedCount)
	}
	other.send("publish:a.b:1.0.0:" + testRequestID + "\nsmall")
	n.settle()
	if l.parkedCount != 2 {
		t.Errorf("%d publishes wait, want both", l.parkedCount)
	}
}

// Nothing overtakes the notice of a loss, though the ring has room for a small publish.
func TestPauseBehindAGap(t *testing.T) {
	n, l, subscriber, publisher, other := pauseNode(t)
	for i := 0; subscriber.Conn.gap == nil && i < 100; i++ {
		publisher.send("publish:a.b:1.0.0" + largePublish)
		n.settle()
	}
	if subscriber.Conn.gap == nil || subscriber.Conn.gap.lost == 0 {
		t.Fatal("nothing was lost")
	}
	other.send("publish:a.b:1.0.0:" + testRequestID + "\nsmall")
	n.settle()
	if l.parkedCount != 1 {
		t.Errorf("%d publishes wait, want one", l.parkedCount)
	}
}
