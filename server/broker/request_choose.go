package broker

import (
	"sort"

	"mbserver/topic"
)

// candidates are the services that may get a request on one topic, highest priority first.
// Immutable.
type candidates []priorityGroup

type priorityGroup struct {
	priority float64
	services []*service
}

func buildCandidates(_ []byte, matches []topic.Match[*service]) candidates {
	var cs candidates
	for _, m := range matches {
		if m.Sub.left.Load() {
			continue // its subscriptions are being ended
		}
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

// reserve returns a service that has room for one more request and counts that request as
// outstanding there: of the highest priority that has room the one with the fewest outstanding, a
// random one of those that tie (protocol §6). nil means that none has room.
func (l *Loop) reserve(cs candidates) *service {
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
func (l *Loop) choose(services []*service) (best *service) {
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
