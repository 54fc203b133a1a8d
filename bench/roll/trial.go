//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// options are the flags.
type options struct {
	server      string
	nats        string // path of nats-server; empty: each node is alone
	groups      []string
	connections int // all groups together
	rate        int // requests a second, all together
	long        time.Duration
	longs       int // connections of each group with a long request outstanding
	quiet       time.Duration
	check       time.Duration // between HAProxy's
	services    string        // go, old or both, on each node
	phases      []string
	settings    []string
	idle        time.Duration
}

// trial is one run of all that takes part.
type trial struct {
	options
	folder    string
	book      *ledger
	nodes     []*node
	services  []service
	bus       *bus
	balancers *balancers
	groups    []*group
	cert      certificate

	load   sync.WaitGroup // calls under way, and those who make them
	ending chan struct{}  // closed when no more are to be made

	// How late calls were made at worst, and when. Owned by who makes them.
	late   time.Duration
	lateAt time.Time

	restarts []restart
	killed   *death
	idle     []time.Duration
	crossed  int // requests to a service of another node, as the nodes count since they run
}

// begin starts everything, in order.
func (t *trial) begin(ctx context.Context) (err error) {
	if t.folder, err = os.MkdirTemp("", "mb-roll-"); err != nil {
		return err
	}
	if t.cert, err = selfSigned(t.folder); err != nil {
		return err
	}
	var joins []string // settings of a node in the cluster
	if t.nats != "" {
		if t.bus, err = startBus(t.nats, t.folder); err != nil {
			return err
		}
		joins = t.bus.settings()
	}
	for i := range 3 {
		name := fmt.Sprintf("n%d", i+1)
		settings := slices.Concat(t.settings, joins)
		if t.bus != nil {
			settings = append(settings, "cluster.node="+name)
		}
		n, err := newNode(name, t.server, t.cert, settings)
		if err != nil {
			return err
		}
		t.nodes = append(t.nodes, n)
		if err := n.start(true); err != nil {
			return err
		}
		if t.bus != nil {
			continue // Services come through the balancers.
		}
		if err := t.serve(ctx, at(n.tcp)); err != nil {
			return err
		}
		if err := t.awaitServices(n); err != nil {
			return err
		}
	}
	var used []string
	for _, name := range t.options.groups {
		front, _, _ := strings.Cut(name, "/")
		if !slices.Contains(used, front) {
			used = append(used, front)
		}
	}
	if t.bus != nil && !slices.Contains(used, serviceFront) {
		used = append(used, serviceFront)
	}
	if t.balancers, err = startBalancers(t.folder, t.nodes, used, t.check); err != nil {
		return err
	}
	if t.bus != nil {
		for range t.nodes {
			if err := t.serve(ctx, at(t.balancers.ports[serviceFront])); err != nil {
				return err
			}
		}
		if err := t.awaitServices(t.nodes...); err != nil {
			return err
		}
	}
	return t.connect(ctx)
}

// serviceFront is through which services come to the nodes of a cluster.
const serviceFront = "tcp"

// serve connects one service of each kind.
func (t *trial) serve(ctx context.Context, address string) error {
	kinds := strings.Replace(t.options.services, "both", "go,old", 1)
	for kind := range strings.SplitSeq(kinds, ",") {
		s, err := startService(ctx, address, kind == "old", t.long, t.book)
		if err != nil {
			return err
		}
		t.services = append(t.services, s)
	}
	return nil
}

// awaitServices waits until nodes have the subscriptions of their services, those of a cluster all
// together.
func (t *trial) awaitServices(nodes ...*node) error {
	want := 2 * len(t.services)
	if t.bus == nil {
		want = 2 * max(1, len(t.services)/len(t.nodes))
	} else {
		nodes = t.nodes
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		got := 0
		for _, n := range nodes {
			got += max(0, n.metric("mb_subscriptions"))
		}
		if got >= want {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s has %d subscriptions of %d", nodes[0].name, got, want)
		}
	}
}

// connect opens all connections and waits for them.
func (t *trial) connect(ctx context.Context) error {
	each := t.connections / len(t.options.groups)
	for i, name := range t.options.groups {
		front, kind, _ := strings.Cut(name, "/")
		g := &group{
			front: front, kind: kind, book: t.book, number: i + 1,
			ends: make(map[string]int), refusals: make(map[string]int),
		}
		t.groups = append(t.groups, g)
		for range each {
			c, err := t.dial(ctx, g)
			if err != nil {
				return fmt.Errorf("%s: %w", g, err)
			}
			g.callers = append(g.callers, c)
		}
	}
	if missed, _ := t.awaitBack(patience); missed > 0 {
		return fmt.Errorf("%d clients do not get in: %s", missed, t.balancers.said)
	}
	return nil
}

