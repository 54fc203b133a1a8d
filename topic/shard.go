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

// store is the patterns of one kind in a shard. Guarded by the shard's lock.
type store[S comparable] struct {
	table  table[S]
	shapes shapes
}

// match begins a lookup for each shape of kind k whose pattern a name can match:
// first those without "#", the literal one before all.
func (sh *shard[S]) match(l *levels, k Kind, f *found[S]) {
	st := sh.stores[k]
	if st == nil {
		return
	}
	for left := st.shapes.ends[l.count]; left != 0; left &= left - 1 {
		s := shape{count: l.count, plus: bits.TrailingZeros32(left)}
		f.begin(&st.table, l.key(s), l.name)
	}
	for count := range min(l.count+1, MaxLevels) {
		for left := st.shapes.belows[count]; left != 0; left &= left - 1 {
			s := shape{count: count, plus: bits.TrailingZeros32(left), below: true}
			f.begin(&st.table, l.key(s), l.name)
		}
	}
}

// matchLiteral begins the lookup of kind k for the pattern that is the name.
func (sh *shard[S]) matchLiteral(l *levels, k Kind, f *found[S]) {
	if st := sh.stores[k]; st != nil {
		f.begin(&st.table, l.key(shape{count: l.count}), l.name)
	}
}

// put subscribes s and tells whether it was not yet, in a shard of trie.
func (sh *shard[S]) put(p Pattern, k Kind, s S, o Options, trie *Trie[S]) (added bool) {
	shape, key, lead := analyse(p.text)
	stamp := trie.stamps.Add(1)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st := sh.stores[k]
	if st == nil {
		st = &store[S]{}
		sh.stores[k] = st
	}
	t := st.table.leaf(key)
	if index := t.find(key, p.text); index >= 0 {
		added = t.groups[index].put(s, o, stamp)
	} else {
		g := newGroup(p.text, shape.form(), Match[S]{Sub: s, Options: o})
		st.table.insert(key, &g, 0)
		st.shapes.change(shape, 1)
		sh.size.Add(1)
		added = true
	}
	// Last, so that whoever sees the new version without the lock sees the new size too.
	trie.feet[footOf(lead, p.wild, k)].Add(1)
	sh.version.Add(1)
	return added
}

// remove unsubscribes s and tells whether it was subscribed, in a shard of trie.
func (sh *shard[S]) remove(p Pattern, k Kind, s S, trie *Trie[S]) bool {
	shape, key, lead := analyse(p.text)
	stamp := trie.stamps.Add(1)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	st := sh.stores[k]
	if st == nil {
		return false
	}
	t := st.table.leaf(key)
	index := t.find(key, p.text)
	if index < 0 {
		return false
	}
	removed, empty := t.groups[index].remove(s, stamp)
	if !removed {
		return false
	}
	if empty {
		st.table.remove(key, index, 0)
		st.shapes.change(shape, -1)
		sh.size.Add(-1)
		if st.table.count == 0 {
			sh.stores[k] = nil
		}
	}
	trie.feet[footOf(lead, p.wild, k)].Add(1)
	sh.version.Add(1)
	return true
}

// subscribers are those of exactly this pattern and kind. They are the group's own: valid, and not
// to be changed, while mu is held.
func (sh *shard[S]) subscribers(p Pattern, k Kind) []Match[S] {
	st := sh.stores[k]
	if st == nil {
		return nil
	}
	_, key, _ := analyse(p.text)
	leaf := st.table.leaf(key)
	if i := leaf.find(key, p.text); i >= 0 {
		return leaf.groups[i].subscribers()
	}
	return nil
}
