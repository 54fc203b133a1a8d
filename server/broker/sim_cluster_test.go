package broker

import (
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"mbserver/ringbuf"
)

// The simulation of a cluster runs three whole nodes in one goroutine, over a model of a bus that
// delays, loses, doubles and stops; nodes are killed, stand still, leave and come back. Everything
// follows from the seed.
var clusterSeeds = flag.Int("sim.cluster.seeds", 100,
	"how many seeds the simulation of a cluster runs, from sim.cluster.from on")
var clusterRequests = flag.Bool("sim.cluster.requests", true,
	"the simulation of a cluster has requests, too")
var clusterFrom = flag.Uint64("sim.cluster.from", 1, "the first seed of that")

func TestClusterSimulation(t *testing.T) {
	if *simSeed != 0 {
		s := newClusterSim(t, *simSeed)
		s.verbose = true
		s.run()
		return
	}
	total := make(simTotals)
	for seed := range uint64(*clusterSeeds) {
		s := newClusterSim(t, seed+*clusterFrom)
		s.run()
		for what, n := range s.totals {
			total[what] += n
		}
	}
	t.Logf("%d seeds: %v", *clusterSeeds, total)
	for _, what := range clusterEvents {
		if *clusterSeeds >= 100 && total[what] == 0 {
			t.Errorf("no simulation has seen: %s", what)
		}
	}
}

// TestClusterSimulationReplays holds the promise that a seed is enough to see a failure again.
func TestClusterSimulationReplays(t *testing.T) {
	for seed := range uint64(20) {
		var sums [2]uint64
		for i := range sums {
			s := newClusterSim(t, seed+1)
			s.run()
			sums[i] = s.sum.Sum64()
		}
		if sums[0] != sums[1] {
			t.Fatalf("seed %d went two ways", seed+1)
		}
	}
}

// clusterEvents are what must happen in some seed.
var clusterEvents = []string{
	"delivered here", "delivered across", "lost across", "loss told",
	"acknowledged across", "unconfirmed publish", "unrouted", "unrouted across",
	"subscribed", "unconfirmed subscription", "node gone", "node back",
	"frame lost", "frame doubled", "queue full",
	"expired", "withdrawn", "replaced", "displaced", "request here", "request across",
	"node killed", "node left", "node stood still",
}

// clusterSim is one run.
type clusterSim struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	ids     testIDs
	shared  int64 // live buffers before it
	verbose bool

	now      int64 // ms
	bus      *simBus
	nodes    [4]*simNode // nil: it is down; the last is a guest's (guestPlace)
	runs     []*simNode  // all there ever were, by incarnation from 1
	loops    int         // of each
	outbound int         // bytes of a lane
	tight    bool        // those are few: queues are full now and then
	repair   int         // bytes that a lane keeps of what it has sent
	events   []simEvent  // in order
	ops      bool        // clients do something
	faults   bool        // something goes wrong now and then
	calmFrom int64       // since when all is well everywhere
	amiss    int         // that is wrong with the bus, for whoever is there

	places   []*crossClient
	sessions []*crossClient
	crossOracle

	ready  []simAction // scratch
	step   int
	trace  []string
	sum    hash.Hash64
	totals simTotals
}

// simEvent is what happens at a time.
type simEvent struct {
	at int64
	do func()
}

func newClusterSim(t *testing.T, seed uint64) *clusterSim {
	s := &clusterSim{
		t: t, seed: seed,
		random: rand.New(rand.NewPCG(seed, 2)), ids: testIDs{rand.New(rand.NewPCG(seed, 3))},
		shared: liveShared(), sum: fnv.New64a(), totals: make(simTotals),
	}
	s.crossOracle.init()
	s.bus = &simBus{s: s, delay: 1 + s.random.Int64N(5)}
	s.loops = 1 + s.random.IntN(2)
	if s.outbound, s.tight = 1<<20, s.chance(25); s.tight {
		s.outbound = 1200
	}
	s.repair = []int{0, 400, 4000, 1 << 20}[s.random.IntN(4)]
	s.places = make([]*crossClient, 4+s.random.IntN(5))
	return s
}

// chance is true p times of a hundred.
func (s *clusterSim) chance(p int) bool { return s.random.IntN(100) < p }

