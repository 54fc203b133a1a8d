package broker

import (
	"flag"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"mbserver/ringbuf"
	"mbserver/server/config"
	"mbserver/server/watch"
)

// The simulation runs a whole node in one goroutine: random clients over sockets that stall, drip
// and break, loops that take their turns in any order, a clock that jumps. Everything follows from
// the seed.
var (
	simSeed = flag.Uint64("sim.seed", 0,
		"run the simulation with this seed only, and print its steps")
	simSeeds = flag.Int("sim.seeds", seedsHere, "how many seeds the simulation runs")
	simFirst = flag.Uint64("sim.first", 1, "the first of them")
	simSteps = flag.Int("sim.steps", 800, "steps of one simulation")
)

// simPatience is how long one simulation may take; it takes milliseconds.
const simPatience = time.Minute

func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		s := newSimulation(t, *simSeed)
		s.verbose = true
		s.run(*simSteps)
		return
	}
	total := make(simTotals)
	for seed := range uint64(*simSeeds) {
		s := newSimulation(t, *simFirst+seed)
		s.run(*simSteps)
		for what, n := range s.totals {
			total[what] += n
		}
	}
	t.Logf("%d seeds: %v", *simSeeds, total)
	// A simulation in which something never happens would prove nothing about it.
	for _, what := range simEvents {
		if *simSeeds >= 100 && total[what] == 0 {
			t.Errorf("no simulation has seen: %s", what)
		}
	}
}

// TestSimulationReplays holds the promise that a seed is enough to see a failure again.
func TestSimulationReplays(t *testing.T) {
	for seed := range uint64(5) {
		var sums [2]uint64
		for i := range sums {
			s := newSimulation(t, seed+1)
			s.run(*simSteps)
			sums[i] = s.sum.Sum64()
		}
		if sums[0] != sums[1] {
			t.Fatalf("seed %d went two ways", seed+1)
		}
	}
}

// simTotals counts what the simulations have seen.
type simTotals map[string]int

// simEvents are the keys of simTotals that must not stay at zero.
var simEvents = []string{
	"publish delivered", "gap told", "delivery dropped", "delivery conflated",
	"publish acknowledged", "publish unrouted",
	"request answered", "request timed out", "target left", "request queue_full",
	"request evicted", "request over the limit", "request waited", "many topics waited for",
	"timed out waiting", "response refused", "request cut short",
	"stall", "reset", "cut by the node", "lingered", "framing lost", "dripping read",
	"lost at an inbox", "publisher paused", "pause ran out", "laggard cut", "request memory",
	"limited by service", "limited by pattern", "limited by topic", "limited by node",
	"nonsense limited", "left in pieces", "ended in pieces",
	"refused subscription_limit", "refused memory",
	"list exact", "snapshot shared", "slow counted", "unread counted", "backlog counted",
	"audited", "log line", "hole told in place", "gave way",
	"not read for its answers", "cut for its answers", "went away with 1001",
	"compressed", "inflated",
	"message looked at", "publish looked at",
	"told to go", "sent away", "kept beyond its slot", "held while clients stand",
	"asked after the grace", "drain cancelled",
	"closed for silence", "stood still", "ended its stream and stayed", "answered after the end",
}

