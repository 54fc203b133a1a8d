package door

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/server/broker"
	"mbserver/server/fair"
	"mbserver/server/reactor"
)

// gate is the door's part on one loop.
type gate struct {
	// Immutable after newGate.
	door  *Door
	loop  *broker.Loop
	room  *reactor.Reactor
	alarm *time.Timer // calls sweep at due

	// Owned by the loop.
	asking  fair.List[*visitor] // in their handshake, the oldest first
	leaving fair.List[*visitor] // hearing why they may not enter, the oldest first
	due     time.Time           // of the alarm; zero: not set
	closed  bool
}

// arrival is an accepted connection that is nobody's yet.
type arrival struct {
	fd        int
	transport broker.Transport
	remote    netip.AddrPort
}

func newGate(d *Door, l *broker.Loop, room *reactor.Reactor) *gate {
	g := &gate{door: d, loop: l, room: room}
	g.alarm = time.AfterFunc(time.Hour, func() { room.Do(g.sweep) })
	g.alarm.Stop()
	return g
}

// enter takes an arrival that has a place on this loop.
func (g *gate) enter(a arrival) {
	switch {
	case g.closed:
		g.drop(a)
	case a.transport == broker.TransportWS:
		g.receive(a, "")
	default:
		g.show(a.fd, &broker.Arrival{Transport: a.transport, Remote: a.remote})
	}
}

// show makes a connection of the node of fd.
func (g *gate) show(fd int, a *broker.Arrival) {
	if err := g.room.Open(fd, a); err != nil {
		g.door.broker.Arrivals.Failed.Add(time.Now().Unix())
		g.giveBack()
		g.door.warn("cannot open a connection", "remote", a.Remote.String(), "error", err.Error())
	}
}

// drop closes an arrival that cannot enter any more. Any goroutine.
func (g *gate) drop(a arrival) {
	_ = unix.Close(a.fd)
	if a.transport == broker.TransportWS {
		g.door.leave()
	}
	g.giveBack()
}

// giveBack returns the place of an arrival that does not become a connection.
func (g *gate) giveBack() {
	g.loop.GiveBack()
	g.door.broker.Release()
}

// wake has sweep called at a time, unless it is called before.
func (g *gate) wake(at time.Time) {
	if g.due.IsZero() || at.Before(g.due) {
		g.due = at
		g.alarm.Reset(time.Until(at))
	}
}

// sweep ends the visits whose time is over.
func (g *gate) sweep() {
	now := time.Now()
	g.due = time.Time{}
	for _, list := range []*fair.List[*visitor]{&g.asking, &g.leaving} {
		for k := list.First(); k != nil; k = list.First() {
			if v := k.Item; v.deadline.After(now) {
				g.wake(v.deadline)
				break
			} else if list == &g.asking {
				v.fail("it took too long")
			} else {
				v.end()
			}
		}
	}
}

// cut ends every handshake, for good.
func (g *gate) cut() {
	g.closed = true
	for k := g.asking.First(); k != nil; k = g.asking.First() {
		k.Item.fail("the node stops")
	}
}
