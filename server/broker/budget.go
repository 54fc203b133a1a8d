package broker

import (
	"log/slog"
	"sort"
	"sync/atomic"

	"mbserver/ringbuf"
)

// The memory budget (protocol §9, memory.limit): what clients can make the node hold.
//
// Purpose. Whatever clients do, the node stays within memory.limit and lives; those who read are
// not cut for those who do not.
//
// Outline. Each connection is charged what it makes the node hold: the memory of a stalled ring,
// which is at most twice what waits in it and a little (ringbuf's Held), a partial frame, bytes
// kept while it is paused (recharge); a loop, besides, the requests and publishes that wait on it;
// an inbox all that waits in it. A loop publishes its charge at the end of each turn
// (settleMemory). When the sum over all loops passes budgetHigh and this loop's part has grown,
// every loop cuts its largest laggards (shed) until budgetLow is reached. A loop spares those that
// hold less than half of the largest anywhere: that one's loop cuts first. Newcomers and requests
// that would wait are refused meanwhile (overBudget).
//
// Invariants. The charge is the sum of its parts at the end of every turn (the simulation checks
// it), and zero when everybody has gone.
//
// Cost. One comparison a turn while nothing changes; a sum over the loops when the charge grew; a
// walk over the loop's connections only when it has to cut. The rest of the limit is for what the
// charge does not see: the connections themselves, buffers that are pooled or larger than what is
// in them (measured: half as much again), and what the collector has not come to yet.
const (
	budgetHigh = 40 // per cent of memory.limit beyond which the largest laggards are cut
	budgetLow  = 32 // per cent down to which they are

	recordCharge  = 40       // bytes charged per buffer that waits beside its own
	stalledCharge = 1 << 10  // bytes charged for watching a socket that is full
	laggardMin    = 32 << 10 // bytes below which a connection is not worth cutting
)

// budget is the node's budget. Any goroutine.
type budget struct {
	high, low int64 // immutable

	// Atomic.
	shed atomic.Uint64 // connections that were cut for it
}

// charged is, in bytes, what the loops hold as of their last turns, and their inboxes and the
// snapshots as of now.
func (b *Broker) charged() int64 {
	total := b.background.held.Load()
	for _, l := range b.loops {
		total += l.charged.Load() + l.inbox.waiting.Load()
	}
	return total
}

// overBudget says whether no more may be taken in.
func (b *Broker) overBudget() bool { return b.charged() > b.budget.high }

// recharge notes what c holds now.
func (c *Conn) recharge() {
	held := int64(0)
	if c.state != stateGone {
		held = int64(c.dec.Buffered())
		if p := c.paused; p != nil && p.request.body != nil {
			held += bodyCharge(p.request.body)
		}
		if c.paused != nil && c.paused.rest != nil {
			held += bodyCharge(c.paused.rest)
		}
		if c.out.Stalled() {
			held += int64(c.out.Held()) + stalledCharge
		}
	}
	l := c.loop
	l.charge += held - c.charge
	c.charge = held
	c.noteWeight()
}

// weight is what cutting c may give back: what is charged for it, and the snapshots that it has not
// read yet, which are charged once, to the node.
func (c *Conn) weight() int64 {
	return c.charge + c.subs.charged() + int64(c.out.PaidBytes())
}

// noteWeight sees to it that the loop's largest is not less than c.
func (c *Conn) noteWeight() {
	if w := c.weight(); w > c.loop.largest.Load() {
		c.loop.largest.Store(w)
	}
}

// settleMemory publishes the loop's charge at the end of its turn and, when the node is over its
// budget, has every loop cut its largest laggards.
func (l *Loop) settleMemory() {
	if l.charge == l.charged.Load() {
		return
	}
	grown := l.charge > l.charged.Load()
	l.charged.Store(l.charge)
	b := l.broker
	if !grown || !b.overBudget() {
		return
	}
	for _, other := range b.loops {
		if other != l && other.charged.Load() > laggardMin && !other.shedding.Swap(true) {
			other.call((*Loop).shed)
		}
	}
	l.shed()
}

// relieve has every loop cut its largest laggards when the node is over its budget for what no loop
// is charged. Any goroutine.
func (b *Broker) relieve() {
	if !b.overBudget() {
		return
	}
	for _, l := range b.loops {
		if !l.shedding.Swap(true) {
			l.call((*Loop).shed)
		}
	}
}

// shed cuts this loop's largest laggards, largest first, until the node is back within its budget
// or only small ones are left.
func (l *Loop) shed() {
	l.shedding.Store(false)
	b := l.broker
	total := b.charged()
	if total <= b.budget.high {
		return
	}
	var laggards []*Conn
	for _, c := range l.conns {
		if c != nil && c.weight() >= laggardMin {
			laggards = append(laggards, c)
		}
	}
	sort.Slice(laggards, func(i, j int) bool { return laggards[i].weight() > laggards[j].weight() })
	for ; len(laggards) > 0; laggards = laggards[1:] {
		c := laggards[0]
		l.largest.Store(c.weight())
		if total <= b.budget.low {
			break // back within the budget
		}
		if c.weight() < b.largest()/2 {
			break // a loop with a laggard twice as large cuts first
		}
		total -= c.weight()
		b.budget.shed.Add(1)
		b.Throttle.Log(l.log, slog.LevelWarn, "memory.limit is near: the largest laggard is cut",
			"serviceId", c.id.String(), "remote", c.peer.String(), "bytes", c.weight())
		c.abortSlow()
	}
	if len(laggards) == 0 {
		l.largest.Store(0)
	}
	l.charged.Store(l.charge)
}

// largest is the largest charge of any connection, as far as the loops have told.
func (b *Broker) largest() (most int64) {
	for _, l := range b.loops {
		most = max(most, l.largest.Load())
	}
	return most
}

// bodyCharge is what a buffer of its own costs.
func bodyCharge(b *ringbuf.Shared) int64 { return int64(cap(b.B)) + recordCharge }
