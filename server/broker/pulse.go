package broker

import (
	"sync/atomic"
	"time"

	"mbserver/server/metrics"
)

// Pulse: what is seen of a loop from outside, without asking it.
//
// Purpose. The door brings nobody more while a loop has more to do than is good for those who are
// on it (Pressed), and few while it has more to do than it gets done (Busy). A supervisor learns of
// a loop that has stopped turning (Live). A balancer learns how much there is to do (Load).
//
// Outline. A loop notes when a turn begins, and when one ends that was slow. A turn that runs tells
// of itself that way; a loop that stands still between two turns is found out by a call that it
// does not take: Live leaves one with it, and the next Live sees whether it has gone.
//
// Cost. Two stores for each turn. An idle node does nothing.
const (
	// slowTurn is, in ns, how long a turn may take before the door holds newcomers back (protocol
	// §11). One that was slow counts for as long after its end: by then the loop has begun another,
	// or has nothing to do.
	slowTurn = 20 * int64(time.Millisecond)

	// stuckTime is, in ns, how long a loop with work waiting may not turn (protocol §11).
	stuckTime = 5 * int64(time.Second)

	// secondLook is when a loop that seems to stand still is looked at again: after a pause of the
	// whole process it only has not had its turn yet.
	secondLook = 50 * time.Millisecond
)

// pulse is a loop's. Atomic.
type pulse struct {
	began atomic.Int64 // ns of the clock: when the running turn began; 0: none runs
	slow  atomic.Int64 // ns of the clock: when the last turn ended, if it was slow; 0: it was not
	gives atomic.Bool  // the last turn has left work over
	asked atomic.Int64 // ns of the clock: since when a call of Live waits; 0: none does
}

// begin notes that a turn begins. Loop only.
func (p *pulse) begin(now int64) { p.began.Store(max(now, 1)) }

// end notes that the turn that began at some ns of the clock has ended, and whether it has left
// work over. Loop only.
func (p *pulse) end(began, now int64, gives bool) {
	p.began.Store(0)
	slow := int64(0)
	if now-began > slowTurn {
		slow = max(now, 1)
	}
	if p.slow.Load() != slow {
		p.slow.Store(slow)
	}
	if p.gives.Load() != gives {
		p.gives.Store(gives)
	}
}

// Busy says that some loop has more to do than it got done in its last turn. Any goroutine.
func (b *Broker) Busy() bool {
	for _, l := range b.loops {
		if l.pulse.gives.Load() {
			return true
		}
	}
	return false
}

// Pressed says that some loop's last turn took longer than 20 ms, or that the one that runs has by
// now. A loop that has had nothing to do since is not pressed. Any goroutine.
func (b *Broker) Pressed() bool {
	now := b.loops[0].driver.Now().Ns
	for _, l := range b.loops {
		if began := l.pulse.began.Load(); began != 0 && now-began > slowTurn {
			return true
		}
		if slow := l.pulse.slow.Load(); slow != 0 && now-slow < slowTurn {
			return true
		}
	}
	return false
}

// Live says whether the loops turn, and in one word what is wrong: "stuck" when one has not turned
// for 5 s although work waits for it. It takes a moment when one seems so. Any goroutine, while
// somebody drives the loops.
func (b *Broker) Live() (alive bool, word string) {
	if b.stuck() {
		time.Sleep(secondLook)
		if b.stuck() {
			return false, "stuck"
		}
	}
	return true, "ok"
}

// stuck says whether a loop has not turned for too long, and leaves a call with each that has none.
func (b *Broker) stuck() (stuck bool) {
	now := b.loops[0].driver.Now().Ns
	for _, l := range b.loops {
		p := &l.pulse
		if began := p.began.Load(); began != 0 && now-began > stuckTime {
			stuck = true
		}
		switch asked := p.asked.Load(); {
		case asked == 0:
			if p.asked.CompareAndSwap(0, max(now, 1)) {
				l.call(func(l *Loop) { l.pulse.asked.Store(0) })
			}
		case now-asked > stuckTime:
			stuck = true
		}
	}
	return stuck
}

// Load tells how much of what it has the node uses. Any goroutine.
func (b *Broker) Load() metrics.Load {
	load := metrics.Load{
		Loops:  len(b.loops),
		Memory: float64(b.charged()) / float64(b.budget.full),
		Places: float64(b.connections.Load()) / float64(b.places.Load()),
	}
	for _, l := range b.loops {
		load.Busy += l.published.Times.Total(metrics.TurnTime)
	}
	return load
}
