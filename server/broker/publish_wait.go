package broker

import (
	"bytes"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/fair"
	"mbserver/server/trace"
	"mbserver/server/wheel"
	"mbserver/topic"
)

// Back pressure: publishes that wait for room (protocol §9, connection.backpressure: pause).
//
// Purpose. A publisher that asks for acknowledgement is slowed to the pace of its slowest patient
// subscriber instead of losing messages. A subscription that chose to lose the oldest or to
// conflate never makes anybody wait.
//
// Outline. The publish is parked on the loop of each subscriber whose ring has no room for it
// (deliverOrPark, park); meanwhile its publisher's socket is not read (conn_pause.go). A ring that
// drains takes what waits for it, in order (serveParked); a subscriber that leaves ends the wait
// (endWaits); after connection.backpressureMax the overflow policies decide (Expire). Each of these
// goes in pieces when it is much. When the last subscriber of a loop is settled, that loop's part
// of the acknowledgement is known (unpark), and the publisher is read on.
//
// Invariants. Nothing of a topic overtakes a publish of that topic which waits for the same
// subscriber. A publish without ID cannot wait, since it would hold nobody back, and must not
// overtake: it is lost, counted and told. It may be the paused publisher's own, sent before it
// learned of its pause. Each parked publish is unparked exactly once. The wait is bounded, so two
// connections that wait for each other come free, whatever they do.
//
// Cost. While nobody has to wait: one look at each subscriber's ring for a publish with an ID
// (mayWait). A wait that begins or ends takes the same time however many there are. With several
// loops a few batches of reads may arrive before a pause takes hold; they are kept, charged to the
// memory budget.

// parkedPublish is one publish that waits on one loop. Loop only.
type parkedPublish struct {
	ackRef // whose acknowledgement waits for it

	timer wheel.Timer
	loop  *Loop
	body  *ringbuf.Shared // header line and payload
	text  bool
	key   uint64

	deflated *ringbuf.Shared // the same, compressed; nil: not yet, or it did not become smaller
	tried    bool            // to compress it
	charged  int64           // bytes that the loop is charged for both

	original string // the publisher's request ID, only while there is an audit
	mark     trace.Mark

	targets []parkedTarget // one for each subscriber without room
	left    int            // those that are not settled
	expired int            // those that were settled, or looked at, since its time was over
	dropped int
}

// parkedTarget is a subscriber for which a publish waits.
type parkedTarget struct {
	publish *parkedPublish
	link    fair.Link[*parkedTarget] // among what waits for the subscriber
	c       *Conn
	d       delivery
	done    bool
}

// parkedHere is what waits for one connection. There is something.
type parkedHere struct {
	list    fair.List[*parkedTarget]
	topics  map[uint64]int // by key: how many
	serving bool           // what its ring has room for is being delivered
}

// mayWait is the quick test before the slow path: may any subscriber here lack room for n bytes?
// Usually none does, and the publish is encoded once and fanned out as always.
func (l *Loop) mayWait(to *targets, n int) bool {
	for k := range to.own {
		own := &to.own[k]
		for i, c := range own.conns {
			if c.mayWait(own.deliveries[i], n) {
				return true
			}
		}
	}
	return false
}

// mayWaitHere is mayWait for another loop's publish.
func (l *Loop) mayWaitHere(p *parcel, it *item) bool {
	n := len(p.message(it))
	for i, s := range it.group.targets {
		if c := l.connOf(s); c != nil && c.mayWait(it.group.deliveries[i], n) {
			return true
		}
	}
	return false
}

func (c *Conn) mayWait(d delivery, n int) bool {
	return c.state == stateOpen && (c.parked != nil || d&deliverLossy == 0 && !c.hasRoom(n))
}

