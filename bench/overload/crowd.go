//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The node serves crowdRate messages a second when crowdSize connections come at once. crowdBeaters
// others ask for a heartbeat each, beatRate times a second in all.
const (
	crowdSize    = 5000
	crowdRate    = 5000
	crowdBeaters = 50
	beatRate     = 1000
	crowdQuiet   = 2 * time.Second
	crowdSettle  = time.Second
	crowdGoes    = 500 * time.Millisecond
	crowdLatest  = 30 * time.Second

	// crowdStep is how many begin to connect between two looks at the others' sockets, and how many
	// of those who have are served: that takes the generator's time, which is not to count as the
	// server's.
	crowdStep = 2
)

// comer is one of the crowd. It comes, registers and subscribes, as a client does that has lost its
// node; who is refused comes back when it was told to.
type comer struct {
	*conn
	answers int
	back    time.Duration // when to come back; 0: it is not to
}

// arrivals are all of them. They have a loop of their own.
type arrivals struct {
	l        *loop
	to       *unix.SockaddrInet4
	absent   []*comer // to come, the next one last
	back     []*comer // to come back
	in       int      // came in, and have their answers
	refusals int
	leaving  int // have left again
	err      error
}

// leave closes the connections of some who have come in.
func (c *arrivals) leave(time.Duration) {
	for range min(crowdStep, len(c.l.conns)-c.leaving) {
		if m := c.l.conns[c.leaving]; m != nil {
			_ = unix.Close(m.fd)
			c.l.conns[c.leaving] = nil
		}
		c.leaving++
	}
}

// come connects some of those who are to come, and serves some of those who have.
func (c *arrivals) come(now time.Duration) {
	if err := c.l.turn(); err != nil {
		c.err = err
	}
	c.back = slices.DeleteFunc(c.back, func(m *comer) bool {
		due := m.back <= now
		if due {
			c.absent = append(c.absent, m)
		}
		return due
	})
	for range min(crowdStep, len(c.absent)) {
		last := len(c.absent) - 1
		m := c.absent[last]
		c.absent = c.absent[:last]
		if err := c.connect(m); err != nil {
			c.err = err
			return
		}
	}
}

// connect begins to connect one. The greeting tells when it is in.
func (c *arrivals) connect(m *comer) error {
	fd, err := unix.Socket(unix.AF_INET,
		unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := unix.Connect(fd, c.to); err != nil && err != unix.EINPROGRESS {
		return err
	}
	*m = comer{conn: &conn{l: c.l, fd: fd, slot: int32(len(c.l.conns))}}
	m.frame = func(now time.Duration, body []byte) { c.answer(m, now, body) }
	m.gone = func() { c.close(m) }
	c.l.conns = append(c.l.conns, m.conn)
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: m.slot}
	return unix.EpollCtl(c.l.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
}

// answer takes the greeting, a refusal, or an answer.
func (c *arrivals) answer(m *comer, now time.Duration, body []byte) {
	const retry = `"retryAfterMs":`
	switch i := bytes.Index(body, []byte(retry)); {
	case i > 0:
		digits := body[i+len(retry):]
		ms, _ := strconv.Atoi(string(digits[:bytes.IndexAny(digits, ",}")]))
		m.back = now + time.Duration(ms)*time.Millisecond
		c.refusals++
	case bytes.HasPrefix(body, []byte("publish:system.initialize:")):
		name := fmt.Sprintf(`{"name":"comer %d","description":"one of a crowd"}`, m.slot)
		m.send("request:system.service.register:1.0.0:"+id(1), name)
		m.send("request:system.topic.subscribe:1.0.0:"+id(2), subscription("crowd.news"))
	case bytes.Contains(body, []byte(`"error"`)):
		c.err = fmt.Errorf("the server answered %s", body)
	default:
		if m.answers++; m.answers == 2 {
			c.in++
		}
	}
}

// close ends the connection of one that has left, or has been refused.
func (c *arrivals) close(m *comer) {
	_ = unix.Close(m.fd)
	c.l.conns[m.slot] = nil
	if m.back > 0 {
		c.back = append(c.back, m)
	} else {
		c.err = fmt.Errorf("connection %d was lost", m.slot)
	}
}

func subscription(topic string) string {
	return fmt.Sprintf(`{"action":"publish","topic":%q}`, topic)
}

// crowdOf measures what others notice of a crowd.
func crowdOf(o options) error {
	fmt.Printf("crowd: %d connections come at once, register and subscribe, beside %d messages/s; "+
		"%d others ask %d heartbeats/s\n", crowdSize, crowdRate, crowdBeaters, beatRate)
	// The kernel's table of descriptors doubles when it is full, and whoever opens one then waits
	// some 15 ms: the generator's table, which is not to count as the server's time, grows now.
	if last, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 2*crowdSize); err == nil {
		_ = unix.Close(last)
	}
	for _, settings := range [][]string{
		nil, {"loops=2"}, {"admission.rate=2000"}, {"admission.rate=1000", "loops=2"},
	} {
		for range o.crowds {
			if err := crowdRound(o, settings); err != nil {
				return err
			}
		}
	}
	fmt.Println()
	return nil
}

