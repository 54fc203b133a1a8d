package broker

import (
	"cmp"
	"context"
	"log/slog"

	"mbserver/codec"
	"mbserver/server/metrics"
)

// closeLater decides that c will be closed at the end of a turn, after its last messages are
// written. Until then nothing more is taken from it or for it. A fan-out that walks over c is not
// disturbed.
func (c *Conn) closeLater() {
	if c.state != stateOpen {
		return
	}
	c.state = stateClosing
	c.mark(markStalled, true) // no more requests, though the trie knows it until it is closed
	c.loop.closing.push(c)
}

// abort is closeLater for a connection whose peer will not read any more, or does not keep up: what
// waits for it is lost, and counted, and its descriptor is given back at the end of a turn, without
// lingering.
func (c *Conn) abort() {
	if c.state == stateGone {
		return
	}
	switch c.state {
	case stateOpen:
		c.closeLater()
	case stateLinger, stateEnded:
		if !c.aborted {
			c.loop.closing.push(c)
		}
	}
	c.aborted = true
	c.releaseRing()
}

// finishClose runs at the end of a turn for a connection whose close was decided.
func (c *Conn) finishClose() {
	if c.state == stateGone {
		return
	}
	c.leave()
	if c.aborted {
		c.sock.Close()
		c.free()
		return
	}
	if c.state == stateEnded {
		return // its peer came first
	}
	c.linger()
	c.state = stateLinger
	c.queueAnswer()
}

// linger gives c's peer some time to end: of that, only what the loop listens counts.
func (c *Conn) linger() {
	c.heard = c.loop.listened()
	c.loop.wheel.Add(&c.timer, c.loop.time.Ms+lingerTime.Milliseconds())
}

// lingered ends that time when it is over.
func (c *Conn) lingered() {
	l := c.loop
	if left := c.heard + lingerTime.Milliseconds() - l.listened(); left > 0 {
		l.wheel.Add(&c.timer, l.time.Ms+left)
		return
	}
	if !c.out.Empty() && l.broker.ending() {
		c.noteCut()
	}
	c.abort()
}

// leave removes every trace of the connection but its descriptor and what it still has to read.
func (c *Conn) leave() {
	if c.marked(markLeft) {
		return
	}
	l := c.loop
	c.remember()
	c.mark(markLeft, true)
	c.mark(markStalled, true) // no more requests, though the trie may know it for some turns
	l.drain.count(c.serves(), -1)
	if c.marked(markTold) {
		c.mark(markTold, false)
		l.broker.going.Add(-1)
	}
	c.endAll()
	l.broker.logStream.Leave(&c.service)
	l.broker.registry.remove(&c.service)
	l.counts[metrics.Unregistrations]++
	l.forgetAwaited(&c.service)
	if c.requests.First() != nil || c.parked != nil {
		l.inPieces(c.endWaits)
	}
	c.forgetPause()
	l.broker.discardQueuedOf(&c.service)
	if c.standing != nil {
		c.standing.depart()
	}
	c.gap = nil
	c.dec.Release()
	l.wheel.Cancel(&c.timer)
	l.broker.Arrivals.Disconnected.Add(l.time.sec())
	if log := l.broker.modules.connection; log.Enabled(context.Background(), slog.LevelInfo) {
		log.Info("disconnected: "+c.name(), "serviceId", c.id.String(),
			"transport", c.transport.String(), "remote", c.peer.String())
	}
}

// PeerClosed ends the connection, which the reactor reports. reset: the peer reads nothing more;
// otherwise it has only ended its own stream. stays says that there is something to write to it
// yet: then its socket is not read any more, and closed by Socket.Close; else the caller closes it.
// Loop only.
func (c *Conn) PeerClosed(reset bool) (stays bool) {
	l := c.loop
	l.begin()
	l.guard(nil, func() { stays = c.peerClosed(reset) })
	return stays
}

func (c *Conn) peerClosed(reset bool) (stays bool) {
	if reset {
		c.goes("its socket failed, or its peer has gone")
	} else {
		c.goes("its peer ended the stream")
	}
	if c.state == stateGone {
		return false
	}
	if l := c.loop; !c.aborted && (reset || c.owesNothing()) && l.closesLater() {
		c.abort()
		return true
	}
	c.loop.ends.closes++
	if !reset && !c.aborted && c.peerEnded() {
		return c.state != stateGone
	}
	c.leave()
	c.free()
	return false
}

// owesNothing says that nothing is to be written to a peer that has ended its stream.
func (c *Conn) owesNothing() bool {
	return c.out.Empty() && c.gap == nil && c.unanswered == 0
}

// free frees the slot: from here on every handle to the connection is stale.
func (c *Conn) free() {
	l := c.loop
	c.state = stateGone
	c.mark(markGone, true)
	l.wheel.Cancel(&c.timer)
	l.countLevel(c.transport.level(), false)
	if c.blocked {
		l.countLevel(metrics.Slow, false)
	}
	if c.form == formDeflate {
		l.deflate.Connections.Add(-1)
	}
	c.releaseRing()
	l.conns[c.slot] = nil
	l.gens[c.slot]++
	l.free = append(l.free, c.slot)
	l.load.Add(-1)
	l.broker.Release(c.countedBy())
}

// closeWS answers or starts the closing handshake; a TCP connection is only closed. What was lost
// until now is told before: the peer may still read its last messages.
func (l *Loop) closeWS(c *Conn, code uint16, reason string) {
	c.goes(cmp.Or(reason, "its peer closed it"))
	c.tellOldest()
	c.tellGap(true)
	if c.transport.WebSocket() {
		l.answer = codec.AppendClosePayload(l.answer[:0], code, reason)
		l.sendControl(c, codec.Close, l.answer)
	}
	c.closeLater()
}

// dismiss tells c why it is closed, which is the last that it gets, and closes it.
func (c *Conn) dismiss(code codec.Code, message, reason string) {
	l := c.loop
	if c.state != stateOpen {
		return
	}
	c.tellOldest()
	c.tellGap(true)
	l.header = append(l.header[:0], codec.ErrorHeader...)
	l.refuse(c, l.header, code, message, []codec.Detail{codec.TextDetail("reason", reason)})
	l.closeWS(c, codec.ClosePolicy, reason)
}
