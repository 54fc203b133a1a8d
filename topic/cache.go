package topic

import (
	"hash/maphash"
	"maps"
)

// Cache keeps, for one kind of message, what was built from the matches of the names looked up
// lately. An entry is valid while the trie's Version of its name stands, and beyond that as long as
// no pattern has changed that may match it (foot.go); names that the same patterns match share what
// was built (built.go). What it holds is bounded in bytes, and known:
// what was not looked up again gives way. One goroutine only.
type Cache[S comparable, R any] struct {
	// Immutable after NewCache.
	trie  *Trie[S]
	kind  Kind
	most  int // bytes
	limit int // entries
	build func(m []Match[S]) (value R, bytes int)

	// Owned by the loop.
	index   map[string]int32 // position in entries
	entries []Entry[S, R]
	last    int // position looked up last
	hand    int // position the search for a victim goes on from
	scratch []Match[S]
	shares[S, R]

	forgotten uint64 // messages on names that gave way before they were taken

	moved bool   // something was filled since the last Sweep
	left  int    // entries[:left] are still to be swept in this round
	aging bool   // it is a round in which names go that were not looked up since the last such one
	ages  bool   // the next round is to be one
	swept uint64 // changes of the trie when the round began
}

// Entry is what a cache keeps of one name. The order puts side by side what a hit looks at.
type Entry[S comparable, R any] struct {
	name          string
	literal, wild *shard[S]
	version       Version
	value         R
	key           uint64
	count         uint64 // messages on it that were not taken (counted.go)

	Memo
	used bool         // looked up again since the hand passed, or a round of aging
	of   *built[S, R] // whose value it is; nil: it has none

	stand stand // what still looks at
}

// Memo is what the cache's owner remembers beside a name, of whatever it knows by a number. It goes
// with the name, and stays when subscriptions change.
type Memo struct {
	Of   uint64 // 0: of nothing
	Says uint8
}

// Remembered is e's memo, nil when e is.
func (e *Entry[S, R]) Remembered() *Memo {
	if e == nil {
		return nil
	}
	return &e.Memo
}

const (
	// namesMax is the most names that are kept.
	namesMax = 1 << 14

	// nameCharge is what a name costs beside its text, in bytes: its entry, its place in the index,
	// and what was built when it is its own.
	nameCharge = 256

	// scratchKeep is for how many matches there is room kept.
	scratchKeep = 1 << 10
)

// NewCache returns an empty cache over t that holds at most so many bytes, or what one name takes
// if that is more; half of them may be for names. build makes a value from the matches of a name,
// and says how many bytes it holds. The value may be that of many names. m is valid until build
// returns, and build must not call the cache.
func NewCache[S comparable, R any](
	t *Trie[S], k Kind, bytes int, build func(m []Match[S]) (value R, bytes int),
) *Cache[S, R] {
	c := &Cache[S, R]{
		trie: t, kind: k, most: bytes, limit: max(min(namesMax, bytes/2/nameCharge), 1),
		build: build, index: make(map[string]int32),
	}
	c.shares.init()
	return c
}

// Held is how many bytes are held.
func (c *Cache[S, R]) Held() int { return c.held + nameCharge*cap(c.entries) }

// Targets is how many matches the values were made of, each value counted once.
func (c *Cache[S, R]) Targets() int { return c.targets }

// Lookup returns the value for a canonical name, building it when there is none or when the
// subscriptions that bear on it have changed; and a key that names the name, the same in all caches
// of the process and never 0. A hit takes no lock and allocates nothing.
func (c *Cache[S, R]) Lookup(name []byte) (value R, key uint64) {
	e := c.Find(name)
	if value, key, ok := e.Fresh(); ok {
		return value, key
	}
	return c.Renew(e, name)
}

// Find returns the entry of a name, which is valid until the next call and is then the one looked
// up last; nil when there is none. It never adds one.
func (c *Cache[S, R]) Find(name []byte) *Entry[S, R] {
	if c.last < len(c.entries) {
		if e := &c.entries[c.last]; e.name == string(name) {
			return e
		}
	}
	return c.seek(name)
}

// seek is Find for another name than the one looked up last.
func (c *Cache[S, R]) seek(name []byte) *Entry[S, R] {
	i, ok := c.index[string(name)]
	if !ok {
		return nil
	}
	c.last = int(i)
	return &c.entries[i]
}

// Fresh is a hit of Lookup for the name of which Find has just returned e; ok says that it is one.
func (e *Entry[S, R]) Fresh() (value R, key uint64, ok bool) {
	if e == nil || e.stale() {
		return value, 0, false
	}
	e.used = true
	return e.value, e.key, true
}

// Renew is Lookup for a name of which Find has just returned e, which is not fresh.
func (c *Cache[S, R]) Renew(e *Entry[S, R], name []byte) (value R, key uint64) {
	if e == nil {
		c.add(name)
		return c.fill(name)
	}
	e.used = true
	if c.still(e) {
		return e.value, e.key
	}
	return c.fill(name)
}

// still says of an entry that is stale that what has changed does not bear on it: then it is not.
func (c *Cache[S, R]) still(e *Entry[S, R]) bool {
	// First: who sees one of the new versions sees the change that has made it, too.
	v := Version{e.literal.version.Load(), e.wild.version.Load()}
	if e.of == nil || e.stand.sum != c.trie.sum(&e.stand) {
		return false
	}
	e.version = v
	return true
}