// publishPatiently is publishAcked when back pressure is on and somebody may have no room.
func (l *Loop) publishPatiently(
	c *Conn, h *codec.Header, r route, header, payload []byte, text bool,
) {
	body := ringbuf.NewShared(len(header) + len(payload))
	body.B = append(append(body.B, header...), payload...)
	original := ""
	if l.broker.audited() {
		original = string(h.RequestID)
	}
	ref := l.acks.open(c, h, r.total, len(r.remote)+len(r.nodes))
	if r.nodes != nil {
		l.publishAcross(r.nodes, header, payload, ref)
	}
	p := &parkedPublish{
		ackRef: ref, loop: l, body: body, text: text, key: r.key, original: original,
		mark: l.trace.mark,
	}
	for k := range r.own {
		own := &r.own[k]
		for i, s := range own.conns {
			l.deliverOrPark(p, s, own.deliveries[i])
		}
	}
	m := outgoingOf(body, text, r.key)
	m.original, m.mark = original, p.mark
	refused, lost := l.sendGroups(r.remote, &m, ref, false)
	p.dropped += lost
	for range refused {
		l.acks.settle(l, ref, 0)
	}
	l.park(p)
}

// receivePatiently is receivePublish when back pressure is on, the publisher waits for its
// acknowledgement and somebody may have no room.
func (l *Loop) receivePatiently(in *parcel, it *item) {
	body := it.body // taken over
	if body == nil {
		message := in.message(it)
		body = ringbuf.NewShared(len(message))
		body.B = append(body.B, message...)
	}
	p := &parkedPublish{
		ackRef: it.ackRef, loop: l, body: body, text: it.text, key: it.number,
		original: it.original(), mark: it.mark(),
	}
	for i, s := range it.group.targets {
		if c := l.connOf(s); c != nil {
			l.deliverOrPark(p, c, it.group.deliveries[i])
		}
	}
	l.park(p)
}

// deliverOrPark offers p's message to one subscriber, or notes that it has to wait for it.
func (l *Loop) deliverOrPark(p *parkedPublish, c *Conn, d delivery) {
	patient := d&deliverLossy == 0
	if p.mark != 0 {
		l.noteMatched(p.mark, c, topic.Publish, publishTopic(p.body.B))
	}
	if c.state == stateOpen &&
		(patient && (c.parked != nil || !c.hasRoom(len(p.body.B))) || c.awaits(p.key)) {
		p.targets = append(p.targets, parkedTarget{publish: p, c: c, d: d})
		if p.mark != 0 {
			l.note(p.mark, trace.Queued, &c.service, "paused")
		}
		return
	}
	l.deliverParked(p, c, d)
}

// awaits: a publish with this key (topic) waits for c. No later message of the topic may be
// delivered before it.
func (c *Conn) awaits(key uint64) bool { return c.parked != nil && c.parked.topics[key] > 0 }

// dropIfOvertaking loses a message that would overtake a waiting publish of its topic, and counts
// it. Only messages without acknowledgement come here; they may be the paused publisher's own,
// which learns of its pause at the end of the turn.
func (c *Conn) dropIfOvertaking(key uint64) bool {
	if c.parked == nil || c.state != stateOpen || !c.awaits(key) {
		return false
	}
	c.noteLoss(1)
	return true
}

