package broker

import (
	"mbserver/codec"
	"mbserver/server/fair"
	"mbserver/server/trace"
	"mbserver/topic"
)

// queues are the requests that wait on one loop for a service with room: a queue per topic, on the
// loop that the topic hashes to. Which of them is served next is in request_grant.go. Loop only.
type queues struct {
	byTopic map[string]*topicQueue
	busy    []*topicQueue                        // those that hold a request, in no order
	waits   map[*service]*fair.List[*topicQueue] // what waits for a service, in turn
	waiters map[*service]*waiter                 // by requester

	checks int // busy[:checks] are to be looked up again: subscriptions have changed
}

// topicQueue is the requests waiting on one topic: a lane per requester, served in turn; first in
// first out within one (protocol §9).
type topicQueue struct {
	fair.Queue[*service, *entry]
	topic  string // canonical
	at     int    // index in queues.busy
	cs     *candidates
	places []fair.Link[*topicQueue] // in what waits for each of cs.all
}

// waiter is one requester's requests that wait here.
type waiter struct {
	entries fair.List[*entry]
	topics  int // on which they wait
}

// What waiting costs beside a request's body, in bytes (measured, rounded up).
const (
	waitCharge  = 160 // the request's places in its queue and among its requester's
	queueCharge = 480 // the queue of a topic
	placeCharge = 64  // for each service that may answer
)

// cost is, in bytes, what t is charged; the same from enlist until unlist.
func (t *topicQueue) cost() int64 {
	return queueCharge + int64(len(t.topic)) + placeCharge*int64(len(t.places))
}

// queueLoop returns the loop on which requests on a topic wait. The hash is not keyed, so that a
// simulation goes the same way in every run: topics chosen to collide share a loop, nothing more.
func (b *Broker) queueLoop(name []byte) *Loop {
	return b.loops[topic.Hash(name)%uint32(len(b.loops))]
}

// enqueue makes q wait, or refuses it: what waits is bounded. cs are the topic's services, if
// nothing waits on it.
func (l *Loop) enqueue(q *request, name []byte, cs *candidates) {
	if l.parting == partAll || l.parting == partSome && q.requester.marked(markCut) {
		l.drainedRequest(q)
		return
	}
	t := l.queues.byTopic[string(name)]
	if reason, message := l.mustNotWait(t, q); reason != "" {
		l.failRequest(q, codec.ServiceUnavailable, message, codec.TextDetail("reason", reason))
		return
	}
	if t != nil && t.Len() >= l.broker.queuedPerTopic {
		l.displace(t, q.requester)
	}
	e := l.outstanding.take(q)
	if e == nil {
		l.failRequest(q, codec.ServiceUnavailable, "too many requests are outstanding",
			codec.TextDetail("reason", "busy"))
		return
	}
	opened := t == nil
	if opened {
		t = l.openQueue(name, cs)
	}
	l.queueEntry(t, e, q)
	if e.mark != 0 {
		l.note(e.mark, trace.Queued, nil, "no service has room")
	}
	if opened {
		if now := l.candidatesOf(name); now == nil || !now.same(cs) {
			l.serve.Store(true) // it changed before queued was raised, and woke nobody
		}
	}
	l.wheel.Add(&e.timer, q.deadline)
	count := l.broker.outstanding.Add(1)
	if q.requester.marked(markLeft) {
		// It left while this was on its way, and may have seen nothing to discard.
		l.discard(e)
		return
	}
	if !l.mayRequest(q.requester, t.topic) { // it lost that while this was on its way
		l.forbidEntry(e)
		return
	}
	if count > l.broker.maxOutstanding {
		l.evict(e)
	}
}

// mustNotWait says why q may not wait in t, in one word of protocol §7 and in a sentence; "" when
// it may.
func (l *Loop) mustNotWait(t *topicQueue, q *request) (reason, message string) {
	b := l.broker
	if b.queuedPerTopic == 0 || t != nil && t.Len() >= b.queuedPerTopic &&
		t.Displaceable(q.requester) == nil {
		return "queue_full", "no service has room, and as many requests wait on this topic as may"
	}
	if w := l.queues.waiters[q.requester]; w != nil && w.topics >= b.waitTopics &&
		(t == nil || t.First(q.requester) == nil) {
		return "queue_full", "no service has room, and you wait on as many topics as you may"
	}
	if b.overBudget() || b.queuedBytes.Load() > b.waitBytes {
		return "memory", "no service has room, and this node has no memory to let requests wait"
	}
	return "", ""
}

