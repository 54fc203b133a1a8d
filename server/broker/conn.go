package broker

import (
	"log/slog"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/fair"
	"mbserver/server/limit"
	"mbserver/server/metrics"
	"mbserver/server/wheel"
)

// connState is where a connection stands between open and gone.
type connState uint8

const (
	stateOpen    connState = iota
	stateClosing           // a close was decided in this turn: it takes and gets nothing more
	stateLinger            // it has left the node; its last messages drain and its peer may close
	stateEnded             // it has left the node, its peer came first; last answers drain
	stateGone
)

// Conn is one connection. All of it but the embedded service belongs to its loop. Its size is what
// an idle connection costs: what few connections need at a time is behind a pointer.
type Conn struct {
	// Owned by the loop. What a delivery touches comes first and side by side, up to the loop in
	// service: with many idle connections none of it is in the processor's cache, and each line
	// costs as much as the rest of the delivery.
	sock       Socket
	gap        *gap     // what was dropped and has not been told yet
	lag        *laggard // what it is charged of the memory budget; nil: nothing
	state      connState
	dirty      dirt
	aborted    bool   // close without waiting for the peer
	blocked    bool   // its socket, not its ring, is full; told to others as stalled
	beats      uint16 // heartbeats sent since it was heard
	unanswered uint16 // answers it is owed (conn_ended.go)
	out        ringbuf.Outbound
	parked     *parkedHere // publishes that wait for room in its ring; nil: none do

	service

	// Owned by the loop.
	dec      codec.Decoder
	timer    wheel.Timer // heartbeat while open, the bound of lingering afterwards
	heard    int64       // the loop's listened ms of the last bytes, or of the end (linger)
	subs     *subscriptions
	requests fair.List[*entry] // outstanding requests it is the target of
	own      *limit.Own        // its buckets of the rate limits; nil when there are none
	paused   *pauseState       // it is not read
	standing *standing         // who it is; nil: the node asks nobody
}

// Receive takes bytes that have arrived: now, or what is more than their share of the loop's time
// in a later turn. in is overwritten and not kept. Loop only.
func (c *Conn) Receive(in []byte) {
	l := c.loop
	l.begin()
	if len(in) > 0 {
		c.hear()
		l.counts[metrics.BytesRead] += uint64(len(in))
		c.receivedBytes.Add(uint64(len(in)))
		if s := c.standing; s != nil && s.demanded {
			l.guard(c, func() { s.countUnknown(len(in)) })
		}
	}
	if c.paused == nil {
		if least, most := l.shareNow(); most > 0 {
			l.guard(c, func() { in = c.receive(in, least, most) })
		}
	}
	if len(in) > 0 && c.state == stateOpen {
		c.keepRest(in)
	}
	if c.lag != nil || c.dec.Buffered() != 0 {
		c.recharge()
	}
	if l.drain.on {
		c.reconsider()
	}
}

// Wrote counts bytes that c's socket took. Loop only.
func (c *Conn) Wrote(n int) { c.loop.counts[metrics.BytesWritten] += uint64(n) }

// Reads says whether what c's peer sends is to be read. Loop only.
func (c *Conn) Reads() bool { return c.paused == nil }

// receive cuts messages out of the bytes that arrived and dispatches them, until c is paused, or
// they took most units of work, or the quantum is spent and they took least. It returns what is
// left over.
func (c *Conn) receive(in []byte, least, most int) (rest []byte) {
	l := c.loop
	before := l.counts[metrics.Messages]
	rest = c.cut(in, least, most)
	if n := l.counts[metrics.Messages] - before; n > 0 {
		c.received.Add(n)
	}
	return rest
}

// cut is receive without the count of c's messages.
func (c *Conn) cut(in []byte, least, most int) (rest []byte) {
	l := c.loop
	from, messages := l.units, 0
	for c.state == stateOpen && (c.paused == nil || !c.paused.stops()) {
		m, next, err := c.dec.Next(in)
		if err != nil {
			l.framingLost(c, err)
			return nil
		}
		in = next
		if m.Kind == codec.None {
			return nil
		}
		c.receiveMessage(&m)
		if messages++; l.crowded != nil {
			l.hold(c, messages)
		}
		l.spend(messageWork)
		if l.framesFull() {
			l.fill()
		}
		done := l.units - from
		if len(in) > 0 && done >= least && (done >= most || l.spent) {
			break
		}
	}
	return in
}

// receiveMessage takes one message.
func (c *Conn) receiveMessage(m *codec.Message) {
	l := c.loop
	switch m.Kind {
	case codec.Binary, codec.Text:
		l.crowded = nil // whatever filled an inbox before, it was not this message
		l.dispatch(c, m.Data, m.Kind == codec.Text)
		l.trace.mark = 0 // it is not in hand any more
	case codec.Compressed:
		c.inflate()
	case codec.Ping:
		l.sendControl(c, codec.Pong, m.Data)
	case codec.Close:
		l.closeWS(c, codec.EchoCloseCode(m.Data), "")
	}
}

