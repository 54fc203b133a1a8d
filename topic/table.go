package topic

// splitAbove is the number of entries past which a table is split into parts, which grow one at a
// time: growing a larger table would hold the shard's lock for milliseconds. Parts cost a cache
// miss, so smaller tables have none.
const (
	splitAbove = 1 << 16
	partBits   = 8
)

// smallestTable is the number of slots a table begins with.
const smallestTable = 4

// table maps hashes to places in a store: open addressing with linear probing, at most three
// quarters full. A slot is eight bytes without a pointer, so that the table of a million patterns
// stays in the processor's cache and the garbage collector does not look at it. Guarded by the
// shard's lock.
type table struct {
	slots []slot // a power of two, or none
	count int    // slots in use
	parts *[1 << partBits]table
}

// slot holds the low 32 bits of the hash above 1 + the place; 0 is a free slot.
type slot uint64

func makeSlot(hash uint64, place int) slot { return slot(hash<<32 | uint64(place+1)) }

func (s slot) place() int              { return int(uint32(s)) - 1 }
func (s slot) home(mask uint32) uint32 { return uint32(s>>32) & mask }

// part returns the table that keeps a hash.
func (t *table) part(hash uint64) *table {
	if t.parts != nil {
		return &t.parts[hash>>(64-partBits)]
	}
	return t
}

// insert adds a hash and place. rehash returns the whole hash of an entry of the table by its
// place.
func (t *table) insert(hash uint64, place int, rehash func(place int) uint64) {
	if t.parts == nil && t.count >= splitAbove {
		t.split(rehash)
	}
	t = t.part(hash)
	if 4*(t.count+1) > 3*len(t.slots) {
		t.resize(max(2*len(t.slots), smallestTable))
	}
	t.put(makeSlot(hash, place))
}

func (t *table) put(s slot) {
	mask := uint32(len(t.slots) - 1)
	i := s.home(mask)
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = s
	t.count++
}

func (t *table) resize(size int) {
	old := t.slots
	t.slots, t.count = make([]slot, size), 0
	for _, s := range old {
		if s != 0 {
			t.put(s)
		}
	}
}

func (t *table) split(rehash func(place int) uint64) {
	old := t.slots
	*t = table{parts: new([1 << partBits]table)}
	for _, s := range old {
		if s != 0 {
			t.insert(rehash(s.place()), s.place(), rehash)
		}
	}
}

// locate returns the index of the slot with this hash and place, which is in t.
func (t *table) locate(hash uint64, place int) uint32 {
	mask, want := uint32(len(t.slots)-1), makeSlot(hash, place)
	i := want.home(mask)
	for t.slots[i] != want {
		i = (i + 1) & mask
	}
	return i
}

// move changes the place of an entry.
func (t *table) move(hash uint64, from, to int) {
	t = t.part(hash)
	t.slots[t.locate(hash, from)] = makeSlot(hash, to)
}

// remove takes an entry away.
func (t *table) remove(hash uint64, place int) {
	t = t.part(hash)
	mask, i := uint32(len(t.slots)-1), t.locate(hash, place)
	// What follows without a gap moves up, unless that would put it before its home (Knuth,
	// 6.4, algorithm R).
	for j := (i + 1) & mask; t.slots[j] != 0; j = (j + 1) & mask {
		if (j-t.slots[j].home(mask))&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = 0
	t.count--
	switch {
	case t.count == 0:
		t.slots = nil
	case len(t.slots) > smallestTable && 8*t.count < len(t.slots):
		t.resize(len(t.slots) / 2)
	}
}
