package ringbuf

import "sync"

// Mailbox is the bounded way to a loop: any goroutine posts, the loop takes everything at once. The
// zero value is not usable; see NewMailbox.
type Mailbox[T any] struct {
	limit int // immutable

	// Guarded by mu, which is held for a few instructions and never across a system call.
	mu    sync.Mutex
	items []T
}

// NewMailbox returns a mailbox that refuses ordinary items once it holds limit of them.
func NewMailbox[T any](limit int) *Mailbox[T] { return &Mailbox[T]{limit: limit} }

// Post adds v and says whether it was taken, and whether the mailbox was empty before: then, and
// only then, its owner must be woken. Must-items are taken beyond the limit: use it for what is
// bounded elsewhere, such as one answer for each outstanding request. Any goroutine.
func (m *Mailbox[T]) Post(v T, must bool) (taken, wake bool) {
	m.mu.Lock()
	n := len(m.items)
	if n >= m.limit && !must {
		m.mu.Unlock()
		return false, false
	}
	m.items = append(m.items, v)
	m.mu.Unlock()
	return true, n == 0
}

// mailboxKeep is the capacity, in items, that a mailbox keeps when it has been emptied.
const mailboxKeep = 1 << 12

// Take returns everything that was posted, in order, and leaves spare (a slice returned by an
// earlier Take, its items cleared) to be filled next. Owner only.
func (m *Mailbox[T]) Take(spare []T) []T {
	if cap(spare) > mailboxKeep {
		spare = nil
	}
	m.mu.Lock()
	items := m.items
	m.items = spare[:0]
	m.mu.Unlock()
	return items
}

// Len is the number of items waiting. Any goroutine.
func (m *Mailbox[T]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.items)
}