// openQueue makes the queue of a topic on which nothing waits.
func (l *Loop) openQueue(name []byte, cs *candidates) *topicQueue {
	qs := &l.queues
	t := &topicQueue{topic: string(name), at: len(qs.busy)}
	if qs.byTopic == nil {
		qs.byTopic = make(map[string]*topicQueue)
		qs.waits = make(map[*service]*fair.List[*topicQueue])
		qs.waiters = make(map[*service]*waiter)
	}
	qs.byTopic[t.topic] = t
	qs.busy = append(qs.busy, t)
	l.enlist(t, cs)
	return t
}

// closeQueue forgets a queue in which nothing waits any more.
func (l *Loop) closeQueue(t *topicQueue) {
	qs := &l.queues
	l.unlist(t.cs, t.places, t.cost())
	last := len(qs.busy) - 1
	qs.busy[t.at] = qs.busy[last]
	qs.busy[t.at].at = t.at
	qs.busy[last] = nil
	qs.busy = qs.busy[:last]
	delete(qs.byTopic, t.topic)
}

// queueEntry puts e, which is q, into t.
func (l *Loop) queueEntry(t *topicQueue, e *entry, q *request) {
	s := q.requester
	w := l.queues.waiters[s]
	if w == nil {
		w = &waiter{}
		l.queues.waiters[s] = w
	}
	if t.First(s) == nil {
		w.topics++
	}
	e.packed, e.queue = q.pack(), t
	w.entries.Push(&e.own)
	t.Push(s, &e.link)
	cost := waitCharge + bodyCharge(e.body)
	l.charge += cost
	l.broker.queuedBytes.Add(cost)
	s.queued.Add(1)
	l.broker.queued.Add(1)
}

// unqueue takes e out of its queue.
func (l *Loop) unqueue(e *entry) {
	t, s := e.queue, e.requester
	t.Remove(s, &e.link)
	e.queue = nil
	w := l.queues.waiters[s]
	w.entries.Remove(&e.own)
	if t.First(s) == nil {
		w.topics--
	}
	if w.entries.First() == nil {
		delete(l.queues.waiters, s)
	}
	if s.queued.Add(-1) == 0 && s.marked(markDue) {
		l.settled(s)
	}
	l.broker.queued.Add(-1)
	cost := waitCharge + bodyCharge(e.body)
	if !simfaultBuild || !strikes(simLeakedCharge) {
		l.charge -= cost
	}
	l.broker.queuedBytes.Add(-cost)
	e.body.Release()
	e.body = nil
	if t.Len() == 0 {
		l.closeQueue(t)
	}
}

// displace makes room in a full queue for a requester that has less than its share of it: the
// newest request of one that has more gives way. So nobody can keep the others out by filling the
// queue.
func (l *Loop) displace(t *topicQueue, s *service) {
	l.failEntry(t.Displaceable(s).Item, codec.ServiceUnavailable,
		"no service has room, and others have fewer requests waiting on this topic",
		codec.TextDetail("reason", "queue_full"))
}

// discardQueuedOf drops, on every loop, the requests of a service that has left and that still
// wait.
func (b *Broker) discardQueuedOf(s *service) {
	if s.queued.Load() == 0 {
		return
	}
	for _, l := range b.loops {
		l.call(func(l *Loop) { l.inPieces(func() bool { return l.discardQueued(s) }) })
	}
}

// discardQueued drops them on this loop, a part in each turn.
func (l *Loop) discardQueued(s *service) (done bool) {
	for w := l.queues.waiters[s]; w != nil; w = l.queues.waiters[s] {
		if !l.mayEnd() {
			return false
		}
		l.discard(w.entries.First().Item)
	}
	return true
}

// discard drops a request that waits, and whose requester has left: nobody is owed its answer.
func (l *Loop) discard(e *entry) {
	s, owed := e.requester, e.hasID
	if e.mark != 0 {
		l.note(e.mark, trace.Dropped, s, "the requester has left")
	}
	l.outstanding.drop(e)
	switch {
	case !owed || s.marked(markGone):
	case s.loop == l:
		l.forgive(s)
	default:
		l.sendCall(s.loop, func(l *Loop) { l.forgive(s) })
	}
}
