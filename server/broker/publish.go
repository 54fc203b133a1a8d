package broker

import (
	"unicode/utf8"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/metrics"
	"mbserver/server/permit"
	"mbserver/server/trace"
	"mbserver/topic"
)

// publish routes one PUBLISH of a user topic (protocol §5). name is the canonical topic.
func (l *Loop) publish(c *Conn, h *codec.Header, name, payload []byte, text bool) {
	e := l.routes.publishes.Find(name)
	if s := c.standing; s != nil {
		m := e.Remembered()
		if !s.remembers(m, permit.Publish) && !l.permitted(c, h, permit.Publish, name, m) {
			return
		}
	}
	l.counts[metrics.Publishes]++
	r := l.routeAt(e, name)
	l.routes.publishes.Count()
	if l.broker.watched() {
		l.show(&c.service, h, name, payload, r.total)
	}
	if r.total == 0 && r.nodes == nil {
		l.unroutedPublish(c, h)
		return
	}
	header := l.freshHeader(codec.Publish, h.Topic, h.Version)
	if l.trace.mark != 0 {
		l.noteMasked(header)
	}
	if h.RequestID == nil {
		if r.nodes != nil {
			l.publishAcross(r.nodes, header, payload, ackRef{})
		}
		l.fanOut(r, header, payload, text, nil, ackRef{})
		return
	}
	l.publishAcked(c, h, r, header, payload, text)
}

// publishAcked fans out and answers the publisher: at once when all subscribers are this loop's,
// else when the last of the other loops, and other nodes, has said what it dropped.
func (l *Loop) publishAcked(c *Conn, h *codec.Header, r route, header, payload []byte, text bool) {
	if l.broker.pause && l.mayWait(r.targets, len(header)+len(payload)) {
		l.publishPatiently(c, h, r, header, payload, text || utf8.Valid(payload))
		return
	}
	if len(r.remote) == 0 && r.nodes == nil {
		dropped := l.fanOut(r, header, payload, text, h.RequestID, ackRef{})
		l.acknowledge(c, h.Topic, h.Version, h.RequestID, r.total, dropped, 0)
		return
	}
	ref := l.acks.open(c, h, r.total, len(r.remote)+len(r.nodes))
	if r.nodes != nil {
		l.publishAcross(r.nodes, header, payload, ref)
	}
	dropped := l.fanOut(r, header, payload, text, h.RequestID, ref)
	l.acks.settle(l, ref, dropped)
}

// outgoing is one message on its way to connections of this loop, and into parcels for others.
type outgoing struct {
	header, payload []byte          // the message; header holds all of it when there is a body
	body            *ringbuf.Shared // the message again when its bytes are shared, not copied
	text            bool
	key             uint64 // the route's
	audit           bool   // its deliveries are audited
	shown           bool   // they are, or what becomes of them is recorded: mark is not 0
	mark            trace.Mark
	about           string // what an audit message is about, where not all may know of it
	original        string // the request ID that a masked one replaced; only for the audit
}

// outgoingOf is the outgoing message of a whole one in a buffer, which the caller keeps a reference
// to. It is not audited.
func outgoingOf(body *ringbuf.Shared, text bool, key uint64) outgoing {
	m := outgoing{header: body.B, text: text, key: key}
	if len(body.B) >= sharedBodyMin {
		m.body = body
	}
	return m
}

// fanOut delivers one message to every target of r and returns how many of this loop's deliveries,
// and of those that other loops' inboxes refused, were dropped. original is the publisher's request
// ID, for the audit.
func (l *Loop) fanOut(
	r route, header, payload []byte, text bool, original []byte, ref ackRef,
) (dropped int) {
	var m outgoing // set field by field: the compiler would compose a literal elsewhere and copy it
	m.header, m.payload, m.text, m.key = header, payload, text, r.key
	if m.audit = l.broker.audited(); m.audit {
		m.original = string(original)
	}
	m.mark = l.trace.mark
	m.shown = m.audit || m.mark != 0
	if r.anyWS {
		m.text = text || utf8.Valid(payload)
	}
	large := len(payload) >= sharedBodyMin && r.total > 1
	if len(r.remote) == 0 && !large {
		return l.deliver(r.targets, &m)
	}
	if large {
		m.body = ringbuf.NewShared(len(header) + len(payload))
		m.body.B = append(append(m.body.B, header...), payload...)
		m.header, m.payload = m.body.B, nil
	}
	dropped = l.deliver(r.targets, &m)
	if len(r.remote) > 0 {
		refused, lost := l.sendGroups(r.remote, &m, ref, false)
		for range refused {
			l.acks.settle(l, ref, 0)
		}
		dropped += lost
	}
	if m.body != nil {
		m.body.Release()
	}
	return dropped
}

