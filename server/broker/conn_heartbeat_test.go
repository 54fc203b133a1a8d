package broker

import (
	"strings"
	"testing"

	"mbserver/server/config"
)

// Nobody listens to a connection while input of its that was read waits to be taken: its silence
// begins afterwards.
func TestInputLeftOverIsNoSilence(t *testing.T) {
	n := newTestNode(t, 1, 1, func(cfg *config.Config) {
		cfg.Connection.HeartbeatRetryTimeout = 5e8
		cfg.Connection.HeartbeatDeregisterTimeout = 1e9
	})
	l := n.loops[0]
	first, second := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	n.settle()
	n.tick = quantum // one look at the clock is the quantum
	first.arrive(first.frames("publish:a.b:1.0.0\n"))
	second.arrive(second.frames("publish:a.b:1.0.0\n"))
	const late = absenceMin - 1 // less than what a loop takes for its own absence
	if n.advance(late); !l.leftOver() {
		t.Fatal("nothing is left over")
	}
	n.settle()
	n.tick = 0
	for range 19 {
		n.advance(50)
		n.settle()
	}
	if first.state != stateOpen || second.state != stateOpen {
		t.Error("closed before its time")
	}
	n.advance(50)
	if n.settle(); first.state == stateOpen || second.state == stateOpen {
		t.Error("not closed for its silence")
	}
}

// Who takes bytes is there, although what asks it for a sign of life still waits behind them.
func TestTakingBytesIsASignOfLife(t *testing.T) {
	n := newTestNode(t, 1, 1, func(cfg *config.Config) {
		cfg.Connection.HeartbeatRetryTimeout = 1e9
		cfg.Connection.HeartbeatDeregisterTimeout = 2e9
	})
	reader := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
	deaf := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
	other := n.connect(0, TransportTCP)
	n.settle()
	for _, s := range []*testClient{reader, deaf} {
		s.sock.unlimited = false
	}
	for range 20 {
		other.send("publish:a.b:1.0.0\n" + strings.Repeat("x", 10_000))
	}
	for range 8 {
		n.pass(500)
		reader.unblock(1000, false)
		other.send("request:system.heartbeat:1.0.0\n{}")
		n.settle()
	}
	if reader.state != stateOpen || deaf.state == stateOpen {
		t.Errorf("the reader's state is %d, that of who takes nothing %d", reader.state, deaf.state)
	}
}
