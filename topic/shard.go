package topic

import (
	"sync"
	"sync/atomic"
)

// shard is the patterns under one lock: those of some first levels, or those that begin with a wildcard.
type shard[S comparable] struct {
	mu sync.RWMutex

	// Atomic; written under mu.
	version atomic.Uint64 // changes with every change of the shard
	size    atomic.Int64  // groups in the shard

	// Guarded by mu.
	literal [kinds]map[string]*group[S] // patterns without wildcards
	root    *node[S]                    // patterns with; nil when there are none
	groups  []*group[S]                 // all of them, in an order that depends on the calls only

	_ [40]byte // two cache lines, so that shards do not share one
}

// find returns the group of a pattern, or nil.
func (sh *shard[S]) find(p Pattern, k Kind) *group[S] {
	if !p.wild {
		return sh.literal[k][p.text]
	}
	if sh.root == nil {
		return nil
	}
	if slot := sh.root.slot(p.text, k, false); slot != nil {
		return *slot
	}
	return nil
}

// put subscribes s and tells whether it was not yet.
func (sh *shard[S]) put(p Pattern, k Kind, s S, o Options) (added bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.find(p, k)
	if g != nil {
		added = g.put(s, o)
	} else {
		sh.insert(&group[S]{pattern: p, kind: k, only: [1]Match[S]{{Sub: s, Options: o}}})
		added = true
	}
	// Last, so that whoever sees the new version without the lock sees the new size too.
	sh.version.Add(1)
	return added
}

func (sh *shard[S]) insert(g *group[S]) {
	g.place = int32(len(sh.groups))
	sh.groups = append(sh.groups, g)
	sh.size.Add(1)
	if g.pattern.wild {
		if sh.root == nil {
			sh.root = &node[S]{}
		}
		*sh.root.slot(g.pattern.text, g.kind, true) = g
		return
	}
	if sh.literal[g.kind] == nil {
		sh.literal[g.kind] = make(map[string]*group[S])
	}
	sh.literal[g.kind][g.pattern.text] = g
}

// remove unsubscribes s and tells whether it was subscribed.
func (sh *shard[S]) remove(p Pattern, k Kind, s S) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.find(p, k)
	if g == nil {
		return false
	}
	removed, empty := g.remove(s)
	if !removed {
		return false
	}
	if empty {
		sh.drop(g)
	}
	sh.version.Add(1)
	return true
}

func (sh *shard[S]) drop(g *group[S]) {
	last := len(sh.groups) - 1
	sh.groups[g.place] = sh.groups[last]
	sh.groups[g.place].place = g.place
	sh.groups[last] = nil
	sh.groups = sh.groups[:last]
	if cap(sh.groups) > 64 && last <= cap(sh.groups)/4 {
		sh.groups = append(make([]*group[S], 0, 2*last), sh.groups...)
	}
	sh.size.Add(-1)
	if g.pattern.wild {
		*sh.root.slot(g.pattern.text, g.kind, false) = nil
		if sh.root.prune(g.pattern.text) {
			sh.root = nil
		}
		return
	}
	delete(sh.literal[g.kind], g.pattern.text)
	if len(sh.literal[g.kind]) == 0 {
		sh.literal[g.kind] = nil
	}
}

// walk calls f for every group until f returns false, and tells whether it never did.
func (sh *shard[S]) walk(f func(p Pattern, k Kind, subs []Match[S]) bool) bool {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for _, g := range sh.groups {
		if !f(g.pattern, g.kind, g.subscribers()) {
			return false
		}
	}
	return true
}
