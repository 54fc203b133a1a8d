package server

import (
	"bytes"
	"unicode/utf8"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/wheel"
	"mbserver/topic"
)

// inquiry is a request on its way to its target. Its slices alias the input or an envelope's body.
type inquiry struct {
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
	q := inquiry{
		requester: &c.service, id: h.RequestID, topic: h.Topic, version: h.Version, payload: payload, text: text,
		arrived: l.time.ms, deadline: l.time.ms + timeout + 1, // arrival was up to 1 ms after the clock's tick
	}
	l.route(&q, name)
}

// route chooses the target and hands q to its loop.
func (l *loop) route(q *inquiry, name []byte) {
	s := l.choose(l.requests.Lookup(name))
	if s == nil || q.hops > rerouteMax {
		l.tally[countRequestUnrouted]++
		l.failInquiry(q, codec.NoRouteFound, "no service is subscribed to this topic")
		return
	}
	s.outstanding.Add(1)
	if s.loop == l {
		l.deliverRequest(q, l.conns[s.slot])
		return
	}
	body := ringbuf.NewShared()
	body.B = append(body.B, q.id...)
	body.B = append(body.B, q.topic...)
	body.B = append(append(body.B, ':'), q.version...)
	body.B = append(append(body.B, '\n'), q.payload...)
	s.loop.post(envelope{
		kind: envelopeRequest, to: s, from: q.requester, body: body, text: q.text, hops: q.hops,
		idLen: uint8(len(q.id)), topicLen: uint16(len(q.topic)), arrived: q.arrived, deadline: q.deadline,
	})
}

// receiveRequest takes another loop's request for one of this loop's services.
func (l *loop) receiveRequest(e *envelope) {
	b := e.body.B
	rest := b[int(e.idLen)+int(e.topicLen)+1:]
	newline := bytes.IndexByte(rest, '\n')
	q := inquiry{
		requester: e.from, id: b[:e.idLen], topic: b[e.idLen : int(e.idLen)+int(e.topicLen)],
		version: rest[:newline], payload: rest[newline+1:], text: e.text,
		arrived: e.arrived, deadline: e.deadline, hops: e.hops,
	}
	if c := l.connOf(e.to); c != nil {
		l.deliverRequest(&q, c)
	} else {
		// It left while the request was on its way: whoever else serves the topic gets it.
		e.to.outstanding.Add(-1)
		q.hops++
		l.lower = topic.Lower(l.lower[:0], q.topic)
		l.route(&q, l.lower)
	}
	e.body.Release()
}

// deliverRequest sends q to c, a service of this loop that was chosen for it, and keeps its entry.
func (l *loop) deliverRequest(q *inquiry, c *conn) {
	p := &l.pending
	e := p.take()
	if e == nil || c.state != stateOpen || c.out.Bytes()+len(q.payload) >= l.node.limits.Bytes {
		if e != nil {
			p.bind(e, c)
			l.node.outstanding.Add(1)
			p.drop(e)
		} else {
			c.outstanding.Add(-1)
		}
		l.failInquiry(q, codec.ServiceUnavailable, "the service cannot take the request now",
			textDetail("reason", "busy"), textDetail("targetServiceId", c.id.String()))
		return
	}
	e.requester, e.hasID, e.arrived = q.requester, len(q.id) > 0, q.arrived
	e.header = append(e.header[:0], q.topic...)
	e.header = append(append(e.header, ':'), q.version...)
	if e.hasID {
		e.header = append(append(e.header, ':'), q.id...)
	}
	p.bind(e, c)
	l.wheel.Add(&e.timer, q.deadline)

	header := append(l.header[:0], "request:"...)
	header = append(append(header, q.topic...), ':')
	header = append(append(header, q.version...), ':')
	header = append(e.id.Append(header), '\n')
	l.header = header
	text := q.text
	if c.transport == transportWS && !text {
		text = utf8.Valid(q.payload)
	}
	l.sendMasked(c, header, q.payload, text, q.id, e.key())
	if l.node.outstanding.Add(1) > l.node.maxOutstanding {
		l.evictOldest(e)
	}
}

