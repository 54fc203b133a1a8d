package broker

import (
	"mbserver/server/event"
	"mbserver/server/fair"
)

// Grants: which of the requests that wait is served next.
//
// Purpose. Room at a service goes to those that wait for it, in turn, and costs the same however
// many topics others wait on. Nobody who waits is overtaken for ever: not by requests that come
// later, not by another topic, another requester, or the loop that happens to be nearest.
//
// Outline. Requests wait by topic, on the loop of their topic; a topic waits for each service that
// may answer it. The loop of a service shares out its room, because there requests end.
//
//	enlist    a topic begins to wait for its services; the loop of each is told once that this
//	          loop waits for it (itemWaits, waitedFor)
//	offer     there may be room at a service that is waited for: grant is called in this turn
//	grant     takes some of that room and gives it to the loop whose turn it is (itemGrant)
//	useGrant  that loop serves the topics that wait for the service in turn, and of each topic
//	          its requesters; what it does not need goes back (itemReturn, granted)
//	recheck   after a change of subscriptions every topic is looked up again, some in each turn
//
// Invariants. While anybody waits for a service, only grants take its room (choose). A service with
// room that is waited for has an offer or a grant on its way. There is one grant of a service on
// its way at a time, so the room it takes is at most grantMost.
//
// Cost. For a request that waits, two more items between loops. A topic costs a link for each of
// its services, made when its first request begins to wait.
const (
	grantMost    = 16  // requests that one grant serves
	serveTurn    = 256 // steps of serving in one turn, a request each; the rest is for the next
	recheckSteps = 4   // what looking a topic up again is of those
)

// granting is what a loop knows of the services that are waited for, and has to do. Loop only.
type granting struct {
	awaited map[*service]*awaited // services of this loop
	offers  line[*awaited]        // of which there may be room
	steps   int                   // of serving in this turn
}

// enlist has t, which is in no list, wait for its services.
func (l *Loop) enlist(t *topicQueue, cs *candidates) {
	t.cs, t.places = cs, make([]fair.Link[*topicQueue], len(cs.all))
	for i, s := range cs.all {
		t.places[i].Item = t
		list := l.queues.waits[s]
		if list == nil {
			list = &fair.List[*topicQueue]{}
			l.queues.waits[s] = list
			l.waitFor(s)
		}
		list.Push(&t.places[i])
	}
	l.charge += t.cost()
	l.broker.queuedBytes.Add(t.cost())
	l.spend(len(cs.all))
}

// unlist ends the wait of a topic in those places for those services. Their loops are not told:
// they learn it from the next grant.
func (l *Loop) unlist(cs *candidates, places []fair.Link[*topicQueue], cost int64) {
	for i, s := range cs.all {
		list := l.queues.waits[s]
		if list.Remove(&places[i]); list.First() == nil {
			delete(l.queues.waits, s)
		}
	}
	l.charge -= cost
	l.broker.queuedBytes.Add(-cost)
	l.spend(len(cs.all))
}

// waitFor tells the loop of s that requests wait here for it.
func (l *Loop) waitFor(s *service) {
	s.mark(markWaited, true)
	if s.loop == l {
		l.waitedFor(s, l)
		return
	}
	l.sendRoom(s, itemWaits, 0, false)
}

// waitedFor notes that requests wait on a loop for s.
func (l *Loop) waitedFor(s *service, from *Loop) {
	if s.marked(markLeft) || !s.marked(markFar) && l.connOf(s) == nil {
		return // it leaves, and so do its subscriptions
	}
	l.awaitedOf(s).add(taker{loop: from})
	s.mark(markWaited, true) // it may have been given up meanwhile
	l.offer(s)
}

// awaitedOf returns what is known of s, a service of this loop, as one that is waited for.
func (l *Loop) awaitedOf(s *service) *awaited {
	a := l.awaited[s]
	if a != nil {
		return a
	}
	if l.awaited == nil {
		l.awaited = make(map[*service]*awaited)
	}
	a = &awaited{service: s}
	l.awaited[s] = a
	if s.marked(markFar) {
		l.tellWaits(a, true)
	} else {
		l.connOf(s).begins(event.Saturated, 0, "")
	}
	return a
}

