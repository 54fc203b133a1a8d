package server

import (
	"log/slog"
	"strconv"

	"mbserver/codec"
	"mbserver/ringbuf"
)

// gap is what a connection was not given since it last drained. Loop only.
type gap struct {
	count        int
	since, until int64 // Unix ms of the first and the last drop
}

// offer appends a droppable frame, or drops it and takes note. It reports whether the frame was dropped.
func (c *conn) offer(f ringbuf.Frame) (dropped bool) {
	l := c.service.loop
	if c.state == stateOpen && c.gap == nil && c.out.Room(f.Size(), l.node.droppable) {
		c.out.Append(l.turn, f)
		c.mark()
		return false
	}
	if !c.makeRoom(f.Size()) {
		return c.state == stateOpen
	}
	c.out.Append(l.turn, f)
	c.mark()
	return false
}

// offerShared is offer for a message whose body is shared.
func (c *conn) offerShared(prefix ringbuf.Frame, body *ringbuf.Shared) (dropped bool) {
	l := c.service.loop
	size := prefix.Size() + len(body.B)
	if c.state != stateOpen || c.gap != nil || !c.out.Room(size, l.node.droppable) {
		if !c.makeRoom(size) {
			return c.state == stateOpen
		}
	}
	c.out.AppendShared(l.turn, prefix, body, false)
	c.mark()
	return false
}

// makeRoom decides about a droppable message for which the ring had no room at first sight: a ring that only this turn
// filled is written early; one that its peer does not drain loses the message, and so does one that has told of no end of
// its last gap yet. False means: dropped, counted and noted (or the connection is leaving).
func (c *conn) makeRoom(size int) bool {
	l := c.service.loop
	if c.state != stateOpen {
		return false
	}
	if c.gap == nil && !c.out.Stalled() {
		c.flush(false)
	}
	if c.gap != nil {
		c.tellGap()
	}
	if c.state == stateOpen && c.gap == nil && c.out.Room(size, l.node.droppable) {
		return true
	}
	c.noteLoss(1)
	return false
}

// noteLoss counts n deliveries that c did not get.
func (c *conn) noteLoss(n int) {
	if c.state != stateOpen {
		return
	}
	l := c.service.loop
	l.tally[countOutboundDropped] += uint64(n)
	if c.gap == nil {
		c.gap = &gap{since: l.time.unix}
		if !l.quiet {
			l.node.noise.log(l.log, slog.LevelWarn, "slow subscriber: messages are dropped",
				"serviceId", c.id.String(), "bytes", c.out.Bytes(), "messages", c.out.Messages())
		}
	}
	c.gap.count += n
	c.gap.until = l.time.unix
	c.mark() // the end of the turn tells of it if there is room by then
}

// tellGap ends a gap once the ring has drained to half: the notice comes before the next message. The wait for half keeps
// a subscriber that is just too slow from getting a notice between any two messages.
func (c *conn) tellGap() {
	l := c.service.loop
	if c.state != stateOpen || c.out.Bytes() > l.node.limits.Bytes/2 || c.out.Messages() > l.node.limits.Messages/2 {
		return
	}
	g := c.gap
	c.gap = nil
	b := append(l.notice[:0], "publish:system.dropped:1.0.0\n{\"count\":"...)
	b = strconv.AppendInt(b, int64(g.count), 10)
	b = append(b, `,"since":"`...)
	b = codec.AppendTimestamp(b, g.since)
	b = append(b, `","until":"`...)
	b = codec.AppendTimestamp(b, g.until)
	b = append(b, `"}`...)
	l.notice = b
	l.send(c, b, nil, true)
}
