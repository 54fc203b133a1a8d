package door

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"mbserver/server/broker"
)

// Dial connects to the node from within, on behalf of somebody at an address: the connection is one
// over TCP as any other, counted and listed, but for the listener, which there may be none of. The
// error says why there is none. Any goroutine but a loop's.
func (d *Door) Dial(remote netip.AddrPort) (net.Conn, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(theirs), "inside")
	conn, err := net.FileConn(file)
	_ = file.Close() // conn has its own
	if err != nil {
		closeFile(ours)
		return nil, err
	}
	a := arrival{fd: ours, transport: broker.TransportTCP, remote: remote}
	if why := d.broker.Admit(d.countedBy(a)); why != "" {
		closeFile(ours)
		_ = conn.Close()
		return nil, errors.New(causes[why].says)
	}
	g := d.gates[d.broker.LoopFor().Index()]
	if !g.room.Do(func() {
		defer d.recovered(func() { g.drop(a) })
		g.show(a, &broker.Arrival{})
	}) {
		g.drop(a) // conn is told
	}
	return conn, nil
}

// pair returns two sockets that are connected with one another, the first one for a loop.
func pair() (ours, theirs int, err error) {
	syscall.ForkLock.RLock() // no program started meanwhile gets them
	defer syscall.ForkLock.RUnlock()
	both, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return 0, 0, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range both {
		unix.CloseOnExec(fd)
	}
	if err := unix.SetNonblock(both[0], true); err != nil {
		closeFile(both[0])
		closeFile(both[1])
		return 0, 0, os.NewSyscallError("setnonblock", err)
	}
	return both[0], both[1], nil
}
