package broker

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// state is where a node stands in its life.
type state int32

const (
	starting state = iota
	accepting
	unready  // balancers are told to send nobody; else as accepting
	draining // nobody comes any more
	stopped
)

// Ready says whether new connections are welcome, and in one word why not. Who asks is taken for a
// balancer (AwaitNotice). Any goroutine.
func (b *Broker) Ready() (ready bool, word string) {
	b.asked.Store(time.Now().UnixMilli())
	switch state(b.state.Load()) {
	case accepting:
		if b.crowded() {
			return false, "memory"
		}
		if b.cluster != nil && b.cluster.Isolated() {
			return false, "isolated"
		}
		return true, "ok"
	case unready, draining:
		return false, "draining"
	case starting:
		return false, "starting"
	}
	return false, "stopped"
}

// admits says whether connections are taken.
func (b *Broker) admits() bool {
	at := state(b.state.Load())
	return at == accepting || at == unready
}

// ending says that connections are to go.
func (b *Broker) ending() bool { return state(b.state.Load()) > accepting }

// Open begins the life of a node: from here on connections and requests are welcome. The loops are
// driven by whoever attached drivers to them.
func (b *Broker) Open() error {
	if !b.state.CompareAndSwap(int32(starting), int32(accepting)) {
		return errors.New("the node was started before")
	}
	b.openedAt.Store(time.Now().UnixMilli())
	b.background.start()
	return nil
}

// Schedule is how a node is drained (protocol §11, shutdown.*).
type Schedule struct {
	Spread time.Duration // within which connections go
	Rate   int           // how many a second, 1 or more
	Grace  time.Duration // for what is outstanding then, before more is refused
	Time   time.Duration // until what is left is cut
}

// Unready begins a drain: the node is not ready any more, and all else goes on as before. It is
// false when the node does not run, or is not ready already. Any goroutine.
func (b *Broker) Unready() bool {
	if !b.state.CompareAndSwap(int32(accepting), int32(unready)) {
		return false
	}
	b.unreadyAt.Store(time.Now().UnixMilli())
	b.tellDraining()
	b.modules.node.Info("draining", "connections", b.connections.Load(),
		"outstanding", b.outstanding.Load())
	return true
}

// AwaitNotice waits until balancers have seen that the node is not ready: for delay since Unready,
// but not when nobody has asked for some time, nor while no connection stands, nor beyond the end
// of ctx. Any goroutine.
func (b *Broker) AwaitNotice(ctx context.Context, delay time.Duration) {
	if time.Since(time.UnixMilli(b.asked.Load())) > balancerTime {
		return
	}
	since := time.UnixMilli(b.unreadyAt.Load() + 1) // it was cut to milliseconds
	ctx, cancel := context.WithDeadline(ctx, since.Add(delay))
	defer cancel()
	b.awaitEmpty(ctx)
}

// balancerTime is for how long a node that was not asked whether it is ready takes it that some
// balancer yet wants to know.
const balancerTime = 30 * time.Second

// awaitEmpty waits until no connection stands, or ctx ends.
func (b *Broker) awaitEmpty(ctx context.Context) {
	for b.connections.Load() > 0 && ctx.Err() == nil {
		select {
		case <-b.empty:
		case <-ctx.Done():
		}
	}
}

// Refuse ends the arriving: who comes from here on is refused. Any goroutine.
func (b *Broker) Refuse() error {
	for _, from := range []state{accepting, unready} {
		if b.state.CompareAndSwap(int32(from), int32(draining)) {
			b.cutBefore.Store(b.cut.Load())
			if from == accepting {
				b.unreadyAt.Store(time.Now().UnixMilli())
				b.tellDraining()
				b.modules.node.Info("draining", "connections", b.connections.Load(),
					"outstanding", b.outstanding.Load())
			}
			return nil
		}
	}
	return errors.New("the node is not running")
}

// Depart tells each connection when to go, and closes it then, or as soon after as nothing of it is
// outstanding. It does not wait for that. Any goroutine.
func (b *Broker) Depart(s Schedule) {
	p := planOf(s, b.clients.Load(), b.serving.Load())
	b.departing.Store(true)
	for _, l := range b.loops {
		l.call(func(l *Loop) { l.depart(p) })
	}
}

