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
	groups []priorityGroup // parts of all: the services of this node
	far    []priorityGroup // and those of others, by group; nil: there are none
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
	groups, far := 1, matches[0].Sub.marked(markFar)
	for i := range matches[1:] {
		if matches[i].Options.Priority != matches[i+1].Options.Priority {
			groups++
		}
		far = far || matches[i+1].Sub.marked(markFar)
	}
	cs = &candidates{
		all: make([]*service, len(matches)), groups: make([]priorityGroup, 0, groups),
	}
	if far {
		cs.far = make([]priorityGroup, 0, groups)
	}
	from := 0
	for i := range matches {
		cs.all[i] = matches[i].Sub
		if i+1 == len(matches) || matches[i].Options.Priority != matches[i+1].Options.Priority {
			cs.group(cs.all[from : i+1])
			from = i + 1
		}
	}
	return cs, int(unsafe.Sizeof(*cs)) + int(unsafe.Sizeof(cs))*len(cs.all) +
		int(unsafe.Sizeof(priorityGroup{}))*(len(cs.groups)+cap(cs.far))
}

// group appends services of one priority: first those of this node, then those of others.
func (cs *candidates) group(services []*service) {
	if cs.far == nil {
		cs.groups = append(cs.groups, services)
		return
	}
	slices.SortStableFunc(services, func(a, b *service) int {
		return cmp.Compare(a.marks.Load()&markFar, b.marks.Load()&markFar)
	})
	at := slices.IndexFunc(services, func(s *service) bool { return s.marked(markFar) })
	if at < 0 {
		at = len(services)
	}
	cs.groups, cs.far = append(cs.groups, services[:at]), append(cs.far, services[at:])
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
// random one of those that tie (protocol §6). Across nodes it is nearly that: one of this node
// while it has very few, else it or the better of two others. Who has to go gets none while
// anybody else may have it (§11). nil means that none has room that nobody waits for.
func (l *Loop) reserve(cs *candidates) *service {
	but := markStalled | markDue | markBusy
	if l.broker.othersWait() {
		but |= markWaited // room that others wait for is theirs (request_grant.go)
	}
	for {
		for i, services := range cs.groups {
			l.spend(len(services) / 4) // looking at four is a delivery's work
			for {
				s := l.choose(services, but)
				if cs.far != nil {
					s = l.orFar(s, cs.far[i], but)
				}
				if s == nil {
					break
				}
				if s.take() {
					return s
				} // another loop was faster
			}
		}
		if but&markDue == 0 || cs.far == nil && !l.broker.departing.Load() {
			return nil
		}
		but &^= markDue
	}
}

// nearMost is how many requests a service of this node may have to get the next one whatever
// others have: what crosses costs both nodes, and what others have is known late. Beyond that the
// choice is as among services of one node: a lead for those of this one would be their part of so
// many more requests, however long those take.
const nearMost = 2

// orFar returns s, which is the best of this node or nil, or a better one of other nodes: of two of
// those, at random, with room the one with fewer requests. More are not compared, so that not all
// nodes choose the same one of which they have heard that it has nothing to do.
func (l *Loop) orFar(s *service, services []*service, but uint32) *service {
	l.spend(len(services) / 4)
	var two [2]*service
	seen := uint64(0)
	for _, f := range services {
		if f.marked(but) || !f.fits(f.outstanding.Load()) {
			continue
		}
		if seen++; seen <= 2 {
			two[seen-1] = f
		} else if k := l.random.Uint64() % seen; k < 2 {
			two[k] = f
		}
	}
	best := two[0]
	if seen > 1 && l.fewer(two[1], best) {
		best = two[1]
	}
	if best == nil || s != nil && (s.outstanding.Load() <= nearMost || l.fewer(s, best)) {
		return s
	}
	return best
}

// fewer says whether s has fewer outstanding requests than than; where they tie, by chance.
func (l *Loop) fewer(s, than *service) bool {
	a, b := s.outstanding.Load(), than.outstanding.Load()
	return a < b || a == b && l.random.Uint64()&1 == 0
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
