package topic

import "sync"

// maxGroups is more than the patterns of one kind that can match one name: of five levels, 2^5
// patterns without "#" (each level itself or "+") and 2^0+…+2^4 with it.
const maxGroups = 64

// scanBelow is the number of entries up to which duplicates are looked for by scanning.
const scanBelow = 16

// few is the number of groups that are kept without a spare, and of lookups that are begun before
// the first is ended.
const few = 6

// found looks up the groups that match one name, and keeps them. It lives on the caller's stack,
// under the shards' locks. It is small because it must be zeroed for every match.
type found[S comparable] struct {
	pool   *sync.Pool // of *spare[S]
	spare  *spare[S]  // nil until it is needed
	groups [few]*group[S]
	count  int
	locked bool // the lock of the wildcards' shard is held

	probes [few]probe[S] // begun
	begun  int
}

// spare is what only matches of many groups or subscribers need.
type spare[S comparable] struct {
	groups [maxGroups - few]*group[S] // those after the first few
	index  map[S]int32
}

func (f *found[S]) borrow() *spare[S] {
	if f.spare == nil {
		f.spare = f.pool.Get().(*spare[S])
	}
	return f.spare
}

// release gives back what was borrowed, empty, and unlocks the shards that find has locked.
func (f *found[S]) release(literal, wild *shard[S]) {
	if f.spare != nil {
		clear(f.spare.groups[:])
		clear(f.spare.index)
		f.pool.Put(f.spare)
	}
	if f.locked {
		wild.mu.RUnlock()
	}
	literal.mu.RUnlock()
}

// begin begins the lookup, in t, of a key that a pattern that matches name would have.
func (f *found[S]) begin(t *table[S], k key, name []byte) {
	if t = t.leaf(k); len(t.heads) == 0 {
		return
	}
	if f.begun == few {
		f.end(name)
	}
	f.probes[f.begun] = probe[S]{table: t, key: k, first: t.heads[t.home(k)]}
	f.begun++
}

// end ends the lookups and keeps the groups they find.
func (f *found[S]) end(name []byte) {
	for i := range f.probes[:f.begun] {
		g := f.probes[i].group(name)
		switch {
		case g == nil:
			continue
		case f.count < few:
			f.groups[f.count] = g
		default:
			f.borrow().groups[f.count-few] = g
		}
		f.count++
	}
	f.begun = 0
}

// at returns group i, in the order they were found.
func (f *found[S]) at(i int) *group[S] {
	if i < few {
		return f.groups[i]
	}
	return f.spare.groups[i-few]
}

// size is how many subscribers the groups have, one that is in several counted in each.
func (f *found[S]) size() (n int) {
	for i := range f.count {
		n += len(f.at(i).subscribers())
	}
	return n
}

// appendTo appends the subscribers to dst, each once, with the options of its highest priority; of
// equal ones, those met first, the largest group before the others.
func (f *found[S]) appendTo(dst []Match[S]) []Match[S] {
	switch {
	case f.count == 0:
		return dst
	case f.count == 1 && f.groups[0].alone():
		return append(dst, f.groups[0].only[0]) // As mostly; a slice would cost more.
	}
	// The largest group goes first and whole: the others' subscribers are looked up in it by its
	// own index, so one big group and some small ones cost no more than the small ones.
	largest, total := 0, 0
	for i := range f.count {
		n := len(f.at(i).subscribers())
		total += n
		if n > len(f.at(largest).subscribers()) {
			largest = i
		}
	}
	big := f.at(largest)
	base := len(dst)
	dst = append(dst, big.subscribers()...)
	if f.count == 1 {
		return dst
	}
	tail := len(dst)
	var index map[S]int32
	if f.count > 2 && total-(tail-base) > scanBelow {
		index = f.borrow().index
	}
	for i := range f.count {
		if i == largest {
			continue
		}
		for _, m := range f.at(i).subscribers() {
			at := -1
			if j := big.find(m.Sub); j >= 0 {
				at = base + j
			} else if f.count > 2 {
				at = position(dst, tail, m.Sub, index)
			}
			switch {
			case at < 0:
				if index != nil {
					index[m.Sub] = int32(len(dst))
				}
				dst = append(dst, m)
			case m.Options.Priority > dst[at].Options.Priority:
				dst[at].Options = m.Options
			}
		}
	}
	return dst
}

// position finds s in dst from tail on, by index when there is one; -1 when it is not there.
func position[S comparable](dst []Match[S], tail int, s S, index map[S]int32) int {
	if index != nil {
		if i, ok := index[s]; ok {
			return int(i)
		}
		return -1
	}
	for i := tail; i < len(dst); i++ {
		if dst[i].Sub == s {
			return i
		}
	}
	return -1
}
