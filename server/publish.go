package server

import (
	"strconv"
	"unicode/utf8"

	"mbserver/codec"
	"mbserver/ringbuf"
)

// publish routes one PUBLISH of a user topic (protocol §5). name is the canonical topic.
func (l *loop) publish(c *conn, h *codec.Header, name, payload []byte, text bool) {
	l.tally[countPublish]++
	r := l.publishes.Lookup(name)
	if r.total == 0 {
		l.tally[countPublishUnrouted]++
		l.fail(c, h, codec.NoRouteFound, "nobody is subscribed to this topic", rawDetail("topic", h.Topic))
		return
	}
	header := l.headerLine(codec.Publish, h.Topic, h.Version, l.idText(l.newID()))
	if h.RequestID == nil {
		l.fanOut(r, header, payload, text, nil, ackRef{})
		return
	}
	l.publishAcked(c, h, r, header, payload, text)
}

// publishAcked fans out and answers the publisher: at once when all subscribers are this loop's, else when the last of
// the other loops has said what it dropped.
func (l *loop) publishAcked(c *conn, h *codec.Header, r *route, header, payload []byte, text bool) {
	if l.node.pause && l.mustWait(r, len(header)+len(payload)) {
		l.publishWaiting(c, h, r, header, payload, text || utf8.Valid(payload))
		return
	}
	if len(r.remote) == 0 {
		dropped := l.fanOut(r, header, payload, text, h.RequestID, ackRef{})
		l.acknowledge(c, h.Topic, h.Version, h.RequestID, r.total, dropped)
		return
	}
	ref := l.acks.open(&c.service, h, r.total, len(r.remote))
	dropped := l.fanOut(r, header, payload, text, h.RequestID, ref)
	l.acks.settle(l, ref, dropped)
}

// fanOut delivers one message to every target of r and returns how many of this loop's deliveries, and of those that
// other loops' inboxes refused, were dropped. original is the publisher's request ID, for the audit.
func (l *loop) fanOut(r *route, header, payload []byte, text bool, original []byte, ref ackRef) (dropped int) {
	before := ""
	if l.node.audited() {
		before = string(original)
	}
	if !text && (len(r.ws.conns) > 0 || len(r.remote) > 0) {
		text = utf8.Valid(payload)
	}
	var body *ringbuf.Shared
	if len(r.remote) > 0 || (len(payload) >= sharedBodyMin && r.total > 1) {
		body = ringbuf.NewShared()
		body.B = append(append(body.B, header...), payload...)
	}
	if body != nil && len(payload) >= sharedBodyMin {
		dropped += l.deliverShared(&r.tcp, transportTCP, text, body, before, r.key)
		dropped += l.deliverShared(&r.ws, transportWS, text, body, before, r.key)
	} else {
		dropped += l.deliver(&r.tcp, transportTCP, text, header, payload, before, r.key)
		dropped += l.deliver(&r.ws, transportWS, text, header, payload, before, r.key)
	}
	for i := range r.remote {
		g := &r.remote[i]
		body.Retain(1)
		e := envelope{kind: envelopePublish, text: text, body: body, targets: g.targets, deliveries: g.deliveries, key: r.key, from: ref.from, slot: ref.slot, gen: ref.gen, original: before}
		if !g.loop.postPublish(e) {
			body.Release()
			dropped += len(g.targets)
			l.acks.settle(l, ref, 0)
		}
	}
	if body != nil {
		body.Release()
	}
	return dropped
}

// deliver encodes the message once in t's wire form and offers it to them.
func (l *loop) deliver(to *ownTargets, t transport, text bool, header, payload []byte, original string, key uint64) (dropped int) {
	if len(to.conns) == 0 {
		return 0
	}
	f := l.encode(t, t.fanLog(), text, header, payload, ringbuf.Droppable, key)
	audited, pause := l.node.audited(), l.node.pause
	for i, c := range to.conns {
		if pause && c.overtakes(key) || c.offer(f, to.deliveries[i]) {
			dropped++
		} else if audited {
			l.auditSent(c, header, payload, original)
		}
	}
	l.tally[countSent] += uint64(len(to.conns) - dropped)
	return dropped
}

func (l *loop) deliverShared(to *ownTargets, t transport, text bool, body *ringbuf.Shared, original string, key uint64) (dropped int) {
	if len(to.conns) == 0 {
		return 0
	}
	f := l.encodePrefix(t, t.fanLog(), text, len(body.B), ringbuf.Droppable, key)
	audited, pause := l.node.audited(), l.node.pause
	for i, c := range to.conns {
		if pause && c.overtakes(key) || c.offerShared(f, body, to.deliveries[i]) {
			dropped++
		} else if audited {
			l.auditSent(c, body.B, nil, original)
		}
	}
	l.tally[countSent] += uint64(len(to.conns) - dropped)
	return dropped
}

// receivePublish delivers another loop's publish to this loop's targets.
func (l *loop) receivePublish(e *envelope) {
	if e.from != nil && l.node.pause && l.mustReceiveWaiting(e) {
		l.receiveWaiting(e)
		return
	}
	var frames [2]ringbuf.Frame
	var made [2]bool
	shared := len(e.body.B) >= sharedBodyMin
	dropped := uint32(0)
	for i, s := range e.targets {
		c := l.connOf(s)
		if c == nil {
			continue
		}
		t := s.transport
		if !made[t] {
			made[t] = true
			if shared {
				frames[t] = l.encodePrefix(t, t.fanLog(), e.text, len(e.body.B), ringbuf.Droppable, e.key)
			} else {
				frames[t] = l.encode(t, t.fanLog(), e.text, nil, e.body.B, ringbuf.Droppable, e.key)
			}
		}
		lost := l.node.pause && c.overtakes(e.key)
		switch {
		case lost:
		case shared:
			lost = c.offerShared(frames[t], e.body, e.deliveries[i])
		default:
			lost = c.offer(frames[t], e.deliveries[i])
		}
		if lost {
			dropped++
			continue
		}
		l.tally[countSent]++
		if !e.unaudited && l.node.audited() {
			l.auditSent(c, e.body.B, nil, e.original)
		}
	}
	e.body.Release()
	if e.from != nil {
		e.from.loop.post(envelope{kind: envelopeTaken, slot: e.slot, gen: e.gen, dropped: dropped})
	}
}

// acknowledge answers a publish that carried a request ID.
func (l *loop) acknowledge(c *conn, topic, version, id []byte, subscribers, dropped int) {
	b := append(l.answer[:0], `{"status":"success","subscribers":`...)
	b = strconv.AppendInt(b, int64(subscribers), 10)
	if dropped > 0 {
		b = append(b, `,"dropped":`...)
		b = strconv.AppendInt(b, int64(dropped), 10)
	}
	b = append(b, '}')
	l.answer = b
	l.send(c, l.headerLine(codec.Response, topic, version, id), b, true)
}
