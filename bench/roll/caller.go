//go:build linux

package main

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// fate is what became of a call.
type fate int

const (
	answered fate = iota
	failed        // with an error
	lost          // the connection ended before the answer
	away          // it was not made: there was no connection; the Go client waits for one, or fails
)

// outcome is a fate, and why.
type outcome struct {
	fate fate
	why  string
}

// caller is one client connection, and those that follow it. Any goroutine.
type caller interface {
	// call asks once, and waits no longer than the timeout and a little.
	call(id, topic string, timeout time.Duration) outcome
	// node is the ID of the node that it is connected to; "" while it is not.
	node() string
	close()
}

// call is one that was made and not answered.
type call struct {
	id           string
	topic        string
	began, ended time.Time
	node         string // that the caller was connected to when it began
	outcome      outcome
}

// patience bounds every wait for what must happen.
const patience = 10 * time.Second

// group is the clients of one kind at one front.
type group struct {
	front, kind string
	callers     []caller
	book        *ledger
	number      int // in call IDs

	lenient atomic.Bool // a node is being killed

	mu       sync.Mutex
	next     int            // guarded by mu: in call IDs
	calls    int            // guarded by mu
	slowest  time.Duration  // guarded by mu: of the short ones
	bad      []call         // guarded by mu: those not answered
	ends     map[string]int // guarded by mu: how the nodes' side ended connections
	refusals map[string]int // guarded by mu: connections that were not let in
	outage   time.Duration  // guarded by mu: longest time between two connections
}

func (g *group) String() string { return g.front + "/" + g.kind }

// ask makes a call, notes what became of it, and says whether it was answered.
func (g *group) ask(c caller, topic string, timeout time.Duration) bool {
	g.mu.Lock()
	g.next++
	id := uuid(g.number, g.next)
	g.mu.Unlock()
	one := call{id: id, topic: topic, node: c.node(), began: time.Now()}
	one.outcome = c.call(id, topic, timeout)
	one.ended = time.Now()

	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	if one.outcome.fate != answered {
		g.bad = append(g.bad, one)
	} else if took := one.ended.Sub(one.began); topic == topicEcho && took > g.slowest {
		g.slowest = took
	}
	return one.outcome.fate == answered
}

// count notes something in a map of the group's.
func (g *group) count(in map[string]int, what string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	in[what]++
}

// refused notes that a connection was not let in. While a node is killed some are: a balancer has
// taken them, and the node is gone.
func (g *group) refused(why string) {
	if !g.lenient.Load() {
		g.count(g.refusals, why)
	}
}

// wasAway notes a time between two connections.
func (g *group) wasAway(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.outage = max(g.outage, d)
}

// connected counts the callers that have a connection, other than to the nodes left out.
func (g *group) connected(leftOut []string) (n int) {
	for _, c := range g.callers {
		if at := c.node(); at != "" && !slices.Contains(leftOut, at) {
			n++
		}
	}
	return n
}
