package client

import (
	"sync"
	"sync/atomic"
	"time"
)

// itemCost is charged for each waiting message beside its bytes.
const itemCost = 96

// overcommit is how far the limit stretches while calls wait for answers: a
// callback that waits for one must not keep the reader from reading it.
const overcommit = 4

// stallPatience is how long one callback may keep the reader waiting while calls
// wait too, before it is taken to wait for one of them. It need not make that
// call itself: it may hand messages to a goroutine that does, and nothing tells
// this apart from a call that has nothing to do with it. So the time is one that
// a callback which only works rarely takes.
const stallPatience = 250 * time.Millisecond

// maxErrors bounds the errors that wait for OnError, some 8 MiB of them; as many
// again may be worked off.
const maxErrors = 16384

// item is one thing for the dispatch goroutine: a message of a route, or an event.
type item struct {
	route *route
	event func()
	idLen int
	end   int // of its bytes in the arena
}

// queue holds what waits for the dispatch goroutine: two sets of buffers, one
// being filled by the reader while the other is being worked off.
type queue struct {
	// Immutable after newQueue.
	limit      int
	wake       chan struct{} // capacity 1
	stop       chan struct{} // closed: nothing further is dispatched
	tellGap    func(Gap)
	tellErrors func(dropped uint64)
	tellChange func(change)

	// Atomic.
	progress atomic.Uint64 // items begun while watched
	watched  atomic.Bool   // the reader wants to know whether callbacks end

	// Guarded by mu.
	mu         sync.Mutex
	items      []item
	arena      []byte
	asleep     bool          // run has found nothing, and is to be woken
	room       chan struct{} // non-nil while the reader waits for it to be closed
	halted     int           // readers that do not read
	calls      int           // that wait for answers
	stalled    uint64        // 1 + progress at which a callback was found to run on; 0: never
	untoldLoss bool          // lost or eventsLost is not zero
	lost       Gap           // messages dropped here and not told yet
	errors     int           // among items
	eventsLost uint64        // errors and notices, not told yet
	untold     *change       // the one among items
	ending     bool          // run returns when all is done
	overlap    *overlap      // nil: one connection delivers

	// Owned by run.
	workItems []item
	workArena []byte
}

// change is what became of the connection.
type change struct {
	lost    error    // nil: it was not lost
	renewed *Renewal // nil: it is not up again
	moved   *Renewal // nil: it was not replaced without a loss
}

func newQueue(
	limit int, tellGap func(Gap), tellErrors func(uint64), tellChange func(change),
) *queue {
	return &queue{
		limit: limit, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		tellGap: tellGap, tellErrors: tellErrors, tellChange: tellChange,
	}
}

// message appends one message, waiting for room until giveUp is closed, and
// reports whether it waited. It copies id and payload. Instead of waiting it
// drops and counts the message when the answer that a callback waits for may
// stand behind it, or when the connection's stage says so. Readers only.
func (q *queue) message(
	giveUp <-chan struct{}, s stage, r *route, id, payload []byte,
) (waited bool) {
	q.mu.Lock()
	if s.shared() && q.holds(s, r, id, payload) {
		q.pushed()
		return false
	}
	if q.untoldLoss || q.full() {
		var v verdict
		waited, v = q.enter(giveUp, s.drops())
		if v == dropped {
			now := time.Now()
			q.lose(Gap{Count: 1, Since: now, Until: now})
		}
		if v != fits {
			q.mu.Unlock()
			return waited
		}
	}
	if s.shared() && q.overlap.twice(id) { // While this one waited, the other was quicker.
		q.pushed()
		return waited
	}
	q.arena = append(q.arena, id...)
	q.arena = append(q.arena, payload...)
	q.items = append(q.items, item{route: r, idLen: len(id), end: len(q.arena)})
	q.pushed()
	return waited
}

// notice is message for an event that the broker sent, of messages that are
// missing here (nil: of something else). Drop: it is not waited for room.
func (q *queue) notice(
	giveUp <-chan struct{}, drop bool, missing *Gap, event func(),
) (waited bool) {
	q.mu.Lock()
	waited, v := q.enter(giveUp, drop)
	switch {
	case v == fits:
		q.items = append(q.items, item{event: event, end: len(q.arena)})
		q.pushed()
		return waited
	case v == dropped && missing != nil:
		q.lose(*missing)
	case v == dropped:
		q.loseEvent()
	}
	q.mu.Unlock()
	return waited
}

// verdict says what is to become of what the reader brings.
type verdict int

const (
	fits    verdict = iota
	dropped         // it is to be counted
	gone            // nobody waits for it any more
)

// enter decides, with mu, after waiting for room without it.
func (q *queue) enter(giveUp <-chan struct{}, drop bool) (waited bool, v verdict) {
	for q.full() {
		if drop || q.calls > 0 && q.stalled == q.progress.Load()+1 {
			return waited, dropped
		}
		if !waited {
			waited = true
			q.halted++
		}
		if !q.await(giveUp) {
			return waited, gone
		}
	}
	q.watched.Store(false)
	q.stalled = 0
	q.tellLost()
	return waited, fits
}

// await releases mu, waits for room, and takes mu again; false when there is
// nothing to wait for any more. While calls wait it does so only for a while,
// and notes when no callback ended in that time.
func (q *queue) await(giveUp <-chan struct{}) bool {
	if q.room == nil {
		q.room = make(chan struct{})
	}
	room, before := q.room, q.progress.Load()
	var patience <-chan time.Time
	if q.calls > 0 {
		q.watched.Store(true)
		timer := time.NewTimer(stallPatience)
		defer timer.Stop()
		patience = timer.C
	}
	q.mu.Unlock()
	defer q.mu.Lock()
	select {
	case <-room:
	case <-patience:
		if q.progress.Load() == before {
			q.stalled = before + 1
		}
	case <-q.stop:
		return false
	case <-giveUp:
		return false
	}
	return true
}

