package broker

import (
	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/server/trace"
	"mbserver/server/wheel"
)

// response takes one RESPONSE: the answer of the service that a request was sent to (protocol §6).
func (l *Loop) response(c *Conn, h *codec.Header, payload []byte, text bool) {
	l.counts[metrics.Responses]++
	if h.RequestID == nil {
		l.fail(c, h, codec.InvalidRequestID, "a response needs the request's ID")
		return
	}
	e := l.outstanding.find(h.RequestUUID())
	if e == nil || e.target != c {
		l.fail(c, h, codec.InvalidRequestID, "no such request is outstanding at this service",
			codec.RawDetail("requestId", h.RequestID))
		return
	}
	if l.broker.watched() {
		l.showAnswer(e, payload)
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
	if q.mark != 0 {
		l.noteFailure(q.mark, nil, code, details)
	}
	header := l.responseHeader(q.topic, q.version, q.id)
	l.failTo(q.requester, kind, header, code, message, details)
}

// failEntry frees an outstanding request and tells its requester why. Nobody waits for one without
// an ID.
func (l *Loop) failEntry(e *entry, code codec.Code, message string, details ...codec.Detail) {
	if e.mark != 0 {
		l.noteFailure(e.mark, e.targetService(), code, details)
	}
	l.takeOut(e)
	if e.far != nil {
		l.cancelAbroad(e)
	}
	origin := e.origin
	l.outstanding.drop(e) // e stays readable until the next take
	switch {
	case origin != nil:
		l.failOrigin(e, origin, code, message, details)
	case e.hasID:
		l.failTo(e.requester, answerOwed, l.entryHeader(e), code, message, details)
	}
}

// takeOut sees to it that e is not delivered if it was not yet.
func (l *Loop) takeOut(e *entry) {
	if e.target != nil && e.target.out.Cancel(e.key()) { // an expired request is never delivered
		e.target.recharge()
		l.heed(e.target)
	}
}

// targetService is that which e was sent to, nil while it waits.
func (e *entry) targetService() *service {
	if e.target == nil {
		return e.far
	}
	return &e.target.service
}

func (l *Loop) failTo(
	s *service, kind answerKind, header []byte,
	code codec.Code, message string, details []codec.Detail,
) {
	switch code {
	case codec.Timeout:
		kind |= answerTimeout
	case codec.NoRouteFound:
		l.debugClientError(s, code, message)
	}
	l.answer = codec.AppendError(l.answer[:0], code, message, l.time.Unix, details...)
	l.sendTo(s, header, l.answer, true, kind|answerFailure)
}

// Expire implements wheel.Expirer: the deadline of a request has come.
func (e *entry) Expire(*wheel.Timer, int64) { e.loop.guard(nil, func() { e.loop.expired(e) }) }

// endWaits ends what others wait for from c, which has left, a part in each turn: requests that it
// was to answer, and publishes that wait for room in its ring.
func (c *Conn) endWaits() (done bool) {
	l := c.loop
	for k := c.requests.First(); k != nil; k = c.requests.First() { // oldest first
		if !l.mayEnd() {
			return false
		}
		l.orphaned(k.Item)
	}
	for w := c.firstParked(); w != nil; w = c.firstParked() {
		if !l.mayEnd() {
			return false
		}
		if mark := w.publish.mark; mark != 0 {
			l.note(mark, trace.Dropped, &c.service, "disconnected")
		}
		w.settle(false)
	}
	return true
}

// evict frees the oldest requests of the node while there are more than may be, but not latest,
// which has just come (protocol §6). The loop that has the oldest frees it. What others say of
// theirs may be out of date: then the one that was asked asks on, and each loop looks again at the
// end of its turns, so that none is forgotten. A loop that is asked and slow is not waited for
// beyond evictSlack: then this one's oldest goes.
func (l *Loop) evict(latest *entry) {
	b := l.broker
	for {
		over := b.outstanding.Load() - b.maxOutstanding
		if over <= 0 {
			return
		}
		mine := l.outstanding.ages.oldest()
		if mine == latest {
			mine = nil
		}
		holder := l.olderHolder(mine)
		if holder != nil && (mine == nil || over <= b.evictSlack) {
			l.outstanding.publishOldest() // or it would ask back
			if !holder.evicting.Swap(true) {
				holder.call(func(l *Loop) {
					l.evicting.Store(false)
					l.evict(nil)
				})
			}
			return
		}
		if mine == nil {
			return
		}
		if b.outstanding.CompareAndSwap(over+b.maxOutstanding, over+b.maxOutstanding-1) {
			mine.claimed = true
			l.evicted(mine)
		}
	}
}

// olderHolder returns the other loop that holds the oldest request of the node, as far as loops
// have told, or nil when there is none older than mine.
func (l *Loop) olderHolder(mine *entry) (holder *Loop) {
	oldest := int64(noRequest)
	if mine != nil {
		oldest = mine.arrived
	}
	for _, other := range l.broker.loops {
		if other == l {
			continue
		}
		if at := other.outstanding.oldestAt.Load(); at < oldest {
			oldest, holder = at, other
		}
	}
	return holder
}

// settleOutstanding tells other loops how old this loop's oldest request is, and sees that there
// are not more than may be.
func (l *Loop) settleOutstanding() {
	l.outstanding.publishOldest()
	if l.broker.outstanding.Load() > l.broker.maxOutstanding {
		l.evict(nil)
		l.outstanding.publishOldest()
	}
}
