//go:build unix

package reactor

import (
	"unsafe"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// gnetSocket is the write side of an enrolled connection. It writes to the descriptor itself:
// gnet's outbound buffer is unbounded, and its Write closes the connection, and calls back, from
// within the call. Owned by the loop.
type gnetSocket struct {
	reactor *reactor
	conn    gnet.Conn
	fd      int
	watched bool // the stall watcher knows the descriptor

	slot, gen uint32 // the connection's
}

// Write implements ringbuf.Writer.
func (s *gnetSocket) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := unix.Write(s.fd, p[written:])
		if n > 0 {
			written += n
		}
		if stop, err := retry(err); stop {
			return written, err
		}
	}
	return written, nil
}

// Writev implements ringbuf.Writer. len(bufs) is at most the 1024 that systems allow.
func (s *gnetSocket) Writev(bufs [][]byte) (int, error) {
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

// AwaitWritable implements broker.Socket.
func (s *gnetSocket) AwaitWritable() error {
	err := s.reactor.group.stall.watch(s, s.watched)
	s.watched = true
	return err
}

// CloseWrite implements broker.Socket.
func (s *gnetSocket) CloseWrite() { _ = unix.Shutdown(s.fd, unix.SHUT_WR) }

// Close implements broker.Socket. OnClose follows within the call and ignores the connection,
// because it has no context then.
func (s *gnetSocket) Close() {
	s.conn.SetContext(nil)
	_ = s.conn.EventLoop().Close(s.conn)
}
