package broker

import (
	"context"
	"errors"
	"time"

	"mbserver/codec"
)

// state is where a node stands in its life.
type state int32

const (
	starting state = iota
	accepting
	draining
	stopped
)

// Ready says whether new connections are welcome, and in one word why not. Any goroutine.
func (b *Broker) Ready() (ready bool, word string) {
	switch state(b.state.Load()) {
	case accepting:
		return true, "ok"
	case draining:
		return false, "draining"
	case starting:
		return false, "starting"
	}
	return false, "stopped"
}

// accepting says whether new connections and requests are taken.
func (b *Broker) accepting() bool { return state(b.state.Load()) == accepting }

// Open begins the life of a node: from here on connections and requests are welcome. The loops are
// driven by whoever attached drivers to them.
func (b *Broker) Open() error {
	if !b.state.CompareAndSwap(int32(starting), int32(accepting)) {
		return errors.New("the node was started before")
	}
	b.background.start()
	return nil
}

// Refuse begins the end: the node is not ready any more, and new requests are refused.
func (b *Broker) Refuse() error {
	if !b.state.CompareAndSwap(int32(accepting), int32(draining)) {
		return errors.New("the node is not running")
	}
	b.log.Info("draining", "connections", b.connections.Load(), "outstanding", b.outstanding.Load())
	return nil
}

// drainPoll is how often a draining node looks whether its requests are answered.
const drainPoll = 5 * time.Millisecond

// Drain lets those requests finish that are outstanding and rings flush, and closes WebSockets with
// 1001. It returns how many connections are left when ctx ends: 0 when all are gone.
func (b *Broker) Drain(ctx context.Context) (left int) {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for b.outstanding.Load() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	for _, l := range b.loops {
		l.call((*Loop).goAway)
	}
	for b.connections.Load() > 0 && ctx.Err() == nil {
		select {
		case <-b.empty:
		case <-ctx.Done():
		}
	}
	return int(b.connections.Load())
}

// Stop ends what the broker runs beside its loops, which run no more.
func (b *Broker) Stop() {
	b.background.stop() // only loops ask
	b.logStream.Stop()
	b.state.Store(int32(stopped))
}

// Admit takes a place for a connection that arrives, or says why it has none: a reason of protocol
// §4. A connection gives its place back when it ends; one that never comes to a loop, with Release.
// Any goroutine.
func (b *Broker) Admit() (refusal string) {
	switch {
	case b.connections.Add(1) > b.maxConnections:
		refusal = "connection_limit"
	case b.overBudget():
		refusal = "memory"
	default:
		return ""
	}
	b.Release() // a refused connection takes nobody's place
	return refusal
}

// Release gives a place back. Any goroutine.
func (b *Broker) Release() {
	if b.connections.Add(-1) == 0 {
		select {
		case b.empty <- struct{}{}:
		default:
		}
	}
}

// LoopFor returns the loop with the fewest connections and counts one more for it: a connection on
// its way there, which GiveBack takes back when it does not come. Any goroutine.
func (b *Broker) LoopFor() *Loop {
	best := b.loops[0]
	for _, l := range b.loops[1:] {
		if l.load.Load() < best.load.Load() {
			best = l
		}
	}
	best.load.Add(1)
	return best
}

// GiveBack says that a connection of LoopFor does not come. Any goroutine.
func (l *Loop) GiveBack() { l.load.Add(-1) }

// goAway closes every connection of the loop after its last messages.
func (l *Loop) goAway() {
	for _, c := range l.conns {
		if c != nil && c.state == stateOpen {
			l.closeWS(c, codec.CloseGoingAway, "the server is going away")
		}
	}
}
