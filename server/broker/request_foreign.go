package broker

import (
	"bytes"
	"encoding/binary"

	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/server/metrics"
	"mbserver/server/trace"
	"mbserver/topic"
)

// Requests of other nodes for services of this one, their target (protocol §12).
//
// Purpose. A service is given what others ask of it as what is asked here, never more than it may
// have, and its answer goes back once.
//
// Outline.
//
//	Asked         a request is put into the inbox of its service's loop, or what says that there
//	              is no room for it
//	receiveAsked  the service has room: it gets the request, under a masked ID of this node; else
//	              the request goes back (bounce)
//	tellOrigin    the service has answered, or will not: the origin is told
//	withdraw      the origin does not wait any more, or is gone: the service does not get it, if
//	              it has not yet, and its answer is that to no request
//
// Invariants. Such a request is in no ages and does not count for max.outstanding.requests, which
// is its origin's; it is bounded by its service's capacity, the memory budget and its time, and
// charged to the loop. Each that was not withdrawn and did not run out of time, which its origin
// knows by itself, is answered once.
//
// Cost. As that of another loop, and a place in a map, by which it can be withdrawn.

// Asked implements backplane.Broker.
func (n *ClusterNode) Asked(slot uint32, q *abroad.Request) {
	node := n.others.present(slot)
	if node == nil {
		return
	}
	s := n.registry.find(q.Service)
	l := n.loops[q.Ref.Hi%uint64(len(n.loops))]
	if s != nil {
		l = s.loop
	}
	size := int64(len(q.Topic) + len(q.Version) + len(q.Payload) + foreignHead + itemCharge)
	filled := n.filled(&l.inbox) + size
	if p := n.calls.parcels[l.index]; p != nil {
		filled += int64(p.size)
	}
	if filled > 2*int64(n.inboxBytes) { // nor for what says that there is no room
		n.unmatched.Add(1)
		return
	}
	p := n.calls.parcelFor(l)
	it := p.add(itemAsked)
	it.from, it.to = &node.service, s
	if filled > int64(n.inboxBytes) || n.overBudget() {
		it.to = nil
	}
	if q.Owed {
		it.hops = 1
	}
	it.topicLen = uint16(min(len(q.Topic), topic.MaxLength+1))
	p.name(it, q.Ref)
	p.number(it, q.Requester.Hi)
	p.number(it, q.Requester.Lo)
	p.number(it, uint64(q.Left))
	p.append(it, q.Topic[:it.topicLen])
	it.idLen = uint8(min(len(q.Version), versionMost))
	p.append(it, q.Version[:it.idLen])
	p.append(it, q.Payload)
}

const (
	// foreignHead is what stands before a request's topic in an item, in bytes.
	foreignHead = 40

	// versionMost is how long a version may be, in bytes, and one more.
	versionMost = 21
)

func (p *parcel) number(it *item, v uint64) {
	p.bytes = binary.LittleEndian.AppendUint64(p.bytes, v)
	it.end = uint32(len(p.bytes))
	p.size += 8
}

// Cancelled implements backplane.Broker. Which loop has the request is known to those alone.
func (n *ClusterNode) Cancelled(slot uint32, ref codec.UUID) {
	node := n.others.present(slot)
	if node == nil {
		return
	}
	for _, l := range n.loops {
		p := n.calls.parcelFor(l)
		it := p.add(itemCancel)
		it.from = &node.service
		p.name(it, ref)
	}
}

// receiveCancel takes word that an origin does not wait any more.
func (l *Loop) receiveCancel(p *parcel, it *item) {
	ref, _ := named(p.bytes[it.start:it.end])
	if e := it.from.far().node.theirs[l.index].named[ref]; e != nil {
		l.withdraw(e)
	}
}

// withdraw takes back a request of another node.
func (l *Loop) withdraw(e *entry) {
	if e.mark != 0 {
		l.note(e.mark, trace.Dropped, e.targetService(), "its node does not wait any more")
	}
	l.takeOut(e)
	l.outstanding.drop(e)
}

// foreignRequest reads a request of another node. It aliases the parcel.
func foreignRequest(p *parcel, it *item) (q request, ref, requester codec.UUID, left int64) {
	ref, b := named(p.bytes[it.start:it.end])
	requester, b = named(b)
	left = int64(min(binary.LittleEndian.Uint64(b), leftMost))
	b = b[8:]
	q.topic, b = b[:it.topicLen], b[it.topicLen:]
	q.version, q.payload = b[:it.idLen], b[it.idLen:]
	return q, ref, requester, left
}

// leftMost is for how long another node's request is taken at the most, in ms.
const leftMost = 1 << 31

// receiveAsked takes a request of another node for a service of this loop.
func (l *Loop) receiveAsked(p *parcel, it *item) {
	node := it.from.far().node
	q, ref, requester, left := foreignRequest(p, it)
	if node.marked(markLeft) || node.theirs[l.index].named[ref] != nil {
		return
	}
	s := it.to
	if s == nil || !l.mayTakeForeign(s, &q) || !l.takeFor(s, node) {
		l.bounce(node, ref, &q)
		return
	}
	c := l.connOf(s)
	q.arrived, q.deadline = l.time.Ms, l.time.Ms+max(left, 1)
	q.arrivedNs = uint32(l.time.Ns - l.time.Ms*1e6)
	e := l.outstanding.takeForeign(&q, node, ref)
	if e == nil {
		l.freed(s)
		l.bounce(node, ref, &q)
		return
	}
	e.hasID = it.hops != 0
	l.counts[metrics.RequestsForeign]++
	if l.trace.looks != nil {
		e.mark = l.observeForeign(ref, requester, l.lower)
	}
	l.outstanding.bind(e, c)
	l.wheel.Add(&e.timer, q.deadline)
	header := l.headerEnd(e.id.Append(l.headerStart(codec.Request, q.topic, q.version)))
	if e.mark != 0 && l.trace.book != nil {
		l.trace.book.Mask(e.mark, l.time.Unix, e.id)
		l.noteMatched(e.mark, c, topic.Request, l.lower)
	}
	l.crossing.original = ref.Append(l.crossing.original[:0])
	l.sendProtected(c, header, q.payload, c.textFrame(false, q.payload), l.crossing.original,
		e.key(), e.mark)
}

