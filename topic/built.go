package topic

import (
	"hash/maphash"
	"slices"
)

// built is a value, and how it is found again.
type built[S comparable, R any] struct {
	value   R
	names   int // entries that have it
	bytes   int
	targets int // matches it was made of

	// Of one that may be shared.
	groups []state[S] // that were found, in that order; nil: it may not
	epoch  uint64     // of the trie
	hash   uint64     // of these
	next   *built[S, R]
}

// shareFrom is the number of matches from which a value is shared: a smaller one is made sooner
// than found.
const shareFrom = 16

// builtCharge and stateCharge are what a value that may be shared costs beside what it holds, in
// bytes: with its place in the index, and for each group it was made of.
const (
	builtCharge = 64
	stateCharge = 32
)

// shares are the values of a cache. Which of them are the same is known without looking at their
// matches: by the states of the groups that were found. So a change of a subscription that matches
// many names costs each of them a look-up when it is wanted next, but only the names that it bears
// on a new value, and that one for all of them.
type shares[S comparable, R any] struct {
	byHash  map[uint64]*built[S, R] // those that may be shared
	spare   *built[S, R]            // one that is forgotten, to be used again
	least   int                     // matches from which values are shared
	held    int                     // bytes of the values, and of the names' text
	targets int                     // of the values

	// What look has looked for.
	groups []state[S]
	epoch  uint64
	hash   uint64
}

func (c *shares[S, R]) init() {
	c.byHash, c.least = make(map[uint64]*built[S, R]), shareFrom
}

// look returns the value of the groups that were found, if it is there. When not, and may says that
// it may be shared, the next one made is that.
func (c *shares[S, R]) look(f *found[S], epoch uint64) (b *built[S, R], may bool) {
	if f.size() < c.least {
		return nil, false
	}
	c.groups, c.epoch, c.hash = c.groups[:0], epoch, epoch
	for i := range f.count {
		st := f.at(i).state()
		c.groups = append(c.groups, st)
		part := st.stamp
		if part == 0 {
			part = maphash.Comparable(seed, st.only.Sub)
		}
		c.hash = spread(c.hash^part, 0)
	}
	for b = c.byHash[c.hash]; b != nil; b = b.next {
		if b.epoch == epoch && slices.Equal(b.groups, c.groups) {
			break
		}
	}
	return b, true
}

// keep keeps what was made of a number of matches. share says that it is what look has looked for.
func (c *shares[S, R]) keep(value R, bytes, targets int, share bool) *built[S, R] {
	b := c.spare
	if c.spare = nil; b == nil {
		b = new(built[S, R])
	}
	b.value, b.bytes, b.targets = value, bytes, targets
	if share {
		b.groups, b.epoch, b.hash = slices.Clone(c.groups), c.epoch, c.hash
		b.bytes += builtCharge + stateCharge*len(b.groups)
		b.next = c.byHash[b.hash]
		c.byHash[b.hash] = b
	}
	c.held += b.bytes
	c.targets += b.targets
	return b
}

// forget gives up a value that no name has.
func (c *shares[S, R]) forget(b *built[S, R]) {
	c.held -= b.bytes
	c.targets -= b.targets
	if b.groups != nil {
		c.unlink(b)
	}
	*b = built[S, R]{}
	c.spare = b
}

func (c *shares[S, R]) unlink(b *built[S, R]) {
	first := c.byHash[b.hash]
	switch {
	case first != b:
		for first.next != b {
			first = first.next
		}
		first.next = b.next
	case b.next != nil:
		c.byHash[b.hash] = b.next
	default:
		delete(c.byHash, b.hash)
	}
}
