package server

import (
	"sort"

	"mbserver/topic"
)

// route is where a publish on one topic goes, as one loop sees it: its own connections by transport, other loops'
// services in one group per loop. Immutable; valid while the trie's version stands, and therefore never names an own
// connection that has left.
type route struct {
	tcp, ws []*conn
	remote  []remoteGroup
	total   int
}

type remoteGroup struct {
	loop    *loop
	targets []*service
}

func (l *loop) buildRoute(_ []byte, matches []topic.Match[*service]) *route {
	r := &route{total: len(matches)}
	for _, m := range matches {
		s := m.Sub
		if s.loop != l {
			r.remote = addTarget(r.remote, s)
			continue
		}
		c := l.conns[s.slot]
		if s.transport == transportWS {
			r.ws = append(r.ws, c)
		} else {
			r.tcp = append(r.tcp, c)
		}
	}
	return r
}

// addTarget puts s into the group of its loop.
func addTarget(groups []remoteGroup, s *service) []remoteGroup {
	for i := range groups {
		if groups[i].loop == s.loop {
			groups[i].targets = append(groups[i].targets, s)
			return groups
		}
	}
	return append(groups, remoteGroup{loop: s.loop, targets: []*service{s}})
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
