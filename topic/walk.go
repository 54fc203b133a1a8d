package topic

// Walk calls f for every pattern and kind until f returns false. No lock is held in f. A pattern
// that is there all the while is told of exactly once; of others that come or go meanwhile some are
// told of. The order differs from process to process.
//
// It reads one leaf of a table under its shard's lock, of some thousand patterns at the most, and
// then lets go of it: a loop that subscribes or looks something up waits for some hundred
// microseconds, however many patterns there are.
func (t *Trie[S]) Walk(f func(p Pattern, k Kind) bool) {
	var texts []string
	walk := func(sh *shard[S]) bool {
		for k := range Kind(kinds) {
			for from, more := key(0), true; more; {
				texts, from, more = sh.patterns(k, from, texts[:0])
				for _, text := range texts {
					if !f(asPattern(text), k) {
						return false
					}
				}
			}
		}
		return true
	}
	for i := range t.shards {
		if !walk(&t.shards[i]) {
			return
		}
	}
	walk(&t.wild)
}

// patterns appends those of the leaf that keeps a key whose own keys are not less, and returns the
// first key of what comes behind that leaf, if there is more. Between two calls leaves may be
// split, or disappear: what was told of once has a lesser key in any case.
func (sh *shard[S]) patterns(k Kind, from key, dst []string) (texts []string, next key, more bool) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	st := sh.stores[k]
	if st == nil {
		return dst, 0, false
	}
	leaf, bits := &st.table, 0
	for ; leaf.parts != nil; bits += partBits {
		leaf = leaf.part(from, bits/partBits)
	}
	first, rest := key(0), ^key(0)>>bits
	if bits > 0 {
		first = from &^ rest
	}
	for i := range leaf.groups {
		g := &leaf.groups[i]
		if g.free() || first < from && g.key() < from {
			continue
		}
		dst = append(dst, g.text())
	}
	next = first + rest + 1
	return dst, next, next != 0
}

// SubscriberCount is how many subscribers a pattern has for a kind.
func (t *Trie[S]) SubscriberCount(p Pattern, k Kind) int {
	sh := t.home(p)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return len(sh.subscribers(p, k))
}

// Subscribers appends to dst the subscribers of a pattern for a kind. It holds the shard's lock
// while it copies them.
func (t *Trie[S]) Subscribers(p Pattern, k Kind, dst []Match[S]) []Match[S] {
	sh := t.home(p)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return append(dst, sh.subscribers(p, k)...)
}
