package broker

import (
	"net/netip"
	"sync"

	"mbserver/server/origin"
)

// addresses counts the places that connections of each address have taken: of IPv6 those of a /64.
// An address without any is not in it, so it holds no more than there are connections. Any
// goroutine.
type addresses struct {
	most int // connections of one; 0: they are not counted. Immutable.

	mu     sync.Mutex
	places map[[16]byte]int // guarded by mu
}

// take takes a place for an address, unless it has as many as it may have.
func (a *addresses) take(from netip.Addr) (ok bool) {
	key := origin.Network(from).As16()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.places[key] >= a.most {
		return false
	}
	if a.places == nil {
		a.places = make(map[[16]byte]int)
	}
	a.places[key]++
	return true
}

// giveBack undoes take.
func (a *addresses) giveBack(from netip.Addr) {
	key := origin.Network(from).As16()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.places[key]--; a.places[key] == 0 {
		delete(a.places, key)
	}
}

// PerAddress is how many connections one address may have; 0: any number, and none is counted. Any
// goroutine.
func (b *Broker) PerAddress() int { return b.addresses.most }
