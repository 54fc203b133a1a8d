package blackbox

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// ends sends SIGTERM, waits for the node's end, and holds the exit code; -1 takes 0 and 1. It
// returns how long that took.
func (n *node) ends(code int) time.Duration {
	n.t.Helper()
	n.stopped = true
	start := time.Now()
	n.terminate()
	select {
	case <-n.exited:
	case <-time.After(3 * patience):
		n.t.Fatalf("the node still runs %v after SIGTERM", 3*patience)
	}
	took := time.Since(start)
	if got := n.cmd.ProcessState.ExitCode(); got != code && (code >= 0 || got < 0 || got > 1) {
		n.t.Errorf("the node ended with %v, want exit code %d", n.cmd.ProcessState, code)
	}
	if fault := faults.FindString(n.out.String()); fault != "" {
		n.t.Errorf("the node's output contains %q", fault)
	}
	return took
}

// drain reads what comes until the connection ends, and closes it.
func drain(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(3 * patience))
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
}

// A request that nobody answers holds the end up until its own deadline.
func TestShutdown_AwaitsADeadline(t *testing.T) {
	perPair(t, []string{"shutdown.timeout=60000"}, func(t *testing.T, n *node, from, to string) {
		asker, service := n.dial(t, from), n.dial(t, to)
		service.subscribe("request", "never.answered")
		asker.send("request:never.answered:1.0.0:"+idA+"::300", "")
		service.expect("request:never.answered:1.0.0:*")
		n.terminate()
		asker.toGo()
		asker.expectFault("response:never.answered:1.0.0:"+idA, "TIMEOUT")
		for _, c := range []*client{asker, service} {
			c.closed()
			_ = c.peer.Close()
		}
		if took := n.ends(0); took > 30*time.Second {
			t.Errorf("the end took %v of 60 s", took)
		}
	})
}

// One with a far deadline is answered when the time is over, and both it concerns are cut: the exit
// code says so.
func TestShutdown_FailsWhatIsOutstanding(t *testing.T) {
	perPair(t, []string{"shutdown.timeout=500"}, func(t *testing.T, n *node, from, to string) {
		asker, service := n.dial(t, from), n.dial(t, to)
		service.subscribe("request", "never.answered")
		asker.send("request:never.answered:1.0.0:"+idA+"::600000", "")
		service.expect("request:never.answered:1.0.0:*")
		n.terminate()
		asker.toGo()
		e := asker.expectFault("response:never.answered:1.0.0:"+idA, "SERVICE_UNAVAILABLE")
		if e.Details["reason"] != "draining" {
			t.Errorf("details %v", e.Details)
		}
		for _, c := range []*client{asker, service} {
			c.closed()
			_ = c.peer.Close()
		}
		n.ends(1)
	})
}

// A subscriber that does not read what waits for it is cut: the exit code says so.
func TestShutdown_SaysWhatWasCut(t *testing.T) {
	t.Parallel()
	// More than the kernel takes in its stead while the node ends.
	n := startNode(t, "shutdown.timeout=500", "connection.outbound.bytes=4194304")
	slow := n.narrow(t, overTCP)
	slow.subscribe("publish", "slow.one")
	from := n.dial(t, overTCP)
	for dropped, i := 0, 0; dropped == 0; i += 50 {
		dropped = from.flood(always("slow.one"), i, i+50)
	}
	n.ends(1)
	if !strings.Contains(n.out.String(), "connections were cut") {
		t.Error("no line says what was cut")
	}
}

// Under a flood on every loop SIGTERM is obeyed within the timeout and two seconds.
func TestShutdown_DuringAFlood(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	n := startNode(t, "loops=2", fmt.Sprintf("shutdown.timeout=%d", timeout.Milliseconds()))
	for i := range 300 {
		c := n.dial(t, overTCP)
		c.subscribe("publish", "flood")
		if i%100 == 0 {
			c.subscribe("request", "flood")
		}
		go drain(c.peer.(*tcpPeer).conn)
	}
	var chunk bytes.Buffer
	for range 1000 {
		chunk.Write(appendFrame(nil, []byte("publish:flood:1.0.0\n")))
		chunk.Write(appendFrame(nil, []byte("request:flood:1.0.0:"+idA+"\n")))
		chunk.Write(appendFrame(nil, []byte("publish:nobody.there:1.0.0:"+idB+"\n")))
	}
	for range 8 {
		conn := n.dial(t, overTCP).peer.(*tcpPeer).conn
		go drain(conn)
		go func() {
			for {
				if _, err := conn.Write(chunk.Bytes()); err != nil {
					return
				}
			}
		}()
	}
	eventually(t, "the flood has begun", func() bool {
		return n.counter(t, "mb_messages_received_total") > 20_000
	})
	// A second more than promised: this process competes with the node for the processors.
	if took := n.ends(-1); took > timeout+3*time.Second {
		t.Errorf("the node took %v to end, shutdown.timeout is %v", took, timeout)
	}
}
