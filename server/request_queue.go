package server

import "mbserver/codec"

// queues are the requests that wait on one loop for a service with room: a queue per topic, on the loop that the topic
// hashes to. Loop only.
type queues struct {
	byTopic map[string]*topicQueue
	busy    []*topicQueue // those that hold a request, in the order in which they are served
}

// topicQueue is the requests waiting on one topic: a lane per requester, served in turn; first in first out within one
// (protocol §9).
type topicQueue struct {
	topic string // canonical
	lanes map[*service]*lane
	next  *lane // the lane to be served next; a ring through lane.next
	count int
	at    int // index in queues.busy
}

// lane is one requester's requests on one topic.
type lane struct {
	requester  *service
	head, tail *entry
	count      int
	prev, next *lane
}

// queueLoop returns the loop on which requests on a topic wait. The hash (FNV-1a) is not keyed, so that a simulation goes the
// same way in every run: topics chosen to collide share a loop, nothing more.
func (n *Node) queueLoop(name []byte) *loop {
	h := uint32(2166136261)
	for _, b := range name {
		h = (h ^ uint32(b)) * 16777619
	}
	return n.loops[(h^h>>16)%uint32(len(n.loops))]
}

// enqueue makes q wait, or refuses it: the queue of its topic is bounded.
func (l *loop) enqueue(q *request, name []byte) {
	qs := &l.queues
	t := qs.byTopic[string(name)]
	if l.node.cfg.Max.QueuedPerTopic == 0 || t != nil && t.count >= l.node.cfg.Max.QueuedPerTopic && !l.displace(t, q.requester) {
		l.failInquiry(q, codec.ServiceUnavailable, "no service has room, and as many requests wait on this topic as may", textDetail("reason", "queue_full"))
		return
	}
	if l.node.overBudget() {
		l.failInquiry(q, codec.ServiceUnavailable, "no service has room, and this node has no memory to let requests wait", textDetail("reason", "memory"))
		return
	}
	e := l.outstanding.take(q.arrived)
	if e == nil {
		l.failInquiry(q, codec.ServiceUnavailable, "too many requests are outstanding", textDetail("reason", "busy"))
		return
	}
	if t == nil {
		t = &topicQueue{topic: string(name), lanes: make(map[*service]*lane), at: len(qs.busy)}
		if qs.byTopic == nil {
			qs.byTopic = make(map[string]*topicQueue)
		}
		qs.byTopic[t.topic] = t
		qs.busy = append(qs.busy, t)
	}
	e.describe(q)
	packed := q.envelope(envelopeQueue)
	e.body, e.idLen, e.topicLen, e.text, e.deadline = packed.body, packed.idLen, packed.topicLen, q.text, q.deadline
	t.append(e)
	l.charge += bodyCharge(e.body)
	q.requester.queued.Add(1)
	l.node.queued.Add(1)
	l.serve.Store(true) // room that came before it was counted as waiting woke nobody
	l.wheel.Add(&e.timer, q.deadline)
	count := l.node.outstanding.Add(1)
	if q.requester.left.Load() { // it left while this was on its way, and may have seen nothing to discard
		l.outstanding.drop(e)
		return
	}
	if count > l.node.maxOutstanding {
		l.evictOldest(e)
	}
}

// displace makes room in a full queue for a requester that has less than its share of it: the newest request of one that
// has more gives way. So nobody can keep the others out by filling the queue.
func (l *loop) displace(t *topicQueue, s *service) bool {
	own, lanes := 0, len(t.lanes)
	if ln := t.lanes[s]; ln != nil {
		own = ln.count
	} else {
		lanes++
	}
	if (own+1)*lanes >= t.count {
		return false
	}
	greedy := t.next
	for greedy.count <= own+1 { // the mean is more than that
		greedy = greedy.next
	}
	l.failEntry(greedy.tail, codec.ServiceUnavailable, "no service has room, and others have fewer requests waiting on this topic", textDetail("reason", "queue_full"))
	return true
}

