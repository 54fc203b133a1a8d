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

// route finds q a service, or a place to wait for one. While requests wait anywhere, the topic's own loop decides, so that
// none overtakes those that wait.
func (l *loop) route(q *inquiry, name []byte) {
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
	if home := l.node.homeOf(name); home != l {
		e := q.envelope(envelopeQueue)
		home.post(e)
		return
	}
	l.routeAtHome(q, name)
}

// routeAtHome is route on the loop where requests on this topic wait.
func (l *loop) routeAtHome(q *inquiry, name []byte) {
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
func (l *loop) dispatchTo(s *service, q *inquiry) {
	if s.loop == l {
		l.deliverRequest(q, s)
		return
	}
	e := q.envelope(envelopeRequest)
	e.to = s
	s.loop.post(e)
}

// envelope packs q for another loop, or for a wait.
func (q *inquiry) envelope(kind envelopeKind) envelope {
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
func unpack(body []byte, idLen uint8, topicLen uint16) inquiry {
	rest := body[int(idLen)+int(topicLen)+1:]
	newline := bytes.IndexByte(rest, '\n')
	return inquiry{
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
		l.routeAtHome(&q, l.lower)
	} else {
		l.deliverRequest(&q, e.to)
	}
	e.body.Release()
}

// deliverRequest sends q to s, a service of this loop that was reserved for it, and keeps its entry. If s has left or
// stalled since, q is routed again.
func (l *loop) deliverRequest(q *inquiry, s *service) {
	c := l.connOf(s)
	if c != nil && !c.out.Stalled() && c.out.Bytes()+len(q.payload) > l.node.limits.Bytes {
		c.flush(false)
	}
	if c == nil || c.out.Stalled() || c.state != stateOpen {
		s.outstanding.Add(-1)
		q.hops++
		l.lower = topic.Lower(l.lower[:0], q.topic)
		l.route(q, l.lower)
		return
	}
	if l.time.ms >= q.deadline {
		s.outstanding.Add(-1)
		l.node.wakeQueues()
		l.expireInquiry(q)
		return
	}
	p := &l.pending
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
	l.sendMasked(c, header, q.payload, text, q.id, e.key())
	if l.node.outstanding.Add(1) > l.node.maxOutstanding {
		l.evictOldest(e)
	}
}

// expireInquiry answers a request whose deadline came before it could be delivered.
func (l *loop) expireInquiry(q *inquiry) {
	if len(q.id) > 0 {
		l.tally[countRequestTimeout]++
		l.failInquiry(q, codec.Timeout, "no service had room within the request's timeout", numberDetail("waitedMs", int(l.time.ms-q.arrived)))
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
		l.fail(c, h, codec.InvalidRequestID, "no such request is outstanding at this service", rawDetail("requestId", h.RequestID))
		return
	}
	l.pending.drop(e)
	if e.hasID || bytes.HasPrefix(payload, errorPrefix) {
		l.sendTo(e.requester, l.entryHeader(e), payload, text, false)
		if simFault && strikes(faultDoubleAnswer) {
			l.sendTo(e.requester, l.entryHeader(e), payload, text, false)
		}
	}
}

// errorPrefix marks the answer to a request without ID that its requester still gets.
var errorPrefix = []byte("error:")

// entryHeader composes the header line of the answer to e: topic, version and ID as the requester wrote them.
func (l *loop) entryHeader(e *entry) []byte {
	b := append(l.header[:0], "response:"...)
	b = append(b, e.header...)
	if !e.hasID {
		b = l.appendMessageID(append(b, ':'))
	}
	return l.headerEnd(b)
}

// failInquiry answers a request that was not delivered.
func (l *loop) failInquiry(q *inquiry, code codec.Code, message string, details ...detail) {
	l.failTo(q.requester, l.responseHeader(q.topic, q.version, q.id), code, message, details)
}

// failEntry frees an outstanding request and tells its requester why. Nobody waits for one without an ID.
func (l *loop) failEntry(e *entry, code codec.Code, message string, details ...detail) {
	if e.target != nil && e.target.out.Stalled() {
		e.target.out.Cancel(e.key()) // an expired request is never delivered
	}
	l.pending.drop(e)
	if e.hasID {
		l.failTo(e.requester, l.entryHeader(e), code, message, details)
	}
}

// failUnrouted tells the requester of a waiting request that nobody serves its topic any more. That one is told even when
// it gave no ID (protocol §6).
func (l *loop) failUnrouted(e *entry) {
	l.tally[countRequestUnrouted]++
	l.pending.drop(e)
	name, _, _ := bytes.Cut(e.header, []byte{':'})
	l.failTo(e.requester, l.entryHeader(e), codec.NoRouteFound, "the last service subscribed to this topic has left",
		[]detail{rawDetail("topic", name)})
}

func (l *loop) failTo(s *service, header []byte, code codec.Code, message string, details []detail) {
	if code != codec.NoRouteFound { // that has a counter of its own
		l.tally[countMessageError]++
		l.tally[countRequestError]++
	}
	l.answer = appendError(l.answer[:0], code, message, l.time.unix, details...)
	l.sendTo(s, header, l.answer, true, true)
}

// Expire implements wheel.Expirer: the deadline of a request has come.
func (e *entry) Expire(*wheel.Timer, int64) { e.loop.guard(nil, e.expire) }

func (e *entry) expire() {
	l := e.loop
	if e.hasID {
		l.tally[countRequestTimeout]++
	}
	if e.target == nil {
		l.failEntry(e, codec.Timeout, "no service had room within the request's timeout", numberDetail("waitedMs", int(l.time.ms-e.arrived)))
		return
	}
	l.failEntry(e, codec.Timeout, "no answer within the request's timeout", textDetail("targetServiceId", e.target.id.String()))
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
	e := l.pending.oldest
	if e == nil || l.node.outstanding.Load() <= l.node.maxOutstanding {
		return
	}
	details := []detail{textDetail("reason", "evicted")}
	if e.target != nil {
		details = append(details, textDetail("targetServiceId", e.target.id.String()))
	}
	l.failEntry(e, codec.ServiceUnavailable, "too many requests are outstanding in this node: the oldest gave way", details...)
}
