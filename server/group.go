package server

import (
	"errors"
	"fmt"
	"net"
)

// room is the reactors of all loops, and what they share.
type room struct {
	// Immutable after start.
	node     *Node
	reactors []*reactor
	stall    *stallWatcher
}

// start begins to run every loop.
func (g *room) start() (err error) {
	if g.stall, err = newStallWatcher(g.node); err != nil {
		return fmt.Errorf("watching stalled sockets: %w", err)
	}
	for _, l := range g.node.loops {
		r, err := newReactor(l)
		if err != nil {
			return fmt.Errorf("starting loop %d: %w", l.index, err)
		}
		g.reactors = append(g.reactors, r)
	}
	return nil
}

// errNotOpened is why a connection that gnet took has not come to its loop: the loop closed it.
var errNotOpened = errors.New("the loop did not open it")

// enroll hands c to the loop with the fewest connections. c is closed in any case: the loop has a duplicate.
func (g *room) enroll(c net.Conn, a *Arrival) error {
	l := g.node.loopFor()
	e := &enrolment{Arrival: a}
	_, err := g.reactors[l.index].client.EnrollContext(c, e)
	if err == nil && !e.opened {
		err = errNotOpened
	}
	if err != nil {
		l.load.Add(-1)
	}
	return err
}

// stop ends every loop.
func (g *room) stop() {
	for _, r := range g.reactors {
		r.stop()
	}
	if g.stall != nil {
		g.stall.close()
	}
}
