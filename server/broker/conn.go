package broker

import (
	"log/slog"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/fair"
	"mbserver/server/limit"
	"mbserver/server/wheel"
)

// connState is where a connection stands between open and gone.
type connState uint8

const (
	stateOpen    connState = iota
	stateClosing           // a close was decided in this turn: it takes and gets nothing more
	stateLinger            // it has left the node; its last messages drain and its peer may close
	stateGone
)

// Conn is one connection. All of it but the embedded service belongs to its loop. Its size is what
// an idle connection costs: what few connections need at a time is behind a pointer.
type Conn struct {
	// Owned by the loop. What a delivery touches comes first and side by side, up to the loop in
	// service: with many idle connections none of it is in the processor's cache, and each line
	// costs as much as the rest of the delivery.
	sock       Socket
	gap        *gap  // what was dropped and has not been told yet
	charge     int64 // bytes of the node's memory budget
	state      connState
	dirty      bool
	aborted    bool   // close without waiting for the peer
	blocked    bool   // its socket, not its ring, is full; told to others as stalled
	beat       uint32 // ms from heard to the last heartbeat sent, 0 = none since then
	out        ringbuf.Outbound
	parkedHere []*parkedPublish // publishes that wait for room in its ring, in order

	service

	// Owned by the loop.
	dec      codec.Decoder
	timer    wheel.Timer // heartbeat while open, the bound of lingering afterwards
	heard    int64       // loop ms of the last message
	subs     *subscriptions
	requests fair.List[*entry] // outstanding requests it is the target of
	own      *limit.Own        // its buckets of the rate limits; nil when there are none
	paused   *pauseState       // it is a paused publisher
}

// Receive takes bytes that have arrived. in is overwritten and not kept. Loop only.
func (c *Conn) Receive(in []byte) {
	l := c.loop
	l.begin()
	l.guard(c, func() { c.receive(in) })
	if c.charge != 0 || c.dec.Buffered() != 0 {
		c.recharge()
	}
}

// receive cuts messages out of the bytes that arrived and dispatches them.
func (c *Conn) receive(in []byte) {
	l := c.loop
	for c.state == stateOpen {
		if c.paused != nil {
			c.keepRest(in)
			return
		}
		m, rest, err := c.dec.Next(in)
		if err != nil {
			l.framingLost(c, err)
			return
		}
		in = rest
		switch m.Kind {
		case codec.None:
			return
		case codec.Binary, codec.Text:
			c.hear()
			l.crowded = nil // whatever filled an inbox before, it was not this message
			l.dispatch(c, m.Data, m.Kind == codec.Text)
			if l.crowded != nil {
				l.hold(c)
			}
		case codec.Ping:
			c.hear()
			l.sendControl(c, codec.Pong, m.Data)
		case codec.Pong:
			c.hear()
		case codec.Close:
			l.closeWS(c, codec.EchoCloseCode(m.Data), "")
			return
		}
		if l.turn.Len() > turnMax {
			l.flush()
		}
	}
}

func (c *Conn) hear() {
	l := c.loop
	c.heard, c.beat = l.time.Ms, 0
	c.lastSeen.Store(l.time.Unix)
}

// queueFlush puts c on the loop's dirty list.
func (c *Conn) queueFlush() {
	if !c.dirty {
		c.dirty = true
		l := c.loop
		l.dirty = append(l.dirty, c)
	}
}

// flush writes what waits; writable says that the socket has just reported room.
func (c *Conn) flush(writable bool) {
	if c.state == stateGone {
		return
	}
	l := c.loop
	full, err := c.out.Flush(l.turn, l.pieceOf(c), writable)
	switch {
	case err != nil:
		c.releaseRing()
		c.abort()
	case full:
		if !c.blocked || writable {
			c.setBlocked(true)
			c.awaitWritable()
		}
	default:
		c.setBlocked(false)
		if c.state == stateLinger {
			c.sock.CloseWrite()
		}
	}
	if err == nil {
		c.noteReplaced()
		c.tellGap(false)
	}
	if full || c.charge != 0 {
		c.recharge()
	}
}

// awaitWritable asks for word of room. Without it the connection would stand for ever: it is given
// up.
func (c *Conn) awaitWritable() {
	if err := c.sock.AwaitWritable(); err != nil {
		l := c.loop
		l.broker.Throttle.Log(l.log, slog.LevelError, "cannot watch a stalled socket",
			"error", err.Error())
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
	c.stalled.Store(blocked || c.state != stateOpen)
	if !blocked {
		c.loop.broker.wakeQueues()
	}
}

// resume goes on after the socket reported room.
func (c *Conn) resume() {
	c.tellOldest()
	c.flush(true)
	c.serveParked()
}

// Expire implements wheel.Expirer: a heartbeat is due, or the peer did not close in time.
func (c *Conn) Expire(_ *wheel.Timer, now int64) {
	l := c.loop
	l.guard(c, func() {
		if c.state == stateLinger {
			if !c.out.Empty() {
				l.broker.noteCut()
			}
			c.abort()
			return
		}
		c.checkHeartbeat(now)
	})
}
