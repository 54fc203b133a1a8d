package reactor

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
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
	reactors []*reactor
	stall    *stallWatcher
}

// Start attaches a reactor to every loop and runs it. After an error nothing runs.
func Start(b *broker.Broker, log *slog.Logger) (*Group, error) {
	g := &Group{broker: b, log: log.With("module", "loop"), started: time.Now()}
	for _, l := range b.Loops() {
		r := newReactor(g, l)
		l.Attach(r)
		g.reactors = append(g.reactors, r)
	}
	var err error
	if g.stall, err = newStallWatcher(g); err != nil {
		return nil, fmt.Errorf("watching stalled sockets: %w", err)
	}
	for i, r := range g.reactors {
		if err := r.start(); err != nil {
			g.reactors = g.reactors[:i]
			g.Stop()
			return nil, fmt.Errorf("starting loop %d: %w", i, err)
		}
	}
	return g, nil
}

// errNotOpened is why a connection that gnet took has not come to its loop.
var errNotOpened = errors.New("the loop did not open it")

// Enroll hands c to the loop with the fewest connections. c is closed in any case: the loop has a
// duplicate.
func (g *Group) Enroll(c net.Conn, a *broker.Arrival) error {
	l := g.broker.LoopFor()
	e := &enrolment{Arrival: a}
	_, err := g.reactors[l.Index()].client.EnrollContext(c, e)
	if err == nil && !e.opened {
		err = errNotOpened
	}
	if err != nil {
		l.GiveBack()
	}
	return err
}

// Stop ends every loop. Connections that are left are closed.
func (g *Group) Stop() {
	for _, r := range g.reactors {
		r.stop()
	}
	g.stall.close()
}

// complain writes a rate-limited line about what should not happen.
func (g *Group) complain(message string, err error) {
	g.broker.Throttle.Log(g.log, slog.LevelError, message, "error", err.Error())
}
