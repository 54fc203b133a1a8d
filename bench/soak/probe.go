//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mbserver/bench/proc"
)

const (
	probesPerLoop = 3
	probeEvery    = 20 * time.Millisecond // each
	spoilt        = time.Millisecond      // a write that takes longer spoils the probe
)

// phases of a cell that are measured apart.
const (
	phaseNone = iota
	phaseQuiet
	phaseAttack
	phaseCount
)

// probe is one quiet connection.
type probe struct {
	fd, loop int
	due      time.Time
	sent     []stamp // unanswered, oldest first
	in       []byte  // part of a frame
	broken   error
}

// stamp is one heartbeat under way.
type stamp struct {
	at    time.Time // wall clock, as the kernel's stamps
	phase int
	spoil bool
}

// probes is all of them. One goroutine works, see run.
type probes struct {
	all   []*probe
	loops int

	mu     sync.Mutex
	phase  int                           // guarded by mu
	pauses [][2]time.Time                // guarded by mu: when the node was stopped, and went on
	took   [phaseCount][][]time.Duration // guarded by mu: by loop
	after  [][]time.Duration             // guarded by mu: by loop, those of a stop (record)
	spoilt int                           // guarded by mu
	slow   []time.Duration               // guarded by mu: how long after a stop slow ones were sent
	worst  time.Duration                 // guarded by mu: how late the judge itself was
	end    bool                          // guarded by mu
	done   chan struct{}
}

// openProbes connects until every loop has enough of them, and closes the others.
func openProbes(n *node, loops int) (*probes, error) {
	p := &probes{
		loops: loops, done: make(chan struct{}), after: make([][]time.Duration, loops),
	}
	byLoop := make(map[string][]*client)
	const rounds = 16
	for range rounds {
		var fresh []*client
		for range 2 * loops {
			c, err := dial(n.to, manner{})
			if err != nil {
				return nil, err
			}
			fresh = append(fresh, c)
		}
		watchers, err := proc.Watchers(n.pid)
		if err != nil {
			return nil, err
		}
		for _, c := range fresh {
			epolls := watchers[uint16(c.LocalAddr().(*net.TCPAddr).Port)]
			if key := fmt.Sprint(slices.Sorted(slices.Values(epolls))); len(epolls) == 1 &&
				len(byLoop[key]) < probesPerLoop {
				byLoop[key] = append(byLoop[key], c)
			} else {
				c.Close()
			}
		}
		enough := len(byLoop) == loops
		for _, of := range byLoop {
			enough = enough && len(of) == probesPerLoop
		}
		if enough {
			break
		}
	}
	if len(byLoop) != loops {
		return nil, fmt.Errorf("probes reached %d of %d loops", len(byLoop), loops)
	}
	loop := 0
	for _, of := range byLoop {
		for _, c := range of {
			fd, err := takeOver(c)
			if err != nil {
				return nil, err
			}
			p.all = append(p.all, &probe{fd: fd, loop: loop})
		}
		loop++
	}
	begin := time.Now()
	for i, c := range p.all { // evenly
		c.due = begin.Add(probeEvery * time.Duration(i) / time.Duration(len(p.all)))
	}
	go p.run()
	return p, nil
}

// takeOver makes a descriptor of its own of a connection, with the kernel's stamps on.
func takeOver(c *client) (int, error) {
	defer c.Close()
	f, err := c.Conn.(*net.TCPConn).File()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	return fd, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
}

// enter begins a phase; what was measured in one before is forgotten.
func (p *probes) enter(phase int) {
	p.mu.Lock()
	p.phase = phase
	if phase != phaseNone {
		p.took[phase] = make([][]time.Duration, p.loops)
	}
	p.mu.Unlock()
}

// catchingUp is for how long after a stop of the node probes are judged apart: what the network
// held for it meanwhile, and all timers of that time, are worked off.
const catchingUp = 2 * time.Second

// slowProbe is what a probe takes of which is noted how long after a stop it was sent.
const slowProbe = 50 * time.Millisecond

// pausing notes that the node is about to be stopped. Before, because answers may come before the
// judge is to note anything.
func (p *probes) pausing() {
	const never = 1 << 20 * time.Hour
	p.mu.Lock()
	p.pauses = append(p.pauses, [2]time.Time{time.Now(), time.Now().Add(never)})
	p.mu.Unlock()
}

// goesOn notes that it is about to go on.
func (p *probes) goesOn() {
	p.mu.Lock()
	p.pauses[len(p.pauses)-1][1] = time.Now()
	p.mu.Unlock()
}

// close ends them; what is unanswered counts as long as it has waited. Again: nothing.
func (p *probes) close() {
	p.mu.Lock()
	p.end = true
	p.mu.Unlock()
	<-p.done
}

func (p *probes) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end
}

