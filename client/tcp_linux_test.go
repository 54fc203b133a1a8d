package client

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/client/clienttest"
)

// vanish makes the kernel drop whatever comes for the connection: its machine
// is gone, and nothing says so.
func vanish(t *testing.T, conn net.Conn) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	program := unix.SockFprog{Len: 1, Filter: &nothing[0]}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	})
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
}

// A peer that vanishes without a word is noticed while a callback keeps the
// reader from reading, and while callbacks still get what came long ago.
func TestVanishedPeer(t *testing.T) {
	for name, callback := range map[string]func(done chan struct{}){
		"blocked": func(done chan struct{}) { <-done },
		"slow": func(done chan struct{}) {
			select {
			case <-done:
			case <-time.After(5 * time.Millisecond):
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const keep = 200 * time.Millisecond
			b := newBroker(t, clienttest.Options{})
			c := dial(t, b.URL("tcp"), WithoutReconnect(),
				WithPending(4<<10), WithReadBuffer(512), WithKeepAlive(keep))
			done := make(chan struct{})
			defer close(done)
			_, err := c.Subscribe(testContext(t), "flood", func(Message) { callback(done) })
			if err != nil {
				t.Fatal(err)
			}
			conn := b.Conns()[0]
			flood(conn, 2000, 20)
			eventually(t, "full queue", c.queue.blocked)
			vanish(t, conn.NetConn())
			receive(t, "Closing", c.Closing())
			if err := c.Err(); !strings.Contains(err.Error(), "acknowledged nothing") {
				t.Errorf("Err() = %v", err)
			}
		})
	}
}

// A peer that lives but reads nothing for long is not given up: it acknowledges
// the probes of its closed window.
func TestClosedWindowIsNoDeath(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), WithOutbound(1<<20))
	conn := b.Conns()[0]
	conn.Stall(true)
	l := c.link.Load()
	payload := make([]byte, 16<<10)
	var writing int64
	eventually(t, "a closed window", func() bool {
		for l.out.idle() {
			if err := c.Publish(testContext(t), "a", payload); err != nil {
				t.Fatal(err)
			}
			writing++
		}
		state, known := tcpStateOf(l.conn)
		return known && !state.owed && writing > 10
	})
	for range 35 { // longer than ackPatience
		state, known := tcpStateOf(l.conn)
		if !known || state.gone(0) {
			t.Fatalf("known %v: %+v", known, state)
		}
		time.Sleep(20 * time.Millisecond)
	}
	conn.Stall(false)
}
