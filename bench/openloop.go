//go:build linux

package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Rates of the open loops, in deliveries per second.
const (
	latencyRate = 20_000
	slowRate    = 1_000_000
	slowTimes   = 4 // durations of a stall: buffers and rings are to be full for most of it
)

// open runs an open loop against all subscribers of s and keeps the latencies of its measured part.
func (t *try) open(s *stream, rate int, d time.Duration) (*hdrhistogram.Histogram, *paced, error) {
	s.begin()
	per := time.Second * time.Duration(len(s.subscribers)) / time.Duration(rate)
	p := &paced{
		stream: s, message: len(s.burst[0]) / t.batch(len(s.subscribers)), interval: per,
		warm: int(t.Warmup / per), total: int((t.Warmup + d) / per), times: newHistogram(),
	}
	return p.times, p, t.loop.pace(p)
}

// latency measures what subscribers see at a moderate load.
func (t *try) latency() error {
	n := t.s.subscribers
	s, err := t.fanOut(n, t.batch(n), 1)
	if err != nil {
		return err
	}
	unit(s, t.wire.delivered("bench.fan", t.payload))
	if err := t.settled(links(s)); err != nil {
		return err
	}
	before := t.server.used()
	times, p, err := t.open(s, latencyRate, t.Duration)
	if err != nil {
		return err
	}
	t.percentiles(times)
	t.spent(before, p.total*n)
	t.memory()
	return nil
}

// unit makes every subscriber's share one message.
func unit(s *stream, delivered int) {
	for _, c := range s.subscribers {
		c.share = int64(delivered)
	}
}

// slow measures the other subscribers and the server's memory while one subscriber reads nothing.
// What they see is to be compared with the same load without it, which is measured first, on the
// same connections.
func (t *try) slow() error {
	n := t.s.subscribers
	s, err := t.fanOut(n-1, t.batch(n-1), 1)
	if err != nil {
		return err
	}
	unit(s, t.wire.delivered("bench.fan", t.payload))
	if err := t.settled(links(s)); err != nil {
		return err
	}
	before, _, err := t.open(s, slowRate, slowTimes*t.Duration)
	if err != nil {
		return fmt.Errorf("before the stall: %w", err)
	}
	stalled, err := t.dial(subscriber, []string{"bench.fan"})
	if err != nil {
		return err
	}
	// This only fills it sooner.
	_ = unix.SetsockoptInt(stalled.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)
	if err := t.loop.add(stalled, false); err != nil {
		return err
	}
	for _, c := range s.subscribers {
		c.in = 0
	}
	resident := t.server.resident()
	during, _, err := t.open(s, slowRate, slowTimes*t.Duration)
	if err != nil {
		return fmt.Errorf("during the stall: %w", err)
	}
	t.percentiles(during)
	t.figure("p99 before the stall", "µs", false, float64(before.ValueAtQuantile(99))/1000)
	if now := t.server.resident(); now > 0 {
		t.figure(metricGrowth, "MiB", false, float64(now-resident)/(1<<20))
	}
	return nil
}