func (p *probes) run() {
	defer close(p.done)
	stepForward()
	polled := make([]unix.PollFd, len(p.all))
	for i, c := range p.all {
		polled[i] = unix.PollFd{Fd: int32(c.fd), Events: unix.POLLIN}
	}
	buf, oob := make([]byte, 16<<10), make([]byte, 256)
	for !p.ended() {
		next := p.all[0].due
		for _, c := range p.all {
			if c.due.Before(next) {
				next = c.due
			}
		}
		wait := unix.NsecToTimespec(int64(max(time.Until(next), 0)))
		n, err := unix.Ppoll(polled, &wait, nil)
		for i := range polled {
			if err == nil && n > 0 && polled[i].Revents != 0 && !p.all[i].receive(p, buf, oob) {
				polled[i].Fd = -1
			}
		}
		now := time.Now()
		p.late(now.Sub(next))
		for _, c := range p.all {
			if !c.due.After(now) {
				c.send(p)
				c.due = c.due.Add(max(probeEvery, now.Sub(c.due).Truncate(probeEvery)))
			}
		}
	}
	for _, c := range p.all {
		for _, s := range c.sent {
			p.record(c, s, time.Now())
		}
		_ = unix.Close(c.fd)
	}
}

// stepForward lets this goroutine's thread, and none that comes of it, run before all others. It
// needs little; where it may not, probes are sent less regularly. The thread ends with the
// goroutine.
func stepForward() {
	runtime.LockOSThread()
	attr := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1,
		Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}
	_ = unix.SchedSetAttr(0, &attr, 0) // As said.
}

// late notes how late the judge is.
func (p *probes) late(by time.Duration) {
	p.mu.Lock()
	if p.phase == phaseAttack {
		p.worst = max(p.worst, by)
	}
	p.mu.Unlock()
}

// heartbeat is the request of all probes.
var heartbeat = appendFrame(nil, false, "request:system.heartbeat:1.0.0:"+uuid(9, 9), "{}")

func (c *probe) send(p *probes) {
	if c.broken != nil {
		return
	}
	p.mu.Lock()
	phase := p.phase
	p.mu.Unlock()
	at := time.Now()
	if n, err := unix.Write(c.fd, heartbeat); err != nil || n < len(heartbeat) {
		c.broken = fmt.Errorf("a probe could not be sent: %w", err)
		return
	}
	c.sent = append(c.sent, stamp{at, phase, time.Since(at) > spoilt})
}

// receive takes what has come; false: the connection is lost.
func (c *probe) receive(p *probes, buf, oob []byte) bool {
	n, oobn, _, _, err := unix.Recvmsg(c.fd, buf, oob, unix.MSG_DONTWAIT)
	if err == unix.EAGAIN || err == unix.EINTR {
		return true
	}
	if err != nil || n == 0 {
		c.broken = fmt.Errorf("a probe was cut (%v)", err)
		return false
	}
	arrived := time.Now()
	if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
		for _, m := range messages {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS {
				ts := *(*unix.Timespec)(unsafe.Pointer(unsafe.SliceData(m.Data)))
				arrived = time.Unix(ts.Unix())
			}
		}
	}
	c.in = append(c.in, buf[:n]...)
	for len(c.in) >= 4 {
		size := int(binary.BigEndian.Uint32(c.in))
		if len(c.in) < 4+size {
			break
		}
		if strings.HasPrefix(string(c.in[4:4+size]), "response:system.heartbeat:") &&
			len(c.sent) > 0 {
			p.record(c, c.sent[0], arrived)
			c.sent = c.sent[1:]
		}
		c.in = c.in[4+size:]
	}
	return true
}

// record notes one answer. A probe that was under way when the node was stopped, or was sent soon
// after that, counts among those of a stop, and from when the node has gone on.
func (p *probes) record(c *probe, s stamp, arrived time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.phase == phaseNone {
		return
	}
	if s.spoil {
		p.spoilt++
		return
	}
	// Round: the monotonic clock is no use here.
	arrived, at := arrived.Round(0), s.at.Round(0)
	stopped := time.Time{}
	for _, pause := range p.pauses {
		on := pause[1].Round(0)
		stopped = on
		if at.Before(on.Add(catchingUp)) && arrived.After(pause[0].Round(0)) {
			if at.Before(on) {
				at = on
			}
			p.after[c.loop] = append(p.after[c.loop], max(arrived.Sub(at), 0))
			return
		}
	}
	took := max(arrived.Sub(at), 0)
	p.took[s.phase][c.loop] = append(p.took[s.phase][c.loop], took)
	if took > slowProbe && !stopped.IsZero() {
		p.slow = append(p.slow, at.Sub(stopped))
	}
}

// figures are the latencies of one loop in one phase.
type figures struct {
	count         int
	p50, p99, max time.Duration
}

// result returns the figures of the worst loop, each by itself; the count is the least.
func (p *probes) result(phase int) figures {
	p.mu.Lock()
	defer p.mu.Unlock()
	return worstOf(p.took[phase])
}

// resultAfter is result for the probes of stops.
func (p *probes) resultAfter() figures {
	p.mu.Lock()
	defer p.mu.Unlock()
	return worstOf(p.after)
}

func worstOf(byLoop [][]time.Duration) (worst figures) {
	worst.count = -1
	for _, took := range byLoop {
		slices.Sort(took)
		n := len(took)
		if worst.count < 0 || n < worst.count {
			worst.count = n
		}
		if n == 0 {
			continue
		}
		worst.p50 = max(worst.p50, took[n/2])
		worst.p99 = max(worst.p99, took[n-1-n/100])
		worst.max = max(worst.max, took[n-1])
	}
	return worst
}

// broken returns what befell one of them, if anything did. After close.
func (p *probes) broken() error {
	for _, c := range p.all {
		if c.broken != nil {
			return c.broken
		}
	}
	return nil
}