// hear notes a sign of life: bytes of an unfinished message are one too. It gives nobody more time
// who is to end.
func (c *Conn) hear() {
	l := c.loop
	if c.state == stateOpen {
		c.heard, c.beats = l.listened(), 0
	}
	c.lastSeen.Store(l.time.Unix)
}

// dirt is what a connection has to write, and so how soon.
type dirt uint8

const (
	clean        dirt = iota
	dirtyAnswers      // answers of its own: at the end of the turn
	dirtyPrompt       // a request, too, which has a deadline: then, with all that is before it
	dirtyAll          // what was fanned out, too: when the loop writes all
)

// queueFlush puts c on the loop's list of those to write.
func (c *Conn) queueFlush() {
	switch {
	case c.out.Stalled():
		c.queuePrompt() // which writes nothing, and charges it
	case c.dirty < dirtyPrompt:
		c.dirty = dirtyAll
		l := c.loop
		l.dirty = append(l.dirty, c)
	}
}

// queueAnswer is queueFlush for what only c gets.
func (c *Conn) queueAnswer() {
	if c.dirty == clean {
		c.dirty = dirtyAnswers
		l := c.loop
		l.prompt = append(l.prompt, c)
	}
}

// queuePrompt is queueFlush for what does not wait for more.
func (c *Conn) queuePrompt() {
	if c.dirty != dirtyPrompt {
		c.dirty = dirtyPrompt
		l := c.loop
		l.prompt = append(l.prompt, c)
	}
}

// flush writes what waits; writable says that the socket has just reported room.
func (c *Conn) flush(writable bool) {
	if c.state == stateGone {
		return
	}
	l := c.loop
	messages, bytes := c.beginWrite()
	full, err := c.out.Flush(l.turn, l.pieceOf(c), writable)
	c.endWrite(messages, bytes)
	l.heed(c)
	switch {
	case err != nil:
		c.goes("writing to it failed: " + err.Error())
		c.abort()
	case full:
		if !c.blocked || writable {
			c.setBlocked(true)
			c.awaitWritable()
		}
	default:
		c.setBlocked(false)
		switch {
		case c.state == stateLinger:
			c.sock.CloseWrite()
		case c.state == stateEnded && c.unanswered == 0:
			c.abort()
		}
	}
	if err == nil {
		c.noteReplaced()
		c.tellGap(false)
		if full || c.paused != nil {
			c.settleOwed()
		}
	}
	if full || c.lag != nil {
		c.recharge()
	}
	if l.drain.on {
		c.reconsider()
	}
}

// awaitWritable asks for word of room. Without it the connection would stand for ever: it is given
// up.
func (c *Conn) awaitWritable() {
	if err := c.sock.AwaitWritable(); err != nil {
		l := c.loop
		l.broker.Throttle.LogAbout(l.broker.modules.connection, slog.LevelError,
			"cannot watch a stalled socket", c.name(),
			"serviceId", c.id.String(), "error", err.Error())
		c.goes("its socket cannot be watched")
		c.abort()
	}
}

// setBlocked notes whether the socket, not the ring, takes nothing at the moment: then c gets no
// requests.
func (c *Conn) setBlocked(blocked bool) {
	if c.blocked == blocked {
		return
	}
	c.blocked = blocked
	c.loop.countLevel(metrics.Slow, blocked)
	c.settleStalled()
	if !blocked {
		c.loop.offer(&c.service)
	}
}

// settleStalled notes whether c is given no requests: while its socket takes nothing, while it is
// muted, and once its close was decided.
func (c *Conn) settleStalled() {
	c.mark(markStalled, c.blocked || c.muted() || c.state != stateOpen)
	c.loop.loadChanged(&c.service)
}

// resume goes on after the socket reported room. That its peer takes bytes is a sign of life, too:
// what asks it for one may stand behind a long answer.
func (c *Conn) resume() {
	c.hear()
	if p := c.paused; p != nil && p.owing != nil {
		p.owing.moved = true
	}
	c.tellOldest()
	c.flush(true)
	c.serveParked()
}

// Expire implements wheel.Expirer: a heartbeat is due, or the peer did not close in time.
func (c *Conn) Expire(*wheel.Timer, int64) {
	l := c.loop
	l.guard(c, func() {
		if c.state == stateOpen {
			c.checkHeartbeat()
		} else if c.state != stateClosing { // that has the end of the turn
			c.lingered()
		}
	})
}
