package server

import (
	"log/slog"
	"strconv"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/config"
	"mbserver/topic"
)

// delivery says how a subscription wants its messages when its connection is behind: a policy, and whether only the newest
// message of each topic matters.
type delivery uint8

const (
	deliverDrop       delivery = iota + 1 // the newest is lost
	deliverDropOldest                     // the oldest is lost
	deliverDisconnect                     // the connection is cut
	deliverLossy      delivery = 1 << 6   // the subscriber chose to lose: nobody waits for it
	deliverConflate   delivery = 1 << 7   // with any of the above

	policyMask = deliverLossy - 1
)

// overflowNames are the values of a subscription's overflow and of connection.outbound.overflow, by policy; 0 in a
// subscription's topic.Options means the node's.
var overflowNames = [...]string{deliverDrop: config.OverflowDrop, deliverDropOldest: config.OverflowDropOldest, deliverDisconnect: config.OverflowDisconnect}

// parseOverflow returns the policy of that name, or 0.
func parseOverflow(name string) delivery {
	for p := deliverDrop; p <= deliverDisconnect; p++ {
		if overflowNames[p] == name {
			return p
		}
	}
	return 0
}

// deliveryOf resolves a subscription's options.
func (n *Node) deliveryOf(o topic.Options) delivery {
	d := delivery(o.Overflow)
	if o.Conflate {
		d |= deliverConflate | deliverLossy
	}
	switch d & policyMask {
	case 0:
		d |= n.overflow
	case deliverDropOldest:
		d |= deliverLossy
	}
	return d
}

// gap is what a connection was not given and has not been told of yet. Loop only.
type gap struct {
	lost         int   // dropped; while it is not zero nothing that may be dropped is taken before the notice
	oldest       int   // dropped from the front of the backlog: told in front of it
	conflated    int   // replaced by newer ones of their topic
	since, until int64 // Unix ms of the first and the last of them
}

// gapOf returns c's gap, opened or extended to now.
func (c *conn) gapOf() *gap {
	l := c.service.loop
	if c.gap == nil {
		c.gap = &gap{since: l.time.unix}
	}
	c.gap.until = l.time.unix
	return c.gap
}

// offer appends a droppable message, or lets the policy decide. f is the whole message, or what goes before body when that
// is shared. It reports whether this message was dropped.
func (c *conn) offer(f ringbuf.Frame, body *ringbuf.Shared, d delivery) (dropped bool) {
	l := c.service.loop
	if body == nil && c.state == stateOpen && c.gap == nil && d&deliverConflate == 0 && c.out.Room(f.Size(), l.node.droppable) {
		c.out.Append(l.turn, f)
		c.mark()
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
	c.mark()
	return false
}

// makeRoom finds room for a droppable message of size bytes. A ring that only this turn filled is written early; one that
// its peer does not drain is the policy's. Without room the message is not taken: it is lost, which was counted and noted,
// or the connection is leaving anyway.
func (c *conn) makeRoom(size int, d delivery) (room, lost bool) {
	l := c.service.loop
	limits := l.node.droppable
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
			c.dropOldest(size + gapNoticeMax)
			c.tellGap(c.out.Room(size+gapNoticeMax, limits))
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
		c.cut()
	}
	return false, true
}

// dropOldest makes room for size bytes as far as what may be dropped goes.
func (c *conn) dropOldest(size int) {
	for !c.out.Room(size, c.service.loop.node.droppable) && c.out.DropOldest() {
		c.noteOldest()
	}
}

// noteLoss counts n deliveries that c did not get.
func (c *conn) noteLoss(n int) {
	if c.state != stateOpen {
		return
	}
	l := c.service.loop
	l.tally[countOutboundDropped] += uint64(n)
	c.warnSlow()
	c.gapOf().lost += n
	if simFault && strikes(faultMiscountedGap) {
		c.gap.lost++
	}
	c.mark() // the end of the turn tells of it if there is room by then
}

// noteOldest counts a message that was taken out of the front of the backlog.
func (c *conn) noteOldest() {
	l := c.service.loop
	l.tally[countOutboundDropped]++
	c.warnSlow()
	c.gapOf().oldest++
}

// noteReplaced counts the messages that newer ones of their topic have replaced since it was last asked.
func (c *conn) noteReplaced() {
	if n := c.out.Replaced(); n > 0 {
		c.service.loop.tally[countConflated] += uint64(n)
		c.gapOf().conflated += n
	}
}

func (c *conn) warnSlow() {
	if c.gap == nil || c.gap.lost+c.gap.oldest == 0 {
		c.service.loop.warn(c, "slow subscriber: messages are dropped")
	}
}

// warn writes a rate-limited line about a connection that does not keep up.
func (l *loop) warn(c *conn, message string) {
	if !l.quiet {
		l.node.noise.log(l.log, slog.LevelWarn, message,
			"serviceId", c.id.String(), "remote", c.remote.String(), "bytes", c.out.Bytes(), "messages", c.out.Messages())
	}
}

// tellGap ends a gap at the end of the ring once that has drained to half: the notice comes before the next message. The
// wait for half keeps a subscriber that is just too slow from getting a notice between any two messages. With force it
// does not wait.
func (c *conn) tellGap(force bool) {
	l := c.service.loop
	g := c.gap
	if c.state != stateOpen || g == nil || g.lost == 0 && g.conflated == 0 {
		return
	}
	if !force && (c.out.Bytes() > l.node.limits.Bytes/2 || c.out.Messages() > l.node.limits.Messages/2) {
		return
	}
	if g.lost == 0 && c.out.Stalled() {
		return // what was conflated is told when the subscriber has caught up
	}
	lost, conflated, since, until := g.lost, g.conflated, g.since, g.until
	g.lost, g.conflated = 0, 0
	if g.oldest == 0 {
		c.gap = nil
	}
	l.notice = appendGap(l.notice[:0], lost, conflated, since, until)
	l.send(c, l.notice, nil, true)
}

// tellOldest puts the notice about what the front of the backlog lost in front of what is left of it.
func (c *conn) tellOldest() {
	g := c.gap
	if g == nil || g.oldest == 0 || !c.out.Stalled() {
		return
	}
	l := c.service.loop
	if simFault && strikes(faultMisplacedNotice) {
		g.lost, g.oldest = g.lost+g.oldest, 0
		return
	}
	l.notice = appendGap(l.notice[:0], g.oldest, g.conflated, g.since, g.until)
	g.oldest, g.conflated = 0, 0
	if g.lost == 0 {
		c.gap = nil
	}
	c.out.PushFront(append(appendFraming(l.framed[:0], c.transport, true, len(l.notice)), l.notice...))
	l.tally[countSent]++
	if l.node.audited() {
		l.auditSent(c, l.notice, nil, "")
	}
}

// gapNoticeMax is more than the longest notice about a gap, framing included, in bytes.
const gapNoticeMax = 192

// appendGap writes the notice about a gap (protocol §9).
func appendGap(b []byte, count, conflated int, since, until int64) []byte {
	b = append(b, "publish:system.dropped:1.0.0\n{\"count\":"...)
	b = strconv.AppendInt(b, int64(count), 10)
	if conflated > 0 {
		b = append(b, `,"conflated":`...)
		b = strconv.AppendInt(b, int64(conflated), 10)
	}
	b = append(b, `,"since":"`...)
	b = codec.AppendTimestamp(b, since)
	b = append(b, `","until":"`...)
	b = codec.AppendTimestamp(b, until)
	return append(b, `"}`...)
}
