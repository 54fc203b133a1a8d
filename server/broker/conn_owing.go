package broker

import (
	"mbserver/ringbuf"
	"mbserver/server/event"
	"mbserver/server/wheel"
)

// Answers that nobody reads (protocol §9).
//
// Purpose. A client that reads is slowed by the answers it causes, never cut for them; one that
// never reads is cut, and costs no more than its ring until then.
//
// Outline. What a connection owes to itself is marked when it is sent (ringbuf.Own): errors,
// acknowledgements, system answers, pongs and answers to its own requests. When more than half of
// its ring waits of that, it is not read (settleOwed); below a quarter it is again. Meanwhile it is
// looked at from time to time (Expire): when its peer has acknowledged no byte for
// connection.stallTimeout, it is closed. What others send to it never stops it: publishes, requests
// for it as a service, notices, log and audit.
//
// Invariants. Beyond half of the ring only that is added which was on its way. Who is not read for
// this reason has a timer and waits for its socket: so it is read on, or closed.
//
// Cost. Nothing while its socket keeps up: only what a socket has refused is counted.

// owing is why a connection is not read that does not read what it owes to itself. Loop only.
type owing struct {
	conn    *Conn
	timer   wheel.Timer
	since   int64 // loop ms: when its peer last took something, as far as was seen
	unacked int   // bytes that its peer had not acknowledged, at the last look
	moved   bool  // its socket has taken bytes since
}

// stallLooks is how often a connection is looked at within connection.stallTimeout.
const stallLooks = 4

// owes says that more waits in o of what the connection owes to itself than l.
func owes(o *ringbuf.Outbound, l ringbuf.Limits) bool {
	return o.OwnBytes() > l.Bytes || o.OwnMessages() > l.Messages
}

// settleOwed stops reading c when it owes itself too much, and reads on when that has gone.
func (c *Conn) settleOwed() {
	l := c.loop
	p := c.paused
	switch {
	case p != nil && p.owing != nil:
		if owes(&c.out, l.broker.owedLow) {
			return
		}
		c.forgetOwed(p.owing)
		p.owing = nil
		if !p.stops() {
			l.resuming.push(&c.service)
		}
	case c.state != stateOpen || !owes(&c.out, l.broker.owedHigh):
	case !l.broker.canPause:
		l.warn(c, "closed, it does not read its answers, and here no socket can be left unread")
		c.goes("it does not read its answers")
		c.abort()
	default:
		o := &owing{conn: c, since: l.time.Ms, unacked: c.sock.Unacked()}
		o.timer.Owner = o
		c.silence().owing = o
		l.broker.unread.owing.Add(1)
		c.begins(event.Paused, event.Owing, "")
		l.wheel.Add(&o.timer, l.time.Ms+l.broker.stallTimeout/stallLooks)
	}
}

// forgetOwed ends the looking: c is read on, or leaving.
func (c *Conn) forgetOwed(o *owing) {
	l := c.loop
	l.wheel.Cancel(&o.timer)
	l.broker.unread.owing.Add(-1)
	c.ends(event.Paused, event.Owing)
}

// Expire implements wheel.Expirer: has the peer taken anything?
func (o *owing) Expire(_ *wheel.Timer, now int64) {
	o.conn.loop.guard(o.conn, func() { o.look(now) })
}

func (o *owing) look(now int64) {
	c := o.conn
	l := c.loop
	// What its socket took was room that acknowledged bytes had left; less that is not acknowledged
	// says that some was, though too little yet for the socket to take more.
	unacked := c.sock.Unacked()
	if o.moved || unacked < o.unacked {
		o.since = now
	}
	o.moved, o.unacked = false, unacked
	if now-o.since >= l.broker.stallTimeout {
		l.warn(c, "closed, it has acknowledged none of its answers for connection.stallTimeout")
		l.broker.unread.cut.Add(1)
		c.goes("it acknowledged none of its answers for connection.stallTimeout")
		c.abort()
		return
	}
	next := now + max(l.broker.stallTimeout/stallLooks, 1)
	l.wheel.Add(&o.timer, min(next, o.since+l.broker.stallTimeout))
}
