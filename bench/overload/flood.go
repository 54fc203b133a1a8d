//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// The service that is flooded takes floodRoom requests at a time, 5 to 15 ms each: 1600 a second.
const (
	floodRoom   = 16
	floodTime   = 10 * time.Millisecond
	floodRate   = 10 * floodRoom * int(time.Second/floodTime) // requests per second
	politeRate  = 100
	floodPhase  = 10 * time.Second
	floodRounds = 5
	floodExpiry = time.Second
	floodSettle = floodExpiry + time.Second // after a phase: what waits is done or expires
)

// floodWorker is the service: it answers a request when the time for that is over.
type floodWorker struct {
	*conn
	jobs   []job
	random *rand.Rand
	done   int // jobs
}

// job is a request in work.
type job struct {
	due    time.Duration
	answer []byte
}

// request takes one message.
func (w *floodWorker) request(now time.Duration, body []byte) {
	if i := bytes.IndexByte(body, '\n'); bytes.HasPrefix(body, []byte("request:bench.work:")) {
		takes := floodTime/2 + time.Duration(w.random.Int64N(int64(floodTime)))
		answer := appendFrame(nil, "response"+string(body[len("request"):i]), "done")
		w.jobs = append(w.jobs, job{now + takes, answer})
	}
}

// work answers what is due.
func (w *floodWorker) work(now time.Duration) {
	w.jobs = slices.DeleteFunc(w.jobs, func(j job) bool {
		if j.due > now {
			return false
		}
		w.write(j.answer)
		w.done++
		return true
	})
}

// flood compares a polite caller's latency with and without a greedy one.
func flood(o options) error {
	s, l, finish, err := begin(o)
	if err != nil {
		return err
	}
	defer finish()
	w := &floodWorker{random: rand.New(rand.NewPCG(1, 2))}
	if w.conn, err = dialWorker(l, s, "takes its time", floodRoom); err != nil {
		return err
	}
	w.frame = w.request
	callers := make([]*caller, 2)
	const (
		flooded = floodRounds * int(floodPhase/time.Second)
		all     = floodRounds * int(2*(floodPhase+floodSettle)/time.Second)
	)
	for i, requests := range [...]int{politeRate * (all + 1), floodRate * (flooded + 1)} {
		connection, err := l.dial(s.address, false)
		if err != nil {
			return err
		}
		callers[i] = newCaller(connection, floodExpiry, requests)
	}
	polite, greedy := callers[0], callers[1]
	flooding := false
	pace := ticker{next: l.now(), every: time.Second / politeRate}
	rush := ticker{next: l.now(), every: time.Second / time.Duration(floodRate)}
	each := func(now time.Duration) {
		pace.due(now, polite.ask)
		rush.due(now, func(at time.Duration) {
			if flooding {
				greedy.ask(at)
			}
		})
		w.work(now)
	}
	fmt.Printf("flood: a service of %d requests at a time, 5 to 15 ms each; "+
		"one caller sends %d/s, another %d/s\n", floodRoom, floodRate, politeRate)
	var ratios []float64
	for range floodRounds {
		var p99 [2]float64
		for i, phase := range []string{"quiet", "flood"} {
			runtime.GC()
			flooding = i == 1
			before, from := w.done, l.now()
			if err := l.drive(from+floodPhase, each); err != nil {
				return err
			}
			to, worked := l.now(), w.done-before
			flooding = false
			if err := l.drive(to+floodSettle, each); err != nil {
				return err
			}
			us := polite.latencies(from+time.Second, to) // the queue fills first
			p99[i] = quantile(us, .99)
			fmt.Printf("  %-6s the other caller: p50 %.0f µs, p99 %.0f µs, %s; "+
				"the service did %.0f/s; greedy: %s\n",
				phase, quantile(us, .5), p99[i], polite.outcomes(from, to),
				float64(worked)/floodPhase.Seconds(), greedy.outcomes(from, to))
		}
		ratios = append(ratios, p99[1]/p99[0])
	}
	fmt.Printf("  p99 of the other caller, flooded / quiet: %.3f (median; %.3f – %.3f)\n\n",
		median(ratios), slices.Min(ratios), slices.Max(ratios))
	if polite.twice+greedy.twice > 0 {
		return fmt.Errorf("%d answers too many", polite.twice+greedy.twice)
	}
	return nil
}
