package door

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/server/broker"
)

// Accepted connections have the options of their listener, do not block, and know their peer.
func TestOptionsAreInherited(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		bound, err := listenConfig.Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Logf("no IPv6 here: %v", err)
			continue
		}
		l, err := (&Door{}).newListener(bound.(*net.TCPListener), broker.TransportTCP)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := accept(l.fd); err != unix.EAGAIN {
			t.Errorf("accepting from an empty queue: %v", err)
		}
		c, err := net.Dial("tcp", l.address.String())
		if err != nil {
			t.Fatal(err)
		}
		check(t, l.fd, c.LocalAddr().String())
		_ = c.Close()
		l.close()
	}
}

func check(t *testing.T, listener int, peer string) {
	t.Helper()
	fd, remote, err := accept(listener)
	for end := time.Now().Add(patience); err == unix.EAGAIN && time.Now().Before(end); {
		fd, remote, err = accept(listener)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // the test is over
	if remote.String() != peer {
		t.Errorf("the peer is %v, not %v", remote, peer)
	}
	if _, err := unix.Read(fd, make([]byte, 1)); err != unix.EAGAIN {
		t.Errorf("reading nothing: %v", err)
	}
	for _, o := range [...]struct {
		name              string
		level, opt, value int
	}{
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveInterval},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		got, err := unix.GetsockoptInt(fd, o.level, o.opt)
		if err != nil || got != o.value {
			t.Errorf("%s is %d (%v), not %d", o.name, got, err, o.value)
		}
	}
}