// simulation is one run.
type simulation struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	ids     testIDs
	n       *testNode
	shared  int64 // live buffers before it
	verbose bool
	calm    bool // connections seldom suffer

	places   []*simClient // the sessions of now, by client; nil while it is away
	sessions []*simClient // all there ever were
	oracle
	simSettings
	simSystem

	step   int
	trace  []string // the last steps
	sum    hash.Hash64
	totals simTotals
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		t: t, seed: seed,
		random: rand.New(rand.NewPCG(seed, 2)), ids: testIDs{rand.New(rand.NewPCG(seed, 3))},
		shared: liveShared(), sum: fnv.New64a(), totals: make(simTotals),
	}
	s.oracle.init(s)
	s.choose()
	payload := []int{100, 6000}[s.random.IntN(2)] // the larger is past sharedBodyMin
	loops := 1 + s.random.IntN(3)
	if s.holes || s.pausing && s.chance(60) { // with one, more is known of when things happen
		loops = 1
	}
	s.n = newTestNode(t, seed, loops, func(cfg *config.Config) {
		cfg.Message.PayloadMaxLength = payload
		cfg.WS.Deflate.MinBytes = 1 + s.random.IntN(200)
		cfg.Connection.OutboundBytes = 2*cfg.MaxFrame() + s.random.IntN(4)*payload
		cfg.Connection.OutboundMessages = []int{4, 16, 1000}[s.random.IntN(3)]
		cfg.Request.TimeoutDefault = 2 * time.Second
		cfg.Request.TimeoutMax = 3 * time.Second
		cfg.Connection.HeartbeatRetryTimeout = time.Hour
		cfg.Connection.HeartbeatDeregisterTimeout = 2 * time.Hour
		cfg.Connection.StallTimeout = time.Duration(100+s.random.IntN(3000)) * time.Millisecond
		if s.heartbeats = s.chance(25); s.heartbeats {
			cfg.Connection.HeartbeatRetryTimeout = 500 * time.Millisecond
			cfg.Connection.HeartbeatDeregisterTimeout = time.Second
		}
		if s.chance(30) {
			cfg.Max.OutstandingPerService = 1 + s.random.IntN(3)
			s.perService = int32(cfg.Max.OutstandingPerService)
		}
		if s.chance(30) {
			cfg.Max.QueuedPerTopic = s.random.IntN(3)
		}
		if s.evictions = s.chance(30); s.evictions {
			cfg.Max.OutstandingRequests = 1 + s.random.IntN(6)
		}
		if seed%4 == 1 && !s.memory { // what is looked at goes the same way
			cfg.Explain.Sample = 1 + int(seed/4%3)
		}
		s.adjust(cfg)
	})
	if seed%3 == 0 { // somebody looks at what passes, which nobody may notice
		s.n.watchAll("#", watch.RateMost, nil)
	}
	s.arrange()
	if s.smallInbox = s.chance(30); s.smallInbox {
		s.n.inboxBytes = 2*(s.n.maxFrame+itemCharge) + s.random.IntN(1000)
		s.n.inboxTurn = 1 + s.random.IntN(1000) // an inbox takes several turns
		s.n.parcelItems = 1 + s.random.IntN(4)  // a turn's parcel is split
	}
	s.calm = s.chance(40) && !s.holes
	s.places = make([]*simClient, 3+s.random.IntN(6))
	s.arrangeSystem()
	return s
}

// say notes a step for the case that the simulation fails.
func (s *simulation) say(format string, args ...any) {
	line := fmt.Sprintf("%4d %6d ms  ", s.step, s.n.ms) + fmt.Sprintf(format, args...)
	_, _ = s.sum.Write([]byte(line))
	if s.verbose {
		s.t.Log(line)
		return
	}
	if len(s.trace) == 80 {
		s.trace = append(s.trace[:0], s.trace[1:]...)
	}
	s.trace = append(s.trace, line)
}

// fail ends the simulation.
func (s *simulation) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s\n%s\n\nreplay with: %s -sim.steps=%d", strings.Join(s.trace, "\n"),
		fmt.Sprintf(format, args...), replay("TestSimulation", s.seed), *simSteps)
}

// replay is the command that shows a test go wrong again. It builds as this one was built: the
// checks that come with the race detector, and a fault on purpose, are part of what happens.
func replay(test string, seed uint64) string {
	env, flags := "", "-v"
	if raceEnabled {
		flags = "-race -v"
	}
	if simfaultBuild {
		env, flags = "SIM_FAULT="+os.Getenv("SIM_FAULT")+" ", "-tags simfault "+flags
	}
	return fmt.Sprintf("%sgo test ./server/broker %s -run %s$ -sim.seed=%d", env, flags, test, seed)
}