// sendGroups puts m into the parcels for the groups' loops, and returns how many inboxes refused it
// and how many deliveries that loses.
func (l *Loop) sendGroups(
	groups []remoteGroup, m *outgoing, ref ackRef, unaudited bool,
) (refused, lost int) {
	n := len(m.header) + len(m.payload)
	for i := range groups {
		g := &groups[i]
		if !l.mayFill(g.loop, n) {
			l.lose(g)
			if m.mark != 0 {
				l.noteRefused(m.mark, g)
			}
			refused++
			lost += len(g.targets)
			continue
		}
		p := l.parcelFor(g.loop)
		it := p.add(itemPublish)
		it.text, it.unaudited, it.ackRef = m.text, unaudited, ref
		it.group, it.number = g, m.key
		if m.original != "" || m.about != "" || m.mark != 0 {
			it.rare = &rare{original: m.original, about: m.about, mark: m.mark}
		}
		if m.body != nil {
			p.refer(it, m.body)
		} else {
			p.copy(it, m.header, m.payload)
		}
		l.added(g.loop, p)
	}
	return refused, lost
}

// deliver offers m to those of the targets that are this loop's.
func (l *Loop) deliver(to *targets, m *outgoing) (dropped int) {
	if len(to.own) > 0 {
		l.noteFanOut(l.time.Ns)
	}
	for i := range to.own {
		dropped += l.deliverTo(&to.own[i], m)
	}
	return dropped
}

func (l *Loop) deliverTo(to *ownTargets, m *outgoing) (dropped int) {
	f, body := l.encode(to.form, to.form.fanFrames(), m, ringbuf.Droppable)
	waits := l.parkedCount > 0
	if m.mark != 0 {
		l.noteTargets(m, to.conns)
	}
	for i, c := range to.conns {
		if waits && c.dropIfOvertaking(m.key) || c.offer(f, body, to.deliveries[i]) {
			if dropped++; m.mark != 0 {
				l.noteLost(m.mark, c, to.deliveries[i])
			}
		} else if m.shown {
			l.shown(c, m)
		}
	}
	l.sentMany(len(to.conns) - dropped)
	l.spend(len(to.conns))
	return dropped
}

// receivePublish delivers another loop's publish to this loop's targets.
func (l *Loop) receivePublish(p *parcel, it *item) {
	if it.from != nil && l.broker.pause && l.mayWaitHere(p, it) {
		l.receivePatiently(p, it)
		return
	}
	var m outgoing
	m.header, m.body, m.text, m.key = p.message(it), it.body, it.text, it.number
	m.audit, m.original = !it.unaudited && l.broker.audited(), it.original()
	m.mark = it.mark()
	m.shown = m.audit || m.mark != 0
	var frames [forms]ringbuf.Frame
	var bodies [forms]*ringbuf.Shared
	var made [forms]bool
	sent, dropped := 0, 0
	deliveries, about := it.group.deliveries, it.about()
	for i, s := range it.group.targets {
		c := l.connOf(s)
		if c == nil || about != "" && !c.mayAudit([]byte(about)) {
			continue
		}
		if m.mark != 0 {
			l.noteMatched(m.mark, c, topic.Publish, publishTopic(m.header))
		}
		form := s.form
		if !made[form] {
			made[form] = true
			frames[form], bodies[form] = l.encode(form, form.fanFrames(), &m, ringbuf.Droppable)
		}
		if l.parkedCount > 0 && c.dropIfOvertaking(m.key) ||
			c.offer(frames[form], bodies[form], deliveries[i]) {
			if dropped++; m.mark != 0 {
				l.noteLost(m.mark, c, deliveries[i])
			}
			continue
		}
		if sent++; m.shown {
			l.shown(c, &m)
		}
	}
	l.sentMany(sent)
	l.noteFanOut(p.since)
	l.spend(len(it.group.targets))
	if it.body != nil {
		it.body.Release()
	}
	switch {
	case it.from != nil:
		l.sendTaken(it.ackRef, dropped)
	case it.rare != nil && it.rare.receipt != nil:
		it.rare.receipt.settle(dropped)
	}
}

// sendTaken tells a publisher's loop how many deliveries of a publish were dropped here.
func (l *Loop) sendTaken(ref ackRef, dropped int) {
	p := l.parcelFor(ref.from.loop)
	it := p.add(itemTaken)
	it.ackRef, it.number = ref, uint64(dropped)
	l.added(ref.from.loop, p)
}