func (t *topicQueue) append(e *entry) {
	e.queue = t
	t.count++
	ln := t.lanes[e.requester]
	if ln == nil {
		ln = &lane{requester: e.requester}
		t.lanes[e.requester] = ln
		if t.next == nil {
			ln.prev, ln.next, t.next = ln, ln, ln
		} else { // behind all that wait: its first turn comes last
			ln.prev, ln.next = t.next.prev, t.next
			ln.prev.next, ln.next.prev = ln, ln
		}
	}
	if ln.tail == nil {
		ln.head = e
	} else {
		ln.tail.next, e.prev = e, ln.tail
	}
	ln.tail = e
	ln.count++
}

// unlink takes e out of its queue.
func (qs *queues) unlink(e *entry) {
	t := e.queue
	ln := t.lanes[e.requester]
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		ln.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		ln.tail = e.prev
	}
	e.prev, e.next, e.queue = nil, nil, nil
	ln.count--
	if ln.head == nil {
		delete(t.lanes, ln.requester)
		if ln.next == ln {
			t.next = nil
		} else {
			ln.prev.next, ln.next.prev = ln.next, ln.prev
			if t.next == ln {
				t.next = ln.next
			}
		}
	}
	if t.count--; t.count == 0 {
		last := len(qs.busy) - 1
		qs.busy[t.at] = qs.busy[last]
		qs.busy[t.at].at = t.at
		qs.busy[last] = nil
		qs.busy = qs.busy[:last]
		delete(qs.byTopic, t.topic)
	}
}

// wakeQueues has every loop on which requests wait look for room again at the end of its turn.
func (n *Node) wakeQueues() {
	if n.queued.Load() == 0 {
		return
	}
	for _, l := range n.loops {
		if !l.serve.Swap(true) {
			l.driver.Schedule()
		}
	}
}

// serveQueues delivers waiting requests for as long as services have room: one from each topic in turn, and from each
// requester of a topic in turn.
func (l *loop) serveQueues() {
	qs := &l.queues
	for progress := true; progress && len(qs.busy) > 0; {
		progress = false
		for i := len(qs.busy) - 1; i >= 0; i-- {
			if i < len(qs.busy) && l.serveOne(qs.busy[i]) {
				progress = true
			}
		}
	}
}

// serveOne takes the next request of t to a service, or fails it when its deadline has come or nobody serves the topic any
// more. It reports whether one left the queue.
func (l *loop) serveOne(t *topicQueue) bool {
	e := t.next.head
	if l.time.Ms >= e.deadline {
		e.expire()
		return true
	}
	l.lower = append(l.lower[:0], t.topic...)
	cs := l.requests.Lookup(l.lower)
	if len(cs) == 0 {
		l.failUnrouted(e)
		return true
	}
	s := l.reserve(cs)
	if s == nil {
		return false
	}
	if !simfaultBuild || !strikes(simUnfairLane) {
		t.next = t.next.next
	}
	body := e.body
	body.Retain(1)
	q := unpack(body.B, e.idLen, e.topicLen)
	q.requester, q.text, q.arrived, q.deadline = e.requester, e.text, e.arrived, e.deadline
	l.outstanding.drop(e)
	l.dispatchTo(s, &q)
	body.Release()
	return true
}

// discardQueuedOf drops, on every loop, the requests of a service that has left and that still wait.
func (n *Node) discardQueuedOf(s *service) {
	if s.queued.Load() == 0 {
		return
	}
	for _, l := range n.loops {
		l.post(envelope{kind: envelopeCall, call: func(l *loop) { l.discardQueued(s) }})
	}
}

func (l *loop) discardQueued(s *service) {
	for i := len(l.queues.busy) - 1; i >= 0; i-- {
		if ln := l.queues.busy[i].lanes[s]; ln != nil {
			for e := ln.head; e != nil; {
				next := e.next
				l.outstanding.drop(e)
				e = next
			}
		}
	}
}
