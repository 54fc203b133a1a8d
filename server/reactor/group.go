package reactor

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
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
		if r.epoll, err = findEpoll(r.nudge[0]); err != nil {
			g.log.Warn("no socket can be left unread here: connections that do not read their "+
				"answers are closed early, and connection.backpressure does nothing",
				"error", err.Error())
		}
		l.Attach(r, err == nil)
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

// discard closes the pollers of loops that do not run.
func (g *Group) discard() {
	for _, r := range g.reactors {
		r.close()
	}
}

// At returns the reactor of a loop.
func (g *Group) At(l *broker.Loop) *Reactor { return g.reactors[l.Index()] }

// Pulse waits until every loop has looked at what others ask of it. An error names those that had
// not when ctx ended: they are busy with one thing, or stuck.
func (g *Group) Pulse(ctx context.Context) error {
	heard := make([]atomic.Bool, len(g.reactors))
	for i, r := range g.reactors {
		r.Do(func() { heard[i].Store(true) })
	}
	for _, r := range g.reactors {
		r.Call(ctx, func() {}) // behind that
	}
	var busy []int
	for i, r := range g.reactors {
		if !heard[i].Load() && !r.awaitEnd(ctx) {
			busy = append(busy, i)
		}
	}
	if len(busy) > 0 {
		return fmt.Errorf("loops do not turn: %v", busy)
	}
	return nil
}

// Stop ends every loop; connections that are left are cut. An error names the loops that had not
// ended when ctx did: they are busy, and end when they look up. Nothing is taken from under them
// then, and Stop may be called again.
func (g *Group) Stop(ctx context.Context) error {
	for _, r := range g.reactors { // side by side
		r.askToEnd()
	}
	var busy []int
	for i, r := range g.reactors {
		if !r.awaitEnd(ctx) {
			busy = append(busy, i)
		}
	}
	if len(busy) > 0 {
		return fmt.Errorf("loops are busy and have not ended: %v", busy)
	}
	g.stall.close()
	g.discard()
	return nil
}
