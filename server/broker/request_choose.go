package broker

import (
	"cmp"
	"slices"
	"unsafe"

	"mbserver/topic"
)

// candidates are the services that may get a request on one topic. Immutable.
type candidates struct {
	all    []*service      // highest priority first
	groups []priorityGroup // parts of all
}

type priorityGroup []*service

// buildCandidates returns what matches make, nil when there are none, and how many bytes that
// holds. It sorts matches.
func buildCandidates(matches []topic.Match[*service]) (cs *candidates, bytes int) {
	matches = slices.DeleteFunc(matches, func(m topic.Match[*service]) bool {
		return m.Sub.marked(markLeft) // its subscriptions are being ended
	})
	if len(matches) == 0 {
		return nil, 0
	}
	priority := func(a, b topic.Match[*service]) int {
		return cmp.Compare(b.Options.Priority, a.Options.Priority)
	}
	if !slices.IsSortedFunc(matches, priority) {
		slices.SortStableFunc(matches, priority)
	}
	groups := 1
	for i := range matches[1:] {
		if matches[i].Options.Priority != matches[i+1].Options.Priority {
			groups++
		}
	}
	cs = &candidates{
		all: make([]*service, len(matches)), groups: make([]priorityGroup, 0, groups),
	}
	from := 0
	for i := range matches {
		cs.all[i] = matches[i].Sub
		if i+1 == len(matches) || matches[i].Options.Priority != matches[i+1].Options.Priority {
			cs.groups = append(cs.groups, cs.all[from:i+1])
			from = i + 1
		}
	}
	return cs, int(unsafe.Sizeof(*cs)) + int(unsafe.Sizeof(cs))*len(cs.all) +
		int(unsafe.Sizeof(priorityGroup{}))*len(cs.groups)
}

// same says that two are the same services, in the same order of priority.
func (cs *candidates) same(other *candidates) bool {
	return cs == other || slices.Equal(cs.all, other.all)
}

// candidatesOf returns the services that may answer a request on a canonical topic, or nil.
func (l *Loop) candidatesOf(name []byte) *candidates {
	cs, _ := l.routes.requests.Lookup(name)
	return cs
}

// reserve returns a service that has room for one more request and counts that request as
// outstanding there: of the highest priority that has room the one with the fewest outstanding, a
// random one of those that tie (protocol §6). Who has to go gets none while anybody else may have
// it (§11). nil means that none has room that nobody waits for.
func (l *Loop) reserve(cs *candidates) *service {
	but := markStalled | markDue
	if l.broker.queued.Load() > 0 {
		but |= markWaited // room that others wait for is theirs (request_grant.go)
	}
	for {
		for _, services := range cs.groups {
			l.spend(len(services) / 4) // looking at four is a delivery's work
			for s := l.choose(services, but); s != nil; s = l.choose(services, but) {
				if s.take() {
					return s
				} // another loop was faster
			}
		}
		if but&markDue == 0 || !l.broker.departing.Load() {
			return nil
		}
		but &^= markDue
	}
}

// choose returns the service with room that has the fewest outstanding requests, and none of the
// marks, or nil.
func (l *Loop) choose(services []*service, but uint32) (best *service) {
	fewest, ties := int32(0), uint64(0)
	for _, s := range services {
		n := s.outstanding.Load()
		switch {
		case s.marked(but) || !s.fits(n):
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
