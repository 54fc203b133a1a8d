package fair

import "iter"

// Link is an item's place in one List or Queue at a time. Set Item once; the zero Link is in none.
type Link[T any] struct {
	Item       T
	prev, next *Link[T]
}

// List is links in the order in which they were pushed. The zero value is empty. It is one pointer:
// the links are a ring, of which only the newest is known.
type List[T any] struct{ newest *Link[T] }

// First returns the oldest link, or nil.
func (l *List[T]) First() *Link[T] {
	if l.newest == nil {
		return nil
	}
	return l.newest.next
}

// Last returns the newest link, or nil.
func (l *List[T]) Last() *Link[T] { return l.newest }

// Push puts k, which is in no list, at the end.
func (l *List[T]) Push(k *Link[T]) {
	if l.newest == nil {
		k.prev, k.next = k, k
	} else {
		k.prev, k.next = l.newest, l.newest.next
		k.prev.next, k.next.prev = k, k
	}
	l.newest = k
}

// Remove takes k, which is in l, out.
func (l *List[T]) Remove(k *Link[T]) {
	if k.next == k {
		l.newest = nil
	} else {
		k.prev.next, k.next.prev = k.next, k.prev
		if l.newest == k {
			l.newest = k.prev
		}
	}
	k.prev, k.next = nil, nil
}

// All ranges over the items, oldest first. The list must not change meanwhile.
func (l *List[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for k := l.First(); k != nil; k = k.next {
			if !yield(k.Item) || k == l.newest {
				return
			}
		}
	}
}
