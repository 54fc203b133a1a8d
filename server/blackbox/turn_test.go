package blackbox

import (
	"io"
	"testing"
)

// A flood of small messages to many readers keeps nobody else waiting: between two answers to
// somebody who asks little, the node takes fewer of them than one read brings.
func TestResilience_FloodKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	n := startNode(t, "loops=1", "message.payload.maxLength=4096")
	const readers, count = 300, 60_000
	for range readers {
		c := n.dial(t, overTCP)
		c.subscribe("publish", "flood.turn")
		go func() { _, _ = io.Copy(io.Discard, c.peer.(*tcpPeer).in) }() // until the test closes it
	}
	publisher, probe := n.dial(t, overTCP), n.dial(t, overTCP)
	var flood []byte
	for range count {
		flood = appendFrame(flood, []byte("publish:flood.turn:1.0.0\n"))
	}
	taken := func() int { return n.counter(t, "mb_publishes_total") }
	before := taken()
	sent := make(chan error, 1)
	go func() {
		_, err := publisher.peer.(*tcpPeer).conn.Write(flood)
		sent <- err
	}()
	eventually(t, "the flood begins", func() bool { return taken() > before })
	from, answers := taken(), 0
	for taken() < before+count/2 {
		for range 10 {
			probe.ok("system.heartbeat", "{}")
			answers++
		}
	}
	between := (taken() - from) / answers
	t.Logf("%d messages to %d readers between two answers", between, readers)
	const oneRead = 128 << 10 / 29
	if between > oneRead/4 {
		t.Errorf("%d messages are taken between two answers, a read brings %d", between, oneRead)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}
