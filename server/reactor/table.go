package reactor

import (
	"sync"
	"sync/atomic"
)

// table finds sockets by their descriptors. All loops share it, because descriptors are the
// process's: a table for each loop would be as long as the largest of them, in every loop. Any
// goroutine, but an entry is written only by the loop that owns its descriptor: the kernel hands a
// number out again only after it was closed.
type table struct {
	pages atomic.Pointer[[]*page] // replaced when it grows; a page never moves
	mu    sync.Mutex              // held while it grows
}

// pageSize is how many descriptors one page is for.
const pageSize = 512

type page [pageSize]atomic.Pointer[socket]

// get returns the socket with a descriptor, or nil.
func (t *table) get(fd int) *socket {
	pages := t.pages.Load()
	if pages == nil || fd/pageSize >= len(*pages) {
		return nil
	}
	return (*pages)[fd/pageSize][fd%pageSize].Load()
}

// put notes the socket of a descriptor.
func (t *table) put(fd int, s *socket) {
	pages := t.pages.Load()
	if pages == nil || fd/pageSize >= len(*pages) {
		pages = t.grow(fd / pageSize)
	}
	(*pages)[fd/pageSize][fd%pageSize].Store(s)
}

// remove forgets a descriptor that was put.
func (t *table) remove(fd int) { (*t.pages.Load())[fd/pageSize][fd%pageSize].Store(nil) }

// grow makes the table reach to page number last.
func (t *table) grow(last int) *[]*page {
	t.mu.Lock()
	defer t.mu.Unlock()
	var old []*page
	if pages := t.pages.Load(); pages != nil {
		old = *pages
	}
	if last < len(old) {
		return &old
	}
	grown := append(make([]*page, 0, last+1), old...)
	for len(grown) <= last {
		grown = append(grown, new(page))
	}
	t.pages.Store(&grown)
	return &grown
}

// each calls f for every socket.
func (t *table) each(f func(*socket)) {
	pages := t.pages.Load()
	if pages == nil {
		return
	}
	for _, p := range *pages {
		for i := range p {
			if s := p[i].Load(); s != nil {
				f(s)
			}
		}
	}
}
