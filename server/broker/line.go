package broker

import "slices"

// line is things that wait for their turn, in order. The zero value is empty. Loop only.
type line[T any] struct {
	items []T // from next on
	next  int
}

// lineKeep is for how many things an empty line keeps room.
const lineKeep = 1 << 10

// push puts x at the end.
func (q *line[T]) push(x T) {
	if q.next > lineKeep && 2*q.next > len(q.items) {
		q.items, q.next = slices.Delete(q.items, 0, q.next), 0
	}
	q.items = append(q.items, x)
}

// len is how many wait.
func (q *line[T]) len() int { return len(q.items) - q.next }

// first is the one whose turn it is, valid until the next push. There must be one.
func (q *line[T]) first() *T { return &q.items[q.next] }

// pop takes the first one out. There must be one.
func (q *line[T]) pop() T {
	var none T
	x := q.items[q.next]
	q.items[q.next] = none
	if q.next++; q.next < len(q.items) {
		return x
	}
	if q.items, q.next = q.items[:0], 0; cap(q.items) > lineKeep {
		q.items = nil
	}
	return x
}

// waiting are those that wait, until the next push or pop.
func (q *line[T]) waiting() []T { return q.items[q.next:] }