// freed gives back room at s that a request has not used.
func (l *Loop) freed(s *service) {
	s.outstanding.Add(-1)
	switch {
	case !s.marked(markWaited) && !(s.marked(markDue) && !s.marked(markFar)):
	case s.loop == l:
		l.offer(s)
		l.settled(s)
	default:
		l.sendRoom(s, itemRoom, 0, false)
	}
}

// settled says that something which s had outstanding has come to its end, which may be what kept
// it (conn_drain.go).
func (l *Loop) settled(s *service) {
	switch {
	case !s.marked(markDue) || s.marked(markFar):
	case s.loop != l:
		l.sendCall(s.loop, func(l *Loop) { l.settled(s) })
	default:
		if c := l.connOf(s); c != nil {
			c.reconsider()
		}
	}
}

// offer says that there may be room at s, a service of this loop: before the turn ends it is
// granted, if anybody waits.
func (l *Loop) offer(s *service) {
	if a := l.awaited[s]; a != nil && !a.offered {
		a.offered = true
		l.offers.push(a)
	}
}

// serveQueues grants the room that was offered, and looks topics up again, as far as one turn may
// go.
func (l *Loop) serveQueues() {
	for ; l.offers.len() > 0 && l.steps < serveTurn && !l.writing; l.steps++ {
		a := l.offers.pop()
		a.offered = false
		l.grant(a)
		if l.framesFull() {
			l.fill()
		}
	}
	if l.serve.Swap(false) {
		l.queues.checks = len(l.queues.busy)
	}
	if l.queues.checks > 0 {
		l.recheck()
	}
}

// serving says that there is more to serve in this turn.
func (l *Loop) serving() bool {
	return l.steps < serveTurn && !l.writing &&
		(l.offers.len() > 0 || l.serve.Load() || l.queues.checks > 0)
}

// endServing ends the turn's part; what is left over is for the next (GivesWay).
func (l *Loop) endServing() { l.steps = 0 }

// grant takes room at a service for the loop, or the node, whose turn it is.
func (l *Loop) grant(a *awaited) {
	i := a.next()
	if i < 0 {
		return
	}
	n := a.service.takeSome(grantMost)
	if n == 0 {
		return
	}
	to := a.takers[i].loop
	copy(a.takers[i:], append(a.takers[i+1:], a.takers[i]))
	if to == nil {
		l.keepFor(a, a.takers[len(a.takers)-1].node, n)
	}
	if !a.service.marked(markFar) && l.broker.cluster != nil {
		l.tellLoad(a.service, true)
	}
	if to == nil {
		l.offer(a.service) // there may be more, and others
		return
	}
	a.granting = true
	if to == l {
		left, done := l.useGrant(a.service, n)
		l.granted(a.service, l, left, done)
		return
	}
	p := l.parcelFor(to)
	it := p.add(itemGrant)
	it.to, it.number = a.service, uint64(n)
	l.added(to, p)
}

// granted ends a grant: what is left of it goes back to s. done says that nothing waits for s on
// that loop any more.
func (l *Loop) granted(s *service, from *Loop, left int, done bool) {
	s.outstanding.Add(int32(-left))
	l.settled(s)
	a := l.awaited[s]
	if a == nil {
		return // it has left
	}
	a.granting = false
	if done {
		a.remove(taker{loop: from})
	}
	l.offerOrForget(a)
}

// offerOrForget goes on with a service that was waited for, if it still is.
func (l *Loop) offerOrForget(a *awaited) {
	if len(a.takers) > 0 {
		l.offer(a.service)
		return
	}
	l.forgetAwaited(a.service)
}

// forgetAwaited ends what is known of s: nobody waits for it, or it leaves.
func (l *Loop) forgetAwaited(s *service) {
	if a := l.awaited[s]; a != nil {
		for _, t := range a.takers {
			if t.node != nil {
				l.broker.others.waits.Add(-1)
			}
		}
		a.takers = nil
		delete(l.awaited, s)
		l.wheel.Cancel(&a.timer)
		if s.marked(markFar) {
			l.tellWaits(a, false)
		} else if c := l.connOf(s); c != nil {
			c.ends(event.Saturated, 0)
		}
	}
	s.mark(markWaited, false)
}

