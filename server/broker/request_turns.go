package broker

import (
	"cmp"
	"maps"
	"slices"

	"mbserver/server/abroad"
	"mbserver/server/wheel"
)

// Turns: who takes the room of a service that is waited for, loops of this node and other nodes.
//
// Purpose. A service of one node that is full serves those who wait at others as it serves those
// who wait at its own, and has never more than it may.
//
// Outline. A node at which requests wait for a service of another says so (tellWaits), again and
// again, and is one of its takers there (receiveWait). When it is its turn, room is kept for it,
// and it is told (keepFor): its next requests use that (takeFor in request_foreign.go). What it
// does not use for holdTime, or when it says that none waits any more, is for others.
//
// Invariants. What is kept for nodes counts as outstanding at its service. A node that did not use
// what was kept for it does not wait any more, until it says so again.
//
// Cost. For a node alone: a look at two fields for each grant.

const (
	// holdTime is for how many ms room is kept for another node, which is told of it.
	holdTime = 50

	// waitPace is how many ms lie between two words of this node that requests wait for a service
	// of another.
	waitPace = 250
)

// awaited is a service of this loop that requests wait for.
type awaited struct {
	service  *service
	takers   []taker // whose turn is next first
	granting bool    // a grant is on its way
	offered  bool    // it is among the offers

	// Of a service of another node the time to say again that requests wait, of one of this node
	// the time that room is kept for others.
	timer wheel.Timer
}

// taker is a loop on which requests wait for a service, or another node where they do.
type taker struct {
	loop *Loop
	node *farNode
}

// add has one more take turns, unless it does.
func (a *awaited) add(t taker) bool {
	if slices.Contains(a.takers, t) {
		return false
	}
	a.takers = append(a.takers, t)
	return true
}

// remove ends that, and says whether it did.
func (a *awaited) remove(t taker) bool {
	i := slices.Index(a.takers, t)
	if i >= 0 {
		a.takers = slices.Delete(a.takers, i, i+1)
	}
	return i >= 0
}

// next returns whose turn it is: of those that have nothing on its way to them.
func (a *awaited) next() int {
	for i, t := range a.takers {
		if t.loop != nil && !a.granting || t.node != nil && !a.holds(t.node) {
			return i
		}
	}
	return -1
}

// Waited implements backplane.Broker.
func (n *ClusterNode) Waited(slot uint32, w abroad.Wait) {
	node, s := n.others.present(slot), n.registry.find(w.Service)
	if node == nil || s == nil {
		return
	}
	p := n.calls.parcelFor(s.loop)
	it := p.add(itemWait)
	it.from, it.to = &node.service, s
	if w.Waits {
		it.hops = 1
	}
}

// receiveWait takes word that requests wait at another node for a service of this loop, or that
// none does any more.
func (l *Loop) receiveWait(it *item) {
	s, node := it.to, it.from.far().node
	of := s.offeredOf()
	if node.marked(markLeft) || l.connOf(s) == nil || of == nil || of.count == 0 {
		return
	}
	if it.hops == 0 {
		if a := l.awaited[s]; a != nil {
			l.waitsNoMore(a, node)
		}
		return
	}
	a := l.awaitedOf(s)
	if a.add(taker{node: node}) {
		l.broker.others.waits.Add(1)
	}
	s.mark(markWaited, true)
	l.offer(s)
	l.tellLoadTo(s, node, true)
}

// keepFor keeps room at a service, which was taken, for another node whose turn it is.
func (l *Loop) keepFor(a *awaited, node *farNode, n int) {
	t := a.service.toldOf(node)
	t.held, t.until = int32(n), l.time.Ms+holdTime
	if !a.timer.Armed() {
		a.timer.Owner = a
		l.wheel.Add(&a.timer, t.until)
	}
}

// tellTakers tells the nodes that wait for a service of this one how much it has to do now.
func (l *Loop) tellTakers(a *awaited) {
	for _, t := range a.takers {
		if t.node != nil {
			l.tellLoadTo(a.service, t.node, false)
		}
	}
}

// holds says whether room is kept for a node.
func (a *awaited) holds(node *farNode) bool { return a.service.toldOf(node).held > 0 }

// holdsOver ends what is kept for too long.
func (l *Loop) holdsOver(a *awaited) {
	next := int64(0)
	for _, t := range slices.Clone(a.takers) {
		if t.node == nil || !a.holds(t.node) {
			continue
		}
		switch until := a.service.toldOf(t.node).until; {
		case until <= l.time.Ms:
			l.waitsNoMore(a, t.node)
		case next == 0 || until < next:
			next = until
		}
	}
	if next != 0 {
		l.wheel.Add(&a.timer, next)
	}
}

// waitsNoMore ends the wait of another node for a service of this loop.
func (l *Loop) waitsNoMore(a *awaited, node *farNode) {
	s := a.service
	if !a.remove(taker{node: node}) {
		return
	}
	l.broker.others.waits.Add(-1)
	t := s.toldOf(node)
	s.outstanding.Add(-t.held)
	t.held = 0
	l.loadChanged(s)
	l.settled(s)
	l.offerOrForget(a)
}

// forgetWaits ends all waits of a node that is gone, and what this loop has told it of its own.
func (l *Loop) forgetWaits(node *farNode) {
	byID := func(a, b *service) int {
		return cmp.Or(cmp.Compare(a.id.Hi, b.id.Hi), cmp.Compare(a.id.Lo, b.id.Lo))
	}
	for _, s := range slices.SortedFunc(maps.Keys(l.awaited), byID) { // the same way each time
		a := l.awaited[s]
		switch {
		case a == nil: // ended with another
		case !s.marked(markFar):
			l.waitsNoMore(a, node)
		case s.far().node == node:
			l.forgetAwaited(s)
		}
	}
}

// tellWaits tells the node of a service that requests wait here for it.
func (l *Loop) tellWaits(a *awaited, waits bool) {
	s := a.service
	node := s.far().node
	if s.marked(markLeft) || node.marked(markLeft) {
		return
	}
	l.broker.cluster.Wait(l.index, node.slot, abroad.Wait{Service: s.id, Waits: waits})
	l.crossing.some = true
	if waits {
		a.timer.Owner = a
		l.wheel.Add(&a.timer, l.time.Ms+waitPace)
	}
}

// Expire implements wheel.Expirer.
func (a *awaited) Expire(*wheel.Timer, int64) {
	if l := a.service.loop; a.service.marked(markFar) {
		l.tellWaits(a, true)
	} else {
		l.holdsOver(a)
	}
}

// othersWait says whether anybody waits for a service, here or at another node.
func (b *Broker) othersWait() bool {
	return b.queued.Load() > 0 || b.others != nil && b.others.waits.Load() > 0
}