// say notes a step for the case that the simulation fails.
func (s *clusterSim) say(format string, args ...any) {
	line := fmt.Sprintf("%5d %6d ms  ", s.step, s.now) + fmt.Sprintf(format, args...)
	_, _ = s.sum.Write([]byte(line))
	if s.verbose {
		s.t.Log(line)
		return
	}
	if len(s.trace) == 120 {
		s.trace = append(s.trace[:0], s.trace[1:]...)
	}
	s.trace = append(s.trace, line)
}

// fail ends the simulation.
func (s *clusterSim) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s\n%s\n\nreplay with: %s", strings.Join(s.trace, "\n"),
		fmt.Sprintf(format, args...), replay("TestClusterSimulation", s.seed))
}

// Times in ms. What goes wrong ends before healTime before clients stop.
const (
	clusterHeartbeat  = 200
	clusterAckTimeout = 250
	healTime          = 1000
	quietTime         = 2200 // until the last loss is noticed and told
)

func (s *clusterSim) run() {
	resetFault()
	ringbuf.FreshShared(true)
	defer ringbuf.FreshShared(false)
	watch := time.AfterFunc(simPatience, func() {
		panic(fmt.Sprintf("simulation of a cluster: seed %d does not end", s.seed))
	})
	defer watch.Stop()
	defer func() {
		if v := recover(); v != nil {
			s.fail("panic: %v\n%s", v, debug.Stack())
		}
	}()
	for i := range guestPlace {
		s.after(s.random.Int64N(400), func() { s.start(i, nameOf(i)) })
	}
	s.ops, s.faults = true, true
	s.after(0, s.operate)
	s.after(s.random.Int64N(800), s.hurt)
	s.pass(500 + s.random.Int64N(2500))
	s.heal()
	s.pass(healTime)
	s.checkHealed()
	s.pass(300)
	if s.chance(8) {
		s.rival()
	}
	s.ops = false
	s.pass(quietTime)
	s.checkAtRest()
	s.probe()
	s.pass(3 * clusterAckTimeout)
	s.checkAtRest()
	for _, k := range s.places {
		if k != nil {
			k.bye()
		}
	}
	s.pass(1500) // what a service has to do is told once more, a second later
	s.checkEmpty()
}

// after has something happen in so many ms.
func (s *clusterSim) after(ms int64, do func()) {
	at := s.now + ms
	i := 0
	for i < len(s.events) && s.events[i].at <= at {
		i++
	}
	s.events = slices.Insert(s.events, i, simEvent{at, do})
}

// simAction is something that is to be done now.
type simAction struct {
	n    *simNode
	what actionKind
	i    int
}

type actionKind uint8

const (
	actLoop actionKind = iota // a turn of loop i
	actPlane
	actSend // lane i
	actHear // ear i
)

// pass lets so much time go by.
func (s *clusterSim) pass(ms int64) {
	for end := s.now + ms; ; s.step++ {
		for len(s.events) > 0 && s.events[0].at <= s.now {
			e := s.events[0]
			s.events = s.events[1:]
			e.do()
			s.observe()
		}
		s.ready = s.ready[:0]
		next := end
		if len(s.events) > 0 {
			next = min(next, s.events[0].at)
		}
		for _, n := range s.nodes {
			if n != nil && !n.still {
				next = min(next, n.prepare())
			}
		}
		switch {
		case len(s.ready) > 0 && s.faults && s.random.IntN(200) == 0:
			next = min(next, s.now+1+s.random.Int64N(10)) // it has to wait
		case len(s.ready) > 0:
			s.ready[s.random.IntN(len(s.ready))].act()
			s.observe()
			continue
		case s.now >= end:
			return
		}
		s.advance(max(next, s.now+1))
	}
}

// advance moves all clocks.
func (s *clusterSim) advance(to int64) {
	by := to - s.now
	s.now = to
	for _, n := range s.nodes {
		if n != nil {
			n.advance(by)
		}
	}
}

// act does it.
func (a simAction) act() {
	n := a.n
	switch a.what {
	case actLoop:
		n.run(a.i)
	case actPlane:
		n.next = n.plane.Step().Milliseconds()
		n.checkKnown()
	case actSend:
		n.plane.Send(a.i)
	case actHear:
		n.end.ears[a.i].hear()
	}
	n.noteSlots()
	for _, f := range n.testNode.faults {
		n.s.fail("%s: %s", n.name, f)
	}
}