// response takes one RESPONSE: the answer of the service that a request was sent to (protocol §6).
func (l *loop) response(c *conn, h *codec.Header, payload []byte, text bool) {
	l.tally[countResponse]++
	if h.RequestID == nil {
		l.fail(c, h, codec.InvalidRequestID, "a response needs the request's ID")
		return
	}
	id, _ := codec.ParseUUID(h.RequestID)
	e := l.pending.find(id)
	if e == nil || e.target != c {
		l.fail(c, h, codec.InvalidRequestID, "no such request is outstanding at this service")
		return
	}
	l.pending.drop(e)
	if e.hasID || bytes.HasPrefix(payload, errorPrefix) {
		l.sendTo(e.requester, l.entryHeader(e), payload, text, false)
	}
}

// errorPrefix marks the answer to a request without ID that its requester still gets.
var errorPrefix = []byte("error:")

// entryHeader composes the header line of the answer to e: topic, version and ID as the requester wrote them.
func (l *loop) entryHeader(e *entry) []byte {
	b := append(l.header[:0], "response:"...)
	b = append(b, e.header...)
	if !e.hasID {
		b = l.newID().Append(append(b, ':'))
	}
	l.header = append(b, '\n')
	return l.header
}

// failInquiry answers a request that was not delivered.
func (l *loop) failInquiry(q *inquiry, code codec.Code, message string, details ...detail) {
	b := append(l.header[:0], "response:"...)
	b = append(append(b, q.topic...), ':')
	b = append(append(b, q.version...), ':')
	if len(q.id) > 0 {
		b = append(b, q.id...)
	} else {
		b = l.newID().Append(b)
	}
	l.header = append(b, '\n')
	l.failTo(q.requester, l.header, code, message, details)
}

// failEntry frees an outstanding request and tells its requester why. Nobody waits for one without an ID.
func (l *loop) failEntry(e *entry, code codec.Code, message string, details ...detail) {
	if out := &e.target.out; out.Stalled() {
		out.Cancel(e.key()) // an expired request is never delivered
	}
	l.pending.drop(e)
	if e.hasID {
		l.failTo(e.requester, l.entryHeader(e), code, message, details)
	}
}

func (l *loop) failTo(s *service, header []byte, code codec.Code, message string, details []detail) {
	l.tally[countMessageError]++
	l.tally[countRequestError]++
	l.answer = appendError(l.answer[:0], code, message, l.time.unix, details...)
	l.sendTo(s, header, l.answer, true, true)
}

// Expire implements wheel.Expirer: the deadline of a request has come.
func (e *entry) Expire(*wheel.Timer, int64) {
	l := e.loop
	if e.hasID {
		l.tally[countRequestTimeout]++
	}
	l.guard(nil, func() {
		l.failEntry(e, codec.Timeout, "no answer within the request's timeout", textDetail("targetServiceId", e.target.id.String()))
	})
}

// failRequestsOf fails every request that c was to answer: c has left.
func (l *loop) failRequestsOf(c *conn) {
	for e := c.requests.head; e != nil; e = c.requests.head {
		l.failEntry(e, codec.ServiceUnavailable, "the service disconnected before it answered",
			textDetail("targetServiceId", c.id.String()), textDetail("reason", "disconnected"))
	}
}

// evictOldest frees the oldest request of the node, but not latest, which has just come (protocol §6).
func (l *loop) evictOldest(latest *entry) {
	oldest, holder := int64(0), (*loop)(nil)
	if e := l.pending.oldest; e != latest {
		oldest, holder = e.arrived, l
	}
	for _, other := range l.node.loops {
		if at := other.pending.oldestAt.Load(); other != l && (holder == nil && at < 1<<62 || at < oldest) {
			oldest, holder = at, other
		}
	}
	switch {
	case holder == l:
		l.evictHead()
	case holder != nil:
		holder.post(envelope{kind: envelopeCall, call: (*loop).evictHead})
	}
}

// evictHead frees this loop's oldest request, unless there is room again by now.
func (l *loop) evictHead() {
	if e := l.pending.oldest; e != nil && l.node.outstanding.Load() > l.node.maxOutstanding {
		l.failEntry(e, codec.ServiceUnavailable, "too many requests are outstanding in this node: the oldest gave way",
			textDetail("reason", "evicted"), textDetail("targetServiceId", e.target.id.String()))
	}
}