// useGrant serves up to n requests that wait for s, which has been reserved for them, and returns
// how many of them did not come. done says that nothing waits for s here any more.
func (l *Loop) useGrant(s *service, n int) (left int, done bool) {
	for range 2 * grantMost { // some may have expired, or not be for s any more
		list := l.queues.waits[s]
		if n == 0 || list == nil || s.marked(markStalled|markBusy) {
			break // it may be so since it was reserved
		}
		place := list.First()
		list.Remove(place)
		list.Push(place)
		if l.serveOne(place.Item, s) {
			n--
		}
		l.steps++
	}
	return n, l.queues.waits[s] == nil
}

// serveOne takes the next request of t to s, unless its deadline has come, its requester has left,
// or s does not serve the topic any more. It reports whether it did.
func (l *Loop) serveOne(t *topicQueue, s *service) bool {
	e := t.Next().Item
	if l.time.Ms >= e.deadline {
		l.expired(e)
		return false
	}
	if e.requester.marked(markLeft) {
		l.discard(e)
		return false
	}
	switch cs := l.servicesOf(t); {
	case cs == nil:
		l.deserted(e)
		return false
	case !cs.same(t.cs):
		l.relist(t, cs)
		return false
	default:
		t.cs = cs
	}
	if !simfaultBuild || !strikes(simUnfairLane) {
		t.Advance()
	}
	body := e.body
	body.Retain(1)
	q := e.unpacked()
	q.hops, q.tries = 0, 0 // it starts afresh
	l.outstanding.drop(e)
	l.dispatchTo(s, &q)
	body.Release()
	return true
}

// servicesOf looks up who may answer the requests of t; nil: nobody.
func (l *Loop) servicesOf(t *topicQueue) *candidates {
	l.lower = append(l.lower[:0], t.topic...)
	return l.candidatesOf(l.lower)
}

// relist has t wait for other services than before.
func (l *Loop) relist(t *topicQueue, cs *candidates) {
	old, places, cost := t.cs, t.places, t.cost()
	l.enlist(t, cs) // first, so that nobody is told of an end that is none
	l.unlist(old, places, cost)
}

// recheck looks topics up again, as far as one turn may go.
func (l *Loop) recheck() {
	qs := &l.queues
	for l.steps < serveTurn {
		if qs.checks = min(qs.checks, len(qs.busy)); qs.checks == 0 {
			return
		}
		t := qs.busy[qs.checks-1]
		cs := l.servicesOf(t)
		l.steps += recheckSteps
		switch {
		case cs == nil:
			l.deserted(t.Next().Item)
			continue // with the next one, if there is one
		case !cs.same(t.cs):
			l.steps += len(cs.all) / recheckSteps
			l.relist(t, cs)
		}
		qs.checks--
	}
}

// wakeQueues has every loop look its waiting topics up again: subscriptions have changed.
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

// sendRoom sends the loop of s what concerns its room.
func (l *Loop) sendRoom(s *service, kind itemKind, n int, done bool) {
	p := l.parcelFor(s.loop)
	it := p.add(kind)
	it.to, it.slot, it.number = s, uint32(l.index), uint64(n)
	if done {
		it.hops = 1
	}
	l.added(s.loop, p)
}

// receiveRoom takes what another loop says of the room of a service.
func (l *Loop) receiveRoom(it *item) {
	s := it.to
	switch it.kind {
	case itemWaits:
		l.waitedFor(s, l.broker.loops[it.slot])
	case itemGrant:
		left, done := l.useGrant(s, int(it.number))
		l.sendRoom(s, itemReturn, left, done)
	case itemRoom:
		l.offer(s)
		l.settled(s)
	case itemReturn:
		l.granted(s, l.broker.loops[it.slot], int(it.number), it.hops != 0)
	}
}
