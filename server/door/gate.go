package door

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/server/broker"
	"mbserver/server/fair"
	"mbserver/server/metrics"
	"mbserver/server/reactor"
	"mbserver/server/secure"
)

// gate is the door's part on one loop.
type gate struct {
	// Immutable after newGate.
	door  *Door
	loop  *broker.Loop
	room  *reactor.Reactor
	alarm *time.Timer // calls sweep at due

	// Any goroutine.
	visitors atomic.Int64 // here, or on their way here
	handed   handed

	// Owned by the loop.
	asking  fair.List[*visitor] // in their handshake, the oldest first
	waiting fair.List[*visitor] // who may enter when no PROXY header comes, the oldest first
	leaving fair.List[*visitor] // hearing why they may not enter, the oldest first
	inside  int                 // visitors in any of them
	shares  fair.Queue[netip.Addr, *visitor]
	due     time.Time // of the alarm; zero: not set
	closed  bool
}

// arrival is an accepted connection that is nobody's yet.
type arrival struct {
	fd        int
	transport broker.Transport
	remote    netip.AddrPort  // the client's, as far as is known
	loopback  bool            // to a listener on a loopback address
	proxy     proxyMode       // whether a PROXY header has to come yet
	session   *secure.Session // over TLS, when its handshake is done; else nil
	refusal   string          // why it may not enter, a reason of protocol §4; empty: it may
	after     time.Duration   // when it should come back; 0: that is not known
}

// asks says whether there is a handshake to wait for, or a PROXY header.
func (a *arrival) asks() bool {
	return a.transport.WebSocket() || a.transport.Secure() || a.proxy != proxyOff
}

func newGate(d *Door, l *broker.Loop, room *reactor.Reactor) *gate {
	g := &gate{door: d, loop: l, room: room}
	g.alarm = time.AfterFunc(time.Hour, func() { room.Do(g.sweep) })
	g.alarm.Stop()
	return g
}

// enter takes an arrival: as a visitor, or it has a place on this loop.
func (g *gate) enter(a arrival) {
	switch {
	case g.closed:
		g.drop(a)
	case a.asks():
		g.receive(a, "")
	default:
		g.show(a, &broker.Arrival{})
	}
}

// handed is what the accepting loop has for a gate. Any goroutine.
type handed struct {
	count atomic.Int64 // len(list)

	// Guarded by mu, which is never held across a system call.
	mu     sync.Mutex
	list   []arrival
	closed bool
}

// hand gives a gate an arrival, or says that it takes none any more.
func (g *gate) hand(a arrival) bool {
	h := &g.handed
	h.mu.Lock()
	sleeps, closed := len(h.list) == 0, h.closed
	if !closed {
		h.list = append(h.list, a)
		h.count.Store(int64(len(h.list)))
	}
	h.mu.Unlock()
	switch {
	case closed:
		return false
	case sleeps && !g.room.Nudge(): // the loop has ended
		g.dropHanded()
	}
	return true
}

// takeHanded lets in some of those that were handed over. The others follow when the loop has
// looked at its sockets.
func (g *gate) takeHanded() {
	if g.handed.count.Load() == 0 {
		return // the nudge was for something else
	}
	var some [entersMax]arrival
	h := &g.handed
	h.mu.Lock()
	n := copy(some[:], h.list)
	rest := copy(h.list, h.list[n:])
	clear(h.list[rest:])
	h.list = h.list[:rest]
	h.count.Store(int64(rest))
	h.mu.Unlock()
	if rest > 0 {
		g.room.Nudge()
	}
	for _, a := range some[:n] {
		g.admitOne(a)
	}
}

func (g *gate) admitOne(a arrival) {
	defer g.door.recovered(func() { g.drop(a) })
	g.enter(a)
}

// dropHanded turns away those that were handed over, and whoever comes later. Any goroutine.
func (g *gate) dropHanded() {
	h := &g.handed
	h.mu.Lock()
	list := h.list
	h.list, h.closed = nil, true
	h.count.Store(0)
	h.mu.Unlock()
	for _, a := range list {
		g.drop(a)
	}
}

