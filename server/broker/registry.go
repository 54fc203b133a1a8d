package broker

import (
	"sync"

	"mbserver/codec"
)

// registry is every service of the node by its ID. Any goroutine.
type registry struct {
	// Guarded by mu.
	mu       sync.RWMutex
	services map[codec.UUID]*service
}

func (r *registry) add(s *service) {
	r.mu.Lock()
	r.services[s.id] = s
	r.mu.Unlock()
}

func (r *registry) remove(s *service) {
	r.mu.Lock()
	delete(r.services, s.id)
	r.mu.Unlock()
}

// find returns the service with the given ID, or nil.
func (r *registry) find(id codec.UUID) *service {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.services[id]
}

func (r *registry) count() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.services)
}

// all returns the services of this moment, in no order.
func (r *registry) all() []*service {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ss := make([]*service, 0, len(r.services))
	for _, s := range r.services {
		ss = append(ss, s)
	}
	return ss
}
