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

// stallPatience is how long one callback may keep the reader waiting while a
// call waits too, before it is taken to be what waits for that call.
const stallPatience = 50 * time.Millisecond

// maxHooks bounds the hook events that wait, some 8 MiB of them; as many again
// may be worked off.
const maxHooks = 16384

// item is one thing for the dispatch goroutine: a message of a route, or an event.
type item struct {
	route   *route
	version string
	idLen   int
	end     int // of its bytes in the arena
	event   func()
}

// queue holds what waits for the dispatch goroutine: two sets of buffers, one
// being filled by the reader while the other is being worked off.
type queue struct {
	// Immutable after newQueue.
	limit     int
	wake      chan struct{} // capacity 1
	stop      chan struct{} // closed: nothing further is dispatched
	tellGap   func(Gap)
	tellHooks func(uint64)

	// Atomic.
	progress atomic.Uint64 // items begun

	// Guarded by mu.
	mu        sync.Mutex
	items     []item
	arena     []byte
	room      chan struct{} // non-nil while the reader waits for it to be closed
	halted    bool          // the reader does not read
	calls     int           // that wait for answers
	stalled   uint64        // 1 + progress at which a callback was found to run on; 0: never
	lost      Gap           // messages dropped here and not told yet
	hooks     int           // events of hooks among items
	hooksLost uint64        // not told yet
	ending    bool          // run returns when all is done

	// Owned by run.
	workItems []item
	workArena []byte
}

func newQueue(limit int, tellGap func(Gap), tellHooks func(uint64)) *queue {
	return &queue{
		limit: limit, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		tellGap: tellGap, tellHooks: tellHooks,
	}
}

// message appends one message, waiting for room until giveUp is closed, and
// reports whether it waited. It copies id and payload. Instead of waiting it
// drops and counts the message when the answer that a callback waits for may
// stand behind it, or when the caller says so. Reader only.
func (q *queue) message(
	giveUp <-chan struct{}, drop bool, r *route, version string, id, payload []byte,
) (waited bool) {
	q.mu.Lock()
	for q.full() {
		if now := q.progress.Load(); drop || q.calls > 0 && q.stalled == now+1 {
			q.lose()
			q.mu.Unlock()
			return waited
		}
		waited, q.halted = true, true
		if !q.await(giveUp) {
			return waited
		}
	}
	q.tellLost()
	q.arena = append(q.arena, id...)
	q.arena = append(q.arena, payload...)
	q.items = append(q.items, item{route: r, version: version, idLen: len(id), end: len(q.arena)})
	q.pushed()
	return waited
}

// await releases mu, waits for room, and takes mu again; false, without mu, when
// there is nothing to wait for any more. While calls wait it does so only for a
// while, and notes when no callback ended in that time.
func (q *queue) await(giveUp <-chan struct{}) bool {
	if q.room == nil {
		q.room = make(chan struct{})
	}
	room, before := q.room, q.progress.Load()
	var patience <-chan time.Time
	if q.calls > 0 {
		timer := time.NewTimer(stallPatience)
		defer timer.Stop()
		patience = timer.C
	}
	q.mu.Unlock()
	select {
	case <-room:
		q.mu.Lock()
	case <-patience:
		q.mu.Lock()
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

// lose counts a message that is dropped.
func (q *queue) lose() {
	now := time.Now()
	if q.lost.Count == 0 {
		q.lost.Since = now
	}
	q.lost.Local = true
	q.lost.Count++
	q.lost.Until = now
}

// tellLost queues what was dropped since the last time, where the hole is.
func (q *queue) tellLost() {
	if gap := q.lost; gap.Count > 0 {
		q.lost = Gap{}
		q.items = append(q.items, item{event: func() { q.tellGap(gap) }, end: len(q.arena)})
	}
	if n := q.hooksLost; n > 0 && q.hooks < maxHooks {
		q.hooksLost = 0
		q.items = append(q.items, item{event: func() { q.tellHooks(n) }, end: len(q.arena)})
	}
}

// do appends an event that somebody waits for, whatever waits.
func (q *queue) do(event func()) {
	q.mu.Lock()
	q.items = append(q.items, item{event: event, end: len(q.arena)})
	q.pushed()
}

// hook appends an event for a hook; when too many wait it is dropped, counted
// and told later.
func (q *queue) hook(event func()) {
	q.mu.Lock()
	if q.hooks >= maxHooks {
		q.hooksLost++
		q.mu.Unlock()
		return
	}
	q.hooks++
	q.items = append(q.items, item{event: event, end: len(q.arena)})
	q.pushed()
}

// pushed releases mu and wakes run, which may be waiting.
func (q *queue) pushed() {
	first := len(q.items) <= 2 // the first may be a gap that was told
	q.mu.Unlock()
	if first {
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

// blocked reports whether the reader waits for callbacks, or did and has not
// said yet that it reads on.
func (q *queue) blocked() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.halted
}

// resumed says that the reader reads on. It must follow a message that waited.
func (q *queue) resumed() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.halted = false
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
			q.progress.Add(1)
			it := &q.workItems[i]
			if it.event != nil {
				it.event()
			} else {
				id := q.workArena[start : start+it.idLen : start+it.idLen]
				payload := q.workArena[start+it.idLen : it.end : it.end]
				it.route.deliver(it.version, id, payload)
			}
			start = it.end
		}
		q.progress.Add(1) // The last has ended too.
	}
}

// swap exchanges the buffers and reports whether the queue is ending.
func (q *queue) swap() bool {
	clear(q.workItems)
	if cap(q.workArena) > q.limit {
		q.workArena = nil // of a burst beyond the usual
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hooks = 0
	q.tellLost() // What was queued before the hole is in items, nothing after it.
	q.items, q.workItems = q.workItems[:0], q.items
	q.arena, q.workArena = q.workArena[:0], q.arena
	q.freeRoom()
	return q.ending
}