// ReadyAgain ends a drain that has not refused anybody: whose slot has not come may stay. It is
// false when there is none. Any goroutine.
func (b *Broker) ReadyAgain() bool {
	if !b.state.CompareAndSwap(int32(unready), int32(accepting)) {
		return false
	}
	for _, l := range b.loops {
		l.call((*Loop).stay)
	}
	b.tellDraining()
	b.modules.node.Info("ready again", "connections", b.connections.Load())
	return true
}

// Bounds of the end, beside the time that Drain is given.
const (
	// partingTime is how long Drain waits, each time, for loops to have what others have sent them.
	// A busy one that takes longer does not keep the others from taking leave.
	partingTime = 250 * time.Millisecond

	// lastWords is how long connections may take to read why they end when the time was over before
	// they were told.
	lastWords = 500 * time.Millisecond
)

// Drain waits until all connections have gone that Depart has told to. When ctx ends first, what is
// outstanding is answered that the node goes away, rings flush, and WebSockets are closed with
// 1001, for which there is lastWords. It returns how many connections are left: 0 when all are
// gone.
func (b *Broker) Drain(ctx context.Context) (left int) {
	b.awaitEmpty(ctx)
	if b.connections.Load() > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		b.part(ctx)
		b.awaitEmpty(ctx)
	}
	return int(b.connections.Load())
}

// part ends what is outstanding and then every connection, when the loops of its requesters have
// the answers.
func (b *Broker) part(ctx context.Context) {
	b.hear(ctx, b.sendWords((*Loop).noteCuts))        // and what is on its way counts
	b.hear(ctx, b.sendWords((*Loop).failOutstanding)) // and that is answered
	b.hear(ctx, b.sendWords(func(*Loop) {}))          // and those answers have arrived
	for _, l := range b.loops {
		l.call((*Loop).goAway)
	}
}

// SendAway waits until those have gone whom Depart has told to, or ctx ends: when its time is over,
// what is outstanding of them is answered that the node goes away, and they are cut. Any goroutine.
func (b *Broker) SendAway(ctx context.Context) {
	tick := time.NewTicker(goingPoll)
	defer tick.Stop()
	b.hear(ctx, b.sendWords(func(*Loop) {})) // all are told, or will be
	for b.going.Load() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	switch ctx.Err() {
	case nil:
		b.modules.node.Info("drained", "connections", b.connections.Load())
	case context.DeadlineExceeded:
		left := b.going.Load()
		for _, l := range b.loops {
			l.call((*Loop).cutTold)
		}
		b.modules.node.Warn("drained: the time was over", "cut", left)
	}
}

// goingPoll is how often SendAway looks whether all have gone.
const goingPoll = 50 * time.Millisecond

// words are from each loop to each.
type words chan struct{}

// sendWords has each loop call f and send each other a word behind all that it has for it. When all
// words are heard, whatever one loop had for another when it called f has arrived there.
func (b *Broker) sendWords(f func(*Loop)) words {
	w := make(words, len(b.loops)*len(b.loops))
	for _, l := range b.loops {
		l.call(func(l *Loop) {
			f(l)
			l.inPieces(func() bool { // behind those of f
				for _, to := range b.loops {
					l.sendCall(to, func(*Loop) { w <- struct{}{} })
				}
				return true
			})
		})
	}
	return w
}

// hear waits for all words, until ctx ends, and not longer than partingTime.
func (b *Broker) hear(ctx context.Context, w words) {
	ctx, cancel := context.WithTimeout(ctx, partingTime)
	defer cancel()
	for heard := 0; heard < cap(w) && ctx.Err() == nil; heard++ {
		select {
		case <-w:
		case <-ctx.Done():
		}
	}
}

// noteCuts counts the connections of the loop of which something is outstanding at the end. One
// whose ring is not written by then is counted when it is given up.
func (l *Loop) noteCuts() {
	l.eachOpen(func(c *Conn) {
		if c.expects() {
			c.noteCut()
		}
	})
}

// cutTold ends the connections of the loop that were told to go and are there at the end of the
// time for that.
func (l *Loop) cutTold() {
	l.eachOpen(func(c *Conn) {
		switch {
		case !c.marked(markTold) || c.marked(markCut):
		case c.expects():
			c.cutOff()
		default:
			c.bye()
		}
	})
}

// failOutstanding answers what no service of this loop has answered, and what still waits on it,
// and from here on what comes from other loops.
func (l *Loop) failOutstanding() {
	l.parting = partAll
	l.failWhere(func(*entry) bool { return true })
}

