package fair

import (
	"fmt"
	"iter"
)

// Queue is the items that wait, in lanes by key. The zero value is empty.
type Queue[K comparable, T any] struct {
	lanes map[K]*lane[K, T]
	turn  *lane[K, T] // the lane to be served next; a ring through lane.next
	count int
}

// lane is the items of one key; one without items does not exist.
type lane[K comparable, T any] struct {
	key        K
	items      List[T]
	count      int
	prev, next *lane[K, T]
}

// Len is the number of items that wait.
func (q *Queue[K, T]) Len() int { return q.count }

// Next returns the item whose turn it is: the oldest of its lane. nil when the queue is empty.
func (q *Queue[K, T]) Next() *Link[T] {
	if q.turn == nil {
		return nil
	}
	return q.turn.items.First()
}

// Advance passes the turn to the next lane. The queue must not be empty.
func (q *Queue[K, T]) Advance() { q.turn = q.turn.next }

// First returns the oldest item of a lane, or nil.
func (q *Queue[K, T]) First(key K) *Link[T] {
	if ln := q.lanes[key]; ln != nil {
		return ln.items.First()
	}
	return nil
}

// Count is the number of items in a lane.
func (q *Queue[K, T]) Count(key K) int {
	if ln := q.lanes[key]; ln != nil {
		return ln.count
	}
	return 0
}

// All ranges over the items: lane by lane, beginning with the one whose turn it is. The queue must
// not change meanwhile.
func (q *Queue[K, T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for ln, left := q.turn, len(q.lanes); left > 0; ln, left = ln.next, left-1 {
			for item := range ln.items.All() {
				if !yield(item) {
					return
				}
			}
		}
	}
}

// Push puts k at the end of its key's lane. A new lane comes behind all that wait: its first turn
// comes last.
func (q *Queue[K, T]) Push(key K, k *Link[T]) {
	ln := q.lanes[key]
	if ln == nil {
		ln = &lane[K, T]{key: key}
		if q.lanes == nil {
			q.lanes = make(map[K]*lane[K, T])
		}
		q.lanes[key] = ln
		if q.turn == nil {
			ln.prev, ln.next, q.turn = ln, ln, ln
		} else {
			ln.prev, ln.next = q.turn.prev, q.turn
			ln.prev.next, ln.next.prev = ln, ln
		}
	}
	ln.items.Push(k)
	ln.count++
	q.count++
}

// Remove takes k, which waits in the lane of key, out of the queue.
func (q *Queue[K, T]) Remove(key K, k *Link[T]) {
	ln := q.lanes[key]
	ln.items.Remove(k)
	ln.count--
	q.count--
	if ln.count > 0 {
		return
	}
	delete(q.lanes, key)
	if ln.next == ln {
		q.turn = nil
		return
	}
	ln.prev.next, ln.next.prev = ln.next, ln.prev
	if q.turn == ln {
		q.turn = ln.next
	}
}

// Displaceable returns the item that gives way in a full queue to one more of key's, or nil when
// key has its share: the newest of a lane that would still have at least as many as key then has.
// So nobody keeps the others out by filling the queue.
func (q *Queue[K, T]) Displaceable(key K) *Link[T] {
	own, lanes := 0, len(q.lanes)
	if ln := q.lanes[key]; ln != nil {
		own = ln.count
	} else {
		lanes++
	}
	if (own+1)*lanes >= q.count {
		return nil
	}
	// The mean of the lanes, and with it some lane, exceeds own+1: the search ends.
	greedy := q.turn
	for greedy.count <= own+1 {
		greedy = greedy.next
	}
	return greedy.items.Last()
}

// Check returns what is wrong with the queue's own links and counts: for tests and for builds that
// look at invariants. It takes time proportional to the queue.
func (q *Queue[K, T]) Check() error {
	ring, count := 0, 0
	for ln := q.turn; ln != nil; ln = ln.next {
		if ring++; ring > len(q.lanes) || q.lanes[ln.key] != ln || ln.next.prev != ln {
			return fmt.Errorf("the %d lanes are not a ring", len(q.lanes))
		}
		n, newest := 0, ln.items.newest
		for k := newest; k != nil && (n == 0 || k != newest); k = k.next {
			if n++; k.next == nil || k.next.prev != k || n > ln.count {
				return fmt.Errorf("lane %d is broken behind its item %d", ring, n)
			}
		}
		if n == 0 || n != ln.count {
			return fmt.Errorf("lane %d counts %d items and has %d", ring, ln.count, n)
		}
		if count += n; ln.next == q.turn {
			break
		}
	}
	if ring != len(q.lanes) || count != q.count {
		return fmt.Errorf("%d lanes of %d, %d items of %d", ring, len(q.lanes), count, q.count)
	}
	return nil
}
