package door

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenConfig sets the options of connections once, on the listening socket: what it accepts
// inherits them (tcp(7), socket(7)), which saves five system calls a connection.
var listenConfig = func() (c net.ListenConfig) {
	c.KeepAlive, c.Control = -1, setOptions
	c.SetMultipathTCP(false)
	return c
}()

// The values that Go gives connections itself (net.KeepAliveConfig).
const (
	keepAliveIdle     = 15 // seconds of silence before the first probe
	keepAliveInterval = 15 // seconds between probes
	keepAliveCount    = 9  // unanswered probes that end a connection
)

func setOptions(_, _ string, c syscall.RawConn) error {
	var err error
	set := func(fd uintptr) {
		for _, o := range [...]struct{ level, name, value int }{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveInterval},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1}, // a turn writes whole messages, once
		} {
			if err = unix.SetsockoptInt(int(fd), o.level, o.name, o.value); err != nil {
				return
			}
		}
	}
	if failed := c.Control(set); failed != nil {
		return failed
	}
	return err
}
