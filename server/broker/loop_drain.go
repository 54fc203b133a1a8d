package broker

import (
	"math"
	"sync/atomic"
	"time"

	"mbserver/server/system"
	"mbserver/server/wheel"
)

// The loop's part of a drain (protocol §11): who is told to go, and when whose time comes.
//
// Purpose. A node empties without one request lost that could have been answered, and its clients
// come to other nodes spread over time.
//
// Outline.
//
//	depart    each connection is told when to go (its slot); those without subscriptions for
//	          requests first, the others in the last fifth
//	slotCame  from then on it is closed as soon as nothing of it is outstanding
//	          (conn_drain.go); one that serves requests is held until no client stands
//	          (clientsGone)
//	graceOver what it has outstanding is waited for, what it asks from then on is refused
//	cutOff    it has gone on asking for refusedTime, or the time of the drain is over: what is
//	          outstanding of it is answered that the node goes away, and it is closed
//
// Times to come stand in lines, of which each is in the order of time because all that enter one
// wait equally long; one timer serves them all. What is done at once goes in pieces (turn_ends.go).
//
// Invariants. A connection that was told is in one line at the most, and in none once it is held,
// waits for what is outstanding, or has left. Marks that concern it are set by its loop only.
//
// Cost. While nobody drains: one look at a flag of the loop for each read event and each flush of a
// connection, and for each request that ends. During a drain 16 bytes for each connection.
type drainPart struct {
	loop  *Loop
	plan  *plan // of the drain that is on; nil: none is
	on    bool  // there has been one: somebody's slot may have come
	began int64 // loop ms: when the last one did
	grace int64 // ms, its
	next  int   // slots of conns below have been told of the plan
	timer wheel.Timer
	rings bool // some has been called for, and is not done

	clients, services int // open connections, without and with subscriptions for requests

	slots [2]line[departure] // of clients and of services
	busy  line[departure]    // past their slots, until the grace is over
	asks  line[departure]    // have asked on, until that is over
	cuts  line[departure]    // have been answered that the node goes away
	held  line[handle]       // past their slots, while clients stand
	ready line[*Conn]        // may have nothing outstanding any more

	cutting atomic.Bool // any goroutine: failCut was asked for, and has not begun
}

// departure is a moment to come for a connection.
type departure struct {
	handle
	at int64 // loop ms
}

// plan is the times of a drain, in ms from its beginning. Immutable.
type plan struct {
	lead              float64 // before the first slot
	clients, services float64 // how long their slots take, clients' first, with lead
	cut               int64
	grace             int64
}

const (
	// servingShare: connections with subscriptions for requests share the last 1/servingShare of
	// the slots' time.
	servingShare = 5

	// slotReserve is what lies between the last slot and the end of a drain's time, in ms.
	slotReserve = 5000

	// leadShare and leadMost are how long before the first slot, as a share of the slots' time and
	// in ms: a client needs some time to have another connection by then.
	leadShare = 10
	leadMost  = 500

	// refusedTime is how long a connection may go on asking that is past its grace, in ms; cutTime
	// what it then has to be given the answers that it is owed.
	refusedTime = 2000
	cutTime     = 500
)

// planOf lays the slots of a drain that has so much time: within spread and no more than rate a
// second. More connections than that take longer, up to slotReserve before the end; then more go in
// a second.
func planOf(s Schedule, clients, services int64) *plan {
	ms := func(d time.Duration) float64 { return float64(d.Milliseconds()) }
	least := func(n int64) float64 { return float64(n) * 1000 / float64(max(s.Rate, 1)) }
	lead := min(ms(s.Spread)/leadShare, leadMost)
	p := &plan{
		lead:     lead,
		clients:  max(ms(s.Spread)*(servingShare-1)/servingShare, lead+least(clients)),
		services: max(ms(s.Spread)/servingShare, least(services)),
		cut:      s.Time.Milliseconds(), grace: s.Grace.Milliseconds(),
	}
	if s.Spread <= 0 {
		p.lead, p.clients, p.services = 0, 0, 0
	}
	room := max(ms(s.Time)-slotReserve, 0)
	if all := p.clients + p.services; all > room {
		p.lead, p.clients, p.services = lead*room/all, p.clients*room/all, p.services*room/all
	}
	return p
}

