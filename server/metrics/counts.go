package metrics

import (
	"sync"
	"sync/atomic"
)

// What a loop counts. The order has no meaning. Maxima, and levels, which go up and down, are no
// counts: their rates have no meaning.
const (
	Messages = iota
	MessageBytes
	MaxMessageBytes // a maximum
	MessageErrors
	Publishes
	PublishesUnrouted
	PublishErrors
	Requests
	RequestsUnrouted
	RequestsEvicted
	RequestErrors
	RequestTimeouts
	RequestsAcross   // to other nodes
	RequestsForeign  // of other nodes
	RequestsBounced  // came back from other nodes
	RequestsReturned // to other nodes
	RequestsNodeLost
	AnswersUnmatched
	AnswersUnsent
	Responses
	ResponseErrors
	Sent
	Dropped
	Conflated
	Limited
	Forbidden
	Pauses
	Discoveries
	Registrations
	Unregistrations
	Panics
	BytesRead
	BytesWritten
	OpenTCP // a level: connections
	OpenWS  // a level
	OpenTLS // a level
	OpenWSS // a level
	Slow    // a level: connections whose sockets are full
	Unread  // a level: connections whose sockets are not read
	Backlog // a maximum that goes down again: bytes
	counterCount
)

// Counts is a loop's running totals. Loop only.
type Counts [counterCount]uint64

// Published is what the rest of the node sees of a loop's counts: the totals as of its last turn,
// and what they were when the running second and the one before began.
type Published struct {
	totals [counterCount]atomic.Uint64 // written by the loop only
	Times  PublishedTimes

	// Works gets a token, if it has room for one, in each second in which the loop works. Immutable
	// after the first Publish; nil: nobody is told.
	Works chan<- struct{}

	// Guarded by mu, taken by the loop once in a second in which it works.
	mu       sync.Mutex
	second   int64  // Unix s in which the last turn ran
	base     Counts // totals when second began
	previous Counts // what was counted in the second before it
}

// Publish makes the counts visible. sec is the wall clock in seconds.
func (s *Published) Publish(sec int64, t *Counts) {
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
func (s *Published) roll(sec int64) {
	select {
	case s.Works <- struct{}{}:
	default:
	}
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

// AddTotals adds the totals as of the loop's last turn to into;
// of a maximum it keeps the larger. Any goroutine.
func (s *Published) AddTotals(into *Counts) {
	for i := range into {
		v := s.totals[i].Load()
		if i == MaxMessageBytes || i == Backlog {
			into[i] = max(into[i], v)
		} else {
			into[i] += v
		}
	}
}

// AddRates adds what was counted in the last whole second before sec to into.
func (s *Published) AddRates(sec int64, into *Counts) {
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

// Connections is what becomes of connections, counted wherever it happens. Any goroutine.
type Connections struct {
	Connected, Disconnected, Failed, Rejected Events
	Refused                                   Refusals // the rejected, by reason
}
