package door

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenConfig sets keep-alive once, on the listening socket: what it accepts inherits the options
// (tcp(7), socket(7)), which saves four system calls a connection.
var listenConfig = net.ListenConfig{KeepAlive: -1, Control: keepAlive}

// The values that Go gives connections itself (net.KeepAliveConfig).
const (
	keepAliveIdle     = 15 // seconds of silence before the first probe
	keepAliveInterval = 15 // seconds between probes
	keepAliveCount    = 9  // unanswered probes that end a connection
)

func keepAlive(_, _ string, c syscall.RawConn) error {
	var err error
	set := func(fd uintptr) {
		for _, o := range [...]struct{ level, name, value int }{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveIdle},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveInterval},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveCount},
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
