package server

import (
	"context"
	"log/slog"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/wheel"
	"mbserver/topic"
)

// connState is where a connection stands between open and gone.
type connState uint8

const (
	stateOpen    connState = iota
	stateClosing           // a close was decided in this turn: nothing more is taken from it or for it
	stateLinger            // it has left the node; its last messages drain and its peer may close
	stateGone
)

// conn is one connection. All of it but the embedded service belongs to its loop.
type conn struct {
	service

	// Owned by the loop. What a delivery touches comes first and side by side: with many idle connections none of it is in
	// the processor's cache, and each line costs as much as the rest of the delivery.
	sock   socket
	gap    *gap  // what was dropped and has not been told yet
	charge int64 // bytes of the node's memory budget
	state  connState
	dirty  bool
	abort  bool // close without waiting for the peer
	full   bool // waits for its socket to take bytes; told to others as stalled
	out    ringbuf.Outbound

	dec   codec.Decoder
	timer wheel.Timer // heartbeat while open, the bound of lingering afterwards
	heard int64       // loop ms of the last message
	beat  int64       // loop ms of the last heartbeat sent, 0 = none since it was heard

	subs     []subscription
	requests requestList // outstanding requests it is the target of
	rates    serviceRates
	waiters  []*parked // publishes that wait for room in its ring, in order
	held     *hold     // it is a paused publisher
}

// subscription is one entry of a connection in the trie.
type subscription struct {
	pattern topic.Pattern
	kind    topic.Kind
	options topic.Options
}

// receive takes the bytes that arrived: it cuts messages and dispatches them. in is overwritten (unmasking) and not kept.
func (c *conn) receive(in []byte) {
	l := c.service.loop
	for c.state == stateOpen {
		if c.held != nil {
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
			l.dispatch(c, m.Data, m.Kind == codec.Text)
		case codec.Ping:
			c.hear()
			l.sendControl(c, codec.Pong, m.Data)
		case codec.Pong:
			c.hear()
		case codec.Close:
			l.closeWS(c, codec.EchoCloseCode(m.Data), "")
			return
		}
		if l.turn.Len() > turnLogMax {
			l.flush()
		}
	}
}

func (c *conn) hear() {
	l := c.service.loop
	c.heard, c.beat = l.time.ms, 0
	c.lastSeen.Store(l.time.unix)
}

// mark puts c on the loop's dirty list.
func (c *conn) mark() {
	if !c.dirty {
		c.dirty = true
		l := c.service.loop
		l.dirty = append(l.dirty, c)
	}
}

// flush writes what waits; writable says that the socket has just reported room.
func (c *conn) flush(writable bool) {
	if c.state == stateGone {
		return
	}
	l := c.service.loop
	full, err := c.out.Flush(l.turn, c.sock, writable)
	switch {
	case err != nil:
		c.out.Release(l.turn)
		c.doomNow()
	case full:
		if !c.full || writable {
			c.setFull(true)
			c.sock.awaitWritable(&c.service)
		}
	default:
		c.setFull(false)
		if c.state == stateLinger {
			c.sock.closeWrite()
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

// setFull notes whether the socket takes nothing at the moment: then c gets no requests.
func (c *conn) setFull(full bool) {
	if c.full == full {
		return
	}
	c.full = full
	c.stalled.Store(full || c.state != stateOpen)
	if !full {
		c.service.loop.node.wakeQueues()
	}
}

// resume goes on after the socket reported room.
func (c *conn) resume() {
	c.tellOldest()
	c.flush(true)
	c.serveWaiters()
}

// doom decides that c will be closed at the end of the turn, after its last messages are written. Until then nothing more
// is taken from it or for it. A fan-out that walks over c is not disturbed.
func (c *conn) doom() {
	if c.state != stateOpen {
		return
	}
	c.state = stateClosing
	c.stalled.Store(true) // no more requests, though the trie knows it until the turn's end
	l := c.service.loop
	l.closing = append(l.closing, c)
}

// doomNow is doom for a connection whose peer will not read any more: its descriptor is given back at once.
func (c *conn) doomNow() {
	switch c.state {
	case stateOpen:
		c.abort = true
		c.doom()
	case stateClosing:
		c.abort = true
	case stateLinger:
		c.abort = true
		l := c.service.loop
		l.closing = append(l.closing, c)
	}
}

// cut is doomNow for a connection that does not keep up: what waits for it is lost, and counted.
func (c *conn) cut() {
	l := c.service.loop
	l.tally[countOutboundDropped] += uint64(c.out.Messages())
	c.out.Release(l.turn)
	c.recharge()
	c.doomNow()
}

// carryOutClose runs at the end of a turn for a connection that was doomed during it.
func (c *conn) carryOutClose() {
	l := c.service.loop
	if c.state == stateGone {
		return
	}
	c.leave()
	if c.abort {
		c.sock.close()
		c.gone()
		return
	}
	c.state = stateLinger
	l.wheel.Add(&c.timer, l.time.ms+lingerTime.Milliseconds())
	c.mark()
}

// leave removes every trace of the connection but its descriptor and what it still has to read.
func (c *conn) leave() {
	if c.state == stateLinger {
		return
	}
	l := c.service.loop
	for i := range c.subs {
		s := &c.subs[i]
		if l.node.tree.Unsubscribe(s.pattern, s.kind, &c.service) {
			l.node.interestChanged(&c.service, s.pattern, s.kind, -1)
		}
	}
	c.subs = nil
	l.node.logStream.leave(&c.service)
	l.node.registry.remove(&c.service)
	l.tally[countUnregistration]++
	l.failRequestsOf(c)
	c.dropWaiters()
	c.endHold()
	c.left.Store(true)
	l.node.discardQueuedOf(&c.service)
	c.gap = nil
	c.dec.Release()
	l.wheel.Cancel(&c.timer)
	l.node.stats.disconnected.add(l.time.unix / 1000)
	if l.log.Enabled(context.Background(), slog.LevelInfo) {
		l.log.Info("disconnected", "serviceId", c.id.String(), "transport", c.transport.String(), "remote", c.remote.String())
	}
}

// peerClosed is called when the reactor reports the end of the connection. readable is false when the peer will not read
// any more either (a reset). The descriptor is closed by the caller afterwards.
func (c *conn) peerClosed(reset bool) {
	l := c.service.loop
	if c.state == stateGone {
		return
	}
	if !reset && !c.out.Empty() {
		// A peer that has only shut its sending side still gets what this turn has for it.
		c.tellOldest()
		c.tellGap(true)
		_, _ = c.out.Flush(l.turn, c.sock, true)
	}
	c.leave()
	c.gone()
}

// gone frees the slot: from here on every handle to the connection is stale.
func (c *conn) gone() {
	l := c.service.loop
	c.state = stateGone
	l.wheel.Cancel(&c.timer)
	c.out.Release(l.turn)
	c.recharge()
	l.conns[c.slot] = nil
	l.gens[c.slot]++
	l.free = append(l.free, c.slot)
	l.load.Add(-1)
	l.node.release()
}

// Expire implements wheel.Expirer: a heartbeat is due, or the peer did not close in time.
func (c *conn) Expire(_ *wheel.Timer, now int64) {
	l := c.service.loop
	l.guard(c, func() {
		if c.state == stateLinger {
			c.doomNow()
			return
		}
		c.checkHeartbeat(now)
	})
}