// busy says that the gate has not taken in yet what it was handed.
func (g *gate) busy() bool { return g.handed.count.Load() >= handedMost }

// full says that some gate is busy.
func (d *Door) full() bool { return slices.ContainsFunc(d.gates, (*gate).busy) }

// show makes a connection of the node of an arrival that has a place. One that cannot be watched,
// for want of descriptors or of memory, is told so.
func (g *gate) show(a arrival, as *broker.Arrival) {
	as.Transport, as.Remote, as.Session = a.transport, a.remote, a.session
	as.Counted = g.door.countedBy(a).IsValid()
	if err := g.room.Open(a.fd, as); err != nil {
		g.door.noteFailed(failedAccept)
		g.giveBack(a)
		remote := a.remote.String()
		g.door.warn("cannot open a connection", remote+", "+err.Error(),
			"remote", remote, "error", err.Error())
		g.door.turnAway(a, "connection_limit", closeFile)
	}
}

func closeFile(fd int) { _ = unix.Close(fd) }

// drop turns away an arrival that cannot enter any more: the node is going away. Any goroutine.
func (g *gate) drop(a arrival) {
	g.door.turnAway(a, draining, closeFile)
	if a.asks() {
		g.door.leave(g)
	} else {
		g.giveBack(a)
	}
}

// giveBack returns the place of an arrival that does not become a connection.
func (g *gate) giveBack(a arrival) {
	g.loop.GiveBack()
	g.door.broker.Release(g.door.countedBy(a))
}

// makeRoom finds room for one more visitor. When the gate is full, who has been told why it may not
// enter gives way, and then the oldest of all. Never the newest: a handshake takes milliseconds,
// and one that takes longer is the least likely to end.
func (g *gate) makeRoom() {
	for g.inside >= g.door.most {
		g.yield()
	}
}

// yield ends a visit, and with it gives back a descriptor. It says whether there was one.
func (g *gate) yield() bool {
	if k := g.leaving.First(); k != nil {
		k.Item.end()
		return true
	}
	for _, list := range []*fair.List[*visitor]{&g.asking, &g.waiting} {
		if k := list.First(); k != nil {
			k.Item.giveWay()
			return true
		}
	}
	return false
}

// wake has sweep called at a time, unless it is called before.
func (g *gate) wake(at time.Time) {
	if g.due.IsZero() || at.Before(g.due) {
		g.due = at
		g.alarm.Reset(time.Until(at))
	}
}

// sweep ends the visits whose time is over, and once the node goes away all handshakes: sweepMost
// of them, the others after a look at the sockets.
func (g *gate) sweep() {
	s := sweep{gate: g, now: time.Now(), left: sweepMost}
	g.due = time.Time{}
	s.list(&g.asking, g.closed, func(v *visitor) {
		v.failure = metrics.TLSLate
		v.fail("it took too long")
	})
	s.list(&g.waiting, g.closed, (*visitor).greet)
	s.list(&g.leaving, false, (*visitor).end)
}

// sweep is one look for visits that are over.
type sweep struct {
	gate *gate
	now  time.Time
	left int // visits that it may end yet
}

// list has over called for those of a list whose time is over; away says that everybody in it is
// told that the node is going away. It takes them out.
func (s *sweep) list(list *fair.List[*visitor], away bool, over func(*visitor)) {
	for k := list.First(); k != nil; k = list.First() {
		v := k.Item
		switch {
		case !away && v.deadline.After(s.now):
			s.gate.wake(v.deadline)
			return
		case s.left == 0:
			s.gate.wake(s.now.Add(sweepRest))
			return
		case away:
			v.turnAway(draining)
		default:
			over(v)
		}
		s.left--
	}
}

// cut ends every handshake, for good: they are told that the node is going away.
func (g *gate) cut() {
	g.closed = true
	g.dropHanded()
	g.sweep()
}