// slot is when the k-th of n connections of a kind on a loop is to go, in ms from the beginning:
// the loops' slots lie between one another's.
func (p *plan) slot(serves bool, k, n, loop, loops int) int64 {
	from, length := p.lead, p.clients-p.lead
	if serves {
		from, length = p.clients, p.services
	}
	place := (float64(min(k, n-1)) + (float64(loop)+0.5)/float64(loops)) / float64(n)
	return int64(from + length*place)
}

// depart begins a drain: each connection is told its slot, in pieces.
func (l *Loop) depart(p *plan) {
	d := &l.drain
	d.forget()
	d.plan, d.on, d.next, d.began, d.grace = p, true, 0, l.time.Ms, p.grace
	began, told, most := d.began, [2]int{}, [2]int{max(d.clients, 1), max(d.services, 1)}
	l.inPieces(func() (done bool) {
		for ; d.plan == p && d.next < len(l.conns); d.next++ {
			c := l.conns[d.next]
			if c == nil || c.state != stateOpen || c.marked(markDue) {
				continue
			}
			if !l.mayEnd() {
				return false
			}
			kind := 0
			if c.serves() {
				kind = 1
			}
			at := began + p.slot(kind == 1, told[kind], most[kind], l.index, len(l.broker.loops))
			told[kind]++
			d.tell(c, kind, at, began)
		}
		if d.plan == p {
			d.next = math.MaxInt
			d.arm()
		}
		return true
	})
}

// joins tells a connection its slot that has come in while the others were told.
func (d *drainPart) joins(c *Conn) {
	if d.plan == nil || int(c.slot) >= d.next || d.loop.broker.admits() {
		return
	}
	at := max(d.loop.time.Ms, d.began+int64(d.plan.clients))
	d.tell(c, 0, at, d.began)
	d.arm()
}

// tell tells c when to go, and notes it.
func (d *drainPart) tell(c *Conn, kind int, at, began int64) {
	l := d.loop
	if !c.marked(markTold) {
		c.mark(markTold, true)
		l.broker.going.Add(1)
	}
	d.slots[kind].push(departure{handle{c.slot, c.gen}, at})
	if l.broker.echo || c.standing != nil && c.standing.demanded {
		return // it knows no notices, or may have none
	}
	now := l.time.Ms
	l.notice = system.AppendDrain(l.notice[:0], max(at-now, 0), max(began+d.plan.cut-now, 0))
	l.tell(c, l.notice)
}

// stay ends a drain: whose slot has not come may stay.
func (l *Loop) stay() {
	d := &l.drain
	d.forget()
	slot := 0
	l.inPieces(func() (done bool) {
		for ; slot < len(l.conns); slot++ {
			c := l.conns[slot]
			if c == nil || !c.marked(markTold) || c.marked(markDue) && !c.marked(markHeld) {
				continue
			}
			if !l.mayEnd() {
				return false
			}
			c.mark(markTold|markDue|markHeld|markGrace, false)
			l.broker.going.Add(-1)
		}
		return true
	})
	d.held = line[handle]{}
}

// forget drops the slots that have not come.
func (d *drainPart) forget() {
	d.plan, d.slots = nil, [2]line[departure]{}
}

// arm sets the timer to the next time that comes.
func (d *drainPart) arm() {
	if d.rings {
		return
	}
	next := int64(math.MaxInt64)
	for _, q := range d.lines() {
		if q.len() > 0 {
			next = min(next, q.first().at)
		}
	}
	if next != math.MaxInt64 {
		d.timer.Owner = d
		d.loop.wheel.Add(&d.timer, next)
	}
}

// lines are those of times to come.
func (d *drainPart) lines() [5]*line[departure] {
	return [...]*line[departure]{&d.cuts, &d.asks, &d.busy, &d.slots[0], &d.slots[1]}
}

