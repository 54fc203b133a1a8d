//go:build linux

package main

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// readers are the subscribers: one epoll, one buffer, and per connection a count of the bytes received.
type readers struct {
	epoll    int
	fds      []int
	received []int64
	buf      []byte
	events   []unix.EpollEvent
	least    int64 // bytes that every subscriber has received
}

func newReaders() (*readers, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &readers{epoll: epoll, buf: make([]byte, 1<<20), events: make([]unix.EpollEvent, 512)}, err
}

// add takes over c: its descriptor is duplicated and the original closed.
func (r *readers) add(c *net.TCPConn) error {
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var fd int
	if ctl := raw.Control(func(p uintptr) { fd, err = unix.Dup(int(p)) }); ctl != nil {
		return ctl
	}
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(r.fds))}
	r.fds = append(r.fds, fd)
	r.received = append(r.received, 0)
	return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
}

func (r *readers) close() {
	for _, fd := range r.fds {
		_ = unix.Close(fd)
	}
	_ = unix.Close(r.epoll)
}

// stuckMs is how long nothing may arrive before a run is given up.
const stuckMs = 10_000

// pump publishes until every subscriber has received total messages of size bytes each, counted from the first pump.
func (r *readers) pump(publisher net.Conn, burst []byte, size, total int) error {
	sent := int(r.least) / size
	for {
		done := int(r.least) / size
		if done >= total {
			return nil
		}
		if sent < total && sent-done <= window-batch {
			if _, err := publisher.Write(burst); err != nil {
				return err
			}
			sent += batch
		}
		wait := 0
		if sent >= total || sent-done > window-batch {
			wait = stuckMs
		}
		n, err := unix.EpollWait(r.epoll, r.events, wait)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 && wait > 0 {
			return fmt.Errorf("nothing arrives any more: %d of %d messages", done, total)
		}
		for _, ev := range r.events[:n] {
			m, err := unix.Read(r.fds[ev.Fd], r.buf)
			if err != nil && err != unix.EAGAIN {
				return err
			}
			r.received[ev.Fd] += int64(max(m, 0))
		}
		r.least = r.received[0]
		for _, b := range r.received {
			r.least = min(r.least, b)
		}
	}
}
