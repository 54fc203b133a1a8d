package backplane

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mbserver/codec"
)

// nodeKey names one run of a node.
type nodeKey struct {
	name string
	inc  uint64
}

// nodeState is where another node stands, as this one sees it.
type nodeState uint8

const (
	nodeHeard nodeState = iota // its interest does not stand here yet
	nodeLive                   // it does
	nodeGone                   // it has left, or was not heard for too long
)

var stateNames = [...]string{nodeHeard: "joining", nodeLive: "live", nodeGone: "gone"}

// node is another node. Guarded by the plane's mu, but for link.
type node struct {
	nodeKey
	state nodeState
	slot  uint32 // in links; of no meaning once it is gone
	link  *link

	heard        time.Duration // when its last frame came
	since        time.Duration // when it came, or went
	server, id   string
	draining     bool
	connections  uint64
	theirs       uint64        // its clock, as it was told last
	theirsAt     time.Duration // when that was
	roundTrip    time.Duration
	asked        time.Duration
	snapshotSent time.Duration

	// Its interest.
	version, hash uint64
	entries       texts
	services      map[codec.UUID]string // their entries
	bytes         int64                 // that it is charged for them (heard.go)
	excess        bool                  // one was not kept, for want of room
	gathering     *gathering            // of a snapshot; nil: none is on its way

	// This node's interest, there.
	holds     bool
	confirmed uint64
	missed    uint64 // how often it may not know what it was told with requests

	leaving  time.Duration // since when it leaves, and answers are on their way; 0: it does not
	left     bool          // it is gone because it has said so,
	tooMuch  bool          // or because it is passed over (heard.go)
	troubles troubles
}

// gathering is a snapshot of which some parts have come. What they add stands already. What stood
// before and was in none of them is marked, and goes with the last.
type gathering struct{ version, parts uint64 }

// knownMost is how many nodes are known, with those that are gone: should one come back, however
// late, the numbers of both ways go on, and what was lost meanwhile is known. Of one node there are
// as many as it has had runs.
const knownMost = 512

// forgetAfter is how long it is told that a node is gone.
const forgetAfter = 10 * time.Minute

// find returns a node that was heard, which is there from now on; nil when there are too many. mu
// is held.
func (p *Plane) find(k nodeKey) *node {
	now := p.o.Now()
	n := p.nodes[k]
	if n != nil && n.state != nodeGone {
		n.heard = now
		return n
	}
	if p.heard.passes(k.name, now) {
		return nil
	}
	slot, free := p.freeSlot(n)
	if !free {
		if !p.crowded {
			p.crowded = true
			p.log.Error("there are more nodes than a cluster may have", "node", k.name,
				"most", nodesMost+1)
		}
		return nil
	}
	if n == nil {
		p.makeRoom()
		p.epoch++
		n = &node{
			nodeKey: k, link: newLink(p.from, k.name, k.inc, p.epoch, len(p.lanes)),
			services: make(map[codec.UUID]string),
		}
		p.nodes[k] = n
	}
	n.state, n.slot, n.heard, n.since, n.left = nodeHeard, slot, now, now, false
	n.version, n.hash, n.asked, n.snapshotSent = 0, 0, 0, 0
	p.slots |= 1 << slot
	p.broker.Join(slot)
	if n.id != "" { // it comes back
		p.broker.Named(slot, n.id)
	}
	p.links[slot].Store(n.link)
	p.inward.place(k, slot, true)
	p.calls.place(k, slot, true)
	p.log.Info("node heard: "+k.name, "node", k.name, "incarnation", k.inc)
	return n
}

// makeRoom forgets the node that is gone for longest, when one more would be too many. mu is held.
func (p *Plane) makeRoom() {
	var oldest *node
	for _, n := range p.nodes {
		if n.state == nodeGone && (oldest == nil || n.since < oldest.since) {
			oldest = n
		}
	}
	if len(p.nodes) >= knownMost && oldest != nil {
		delete(p.nodes, oldest.nodeKey)
	}
}

// freeSlot chooses a slot: that which the node had, so that its word of earlier publishes is known
// as its, or the one that was not used for the longest time, so that nobody's word is taken for
// another's. mu is held.
func (p *Plane) freeSlot(n *node) (slot uint32, free bool) {
	if n != nil && p.slots&(1<<n.slot) == 0 {
		return n.slot, true
	}
	for range nodesMost {
		slot = p.nextSlot
		p.nextSlot = (p.nextSlot + 1) % nodesMost
		if p.slots&(1<<slot) == 0 {
			return slot, true
		}
	}
	return 0, false
}

// lose ends what a node is here. mu is held.
func (p *Plane) lose(n *node, why string) {
	if n.state == nodeGone {
		return
	}
	p.links[n.slot].Store(nil)
	p.inward.place(n.nodeKey, n.slot, false)
	p.calls.place(n.nodeKey, n.slot, false)
	p.broker.Part(n.slot)
	for _, text := range p.arranged(n.entries.list(false)) {
		if isOffer(text) || isService(text) {
			continue // those end with Part
		}
		if pattern, err := readPattern(text); err == nil {
			p.broker.Forget(n.slot, pattern)
		}
	}
	n.entries, n.services = texts{}, make(map[codec.UUID]string)
	p.keep(n, -n.bytes)
	n.excess = false
	p.slots &^= 1 << n.slot
	n.state, n.since, n.gathering, n.leaving = nodeGone, p.o.Now(), nil, 0
	n.left, n.tooMuch = why == hasLeft, why == tellsTooMuch
	n.holds, n.confirmed, n.version, n.hash = false, 0, 0, 0
	level := slog.LevelWarn
	if why == hasLeft {
		level = slog.LevelInfo
	}
	p.log.Log(context.Background(), level, "node gone: "+n.name, "node", n.name,
		"incarnation", n.inc, "reason", why)
	p.settle()
}

