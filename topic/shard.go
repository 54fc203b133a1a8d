package topic

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// shard is the patterns under one lock: those of some first levels,
// or those that begin with a wildcard.
type shard[S comparable] struct {
	mu sync.RWMutex

	// Atomic; written under mu.
	version atomic.Uint64 // changes with every change of the shard
	size    atomic.Int64  // patterns in the shard, each kind counted

	// Guarded by mu.
	stores [kinds]*store[S] // nil when empty

	_ [72]byte // two cache lines, so that shards do not share one
}

// match adds to f the groups of kind k that match a name:
// first those without "#", the literal one before all.
func (sh *shard[S]) match(l *levels, k Kind, f *found[S]) {
	st := sh.stores[k]
	if st == nil {
		return
	}
	for left := st.shapes.ends[l.count]; left != 0; left &= left - 1 {
		plus := uint32(bits.TrailingZeros32(left))
		if g := st.match(l.masked(l.count, plus), l.name, plus == 0); g != nil {
			f.add(g)
		}
	}
	for count := range min(l.count+1, MaxLevels) {
		for left := st.shapes.belows[count]; left != 0; left &= left - 1 {
			hash := l.masked(count, uint32(bits.TrailingZeros32(left))) ^ belowHash[count]
			if g := st.match(hash, l.name, false); g != nil {
				f.add(g)
			}
		}
	}
}

// matchLiteral adds to f the group of kind k whose pattern is the name.
func (sh *shard[S]) matchLiteral(l *levels, k Kind, f *found[S]) {
	if st := sh.stores[k]; st != nil {
		if g := st.match(l.prefix[l.count], l.name, true); g != nil {
			f.add(g)
		}
	}
}

// put subscribes s and tells whether it was not yet.
func (sh *shard[S]) put(p Pattern, k Kind, s S, o Options) (added bool) {
	form, hash := analyse(p.text)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st := sh.stores[k]
	if st == nil {
		st = &store[S]{}
		sh.stores[k] = st
	}
	if place := st.find(hash, p.text); place >= 0 {
		added = st.at(place).put(s, o)
	} else {
		st.insert(p, hash, form, Match[S]{Sub: s, Options: o})
		sh.size.Add(1)
		added = true
	}
	// Last, so that whoever sees the new version without the lock sees the new size too.
	sh.version.Add(1)
	return added
}

// remove unsubscribes s and tells whether it was subscribed.
func (sh *shard[S]) remove(p Pattern, k Kind, s S) bool {
	form, hash := analyse(p.text)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st := sh.stores[k]
	if st == nil {
		return false
	}
	place := st.find(hash, p.text)
	if place < 0 {
		return false
	}
	removed, empty := st.at(place).remove(s)
	if !removed {
		return false
	}
	if empty {
		st.remove(place, hash, form)
		sh.size.Add(-1)
		if st.count == 0 {
			sh.stores[k] = nil
		}
	}
	sh.version.Add(1)
	return true
}

// walk calls f for every pattern until f returns false, and tells whether it never did.
func (sh *shard[S]) walk(f func(p Pattern, k Kind, subs []Match[S]) bool) bool {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for k, st := range sh.stores {
		if st == nil {
			continue
		}
		for place := range st.count {
			g := st.at(place)
			if !f(g.pattern(), Kind(k), g.subscribers()) {
				return false
			}
		}
	}
	return true
}
