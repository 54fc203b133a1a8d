package broker

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"mbserver/codec"
)

// state is where a node stands in its life.
type state int32

const (
	starting state = iota
	accepting
	draining
	stopped
)

// Ready says whether new connections are welcome, and in one word why not. Any goroutine.
func (b *Broker) Ready() (ready bool, word string) {
	switch state(b.state.Load()) {
	case accepting:
		if b.crowded() {
			return false, "memory"
		}
		return true, "ok"
	case draining:
		return false, "draining"
	case starting:
		return false, "starting"
	}
	return false, "stopped"
}

// accepting says whether new connections and requests are taken.
func (b *Broker) accepting() bool { return state(b.state.Load()) == accepting }

// Open begins the life of a node: from here on connections and requests are welcome. The loops are
// driven by whoever attached drivers to them.
func (b *Broker) Open() error {
	if !b.state.CompareAndSwap(int32(starting), int32(accepting)) {
		return errors.New("the node was started before")
	}
	b.background.start()
	return nil
}

// Refuse begins the end: the node is not ready any more, and new requests are refused.
func (b *Broker) Refuse() error {
	if !b.state.CompareAndSwap(int32(accepting), int32(draining)) {
		return errors.New("the node is not running")
	}
	b.modules.node.Info("draining",
		"connections", b.connections.Load(), "outstanding", b.outstanding.Load())
	return nil
}

// Bounds of the end, beside the time that Drain is given.
const (
	// drainPoll is how often a draining node looks whether its requests are answered.
	drainPoll = 5 * time.Millisecond

	// partingTime is how long Drain waits, each time, for loops to have what others have sent them.
	// A busy one that takes longer does not keep the others from taking leave.
	partingTime = 250 * time.Millisecond

	// lastWords is how long connections may take to read why they end when the time was over before
	// they were told.
	lastWords = 500 * time.Millisecond
)

// Drain lets those requests finish that are outstanding: they are answered, or their deadline
// comes, or ctx ends, and what then is left of them is answered that the node goes away. Then rings
// flush, and WebSockets are closed with 1001. It returns how many connections are left when ctx
// ends, or, when requests took until then, lastWords later: 0 when all are gone.
func (b *Broker) Drain(ctx context.Context) (left int) {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	b.hear(ctx, b.sendWords(func(*Loop) {})) // what is on its way between loops counts, too
	for b.outstanding.Load() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
	}
	if b.connections.Load() > 0 {
		b.part(ctx)
	}
	for b.connections.Load() > 0 && ctx.Err() == nil {
		select {
		case <-b.empty:
		case <-ctx.Done():
		}
	}
	return int(b.connections.Load())
}

// part ends what is outstanding and then every connection, when the loops of its requesters have
// the answers.
func (b *Broker) part(ctx context.Context) {
	b.hear(ctx, b.sendWords((*Loop).failOutstanding)) // and what was on its way is answered
	b.hear(ctx, b.sendWords(func(*Loop) {}))          // and those answers have arrived
	for _, l := range b.loops {
		l.call((*Loop).goAway)
	}
}

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

// failOutstanding answers what no service of this loop has answered, and what still waits on it,
// and from here on what comes from other loops.
func (l *Loop) failOutstanding() {
	l.parting = true
	slot, o := 0, &l.outstanding
	l.inPieces(func() (done bool) {
		for ; slot < len(o.slots); slot++ {
			e := o.slots[slot]
			if e == nil || e.target == nil && e.queue == nil {
				continue
			}
			if !l.mayEnd() {
				return false
			}
			l.drained(e)
		}
		return true
	})
}

// goAway closes every connection of the loop after its last messages.
func (l *Loop) goAway() {
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
			if p := c.paused; p != nil && p.request.body != nil {
				q := p.request.unpacked()
				l.drainedRequest(&q)
			}
			l.closeWS(c, codec.CloseGoingAway, "the server is going away")
		}
		return true
	})
}

// Cut ends the connection because its loop ends. The caller closes the descriptor. Loop only.
func (c *Conn) Cut() {
	if c.state == stateOpen || !c.out.Empty() {
		c.loop.broker.noteCut()
	}
	if c.PeerClosed(false) {
		_, _ = c.out.Flush(c.loop.turn, c.sock, true) // what can be written yet
		c.PeerClosed(true)
	}
}

// noteCut counts a connection that the end of the node takes something from: nobody told it, or
// what waited for it was not written.
func (b *Broker) noteCut() {
	if !b.accepting() {
		b.cut.Add(1)
	}
}

// Stop ends what the broker runs beside its loops. It waits for that until ctx ends.
func (b *Broker) Stop(ctx context.Context) {
	b.background.stop(ctx)
	b.logStream.Stop()
	b.state.Store(int32(stopped))
}

// CutOff returns how many connections the end of the node took something from, those counted that
// still stand because their loop has not ended. Any goroutine.
func (b *Broker) CutOff() int { return int(b.cut.Load() + b.connections.Load()) }

// Admit takes a place for a connection that arrives, or says why it has none: a reason of protocol
// §4, or "address" for connection.max.perAddress. from is the address that it is counted by, the
// zero one when it is by none. A connection gives its place back when it ends; one that never comes
// to a loop, with Release. Any goroutine.
func (b *Broker) Admit(from netip.Addr) (refusal string) {
	switch {
	case b.connections.Add(1) > b.places.Load():
		refusal = "connection_limit"
	case !b.accepting():
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
	if b.connections.Add(-1) == 0 {
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
// have more. At least one may come. Any goroutine.
func (b *Broker) LimitPlaces(most int64) {
	b.places.Store(max(min(b.places.Load(), most), 1))
}

// Load is how many connections the loop has, or are on their way to it. Any goroutine.
func (l *Loop) Load() int64 { return l.load.Load() }

// Expect counts a connection on its way to the loop, as LoopFor does. Any goroutine.
func (l *Loop) Expect() { l.load.Add(1) }

// GiveBack says that a connection of LoopFor or Expect does not come. Any goroutine.
func (l *Loop) GiveBack() { l.load.Add(-1) }
