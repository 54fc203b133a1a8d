package client

import "sync"

// itemCost is charged for each waiting message beside its bytes.
const itemCost = 96

// overcommit is how far the limit stretches while calls wait for answers: a
// callback that waits for one must not keep the reader from reading it.
const overcommit = 4

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
	limit int
	wake  chan struct{} // capacity 1
	stop  chan struct{} // closed: nothing further is dispatched

	// Guarded by mu.
	mu     sync.Mutex
	items  []item
	arena  []byte
	room   chan struct{} // non-nil while the reader waits
	calls  int           // that wait for answers
	ending bool          // run returns when all is done

	// Owned by run.
	workItems []item
	workArena []byte
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// message appends one message, waiting for room until giveUp is closed. It
// copies id and payload.
func (q *queue) message(giveUp <-chan struct{}, r *route, version string, id, payload []byte) {
	q.mu.Lock()
	for q.full() {
		if q.room == nil {
			q.room = make(chan struct{})
		}
		room := q.room
		q.mu.Unlock()
		select {
		case <-room:
		case <-q.stop:
			return
		case <-giveUp:
			return
		}
		q.mu.Lock()
	}
	q.arena = append(q.arena, id...)
	q.arena = append(q.arena, payload...)
	q.items = append(q.items, item{route: r, version: version, idLen: len(id), end: len(q.arena)})
	q.pushed()
}

func (q *queue) full() bool {
	limit := q.limit
	if q.calls > 0 {
		limit *= overcommit
	}
	return len(q.items) > 0 && len(q.arena)+len(q.items)*itemCost >= limit
}

// do appends an event, whatever waits.
func (q *queue) do(event func()) {
	q.mu.Lock()
	q.items = append(q.items, item{event: event, end: len(q.arena)})
	q.pushed()
}

// pushed releases mu and wakes run when it may be waiting.
func (q *queue) pushed() {
	first := len(q.items) == 1
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

// waiting counts the calls that wait for an answer.
func (q *queue) waiting(delta int) {
	q.mu.Lock()
	q.calls += delta
	if delta > 0 {
		q.freeRoom()
	}
	q.mu.Unlock()
}

// blocked reports whether the reader waits for callbacks.
func (q *queue) blocked() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.room != nil
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
	q.items, q.workItems = q.workItems[:0], q.items
	q.arena, q.workArena = q.workArena[:0], q.arena
	q.freeRoom()
	return q.ending
}
