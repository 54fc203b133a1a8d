package broker

import (
	"bytes"

	"mbserver/codec"
	"mbserver/server/limit"
	"mbserver/server/metrics"
	"mbserver/server/trace"
	"mbserver/server/trouble"
)

// The fate of a message: each has one function, and whoever wants to see messages go by looks
// there: for the audit, and for what records them (loop_trace.go). It counts what has a counter of
// its own. Messages received are counted where they come in
// (dispatch.go, publish.go, request.go, request_answer.go, system.Serve), errors where they are
// given to who gets them (dispatch_refuse.go, giveAnswer). While nobody audits, taken and sent cost
// one predictable branch.

// taken: the message is well formed and not too large.
func (l *Loop) taken(c *Conn, h *codec.Header, payload []byte) {
	if l.broker.audited() {
		l.auditTaken(c, h, payload)
	}
}

// limited: it is over a rate limit, and its sender is told.
func (l *Loop) limited(c *Conn, h *codec.Header, over limit.Refusal) {
	l.counts[metrics.Limited]++
	c.limited(over)
	l.noteHand(trace.Limited, over.Scope)
	l.fail(c, h, codec.RateLimitExceeded, tooMany, refusalDetails(over)...)
}

// limitedMalformed is limited for a message whose header could not be parsed.
func (l *Loop) limitedMalformed(c *Conn, over limit.Refusal) {
	l.counts[metrics.Limited]++
	c.limited(over)
	l.noteHand(trace.Limited, over.Scope)
	l.header = append(l.header[:0], codec.ErrorHeader...)
	l.refuse(c, l.header, codec.RateLimitExceeded, tooMany, refusalDetails(over))
}

const tooMany = "too many messages per second"

func refusalDetails(over limit.Refusal) []codec.Detail {
	return []codec.Detail{
		codec.TextDetail("scope", over.Scope), codec.NumberDetail("limit", over.Rate.Limit()),
		codec.NumberDetail("retryAfterMs", int(over.WaitMs)),
	}
}

// unroutedPublish: nobody is subscribed to its topic, and its sender is told.
func (l *Loop) unroutedPublish(c *Conn, h *codec.Header) {
	l.counts[metrics.PublishesUnrouted]++
	l.noteHand(trace.Unrouted, "")
	l.fail(c, h, codec.NoRouteFound, "nobody is subscribed to this topic",
		codec.RawDetail("topic", h.Topic))
}

// unroutedRequest: no service is subscribed to its topic, and its requester is told.
func (l *Loop) unroutedRequest(q *request) {
	l.counts[metrics.RequestsUnrouted]++
	l.illOn(trouble.RequestsUnserved, q.topic)
	l.failRequest(q, codec.NoRouteFound, "no service is subscribed to this topic",
		codec.RawDetail("topic", q.topic))
}

// deserted is unroutedRequest for one that has waited for a service: the last has left. Its
// requester is told even when it gave no ID (protocol §6).
func (l *Loop) deserted(e *entry) {
	l.counts[metrics.RequestsUnrouted]++
	l.illOn(trouble.RequestsUnserved, e.topic())
	if e.mark != 0 {
		l.note(e.mark, trace.Unrouted, nil, "the last service has left")
	}
	l.outstanding.drop(e) // e stays readable until the next take
	l.failTo(e.requester, e.answerKind(), l.entryHeader(e), codec.NoRouteFound,
		"the last service subscribed to this topic has left",
		[]codec.Detail{codec.RawDetail("topic", e.topic())})
}

// sent: c was given m, to be written at the end of the turn or when its socket takes it.
func (l *Loop) sent(c *Conn, m *outgoing) {
	l.sentMany(1)
	if m.shown {
		l.shown(c, m)
	}
}

// shown is sent for those who look: the audit, and what records fates, to which c's ring tells what
// becomes of m there.
func (l *Loop) shown(c *Conn, m *outgoing) {
	l.heed(c)
	if m.audit {
		l.auditSent(c, m)
	}
}

// sentMany counts what a fan-out gave its connections, which shows each delivery to the audit
// itself.
func (l *Loop) sentMany(n int) { l.counts[metrics.Sent] += uint64(n) }

