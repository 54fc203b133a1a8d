package broker

import "strings"

// Two nodes of one name, and the laws: as long as both are there they are two nodes as any others.
// An older one that drains is left in peace. One that does not leaves the cluster after some five
// seconds, not before, and is isolated; nothing of it crosses from then on, and nobody knows it.

const (
	guestPlace = 3 // of a node whose name another has
	rivalTime  = 5000
)

// rival starts a node with the name of another, and ends that.
func (s *clusterSim) rival() {
	place := s.random.IntN(guestPlace)
	older := s.nodes[place]
	s.faults = true // who goes away may owe something
	older.drains, older.rivalled = s.chance(50), true
	s.say("%s has a rival; drains: %v", older.name, older.drains)
	newer := s.start(guestPlace, older.name)
	if older.drains {
		s.pass(500 + s.random.Int64N(7000))
		s.leave(older, 0)
		s.totals["replaced"]++
	} else {
		const early = 50
		s.pass(rivalTime - early)
		if older.displacedAt != 0 {
			s.fail("%s has left after %d ms", older.name, older.displacedAt-newer.born)
		}
		s.pass(early + 4*clusterHeartbeat)
		if older.displacedAt == 0 || !older.plane.Isolated() || len(older.known) > 0 {
			s.fail("%s is still there, beside a newer one, and knows %d", older.name,
				len(older.known))
		}
		s.pass(100)
		for _, n := range s.all() {
			if n != older && n.known[older.inc] {
				s.fail("%s knows %d, which has left", n.name, older.inc)
			}
		}
		older.stop()
		s.totals["displaced"]++
	}
	newer.place = place
	s.nodes[place], s.nodes[guestPlace] = newer, nil
	s.faults, s.calmFrom = false, s.now
	s.pass(healTime)
	s.checkHealed()
}

// displaced notes that a node has left because another has its name, and says whether it may.
func (n *simNode) displaced(message string) bool {
	if !n.rivalled || n.drains || !strings.HasPrefix(message, "a newer node has the name") {
		return false
	}
	n.displacedAt, n.left = n.s.now, true
	n.wrong()
	return true
}

// Standing implements backplane.Broker.
func (in *simInward) Standing() (connections int, draining bool) {
	connections, draining = in.ClusterNode.Standing()
	return connections, draining || in.n.drains
}
