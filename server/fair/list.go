package fair

// Link is an item's place in one List or Queue at a time. Set Item once; the zero Link is in none.
type Link[T any] struct {
	Item       T
	prev, next *Link[T]
}

// Next returns the link behind k in its list, or nil.
func (k *Link[T]) Next() *Link[T] { return k.next }

// List is links in the order in which they were pushed. The zero value is empty.
type List[T any] struct{ head, tail *Link[T] }

// First returns the oldest link, or nil.
func (l *List[T]) First() *Link[T] { return l.head }

// Last returns the newest link, or nil.
func (l *List[T]) Last() *Link[T] { return l.tail }

// Push puts k, which is in no list, at the end.
func (l *List[T]) Push(k *Link[T]) {
	k.prev = l.tail
	if l.tail == nil {
		l.head = k
	} else {
		l.tail.next = k
	}
	l.tail = k
}

// Remove takes k, which is in l, out.
func (l *List[T]) Remove(k *Link[T]) {
	if k.prev != nil {
		k.prev.next = k.next
	} else {
		l.head = k.next
	}
	if k.next != nil {
		k.next.prev = k.prev
	} else {
		l.tail = k.prev
	}
	k.prev, k.next = nil, nil
}
