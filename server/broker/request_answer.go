package broker

import (
	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/server/wheel"
)

// response takes one RESPONSE: the answer of the service that a request was sent to (protocol §6).
func (l *Loop) response(c *Conn, h *codec.Header, payload []byte, text bool) {
	l.counts[metrics.Responses]++
	if h.RequestID == nil {
		l.fail(c, h, codec.InvalidRequestID, "a response needs the request's ID")
		return
	}
	id, _ := codec.ParseUUID(h.RequestID)
	e := l.outstanding.find(id)
	if e == nil || e.target != c {
		l.fail(c, h, codec.InvalidRequestID, "no such request is outstanding at this service",
			codec.RawDetail("requestId", h.RequestID))
		return
	}
	l.answered(e, payload, text)
}

// errorPrefix marks the answer to a request without ID that its requester still gets.
var errorPrefix = []byte("error:")

// entryHeader composes the header line of the answer to e: topic, version and ID as the requester
// wrote them.
func (l *Loop) entryHeader(e *entry) []byte {
	b := append(l.header[:0], "response:"...)
	b = append(b, e.header...)
	if !e.hasID {
		b = l.appendMessageID(append(b, ':'))
	}
	return l.headerEnd(b)
}

// answerKind is what an answer to e is to its requester.
func (e *entry) answerKind() answerKind {
	if e.hasID {
		return answerOwed
	}
	return 0
}

// failRequest answers a request that was not delivered.
func (l *Loop) failRequest(q *request, code codec.Code, message string, details ...codec.Detail) {
	kind := answerKind(0)
	if len(q.id) > 0 {
		kind = answerOwed
	}
	header := l.responseHeader(q.topic, q.version, q.id)
	l.failTo(q.requester, kind, header, code, message, details)
}

// failEntry frees an outstanding request and tells its requester why. Nobody waits for one without
// an ID.
func (l *Loop) failEntry(e *entry, code codec.Code, message string, details ...codec.Detail) {
	if e.target != nil && e.target.out.Cancel(e.key()) { // an expired request is never delivered
		e.target.recharge()
	}
	l.outstanding.drop(e) // e stays readable until the next take
	if e.hasID {
		l.failTo(e.requester, answerOwed, l.entryHeader(e), code, message, details)
	}
}

func (l *Loop) failTo(
	s *service, kind answerKind, header []byte,
	code codec.Code, message string, details []codec.Detail,
) {
	if code != codec.NoRouteFound { // that has a counter of its own
		l.counts[metrics.MessageErrors]++
		l.counts[metrics.RequestErrors]++
	}
	l.answer = codec.AppendError(l.answer[:0], code, message, l.time.Unix, details...)
	l.sendTo(s, header, l.answer, true, kind|answerFailure)
}

// Expire implements wheel.Expirer: the deadline of a request has come.
func (e *entry) Expire(*wheel.Timer, int64) { e.loop.guard(nil, func() { e.loop.expired(e) }) }

// failRequestsOf fails every request that c was to answer: c has left.
func (l *Loop) failRequestsOf(c *Conn) {
	for k := c.requests.First(); k != nil; k = c.requests.First() { // oldest first
		l.failEntry(k.Item, codec.ServiceUnavailable, "the service disconnected before it answered",
			codec.TextDetail("targetServiceId", c.id.String()),
			codec.TextDetail("reason", "disconnected"))
	}
}

// evictOldest frees the oldest request of the node, but not latest, which has just come (protocol
// §6).
func (l *Loop) evictOldest(latest *entry) {
	oldest, holder := int64(0), (*Loop)(nil)
	if e := l.outstanding.oldest; e != latest {
		oldest, holder = e.arrived, l
	}
	for _, other := range l.broker.loops {
		if at := other.outstanding.oldestAt.Load(); other != l &&
			(holder == nil && at != noRequest || at < oldest) {
			oldest, holder = at, other
		}
	}
	switch {
	case holder == l:
		l.evictHead()
	case holder != nil:
		holder.call((*Loop).evictHead)
	}
}

// evictHead frees this loop's oldest request, unless there is room again by now.
func (l *Loop) evictHead() {
	e := l.outstanding.oldest
	if e == nil || l.broker.outstanding.Load() <= l.broker.maxOutstanding {
		return
	}
	l.evicted(e)
}
