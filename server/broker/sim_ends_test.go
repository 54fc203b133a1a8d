package broker

import (
	"iter"

	"mbserver/server/metrics"
)

// simEnds is what there was before a turn of a loop.
type simEnds struct {
	left      uint64 // connections that had left
	leaving   int    // subscriptions of theirs
	delivered int    // requests that services have not answered
	answered  uint64 // and those that were, or gave way
}

func (s *simulation) beforeEnds(l *Loop) simEnds {
	return simEnds{
		left: l.counts[metrics.Unregistrations], leaving: leavingOf(l),
		delivered: s.deliveredOf(l), answered: answeredOf(l),
	}
}

// checkEnds holds that a turn has taken no more steps of what ends than it may.
func (s *simulation) checkEnds(l *Loop, was simEnds) {
	most := s.n.endsTurn
	left := int(l.counts[metrics.Unregistrations] - was.left)
	if left > most {
		s.fail("loop %d closed %d connections in a turn, it may close %d", l.index, left, most)
	}
	if ended := was.leaving - leavingOf(l); ended > most {
		s.fail("loop %d ended %d subscriptions in a turn, it may end %d", l.index, ended, most)
	}
	ended := was.delivered - s.deliveredOf(l) - int(answeredOf(l)-was.answered)
	if s.parting && ended > most {
		s.fail("loop %d ended %d requests in a turn, it may end %d", l.index, ended, most)
	}
	if l.endsMore() {
		s.totals["ended in pieces"]++
	}
}

// deliveredOf is how many requests the services of a loop have not answered, and are not late for.
func (s *simulation) deliveredOf(l *Loop) (count int) {
	for _, e := range l.outstanding.slots {
		if e != nil && e.target != nil && e.deadline > s.n.ms {
			count++
		}
	}
	return count
}

// answeredOf is how many requests may have ended on a loop by other means.
func answeredOf(l *Loop) uint64 {
	return l.counts[metrics.Responses] + l.counts[metrics.RequestsEvicted]
}

// leavingOf is how many subscriptions the trie has of those who have left a loop.
func leavingOf(l *Loop) (count int) {
	for _, of := range l.leaving.waiting() {
		count += len(of.subs)
	}
	return count
}

// waiting is what waits for room in c's ring.
func (c *Conn) waiting() iter.Seq[*parkedPublish] {
	return func(yield func(p *parkedPublish) bool) {
		if c.parked == nil {
			return
		}
		for w := range c.parked.list.All() {
			if !yield(w.publish) {
				return
			}
		}
	}
}

// heldParked is what is charged for publishes that wait for c, and have not been seen.
func (c *Conn) heldParked(seen map[*parkedPublish]bool) (sum int64) {
	for p := range c.waiting() {
		if !seen[p] {
			seen[p] = true
			sum += p.holds()
		}
	}
	return sum
}

// departed are the connections of a loop that have no slot any more, and for which something may
// wait still.
func (s *simulation) departed(l *Loop) iter.Seq[*Conn] {
	return func(yield func(c *Conn) bool) {
		for _, k := range s.sessions {
			c := k.Conn
			if c.loop == l && l.conns[c.slot] != c && !yield(c) {
				return
			}
		}
	}
}
