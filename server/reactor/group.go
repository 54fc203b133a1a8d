package reactor

import (
	"fmt"
	"log/slog"
	"time"

	"mbserver/server/broker"
)

// Group is the reactors of all loops, and what they share. Its methods may be called by any
// goroutine.
type Group struct {
	// Immutable after Start.
	broker   *broker.Broker
	log      *slog.Logger
	started  time.Time // the zero of the loops' clocks
	reactors []*Reactor
	stall    *stallWatcher

	// Any goroutine.
	sockets table
}

// Start attaches a reactor to every loop and runs it. After an error nothing runs.
func Start(b *broker.Broker, log *slog.Logger) (*Group, error) {
	g := &Group{broker: b, log: log.With("module", "loop"), started: time.Now()}
	for i, l := range b.Loops() {
		r, err := newReactor(g, l)
		if err != nil {
			g.discard()
			return nil, fmt.Errorf("starting loop %d: %w", i, err)
		}
		l.Attach(r)
		g.reactors = append(g.reactors, r)
	}
	var err error
	if g.stall, err = newStallWatcher(g); err != nil { // its goroutine knows all reactors
		g.discard()
		return nil, fmt.Errorf("watching stalled sockets: %w", err)
	}
	for _, r := range g.reactors {
		go r.run()
	}
	return g, nil
}

// discard closes what has not run yet.
func (g *Group) discard() {
	for _, r := range g.reactors {
		_ = r.poller.Close() // nothing was ever in it
	}
}

// At returns the reactor of a loop.
func (g *Group) At(l *broker.Loop) *Reactor { return g.reactors[l.Index()] }

// Stop ends every loop. Connections that are left are closed.
func (g *Group) Stop() {
	for _, r := range g.reactors {
		r.stop()
	}
	g.stall.close()
}
