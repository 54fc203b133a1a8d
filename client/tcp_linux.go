package client

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tcpStateOf asks the kernel; false when it is not a TCP connection of the kernel's.
func tcpStateOf(conn net.Conn) (state tcpState, ok bool) {
	c, ok := kernelConn(conn).(syscall.Conn)
	if !ok {
		return tcpState{}, false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return tcpState{}, false
	}
	var info *unix.TCPInfo
	var failed error
	err = raw.Control(func(fd uintptr) {
		info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err != nil || failed != nil {
		return tcpState{}, false
	}
	silent := min(info.Last_ack_recv, info.Last_data_recv)
	// Probes: of a window that is closed. A peer that lives answers each at once.
	return tcpState{
		silent: time.Duration(silent) * time.Millisecond,
		owed:   info.Unacked > 0 || info.Probes > 1,
	}, true
}
