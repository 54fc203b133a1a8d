package admin

import (
	"math"
	"time"

	"mbserver/server/metrics"
)

// weight is the share of what its balancer would give it that a node takes, in percent. It falls
// with what the node uses most of: its loops' time, its memory, its places.
//
// New connections stay, and what they cost comes later. A weight that followed each second would
// send all of them to one node and then all to another. So the loops' time is smoothed, and the
// weight moves in steps, and never below a floor: a node that is merely busy is still one of those
// that share the crowd.
type weight struct {
	at   time.Time     // of the last reading
	busy time.Duration // at that time
	used float64       // share of the loops' time, smoothed
	said int           // percent
}

const (
	weightStep   = 5                      // percent
	weightSlack  = 3                      // percent that make no step
	weightFloor  = 10                     // percent
	weightMemory = 3 * time.Second        // after which two thirds of the smoothed share are new
	weightFresh  = 200 * time.Millisecond // readings that are closer are one
)

// begin takes the first reading.
func (w *weight) begin(now time.Time, l metrics.Load) {
	w.at, w.busy, w.said = now, l.Busy, 100
}

// next takes a reading, and returns the weight.
func (w *weight) next(now time.Time, l metrics.Load) int {
	passed := now.Sub(w.at)
	if passed < weightFresh {
		return w.said
	}
	busy := float64(l.Busy-w.busy) / float64(passed) / float64(l.Loops)
	w.used += (min(max(busy, 0), 1) - w.used) * -math.Expm1(-passed.Seconds()/
		weightMemory.Seconds())
	w.at, w.busy = now, l.Busy
	free := 100 * (1 - max(w.used, l.Memory, l.Places))
	if math.Abs(free-float64(w.said)) >= weightSlack {
		w.said = max(int(math.Round(free/weightStep))*weightStep, weightFloor)
	}
	return w.said
}
