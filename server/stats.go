package server

import (
	"sync"
	"sync/atomic"
)

// What a loop counts. The order has no meaning.
const (
	countMessage = iota
	countMessageBytes
	maxMessageBytes // a maximum, not a count
	countMessageError
	countPublish
	countPublishUnrouted
	countPublishError
	countRequest
	countRequestUnrouted
	countRequestError
	countRequestTimeout
	countResponse
	countResponseError
	countSent
	countOutboundDropped
	countConflated
	countLimited
	countPaused
	countDiscovery
	countRegistration
	countUnregistration
	countFault
	counterCount
)

// tally is a loop's running totals. Loop only.
type tally [counterCount]uint64

// stats is what the rest of the node sees of a loop's tally: the totals as of its last turn, and what they were when the
// running second and the one before began.
type stats struct {
	totals [counterCount]atomic.Uint64 // written by the loop only

	// Guarded by mu, taken by the loop once in a second in which it works.
	mu       sync.Mutex
	second   int64 // Unix s in which the last turn ran
	base     tally // totals when second began
	previous tally // what was counted in the second before it
}

// publish makes the tally visible. sec is the wall clock in seconds.
func (s *stats) publish(sec int64, t *tally) {
	if sec != s.second {
		s.roll(sec)
	}
	for i := range t {
		if s.totals[i].Load() != t[i] {
			s.totals[i].Store(t[i])
		}
	}
}

// roll begins a new second, before anything of it is visible.
func (s *stats) roll(sec int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	adjacent := sec == s.second+1
	for i := range s.base {
		now := s.totals[i].Load()
		s.previous[i] = 0
		if adjacent {
			s.previous[i] = now - s.base[i]
		}
		s.base[i] = now
	}
	s.second = sec
}

// sum adds the totals as of the loop's last turn to into; of a maximum it keeps the larger. Any goroutine.
func (s *stats) sum(into *tally) {
	for i := range into {
		v := s.totals[i].Load()
		if i == maxMessageBytes {
			into[i] = max(into[i], v)
		} else {
			into[i] += v
		}
	}
}

// rates adds what was counted in the last whole second before sec to into.
func (s *stats) rates(sec int64, into *tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range into {
		switch sec {
		case s.second, s.second - 1: // the caller's clock may be a moment behind the loop's
			into[i] += s.previous[i]
		case s.second + 1:
			into[i] += s.totals[i].Load() - s.base[i]
		}
	}
}

// nodeStats is what is counted outside the loops.
type nodeStats struct {
	connected, disconnected, failed, rejected window
}
