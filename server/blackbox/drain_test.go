package blackbox

import (
	"encoding/json"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// toGo takes the notice that the client is to go: its slot and the cut.
func (c *client) toGo() (slot, deadline time.Duration) {
	c.t.Helper()
	m := c.expect("publish:system.drain:1.0.0")
	var is map[string]int64
	if err := json.Unmarshal(m.Payload, &is); err != nil || len(is) != 2 {
		c.t.Fatalf("told %v", m)
	}
	ms := func(name string) time.Duration { return time.Duration(is[name]) * time.Millisecond }
	return ms("reconnectAfterMs"), ms("deadlineMs")
}

// Readiness fails first, while connections come and requests are answered; then the listeners
// close, clients are told and leave, and their services last.
func TestDrain_InOrder(t *testing.T) {
	const delay, spread = 300 * time.Millisecond, 500 * time.Millisecond
	perPlain(t, []string{"shutdown.delay=300", "shutdown.spread=500"},
		func(t *testing.T, n *node, transport string) {
			service := n.dial(t, transport)
			service.subscribe("request", "drain.first")
			asker := n.dial(t, transport)
			begin := time.Now()
			n.terminate()
			eventually(t, "readiness fails", func() bool {
				status, body := n.probe("/readyz")
				return status == http.StatusServiceUnavailable && body == "draining\n"
			})
			late := n.dial(t, transport) // it is not refused
			for _, c := range []*client{asker, late} {
				c.send("request:drain.first:1.0.0:"+idA, "x")
				masked := service.expect("request:drain.first:1.0.0:*").ID
				service.send("response:drain.first:1.0.0:"+masked, "y")
				c.expect("response:drain.first:1.0.0:" + idA)
			}
			for _, c := range []*client{asker, late} {
				if slot, cut := c.toGo(); slot > spread*4/5 || cut < slot {
					t.Errorf("a client is told to go after %v, and cut after %v", slot, cut)
				}
			}
			if waited := time.Since(begin); waited < delay {
				t.Errorf("told after %v, readiness is to fail for %v", waited, delay)
			}
			slot, _ := service.toGo()
			if slot < spread*4/5 || slot > spread {
				t.Errorf("the service is told to go after %v", slot)
			}
			for _, c := range []*client{asker, late, service} {
				c.closed()
				if took := time.Since(begin); c == service && took < delay+spread*4/5 {
					t.Errorf("the service was closed %v after SIGTERM", took)
				}
				_ = c.peer.Close()
			}
			if conn, err := net.Dial("tcp", n.tcp); err == nil {
				_ = conn.Close()
				t.Error("a listener is open after the drain")
			}
			n.ends(0)
		})
}

// SIGINT waits for no balancer; nor does SIGTERM when nobody is connected.
func TestDrain_WaitsForNobody(t *testing.T) {
	t.Parallel()
	const delay = 10 * time.Second
	for _, connected := range []bool{false, true} {
		n := startNode(t, "shutdown.delay=10000")
		if connected {
			n = startNode(t, "shutdown.delay=auto")
			drainInBackground(n.dial(t, overTCP))
			n.asked = true
			if err := n.cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
		if took := n.ends(0); took > delay/4 {
			t.Errorf("connected %v: the end took %v", connected, took)
		}
	}
}

// drainInBackground reads what comes until the connection ends.
func drainInBackground(c *client) { go drain(c.peer.(*tcpPeer).conn) }

// Past the grace requests are refused, for 2 s, and then all that is outstanding.
func TestDrain_Grace(t *testing.T) {
	t.Parallel()
	const grace = 300 * time.Millisecond
	test := func(t *testing.T, transport string) {
		t.Parallel() // it waits most of the time
		n := startNode(t, "shutdown.grace=300")
		service, asker := n.dial(t, transport), n.dial(t, transport)
		service.subscribe("request", "drain.long")
		asker.send("request:drain.long:1.0.0:"+idA+"::600000", "x")
		service.expect("request:drain.long:1.0.0:*")
		n.terminate()
		asker.toGo()
		asker.send("request:drain.long:1.0.0:"+idB+"::600000", "x") // within the grace
		service.toGo()
		second := service.expect("request:drain.long:1.0.0:*").ID
		service.send("response:drain.long:1.0.0:"+second, "y")
		asker.expect("response:drain.long:1.0.0:" + idB)
		time.Sleep(2 * grace) // the test's subject is time
		asker.send("request:drain.long:1.0.0:"+idB+"::600000", "x")
		e := asker.expectFault("response:drain.long:1.0.0:"+idB, "SERVICE_UNAVAILABLE")
		if e.Details["reason"] != "draining" {
			t.Errorf("%v", e.Details)
		}
		since := time.Now()
		e = asker.expectFault("response:drain.long:1.0.0:"+idA, "SERVICE_UNAVAILABLE")
		if waited := time.Since(since); e.Details["reason"] != "draining" ||
			waited < 1900*time.Millisecond {
			t.Errorf("%v after %v", e.Details, waited)
		}
		for _, c := range []*client{asker, service} {
			c.closed()
			_ = c.peer.Close()
		}
		n.ends(1)
	}
	for _, transport := range []string{overTCP, overWS} {
		t.Run(transport, func(t *testing.T) { test(t, transport) })
	}
}

// mb runs the tool, and returns its output.
func (n *node) mb(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	c := exec.Command(toolBinary, append(arguments, "--admin", n.admin)...)
	c.Env = cleanEnvironment()
	out, err := c.CombinedOutput()
	return string(out), err
}

// mb drain sends connections away; the node goes on, refuses nobody, and is ready again when it is
// told to be.
func TestDrain_ByOperator(t *testing.T) {
	t.Parallel()
	n := startNode(t, "admin.operator=true", "shutdown.spread=400")
	service := n.dial(t, overTCP)
	service.subscribe("request", "drain.op")
	one, two := n.dial(t, overTCP), n.dial(t, overWS)
	out, err := n.mb(t, "drain", "--rate", "100")
	if err != nil || out != "draining\n" {
		t.Fatalf("mb drain: %v %s", err, out)
	}
	if out, err := n.mb(t, "drain"); err == nil || !strings.Contains(out, "draining already") {
		t.Errorf("mb drain again: %v %s", err, out)
	}
	for _, c := range []*client{one, two, service} {
		c.toGo()
		c.closed()
		_ = c.peer.Close()
	}
	late := n.dial(t, overTCP)
	eventually(t, "all have gone", func() bool {
		return n.counter(t, "mb_drain_connections") == 0 && n.counter(t, "mb_connections") == 1
	})
	if status, _ := n.probe("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d", status)
	}
	if out, err := n.mb(t, "drain", "--cancel"); err != nil || out != "ready\n" {
		t.Fatalf("mb drain --cancel: %v %s", err, out)
	}
	if status, _ := n.probe("/readyz"); status != http.StatusOK {
		t.Errorf("/readyz answers %d after the drain was cancelled", status)
	}
	if out, err := n.mb(t, "drain", "--cancel"); err == nil {
		t.Errorf("mb drain --cancel again: %s", out)
	}
	late.call("system.heartbeat", "")
	if !strings.Contains(n.out.String(), "a drain was asked for") {
		t.Error("no line says who has asked for the drain")
	}
}