func (q *queue) full() bool {
	limit := q.limit
	if q.calls > 0 {
		limit *= overcommit
	}
	return len(q.items) > 0 && len(q.arena)+len(q.items)*itemCost >= limit
}

// lose counts what is dropped.
func (q *queue) lose(g Gap) {
	if q.lost.Count == 0 && q.lost.Conflated == 0 {
		q.lost.Since = g.Since
	}
	q.lost.Local = true
	q.lost.Count += g.Count
	q.lost.Conflated += g.Conflated
	q.lost.Until = g.Until
	q.untoldLoss = true
}

// loseEvent counts an event that is dropped.
func (q *queue) loseEvent() {
	q.eventsLost++
	q.untoldLoss = true
}

// tellLost queues what was dropped since the last time, where the hole is.
func (q *queue) tellLost() {
	if !q.untoldLoss {
		return
	}
	if gap := q.lost; gap.Count > 0 || gap.Conflated > 0 {
		q.lost = Gap{}
		q.items = append(q.items, item{event: func() { q.tellGap(gap) }, end: len(q.arena)})
	}
	if n := q.eventsLost; n > 0 && q.errors < maxErrors {
		q.eventsLost = 0
		q.items = append(q.items, item{event: func() { q.tellErrors(n) }, end: len(q.arena)})
	}
	q.untoldLoss = q.eventsLost > 0
}

// do appends an event that somebody waits for, whatever waits.
func (q *queue) do(event func()) {
	q.mu.Lock()
	q.items = append(q.items, item{event: event, end: len(q.arena)})
	q.pushed()
}

// report appends an event that tells an error; when too many wait it is dropped,
// counted and told later.
func (q *queue) report(event func()) {
	q.mu.Lock()
	if q.errors >= maxErrors {
		q.loseEvent()
		q.mu.Unlock()
		return
	}
	q.errors++
	q.items = append(q.items, item{event: event, end: len(q.arena)})
	q.pushed()
}

// changed tells what became of the connection. It is never dropped: what was
// not told yet gives way to the newer, so that one event is all that waits.
func (q *queue) changed(news change) {
	q.mu.Lock()
	if q.untold != nil {
		if news.lost != nil {
			*q.untold = news
		} else {
			q.untold.renewed, q.untold.moved = news.renewed, news.moved
		}
		q.mu.Unlock()
		return
	}
	q.untold = &news
	q.items = append(q.items, item{event: q.tellUntold, end: len(q.arena)})
	q.pushed()
}

func (q *queue) tellUntold() {
	q.mu.Lock()
	news := *q.untold
	q.untold = nil
	q.mu.Unlock()
	q.tellChange(news)
}

// pushed releases mu and wakes run if it sleeps.
func (q *queue) pushed() {
	wake := q.asleep
	q.asleep = false
	q.mu.Unlock()
	if wake {
		q.signal()
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// waiting counts what waits for the connection: calls for their answers,
// publishes for room.
func (q *queue) waiting(delta int) {
	q.mu.Lock()
	q.calls += delta
	if delta > 0 {
		q.freeRoom()
	}
	q.mu.Unlock()
}

// blocked reports whether a reader waits for callbacks, or did and has not
// said yet that it reads on.
func (q *queue) blocked() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.halted > 0
}

// resumed says that a reader reads on. It must follow a message that waited.
func (q *queue) resumed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.halted--
}

func (q *queue) freeRoom() {
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// end makes run return: at once, or when all that waits is dispatched.
func (q *queue) end(now bool) {
	q.mu.Lock()
	q.ending = true
	if now {
		select {
		case <-q.stop:
		default:
			close(q.stop)
		}
	}
	q.mu.Unlock()
	q.signal()
}

// run dispatches until end. One goroutine.
func (q *queue) run() {
	for {
		ended := q.swap()
		if len(q.workItems) == 0 {
			if ended {
				return
			}
			<-q.wake
			continue
		}
		start := 0
		for i := range q.workItems {
			select {
			case <-q.stop:
				return
			default:
			}
			q.began()
			it := &q.workItems[i]
			if it.event != nil {
				it.event()
			} else {
				id := q.workArena[start : start+it.idLen : start+it.idLen]
				payload := q.workArena[start+it.idLen : it.end : it.end]
				it.route.deliver(id, payload)
			}
			start = it.end
		}
		q.began() // The last has ended too.
	}
}

func (q *queue) began() {
	if q.watched.Load() { // An addition costs more than a look.
		q.progress.Add(1)
	}
}

// swap exchanges the buffers and reports whether the queue is ending. It does so
// before run sleeps too: what comes next is then put into the buffers that were
// just worked off, which the processor has at hand.
func (q *queue) swap() bool {
	clear(q.workItems)
	if cap(q.workArena) > q.limit {
		q.workArena = nil // of a burst beyond the usual
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.errors = 0
	q.tellLost() // What was queued before the hole is in items, nothing after it.
	q.asleep = len(q.items) == 0
	q.items, q.workItems = q.workItems[:0], q.items
	q.arena, q.workArena = q.workArena[:0], q.arena
	q.freeRoom()
	return q.ending
}
