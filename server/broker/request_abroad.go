package broker

import (
	"bytes"
	"encoding/binary"

	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/server/metrics"
	"mbserver/server/trace"
	"mbserver/server/wheel"
	"mbserver/topic"
)

// Requests of this node that services of others have (protocol §12).
//
// Purpose. This node, their origin, owns them: their deadline, their one answer, their place among
// the oldest. It gives each to a service at most once.
//
// Outline.
//
//	deliverAbroad  a request for a service of another node: it is sent there, and its entry kept
//	               on this loop
//	receiveWord    the word of it has come: the answer, a failure, or that the service had no
//	               room; then it is assigned again, or waits here
//	loseNode       a node is gone: what it has fails
//
// Invariants. An entry is named by 128 bits that nobody guesses; a word that matches none, or comes
// from another node than it was sent to, is counted and dropped. A request is sent again only after
// the word that the service has got nothing.
//
// Cost. The copy into what the turn sends to that node, and no other: a request comes back with its
// payload from a service that has no room.

const (
	// busyTries is how often a request is offered to another service after one of another node had
	// no room for it. Then it waits.
	busyTries = 2

	// busyRest is for how many ms a service is not asked that had no room and has not said since
	// how much it has.
	busyRest = 100
)

// deliverAbroad sends q to s, a service of another node that was reserved for it.
func (l *Loop) deliverAbroad(q *request, s *service) {
	node := s.far().node
	switch {
	case l.time.Ms >= q.deadline:
		l.freed(s)
		l.expiredRequest(q)
		return
	case l.parting == partAll || l.parting == partSome && q.requester.marked(markCut):
		l.freed(s)
		l.drainedRequest(q)
		return
	case s.marked(markLeft):
		l.freed(s)
		q.hops++
		l.assignAgain(q)
		return
	}
	e := l.outstanding.take(q)
	if e == nil {
		l.freed(s)
		l.failRequest(q, codec.ServiceUnavailable, "too many requests are outstanding",
			codec.TextDetail("reason", "busy"))
		return
	}
	e.far = s
	node.asked[l.index].Push(&e.link)
	count := l.broker.outstanding.Add(1)
	x := &l.crossing.request
	*x = abroad.Request{
		Ref: e.id, Service: s.id, Requester: q.requester.id, Left: q.deadline - l.time.Ms,
		Text: q.text, Owed: e.hasID, Topic: q.topic, Version: q.version, Payload: q.payload,
	}
	sent := l.broker.cluster.Ask(l.index, node.slot, x)
	*x = abroad.Request{}
	if !sent {
		l.rest(s)
		l.outstanding.drop(e)
		q.tries++
		l.assignAgain(q)
		return
	}
	l.crossing.some = true
	l.counts[metrics.RequestsAcross]++
	l.wheel.Add(&e.timer, q.deadline)
	if e.mark != 0 && l.trace.book != nil {
		l.trace.book.Mask(e.mark, l.time.Unix, e.id)
		l.note(e.mark, trace.Matched, s, elsewhere)
	}
	if count > l.broker.maxOutstanding {
		l.evict(e)
	}
}

// elsewhere is said in traces of what goes to another node.
const elsewhere = "at another node"

// assignAgain assigns a request that its service does not get.
func (l *Loop) assignAgain(q *request) {
	l.lower = topic.Lower(l.lower[:0], q.topic)
	l.assign(q, l.lower)
}

// unbindAbroad takes e off the service of another node that has it.
func (l *Loop) unbindAbroad(e *entry) {
	s := e.far
	s.far().node.asked[l.index].Remove(&e.link)
	e.far = nil
	l.freed(s)
}

// cancelAbroad takes e back from another node, where nobody waits for its answer any more.
func (l *Loop) cancelAbroad(e *entry) {
	if node := e.far.far().node; !node.marked(markLeft) {
		l.broker.cluster.Cancel(l.index, node.slot, e.id)
		l.crossing.some = true
	}
}

// rest has a service of another node not asked for a while that had no room, until it says
// otherwise.
func (l *Loop) rest(s *service) {
	s.mark(markBusy, true)
	f := s.far()
	if f.home == l {
		f.begin()
		return
	}
	l.sendCall(f.home, func(*Loop) { f.begin() })
}

func (f *far) begin() { f.home.wheel.Add(&f.timer, f.home.time.Ms+busyRest) }

// Expire implements wheel.Expirer: it may be asked again.
func (f *far) Expire(*wheel.Timer, int64) {
	f.of.mark(markBusy, false)
	f.home.offer(f.of)
}

// Answered implements backplane.Broker.
func (n *ClusterNode) Answered(slot uint32, a *abroad.Answer) {
	node, loop := n.others.present(slot), a.Ref.Lo&0xff
	if node == nil || loop >= uint64(len(n.loops)) {
		n.unmatched.Add(1)
		return
	}
	p := n.calls.parcelFor(n.loops[loop])
	it := p.add(itemWord)
	it.from, it.hops, it.number = &node.service, uint8(a.Outcome), node.loads
	it.idLen = uint8(min(len(a.Code), codeMost))
	p.name(it, a.Ref)
	p.append(it, []byte(a.Code[:it.idLen]))
	p.append(it, a.Payload)
}

