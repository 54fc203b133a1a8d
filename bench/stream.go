//go:build linux

package bench

import (
	"fmt"
	"time"
)

// window is how many rounds of a stream may be on their way.
const window = 4

// stream is publishers and the subscribers that receive what they publish. In one round every
// publisher writes its burst once, in one write; a round is done when every subscriber has received
// its share of it.
type stream struct {
	publishers  []*conn
	indexes     []int32 // of the publishers in the loop
	burst       [][]byte
	subscribers []*conn
	deliveries  int // messages delivered in one round, all subscribers together
	window      int // rounds on their way, at most

	sent, done int // rounds
	behind     int // subscribers that have not finished round done+1
	queued     bool
}

// begin sets the goals of the first round.
func (s *stream) begin() {
	for _, c := range s.subscribers {
		c.stream = s
	}
	for _, c := range s.publishers {
		c.stream = s
	}
	s.aim()
}

// aim sets every subscriber's goal to the next round's end and counts those that have not reached
// it.
func (s *stream) aim() {
	s.behind = 0
	for _, c := range s.subscribers {
		c.goal = int64(s.done+1) * c.share
		if c.in < c.goal {
			s.behind++
		}
	}
}

// reached is called when a subscriber reaches its goal.
func (s *stream) reached(l *loop) {
	s.behind--
	if s.behind > 0 {
		return
	}
	for s.behind == 0 && s.done < s.sent {
		s.done++
		s.aim()
	}
	s.wake(l)
}

func (s *stream) wake(l *loop) {
	if !s.queued {
		s.queued = true
		l.ready = append(l.ready, s)
	}
}

// push writes rounds while there is room for them.
func (s *stream) push(l *loop) {
	for s.sent-s.done < s.window {
		for _, c := range s.publishers {
			if len(c.out) > 0 {
				return // wakes the stream when it is written
			}
		}
		s.sent++
		for i, c := range s.publishers {
			c.out = c.outbound(s.burst[i])
			l.flush(c, s.indexes[i])
		}
	}
}

// pump publishes for d in a closed loop, then waits until all that was sent has arrived.
func (l *loop) pump(streams []*stream, d time.Duration) error {
	deadline := time.Now().Add(d)
	for _, s := range streams {
		s.push(l)
	}
	l.ready = l.ready[:0]
	for _, s := range streams {
		s.queued = false
	}
	sending := true
	var dog watchdog
	for {
		n, err := l.turn(waitMs)
		if err != nil {
			return err
		}
		if err := dog.saw(l.ctx, n); err != nil {
			return err
		}
		if sending && !time.Now().Before(deadline) {
			sending = false
		}
		for _, s := range l.ready {
			s.queued = false
			if sending {
				s.push(l)
			}
		}
		l.ready = l.ready[:0]
		if !sending && finished(streams) {
			return exact(streams)
		}
	}
}

func finished(streams []*stream) bool {
	for _, s := range streams {
		if s.done < s.sent {
			return false
		}
	}
	return true
}

// exact reports an error when a subscriber received anything else than its share.
func exact(streams []*stream) error {
	for _, s := range streams {
		for i, c := range s.subscribers {
			if want := int64(s.done) * c.share; c.in != want {
				return fmt.Errorf("subscriber %d received %d bytes, %d were sent to it",
					i, c.in, want)
			}
		}
	}
	return nil
}

func deliveries(streams []*stream) int {
	n := 0
	for _, s := range streams {
		n += s.done * s.deliveries
	}
	return n
}