// Expire implements wheel.Expirer: somebody's time has come.
func (d *drainPart) Expire(*wheel.Timer, int64) {
	d.rings = true
	d.loop.inPieces(d.some)
}

// some does what the time has come for, a part in each turn.
func (d *drainPart) some() (done bool) {
	l := d.loop
	for i, q := range d.lines() {
		for q.len() > 0 && q.first().at <= l.time.Ms {
			if !l.mayEnd() {
				return false
			}
			if c := l.at(q.pop().handle); c != nil && c.state == stateOpen {
				l.guard(c, func() { c.timeCame(i) })
			}
		}
	}
	d.rings = false
	d.arm()
	return true
}

// timeCame does what the time has come for on that line: of drainPart.lines.
func (c *Conn) timeCame(line int) {
	switch {
	case line > 2:
		c.slotCame()
	case !c.marked(markDue): // the drain was cancelled
	case line == 2:
		c.graceOver()
	case line == 1:
		c.cutOff()
	default:
		c.bye()
	}
}

// wait puts c on a line, for so many ms.
func (d *drainPart) wait(q *line[departure], c *Conn, ms int64) {
	q.push(departure{handle{c.slot, c.gen}, d.loop.time.Ms + ms})
	d.arm()
}

// at returns the connection with that handle, or nil.
func (l *Loop) at(h handle) *Conn {
	if c := l.conns[h.slot]; c != nil && c.gen == h.gen {
		return c
	}
	return nil
}

// count notes that an open connection comes, goes, or begins or ends to serve requests. The last
// client that goes lets those go that served it.
func (d *drainPart) count(serves bool, by int) {
	if serves {
		d.services += by
		d.loop.broker.serving.Add(int64(by))
		return
	}
	d.clients += by
	b := d.loop.broker
	if b.clients.Add(int64(by)) == 0 && b.departing.Load() {
		for _, l := range b.loops {
			l.call((*Loop).clientsGone)
		}
	}
}

// clientsGone lets those go that were held while clients stood.
func (l *Loop) clientsGone() {
	l.inPieces(func() (done bool) {
		for d := &l.drain; d.held.len() > 0 && l.broker.clients.Load() == 0; {
			if !l.mayEnd() {
				return false
			}
			if c := l.at(d.held.pop()); c != nil && c.marked(markHeld) {
				c.settleDeparture()
			}
		}
		return true
	})
}

// lookAtHeld lets those go that were held and whose services others give, too, now.
func (l *Loop) lookAtHeld() {
	left := l.drain.held.len()
	l.inPieces(func() (done bool) {
		for d := &l.drain; left > 0 && d.held.len() > 0; left-- {
			if !l.mayEnd() {
				return false
			}
			if c := l.at(d.held.pop()); c != nil && c.marked(markHeld) {
				if c.settleDeparture(); c.marked(markHeld) {
					d.held.push(handle{c.slot, c.gen})
				}
			}
		}
		return true
	})
}

// departSome closes those that have nothing outstanding any more, as many as the turn may.
func (l *Loop) departSome() {
	for d := &l.drain; l.departsMore(); {
		l.ends.departs++
		c := d.ready.pop()
		if c.mark(markReady, false); c.marked(markDue) {
			l.guard(c, c.settleDeparture)
		}
	}
}

// departsMore says that this turn looks at more of them.
func (l *Loop) departsMore() bool {
	return l.drain.ready.len() > 0 && l.mayTake(l.ends.departs)
}

// failCut answers what is outstanding, on this loop, of those who are cut off, as requesters or as
// services, and from here on what comes from other loops of them.
func (l *Loop) failCut() {
	l.parting = max(l.parting, partSome)
	l.inPieces(func() bool {
		l.drain.cutting.Store(false) // who is cut off from here on may be passed by
		return true
	})
	l.failWhere(func(e *entry) bool {
		return e.origin == nil && e.requester.marked(markCut) ||
			e.target != nil && e.target.marked(markCut)
	})
}
