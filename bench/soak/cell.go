//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/bench/proc"
)

// cell is one attack on one kind of node.
type cell struct {
	attack    attack
	loops     int
	mebibytes int // memory.limit
}

// What is combined.
var (
	loopCounts  = []int{1, 2, 4}
	memoryMiB   = []int{64, 256}
	ciLoops     = 2
	ciMebibytes = 64
)

// Of a cell, beside the attack itself.
const (
	quietLength  = 3 * time.Second
	quietTries   = 4                // until the machine is quiet; the last counts
	settleLength = 15 * time.Second // the books have to be back then
	againLength  = 3 * time.Second  // the attack before SIGTERM
	pauseEvery   = 6 * time.Second
	sampleEvery  = 100 * time.Millisecond
	togetherPart = 4 // all attacks together have a quarter of their connections and rates each
)

func (c cell) String() string {
	return fmt.Sprintf("%s/%d/%d", c.attack.name, c.loops, c.mebibytes)
}

// share is what an army's numbers are divided by.
func (c cell) share() int {
	if c.attack.name == together {
		return togetherPart
	}
	return 1
}

// settings are the attack's own; all attacks together need what all need.
func (c cell) settings() (set []string) {
	for _, a := range attackNamed(c.attack.name) {
		set = append(set, a.set...)
		if c.attack.name != together {
			set = append(set, a.alone...)
		}
	}
	return set
}

// pauses says whether the judge stops the process now and then.
func (c cell) pauses() bool {
	for _, a := range attackNamed(c.attack.name) {
		if a.pause {
			return true
		}
	}
	return false
}

// cellsNamed is what the flag says: sample, all, ci, or a list of name/loops/MiB, where a name may
// be that of several attacks, with + between them.
func cellsNamed(what string, seed uint64) (cells []cell, err error) {
	random := rand.New(rand.NewPCG(seed, 12))
	switch what {
	case "sample":
		for _, a := range attacks {
			cells = append(cells, cell{a, loopCounts[random.IntN(len(loopCounts))],
				memoryMiB[random.IntN(len(memoryMiB))]})
		}
		return cells, nil
	case "all":
		for _, a := range append(attacks[:len(attacks):len(attacks)], all) {
			for _, loops := range loopCounts {
				for _, m := range memoryMiB {
					cells = append(cells, cell{a, loops, m})
				}
			}
		}
		return cells, nil
	case "ci":
		return []cell{{all, ciLoops, ciMebibytes}}, nil
	}
	for _, name := range strings.Split(what, ",") {
		part := strings.Split(name, "/")
		c := cell{attack: all, loops: ciLoops, mebibytes: ciMebibytes}
		found := attackNamed(part[0])
		if len(found) == 0 {
			return nil, fmt.Errorf("there is no attack %q", part[0])
		}
		switch {
		case part[0] == together:
		case len(found) == 1:
			c.attack = found[0]
		default:
			c.attack = attack{name: part[0], item: "some", what: "some attacks at once"}
		}
		for i, to := range []*int{&c.loops, &c.mebibytes} {
			if len(part) > i+1 {
				if *to, err = strconv.Atoi(part[i+1]); err != nil {
					return nil, fmt.Errorf("cell %q: %w", name, err)
				}
			}
		}
		cells = append(cells, c)
	}
	return cells, nil
}

// run runs the cell.
func (c cell) run(ctx context.Context, o options) (v verdict) {
	v.cell, v.held, v.length = c, o.held, o.length
	n, err := startNode(o.server, c)
	if err != nil {
		v.failf("%v", err)
		return v
	}
	defer n.kill()
	v.said = n.said
	p, err := newPolite(n.to)
	defer p.close()
	if err != nil {
		v.failf("%v", err)
		return v
	}
	probes, err := openProbes(n, c.loops)
	if err != nil {
		v.failf("%v", err)
		return v
	}
	defer probes.close()
	s := watch(n)
	if before, err := steady(n); err != nil {
		v.failf("%v", err)
	} else {
		c.fight(ctx, &v, o, n, p, probes, before)
	}
	v.memory = s.end()
	p.leave()
	if n.gone() {
		v.failf("the node ended by itself: %v", n.err)
		v.obeyed = true
		v.judge()
		return v
	}
	m, err := attackWith(c, n.to, againLength+patience)
	if err == nil {
		sleep(ctx, againLength)
		v.shutdown, v.obeyed = n.stop()
		_, err = m.dismiss()
	}
	if err != nil {
		v.failf("the second attack: %v", err)
	}
	v.judge()
	return v
}

