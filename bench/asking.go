//go:build linux

package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// asking is what a requester does: it keeps a number of requests in flight.
type asking struct {
	frames []byte // as many requests as are in flight, each of frame bytes
	frame  int    // bytes
	answer int64  // bytes received for each
	flight int

	next   int   // request to send
	sent   int64 // requests
	done   int64 // round trips
	since  time.Time
	times  *hdrhistogram.Histogram // of round trips in ns, nil when more than one is in flight
	paused bool                    // asks nothing more
}

// ask sends n requests more.
func (l *loop) ask(c *conn, index int32, n int) {
	a := c.asking
	a.sent += int64(n)
	pending := copy(c.own[:cap(c.own)], c.out)
	out := c.own[:pending]
	for n > 0 {
		run := min(n, a.flight-a.next)
		out = append(out, a.frames[a.next*a.frame:(a.next+run)*a.frame]...)
		a.next = (a.next + run) % a.flight
		n -= run
	}
	out = c.sealed(out, pending)
	c.own, c.out = out[:0], out
	if a.times != nil {
		a.since = time.Now()
	}
	l.flush(c, index)
}

// answered counts the whole answers that arrived and asks as many times again.
func (l *loop) answered(c *conn, index int32) {
	a := c.asking
	n := c.in/a.answer - a.done
	if n == 0 {
		return
	}
	a.done += n
	if a.times != nil {
		// Out of range is beyond a minute: the run fails before.
		_ = a.times.RecordValue(int64(time.Since(a.since)))
	}
	if !a.paused {
		l.ask(c, index, int(n))
	}
}

// converse lets all requesters ask for d in a closed loop, then waits for the last answers.
func (l *loop) converse(d time.Duration) error {
	deadline := time.Now().Add(d)
	for i, c := range l.conns {
		if c.role == requester {
			c.asking.paused = false
			l.ask(c, int32(i), c.asking.flight)
		}
	}
	asking := true
	var dog watchdog
	for {
		n, err := l.turn(waitMs)
		if err != nil {
			return err
		}
		if err := dog.saw(l.ctx, n); err != nil {
			return err
		}
		if asking && !time.Now().Before(deadline) {
			asking = false
			for _, c := range l.conns {
				if c.role == requester {
					c.asking.paused = true
				}
			}
		}
		if !asking && l.silent() {
			return l.trips()
		}
	}
}

// silent reports whether every request has its answer.
func (l *loop) silent() bool {
	for _, c := range l.conns {
		if c.role == requester && c.asking.done < c.asking.sent {
			return false
		}
	}
	return true
}

// trips reports an error when a requester received more or less than its answers.
func (l *loop) trips() error {
	for i, c := range l.conns {
		if c.role == requester && c.in != c.asking.sent*c.asking.answer {
			return fmt.Errorf("requester %d received %d bytes for %d answers of %d",
				i, c.in, c.asking.sent, c.asking.answer)
		}
	}
	return nil
}

func (l *loop) tripsDone() int {
	n := int64(0)
	for _, c := range l.conns {
		if c.role == requester {
			n += c.asking.done
		}
	}
	return int(n)
}
