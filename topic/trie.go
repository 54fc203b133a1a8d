package topic

import (
	"strings"
	"sync"
	"sync/atomic"
)

// Kind is what a subscription is for.
type Kind uint8

// The kinds of subscription (protocol §8, system.topic.subscribe).
const (
	Publish Kind = iota // every matching service gets a copy
	Request             // one matching service gets the message
)

// String returns the kind as the contract writes it.
func (k Kind) String() string {
	if k == Request {
		return "request"
	}
	return "publish"
}

// Options are what a subscriber asked for. The trie only looks at Priority, to choose between the
// options of one service that matches through several patterns.
type Options struct {
	Priority float64 // higher wins; finite
	Overflow uint8   // the caller's code for the overflow policy
	Conflate bool
}

// Match is one subscriber of a name.
type Match[S comparable] struct {
	Sub     S
	Options Options
}

// Version is the versions of the two shards a name can match in. Comparable: a result of Match
// stands as long as Version of the same name equals the one that came with it.
type Version struct{ literal, wild uint64 }

// kinds is the number of Kinds.
const kinds = 2

// shardCount is a power of two. More shards mean fewer cached results lost to changes of other
// names, at 128 bytes each.
const shardCount = 256

// Trie is the subscriptions of a node: S by pattern and kind. Any goroutine.
//
// It is a trie over the levels of patterns, of which there are at most five, with every path
// compressed into one entry: a pattern is one group in a hash table, not a chain of nodes. From
// outside nothing differs. Inside, a match does not walk down from level to level, branching at
// each "+": it asks, for each shape of pattern that occurs (how many levels, which are "+", whether
// "#" follows), for the one pattern of that shape that the name can match, by a hash that is
// composed from those of the name's levels. See shape.go.
//
// Why: a walk over chained nodes waits for memory at every level of every branch, one read after
// the other. With 1,000,000 subscriptions of which 10 % have wildcards, chained nodes with a map
// each took about 2 µs a match, this takes 0.52 to 0.57; with 10,000 it takes 0.15, with 10 0.08
// (docs/adr/0011, go test ./topic -bench TreeMatch). Cost: nothing can be listed below a prefix
// without looking at everything, and nobody asks for that.
//
// It is sharded by the hash of the first level; patterns that begin with a wildcard have a shard of
// their own. Each shard has its lock and its version, so that a subscription stops no others and
// loops can tell whether what they remember still stands (Cache).
type Trie[S comparable] struct {
	shards [shardCount]shard[S] // patterns by the hash of their first level
	wild   shard[S]             // patterns that begin with a wildcard
	none   shard[S]             // stands for wild where no wildcard matches; always empty
	feet   feet                 // changes

	spare sync.Pool    // of *spare[S], empty
	count atomic.Int64 // subscriptions

	changes atomic.Uint64
	stamps  atomic.Uint64 // how many stamps groups were given
	epoch   atomic.Uint64 // counts calls of Outdate
}

// NewTrie returns an empty trie.
func NewTrie[S comparable]() *Trie[S] {
	t := &Trie[S]{}
	t.spare.New = func() any { return &spare[S]{index: make(map[S]int32)} }
	return t
}

// Subscribe adds s to the subscribers of p for kind k and tells whether it was not one yet. When it
// was, o replaces its options. O(1) in the number of subscribers.
func (t *Trie[S]) Subscribe(p Pattern, k Kind, s S, o Options) (added bool) {
	added = t.home(p).put(p, k, s, o, t)
	if added {
		t.count.Add(1)
	}
	t.changes.Add(1)
	return added
}

// Unsubscribe takes s away from the subscribers of p for kind k and tells whether it was one. O(1)
// in the number of subscribers.
func (t *Trie[S]) Unsubscribe(p Pattern, k Kind, s S) (removed bool) {
	removed = t.home(p).remove(p, k, s, t)
	if removed {
		t.count.Add(-1)
		t.changes.Add(1)
	}
	return removed
}

