package broker

import (
	"mbserver/ringbuf"
	"mbserver/server/system"
	"mbserver/topic"
)

// delivery says how a subscription wants its messages when its connection is behind: a policy, and whether only the newest
// message of each topic matters.
type delivery uint8

const (
	deliverDrop                = delivery(system.OverflowDrop)
	deliverDropOldest          = delivery(system.OverflowDropOldest)
	deliverDisconnect          = delivery(system.OverflowDisconnect)
	deliverLossy      delivery = 1 << 6 // the subscriber chose to lose: nobody waits for it
	deliverConflate   delivery = 1 << 7 // with any of the above

	policyMask = deliverLossy - 1
)

// deliveryOf resolves a subscription's options.
func (b *Broker) deliveryOf(o topic.Options) delivery {
	d := delivery(o.Overflow)
	if o.Conflate {
		d |= deliverConflate | deliverLossy
	}
	switch d & policyMask {
	case 0:
		d |= b.overflow
	case deliverDropOldest:
		d |= deliverLossy
	}
	return d
}

// offer appends a droppable message, or lets the policy decide. f is the whole message, or what goes before body when that
// is shared. It reports whether this message was dropped.
func (c *Conn) offer(f ringbuf.Frame, body *ringbuf.Shared, d delivery) (dropped bool) {
	l := c.loop
	if body == nil && c.state == stateOpen && c.gap == nil && d&deliverConflate == 0 && c.out.Room(f.Size(), l.broker.droppable) {
		c.out.Append(l.turn, f)
		c.queueFlush()
		return false
	}
	size, newest := f.Size(), d&deliverConflate != 0
	if body != nil {
		size += len(body.B)
	}
	if room, lost := c.makeRoom(size, d); !room {
		return lost
	}
	switch {
	case body != nil:
		c.out.AppendShared(l.turn, f, body, newest)
	case newest:
		c.out.AppendNewest(l.turn, f)
	default:
		c.out.Append(l.turn, f)
	}
	c.noteReplaced()
	c.queueFlush()
	return false
}

// makeRoom finds room for a droppable message of size bytes. A ring that only this turn filled is written early; one that
// its peer does not drain is the policy's. Without room the message is not taken: it is lost, which was counted and noted,
// or the connection is leaving anyway.
func (c *Conn) makeRoom(size int, d delivery) (room, lost bool) {
	l := c.loop
	limits := l.broker.droppable
	if c.state != stateOpen {
		return false, false
	}
	told := c.gap == nil || c.gap.lost == 0
	if told && c.out.Room(size, limits) {
		return true, false
	}
	if told && !c.out.Stalled() {
		c.flush(false)
	}
	policy := d & policyMask
	if !told {
		if policy == deliverDropOldest { // only a message that is taken needs the notice now
			c.dropOldest(size + system.DroppedMax)
			c.tellGap(c.out.Room(size+system.DroppedMax, limits))
		} else {
			c.tellGap(false)
		}
		told = c.gap == nil || c.gap.lost == 0
	}
	if c.state != stateOpen {
		return false, false
	}
	if told && policy == deliverDropOldest {
		c.dropOldest(size)
	}
	if told && c.out.Room(size, limits) {
		return true, false
	}
	c.noteLoss(1)
	if policy == deliverDisconnect && c.state == stateOpen {
		l.warn(c, "slow subscriber: disconnected")
		c.abortSlow()
	}
	return false, true
}

// dropOldest makes room for size bytes as far as what may be dropped goes.
func (c *Conn) dropOldest(size int) {
	for !c.out.Room(size, c.loop.broker.droppable) && c.out.DropOldest() {
		c.noteOldest()
	}
}