// mayTakeForeign says whether a service of this loop is there for a request of another node: a
// well-formed one that it is subscribed to, whoever says so. l.lower is its canonical topic then.
func (l *Loop) mayTakeForeign(s *service, q *request) bool {
	c := l.connOf(s)
	if c == nil || l.parting == partAll || l.parting == partSome && c.marked(markCut) {
		return false
	}
	if !wellFormed(q.topic, q.version) {
		return false
	}
	l.lower = topic.Lower(l.lower[:0], q.topic)
	if topic.IsSystem(l.lower) || !c.subs.want(l.lower, topic.Request) {
		return false
	}
	if !c.out.Stalled() && c.out.Bytes()+len(q.payload) > l.broker.limits.Bytes {
		c.flush(false)
	}
	return c.state == stateOpen && !c.out.Stalled()
}

// wellFormed says whether a topic and a version may stand in a header line.
func wellFormed(name, version []byte) bool {
	levels, begins := 1, true
	for _, b := range name {
		letter := b|0x20 >= 'a' && b|0x20 <= 'z'
		switch {
		case b == '.' && !begins:
			levels, begins = levels+1, true
			continue
		case begins && !letter, !letter && (b < '0' || b > '9'):
			return false
		}
		begins = false
	}
	if begins || levels > topic.MaxLevels || len(name) > topic.MaxLength {
		return false
	}
	for _, b := range version {
		if b != '.' && (b < '0' || b > '9') {
			return false
		}
	}
	return len(version) > 0 && len(version) < versionMost
}

// takeFor takes room at s, a service of this loop, for a request of another node: of what is kept
// for it, or of what nobody waits for.
func (l *Loop) takeFor(s *service, node *farNode) bool {
	if t := s.toldOf(node); t.held > 0 {
		if t.held--; t.held == 0 {
			l.offer(s) // there may be more, and it may be its turn again
		}
		return true
	}
	return !(s.marked(markWaited) && l.broker.othersWait()) && s.take()
}

// bounce sends a request back that its service has not got.
func (l *Loop) bounce(node *farNode, ref codec.UUID, q *request) {
	l.counts[metrics.RequestsReturned]++
	l.answerNode(node, abroad.Answer{Ref: ref, Outcome: abroad.Busy, Payload: q.payload})
}

// answerNode sends word to another node.
func (l *Loop) answerNode(node *farNode, a abroad.Answer) {
	if node.marked(markLeft) {
		return
	}
	x := &l.crossing.answer
	*x = a
	if !l.broker.cluster.Answer(l.index, node.slot, x) {
		l.counts[metrics.AnswersUnsent]++
	}
	*x = abroad.Answer{}
	l.crossing.some = true
}

// answerOrigin sends the answer of a service to a request of another node, which was dropped. Where
// nobody waits for it only that it has come is told.
func (l *Loop) answerOrigin(e *entry, node *farNode, payload []byte) {
	if !e.hasID && !bytes.HasPrefix(payload, errorPrefix) {
		payload = nil
	}
	l.answerNode(node, abroad.Answer{Ref: e.ref, Outcome: abroad.Answered, Payload: payload})
}

// failOrigin tells a request's origin why it has no answer.
func (l *Loop) failOrigin(
	e *entry, node *farNode, code codec.Code, message string, details []codec.Detail,
) {
	l.answer = codec.AppendError(l.answer[:0], code, message, l.time.Unix, details...)
	l.answerNode(node, abroad.Answer{
		Ref: e.ref, Outcome: abroad.Failed, Code: code, Payload: l.answer,
	})
}

// lapsed frees a request of another node whose time is over: its origin has answered it.
func (l *Loop) lapsed(e *entry) {
	if e.mark != 0 {
		l.note(e.mark, trace.Expired, e.targetService(), "no answer")
	}
	l.countTime(e, e.answerTimes())
	l.takeOut(e)
	l.outstanding.drop(e)
}

// takeForeign is take for a request of another node.
func (o *outstanding) takeForeign(q *request, node *farNode, ref codec.UUID) *entry {
	e := o.fresh()
	if e == nil {
		return nil
	}
	o.identify(e)
	e.origin, e.ref = node, ref
	e.describe(q)
	theirs := &node.theirs[o.loop.index]
	theirs.list.Push(&e.age)
	if theirs.named == nil {
		theirs.named = make(map[codec.UUID]*entry)
	}
	theirs.named[ref] = e
	o.loop.charge += e.cost()
	return e
}

// dropForeign is the part of drop of a request of another node.
func (o *outstanding) dropForeign(e *entry) {
	theirs := &e.origin.theirs[o.loop.index]
	theirs.list.Remove(&e.age)
	delete(theirs.named, e.ref)
	e.origin = nil
}
