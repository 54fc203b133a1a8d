package broker

import (
	"sync"
	"sync/atomic"

	"mbserver/codec"
)

// registry is every service of the node by its ID. Any goroutine.
//
// It is a hash table over the IDs that the services hold themselves: a map would keep each ID once
// more, and three times as many bytes for each connection. It has parts, each with its lock, so
// that none of them is large when it has to grow.
type registry struct {
	total   atomic.Int64
	changes atomic.Uint64 // of what is told of services; counted when a change can be seen
	parts   [registryParts]registryPart
}

const registryParts = 64

// registryPart holds the services whose IDs begin alike: open addressing with linear probing, at
// most three quarters full.
type registryPart struct {
	// Guarded by mu.
	mu    sync.RWMutex
	slots []*service // a power of two, or none
	used  int
}

// smallestPart is the number of slots a part begins with.
const smallestPart = 4

func (r *registry) part(id codec.UUID) *registryPart {
	return &r.parts[id.Hi>>56%registryParts]
}

// home is where an ID is looked for first. The node has drawn the IDs: their bits are good, and
// nobody else chooses them.
func (p *registryPart) home(id codec.UUID) int { return int(id.Hi>>24) & (len(p.slots) - 1) }

// add adds s, whose ID no other service has.
func (r *registry) add(s *service) {
	p := r.part(s.id)
	p.mu.Lock()
	defer p.mu.Unlock()
	if 4*(p.used+1) > 3*len(p.slots) {
		p.resize(max(2*len(p.slots), smallestPart))
	}
	p.put(s)
	p.used++
	r.total.Add(1)
	r.changes.Add(1)
}

func (p *registryPart) put(s *service) {
	i := p.home(s.id)
	for p.slots[i] != nil {
		i = (i + 1) & (len(p.slots) - 1)
	}
	p.slots[i] = s
}

func (p *registryPart) resize(size int) {
	old := p.slots
	p.slots = make([]*service, size)
	for _, s := range old {
		if s != nil {
			p.put(s)
		}
	}
}

// locate returns the slot of an ID, or -1.
func (p *registryPart) locate(id codec.UUID) int {
	if p.used == 0 {
		return -1
	}
	for i := p.home(id); p.slots[i] != nil; i = (i + 1) & (len(p.slots) - 1) {
		if p.slots[i].id == id {
			return i
		}
	}
	return -1
}

// remove takes s away, if it is there.
func (r *registry) remove(s *service) {
	p := r.part(s.id)
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.locate(s.id)
	if i < 0 {
		return
	}
	// What follows without a gap moves up, unless that would put it before its home (Knuth, 6.4,
	// algorithm R).
	mask := len(p.slots) - 1
	for j := (i + 1) & mask; p.slots[j] != nil; j = (j + 1) & mask {
		if (j-p.home(p.slots[j].id))&mask >= (j-i)&mask {
			p.slots[i] = p.slots[j]
			i = j
		}
	}
	p.slots[i] = nil
	p.used--
	r.total.Add(-1)
	r.changes.Add(1)
	switch {
	case p.used == 0:
		p.slots = nil
	case len(p.slots) > smallestPart && 8*p.used < len(p.slots):
		p.resize(len(p.slots) / 2)
	}
}

// find returns the service with the given ID, or nil.
func (r *registry) find(id codec.UUID) *service {
	p := r.part(id)
	p.mu.RLock()
	defer p.mu.RUnlock()
	if i := p.locate(id); i >= 0 {
		return p.slots[i]
	}
	return nil
}

func (r *registry) count() int { return int(r.total.Load()) }

// each calls f for the services of this moment, in no order: those that stay meanwhile are all
// there. No lock is held while f runs.
func (r *registry) each(f func(s *service)) {
	var ss []*service
	for i := range r.parts {
		p := &r.parts[i]
		ss = ss[:0]
		p.mu.RLock()
		for _, s := range p.slots {
			if s != nil {
				ss = append(ss, s)
			}
		}
		p.mu.RUnlock()
		for _, s := range ss {
			f(s)
		}
	}
}

// all returns the services of this moment, in no order: those that stay meanwhile are all there.
func (r *registry) all() []*service {
	ss := make([]*service, 0, r.count())
	r.each(func(s *service) { ss = append(ss, s) })
	return ss
}
