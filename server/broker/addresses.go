package broker

import (
	"net/netip"
	"sync"

	"mbserver/server/origin"
)

// places counts the places that connections of each key have taken. A key without any is not in it,
// so it holds no more than there are connections. Any goroutine.
type places[K comparable] struct {
	most int // connections of one; 0: they are not counted. Immutable.

	mu     sync.Mutex
	places map[K]int // guarded by mu
}

// take takes a place for a key, unless it has as many as it may have.
func (a *places[K]) take(key K) (ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.places[key] >= a.most {
		return false
	}
	if a.places == nil {
		a.places = make(map[K]int)
	}
	a.places[key]++
	return true
}

// giveBack undoes take.
func (a *places[K]) giveBack(key K) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.places[key]--; a.places[key] == 0 {
		delete(a.places, key)
	}
}

// addresses counts by address: of IPv6 by the /64.
type addresses = places[[16]byte]

// addressKey is what an address counts by.
func addressKey(from netip.Addr) [16]byte { return origin.Network(from).As16() }

// PerAddress is how many connections one address may have; 0: any number, and none is counted. Any
// goroutine.
func (b *Broker) PerAddress() int { return b.addresses.most }
