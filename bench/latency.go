//go:build linux

package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Of a histogram of latencies.
const (
	longestNs = int64(60 * time.Second)
	digits    = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(100, longestNs, digits) }

// paced is an open loop: one publisher sends at fixed times, whatever the server does. A latency
// counts from the time at which a message should have been sent, so that a stall of the server is
// charged to every message that had to wait.
type paced struct {
	stream   *stream
	message  int           // bytes of one published frame; the burst holds many
	interval time.Duration // between two messages
	total    int
	warm     int // messages that are not recorded
	times    *hdrhistogram.Histogram
	sent     int
}

// pace sends total messages and waits until every subscriber of the stream has them.
func (l *loop) pace(p *paced) error {
	s := p.stream
	c, index := s.publishers[0], s.indexes[0]
	burst := s.burst[0]
	most := len(burst) / p.message
	clock := time.Now()
	now := int64(0)
	l.arrive = func(c *conn, before int64) {
		for k := before / c.share; k < c.in/c.share; k++ {
			if int(k) >= p.warm {
				// Out of range is beyond a minute: the run fails before.
				_ = p.times.RecordValue(now - k*int64(p.interval))
			}
		}
	}
	defer func() { l.arrive = nil }()
	s.sent, s.done = p.total, 0
	s.aim()
	deadline := int64(p.total)*int64(p.interval) + int64(patience)
	for s.done < p.total {
		now = int64(time.Since(clock))
		if due := min(int(now/int64(p.interval))+1, p.total); due > p.sent && len(c.out) == 0 {
			n := min(due-p.sent, most)
			c.out = c.outbound(burst[:n*p.message])
			p.sent += n
			l.flush(c, index)
		}
		// Never asleep: a wake-up of the generator would be charged to the server.
		n, errno := sysWait(l.epoll, l.events, 0)
		if errno != 0 {
			return fmt.Errorf("epoll: %w", errno)
		}
		if n == 0 {
			if now > deadline {
				return fmt.Errorf("%d of %d messages arrived everywhere", s.done, p.total)
			}
			continue
		}
		for i := range l.events[:n] {
			now = int64(time.Since(clock))
			l.handle(&l.events[i])
		}
		if l.err != nil {
			return l.err
		}
		if err := l.ctx.Err(); err != nil {
			return err
		}
		l.ready = l.ready[:0]
		s.queued = false
	}
	return exact([]*stream{s})
}
