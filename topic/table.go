package topic

// A table that has splitAbove buckets or more is split into parts when it is full. They grow one at
// a time: moving the groups of a larger one would hold the shard's lock for milliseconds.
const (
	splitAbove = 1 << 8
	partBits   = 4
)

// table keeps groups by the hashes of their patterns. A group lies in the first place that was free
// from its home on, the bucket that its hash names, so that nothing but the heads must be read to
// know where it is. The heads of a million patterns are some 1.5 MB, which mostly stay in the
// processor's cache; the groups, of which only the one that is wanted is read, do not. Guarded by
// the shard's lock.
type table[S comparable] struct {
	heads  []head
	groups []group[S] // bucketSize for each head; of a single bucket only those that were in use
	count  int        // groups, those of the parts included
	parts  *[1 << partBits]table[S]
}

// part returns the part that keeps a key, of a table at a depth in the tree of parts.
func (t *table[S]) part(k key, depth int) *table[S] {
	return &t.parts[k<<(depth*partBits)>>(64-partBits)]
}

// leaf returns the table without parts that keeps a key.
func (t *table[S]) leaf(k key) *table[S] {
	for depth := 0; t.parts != nil; depth++ {
		t = t.part(k, depth)
	}
	return t
}

// home returns the index of the bucket from which on a hash is looked for: the low half of the hash
// as a fraction of the number of buckets, which so need not be a power of two.
func (t *table[S]) home(k key) int {
	return int(uint64(uint32(k)) * uint64(len(t.heads)) >> 32)
}

// next returns the index of the bucket after bucket i.
func (t *table[S]) next(i int) int {
	if i++; i < len(t.heads) {
		return i
	}
	return 0
}

// find returns the index of the group of a pattern in a table without parts, or -1.
func (t *table[S]) find(k key, pattern string) int {
	short := pattern[:min(len(pattern), inlineText)]
	i := t.home(k)
	for range t.heads {
		for at := t.heads[i].having(k.tag()); at != 0; at &= at - 1 {
			index := i*bucketSize + at.place()
			g := &t.groups[index]
			if string(g.short[:g.size]) == short && g.tail() == pattern[len(short):] {
				return index
			}
		}
		if t.heads[i] < passedOne {
			break
		}
		i = t.next(i)
	}
	return -1
}

// insert adds a group whose pattern has none, to a table at a depth in the tree of parts.
func (t *table[S]) insert(k key, g *group[S], depth int) {
	t.count++
	// At most six sevenths are in use.
	if t.parts == nil && t.count > (bucketSize-1)*len(t.heads) {
		if len(t.heads) < splitAbove {
			t.resize(len(t.heads) + len(t.heads)/2 + 1)
		} else {
			t.split(depth)
		}
	}
	if t.parts != nil {
		t.part(k, depth).insert(k, g, depth+1)
		return
	}
	t.put(k, g)
}

// put puts a group into the first free place from its home on; there is one.
func (t *table[S]) put(k key, g *group[S]) {
	i := t.home(k)
	free := t.heads[i].having(0)
	for free == 0 {
		if t.heads[i] < passedMost {
			t.heads[i] += passedOne
		}
		i = t.next(i)
		free = t.heads[i].having(0)
	}
	t.heads[i] |= k.tag() << (8 * free.place())
	if index := i*bucketSize + free.place(); index < len(t.groups) {
		t.groups[index] = *g
	} else {
		t.groups = append(t.groups, *g)
	}
}

// resize moves the groups to another number of buckets.
func (t *table[S]) resize(buckets int) {
	old := t.groups
	t.heads, t.groups = make([]head, buckets), nil
	if buckets > 1 {
		t.groups = make([]group[S], buckets*bucketSize)
	}
	for i := range old {
		if g := &old[i]; !g.free() {
			t.put(g.key(), g)
		}
	}
}

// split moves the groups of a table at a depth in the tree of parts to parts.
func (t *table[S]) split(depth int) {
	old, buckets := t.groups, len(t.heads)>>partBits+1
	t.heads, t.groups, t.parts = nil, nil, new([1 << partBits]table[S])
	for i := range t.parts {
		t.parts[i].resize(buckets)
	}
	for i := range old {
		if g := &old[i]; !g.free() {
			k := g.key()
			t.part(k, depth).insert(k, g, depth+1)
		}
	}
}

// remove takes the group at an index of the leaf that keeps its hash away.
func (t *table[S]) remove(k key, index, depth int) {
	t.count--
	switch {
	case t.count == 0:
		*t = table[S]{}
		return
	case t.parts != nil:
		t.part(k, depth).remove(k, index, depth+1)
		return
	}
	for i := t.home(k); i != index/bucketSize; i = t.next(i) {
		if t.heads[i] < passedMost {
			t.heads[i] -= passedOne
		}
	}
	t.heads[index/bucketSize] &^= 255 << (index % bucketSize * 8)
	t.groups[index] = group[S]{}
	if len(t.heads) > 1 && t.count < 2*len(t.heads) {
		t.resize(len(t.heads) / 2)
	}
}
