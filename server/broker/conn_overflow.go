package broker

import (
	"mbserver/ringbuf"
	"mbserver/server/system"
	"mbserver/topic"
)

// Overflow: what becomes of a message whose subscriber is behind (protocol §9).
//
// Purpose. A slow subscriber costs the others nothing and the node no more than its ring. What it
// loses is its own choice, counted, and told where the hole is.
//
// Outline.
//
//	deliveryOf  a subscription's options, or the node's, become a delivery when the route is built
//	offer       the quick way: there is room, the frame is noted; else
//	makeRoom    a ring that only this turn filled is written early, a loss before this message is
//	            told (closeGap), the oldest give way (dropOldest): then there is room, or the
//	            message is lost and, with disconnect, the connection too
//
// Publishes may fill all of the ring but the reserve (protectedReserve), so answers and notices
// still find room; they do not come here (push).
//
// Invariants. Nothing is queued behind a loss that has not been told. Each message that is offered
// is queued or counted as lost, and what is queued is written, told or counted as lost.
//
// Cost. While there is room: a few comparisons and an append.

// delivery says how a subscription wants its messages when its connection is behind: a policy, and
// whether only the newest message of each topic matters.
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

// offer appends a droppable message, or lets the policy decide. f is the whole message, or what
// goes before body when that is shared. It reports whether this message was dropped.
func (c *Conn) offer(f ringbuf.Frame, body *ringbuf.Shared, d delivery) (dropped bool) {
	l := c.loop
	if body == nil && c.state == stateOpen && c.gap == nil && d&deliverConflate == 0 &&
		c.out.Room(f.Size(), l.broker.droppable) {
		c.out.Append(l.turn, f)
		c.queueFlush()
		return false
	}
	size, newest := f.Size(), d&deliverConflate != 0
	if body != nil {
		size += len(body.B)
	}
	if !c.makeRoom(size, d) {
		return true
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

// makeRoom finds room for a droppable message of size bytes. A ring that only this turn filled is
// written early; one that its peer does not drain is the policy's. Without room, or when the
// connection is leaving, the message is lost, which was counted and noted.
func (c *Conn) makeRoom(size int, d delivery) (room bool) {
	if c.state != stateOpen {
		c.noteLoss(1)
		return false
	}
	limits, policy := c.loop.broker.droppable, d&policyMask
	// While a loss has not been told, nothing may be queued behind it: the notice must stand where
	// the hole is.
	gapClosed := c.gap == nil || c.gap.lost == 0
	if gapClosed && c.out.Room(size, limits) {
		return true
	}
	if gapClosed && !c.out.Stalled() {
		c.flush(false) // which drops nothing, but may close c
	}
	if !gapClosed {
		gapClosed = c.closeGap(size, policy)
	}
	if c.state != stateOpen {
		c.noteLoss(1)
		return false
	}
	if gapClosed && policy == deliverDropOldest {
		c.dropOldest(size)
	}
	if gapClosed && c.out.Room(size, limits) {
		return true
	}
	// drop: this message is lost; disconnect: and so is the connection.
	c.noteLoss(1)
	if policy == deliverDisconnect && c.state == stateOpen {
		c.loop.warn(c, "slow subscriber, disconnected")
		c.goes("slow subscriber, which chose to be disconnected")
		c.abortFor("disconnect")
	}
	return false
}

// closeGap tells of the losses so far, if their notice has room, and says whether nothing is left
// to be told.
func (c *Conn) closeGap(size int, policy delivery) bool {
	if policy != deliverDropOldest {
		c.tellGap(false)
		return c.gap == nil || c.gap.lost == 0
	}
	size += system.DroppedMax // only a message that is taken needs the notice now
	c.dropOldest(size)
	c.tellGap(c.out.Room(size, c.loop.broker.droppable))
	return c.gap == nil || c.gap.lost == 0
}

// releaseRing gives up what waits for c. Nobody will be told, but it is counted, here for every way
// in which a connection ends.
func (c *Conn) releaseRing() {
	l := c.loop
	l.dropped(c.out.Release(l.turn))
	l.heed(c)
	c.recharge()
}

// dropOldest makes room for size bytes as far as what may be dropped goes.
func (c *Conn) dropOldest(size int) {
	for !c.out.Room(size, c.loop.broker.droppable) && c.out.DropOldest() {
		c.noteOldest()
	}
	c.loop.heed(c)
}
