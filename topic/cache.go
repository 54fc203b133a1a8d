package topic

// Cache keeps, for one kind of message, what was built from the matches of the names looked up
// lately. An entry is valid while the trie's Version of its name stands. One goroutine only.
type Cache[S comparable, R any] struct {
	// Immutable after NewCache.
	trie  *Trie[S]
	kind  Kind
	limit int // entries
	build func(name []byte, m []Match[S]) R

	// Owned by the loop.
	index   map[string]int32 // position in entries
	entries []entry[S, R]
	last    int // position looked up last
	hand    int // position the search for a victim goes on from
	scratch []Match[S]
}

type entry[S comparable, R any] struct {
	name          string
	literal, wild *shard[S]
	version       Version
	value         R
	used          bool // looked up since the hand passed
}

// NewCache returns an empty cache of at most limit entries (at least one) over t. build makes a
// value from the matches of a name; both its arguments are valid until it returns, and it must not
// call the cache.
func NewCache[S comparable, R any](
	t *Trie[S], k Kind, limit int, build func(name []byte, m []Match[S]) R,
) *Cache[S, R] {
	return &Cache[S, R]{
		trie: t, kind: k, limit: max(limit, 1), build: build, index: make(map[string]int32),
	}
}

// Lookup returns the value for a canonical name, building it when there is none or when the
// subscriptions that bear on it have changed. A hit takes no lock and allocates nothing.
func (c *Cache[S, R]) Lookup(name []byte) R {
	if c.last < len(c.entries) {
		if e := &c.entries[c.last]; e.name == string(name) {
			return c.value(e, name)
		}
	}
	i, ok := c.index[string(name)]
	if !ok {
		return c.miss(name)
	}
	c.last = int(i)
	return c.value(&c.entries[i], name)
}

// value returns an entry's value, rebuilt in place when it is stale.
func (c *Cache[S, R]) value(e *entry[S, R], name []byte) R {
	if !e.used {
		e.used = true
	}
	if e.literal.version.Load() != e.version.literal || e.wild.version.Load() != e.version.wild {
		c.fill(e, name)
	}
	return e.value
}

func (c *Cache[S, R]) fill(e *entry[S, R], name []byte) {
	var m []Match[S]
	m, e.version = c.trie.matchIn(e.literal, e.wild, name, c.kind, c.scratch[:0])
	e.value = c.build(name, m)
	clear(m) // do not keep subscribers alive
	c.scratch = m
}

func (c *Cache[S, R]) miss(name []byte) R {
	i := len(c.entries)
	if i < c.limit {
		c.entries = append(c.entries, entry[S, R]{})
	} else {
		i = c.victim()
		delete(c.index, c.entries[i].name)
	}
	e := &c.entries[i]
	// A new entry starts unused: names seen once go before those seen again.
	*e = entry[S, R]{name: string(name)}
	e.literal, e.wild = c.trie.sources(name)
	c.index[e.name] = int32(i)
	c.last = i
	c.fill(e, name)
	return e.value
}

// victim returns the next entry that was not used since the hand passed it last (the clock
// algorithm).
func (c *Cache[S, R]) victim() int {
	for {
		i := c.hand
		c.hand = (c.hand + 1) % len(c.entries)
		if !c.entries[i].used {
			return i
		}
		c.entries[i].used = false
	}
}
