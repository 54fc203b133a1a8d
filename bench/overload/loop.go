//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// loop is the generator: one epoll that is polled without waiting. One goroutine.
type loop struct {
	epoll  int
	start  time.Time
	conns  []*conn
	buf    []byte
	events []unix.EpollEvent
}

// conn is one connection of the generator.
type conn struct {
	l     *loop
	fd    int
	slot  int32
	in    []byte // part of a frame
	out   []byte // what the kernel did not take
	armed bool
	frame func(now time.Duration, body []byte) // a whole message; body is valid until it returns
	gone  func()                               // the server has ended it; nil: it must not
}

func newLoop() (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &loop{
		epoll: epoll, start: time.Now(),
		buf: make([]byte, 256<<10), events: make([]unix.EpollEvent, 512),
	}, err
}

func (l *loop) close() {
	for _, c := range l.conns {
		if c != nil {
			_ = unix.Close(c.fd)
		}
	}
	_ = unix.Close(l.epoll)
}

// now is the time since the loop was made.
func (l *loop) now() time.Duration { return time.Since(l.start) }

// dial connects, takes the greeting and makes the system requests (topic, payload), each of which
// must succeed. A narrow connection has small buffers at both ends of the kernel.
func (l *loop) dial(address string, narrow bool, requests ...[2]string) (*conn, error) {
	to, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if narrow {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, 536)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	peer := &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}
	if err := unix.Connect(fd, peer); err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	c := &conn{l: l, fd: fd, slot: int32(len(l.conns))}
	l.conns = append(l.conns, c)
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.slot}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return nil, err
	}
	var answer []byte
	c.frame = func(_ time.Duration, body []byte) { answer = bytes.Clone(body) }
	for i := -1; i < len(requests); i++ {
		if answer = nil; i >= 0 {
			c.send("request:"+requests[i][0]+":1.0.0:"+id(0), requests[i][1])
		}
		for deadline := l.now() + 10*time.Second; answer == nil; {
			if l.now() > deadline {
				return nil, errors.New("the server does not answer")
			}
			if err := l.turn(); err != nil {
				return nil, err
			}
		}
		if bytes.Contains(answer, []byte(`"error"`)) {
			return nil, fmt.Errorf("the server answered %s", answer)
		}
	}
	c.frame = func(time.Duration, []byte) {}
	return c, nil
}

// id is the request ID with that number.
func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// number is the inverse of id, for the header line of an answer or a request: the fourth field. ok
// is false when there is none of ours.
func number(body []byte) (n int, ok bool) {
	for range 3 {
		i := bytes.IndexByte(body, ':')
		if i < 0 {
			return 0, false
		}
		body = body[i+1:]
	}
	if len(body) < 36 {
		return 0, false
	}
	for _, b := range body[24:36] {
		switch {
		case b >= '0' && b <= '9':
			n = n<<4 | int(b-'0')
		case b >= 'a' && b <= 'f':
			n = n<<4 | int(b-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

func appendFrame(b []byte, header, payload string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(header)+1+len(payload)))
	return append(append(append(b, header...), '\n'), payload...)
}

func (c *conn) send(header, payload string) { c.write(appendFrame(nil, header, payload)) }

// write sends what the kernel takes now and keeps the rest.
func (c *conn) write(p []byte) {
	c.out = append(c.out, p...)
	c.flush()
}

func (c *conn) flush() {
	for len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			c.out = nil // the read side tells of it
			return
		}
		c.out = c.out[n:]
	}
	if c.armed != (len(c.out) > 0) {
		c.armed = !c.armed
		c.listen(true)
	}
	if len(c.out) == 0 {
		c.out = nil
	}
}

// listen says whether the connection is read.
func (c *conn) listen(on bool) {
	ev := unix.EpollEvent{Fd: c.slot}
	if on {
		ev.Events |= unix.EPOLLIN
	}
	if c.armed {
		ev.Events |= unix.EPOLLOUT
	}
	_ = unix.EpollCtl(c.l.epoll, unix.EPOLL_CTL_MOD, c.fd, &ev)
}

// turn handles what is there, without waiting.
func (l *loop) turn() error {
	n, err := unix.EpollWait(l.epoll, l.events, 0)
	if err != nil && err != unix.EINTR {
		return err
	}
	for _, ev := range l.events[:max(n, 0)] {
		c := l.conns[ev.Fd]
		if c == nil {
			continue // closed in this turn
		}
		if ev.Events&unix.EPOLLOUT != 0 {
			c.flush()
		}
		if ev.Events&^unix.EPOLLOUT == 0 {
			continue
		}
		m, err := unix.Read(c.fd, l.buf)
		if err == unix.EAGAIN || err == unix.EINTR {
			continue
		}
		if (err != nil || m == 0) && c.gone != nil {
			c.gone()
			continue
		}
		if err != nil || m == 0 {
			return fmt.Errorf("connection %d was lost: %v", ev.Fd, err)
		}
		c.cut(l.buf[:m])
	}
	return nil
}

// cut hands over the whole frames.
func (c *conn) cut(p []byte) {
	now := c.l.now()
	if len(c.in) > 0 {
		c.in = append(c.in, p...)
		p = c.in
	}
	for len(p) >= 4 {
		size := int(binary.BigEndian.Uint32(p))
		if len(p) < 4+size {
			break
		}
		c.frame(now, p[4:4+size])
		p = p[4+size:]
	}
	c.in = append(c.in[:0], p...)
}

// drive polls until the time has come; each says what is due, before every poll.
func (l *loop) drive(until time.Duration, each func(now time.Duration)) error {
	for {
		now := l.now()
		if now >= until {
			return nil
		}
		each(now)
		if err := l.turn(); err != nil {
			return err
		}
	}
}

// ticker paces an open loop: due returns how many times at fixed distances have passed since the
// last call.
type ticker struct{ next, every time.Duration }

func (t *ticker) due(now time.Duration, f func(at time.Duration)) {
	for ; t.next <= now; t.next += t.every {
		f(t.next)
	}
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(100, int64(time.Minute), 3)
}

// micros is a quantile of a histogram of ns.
func micros(h *hdrhistogram.Histogram, q float64) float64 {
	return float64(h.ValueAtQuantile(q)) / 1000
}
