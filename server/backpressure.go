package server

import (
	"slices"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/wheel"
)

// Back pressure (protocol §9 connection.backpressure: pause). A publish that asks for an acknowledgement waits, on the
// loop of each subscriber whose ring has no room for it, until that drains; meanwhile its publisher's socket is not read.
// The wait is bounded by connection.backpressureMax, then the overflow policy decides: two connections that wait for each
// other come free, whatever they do. A subscription that chose to lose the oldest or to conflate never makes anybody wait.

// parked is one publish that waits on one loop. Loop only.
type parked struct {
	timer wheel.Timer
	loop  *loop
	body  *ringbuf.Shared // header line and payload
	text  bool
	key   uint64
	ref   ackRef // whose acknowledgement waits for it

	original string // the publisher's request ID, only while there is an audit

	waits   []parkedTarget // one for each subscriber without room
	left    int            // those that are not settled
	dropped int
}

type parkedTarget struct {
	c    *conn
	d    delivery
	done bool
}

// hold is a paused publisher's state. Loop only.
type hold struct {
	pauses int             // publishes of its own that wait
	rest   *ringbuf.Shared // bytes that were read before the pause and are not taken yet; nil when there are none
	topic  string          // of the publish that began the pause
}

// mustWait says whether some subscriber of this loop has, perhaps, no room for a message of n bytes. Mostly all have, and
// it goes the way of any other, encoded once.
func (l *loop) mustWait(r *route, n int) bool {
	for _, own := range [...]*ownTargets{&r.tcp, &r.ws} {
		for i, c := range own.conns {
			if c.mustWait(own.deliveries[i], n) {
				return true
			}
		}
	}
	return false
}

// mustReceiveWaiting is mustWait for another loop's publish.
func (l *loop) mustReceiveWaiting(e *envelope) bool {
	for i, s := range e.targets {
		if c := l.connOf(s); c != nil && c.mustWait(e.deliveries[i], len(e.body.B)) {
			return true
		}
	}
	return false
}

func (c *conn) mustWait(d delivery, n int) bool {
	return c.state == stateOpen && (len(c.waiters) > 0 || d&deliverLossy == 0 && !c.hasRoom(n))
}

// publishWaiting is publishAcked when back pressure is on and somebody may have no room.
func (l *loop) publishWaiting(c *conn, h *codec.Header, r *route, header, payload []byte, text bool) {
	body := ringbuf.NewShared()
	body.B = append(append(body.B, header...), payload...)
	original := ""
	if l.node.audited() {
		original = string(h.RequestID)
	}
	ref := l.acks.open(&c.service, h, r.total, len(r.remote))
	p := &parked{loop: l, body: body, text: text, key: r.key, ref: ref, original: original}
	for _, own := range []*ownTargets{&r.tcp, &r.ws} {
		for i, s := range own.conns {
			l.deliverOrPark(p, s, own.deliveries[i])
		}
	}
	refused, lost := postGroups(r.remote, envelope{
		kind: envelopePublish, text: text, body: body, key: r.key, original: original,
		from: ref.from, slot: ref.slot, gen: ref.gen,
	})
	p.dropped += lost
	for range refused {
		l.acks.settle(l, ref, 0)
	}
	l.park(p)
}

// receiveWaiting is receivePublish when back pressure is on, the publisher waits for its acknowledgement and somebody may
// have no room. It takes over e's body.
func (l *loop) receiveWaiting(e *envelope) {
	p := &parked{loop: l, body: e.body, text: e.text, key: e.key, ref: ackRef{from: e.from, slot: e.slot, gen: e.gen}, original: e.original}
	for i, s := range e.targets {
		if c := l.connOf(s); c != nil {
			l.deliverOrPark(p, c, e.deliveries[i])
		}
	}
	l.park(p)
}

