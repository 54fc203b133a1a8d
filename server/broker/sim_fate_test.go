package broker

import (
	"mbserver/server/trace"
)

// checkFates holds, when everybody has gone, that of each publish that was looked at every delivery
// has come to one end on each loop.
func (s *simulation) checkFates() {
	for _, l := range s.n.loops {
		book := l.trace.book
		if book == nil {
			continue
		}
		for origin := range s.n.loops {
			for sequence := range 4000 {
				mark := trace.Mark(origin)<<24 | trace.Mark(sequence+1)
				for _, a := range book.Tell(mark) {
					s.checkFate(l, &a)
				}
			}
		}
	}
}

func (s *simulation) checkFate(l *Loop, a *trace.Account) {
	matched, ended := 0, 0
	for i := range a.Entries {
		e := &a.Entries[i]
		n := 1 + int(e.More)
		if e.Reason == "" && e.More > 0 {
			n--
		}
		switch e.Stop {
		case trace.Matched:
			matched += n
		case trace.Delivered, trace.Conflated, trace.Revoked:
			ended += n
		case trace.Dropped:
			if e.Reason != "busy" { // of another loop's
				ended += n
			}
		}
	}
	s.totals["message looked at"]++
	if matched > 1 { // a publish
		s.totals["publish looked at"]++
		if matched != ended {
			s.fail("loop %d: message %x matched %d times and has %d ends: %+v",
				l.index, a.Mark, matched, ended, a.Entries)
		}
	}
}
