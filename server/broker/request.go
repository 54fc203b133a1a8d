package broker

import (
	"bytes"
	"time"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/metrics"
	"mbserver/server/permit"
	"mbserver/server/trace"
	"mbserver/topic"
)

// trip is what travels with a request wherever it goes.
type trip struct {
	requester *service
	text      bool   // its payload came as, or is, UTF-8 text
	hops      uint8  // services it was offered to that had left when it arrived
	tries     uint8  // and those of other nodes that had no room
	arrivedNs uint32 // of the ms in which it arrived
	mark      trace.Mark
	arrived   int64 // loop ms
	deadline  int64 // loop ms
}

// since is when it arrived, in ns of the clock.
func (t *trip) since() int64 { return t.arrived*int64(time.Millisecond) + int64(t.arrivedNs) }

// request is a request on its way to its target. Its slices alias the input, a parcel or a packed
// one's body.
type request struct {
	trip
	id      []byte // the requester's own ID; empty when it gave none
	topic   []byte
	version []byte
	payload []byte
}

// packed is a request in memory of its own, for a wait.
type packed struct {
	trip
	body     *ringbuf.Shared // as appendPacked writes it
	idLen    uint8           // bytes of the ID
	topicLen uint16          // bytes of the topic
}

// pack copies q; who has it releases the body.
func (q *request) pack() packed {
	body := ringbuf.NewShared(
		len(q.id) + len(q.topic) + len(q.version) + len(q.payload) + len(":\n"))
	body.B = appendPacked(body.B, q)
	return packed{trip: q.trip, body: body, idLen: uint8(len(q.id)), topicLen: uint16(len(q.topic))}
}

// appendPacked appends q: its ID, the topic, ':', the version, '\n', the payload.
func appendPacked(b []byte, q *request) []byte {
	b = append(b, q.id...)
	b = append(b, q.topic...)
	b = append(append(b, ':'), q.version...)
	return append(append(b, '\n'), q.payload...)
}

// unpacked is the request that p was packed from. It aliases the body.
func (p *packed) unpacked() request {
	q := request{trip: p.trip}
	q.unpack(p.body.B, p.idLen, p.topicLen)
	return q
}

// unpack is the inverse of appendPacked. q aliases b.
func (q *request) unpack(b []byte, idLen uint8, topicLen uint16) {
	version := int(idLen) + int(topicLen) + 1
	newline := version + bytes.IndexByte(b[version:], '\n')
	q.id, q.topic = b[:idLen], b[idLen:version-1]
	q.version, q.payload = b[version:newline], b[newline+1:]
}

// request routes one REQUEST of a user topic (protocol §6). name is the canonical topic.
func (l *Loop) request(c *Conn, h *codec.Header, name, payload []byte, text bool) {
	if s := c.standing; s != nil {
		m := l.routes.requests.Find(name).Remembered()
		if !s.remembers(m, permit.Request) && !l.permitted(c, h, permit.Request, name, m) {
			return
		}
	}
	l.counts[metrics.Requests]++
	if l.broker.watched() {
		l.show(&c.service, h, name, payload, 0)
	}
	if l.parting != partNone && l.refusesTo(c) {
		l.noteHand(trace.Dropped, "draining")
		l.fail(c, h, codec.ServiceUnavailable, goingAway,
			codec.TextDetail("reason", "draining"))
		return
	}
	timeout := l.broker.timeoutDefaultMs
	if h.TimeoutMs > 0 && h.RequestID != nil {
		timeout = int64(h.TimeoutMs)
	}
	var q request // set field by field: the compiler would compose a literal elsewhere and copy it
	q.requester, q.text, q.arrived = &c.service, text, l.time.Ms
	q.arrivedNs = uint32(l.time.Ns - l.time.Ms*int64(time.Millisecond))
	q.mark = l.trace.mark
	q.deadline = q.arrived + timeout + 1 // arrival was up to 1 ms after the clock's tick
	q.id, q.topic, q.version, q.payload = h.RequestID, h.Topic, h.Version, payload
	if len(q.id) > 0 {
		c.owe()
	}
	cs := l.candidatesOf(name)
	l.routes.requests.Count()
	l.asking = c
	l.assignTo(cs, &q, name)
	l.asking = nil
}

// askAgain is request for one that was held back with its requester, which is read on.
func (l *Loop) askAgain(c *Conn, p *packed) {
	q := p.unpacked()
	l.lower = topic.Lower(l.lower[:0], q.topic)
	l.crowded = nil
	l.asking = c
	if l.mayRequest(&c.service, string(l.lower)) {
		l.assign(&q, l.lower)
	} else { // it lost that meanwhile
		l.forbidRequest(&q)
	}
	l.asking = nil
	if l.crowded != nil {
		l.hold(c, 1)
	}
	p.body.Release()
}

// assign finds q a service, or a place to wait for one: on the topic's own loop. Room that others
// wait for is not for it, so that it overtakes nobody.
func (l *Loop) assign(q *request, name []byte) { l.assignTo(l.candidatesOf(name), q, name) }

