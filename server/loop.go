package server

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/wheel"
	"mbserver/topic"
)

// loop is one reactor loop's world: its connections, the requests outstanding on them, its timers, and what it gathers
// during a turn. Everything but the inbox, the published counters and the immutable fields belongs to the loop's goroutine.
type loop struct {
	// Immutable after New.
	node  *Node
	index int
	host  host
	log   *slog.Logger

	// Any goroutine.
	inbox inbox
	stats stats
	load  atomic.Int64 // connections here or on their way here
	serve atomic.Bool  // services may have room for what waits here

	memory   atomic.Int64 // bytes charged to the node's budget, as of the last turn
	shedding atomic.Bool  // shed was asked for
	largest  atomic.Int64 // the largest charge of a connection, or more: exact after shed

	// Owned by the loop.
	conns  []*conn // by slot
	gens   []uint32
	free   []uint32
	wheel  *wheel.Wheel
	armed  int64 // when host.scheduleAt will call; 0 = not armed
	random *rand.ChaCha8

	messageIDs messageIDs

	// Owned by the loop: routing.
	publishes *topic.Cache[*service, *route]
	requests  *topic.Cache[*service, candidates]
	pending   pending
	queues    queues
	acks      acks
	waits     int                    // how often a publish waits for one of this loop's connections
	charge    int64                  // bytes charged to the node's budget now
	rates     map[string]*topicRates // by canonical topic; empty while no limit is set
	pass      pass

	// Owned by the loop: the running turn.
	inTurn     bool
	quiet      bool // what is delivered is a log line: its loss makes no other
	time       clock
	turn       *ringbuf.Turn
	dirty      []*conn
	closing    []*conn
	resuming   []*service // publishers whose pause has ended
	spareInbox []envelope
	tally      tally

	// Owned by the loop: scratch space, valid within one call.
	lower  []byte
	header []byte
	answer []byte
	notice []byte // what the broker says in the middle of something else
	framed []byte
	call   systemCall
}

func newLoop(n *Node, index int, seed [32]byte) *loop {
	l := &loop{
		node:   n,
		index:  index,
		log:    n.log.With("module", "loop"),
		turn:   ringbuf.NewTurn(),
		random: rand.NewChaCha8(seed),
		wheel:  wheel.New(0),
	}
	l.inbox.box = ringbuf.NewMailbox[envelope](mailboxLimit)
	l.publishes = topic.NewCache(n.tree, topic.Publish, matchCacheLimit, l.buildRoute)
	l.requests = topic.NewCache(n.tree, topic.Request, matchCacheLimit, buildCandidates)
	l.pending.init(l)
	return l
}

// begin starts a turn unless one is running: the clock is read once, and the turn's end is scheduled.
func (l *loop) begin() {
	if l.inTurn {
		return
	}
	l.inTurn = true
	l.time = l.host.now()
	l.host.schedule()
}

// run ends a turn (or makes a whole one, when only the inbox or a timer called): other loops' envelopes, due timers,
// closes, and one flush per connection that has something to say.
func (l *loop) run() {
	if !l.inTurn {
		l.inTurn = true
		l.time = l.host.now()
	}
	l.drainInbox()
	l.wheel.Advance(l.time.ms)
	l.stats.publish(l.time.unix/1000, &l.tally) // before an answer leaves: who has seen one finds it counted
	for again := true; again; again = len(l.resuming) > 0 || len(l.closing) > 0 || len(l.dirty) > 0 || l.serve.Load() && len(l.queues.busy) > 0 {
		if l.serve.Swap(false) {
			l.serveQueues()
		}
		l.resumePublishers()
		l.closeAll()
		l.flush()
		l.settleMemory() // may cut laggards: they are closed in the next round
	}
	if l.pass.c != nil {
		l.payPass()
		l.pass.c = nil
	}
	l.pending.publishOldest()
	l.stats.publish(l.time.unix/1000, &l.tally)
	l.inTurn = false
	l.armTimer()
}

// guardedRun is run for a host: after a fault the next event still begins a turn of its own.
func (l *loop) guardedRun() {
	l.guard(nil, l.run)
	l.inTurn = false
}

// armTimer asks for a turn when the wheel's next timer is due. A call that comes too early costs one empty turn, so an
// armed earlier time is left alone, unless it has passed since the turn began: its call has then come while this turn's
// end was already asked for, and nobody calls again.
func (l *loop) armTimer() {
	at, ok := l.wheel.Next()
	if !ok {
		return
	}
	if l.armed > l.time.ms && l.armed <= at && l.armed > l.host.now().ms {
		return
	}
	l.armed = at
	l.host.scheduleAt(at)
}