// home returns the shard a pattern is kept in.
func (t *Trie[S]) home(p Pattern) *shard[S] {
	first, _, _ := strings.Cut(p.text, ".")
	if first == "+" || first == "#" {
		return &t.wild
	}
	return &t.shards[firstHash(p.text)]
}

// sources returns the two shards a name can match in.
// No wildcard matches a system topic (protocol §3).
func (t *Trie[S]) sources(name []byte) (literal, wild *shard[S]) {
	literal = &t.shards[firstHash(name)]
	if IsSystem(name) {
		return literal, &t.none
	}
	return literal, &t.wild
}

// firstHash hashes the first level.
func firstHash[T string | []byte](name T) uint32 {
	end := 0
	for end < len(name) && name[end] != '.' {
		end++
	}
	return Hash(name[:end]) % shardCount
}

// Hash returns the FNV-1a hash of a name or of a part of one, folded so that its low bits are good.
// It is not keyed, so that whatever is spread by it is spread in the same way in every run: what is
// chosen to collide shares a place, nothing more.
func Hash[T string | []byte](name T) uint32 {
	h := uint32(2166136261)
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return h ^ h>>16
}

// Match appends to dst one entry for each S with a subscription of kind k that matches name, which
// is canonical. An S that matches through several patterns has the options of the one with the
// highest priority. The order is the same for the same history of calls. The version is never newer
// than the result. Nothing is allocated when dst has room.
func (t *Trie[S]) Match(name []byte, k Kind, dst []Match[S]) ([]Match[S], Version) {
	literal, wild := t.sources(name)
	return t.matchIn(literal, wild, name, k, dst)
}

func (t *Trie[S]) matchIn(
	literal, wild *shard[S], name []byte, k Kind, dst []Match[S],
) ([]Match[S], Version) {
	f := found[S]{pool: &t.spare}
	v := t.find(&f, literal, wild, name, k)
	dst = f.appendTo(dst)
	f.release(literal, wild)
	return dst, v
}

// find finds the groups that match, and holds the shards' locks until f is released.
func (t *Trie[S]) find(
	f *found[S], literal, wild *shard[S], name []byte, k Kind,
) (v Version) {
	var l levels
	l.split(name)
	// Both locks are held until the end. Writers hold one at a time, so the order cannot deadlock.
	literal.mu.RLock()
	v.literal = literal.version.Load()
	// An empty shard needs no lock: its version is read first, and a writer changes it last.
	v.wild = wild.version.Load()
	if f.locked = wild.size.Load() != 0; f.locked {
		wild.mu.RLock()
		v.wild = wild.version.Load()
	}
	if wild == &t.none {
		literal.matchLiteral(&l, k, f)
	} else {
		literal.match(&l, k, f)
	}
	if f.locked {
		wild.match(&l, k, f)
	}
	f.end(name)
	return v
}

// Version returns the versions of the shards a canonical name can match in:
// two atomic loads, no lock.
func (t *Trie[S]) Version(name []byte) Version {
	literal, wild := t.sources(name)
	return Version{literal.version.Load(), wild.version.Load()}
}

// Outdate makes all that was remembered of matches stale, as a change of subscriptions does, and
// counts as one: something has changed in what the caller makes of them.
func (t *Trie[S]) Outdate() {
	t.changes.Add(1)
	// First: who sees one of the new versions sees the new epoch too.
	t.epoch.Add(1)
	for _, sh := range []*shard[S]{&t.wild, &t.none} {
		sh.version.Add(1)
	}
}

// Count returns the number of subscriptions.
func (t *Trie[S]) Count() int { return int(t.count.Load()) }

// Changes counts what Subscribe, Unsubscribe and Outdate have changed. It is counted before they
// return, and not before the change can be seen.
func (t *Trie[S]) Changes() uint64 { return t.changes.Load() }
