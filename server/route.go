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
	key     uint64 // names the topic in backlogs where some target conflates; 0 where none does
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
		if d&deliverConflate != 0 {
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

// choose returns the service of the highest priority with the fewest outstanding requests, a random one of those that
// tie, or nil when there is none (protocol §6).
func (l *loop) choose(cs candidates) *service {
	if len(cs) == 0 {
		return nil
	}
	services := cs[0].services
	best, fewest, ties := services[0], services[0].outstanding.Load(), uint64(1)
	for _, s := range services[1:] {
		switch n := s.outstanding.Load(); {
		case n < fewest:
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
