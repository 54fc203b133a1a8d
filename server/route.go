package server

import (
	"hash/maphash"
	"sort"

	"mbserver/topic"
)

// route is where a publish on one topic goes, as one loop sees it: its own connections by transport, other loops'
// services in one group per loop. Immutable; valid while the trie's version stands, and therefore never names an own
// connection that has left.
type route struct {
	tcp, ws ownTargets
	remote  []remoteGroup
	total   int
	key     uint64 // names the topic in backlogs and among waiting publishes; 0 where no target conflates or waits
}

// ownTargets are this loop's connections of one transport, and how each wants its messages: two slices of one length.
type ownTargets struct {
	conns      []*conn
	deliveries []delivery
}

// remoteGroup are the services of another loop; deliveries is as long as targets.
type remoteGroup struct {
	loop       *loop
	targets    []*service
	deliveries []delivery
}

// topicSeed makes keys of topics unguessable, so that nobody can have two topics conflated into one.
var topicSeed = maphash.MakeSeed()

func (l *loop) buildRoute(name []byte, matches []topic.Match[*service]) *route {
	r := &route{total: len(matches)}
	for _, m := range matches {
		s, d := m.Sub, l.node.deliveryOf(m.Options)
		if d&deliverConflate != 0 || l.node.pause {
			r.key = maphash.Bytes(topicSeed, name) | 1
		}
		own := &r.tcp
		switch {
		case s.loop != l:
			r.remote = addTarget(r.remote, s, d)
			continue
		case s.transport == transportWS:
			own = &r.ws
		}
		own.conns = append(own.conns, l.conns[s.slot])
		own.deliveries = append(own.deliveries, d)
	}
	return r
}

// addTarget puts s into the group of its loop.
func addTarget(groups []remoteGroup, s *service, d delivery) []remoteGroup {
	for i := range groups {
		if g := &groups[i]; g.loop == s.loop {
			g.targets, g.deliveries = append(g.targets, s), append(g.deliveries, d)
			return groups
		}
	}
	return append(groups, remoteGroup{loop: s.loop, targets: []*service{s}, deliveries: []delivery{d}})
}

// candidates are the services that may get a request on one topic, highest priority first. Immutable.
type candidates []priorityGroup

type priorityGroup struct {
	priority float64
	services []*service
}

func buildCandidates(_ []byte, matches []topic.Match[*service]) candidates {
	var cs candidates
	for _, m := range matches {
		i := sort.Search(len(cs), func(i int) bool { return cs[i].priority <= m.Options.Priority })
		if i == len(cs) || cs[i].priority != m.Options.Priority {
			cs = append(cs, priorityGroup{})
			copy(cs[i+1:], cs[i:])
			cs[i] = priorityGroup{priority: m.Options.Priority}
		}
		cs[i].services = append(cs[i].services, m.Sub)
	}
	return cs
}

// reserve returns a service that has room for one more request and counts that request as outstanding there: of the
// highest priority that has room the one with the fewest outstanding, a random one of those that tie (protocol §6). nil
// means that none has room.
func (l *loop) reserve(cs candidates) *service {
	for i := range cs {
		for s := l.choose(cs[i].services); s != nil; s = l.choose(cs[i].services) {
			if s.take() {
				return s
			} // another loop was faster
		}
	}
	return nil
}

// choose returns the service with room that has the fewest outstanding requests, or nil.
func (l *loop) choose(services []*service) (best *service) {
	fewest, ties := int32(0), uint64(0)
	for _, s := range services {
		n := s.outstanding.Load()
		switch {
		case !s.hasRoom(n):
		case best == nil || n < fewest:
			best, fewest, ties = s, n, 1
		case n == fewest:
			ties++
			if l.random.Uint64()%ties == 0 {
				best = s
			}
		}
	}
	return best
}