// codeMost is how long an error's code may be, in bytes.
const codeMost = 64

// name makes the name of a request of another node, or of this one's there, the beginning of the
// last item.
func (p *parcel) name(it *item, ref codec.UUID) {
	it.start, it.end = uint32(len(p.bytes)), uint32(len(p.bytes))
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], ref.Hi)
	binary.LittleEndian.PutUint64(b[8:], ref.Lo)
	p.append(it, b[:])
}

// append appends to the last item.
func (p *parcel) append(it *item, b []byte) {
	p.bytes = append(p.bytes, b...)
	it.end = uint32(len(p.bytes))
	p.size += len(b)
}

// named is the inverse of name: rest is what follows it.
func named(b []byte) (ref codec.UUID, rest []byte) {
	ref.Hi, ref.Lo = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	return ref, b[16:]
}

// receiveWord takes the word of another node of a request that it was sent.
func (l *Loop) receiveWord(p *parcel, it *item) {
	ref, rest := named(p.bytes[it.start:it.end])
	e := l.outstanding.findAbroad(ref)
	if e == nil || e.far.far().node != it.from.far().node {
		l.counts[metrics.AnswersUnmatched]++
		return
	}
	code, payload := rest[:it.idLen], rest[it.idLen:]
	switch abroad.Outcome(it.hops) {
	case abroad.Answered:
		if l.broker.watched() {
			l.showAnswer(e, payload)
		}
		l.answered(e, payload, false)
	case abroad.Failed:
		l.failedAbroad(e, codec.Code(code), payload)
	default:
		l.bounced(e, payload, it.number)
	}
}

// failedAbroad passes on why a request has no answer, as its target said it.
func (l *Loop) failedAbroad(e *entry, code codec.Code, payload []byte) {
	if e.mark != 0 {
		l.noteFailure(e.mark, e.far, code, nil)
	}
	l.outstanding.drop(e) // e stays readable until the next take
	if e.hasID {
		l.sendTo(e.requester, l.entryHeader(e), payload, false, answerOwed|answerFailure)
	}
}

// bounced assigns a request again that has come back with its payload: its service had no room, or
// has left. loads is which words of loads had come before.
func (l *Loop) bounced(e *entry, payload []byte, loads uint64) {
	l.counts[metrics.RequestsBounced]++
	if e.far.far().loaded.Load() <= loads { // else it has said since how much room it has
		l.rest(e.far)
	}
	if e.requester.marked(markLeft) {
		l.discard(e)
		return
	}
	if e.mark != 0 {
		l.note(e.mark, trace.Queued, e.far, "it had no room")
	}
	l.crossing.returned = append(l.crossing.returned[:0], e.header...)
	q := request{trip: e.trip, payload: payload}
	q.topic, q.version, _ = bytes.Cut(l.crossing.returned, []byte{':'})
	q.version, q.id, _ = bytes.Cut(q.version, []byte{':'})
	q.tries++
	l.outstanding.drop(e)
	l.lower = topic.Lower(l.lower[:0], q.topic)
	if !l.mayRequest(q.requester, string(l.lower)) {
		l.forbidRequest(&q)
		return
	}
	l.assign(&q, l.lower)
}

// loseNode ends what another node that is gone has of this loop's, and what this loop has of its.
func (l *Loop) loseNode(node *farNode) {
	l.forgetWaits(node)
	l.inPieces(func() (done bool) {
		for k := node.asked[l.index].First(); k != nil; k = node.asked[l.index].First() {
			if !l.mayEnd() {
				return false
			}
			l.counts[metrics.RequestsNodeLost]++
			e := k.Item
			l.failEntry(e, codec.ServiceUnavailable,
				"the node of the service was lost before it answered",
				codec.TextDetail("targetServiceId", e.far.id.String()),
				codec.TextDetail("reason", "node_lost"))
		}
		for k := node.theirs[l.index].list.First(); k != nil; {
			if !l.mayEnd() {
				return false
			}
			l.withdraw(k.Item)
			k = node.theirs[l.index].list.First()
		}
		return true
	})
}

// calls are what other nodes say of requests, gathered for each loop until Called. One goroutine at
// a time.
type calls struct {
	broker  *Broker
	parcels []*parcel // by loop; nil: nothing
}

func (c *calls) init(b *Broker) { c.broker, c.parcels = b, make([]*parcel, len(b.loops)) }

// parcelFor returns what is gathered for a loop, with room for more. Who adds to it does so at
// once.
func (c *calls) parcelFor(to *Loop) *parcel {
	p := c.parcels[to.index]
	if p != nil && (p.size >= c.broker.parcelBytes || len(p.items) >= c.broker.parcelItems) {
		to.accept(p, nil, nil, false)
		p = nil
	}
	if p == nil {
		p = c.broker.spares.take()
		c.parcels[to.index] = p
	}
	return p
}

// Called implements backplane.Broker.
func (n *ClusterNode) Called() {
	for i, p := range n.calls.parcels {
		if p != nil {
			n.calls.parcels[i] = nil
			n.loops[i].accept(p, nil, nil, false)
		}
	}
}
