package broker

import (
	"mbserver/codec"
	"mbserver/server/fair"
	"mbserver/topic"
)

// queues are the requests that wait on one loop for a service with room: a queue per topic, on the
// loop that the topic hashes to. Loop only.
type queues struct {
	byTopic map[string]*topicQueue
	busy    []*topicQueue // those that hold a request, in no order
}

// topicQueue is the requests waiting on one topic: a lane per requester, served in turn; first in
// first out within one (protocol §9).
type topicQueue struct {
	fair.Queue[*service, *entry]
	topic string // canonical
	at    int    // index in queues.busy
}

// queueLoop returns the loop on which requests on a topic wait. The hash is not keyed, so that a
// simulation goes the same way in every run: topics chosen to collide share a loop, nothing more.
func (b *Broker) queueLoop(name []byte) *Loop {
	return b.loops[topic.Hash(name)%uint32(len(b.loops))]
}

// enqueue makes q wait, or refuses it: the queue of its topic is bounded.
func (l *Loop) enqueue(q *request, name []byte) {
	qs := &l.queues
	t := qs.byTopic[string(name)]
	if l.broker.queuedPerTopic == 0 ||
		t != nil && t.Len() >= l.broker.queuedPerTopic && !l.displace(t, q.requester) {
		l.failRequest(q, codec.ServiceUnavailable,
			"no service has room, and as many requests wait on this topic as may",
			codec.TextDetail("reason", "queue_full"))
		return
	}
	if l.broker.overBudget() {
		l.failRequest(q, codec.ServiceUnavailable,
			"no service has room, and this node has no memory to let requests wait",
			codec.TextDetail("reason", "memory"))
		return
	}
	e := l.outstanding.take(q.arrived)
	if e == nil {
		l.failRequest(q, codec.ServiceUnavailable, "too many requests are outstanding",
			codec.TextDetail("reason", "busy"))
		return
	}
	if t == nil {
		t = &topicQueue{topic: string(name), at: len(qs.busy)}
		if qs.byTopic == nil {
			qs.byTopic = make(map[string]*topicQueue)
		}
		qs.byTopic[t.topic] = t
		qs.busy = append(qs.busy, t)
	}
	e.describe(q)
	e.packed, e.queue = q.pack(), t
	t.Push(q.requester, &e.link)
	l.charge += bodyCharge(e.body)
	q.requester.queued.Add(1)
	l.broker.queued.Add(1)
	// Look again at the end of this turn: room that appeared before queued was raised above saw
	// nobody waiting and woke nobody.
	l.serve.Store(true)
	l.wheel.Add(&e.timer, q.deadline)
	count := l.broker.outstanding.Add(1)
	if q.requester.left.Load() {
		// It left while this was on its way, and may have seen nothing to discard.
		l.outstanding.drop(e)
		return
	}
	if count > l.broker.maxOutstanding {
		l.evictOldest(e)
	}
}

// displace makes room in a full queue for a requester that has less than its share of it: the
// newest request of one that has more gives way. So nobody can keep the others out by filling the
// queue.
func (l *Loop) displace(t *topicQueue, s *service) bool {
	k := t.Displaceable(s)
	if k == nil {
		return false
	}
	l.failEntry(k.Item, codec.ServiceUnavailable,
		"no service has room, and others have fewer requests waiting on this topic",
		codec.TextDetail("reason", "queue_full"))
	return true
}

// unlink takes e out of its queue.
func (qs *queues) unlink(e *entry) {
	t := e.queue
	t.Remove(e.requester, &e.link)
	e.queue = nil
	if t.Len() > 0 {
		return
	}
	last := len(qs.busy) - 1
	qs.busy[t.at] = qs.busy[last]
	qs.busy[t.at].at = t.at
	qs.busy[last] = nil
	qs.busy = qs.busy[:last]
	delete(qs.byTopic, t.topic)
}

// wakeQueues has every loop look for room at the end of its turn, if requests wait anywhere.
func (b *Broker) wakeQueues() {
	if b.queued.Load() == 0 {
		return
	}
	for _, l := range b.loops {
		if !l.serve.Swap(true) {
			l.driver.Schedule()
		}
	}
}

// serveQueues delivers waiting requests for as long as services have room: one from each topic in
// turn, and from each requester of a topic in turn.
func (l *Loop) serveQueues() {
	qs := &l.queues
	if len(qs.busy) == 0 {
		return
	}
	l.measure(l.driver.Now().Ns, quantum/2)
	for progress := true; progress && len(qs.busy) > 0; {
		progress = false
		for i := len(qs.busy) - 1; i >= 0; i-- {
			if i < len(qs.busy) && l.serveOne(qs.busy[i]) {
				progress = true
				if l.spend(messageWork); l.spent {
					l.serve.Store(true) // the rest in the next turn
					return
				}
			}
		}
	}
}

// serveOne takes the next request of t to a service, or fails it when its deadline has come or
// nobody serves the topic any more. It reports whether one left the queue.
func (l *Loop) serveOne(t *topicQueue) bool {
	e := t.Next().Item
	if l.time.Ms >= e.deadline {
		l.expired(e)
		return true
	}
	l.lower = append(l.lower[:0], t.topic...)
	cs := l.requests.Lookup(l.lower)
	if len(cs) == 0 {
		l.deserted(e)
		return true
	}
	s := l.reserve(cs)
	if s == nil {
		return false
	}
	if !simfaultBuild || !strikes(simUnfairLane) {
		t.Advance()
	}
	body := e.body
	body.Retain(1)
	q := request{trip: e.trip}
	q.unpack(body.B, e.idLen, e.topicLen)
	q.hops = 0 // it starts afresh
	l.outstanding.drop(e)
	l.dispatchTo(s, &q)
	body.Release()
	return true
}

// discardQueuedOf drops, on every loop, the requests of a service that has left and that still
// wait.
func (b *Broker) discardQueuedOf(s *service) {
	if s.queued.Load() == 0 {
		return
	}
	for _, l := range b.loops {
		l.call(func(l *Loop) { l.discardQueued(s) })
	}
}

func (l *Loop) discardQueued(s *service) {
	for i := len(l.queues.busy) - 1; i >= 0; i-- {
		q := l.queues.busy[i] // gone from there with its last request
		for k := q.First(s); k != nil; k = q.First(s) {
			l.outstanding.drop(k.Item)
		}
	}
}