// dropped: n deliveries were not made, or taken out of a ring again. The subscriber is told
// (conn_gap.go), unless it is cut for it.
func (l *Loop) dropped(n int) { l.counts[metrics.Dropped] += uint64(n) }

// conflated: n deliveries gave way to newer ones of their topic.
func (l *Loop) conflated(n int) { l.counts[metrics.Conflated] += uint64(n) }

// answered: the service has answered in time. Nobody waits for an answer to a request without ID,
// but for one that says error.
func (l *Loop) answered(e *entry, payload []byte, text bool) {
	if e.mark != 0 {
		l.note(e.mark, trace.Answered, e.targetService(), "")
		if e.origin == nil && e.requester.marked(markGone) {
			l.note(e.mark, trace.Dropped, e.requester, "the requester has left")
		}
	}
	origin, times := e.origin, e.answerTimes()
	l.outstanding.drop(e) // e stays readable until the next take
	if origin != nil {
		l.countTime(e, times)
		l.answerOrigin(e, origin, payload)
		return
	}
	l.noteAnswer(e, times)
	if !e.hasID && !bytes.HasPrefix(payload, errorPrefix) {
		return
	}
	kind := e.answerKind()
	l.sendTo(e.requester, l.entryHeader(e), payload, text, kind)
	if simfaultBuild && strikes(simDoubleAnswer) {
		l.sendTo(e.requester, l.entryHeader(e), payload, text, kind)
	}
}

// orphaned: the service has left before it answered.
func (l *Loop) orphaned(e *entry) {
	l.failEntry(e, codec.ServiceUnavailable, "the service disconnected before it answered",
		codec.TextDetail("targetServiceId", e.target.id.String()),
		codec.TextDetail("reason", "disconnected"))
}

// expired: the deadline came first. Nobody is told of one without an ID.
func (l *Loop) expired(e *entry) {
	if e.target != nil && e.target.marked(markLeft) {
		l.orphaned(e) // its turn to be told so had not come
		return
	}
	if e.origin != nil {
		l.lapsed(e)
		return
	}
	if e.hasID {
		l.counts[metrics.RequestTimeouts]++
		l.illOn(trouble.RequestsTimedOut, e.topic())
	}
	s := e.targetService()
	if s == nil {
		l.failEntry(e, codec.Timeout, expiredWaiting, l.waited(e.arrived))
		return
	}
	l.countTime(e, e.answerTimes()) // it took so long at least
	l.failEntry(e, codec.Timeout, "no answer within the request's timeout",
		codec.TextDetail("targetServiceId", s.id.String()))
}

// expiredRequest is expired for a request that was never delivered and has no entry.
func (l *Loop) expiredRequest(q *request) {
	if len(q.id) > 0 {
		l.counts[metrics.RequestTimeouts]++
		l.illOn(trouble.RequestsTimedOut, q.topic)
		l.failRequest(q, codec.Timeout, expiredWaiting, l.waited(q.arrived))
	}
}

const expiredWaiting = "no service had room within the request's timeout"

func (l *Loop) waited(since int64) codec.Detail {
	return codec.NumberDetail("waitedMs", int(l.time.Ms-since))
}

// evicted: as the node's oldest request it gave way to a newer one.
func (l *Loop) evicted(e *entry) {
	l.counts[metrics.RequestsEvicted]++
	l.ill(trouble.RequestsEvicted)
	details := []codec.Detail{codec.TextDetail("reason", "evicted")}
	if s := e.targetService(); s != nil {
		details = append(details, codec.TextDetail("targetServiceId", s.id.String()))
	}
	l.failEntry(e, codec.ServiceUnavailable,
		"too many requests are outstanding in this node: the oldest gave way", details...)
}

// drained: the node goes away before a service has answered.
func (l *Loop) drained(e *entry) {
	l.failEntry(e, codec.ServiceUnavailable, goingAway, codec.TextDetail("reason", "draining"))
}

// drainedRequest is drained for a request that was never delivered and has no entry.
func (l *Loop) drainedRequest(q *request) {
	l.failRequest(q, codec.ServiceUnavailable, goingAway, codec.TextDetail("reason", "draining"))
}

const goingAway = "this node is going away"
