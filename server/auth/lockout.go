package auth

import (
	"net/netip"
	"sync"
	"time"

	"mbserver/server/fair"
	"mbserver/server/origin"
)

// Lockout remembers from which addresses wrong credentials came: after threshold of them an address
// is locked out for a while. Of IPv6 the network counts, which is what one client may have. It is
// bounded: when it is full, who failed longest ago is forgotten. Any goroutine.
type Lockout struct {
	// Immutable after NewLockout.
	threshold int // 0: nobody is ever locked out
	duration  time.Duration

	mu sync.Mutex
	// Guarded by mu.
	failing map[netip.Addr]*failing
	order   fair.List[*failing] // who failed longest ago first
	locked  fair.List[*failing] // of these, who is locked out
	count   int                 // of them
}

type failing struct {
	link  fair.Link[*failing]
	lock  fair.Link[*failing] // its place among those that are locked out
	addr  netip.Addr
	count int
	until time.Time // when it is forgotten; locked out until then if it has reached the threshold
}

// lockoutMax is how many addresses are remembered: some 10 MB at the most.
const lockoutMax = 1 << 16

// NewLockout returns one in which nobody is locked out.
func NewLockout(threshold int, duration time.Duration) *Lockout {
	return &Lockout{
		threshold: threshold, duration: duration, failing: make(map[netip.Addr]*failing),
	}
}

// Failed notes wrong credentials from an address, which is not the one of a trusted proxy. now is
// monotonic. When the address is locked out, left is for how long; who is locked out already is not
// for longer. became says that this failure has done it: the next ones meet it.
func (l *Lockout) Failed(addr netip.Addr, now time.Time) (left time.Duration, became bool) {
	if l.threshold == 0 {
		return 0, false
	}
	addr = origin.Network(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	f := l.failing[addr]
	if f == nil {
		if len(l.failing) >= lockoutMax {
			l.remove(l.order.First().Item)
		}
		f = &failing{addr: addr}
		f.link.Item, f.lock.Item = f, f
		l.failing[addr] = f
	} else if f.count >= l.threshold {
		return f.until.Sub(now), false
	} else {
		l.order.Remove(&f.link)
	}
	f.count++
	f.until = now.Add(l.duration)
	l.order.Push(&f.link)
	if f.count < l.threshold {
		return 0, false
	}
	l.locked.Push(&f.lock)
	l.count++
	return 0, true
}

// Locked is an address that is locked out.
type Locked struct {
	Addr netip.Addr    // of IPv6 the network's
	For  time.Duration // it has been
	Left time.Duration // it will be
}

// Locked returns those that are locked out at now, up to most of them, the first ones first, and
// how many there are.
func (l *Lockout) Locked(now time.Time, most int) (locked []Locked, count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	for f := range l.locked.All() {
		if len(locked) == most {
			break
		}
		left := f.until.Sub(now)
		locked = append(locked, Locked{Addr: f.addr, For: l.duration - left, Left: left})
	}
	return locked, l.count
}

// forget drops those whose time is over. The caller holds mu.
func (l *Lockout) forget(now time.Time) {
	for k := l.order.First(); k != nil && !k.Item.until.After(now); k = l.order.First() {
		l.remove(k.Item)
	}
}

// remove drops one. The caller holds mu.
func (l *Lockout) remove(f *failing) {
	l.order.Remove(&f.link)
	if f.count >= l.threshold {
		l.locked.Remove(&f.lock)
		l.count--
	}
	delete(l.failing, f.addr)
}
