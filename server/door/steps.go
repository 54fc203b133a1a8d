package door

import (
	"errors"
	"net/netip"
	"sync"

	"mbserver/server/fair"
	"mbserver/server/secure"
)

// steps are the steps of TLS handshakes, made beside the loops. Few run at a time; the others wait,
// and each address has its turn: whoever floods the node with handshakes waits for himself. One
// whose visitor has gone holds nothing more, unless it runs. Any goroutine.
type steps struct {
	door *Door // immutable
	most int   // that run at a time; immutable

	mu      sync.Mutex
	running int
	waiting fair.Queue[netip.Addr, *step]
}

// step is one of a handshake.
type step struct {
	// Immutable.
	handshake *secure.Handshake
	from      netip.Addr
	post      func(done bool, err error) bool // tells what came of it, unless nobody can be told

	// Guarded by steps.mu.
	link      fair.Link[*step]
	waits     bool
	cancelled bool // nobody wants to be told
}

// start makes s as soon as it is its turn.
func (q *steps) start(s *step) {
	s.link.Item = s
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running < q.most {
		q.running++
		go q.work(s)
		return
	}
	s.waits = true
	q.waiting.Push(s.from, &s.link)
}

// busy says that as many run as may.
func (q *steps) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running >= q.most
}

// cancel ends s and its handshake.
func (q *steps) cancel(s *step) {
	q.mu.Lock()
	waits := s.waits
	if waits {
		q.waiting.Remove(s.from, &s.link)
		s.waits = false
	}
	s.cancelled = true
	q.mu.Unlock()
	if waits {
		s.handshake.Stop() // else that is done by who makes it
	}
}

// work makes s and then what waits.
func (q *steps) work(s *step) {
	for ; s != nil; s = q.next() {
		done, err := q.make(s)
		if q.isCancelled(s) || !s.post(done, err) {
			s.handshake.Stop()
		}
	}
}

// next takes the step whose turn it is; nil: none waits, and one fewer runs.
func (q *steps) next() *step {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := q.waiting.Next()
	if k == nil {
		q.running--
		return nil
	}
	s := k.Item
	q.waiting.Advance()
	q.waiting.Remove(s.from, k)
	s.waits = false
	return s
}

// errFault ends a handshake that a fault of ours has ended.
var errFault = errors.New("a fault of the node")

func (q *steps) make(s *step) (done bool, err error) {
	if q.isCancelled(s) {
		return false, nil
	}
	defer q.door.recovered(func() { done, err = false, errFault })
	return s.handshake.Step()
}

func (q *steps) isCancelled(s *step) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return s.cancelled
}
