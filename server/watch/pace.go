package watch

import (
	"sync/atomic"
	"time"
)

// Pace lets so many things a second through, evenly, and a few at once after a rest. Any goroutine.
type Pace struct {
	// Immutable after NewPace.
	interval int64 // ns from one to the next
	slack    int64 // ns by which they may come early

	// Atomic.
	next atomic.Int64 // ns of the clock: when one would be due that comes neither early nor late
}

// NewPace returns a pace of rate things a second, at least 1, of which burst, at least 1, may come
// at once.
func NewPace(rate, burst int) *Pace {
	interval := int64(time.Second) / int64(rate)
	return &Pace{interval: interval, slack: interval * int64(burst-1)}
}

// Take says whether one more may pass at a time, in ns of a clock that starts at 0 or later. When
// none may, that costs a look at memory that nobody writes.
func (p *Pace) Take(now int64) bool {
	for {
		next := p.next.Load()
		if next-now > p.slack {
			return false
		}
		if p.next.CompareAndSwap(next, max(next, now)+p.interval) {
			return true
		}
	}
}
