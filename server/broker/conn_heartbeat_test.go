package broker

import (
	"strings"
	"testing"

	"mbserver/server/config"
)

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