// hasRoom says whether c's ring takes n more bytes, without any policy.
func (c *Conn) hasRoom(n int) bool {
	limits := c.loop.broker.droppable
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

func (l *Loop) deliverParked(p *parkedPublish, c *Conn, d delivery) {
	m := outgoingOf(p.body, p.text, p.key)
	m.audit, m.original, m.mark = l.broker.audited(), p.original, p.mark
	m.shown = m.audit || m.mark != 0
	var f ringbuf.Frame
	var body *ringbuf.Shared
	in := c.form.directFrames()
	if b := p.compressed(c.form, &m); b != nil {
		f = l.encodeDeflate(in, &m, b.B, ringbuf.Droppable)
	} else {
		f, body = l.encode(c.form.plain(), in, &m, ringbuf.Droppable)
	}
	if c.offer(f, body, d) {
		if p.dropped++; m.mark != 0 {
			l.noteLost(m.mark, c, d)
		}
		return
	}
	l.sent(c, &m)
}

// compressed returns p's message, which is m, compressed for those who take that form, once for all
// of them; nil: they get it as it is.
func (p *parkedPublish) compressed(form wireForm, m *outgoing) *ringbuf.Shared {
	if form != formDeflate {
		return nil
	}
	if p.tried {
		return p.deflated
	}
	p.tried = true
	if b := p.loop.deflated(m); b != nil {
		p.deflated = ringbuf.NewShared(len(b))
		p.deflated.B = append(p.deflated.B, b...)
		if p.charged != 0 {
			p.recharge(p.holds())
		}
	}
	return p.deflated
}

// holds is what p's bodies hold, in bytes.
func (p *parkedPublish) holds() int64 {
	n := bodyCharge(p.body)
	if p.deflated != nil {
		n += bodyCharge(p.deflated)
	}
	return n
}

// recharge charges the loop for so many bytes.
func (p *parkedPublish) recharge(bytes int64) {
	p.loop.charge += bytes - p.charged
	p.charged = bytes
}

// park makes p wait if it must, and pauses its publisher; else it is done.
func (l *Loop) park(p *parkedPublish) {
	if len(p.targets) == 0 {
		l.unpark(p, false)
		return
	}
	for i := range p.targets {
		p.targets[i].begin()
	}
	p.timer.Owner = p
	l.wheel.Add(&p.timer, l.time.Ms+l.broker.backpressureMax)
	p.recharge(p.holds())
	name, _, _ := bytes.Cut(p.body.B[len("publish:"):], []byte{':'})
	from, about := p.from, string(name)
	if from.loop == l {
		l.pause(from, about)
	} else {
		l.sendCall(from.loop, func(l *Loop) { l.pause(from, about) })
	}
}

// unpark ends p: its part of the acknowledgement is known.
func (l *Loop) unpark(p *parkedPublish, waited bool) {
	if waited {
		l.wheel.Cancel(&p.timer)
		p.recharge(0)
	}
	p.body.Release()
	p.body = nil
	if p.deflated != nil {
		p.deflated.Release()
		p.deflated = nil
	}
	from := p.from
	if from.loop == l {
		l.acks.settle(l, p.ackRef, p.dropped)
		if waited {
			l.unpause(from)
		}
		return
	}
	l.sendTaken(p.ackRef, p.dropped)
	if waited {
		l.sendCall(from.loop, func(l *Loop) { l.unpause(from) })
	}
}

// begin has the publish wait for w, which has its place in memory now.
func (w *parkedTarget) begin() {
	c := w.c
	if c.parked == nil {
		c.parked = &parkedHere{topics: make(map[uint64]int)}
	}
	w.link.Item = w
	c.parked.list.Push(&w.link)
	c.parked.topics[w.publish.key]++
	c.loop.parkedCount++
	w.publish.left++
}

// settle ends the wait of the publish for w: the message is offered when deliver is set.
func (w *parkedTarget) settle(deliver bool) {
	c, p := w.c, w.publish
	l, here := c.loop, c.parked
	w.done = true
	here.list.Remove(&w.link)
	if here.topics[p.key]--; here.topics[p.key] == 0 {
		delete(here.topics, p.key)
	}
	if here.list.First() == nil {
		c.parked = nil
	}
	l.parkedCount--
	if deliver {
		l.deliverParked(p, c, w.d)
	}
	if p.left--; p.left == 0 {
		l.unpark(p, true)
	}
}

// firstParked is what has waited longest for c, or nil.
func (c *Conn) firstParked() *parkedTarget {
	if c.parked == nil {
		return nil
	}
	return c.parked.list.First().Item
}

// serveParked delivers what waits for c's ring, in order, for as long as there is room.
func (c *Conn) serveParked() {
	if c.parked != nil && !c.parked.serving {
		c.parked.serving = true
		c.loop.inPieces(c.serveSome)
	}
}

// serveSome is a part of serveParked.
func (c *Conn) serveSome() (done bool) {
	for w := c.firstParked(); w != nil; w = c.firstParked() {
		if c.state != stateOpen || !c.hasRoom(len(w.publish.body.B)) {
			c.parked.serving = false
			break
		}
		if !c.loop.mayEnd() {
			return false
		}
		w.settle(true)
	}
	return true
}

// Expire implements wheel.Expirer: p has waited as long as it may. The policies decide.
func (p *parkedPublish) Expire(*wheel.Timer, int64) {
	p.loop.guard(nil, func() { p.loop.inPieces(p.endSome) })
}

// endSome is a part of that.
func (p *parkedPublish) endSome() (done bool) {
	for ; p.expired < len(p.targets); p.expired++ {
		w := &p.targets[p.expired]
		switch {
		case w.done:
		case !p.loop.mayEnd():
			return false
		default:
			w.settle(true)
		}
	}
	return true
}
