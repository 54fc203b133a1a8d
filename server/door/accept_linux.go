package door

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// accept takes a connection off a listener's queue; the error is unix.EAGAIN when that is empty.
// What the listener was set to (setOptions) the connection has inherited. unix.Accept4 would ask
// for the socket's protocol as well, which costs a system call.
func accept(listener int) (fd int, remote netip.AddrPort, err error) {
	var sa unix.RawSockaddrInet6 // the longest there is
	size := uint32(unix.SizeofSockaddrInet6)
	n, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(listener),
		uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, netip.AddrPort{}, errno
	}
	return int(n), addrPort(&sa), nil
}

// addrPort is an address that the kernel has written.
func addrPort(sa *unix.RawSockaddrInet6) netip.AddrPort {
	var a netip.Addr
	var port uint16
	switch sa.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		a, port = netip.AddrFrom4(v4.Addr), v4.Port
	case unix.AF_INET6:
		a, port = netip.AddrFrom16(sa.Addr).Unmap(), sa.Port
		if sa.Scope_id != 0 {
			a = a.WithZone(strconv.Itoa(int(sa.Scope_id)))
		}
	default:
		return netip.AddrPort{}
	}
	wire := (*[2]byte)(unsafe.Pointer(&port)) // ports stand in network order
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(wire[:]))
}
