package server

import (
	"bytes"
	"unicode/utf8"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/topic"
)

// request is a request on its way to its target. Its slices alias the input or an envelope's body.
type request struct {
	requester *service
	id        []byte // the requester's own ID; empty when it gave none
	topic     []byte
	version   []byte
	payload   []byte
	text      bool
	arrived   int64 // loop ms
	deadline  int64 // loop ms
	hops      uint8
}

// request routes one REQUEST of a user topic (protocol §6). name is the canonical topic.
func (l *loop) request(c *conn, h *codec.Header, name, payload []byte, text bool) {
	l.tally[countRequest]++
	if !l.node.accepting() {
		l.fail(c, h, codec.ServiceUnavailable, "this node is going away", textDetail("reason", "draining"))
		return
	}
	timeout := l.node.timeoutDefaultMs
	if h.TimeoutMs > 0 && h.RequestID != nil {
		timeout = int64(h.TimeoutMs)
	}
	q := request{
		requester: &c.service, id: h.RequestID, topic: h.Topic, version: h.Version, payload: payload, text: text,
		arrived: l.time.Ms, deadline: l.time.Ms + timeout + 1, // arrival was up to 1 ms after the clock's tick
	}
	l.assign(&q, name)
}

// assign finds q a service, or a place to wait for one. While requests wait anywhere, the topic's own loop decides, so that
// none overtakes those that wait.
func (l *loop) assign(q *request, name []byte) {
	cs := l.requests.Lookup(name)
	switch {
	case len(cs) == 0:
		l.tally[countRequestUnrouted]++
		l.failInquiry(q, codec.NoRouteFound, "no service is subscribed to this topic", rawDetail("topic", q.topic))
		return
	case q.hops > rerouteMax:
		l.failInquiry(q, codec.ServiceUnavailable, "the services on this topic come and go", textDetail("reason", "busy"))
		return
	case l.node.queued.Load() == 0:
		if s := l.reserve(cs); s != nil {
			l.dispatchTo(s, q)
			return
		}
	}
	if home := l.node.queueLoop(name); home != l {
		e := q.envelope(envelopeQueue)
		home.post(e)
		return
	}
	l.assignOrQueue(q, name)
}

// assignOrQueue is route on the loop where requests on this topic wait.
func (l *loop) assignOrQueue(q *request, name []byte) {
	if l.queues.byTopic[string(name)] == nil {
		cs := l.requests.Lookup(name)
		if len(cs) == 0 {
			l.tally[countRequestUnrouted]++
			l.failInquiry(q, codec.NoRouteFound, "no service is subscribed to this topic", rawDetail("topic", q.topic))
			return
		}
		if s := l.reserve(cs); s != nil {
			l.dispatchTo(s, q)
			return
		}
	}
	l.enqueue(q, name)
}

// dispatchTo hands q to the loop of s, which has been reserved for it.
func (l *loop) dispatchTo(s *service, q *request) {
	if s.loop == l {
		l.deliverRequest(q, s)
		return
	}
	e := q.envelope(envelopeRequest)
	e.to = s
	s.loop.post(e)
}

// envelope packs q for another loop, or for a wait.
func (q *request) envelope(kind envelopeKind) envelope {
	body := ringbuf.NewShared()
	body.B = append(body.B, q.id...)
	body.B = append(body.B, q.topic...)
	body.B = append(append(body.B, ':'), q.version...)
	body.B = append(append(body.B, '\n'), q.payload...)
	return envelope{
		kind: kind, from: q.requester, body: body, text: q.text, hops: q.hops,
		idLen: uint8(len(q.id)), topicLen: uint16(len(q.topic)), arrived: q.arrived, deadline: q.deadline,
	}
}

// unpack is the inverse of envelope. The inquiry aliases body.
func unpack(body []byte, idLen uint8, topicLen uint16) request {
	rest := body[int(idLen)+int(topicLen)+1:]
	newline := bytes.IndexByte(rest, '\n')
	return request{
		id: body[:idLen], topic: body[idLen : int(idLen)+int(topicLen)],
		version: rest[:newline], payload: rest[newline+1:],
	}
}

// receiveRequest takes a request from another loop: for one of this loop's services, or to wait here.
func (l *loop) receiveRequest(e *envelope) {
	q := unpack(e.body.B, e.idLen, e.topicLen)
	q.requester, q.text, q.arrived, q.deadline, q.hops = e.from, e.text, e.arrived, e.deadline, e.hops
	if e.kind == envelopeQueue {
		l.lower = topic.Lower(l.lower[:0], q.topic)
		l.assignOrQueue(&q, l.lower)
	} else {
		l.deliverRequest(&q, e.to)
	}
	e.body.Release()
}

// deliverRequest sends q to s, a service of this loop that was reserved for it, and keeps its entry. If s has left or
// stalled since, q is routed again.
func (l *loop) deliverRequest(q *request, s *service) {
	c := l.connOf(s)
	if c != nil && !c.out.Stalled() && c.out.Bytes()+len(q.payload) > l.node.limits.Bytes {
		c.flush(false)
	}
	if c == nil || c.out.Stalled() || c.state != stateOpen {
		s.outstanding.Add(-1)
		q.hops++
		l.lower = topic.Lower(l.lower[:0], q.topic)
		l.assign(q, l.lower)
		return
	}
	if l.time.Ms >= q.deadline {
		s.outstanding.Add(-1)
		l.node.wakeQueues()
		l.expireInquiry(q)
		return
	}
	p := &l.outstanding
	e := p.take(q.arrived)
	if e == nil {
		s.outstanding.Add(-1)
		l.failInquiry(q, codec.ServiceUnavailable, "too many requests are outstanding", textDetail("reason", "busy"))
		return
	}
	e.describe(q)
	p.bind(e, c)
	l.wheel.Add(&e.timer, q.deadline)
	header := l.headerEnd(e.id.Append(l.headerStart(codec.Request, q.topic, q.version)))
	text := q.text
	if c.transport == transportWS && !text {
		text = utf8.Valid(q.payload)
	}
	l.sendProtected(c, header, q.payload, text, q.id, e.key())
	if l.node.outstanding.Add(1) > l.node.maxOutstanding {
		l.evictOldest(e)
	}
}
