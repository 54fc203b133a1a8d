package backplane

import "time"

// Stepped is a plane without goroutines: what they do is done by calls, one at a time, so that a
// simulation in which time is not the process's goes the same way each time. What the bus brings,
// it hands over itself.
type Stepped struct{ *Plane }

// NewStepped is New for a plane that is stepped.
func NewStepped(o Options, broker Broker, bus Bus) (Stepped, error) {
	resetFault()
	p, err := newPlane(o, broker, bus)
	if err != nil {
		return Stepped{}, err
	}
	p.stepped = true
	return Stepped{p}, nil
}

// Listen begins to listen, as Start does.
func (s Stepped) Listen() error { return s.listen() }

// Called says that there is something to be done before the time that Step has returned.
func (s Stepped) Called() bool { return len(s.wake) > 0 }

// Step does what is to be done now, and says when there is something next.
func (s Stepped) Step() (next time.Duration) {
	select {
	case <-s.wake:
		s.flush()
	default:
	}
	return s.keepTime()
}

// Waits says that there is something for Send to do.
func (s Stepped) Waits(lane int) bool {
	q := s.queueOf(lane)
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.busy || len(q.frames) > 0 || q.kept.pending.Load() > 0
}

// Send hands the bus a frame of a lane, if there is one: of the control lane for -1, of the lane of
// a loop, or of its lane for requests, which has the number of all loops more.
func (s Stepped) Send(lane int) { s.queueOf(lane).step() }

func (s Stepped) queueOf(lane int) *queue {
	switch loops := len(s.lanes); {
	case lane >= loops:
		return s.calls.lanes[lane-loops].queue
	case lane != control:
		return s.lanes[lane].queue
	}
	return s.ctl
}

// Joined says whether a plane that began to listen at that time would have returned from Joined.
func (s Stepped) Joined(began time.Duration) bool { return s.joined(began) }

// At returns the incarnation of the node in a slot, 0 when there is none.
func (s Stepped) At(slot uint32) (incarnation uint64) {
	if l := s.links[slot].Load(); l != nil {
		return l.inc
	}
	return 0
}

// Leave tells the others that the node goes away; it is sent by Send. Nothing is stepped after it.
func (s Stepped) Leave() { s.leave() }
