package census

import "slices"

// Top keeps the first of many in an order, with memory for those alone: a heap whose root is the
// last of them.
type Top[T any] struct {
	most int
	cmp  func(a, b *T) int
	heap []T
	seen int
}

// NewTop makes one that keeps up to most, at least 1; cmp says which of two comes first.
func NewTop[T any](most int, cmp func(a, b *T) int) *Top[T] {
	return &Top[T]{most: most, cmp: cmp}
}

// Add copies v if it is among the first so far. When there are too many, full says so, and gone is
// the one that is not kept.
func (t *Top[T]) Add(v *T) (gone T, full bool) {
	t.seen++
	if len(t.heap) < t.most {
		t.heap = append(t.heap, *v)
		t.up(len(t.heap) - 1)
		return gone, false
	}
	if t.cmp(v, &t.heap[0]) >= 0 {
		return *v, true
	}
	gone, t.heap[0] = t.heap[0], *v
	t.down()
	return gone, true
}

// Seen is how many were added.
func (t *Top[T]) Seen() int { return t.seen }

// Sorted returns those that were kept, in order, without the first skip. t is empty afterwards.
func (t *Top[T]) Sorted(skip int) []T {
	all := t.heap
	t.heap = nil
	slices.SortFunc(all, func(a, b T) int { return t.cmp(&a, &b) })
	return all[min(skip, len(all)):]
}

// up moves an entry towards the root until what is above it comes behind it.
func (t *Top[T]) up(i int) {
	for i > 0 {
		above := (i - 1) / 2
		if t.cmp(&t.heap[above], &t.heap[i]) >= 0 {
			return
		}
		t.heap[above], t.heap[i] = t.heap[i], t.heap[above]
		i = above
	}
}

// down moves the root to where nothing below it comes behind it.
func (t *Top[T]) down() {
	for i := 0; ; {
		below := 2*i + 1
		if below >= len(t.heap) {
			return
		}
		if next := below + 1; next < len(t.heap) && t.cmp(&t.heap[next], &t.heap[below]) > 0 {
			below = next
		}
		if t.cmp(&t.heap[i], &t.heap[below]) >= 0 {
			return
		}
		t.heap[i], t.heap[below] = t.heap[below], t.heap[i]
		i = below
	}
}