// deliverOrPark offers p's message to one subscriber, or notes that it has to wait for it.
func (l *loop) deliverOrPark(p *parked, c *conn, d delivery) {
	patient := d&deliverLossy == 0
	if c.state == stateOpen && (patient && (len(c.waiters) > 0 || !c.hasRoom(len(p.body.B))) || c.awaits(p.key)) {
		c.waiters = append(c.waiters, p)
		l.waits++
		p.waits = append(p.waits, parkedTarget{c: c, d: d})
		p.left++
		return
	}
	l.deliverParked(p, c, d)
}

// awaits says whether a publish with the key waits for c. Nothing of its topic may overtake it: what asks for no
// acknowledgement is lost in the meantime, because it may come from the same publisher, whom the word of its pause reaches
// only at the end of a turn.
func (c *conn) awaits(key uint64) bool {
	for _, p := range c.waiters {
		if p.key == key {
			return true
		}
	}
	return false
}

// overtakes is awaits for a message that is lost then.
func (c *conn) overtakes(key uint64) bool {
	if len(c.waiters) == 0 || c.state != stateOpen || !c.awaits(key) {
		return false
	}
	c.noteLoss(1)
	return true
}

// hasRoom says whether c's ring takes n more bytes, without any policy.
func (c *conn) hasRoom(n int) bool {
	limits := c.service.loop.node.droppable
	if c.gap == nil {
		if c.out.Room(n+maxFraming, limits) {
			return true
		}
		if !c.out.Stalled() {
			c.flush(false)
		}
	}
	return (c.gap == nil || c.gap.lost == 0) && c.out.Room(n+maxFraming, limits)
}

// maxFraming is the longest framing of a message in bytes, of any transport.
const maxFraming = 10

func (l *loop) deliverParked(p *parked, c *conn, d delivery) {
	m := outgoingOf(p.body, p.text, p.key)
	if c.offer(l.frame(c.transport, c.transport.directLog(), &m), m.body, d) {
		p.dropped++
		return
	}
	l.tally[countSent]++
	if l.node.audited() {
		l.auditSent(c, p.body.B, nil, p.original)
	}
}

// park makes p wait if it must, and pauses its publisher; else it is done.
func (l *loop) park(p *parked) {
	if p.left == 0 {
		l.unpark(p, false)
		return
	}
	p.timer.Owner = p
	l.wheel.Add(&p.timer, l.time.ms+l.node.cfg.Connection.BackpressureMax.Milliseconds())
	l.charge += bodyCharge(p.body)
	h, _, _ := codec.ParseHeader(p.body.B, l.node.timeoutMaxMs)
	if topic := string(h.Topic); p.ref.from.loop == l {
		l.pause(p.ref.from, topic)
	} else {
		from := p.ref.from
		from.loop.post(envelope{kind: envelopeCall, call: func(l *loop) { l.pause(from, topic) }})
	}
}

// unpark ends p: its part of the acknowledgement is known.
func (l *loop) unpark(p *parked, waited bool) {
	if waited {
		l.wheel.Cancel(&p.timer)
		l.charge -= bodyCharge(p.body)
	}
	p.body.Release()
	p.body = nil
	ref := p.ref
	if ref.from.loop == l {
		l.acks.settle(l, ref, p.dropped)
		if waited {
			l.unpause(ref.from)
		}
		return
	}
	ref.from.loop.post(envelope{kind: envelopeTaken, slot: ref.slot, gen: ref.gen, dropped: uint32(p.dropped)})
	if waited {
		ref.from.loop.post(envelope{kind: envelopeCall, call: func(l *loop) { l.unpause(ref.from) }})
	}
}

// settleWaiter ends the wait of p for c: the message is offered when deliver is set.
func (c *conn) settleWaiter(p *parked, deliver bool) {
	l := c.service.loop
	for i := range p.waits {
		w := &p.waits[i]
		if w.c != c || w.done {
			continue
		}
		w.done = true
		l.waits--
		if deliver {
			l.deliverParked(p, c, w.d)
		}
		if p.left--; p.left == 0 {
			l.unpark(p, true)
		}
		return
	}
}

