package server

import (
	"bytes"
	"mbserver/codec"
	"mbserver/server/wheel"
)

// response takes one RESPONSE: the answer of the service that a request was sent to (protocol §6).
func (l *loop) response(c *conn, h *codec.Header, payload []byte, text bool) {
	l.tally[countResponse]++
	if h.RequestID == nil {
		l.fail(c, h, codec.InvalidRequestID, "a response needs the request's ID")
		return
	}
	id, _ := codec.ParseUUID(h.RequestID)
	e := l.outstanding.find(id)
	if e == nil || e.target != c {
		l.fail(c, h, codec.InvalidRequestID, "no such request is outstanding at this service", rawDetail("requestId", h.RequestID))
		return
	}
	l.outstanding.drop(e)
	if e.hasID || bytes.HasPrefix(payload, errorPrefix) {
		l.sendTo(e.requester, l.entryHeader(e), payload, text, false)
		if simfaultBuild && strikes(simDoubleAnswer) {
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
func (l *loop) failInquiry(q *request, code codec.Code, message string, details ...detail) {
	l.failTo(q.requester, l.responseHeader(q.topic, q.version, q.id), code, message, details)
}

// failEntry frees an outstanding request and tells its requester why. Nobody waits for one without an ID.
func (l *loop) failEntry(e *entry, code codec.Code, message string, details ...detail) {
	if e.target != nil && e.target.out.Stalled() {
		e.target.out.Cancel(e.key()) // an expired request is never delivered
	}
	l.outstanding.drop(e)
	if e.hasID {
		l.failTo(e.requester, l.entryHeader(e), code, message, details)
	}
}

// failUnrouted tells the requester of a waiting request that nobody serves its topic any more. That one is told even when
// it gave no ID (protocol §6).
func (l *loop) failUnrouted(e *entry) {
	l.tally[countRequestUnrouted]++
	l.outstanding.drop(e)
	name, _, _ := bytes.Cut(e.header, []byte{':'})
	l.failTo(e.requester, l.entryHeader(e), codec.NoRouteFound, "the last service subscribed to this topic has left",
		[]detail{rawDetail("topic", name)})
}

func (l *loop) failTo(s *service, header []byte, code codec.Code, message string, details []detail) {
	if code != codec.NoRouteFound { // that has a counter of its own
		l.tally[countMessageError]++
		l.tally[countRequestError]++
	}
	l.answer = appendError(l.answer[:0], code, message, l.time.Unix, details...)
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
		l.failEntry(e, codec.Timeout, "no service had room within the request's timeout", numberDetail("waitedMs", int(l.time.Ms-e.arrived)))
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
	if e := l.outstanding.oldest; e != latest {
		oldest, holder = e.arrived, l
	}
	for _, other := range l.node.loops {
		if at := other.outstanding.oldestAt.Load(); other != l && (holder == nil && at < 1<<62 || at < oldest) {
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
	e := l.outstanding.oldest
	if e == nil || l.node.outstanding.Load() <= l.node.maxOutstanding {
		return
	}
	details := []detail{textDetail("reason", "evicted")}
	if e.target != nil {
		details = append(details, textDetail("targetServiceId", e.target.id.String()))
	}
	l.failEntry(e, codec.ServiceUnavailable, "too many requests are outstanding in this node: the oldest gave way", details...)
}

// expireInquiry answers a request whose deadline came before it could be delivered.
func (l *loop) expireInquiry(q *request) {
	if len(q.id) > 0 {
		l.tally[countRequestTimeout]++
		l.failInquiry(q, codec.Timeout, "no service had room within the request's timeout", numberDetail("waitedMs", int(l.time.Ms-q.arrived)))
	}
}
