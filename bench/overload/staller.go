//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What the staller's publisher sends: a burst at fixed times.
const (
	stallBurst = 10
	stallEvery = 20 * time.Millisecond
	payload    = 128 // bytes

	// What fills the kernel's buffers of the one that stalls, so that its ring is full for the
	// whole of the stall.
	fillMessages = 512
	fillBytes    = 16 << 10
)

// crowd is the subscribers that read.
type crowd struct {
	times    *hdrhistogram.Histogram // of the running phase; nil while nothing is recorded
	received int
}

// message takes one of any of them.
func (c *crowd) message(now time.Duration, body []byte) {
	c.received++
	if c.times == nil {
		return
	}
	if at, ok := stamp(body); ok {
		_ = c.times.RecordValue(int64(now - at)) // beyond a minute the run has failed anyway
	}
}

// laggard is the subscriber that stops reading.
type laggard struct {
	*conn
	got  int
	lost int // what it was told of
}

// message takes one.
func (s *laggard) message(_ time.Duration, body []byte) {
	if bytes.HasPrefix(body, []byte("publish:system.dropped")) {
		var gap struct{ Count int }
		_ = json.Unmarshal(body[bytes.IndexByte(body, '\n')+1:], &gap)
		s.lost += gap.Count
		return
	}
	s.got++
}

// burster is the publisher.
type burster struct {
	*conn
	sent   int // to all
	filled int // to the one that stalls
}

// burst sends what is due at that time to all, stamped with it.
func (p *burster) burst(at time.Duration) {
	var b []byte
	for range stallBurst {
		stamped := fmt.Sprintf("%019d", int64(at)) + strings.Repeat("x", payload-19)
		b = appendFrame(b, "publish:bench.fan:1.0.0", stamped)
		p.sent++
	}
	p.write(b)
}

// fill fills the buffers of the one that stalls.
func (p *burster) fill() {
	for range fillMessages {
		p.send("publish:bench.fill:1.0.0", strings.Repeat("f", fillBytes))
		p.filled++
	}
}

// staller has one of many subscribers stop reading, between two phases in which it reads.
func staller(o options) error {
	s, l, finish, err := begin(o, "connection.outbound.bytes=65536")
	if err != nil {
		return err
	}
	defer finish()
	fan := [2]string{"system.topic.subscribe", `{"action":"publish","topic":"bench.fan"}`}
	fill := [2]string{"system.topic.subscribe", `{"action":"publish","topic":"bench.fill"}`}
	var others crowd
	for range o.subscribers - 1 {
		c, err := l.dial(s.address, false, fan)
		if err != nil {
			return err
		}
		c.frame = others.message
	}
	slow := &laggard{}
	if slow.conn, err = l.dial(s.address, true, fan, fill); err != nil {
		return err
	}
	slow.frame = slow.message
	p := &burster{}
	if p.conn, err = l.dial(s.address, false); err != nil {
		return err
	}
	tick := ticker{next: l.now(), every: stallEvery}
	each := func(now time.Duration) { tick.due(now, p.burst) }
	if err := l.drive(l.now()+2*time.Second, each); err != nil { // warm-up
		return err
	}
	rate := int(stallBurst * time.Second / stallEvery)
	fmt.Printf("staller: 1 of %d subscribers, %d messages/s in bursts of %d, "+
		"%d deliveries/s, ring of 64 KiB\n", o.subscribers, rate, stallBurst, o.subscribers*rate)
	fmt.Printf("  %-10s %10s %10s %10s %12s %12s\n",
		"", "p50 µs", "p99 µs", "max µs", "memory MiB", "lost to it")
	var p99 []float64
	for _, phase := range []string{"quiet", "stall", "quiet", "stall", "quiet"} {
		before := slow.lost
		slow.listen(phase != "stall")
		if phase == "stall" {
			p.fill()
		}
		others.times = nil
		runtime.GC()
		if err := l.drive(l.now()+2*time.Second, each); err != nil { // not measured
			return err
		}
		others.times = newHistogram()
		if err := l.drive(l.now()+o.stall, each); err != nil {
			return err
		}
		p99 = append(p99, micros(others.times, 99))
		fmt.Printf("  %-10s %10.0f %10.0f %10.0f %12.1f %12d\n", phase,
			micros(others.times, 50), micros(others.times, 99), micros(others.times, 100),
			float64(s.resident())/(1<<20), slow.lost-before)
	}
	if err := l.drive(l.now()+2*time.Second, func(time.Duration) {}); err != nil {
		return err
	}
	quiet, stalled := (p99[0]+p99[2]+p99[4])/3, (p99[1]+p99[3])/2
	fmt.Printf("  p99 of the others, stalled / quiet: %.3f\n", stalled/quiet)
	fmt.Printf("  published %d; the others received %d of %d; "+
		"the staller received %d + was told of %d lost = %d\n",
		p.sent, others.received, p.sent*(o.subscribers-1),
		slow.got, slow.lost, slow.got+slow.lost)
	fmt.Printf("  (of those it was sent %d alone, to fill the kernel's buffers)\n\n", p.filled)
	if others.received != p.sent*(o.subscribers-1) || slow.got+slow.lost != p.sent+p.filled {
		return fmt.Errorf("something was lost silently")
	}
	return nil
}

// stamp reads the time that a payload begins with.
func stamp(body []byte) (time.Duration, bool) {
	i := bytes.IndexByte(body, '\n')
	if i < 0 || len(body) < i+20 {
		return 0, false
	}
	ns, err := strconv.ParseInt(string(body[i+1:i+20]), 10, 64)
	return time.Duration(ns), err == nil
}
