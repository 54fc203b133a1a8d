package broker

import (
	"log/slog"
	"sync/atomic"

	"mbserver/ringbuf"
	"mbserver/server/event"
	"mbserver/server/trouble"
)

// The memory budget (protocol §9, memory.limit): what clients can make the node hold.
//
// Purpose. Whatever clients do, the node stays within memory.limit and lives; those who read are
// not cut for those who do not.
//
// Outline. Each connection is charged what it makes the node hold: the memory of a stalled ring,
// which is at most twice what waits in it and a little (ringbuf's Held), a partial frame, bytes
// kept while it is not read (recharge); a loop, besides, the requests and publishes that wait on
// it, and the routes that it remembers (loop_routes.go); an inbox all that waits in it; the node
// what every connection costs, what the door holds (base), and what waits between this node and
// others. A loop publishes its charge at the
// end of each turn (settleMemory). When the sum passes high and this loop's part has grown, every
// loop cuts its largest laggards (shed), and then smaller ones, until low is reached. The loop that
// has the largest anywhere cuts first. Requests that would wait are refused meanwhile (overBudget),
// newcomers above full (crowded).
//
// Who is cut: laggards.go. A connection that makes the node hold nothing beyond itself never is,
// and high and low leave the others some room (spare) whatever connections cost, and requests that
// wait: nobody is cut for what others hold.
//
// Invariants. The charge is the sum of its parts at the end of every turn (the simulation checks
// it), and zero when everybody has gone.
//
// Cost. One comparison a turn while nothing changes; a sum over the loops when the charge grew; at
// most shedTurn cuts a turn, each found at once, and of rings with shedMessages at most, but for
// one ring. The rest of the limit is for what the charge does
// not see: buffers that are pooled or larger than what is in them (measured: half as much again),
// and what the collector has not come to yet.
const (
	budgetFull  = 60 // per cent of memory.limit beyond which newcomers are refused
	budgetHigh  = 40 // per cent beyond which the largest laggards are cut
	budgetNear  = 35 // per cent from which that is spoken of as near
	budgetLow   = 32 // per cent down to which they are
	budgetSpare = 10 // per cent that laggards may hold however much the connections cost

	recordCharge     = 40      // bytes charged per waiting message beside its own
	stalledCharge    = 4 << 10 // bytes charged for having a backlog at all
	connectionCharge = 1 << 10 // bytes charged for a connection; measured: 850 to 900

	// shedTurn is how many connections a loop cuts in one turn, and shedMessages how many messages
	// may have waited for them: to release one takes some 10 ns.
	shedTurn     = 64
	shedMessages = 64 << 10
)

// budget is the node's budget. Any goroutine.
type budget struct {
	limit, full, high, near, low, spare int64 // bytes; immutable

	// Atomic.
	shed    atomic.Uint64 // connections that were cut for it
	cutting atomic.Bool   // high was passed, and low not reached since
}

func (u *budget) set(limit int64) {
	part := limit / 100
	u.limit, u.full, u.spare = limit, part*budgetFull, part*budgetSpare
	u.high, u.near, u.low = part*budgetHigh, part*budgetNear, part*budgetLow
}

// base is, in bytes, what connections cost by themselves, and what arrivals hold.
func (b *Broker) base() int64 {
	return b.connections.Load()*connectionCharge + b.Arriving.Load() + b.Sessions.Load()
}

// charged is, in bytes, what the loops hold as of their last turns, their inboxes, the snapshots
// and the cluster as of now, and base.
func (b *Broker) charged() int64 {
	total := b.base() + b.background.held.Load() + b.watches.held.Load()
	for _, l := range b.loops {
		total += l.charged.Load() + l.inbox.held.Load()
	}
	if b.cluster != nil {
		total += b.cluster.Held()
	}
	return total
}

// shedBounds are, in bytes, the charge beyond which laggards are cut and that down to which they
// are, where total is charged.
func (b *Broker) shedBounds(total int64) (high, low int64) {
	others := total
	for _, l := range b.loops {
		others -= l.lagging.Load()
	}
	u := &b.budget
	return max(u.high, others+u.spare), max(u.low, others+u.spare/budgetHigh*budgetLow)
}

// overBudget says whether no more requests may be left waiting.
func (b *Broker) overBudget() bool {
	return b.charged() > max(b.budget.high, b.base()+b.budget.spare)
}

// crowded says whether newcomers are refused.
func (b *Broker) crowded() bool { return b.charged() > b.budget.full }

