//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Of one loop.
const (
	readSize  = 256 << 10 // bytes of one read
	eventSize = 512
	waitMs    = 100 // longest wait in the kernel, after which the context is looked at
)

// loop is the generator: one epoll and the connections on it. It belongs to one goroutine, locked
// to its thread. Nothing in turn and below allocates.
type loop struct {
	ctx    context.Context
	wire   wire
	tally  tallier // nil when bytes are counted
	epoll  int
	conns  []*conn
	buf    []byte
	plain  []byte // what arrived over TLS and must be understood
	events []unix.EpollEvent

	// ready holds those whose subscribers have all finished a round, or whose publishers have room
	// again.
	ready  []*stream
	arrive func(c *conn, before int64) // after each read of a subscriber; nil: nothing to do
	err    error
}

func newLoop(ctx context.Context, w wire) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	l := &loop{
		ctx: ctx, wire: w, epoll: epoll,
		buf: make([]byte, readSize), events: make([]unix.EpollEvent, eventSize),
	}
	l.tally, _ = w.(tallier)
	return l, nil
}

func (l *loop) close() {
	for _, c := range l.conns {
		c.close()
	}
	_ = unix.Close(l.epoll) // Only descriptors in it.
}

// add takes over c. One that is not to be read, a stalled subscriber, is only kept.
func (l *loop) add(c *conn, read bool) error {
	index := len(l.conns)
	l.conns = append(l.conns, c)
	if !read {
		return nil
	}
	readable := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(index), Pad: 0}
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &readable)
}

// turn waits up to timeoutMs for events and handles them; n is their number.
func (l *loop) turn(timeoutMs int) (n int, err error) {
	n, errno := sysWait(l.epoll, l.events, timeoutMs)
	if errno != 0 {
		return 0, fmt.Errorf("epoll: %w", errno)
	}
	for i := range l.events[:n] {
		l.handle(&l.events[i])
	}
	return n, l.err
}

func (l *loop) handle(ev *unix.EpollEvent) {
	c := l.conns[ev.Fd]
	if ev.Events&unix.EPOLLOUT != 0 {
		l.flush(c, ev.Fd)
	}
	if ev.Events&^unix.EPOLLOUT != 0 {
		l.read(c, ev.Fd)
	}
}

func (l *loop) read(c *conn, index int32) {
	var n int
	var errno unix.Errno
	kept := 0
	switch {
	case c.session != nil:
		n, errno = sysRead(c.fd, l.buf)
	case c.role == responder:
		kept = copy(l.buf, c.rest)
		n, errno = sysRead(c.fd, l.buf[kept:])
	case l.tally != nil:
		n, errno = sysRead(c.fd, l.buf)
	default:
		n, errno = sysDiscard(c.fd, l.buf)
	}
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return
	}
	if errno != 0 || n == 0 {
		l.fail(fmt.Errorf("connection %d lost: %w", index, errors.Join(errno, errEnded)))
		return
	}
	switch c.role {
	case subscriber:
		before := c.in
		c.in += l.worth(c, l.buf[:n])
		if l.arrive != nil {
			l.arrive(c, before)
		}
		if before < c.goal && c.in >= c.goal {
			c.stream.reached(l)
		}
	case requester:
		c.in += l.worth(c, l.buf[:n])
		l.answered(c, index)
	case responder:
		in := l.buf[:kept+n]
		if c.session != nil {
			in = l.opened(c, append(l.plain[:0], c.rest...), in)
		}
		l.answer(c, index, in)
	}
}

// worth is how much arrived, in the unit of the wire's delivered. Over plain TCP in is not there to
// be read, only counted.
func (l *loop) worth(c *conn, in []byte) int64 {
	switch {
	case l.tally == nil && c.session == nil:
		return int64(len(in))
	case l.tally == nil:
		return c.session.count(in)
	case c.session != nil:
		in = l.opened(c, l.plain[:0], in)
	}
	n, err := l.tally.tally(c, in)
	if err != nil {
		l.fail(err)
	}
	return n
}

// opened appends what stands in the records of in to dst, which is l.plain. It is good until the
// next call.
func (l *loop) opened(c *conn, dst, in []byte) []byte {
	var err error
	if l.plain, err = c.session.open(dst, in); err != nil {
		l.fail(err)
	}
	return l.plain
}

var errEnded = errors.New("the server closed it")

func (l *loop) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// answer writes the answers to all whole requests.
func (l *loop) answer(c *conn, index int32, in []byte) {
	pending := copy(c.own[:cap(c.own)], c.out)
	out, used := l.wire.(asker).answer(c.own[:pending], in)
	out = c.sealed(out, pending)
	c.own = out[:0]
	c.rest = append(c.rest[:0], in[used:]...)
	c.out = out
	l.flush(c, index)
}

// flush writes what c has to write and watches for room when the kernel does not take all.
func (l *loop) flush(c *conn, index int32) {
	for len(c.out) > 0 {
		n, errno := sysWrite(c.fd, c.out)
		if errno == unix.EAGAIN {
			l.arm(c, index, true)
			return
		}
		if errno != 0 {
			l.fail(fmt.Errorf("connection %d: %w", index, errno))
			return
		}
		c.out = c.out[n:]
	}
	if c.armed {
		l.arm(c, index, false)
		if c.stream != nil {
			c.stream.wake(l)
		}
	}
}

func (l *loop) arm(c *conn, index int32, on bool) {
	if c.armed == on {
		return
	}
	c.armed = on
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: index}
	if on {
		ev.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, c.fd, &ev); err != nil {
		l.fail(fmt.Errorf("connection %d: epoll: %w", index, err))
	}
}

// watchdog ends a wait in which nothing happens.
type watchdog struct{ last time.Time }

// saw reports an error when nothing has happened for too long or ctx has ended. n is the number of
// events of a turn that could wait.
func (d *watchdog) saw(ctx context.Context, n int) error {
	if n > 0 && !d.last.IsZero() {
		d.last = time.Time{}
	}
	if n > 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	if d.last.IsZero() {
		d.last = now
	}
	if now.Sub(d.last) > patience {
		return fmt.Errorf("nothing arrives any more for %v", patience)
	}
	return nil
}