func (t *trial) dial(ctx context.Context, g *group) (caller, error) {
	address, ws := at(t.balancers.ports[g.front]), g.front == "http" || g.front == "nginx"
	if g.kind == "old" {
		return startOld(&oldCaller{group: g, address: address, ws: ws, tls: g.front == "tls"}), nil
	}
	scheme := "tcp://"
	switch {
	case ws:
		scheme = "ws://"
	case g.front == "tls":
		scheme = "tls://"
	}
	return dialGo(ctx, g, scheme+address)
}

// awaitBack waits until all clients are connected to other nodes than those left out, and says
// how many are not when the bound is over.
func (t *trial) awaitBack(bound time.Duration, leftOut ...string) (missed int, took time.Duration) {
	begin := time.Now()
	for {
		missed = 0
		for _, g := range t.groups {
			missed += len(g.callers) - g.connected(leftOut)
		}
		if took = time.Since(begin); missed == 0 || took > bound {
			return missed, took
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Timeouts of requests: generous, so that none fails for lack of time.
const (
	shortTimeout = 5 * time.Second
	longMore     = 10 * time.Second // beyond what the service takes
)

// drive makes the calls: short ones at the rate, over all connections in turn, and on some a long
// one after the other.
func (t *trial) drive() {
	var short []func()
	for i := range len(t.groups[0].callers) {
		for _, g := range t.groups {
			if c := g.callers[i]; i >= t.longs {
				short = append(short, func() { g.ask(c, topicEcho, shortTimeout) })
			} else {
				t.load.Go(func() { t.askLong(g, c) })
			}
		}
	}
	t.load.Go(func() {
		begin, made := time.Now(), 0
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-t.ending:
				return
			case <-tick.C:
			}
			now := time.Since(begin)
			if late := now - time.Duration(made)*time.Second/time.Duration(t.rate); late > t.late {
				t.late, t.lateAt = late, time.Now()
			}
			for due := int(now.Seconds() * float64(t.rate)); made < due; made++ {
				t.load.Go(short[made%len(short)])
			}
		}
	})
}

// askLong has a long request outstanding all the time.
func (t *trial) askLong(g *group, c caller) {
	for {
		select {
		case <-t.ending:
			return
		default:
		}
		if c.node() == "" || !g.ask(c, topicLong, t.long+longMore) {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// end lets the calls end, then everything else, and removes what was written.
func (t *trial) end() {
	close(t.ending)
	t.load.Wait()
	for _, g := range t.groups {
		var closed sync.WaitGroup
		for _, c := range g.callers {
			closed.Go(c.close)
		}
		closed.Wait()
	}
	for _, s := range t.services {
		s.close()
	}
	if t.balancers != nil {
		t.balancers.stop()
	}
	for _, n := range t.nodes {
		n.kill()
	}
	if t.bus != nil {
		t.bus.stop()
	}
	_ = os.RemoveAll(t.folder) // It lies in the system's temporary directory.
}

// run is the whole trial; what could not even be tried is an error.
func (t *trial) run(ctx context.Context) (err error) {
	t.book, t.ending = newLedger(), make(chan struct{})
	defer t.end()
	if slices.Contains(t.phases, "idle") {
		if err := t.idleEnds(); err != nil {
			return err
		}
	}
	if slices.Equal(t.phases, []string{"idle"}) {
		return nil
	}
	if err := t.begin(ctx); err != nil {
		return err
	}
	t.drive()
	if err := pause(ctx, t.quiet); err != nil {
		return err
	}
	if slices.Contains(t.phases, "restart") {
		for _, n := range t.nodes {
			if err := t.restart(ctx, n); err != nil {
				return err
			}
		}
	}
	if slices.Contains(t.phases, "overlap") {
		if err := t.restart(ctx, t.nodes[0], t.nodes[1]); err != nil {
			return err
		}
	}
	for _, n := range t.nodes {
		t.crossed += max(0, n.metric("mb_requests_across_total"))
	}
	if slices.Contains(t.phases, "kill") {
		return t.kill(ctx, t.fullest())
	}
	return nil
}

// pause waits, unless the trial is broken off.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return errors.New("broken off")
	case <-time.After(d):
		return nil
	}
}