func crowdRound(o options, settings []string) error {
	s, l, finish, err := begin(o, append([]string{"connection.max.concurrent=20000"},
		settings...)...)
	if err != nil {
		return err
	}
	defer finish()
	reader, err := l.dial(s.address, false,
		[2]string{"system.topic.subscribe", subscription("crowd.load")})
	if err != nil {
		return err
	}
	received := 0
	reader.frame = func(time.Duration, []byte) { received++ }
	publisher, err := l.dial(s.address, false)
	if err != nil {
		return err
	}
	beaters, err := dialBeaters(l, s.address)
	if err != nil {
		return err
	}
	c, err := newArrivals(l, s.address)
	if err != nil {
		return err
	}
	defer c.l.close()
	load := ticker{next: l.now(), every: time.Second / crowdRate}
	pulse, turn := ticker{next: l.now(), every: time.Second / beatRate}, 0
	coming, step := false, func(time.Duration) {}
	last, longest := time.Duration(0), time.Duration(0) // of the generator's own turns
	each := func(now time.Duration) {
		if coming {
			longest = max(longest, now-last)
		}
		last = now
		load.due(now, func(time.Duration) {
			publisher.send("publish:crowd.load:1.0.0", "0123456789abcdef0123456789abcdef")
		})
		pulse.due(now, func(at time.Duration) {
			beaters[turn%crowdBeaters].beat(at)
			turn++
		})
		step(now)
	}
	quiet := l.now()
	if err := l.drive(quiet+crowdQuiet, each); err != nil {
		return err
	}
	from := l.now()
	coming, step = true, c.come
	for c.in < crowdSize && l.now() < from+crowdLatest && c.err == nil {
		if err := l.drive(l.now()+10*time.Millisecond, each); err != nil {
			return err
		}
	}
	to := l.now()
	if err := l.drive(to+crowdSettle, each); err != nil {
		return err
	}
	if c.err != nil || c.in < crowdSize {
		return fmt.Errorf("%d of %d came in: %w", c.in, crowdSize, c.err)
	}
	coming, step = false, c.leave
	left := l.now()
	if err := l.drive(left+crowdSettle, each); err != nil {
		return err
	}
	told := func(us []float64) string {
		return fmt.Sprintf("p50 %.0f µs, p99 %.0f µs, longest %.0f µs",
			quantile(us, .5), quantile(us, .99), quantile(us, 1))
	}
	fmt.Printf("  %-30v in within %v, %d refused; heartbeats: quiet %s; meanwhile %s; "+
		"while they leave %s; %d lost; the generator's longest turn: %v\n",
		settings, (to - from).Round(time.Millisecond), c.refusals,
		told(latenciesOf(beaters, quiet, from)), told(latenciesOf(beaters, from, to)),
		told(latenciesOf(beaters, left, left+crowdGoes)), unanswered(beaters),
		longest.Round(time.Microsecond))
	return nil
}

func newArrivals(clock *loop, address string) (*arrivals, error) {
	to, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	l.start, l.events = clock.start, l.events[:crowdStep]
	c := &arrivals{l: l, to: &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}}
	for range crowdSize {
		c.absent = append(c.absent, &comer{})
	}
	return c, nil
}

// dialBeaters connects those who ask for heartbeats.
func dialBeaters(l *loop, address string) (beaters []*caller, err error) {
	for range crowdBeaters {
		connection, err := l.dial(address, false)
		if err != nil {
			return nil, err
		}
		beaters = append(beaters, newCaller(connection, time.Minute, 1<<12))
	}
	return beaters, nil
}

// beat asks for a heartbeat.
func (c *caller) beat(at time.Duration) {
	c.send("request:system.heartbeat:1.0.0:"+id(len(c.asked)), "")
	c.asked = append(c.asked, asked{at: at})
}

// latenciesOf are those of all callers, in µs, of what was due in [from, to).
func latenciesOf(callers []*caller, from, to time.Duration) (us []float64) {
	for _, c := range callers {
		us = append(us, c.latencies(from, to)...)
	}
	slices.Sort(us)
	return us
}

// unanswered is how many requests have no answer.
func unanswered(callers []*caller) (count int) {
	for _, c := range callers {
		for _, a := range c.asked {
			if a.outcome != "ok" {
				count++
			}
		}
	}
	return count
}