// steady waits until the books say the same twice, and returns them.
func steady(n *node) (b books, err error) {
	for range 20 {
		before := b
		time.Sleep(250 * time.Millisecond) // Connections of the preparation are going.
		if b, err = n.read(); err != nil || b == before {
			return b, err
		}
	}
	return b, nil
}

// fight is the cell from the quiet phase until the books are back.
func (c cell) fight(ctx context.Context, v *verdict, o options, n *node, p *polite, probes *probes,
	before books) {
	p.begin()
	for range quietTries {
		probes.enter(phaseQuiet)
		sleep(ctx, quietLength)
		probes.enter(phaseNone)
		if v.quiet = probes.result(phaseQuiet); v.quiet.p99 <= quietNormal || ctx.Err() != nil {
			break
		}
	}
	m, err := attackWith(c, n.to, o.length)
	if err != nil {
		v.failf("%v", err)
		return
	}
	began, idle := time.Now(), loadNow(n, m)
	probes.enter(phaseAttack)
	if c.pauses() {
		pauseNow(ctx, n, probes, o.length, pauseEvery*time.Duration(c.share()))
	} else {
		sleep(ctx, o.length)
	}
	probes.enter(phaseNone)
	v.load = loadNow(n, m).since(idle, time.Since(began))
	if v.army, err = m.dismiss(); err != nil {
		v.failf("%v", err)
	}
	p.end()
	probes.close()
	v.probesOf(probes)
	v.politeOf(p)
	if n.gone() {
		v.failf("the node ended: %v", n.err)
		return
	}
	// The probes have left.
	before.connections -= len(probes.all)
	before.services -= len(probes.all)
	before.descriptors -= len(probes.all)
	for deadline := time.Now().Add(settleLength); ; sleep(ctx, 250*time.Millisecond) {
		now, err := n.read()
		if err != nil {
			v.failf("%v", err)
			return
		}
		left := now.leftovers(before)
		if left == "" || time.Now().After(deadline) || ctx.Err() != nil {
			v.left = left
			return
		}
	}
}

// pauseNow stops the process for a while, again and again, until the time is over.
func pauseNow(ctx context.Context, n *node, p *probes, length, between time.Duration) {
	const stopped = 3500 * time.Millisecond
	between = min(between, length/4)
	for end := time.Now().Add(length); time.Now().Before(end) && ctx.Err() == nil; {
		sleep(ctx, min(between, time.Until(end)))
		if time.Until(end) < stopped {
			sleep(ctx, time.Until(end))
			return
		}
		p.pausing()
		_ = unix.Kill(n.pid, unix.SIGSTOP) // It may be gone.
		sleep(ctx, stopped)
		p.goesOn()
		_ = unix.Kill(n.pid, unix.SIGCONT) // As above.
	}
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// memory is what the samples say.
type memory struct {
	samples, over int   // over the limit
	most          int64 // bytes resident
	charged       int   // most that the node said it charges
	outstanding   int   // likewise
	faults        int   // of its own, that it counted
	steal         int64 // hundredths of a second that the machine was not there
}

// sampler takes them.
type sampler struct {
	quit, done chan struct{}

	mu sync.Mutex
	m  memory // guarded by mu until done
}

// watch begins.
func watch(n *node) *sampler {
	s := &sampler{quit: make(chan struct{}), done: make(chan struct{})}
	go s.run(n)
	return s
}

func (s *sampler) run(n *node) {
	defer close(s.done)
	t := time.NewTicker(sampleEvery)
	defer t.Stop()
	limit := int64(n.limit) << 20
	busy := make(chan struct{}, 1)
	steal := stolen()
	for i := 0; ; i++ {
		select {
		case <-s.quit:
			s.mu.Lock()
			s.m.steal = stolen() - steal
			s.mu.Unlock()
			return
		case <-t.C:
		}
		resident := proc.Resident(n.pid)
		s.mu.Lock()
		s.m.samples++
		s.m.most = max(s.m.most, resident)
		if resident > limit {
			s.m.over++
		}
		s.mu.Unlock()
		if i%10 == 0 {
			select {
			case busy <- struct{}{}:
				go s.scrape(n, busy)
			default: // The last one waits still.
			}
		}
	}
}

func (s *sampler) scrape(n *node, busy chan struct{}) {
	defer func() { <-busy }()
	m, err := n.scrape()
	if err != nil {
		return // What must answer is read at the end.
	}
	s.mu.Lock()
	s.m.charged = max(s.m.charged, int(m["mb_memory_charged_bytes"]))
	s.m.faults = max(s.m.faults, int(m["mb_faults_total"]))
	s.m.outstanding = max(s.m.outstanding, int(m["mb_requests_outstanding"]))
	s.mu.Unlock()
}

// end stops sampling.
func (s *sampler) end() memory {
	close(s.quit)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m
}
