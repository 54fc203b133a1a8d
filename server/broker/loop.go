package broker

import (
	"log/slog"
	"math/rand/v2"
	"sync/atomic"

	"mbserver/ringbuf"
	"mbserver/server/limit"
	"mbserver/server/metrics"
	"mbserver/server/system"
	"mbserver/server/trouble"
	"mbserver/server/wheel"
)

// Loop is one reactor loop's world: its connections, the requests outstanding on them, its timers,
// and what it gathers during a turn. Everything but the groups that say otherwise belongs to the
// loop's goroutine.
type Loop struct {
	// Immutable after Attach.
	broker *Broker
	index  int
	driver Driver
	log    *slog.Logger

	// Any goroutine.
	inbox     inbox
	published metrics.Published
	pulse     pulse
	load      atomic.Int64 // connections here or on their way here
	evicting  atomic.Bool  // it was asked to evict its oldest request
	serve     atomic.Bool  // subscriptions changed: what waits here is to be looked up again

	ills [trouble.Kinds]trouble.Spell // noted by the loop only

	unserved, late illTopics // likewise

	charged  atomic.Int64 // bytes charged to the node's budget, as of the last turn
	lagging  atomic.Int64 // the laggards' part of it
	shedding atomic.Bool  // shed was asked for
	laggards laggards     // who is charged; its own comments say what is whose

	// Owned by the loop.
	conns  []*Conn // by slot
	gens   []uint32
	free   []uint32
	wheel  *wheel.Wheel
	random *rand.ChaCha8
	ids    messageIDs
	charge int64       // bytes charged to the node's budget now
	gate   *limit.Gate // nil while no rate limit is set
	routes remembering // but for what is any goroutine's

	publishing
	requesting
	pasts     pasts
	drain     drainPart
	trace     tracing
	standings standings
	revoked   revoked
	turning
	working
	ending
	silence
	sending
	deflating
	timed
	scratch
}

// publishing is what a loop needs for publishes. Loop only.
type publishing struct {
	acks        acks
	across      across
	missing     missing
	parkedCount int // how often a publish waits for one of this loop's connections
}

// requesting is what a loop needs for requests. Loop only.
type requesting struct {
	outstanding outstanding
	queues      queues
	granting
	loads        loads
	crossing     crossing
	parting      parting
	systemTopics *system.Server
}

// parting says of whom a loop waits for no answer any more, and takes no request.
type parting uint8

const (
	partNone parting = iota
	partSome         // of those whose marks say so
	partAll          // of nobody: the node goes away
)

// turning is the running turn. Loop only.
type turning struct {
	inTurn bool
	quiet  bool // what is delivered is a log line: its loss makes no other
	time   Clock
	armed  int64 // when ScheduleAt was last to call; 0, or in the past: nothing is armed
	turn   *ringbuf.Turn
	dirty  []*Conn // with something to write
	prompt []*Conn // those not to wait for more
	counts metrics.Counts
}

// sending is what a turn gathers for other loops. Loop only.
type sending struct {
	parcels []outbox // by loop
	carried int      // parcels that are being filled
	crowded *Loop    // an inbox that the message in hand fills too much; nil: none
	asking  *Conn    // whose request is being assigned; nil: it came from elsewhere
}

// outbox is what is on its way to one loop.
type outbox struct {
	parcel *parcel    // being filled; nil: nothing to hand over
	lost   *losses    // refused, and to be told behind the parcel; nil: nothing
	held   []*service // connections that are not read until its inbox has room
}

// scratch is space that is valid within one call. Loop only.
type scratch struct {
	lower  []byte
	header []byte
	answer []byte
	notice []byte // what the node says in the middle of something else
	framed []byte
	caller caller
	piece  piece
}

func newLoop(b *Broker, index, count int, seed [32]byte) *Loop {
	l := &Loop{
		broker: b,
		index:  index,
		log:    b.log.With("module", "loop"),
		random: rand.NewChaCha8(seed),
		wheel:  wheel.New(0),
	}
	l.turn = ringbuf.NewTurn()
	l.published.Works = b.works
	l.goesOn = l.mayFire
	l.drain.loop, l.loads.loop, l.loads.again.loop = l, l, l
	l.parcels = make([]outbox, count)
	l.routes.init(l)
	l.outstanding.init(l)
	l.trace.init(l)
	l.systemTopics = system.NewServer(b)
	if b.rates != nil {
		l.gate = b.rates.NewGate()
	}
	return l
}

// connOf returns the live connection of s, which must belong to this loop, or nil when it is gone
// or leaving.
func (l *Loop) connOf(s *service) *Conn {
	if c := l.conns[s.slot]; c != nil && c.gen == s.gen && c.state == stateOpen {
		return c
	}
	return nil
}

// Index is the loop's place in Broker.Loops. Any goroutine.
func (l *Loop) Index() int { return l.index }

// Attach makes d drive the loop; canPause says whether its sockets can be left unread. Once, before
// any loop runs.
func (l *Loop) Attach(d Driver, canPause bool) {
	l.driver = d
	if !canPause {
		l.broker.canPause, l.broker.pause = false, false
	}
}

// Load is how many connections the loop has, or are on their way to it. Any goroutine.
func (l *Loop) Load() int64 { return l.load.Load() }

// Expect counts a connection on its way to the loop, as LoopFor does. Any goroutine.
func (l *Loop) Expect() { l.load.Add(1) }

// GiveBack says that a connection of LoopFor or Expect does not come. Any goroutine.
func (l *Loop) GiveBack() { l.load.Add(-1) }
