//go:build linux

package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// idle measures resident memory per subscribed connection, and CPU time while all of them do
// nothing.
func (t *try) idle() error {
	if t.server.pid == 0 {
		return fmt.Errorf("%w: the server's process", errAbsent)
	}
	open := func(n int) error {
		for range n {
			c, err := t.dial(idler, []string{"bench.idle"})
			if err != nil {
				return err
			}
			if err := t.loop.add(c, false); err != nil {
				return err
			}
		}
		return nil
	}
	const first = 200 // what the first connections cost is not theirs
	if err := open(first); err != nil {
		return err
	}
	before := t.server.resident()
	if err := open(t.s.clients); err != nil {
		return err
	}
	t.figure(metricPerConn, "B", false, float64(t.server.resident()-before)/float64(t.s.clients))
	// A collection that the connections caused ends.
	if err := rest(t.loop.ctx, t.Warmup); err != nil {
		return err
	}
	cpu, began := t.server.cpu(), time.Now()
	if err := rest(t.loop.ctx, t.Duration); err != nil {
		return err
	}
	t.figure(metricIdle, "%", false, 100*float64(t.server.cpu()-cpu)/float64(time.Since(began)))
	t.memory()
	return nil
}

// rest lets time pass: that nothing happens in it is what is measured.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin measures the time from starting the process to its first welcome.
func (t *try) begin() error {
	if t.server.cmd == nil {
		return fmt.Errorf("%w: a server of our own", errAbsent)
	}
	t.figure(metricStart, "ms", false, float64(t.server.up)/float64(time.Millisecond))
	t.memory()
	return nil
}

// atOnce is how many connections of a storm are being opened at the same time.
const atOnce = 64

// newcomer is a connection that waits for its welcome.
type newcomer struct {
	fd       int
	in       []byte
	upgraded bool
}

// storm opens connections, many at once, and counts those that were welcomed.
func (t *try) storm() error {
	first := t.wire.hello(idler, "bench.storm", 0, minPayload)
	u, upgrades := t.wire.(upgrader)
	hello := first
	if upgrades {
		first = u.upgrade()
	}
	waiting := make(map[int32]*newcomer, atOnce)
	defer func() {
		for _, c := range waiting {
			_ = unix.Close(c.fd) // The run has failed.
		}
	}()
	cpu, load, began := t.server.cpu(), threadCPU(), time.Now()
	opened, welcomed := 0, 0
	var dog watchdog
	for welcomed < t.s.clients {
		for ; opened < t.s.clients && len(waiting) < atOnce; opened++ {
			c, err := t.knock(first)
			if err != nil {
				return err
			}
			waiting[int32(c.fd)] = c
		}
		n, errno := sysWait(t.loop.epoll, t.loop.events, waitMs)
		if errno != 0 {
			return fmt.Errorf("epoll: %w", errno)
		}
		if err := dog.saw(t.loop.ctx, n); err != nil {
			return fmt.Errorf("%d of %d connections: %w", welcomed, t.s.clients, err)
		}
		for _, ev := range t.loop.events[:n] {
			c := waiting[ev.Fd]
			m, errno := sysRead(c.fd, t.loop.buf)
			if errno == unix.EAGAIN {
				continue
			}
			if errno != 0 || m == 0 {
				return fmt.Errorf("connection %d of %d was refused: %w",
					welcomed+1, t.s.clients, errEnded)
			}
			c.in = append(c.in, t.loop.buf[:m]...)
			if upgrades && !c.upgraded {
				done, err := u.upgraded(c.in)
				if err != nil {
					return fmt.Errorf("connection %d of %d: %w", welcomed+1, t.s.clients, err)
				}
				if c.upgraded = done; !done {
					continue
				}
				c.in = behindHead(c.in) // the welcome may have come with it
				if err := say(c.fd, hello); err != nil {
					return err
				}
			}
			if !t.wire.welcomed(c.in) {
				continue
			}
			welcomed++
			delete(waiting, ev.Fd)
			_ = unix.EpollCtl(t.loop.epoll, unix.EPOLL_CTL_DEL, c.fd, nil) // It is in there.
			t.loop.conns = append(t.loop.conns, &conn{fd: c.fd, role: idler})
		}
	}
	t.accepted(welcomed, cpu, load, began)
	return nil
}

// serial opens connections one after the other and subscribes each: what a newcomer waits for when
// nobody else comes, most of it system calls and wake-ups on both sides.
func (t *try) serial() error {
	cpu, load, began := t.server.cpu(), threadCPU(), time.Now()
	for n := range t.s.clients {
		if err := t.loop.ctx.Err(); err != nil {
			return err
		}
		c, err := t.dial(idler, []string{"bench.serial"})
		if err != nil {
			return fmt.Errorf("connection %d of %d: %w", n+1, t.s.clients, err)
		}
		if err := t.loop.add(c, false); err != nil {
			return err
		}
	}
	t.accepted(t.s.clients, cpu, load, began)
	return nil
}

// accepted keeps the figures of n connections since the clocks were read.
func (t *try) accepted(n int, cpu, load int64, began time.Time) {
	took := time.Since(began)
	t.figure(metricAccept, "/s", true, float64(n)/took.Seconds())
	t.figure(metricLoad, "ns", false, float64(threadCPU()-load)/float64(n))
	if t.server.pid != 0 {
		t.figure(metricCPU, "ns", false, float64(t.server.cpu()-cpu)/float64(n))
	}
	t.memory()
}

// knock connects and says hello, without waiting for the answer.
func (t *try) knock(hello []byte) (*newcomer, error) {
	fd, err := connect(t.at.address)
	if err != nil {
		return nil, err
	}
	if err := say(fd, hello); err != nil {
		_ = unix.Close(fd) // The write's error is the one to tell.
		return nil, err
	}
	readable := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	err = unix.EpollCtl(t.loop.epoll, unix.EPOLL_CTL_ADD, fd, &readable)
	if err != nil {
		_ = unix.Close(fd) // As above.
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &newcomer{fd: fd}, nil
}

// say writes the few bytes of a greeting, for which a new connection has room.
func say(fd int, m []byte) error {
	if len(m) == 0 {
		return nil
	}
	if n, errno := sysWrite(fd, m); errno != 0 || n < len(m) {
		return fmt.Errorf("saying hello: %d of %d bytes: %w", n, len(m), errno)
	}
	return nil
}