// stale says that subscriptions have changed since e was filled, or that it was not.
func (e *Entry[S, R]) stale() bool {
	return e.literal.version.Load() != e.version.literal || e.wild.version.Load() != e.version.wild
}

// unfilled is the version of an entry without a value. No trie has it.
var unfilled = Version{literal: ^uint64(0)}

// keySeed makes keys unguessable, so that nobody can find two names with the same.
var keySeed = maphash.MakeSeed()

// add makes an entry for a name, without a value: it is the one looked up last.
func (c *Cache[S, R]) add(name []byte) {
	if len(c.entries) >= c.limit {
		c.remove(c.victim())
	}
	// A new entry starts unused: names seen once go before those seen again.
	e := Entry[S, R]{
		name: string(name), version: unfilled, key: maphash.Bytes(keySeed, name) | 1,
		stand: standOf(name, c.kind),
	}
	e.literal, e.wild = c.trie.sources(name)
	c.last = len(c.entries)
	c.index[e.name] = int32(c.last)
	c.entries = append(c.entries, e)
	c.held += len(name)
}

// fill gives the entry looked up last its value, and then has others give way if need be.
func (c *Cache[S, R]) fill(name []byte) (R, uint64) {
	c.moved = true
	e := &c.entries[c.last]
	c.drop(e)
	f := found[S]{pool: &c.trie.spare}
	e.stand.sum = c.trie.sum(&e.stand) // before: what changes meanwhile has it looked up again
	e.version = c.trie.find(&f, e.literal, e.wild, name, c.kind)
	b, may := c.look(&f, c.trie.epoch.Load())
	if b != nil {
		f.release(e.literal, e.wild)
	} else {
		m := f.appendTo(c.scratch[:0])
		f.release(e.literal, e.wild)
		value, bytes := c.build(m)
		b = c.keep(value, bytes, len(m), may)
		clear(m) // do not keep subscribers alive
		if cap(m) <= scratchKeep {
			c.scratch = m
		}
	}
	clear(c.groups) // nor here
	b.names++
	e.of, e.value = b, b.value
	value, key := e.value, e.key
	c.trim()
	return value, key
}

// drop takes its value from an entry.
func (c *Cache[S, R]) drop(e *Entry[S, R]) {
	b := e.of
	if b == nil {
		return
	}
	var none R
	e.of, e.value, e.version = nil, none, unfilled
	if b.names--; b.names == 0 {
		c.forget(b)
	}
}

// trim has entries give way, but for the one looked up last, until no more is held than may be.
func (c *Cache[S, R]) trim() {
	for c.Held() > c.most && len(c.entries) > 1 {
		if i := c.victim(); i != c.last {
			c.remove(i)
		}
	}
}

// remove forgets the name at a position: the last one moves there.
func (c *Cache[S, R]) remove(i int) {
	e, last := &c.entries[i], len(c.entries)-1
	c.drop(e)
	c.forgotten += e.count
	c.held -= len(e.name)
	delete(c.index, e.name)
	if i != last {
		*e = c.entries[last]
		c.index[e.name] = int32(i)
		if c.last == last {
			c.last = i
		}
	}
	c.entries[last] = Entry[S, R]{}
	c.entries = c.entries[:last]
	c.left = min(c.left, last)
	if n := cap(c.entries); n > 64 && last <= n/4 {
		c.shrink(n / 2)
	}
}

// shrink gives memory back: neither a slice nor a map ever shrinks by itself.
func (c *Cache[S, R]) shrink(n int) {
	c.entries = append(make([]Entry[S, R], 0, n), c.entries...)
	c.index = make(map[string]int32, n)
	for i := range c.entries {
		c.index[c.entries[i].name] = int32(i)
	}
	byHash := make(map[uint64]*built[S, R], len(c.byHash))
	maps.Copy(byHash, c.byHash)
	c.byHash = byHash
}

// victim returns the next entry that was not used since the hand passed it last (the clock
// algorithm).
func (c *Cache[S, R]) victim() int {
	for {
		i := c.hand % len(c.entries)
		c.hand = i + 1
		if !c.entries[i].used {
			return i
		}
		c.entries[i].used = false
	}
}

// Settled says that Sweep has nothing to do, and that nothing was built since it was called last.
func (c *Cache[S, R]) Settled() bool {
	return !c.moved && c.left == 0 && !c.ages && c.trie.Changes() == c.swept
}

// Sweep gives back what may never be looked up again, in rounds over all entries, of which it
// looks at n at the most. Once subscriptions have changed, values go that are stale: they keep
// subscribers alive who have left. With age, names go that were not looked up since the last round
// with age looked at them: when a round is under way, in the one after it.
func (c *Cache[S, R]) Sweep(n int, age bool) {
	c.moved = false
	c.ages = c.ages || age
	if c.left == 0 {
		changes := c.trie.Changes()
		if changes == c.swept && !c.ages {
			return
		}
		c.swept, c.aging, c.ages, c.left = changes, c.ages, false, len(c.entries)
	}
	// Downwards: what moves into the place of a name that goes was looked at before.
	for ; n > 0 && c.left > 0; n-- {
		c.left--
		e := &c.entries[c.left]
		switch {
		case c.aging && !e.used:
			c.remove(c.left)
			continue
		case c.aging:
			e.used = false
		}
		if e.stale() && !c.still(e) {
			c.drop(e)
		}
	}
}
