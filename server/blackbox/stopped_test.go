package blackbox

import (
	"bytes"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// standStill stops the node's process for a while, as a paused machine or container does.
func (n *node) standStill(passed time.Duration) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		n.t.Fatal(err)
	}
	time.Sleep(passed) // the test's subject is time
	if err := n.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		n.t.Fatal(err)
	}
}

// A node that stands still, for longer than it lets anybody be silent, closes none of those who
// answer it; who is silent is closed afterwards as ever.
func TestS8_SilenceOfTheNode(t *testing.T) {
	t.Parallel()
	const clients, retry, deregister = 400, 500, 1000 // ms
	n := startNode(t, "connection.heartbeatRetryTimeout=500",
		"connection.heartbeatDeregisterTimeout=1000", "logging.level=warn")
	var all sync.WaitGroup
	faults := make(chan error, clients)
	stop := make(chan struct{})
	for i := range clients {
		p, err := n.connect(transports[i%2])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		all.Go(func() {
			if err := keepAnswering(p, stop); err != nil {
				faults <- err
			}
		})
	}
	mute := n.dial(t, overTCP)
	for _, passed := range []int{deregister - 100, deregister + 100, 3 * deregister} {
		time.Sleep(retry / 2 * time.Millisecond) // so that it stops at another moment
		n.standStill(time.Duration(passed) * time.Millisecond)
	}
	began := time.Now()
	eventually(t, "the silent one is closed", func() bool {
		_, err := mute.tryFresh()
		return err != nil
	})
	t.Logf("the silent one was closed %v after the node went on", time.Since(began))
	time.Sleep(2 * deregister * time.Millisecond) // whoever would be closed is by then
	if alive := n.counter(t, "mb_connections"); alive != clients {
		t.Errorf("%d of %d connections are left", alive, clients)
	}
	close(stop)
	all.Wait()
	close(faults)
	for err := range faults {
		t.Fatal(err)
	}
}

// keepAnswering answers heartbeats until stop is closed.
func keepAnswering(p peer, stop chan struct{}) error {
	alive := []byte("response:system.heartbeat:1.0.0\n{}")
	for {
		f, err := p.Recv(time.Now().Add(patience))
		select {
		case <-stop:
			return nil
		default:
		}
		if err == nil && bytes.HasPrefix(f.data, []byte("request:system.heartbeat:")) {
			err = p.Send(alive)
		}
		if err != nil {
			return err
		}
	}
}

// A large message that uploads slowly is a sign of life.
func TestS8_SlowUpload(t *testing.T) {
	settings := []string{
		"connection.heartbeatRetryTimeout=700", "connection.heartbeatDeregisterTimeout=1400",
	}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		r := dialRaw(t, n.tcp)
		payload := []byte("publish:slow.upload:1.0.0\n" + strings.Repeat("x", 2000))
		whole := append([]byte{0, 0, 7, 0xea}, payload...)
		if transport == overWS {
			r = dialRawWS(t, n)
			whole = wsFrame(fin|opBinary, payload)
		}
		began := time.Now()
		for len(whole) > 0 {
			piece := min(100, len(whole))
			r.write(whole[:piece])
			whole = whole[piece:]
			time.Sleep(100 * time.Millisecond) // the test's subject is time
		}
		all := ""
		for !strings.Contains(all, "NO_ROUTE_FOUND") {
			b, err := r.in.ReadByte()
			if err != nil {
				t.Fatalf("closed %v after the upload began: %v\n%q", time.Since(began), err, all)
			}
			all += string(b)
		}
		if strings.Contains(all, "system.heartbeat") {
			t.Errorf("it was asked for a sign of life: %q", all)
		}
	})
}