// assignTo is assign for a topic of which cs are the services.
func (l *Loop) assignTo(cs *candidates, q *request, name []byte) {
	switch {
	case cs == nil:
		l.unroutedRequest(q)
		return
	case q.hops > rerouteMax:
		l.failRequest(q, codec.ServiceUnavailable, "the services on this topic come and go",
			codec.TextDetail("reason", "busy"))
		return
	}
	if s := l.reserveFor(q, cs); s != nil {
		l.dispatchTo(s, q)
		return
	}
	if home := l.broker.queueLoop(name); home != l {
		if l.mayCross(home, q) {
			l.sendRequest(home, itemQueue, nil, q)
		}
		return
	}
	l.assignOrQueue(q, name)
}

// assignOrQueue is assign on the loop where requests on this topic wait.
func (l *Loop) assignOrQueue(q *request, name []byte) {
	if l.queues.byTopic[string(name)] != nil {
		l.enqueue(q, name, nil)
		return
	}
	cs := l.candidatesOf(name)
	if cs == nil {
		l.unroutedRequest(q)
		return
	}
	if s := l.reserveFor(q, cs); s != nil {
		l.dispatchTo(s, q)
		return
	}
	l.enqueue(q, name, cs)
}

// reserveFor is reserve for a request; nil, too, when it has been to services of other nodes often
// enough that had no room.
func (l *Loop) reserveFor(q *request, cs *candidates) *service {
	if q.tries > busyTries {
		return nil
	}
	return l.reserve(cs)
}

// dispatchTo hands q to the loop of s, which has been reserved for it, or to its node.
func (l *Loop) dispatchTo(s *service, q *request) {
	if s.marked(markFar) {
		l.deliverAbroad(q, s)
		return
	}
	if s.loop == l {
		l.deliverRequest(q, s)
		return
	}
	if !l.mayCross(s.loop, q) {
		l.freed(s)
		return
	}
	l.sendRequest(s.loop, itemRequest, s, q)
}

// mayCross says whether q may be put into the parcel for another loop. When its inbox is full, q is
// held back together with its requester, which is not read until there is room; where a socket
// cannot be left unread, q is refused. What has crossed before always may: it fills here what it
// has left elsewhere.
func (l *Loop) mayCross(to *Loop, q *request) bool {
	c := l.asking
	switch {
	case c == nil || l.mayFill(to, len(q.payload)):
		return true
	case !l.broker.canPause || c.state != stateOpen:
		l.failRequest(q, codec.ServiceUnavailable, "this node has more to do than it can",
			codec.TextDetail("reason", "busy"))
	default:
		l.crowded = to
		if q.mark != 0 {
			l.note(q.mark, trace.Queued, nil, "its sender is not read")
		}
		c.silence().request = q.pack()
		c.recharge()
	}
	return false
}

// sendRequest hands q to another loop: for a service of that loop, or to wait there.
func (l *Loop) sendRequest(to *Loop, kind itemKind, s *service, q *request) {
	p := l.parcelFor(to)
	it := p.add(kind)
	it.to = s
	p.packRequest(it, q)
	l.added(to, p)
}

// receiveRequest takes a request from another loop: for one of this loop's services, or to wait
// here.
func (l *Loop) receiveRequest(p *parcel, it *item) {
	q := p.request(it)
	if it.kind == itemQueue {
		l.lower = topic.Lower(l.lower[:0], q.topic)
		l.assignOrQueue(&q, l.lower)
	} else {
		l.deliverRequest(&q, it.to)
	}
}

// deliverRequest sends q to s, a service of this loop that was reserved for it, and keeps its
// entry. If s has left or stalled since, q is assigned again.
func (l *Loop) deliverRequest(q *request, s *service) {
	c := l.connOf(s)
	if c != nil && !c.out.Stalled() && c.out.Bytes()+len(q.payload) > l.broker.limits.Bytes {
		c.flush(false)
	}
	if c == nil || c.out.Stalled() {
		l.freed(s)
		if c == nil {
			q.hops++ // a service that is only behind may get it yet
		}
		l.lower = topic.Lower(l.lower[:0], q.topic)
		l.assign(q, l.lower)
		return
	}
	if l.time.Ms >= q.deadline {
		l.freed(s)
		l.expiredRequest(q)
		return
	}
	if l.parting != partNone && (l.parting == partAll || q.requester.marked(markCut) ||
		c.marked(markCut)) {
		l.freed(s)
		l.drainedRequest(q)
		return
	}
	o := &l.outstanding
	e := o.take(q)
	if e == nil {
		l.freed(s)
		l.failRequest(q, codec.ServiceUnavailable, "too many requests are outstanding",
			codec.TextDetail("reason", "busy"))
		return
	}
	o.bind(e, c)
	l.wheel.Add(&e.timer, q.deadline)
	header := l.headerEnd(e.id.Append(l.headerStart(codec.Request, q.topic, q.version)))
	if e.mark != 0 && l.trace.book != nil {
		l.trace.book.Mask(e.mark, l.time.Unix, e.id)
		l.noteMatched(e.mark, c, topic.Request, topic.Lower(nil, q.topic))
	}
	l.sendProtected(c, header, q.payload, c.textFrame(q.text, q.payload), q.id, e.key(), e.mark)
	if l.broker.outstanding.Add(1) > l.broker.maxOutstanding {
		l.evict(e)
	}
}