// serveWaiters delivers what waits for c's ring, in order, for as long as there is room.
func (c *conn) serveWaiters() {
	for len(c.waiters) > 0 && c.state == stateOpen {
		p := c.waiters[0]
		if !c.hasRoom(len(p.body.B)) {
			return
		}
		c.waiters = slices.Delete(c.waiters, 0, 1)
		c.settleWaiter(p, true)
	}
	if len(c.waiters) == 0 {
		c.waiters = nil
	}
}

// dropWaiters ends every wait for c, which is leaving.
func (c *conn) dropWaiters() {
	waiters := c.waiters
	c.waiters = nil
	for _, p := range waiters {
		c.settleWaiter(p, false)
	}
}

// Expire implements wheel.Expirer: p has waited as long as it may. The policies decide.
func (p *parked) Expire(*wheel.Timer, int64) {
	p.loop.guard(nil, func() {
		for i := range p.waits {
			if c := p.waits[i].c; !p.waits[i].done {
				c.waiters = slices.DeleteFunc(c.waiters, func(q *parked) bool { return q == p })
				c.settleWaiter(p, true)
			}
		}
	})
}

// pause stops reading a publisher's socket because of one more publish of its that waits.
func (l *loop) pause(s *service, topic string) {
	c := l.connOf(s)
	if c == nil {
		return
	}
	if c.held == nil {
		c.held = &hold{topic: topic}
		c.sock.pauseReading(true)
		l.node.paused.Add(1)
		l.tally[countPaused]++
		l.sendFlow(c, "paused", topic)
	}
	c.held.pauses++
}

// unpause takes one of the reasons away; after the last one the publisher is read on, before the turn ends.
func (l *loop) unpause(s *service) {
	c := l.connOf(s)
	if c == nil || c.held == nil {
		return
	}
	if simFault && strikes(faultForgottenResume) {
		return
	}
	if c.held.pauses--; c.held.pauses == 0 {
		l.resuming = append(l.resuming, s)
	}
}

// resumePublishers takes what paused publishers sent before they were silenced, and reads on.
func (l *loop) resumePublishers() {
	for i := 0; i < len(l.resuming); i++ {
		c := l.connOf(l.resuming[i])
		if c == nil || c.held == nil || c.held.pauses > 0 {
			continue
		}
		rest := c.held.rest
		l.sendFlow(c, "resumed", c.held.topic)
		c.unhold()
		c.hear()
		if rest != nil {
			l.guard(c, func() { c.receive(rest.B) }) // it may be paused again: what is left then is copied
			rest.Release()
		}
		if c.held == nil && c.state == stateOpen {
			c.sock.pauseReading(false)
		}
		c.recharge()
	}
	clear(l.resuming)
	l.resuming = l.resuming[:0]
}

// unhold ends a pause without giving up what was read.
func (c *conn) unhold() {
	c.held = nil
	c.service.loop.node.paused.Add(-1)
}

// endHold forgets a pause: the publisher is leaving.
func (c *conn) endHold() {
	if c.held == nil {
		return
	}
	if rest := c.held.rest; rest != nil {
		rest.Release()
	}
	c.unhold()
}

// keepRest keeps bytes that a paused publisher sent before its socket was silenced.
func (c *conn) keepRest(in []byte) {
	if len(in) == 0 {
		return
	}
	if c.held.rest == nil {
		c.held.rest = ringbuf.NewShared()
	}
	c.held.rest.B = append(c.held.rest.B, in...)
	c.recharge()
}

func (l *loop) sendFlow(c *conn, state, topic string) {
	b := append(l.notice[:0], "publish:system.flow:1.0.0\n{\"state\":\""...)
	b = append(b, state...)
	b = append(b, `","topic":`...)
	b = codec.AppendJSONQuoted(b, topic)
	l.notice = append(b, '}')
	l.send(c, l.notice, nil, true)
}
