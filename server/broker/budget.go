package broker

import (
	"log/slog"
	"sort"
	"sync/atomic"

	"mbserver/ringbuf"
)

// The node's memory budget (protocol §9 memory.limit). What clients can make it hold is charged: stalled rings, partial
// frames, waiting requests, inboxes. The rest of the limit is for what the charge does not see: the connections
// themselves, buffers that are pooled or larger than what is in them (measured: half as much again), and what the
// collector has not come to yet.
const (
	budgetHigh = 40 // per cent of memory.limit that may be charged: beyond it the largest laggards are cut
	budgetLow  = 32 // per cent down to which they are

	recordCharge  = 40      // bytes charged per waiting message beside its own
	stalledCharge = 4 << 10 // bytes charged for having a backlog at all
	laggardMin    = 32 << 10
)

// budget is the node's budget. Any goroutine.
type budget struct {
	high, low int64 // immutable

	// Atomic.
	shed atomic.Uint64 // connections that were cut for it
}

// charged is what all loops together hold, in bytes, as of their last turns.
func (b *Broker) charged() int64 {
	total := int64(0)
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
		if c.paused != nil && c.paused.rest != nil {
			held += bodyCharge(c.paused.rest)
		}
		if c.out.Stalled() {
			held += int64(c.out.Bytes()) + int64(c.out.Messages())*recordCharge + stalledCharge
		}
	}
	l := c.loop
	l.charge += held - c.charge
	c.charge = held
	if held > l.largest.Load() {
		l.largest.Store(held)
	}
}

// settleMemory publishes the loop's charge at the end of its turn and, when the node is over its budget, has every loop cut
// its largest laggards.
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
			other.post(envelope{kind: envelopeCall, call: (*Loop).shed})
		}
	}
	l.shed()
}

// shed cuts this loop's largest laggards, largest first, until the node is back within its budget or only small ones are
// left.
func (l *Loop) shed() {
	l.shedding.Store(false)
	b := l.broker
	total := b.charged()
	if total <= b.budget.high {
		return
	}
	var laggards []*Conn
	for _, c := range l.conns {
		if c != nil && c.charge >= laggardMin {
			laggards = append(laggards, c)
		}
	}
	sort.Slice(laggards, func(i, j int) bool { return laggards[i].charge > laggards[j].charge })
	for ; len(laggards) > 0; laggards = laggards[1:] {
		c := laggards[0]
		l.largest.Store(c.charge)
		if total <= b.budget.low || c.charge < b.largest()/2 {
			break // enough, or larger ones are another loop's
		}
		total -= c.charge
		b.budget.shed.Add(1)
		b.Throttle.Log(l.log, slog.LevelWarn, "memory.limit is near: the largest laggard is cut",
			"serviceId", c.id.String(), "remote", c.remote.String(), "bytes", c.charge)
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