func (s *simulation) run(steps int) {
	resetFault()
	ringbuf.FreshShared(true)
	defer ringbuf.FreshShared(false)
	watch := time.AfterFunc(simPatience, func() {
		panic(fmt.Sprintf("simulation: seed %d does not end", s.seed))
	})
	defer watch.Stop()
	defer func() {
		if v := recover(); v != nil {
			s.fail("panic: %v\n%s", v, debug.Stack())
		}
	}()
	s.greetAuditor()
	for s.step = 1; s.step <= steps; s.step++ {
		s.act()
		s.observe()
		s.checkAlways()
	}
	s.drain()
	s.rest()
	s.checkAtRest()
	if s.draining {
		s.goAway()
	} else {
		s.disperse()
	}
	s.checkEmpty()
	s.totals["laggard cut"] += int(s.n.budget.shed.Load())
	sample := s.n.Sample(time.UnixMilli(testEpoch + s.n.ms)).Deflate
	s.totals["compressed"] += int(sample.Out.Messages)
	s.totals["inflated"] += int(sample.In.Messages)
	if sample.Connections != 0 || sample.Failed != 0 {
		s.fail("%d connections have agreed on deflate, %d messages failed",
			sample.Connections, sample.Failed)
	}
}

// chance is true p times of a hundred.
func (s *simulation) chance(p int) bool { return s.random.IntN(100) < p }

// act takes one random step.
func (s *simulation) act() {
	if s.n.paused.Load() > 0 && s.chance(15) {
		s.outlast()
		return
	}
	i := s.random.IntN(len(s.places))
	k := s.places[i]
	switch dice := s.random.IntN(100); {
	case dice < 30:
		if j := s.random.IntN(len(s.n.loops)); s.n.drivers[j].scheduled {
			s.say("loop %d runs", j)
			s.runLoop(j)
		}
	case dice < 34:
		by := []int64{1, 10, 100, 700}[s.random.IntN(4)]
		s.say("the clock goes on by %d ms", by)
		s.n.advance(by)
	case dice < 36 && s.heartbeats && s.chance(20):
		s.stop()
	case dice < 36:
		s.n.backgroundJob()
	case k == nil:
		if !s.stops { // the door refuses it
			s.connect(i)
		}
	case dice < 56:
		k.deliver(1 + s.random.IntN(len(k.outbox)+1))
	case dice < 70:
		k.deliver(len(k.outbox))
	case dice < 95:
		k.speak()
	case !s.calm || s.chance(10):
		k.suffer()
	}
}

func (s *simulation) connect(i int) {
	tr := TransportTCP
	if s.chance(50) {
		tr = TransportWS
	}
	loop, deflate := s.random.IntN(len(s.n.loops)), tr == TransportWS && s.chance(50)
	k := &simClient{
		testClient: s.n.connectAs(loop, tr, deflate), s: s,
		name: fmt.Sprintf("c%d", len(s.sessions)), last: make(map[string]int),
		rejected: make(map[string]int), responses: make(map[string]int),
	}
	k.Conn.dec = &simDecoder{k.Conn.dec, k}
	k.startFlow()
	k.startSilence()
	s.places[i] = k
	s.sessions = append(s.sessions, k)
	s.say("%s connects by %s to loop %d, deflate: %v", k.name, tr, k.loop.index, deflate)
}

// rest lets everybody catch up, until nothing moves and every deadline has passed.
func (s *simulation) rest() {
	s.say("everybody catches up")
	for round, free := 0, 0; free < 40; round++ { // 40: the longest deadline, and some
		if free++; s.blocked() {
			free = 0
		}
		if round == simRounds {
			s.fail("there are paused publishers for ever: %d", s.n.paused.Load())
		}
		for again := true; again; {
			again = false
			for _, k := range s.places {
				if k != nil {
					k.deliver(len(k.outbox))
					k.readOn()
				}
			}
			s.settle()
			for _, k := range s.places {
				if k != nil && len(k.outbox) > 0 && !k.sock.paused {
					again = true // it has answered something
				}
			}
		}
		s.n.advance(100)
	}
	s.settle()
}

// settle runs whatever was asked for until nothing is, and looks after every turn.
func (s *simulation) settle() {
	for busy := true; busy; {
		busy = s.n.backgroundJob()
		for i, d := range s.n.drivers {
			if d.scheduled {
				busy = true
				s.runLoop(i)
				s.observe()
			}
		}
	}
	s.observe()
	s.checkAlways()
}

// disperse has everybody leave, one way or another.
func (s *simulation) disperse() {
	for _, k := range s.places {
		if k == nil {
			continue
		}
		k.excused = true
		switch s.random.IntN(3) {
		case 0:
			k.bye(true)
		case 1:
			k.bye(false)
		default:
			k.vandalize()
			k.deliver(len(k.outbox))
		}
	}
	s.settle()
	s.linger()
}