// held is, in bytes, what c makes the node hold beyond what every connection costs. One that has
// been given up gives it back in this turn.
func (c *Conn) held() int64 {
	if c.state == stateGone || c.aborted {
		return 0
	}
	held := int64(c.dec.Buffered()) + int64(c.sock.Held())
	if p := c.paused; p != nil && p.request.body != nil {
		held += bodyCharge(p.request.body)
	}
	if c.out.Stalled() {
		held += int64(c.out.Held()) + stalledCharge
	}
	return held
}

// Recharge notes that c's socket holds more than before, or less. Loop only.
func (c *Conn) Recharge() {
	c.loop.begin()
	c.recharge()
}

// recharge notes what c holds now.
func (c *Conn) recharge() {
	l := c.loop
	if c.out.Stalled() {
		c.describe().show(c.out.Bytes(), c.out.Messages())
		c.noteBehind()
	} else if p := c.particulars.Load(); p != nil {
		p.show(0, 0) // what there is goes out with this turn
		c.ends(event.Behind, 0)
	}
	l.charge += l.laggards.note(c, c.held(), int64(c.out.PaidBytes()), l.time.Ms)
}

// settleMemory publishes the loop's charge at the end of its turn and, when the node is over its
// budget, has every loop cut its largest laggards.
func (l *Loop) settleMemory() {
	l.settleRoutes()
	l.settleStandings()
	if l.trace.book != nil || l.trace.charged != 0 {
		l.settleTrace()
	}
	if l.charge == l.charged.Load() && l.laggards.charge == l.lagging.Load() {
		return
	}
	grown := l.charge > l.charged.Load()
	l.publishCharge()
	b := l.broker
	if !grown {
		if b.ills.near.Load() != 0 {
			b.noteCharge(b.charged(), l.time.Ms)
		}
		return
	}
	total := b.charged()
	b.noteCharge(total, l.time.Ms)
	if high, _ := b.shedBounds(total); total <= high {
		return
	}
	for _, other := range b.loops {
		if other != l && other.laggards.largest.Load() > 0 {
			other.callShed()
		}
	}
	l.shed()
}

// publishCharge tells the other loops what this one holds.
func (l *Loop) publishCharge() {
	l.charged.Store(l.charge)
	l.lagging.Store(l.laggards.charge)
}

// relieve has every loop cut its largest laggards when the node is over its budget for what no loop
// is charged. Any goroutine.
func (b *Broker) relieve() {
	total := b.charged()
	if high, _ := b.shedBounds(total); total <= high {
		return
	}
	for _, l := range b.loops {
		if l.laggards.largest.Load() > 0 {
			l.callShed()
		}
	}
}

// callShed has the loop shed in its next turn. Any goroutine.
func (l *Loop) callShed() {
	if !l.shedding.Swap(true) {
		l.call((*Loop).shed)
	}
}

// shed cuts this loop's largest laggards, largest first, until the node is back within its budget,
// for as long as no other loop has larger ones.
func (l *Loop) shed() {
	l.shedding.Store(false)
	b := l.broker
	total := b.charged()
	high, low := b.shedBounds(total)
	if total > high {
		b.budget.cutting.Store(true)
	}
	l.laggards.promote(l.time.Ms)
	lost := 0
	for n := 0; b.budget.cutting.Load(); n++ {
		class := l.laggards.largest.Load()
		larger := b.largerThan(class)
		switch {
		case total <= low:
			b.budget.cutting.Store(false)
		case larger != nil:
			larger.callShed()
		case class == 0: // nobody here or anywhere makes it hold anything
			b.budget.cutting.Store(false)
		case n == shedTurn || lost >= shedMessages:
			l.callShed()
		default:
			c := l.laggards.first()
			lost += c.out.Messages()
			total -= l.cut(c)
			continue
		}
		break
	}
	l.publishCharge()
}

// cut cuts a laggard, and returns the bytes that it is no longer charged.
func (l *Loop) cut(c *Conn) int64 {
	freed := c.charge()
	l.broker.budget.shed.Add(1)
	l.ill(trouble.ConnectionsCut)
	c.goes("memory.limit was near, and it was the largest laggard")
	l.broker.Throttle.LogAbout(l.broker.modules.connection, slog.LevelWarn,
		"memory.limit is near, the largest laggard is cut", c.name(),
		"serviceId", c.id.String(), "remote", c.peer.String(), "bytes", freed)
	c.abortFor("memory")
	return freed
}

// largerThan returns the loop whose laggards are the largest, if they are of a higher class.
func (b *Broker) largerThan(class int32) (larger *Loop) {
	for _, l := range b.loops {
		if at := l.laggards.largest.Load(); at > class {
			class, larger = at, l
		}
	}
	return larger
}

// bodyCharge is what a buffer of its own costs.
func bodyCharge(b *ringbuf.Shared) int64 { return int64(cap(b.B)) + recordCharge }
