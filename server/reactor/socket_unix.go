//go:build unix

package reactor

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"mbserver/server/broker"
)

// socket is a connection and its descriptor, side by side because every write needs both. Owned by
// the loop.
type socket struct {
	reactor *Reactor      // immutable
	fd      int32         // -1 when closed
	watched bool          // the stall watcher knows the descriptor
	secure  *secureSocket // of which it is the first part; nil: its bytes are not TLS
	conn    broker.Conn
}

// Read implements broker.Socket.
func (s *socket) Read() []byte {
	buf := s.reactor.buf
	for {
		n, err := unix.Read(int(s.fd), buf)
		if err != unix.EINTR {
			return buf[:max(n, 0)]
		}
	}
}

// Write implements ringbuf.Writer.
func (s *socket) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := unix.Write(int(s.fd), p[written:])
		if n > 0 {
			written += n
			s.conn.Wrote(n)
		}
		if stop, err := retry(err); stop {
			return written, err
		}
	}
	return written, nil
}

// Writev implements ringbuf.Writer. len(bufs) is at most the 1024 that systems allow.
func (s *socket) Writev(bufs [][]byte) (int, error) {
	var array [256]unix.Iovec
	iov := array[:0]
	total := 0
	for _, b := range bufs {
		if len(b) == 0 {
			continue
		}
		v := unix.Iovec{Base: unsafe.SliceData(b)}
		v.SetLen(len(b))
		iov = append(iov, v)
		total += len(b)
	}
	written := 0
	for len(iov) > 0 {
		n, _, errno := unix.Syscall(unix.SYS_WRITEV, uintptr(s.fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(iov)))
		if errno != 0 {
			if stop, err := retry(errno); stop {
				return written, err
			}
			continue
		}
		written += int(n)
		s.conn.Wrote(int(n))
		if written < total {
			return written, nil // the socket is full
		}
		break
	}
	return written, nil
}

// retry says what a failed write means: go on, stop because the socket is full (nil), or stop
// because of the error.
func retry(err error) (stop bool, _ error) {
	switch err {
	case nil, unix.EINTR, unix.Errno(0):
		return false, nil
	case unix.EAGAIN:
		return true, nil
	}
	return true, err
}

// Held implements broker.Socket.
func (s *socket) Held() int { return 0 }

// AwaitWritable implements broker.Socket.
func (s *socket) AwaitWritable() error {
	err := s.reactor.group.stall.watch(s, s.watched)
	s.watched = true
	return err
}

// CloseWrite implements broker.Socket.
func (s *socket) CloseWrite() { _ = unix.Shutdown(int(s.fd), unix.SHUT_WR) }

// Close implements broker.Socket. Closing the only descriptor of a socket takes it out of every
// epoll; nothing in the node duplicates one.
func (s *socket) Close() {
	if s.fd < 0 {
		return
	}
	if s.secure != nil {
		s.secure.leave()
	}
	s.reactor.group.sockets.remove(int(s.fd))
	_ = unix.Close(int(s.fd))
	s.fd = -1
}

// end tells the connection that its peer has ended it. reset says that the peer reads nothing more.
// The descriptor is still open in the call, and afterwards as long as there is something to write:
// without being watched, since the end would be reported again and again.
func (s *socket) end(reset bool) {
	if !s.conn.PeerClosed(reset) {
		s.Close()
		return
	}
	if err := s.reactor.poller.Delete(int(s.fd)); err != nil {
		s.reactor.group.complain("cannot leave a descriptor alone", err)
		s.end(true)
	}
}