// hasLeft is why a node is gone that has said so.
const hasLeft = "left"

// held makes a node live: its interest stands here at a version, which it is told here and now: the
// plane's goroutine would have to be woken for each frame. mu is held.
func (p *Plane) held(n *node, version uint64) {
	n.version = version
	if n.state == nodeHeard {
		n.state = nodeLive
		p.log.Info("node joined: "+n.name, "node", n.name, "incarnation", n.inc,
			"patterns", n.entries.count, "tookMs", (p.o.Now() - n.since).Milliseconds())
		p.settle()
	}
	p.ctl.send(p.from+n.name+".ctl", (&word{n.inc, version}).append(nil, kindConfirm))
}

// add adds one entry of a node's, and says whether it fits. Nothing keeps the text's memory. mu is
// held.
func (p *Plane) add(n *node, text string) bool {
	if n.entries.has(text) {
		return false
	}
	if n.excess = n.excess || !p.mayKeep(n, text); n.excess {
		return false
	}
	switch {
	case isService(text):
		s, err := readService([]byte(text))
		if err != nil {
			return false
		}
		n.services[s.ID] = strings.Clone(text) // a former entry is taken away afterwards
		p.broker.Serve(n.slot, s)
	case isOffer(text):
		o, of, err := readOffer([]byte(text))
		if _, served := n.services[o.Service]; err != nil || !served {
			return false
		}
		p.broker.Offer(n.slot, o, of)
	case isForeign(text):
		if len(text) > serviceMost {
			return false
		}
	default:
		of, err := readPattern(text)
		if err != nil {
			return false
		}
		if !simfaultBuild || !strikes(simForgottenWant) {
			p.broker.Want(n.slot, of)
		}
	}
	n.entries.add(text)
	p.keep(n, chargeOf(text))
	n.hash ^= hashOf(text)
	return true
}

// remove takes one away, and says whether it was one. mu is held.
func (p *Plane) remove(n *node, text string) bool {
	if !n.entries.remove(text) {
		return false
	}
	p.keep(n, -chargeOf(text))
	n.hash ^= hashOf(text)
	switch {
	case isService(text):
		if s, err := readService([]byte(text)); err == nil && n.services[s.ID] == text {
			delete(n.services, s.ID)
			p.broker.Unserve(n.slot, s.ID)
		}
	case isOffer(text):
		if o, of, err := readOffer([]byte(text)); err == nil {
			p.broker.Withdraw(n.slot, o, of)
		}
	case simfaultBuild && strikes(simKeptWant):
	default:
		if of, err := readPattern(text); err == nil {
			p.broker.Forget(n.slot, of)
		}
	}
	return true
}

// arranged brings entries into an order that follows from them alone, services first; only where
// that matters, which is in a simulation.
func (p *Plane) arranged(entries []string) []string {
	if !p.stepped {
		return entries
	}
	slices.SortFunc(entries, func(a, b string) int {
		if isService(a) != isService(b) {
			if isService(a) {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return entries
}

// prune takes entries of a node's away: services last, after their offers. mu is held.
func (p *Plane) prune(n *node, texts []string) {
	p.arranged(texts)
	for _, services := range []bool{false, true} {
		for _, text := range texts {
			if isService(text) == services {
				p.remove(n, text)
			}
		}
	}
}

// ask asks a node for all of its interest, if that was not done just now. mu is held.
func (p *Plane) ask(n *node, why string) {
	now := p.o.Now()
	if n.asked != 0 && now-n.asked < p.o.Heartbeat {
		return
	}
	n.asked = now
	if n.state == nodeLive {
		p.log.Warn("the interest of a node is asked for again: "+n.name, "node", n.name,
			"reason", why, "version", n.version)
	}
	p.ctl.send(p.from+n.name+".ctl", (&word{n.inc, n.version}).append(nil, kindAsk))
}

// applyDelta makes changes of a node's interest. mu is held.
func (p *Plane) applyDelta(n *node, d *delta) {
	if n.state != nodeLive {
		return // a snapshot comes
	}
	for i, c := range d.changes {
		v := d.first + uint64(i)
		if v <= n.version {
			continue
		}
		if v != n.version+1 {
			p.ask(n, "changes are missing")
			return
		}
		good := false
		if c.gone {
			good = p.remove(n, c.entry)
		} else {
			good = p.add(n, c.entry)
		}
		if n.excess {
			p.passOver(n)
			return
		}
		if !good {
			p.ask(n, "a change does not fit")
			return
		}
		n.version = v
	}
	p.held(n, n.version)
}

// applySnapshot takes a part of all of a node's interest. mu is held.
func (p *Plane) applySnapshot(n *node, s *snapshot) {
	g := n.gathering
	if s.part == 0 {
		g = &gathering{version: s.version}
		n.gathering = g
		n.entries.mark()
	}
	if g == nil || g.version != s.version || g.parts != s.part {
		n.gathering = nil
		return // the next heartbeat asks again
	}
	g.parts++
	for _, text := range s.entries {
		p.add(n, text)
	}
	if n.excess {
		p.passOver(n)
		return
	}
	if !s.last {
		return
	}
	n.gathering = nil
	p.prune(n, n.entries.list(true))
	if n.hash == s.hash {
		p.held(n, s.version)
		p.calls.renewed(n.nodeKey)
	}
}
