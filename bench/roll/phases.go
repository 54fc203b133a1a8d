//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// restart is one of a node that was told to stop.
type restart struct {
	node   string
	at     time.Time     // of the signal
	took   time.Duration // to the end of the process
	code   int
	back   time.Duration // after the end, until all clients were connected elsewhere
	missed int           // of them, those that were not by then
	said   string
}

// death is one of a node that was killed.
type death struct {
	id       string
	at, back time.Time // when all clients were connected again
	missed   int
}

// endBound is what a node may take to end: shutdown.timeout, two seconds more, and some.
const endBound = 40 * time.Second

// restart restarts nodes as an operator does: SIGTERM, the end, a new start. Several begin to end
// one after the other. The next are not touched before services and balancers are back.
func (t *trial) restart(ctx context.Context, nodes ...*node) error {
	ended := make([]restart, len(nodes))
	var left []string
	var ending sync.WaitGroup
	for i, n := range nodes {
		left = append(left, n.id)
		ending.Go(func() {
			time.Sleep(time.Duration(i) * apart)
			r := restart{node: n.name, at: time.Now()}
			r.took, r.code = n.terminate(endBound)
			r.said = n.said.String()
			ended[i] = r
		})
	}
	ending.Wait()
	missed, back := t.awaitBack(patience, left...)
	for i := range ended {
		ended[i].missed, ended[i].back = missed, back
	}
	t.restarts = append(t.restarts, ended...)
	for _, n := range nodes {
		if err := t.startAgain(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// apart is how much later the second of two nodes is told to stop: the first is draining.
const apart = 2 * time.Second

func (t *trial) startAgain(ctx context.Context, n *node) error {
	if err := n.start(true); err != nil {
		return err
	}
	if err := t.awaitServices(n); err != nil {
		return err
	}
	if err := pause(ctx, 4*t.check); err != nil { // HAProxy has seen that it was gone
		return err
	}
	return t.awaitTaken(ctx, n, true)
}

// awaitTaken waits until all fronts of HAProxy send the node connections, or none does.
func (t *trial) awaitTaken(ctx context.Context, n *node, taken bool) error {
	for begin := time.Now(); ; {
		right := true
		for _, g := range t.groups {
			right = right && (g.front == "nginx" || t.balancers.log.takes(g.front, n.name) == taken)
		}
		if right {
			return nil
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("HAProxy takes %s: still not %v", n.name, taken)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// fullest is the node with the most clients.
func (t *trial) fullest() *node {
	clients := make(map[string]int)
	for _, g := range t.groups {
		for _, c := range g.callers {
			clients[c.node()]++
		}
	}
	return slices.MaxFunc(t.nodes, func(a, b *node) int { return clients[a.id] - clients[b.id] })
}

// kill kills a node as a crash does.
func (t *trial) kill(ctx context.Context, n *node) error {
	for _, g := range t.groups {
		g.lenient.Store(true)
		defer g.lenient.Store(false)
	}
	t.killed = &death{id: n.id, at: time.Now()}
	n.kill()
	t.killed.missed, _ = t.awaitBack(2*patience, t.killed.id)
	t.killed.back = time.Now()
	if err := t.awaitTaken(ctx, n, false); err != nil {
		return err
	}
	return t.startAgain(ctx, n)
}

// idleRuns is how often the end of an idle node is measured.
const idleRuns = 5

// idleEnds measures how long a node takes to end that has no connection, and that nobody has asked
// whether it is ready.
func (t *trial) idleEnds() error {
	folder, err := os.MkdirTemp("", "mb-roll-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }() // As above.
	c, err := selfSigned(folder)
	if err != nil {
		return err
	}
	for range idleRuns {
		n, err := newNode("idle", t.server, c, t.settings)
		if err != nil {
			return err
		}
		if err := n.start(false); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond) // The connection that found it started is gone.
		took, code := n.terminate(endBound)
		if code != 0 {
			return fmt.Errorf("an idle node ended with exit code %d: %s", code, n.said)
		}
		t.idle = append(t.idle, took)
	}
	return nil
}