// failWhere answers the outstanding requests of this loop for which that holds, in pieces.
func (l *Loop) failWhere(holds func(e *entry) bool) {
	const looks = 32 // at requests, that take as long as a step
	slot, o := 0, &l.outstanding
	l.inPieces(func() (done bool) {
		for ; slot < len(o.slots); slot++ {
			e := o.slots[slot]
			fails := e != nil && (e.target != nil || e.queue != nil || e.far != nil) && holds(e)
			if (fails || slot%looks == looks-1) && !l.mayEnd() {
				return false
			}
			if fails {
				l.drained(e)
			}
		}
		return true
	})
}

// eachOpen does f with every open connection of the loop, in pieces.
func (l *Loop) eachOpen(f func(c *Conn)) {
	slot := 0
	l.inPieces(func() (done bool) {
		for ; slot < len(l.conns); slot++ {
			c := l.conns[slot]
			if c == nil || c.state != stateOpen {
				continue
			}
			if !l.mayEnd() {
				return false
			}
			f(c)
		}
		return true
	})
}

// goAway closes every connection of the loop after its last messages.
func (l *Loop) goAway() {
	l.eachOpen(func(c *Conn) {
		if p := c.paused; p != nil && p.request.body != nil {
			q := p.request.unpacked()
			l.drainedRequest(&q)
		}
		c.bye()
	})
}

// Cut ends the connection because its loop ends. The caller closes the descriptor. Loop only.
func (c *Conn) Cut() {
	c.goes("the node ends")
	if (c.state == stateOpen || !c.out.Empty()) && c.loop.broker.ending() {
		c.noteCut()
	}
	if c.PeerClosed(false) {
		_, _ = c.out.Flush(c.loop.turn, c.sock, true) // what can be written yet
		c.PeerClosed(true)
	}
}

// Stop ends what the broker runs beside its loops. It waits for that until ctx ends.
func (b *Broker) Stop(ctx context.Context) {
	b.background.stop(ctx)
	b.logStream.Stop()
	b.census.stop()
	b.topics.stop()
	b.state.Store(int32(stopped))
}

// CutOff returns how many connections the end of the node took something from, those counted that
// still stand because their loop has not ended. Any goroutine.
func (b *Broker) CutOff() int {
	return int(b.cut.Load() - b.cutBefore.Load() + b.connections.Load())
}

// Admit takes a place for a connection that arrives, or says why it has none: a reason of protocol
// §4, or "address" for connection.max.perAddress. from is the address that it is counted by, the
// zero one when it is by none. A connection gives its place back when it ends; one that never comes
// to a loop, with Release. Any goroutine.
func (b *Broker) Admit(from netip.Addr) (refusal string) {
	open := b.connections.Add(1)
	b.noteOpen(open)
	switch {
	case open > b.places.Load():
		refusal = "connection_limit"
	case !b.admits():
		refusal = "draining"
	case b.crowded():
		refusal = "memory"
	case from.IsValid() && !b.addresses.take(addressKey(from)):
		refusal = "address"
	default:
		return ""
	}
	b.Release(netip.Addr{}) // a refused connection takes nobody's place
	return refusal
}

// Release gives back a place that Admit has given to an address. Any goroutine.
func (b *Broker) Release(from netip.Addr) {
	if from.IsValid() {
		b.addresses.giveBack(addressKey(from))
	}
	open := b.connections.Add(-1)
	if b.ills.full.Load() != 0 {
		b.noteOpen(open)
	}
	if open == 0 {
		select {
		case b.empty <- struct{}{}:
		default:
		}
	}
}

// LoopFor returns the loop with the fewest connections and counts one more for it: a connection on
// its way there, which GiveBack takes back when it does not come. Any goroutine.
func (b *Broker) LoopFor() *Loop {
	best := b.loops[0]
	for _, l := range b.loops[1:] {
		if l.load.Load() < best.load.Load() {
			best = l
		}
	}
	best.load.Add(1)
	return best
}

// LimitPlaces makes connections fewer than the configuration allows, because the process could not
// have more, and returns how many there may be: at least one. Any goroutine.
func (b *Broker) LimitPlaces(most int64) int64 {
	b.places.Store(max(min(b.places.Load(), most), 1))
	return b.places.Load()
}
