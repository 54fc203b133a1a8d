//go:build unix && !linux

package door

import (
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// accept takes a connection off a listener's queue; the error is unix.EAGAIN when that is empty.
func accept(listener int) (fd int, remote netip.AddrPort, err error) {
	fd, sa, err := unix.Accept(listener)
	if err != nil {
		return fd, remote, err
	}
	unix.CloseOnExec(fd)
	if err = unix.SetNonblock(fd, true); err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, remote, unix.ECONNABORTED // the peer has gone
	}
	return fd, addrPort(sa), nil
}

// addrPort is the address of an accepted connection's peer.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		a := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 {
			a = a.WithZone(strconv.Itoa(int(sa.ZoneId)))
		}
		return netip.AddrPortFrom(a, uint16(sa.Port))
	}
	return netip.AddrPort{}
}