func (l *loop) drainInbox() {
	items, lost := l.takeInbox()
	for i := range items {
		l.guard(nil, func() { l.receiveEnvelope(&items[i]) })
		if l.turn.Len() > turnLogMax {
			l.flush()
		}
	}
	clear(items)
	l.spareInbox = items[:0]
	for s, n := range lost {
		if c := l.connOf(s); c != nil {
			c.noteLoss(n)
		}
	}
}

func (l *loop) receiveEnvelope(e *envelope) {
	switch e.kind {
	case envelopePublish:
		l.receivePublish(e)
	case envelopeLog:
		l.receiveLog(e)
	case envelopeTaken:
		l.acks.taken(l, e)
	case envelopeRequest, envelopeQueue:
		l.receiveRequest(e)
	case envelopeDirect:
		if c := l.connOf(e.to); c != nil {
			if e.failure {
				c.errors.add(l.time.unix / 1000)
			}
			l.send(c, e.body.B, nil, e.text)
		}
		e.body.Release()
	case envelopeWritable:
		if int(e.slot) < len(l.conns) {
			if c := l.conns[e.slot]; c != nil && c.gen == e.gen {
				c.resume()
			}
		}
	case envelopeCall:
		e.call(l)
	}
}

// connOf returns the live connection of s, which must belong to this loop, or nil when it is gone or leaving.
func (l *loop) connOf(s *service) *conn {
	if c := l.conns[s.slot]; c != nil && c.gen == s.gen && c.state == stateOpen {
		return c
	}
	return nil
}

// flush writes every dirty connection once and forgets the turn's frames.
func (l *loop) flush() {
	for i := 0; i < len(l.dirty); i++ { // a drained ring may append its gap notice and be dirty again
		c := l.dirty[i]
		c.dirty = false
		l.flushOne(c)
	}
	clear(l.dirty)
	l.dirty = l.dirty[:0]
	l.turn.Reset()
}

// flushOne writes one connection. A fault of ours there costs that connection only: whatever it still refers to is
// forgotten, so that it can never be sent bytes of a later turn.
func (l *loop) flushOne(c *conn) {
	defer func() {
		if v := recover(); v != nil {
			c.out = ringbuf.Outbound{}
			l.fault(nil, v)
			c.doomNow()
		}
	}()
	c.flush(false)
	c.serveWaiters()
}

// closeAll carries out the closes that were decided during the turn.
func (l *loop) closeAll() {
	for i := 0; i < len(l.closing); i++ {
		c := l.closing[i]
		l.guard(nil, c.carryOutClose)
	}
	clear(l.closing)
	l.closing = l.closing[:0]
}

// guard runs f; a panic is a fault of ours: it is logged and counted, costs the connection it happened on, and the loop
// lives.
func (l *loop) guard(c *conn, f func()) {
	defer func() {
		if v := recover(); v != nil {
			l.fault(c, v)
		}
	}()
	f()
}

// open makes a connection of an arrival that passed the door.
func (l *loop) open(a *arrival, sock socket) *conn {
	var slot uint32
	if n := len(l.free); n > 0 {
		slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		slot = uint32(len(l.conns))
		l.conns = append(l.conns, nil)
		l.gens = append(l.gens, 0)
	}
	c := &conn{sock: sock}
	c.service.id = l.newID()
	c.service.loop = l
	c.service.slot = slot
	c.service.gen = l.gens[slot]
	c.service.transport = a.transport
	c.service.connectedAt = l.time.unix
	c.service.remote = a.remote
	c.capacity.Store(l.node.perService)
	c.lastSeen.Store(l.time.unix)
	c.heard = l.time.ms
	if a.transport == transportWS {
		c.dec = codec.NewWSDecoder(l.node.maxFrame, false)
	} else {
		c.dec = codec.NewTCPDecoder(l.node.maxFrame)
	}
	l.conns[slot] = c
	l.node.registry.add(&c.service)
	l.tally[countRegistration]++
	l.node.stats.connected.add(l.time.unix / 1000)
	c.timer.Owner = c
	c.armHeartbeat()
	l.sendInitialize(c)
	if l.log.Enabled(context.Background(), slog.LevelInfo) {
		l.log.Info("connected", "serviceId", c.id.String(), "transport", c.transport.String(), "remote", c.remote.String())
	}
	return c
}
