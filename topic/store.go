package topic

// Groups are kept by value in chunks, densely: a group's place is its number.
// The first chunk grows as needed.
const (
	chunkBits = 7
	chunkSize = 1 << chunkBits
)

// store is the patterns of one kind in a shard. Guarded by the shard's lock.
type store[S comparable] struct {
	table  table
	chunks [][]group[S] // all full but the last
	count  int
	shapes shapes
}

func (st *store[S]) at(place int) *group[S] {
	return &st.chunks[place>>chunkBits][place&(chunkSize-1)]
}

// find returns the place of the group of a pattern, or -1.
func (st *store[S]) find(hash uint64, pattern string) int {
	t := st.table.part(hash)
	if t.count == 0 {
		return -1
	}
	mask := uint32(len(t.slots) - 1)
	for i := uint32(hash) & mask; t.slots[i] != 0; i = (i + 1) & mask {
		s := t.slots[i]
		if uint32(s>>32) == uint32(hash) && string(st.at(s.place()).text()) == pattern {
			return s.place()
		}
	}
	return -1
}

// match returns the group whose pattern has this hash and matches name, or nil. literal says that
// only the pattern that is the name does.
func (st *store[S]) match(hash uint64, name []byte, literal bool) *group[S] {
	t := st.table.part(hash)
	if t.count == 0 {
		return nil
	}
	mask := uint32(len(t.slots) - 1)
	for i := uint32(hash) & mask; t.slots[i] != 0; i = (i + 1) & mask {
		s := t.slots[i]
		if uint32(s>>32) != uint32(hash) {
			continue
		}
		g := st.at(s.place())
		if literal && string(g.text()) == string(name) || !literal && fits(g.text(), name) {
			return g
		}
	}
	return nil
}

// insert adds the group of a pattern that has none, with its first subscriber.
func (st *store[S]) insert(p Pattern, hash uint64, form shape, first Match[S]) {
	place := st.count
	if place>>chunkBits == len(st.chunks) {
		size := chunkSize
		if place == 0 {
			size = 1
		}
		st.chunks = append(st.chunks, make([]group[S], 0, size))
	}
	last := &st.chunks[place>>chunkBits]
	*last = append(*last, group[S]{only: [1]Match[S]{first}})
	st.at(place).name(p)
	st.count++
	st.table.insert(hash, place, func(place int) uint64 {
		_, hash := analyse(string(st.at(place).text()))
		return hash
	})
	st.shapes.change(form, 1)
}

// remove takes a group away. The last one moves to its place.
func (st *store[S]) remove(place int, hash uint64, form shape) {
	st.shapes.change(form, -1)
	st.table.remove(hash, place)
	last := st.count - 1
	tail := st.at(last)
	if place != last {
		_, moved := analyse(string(tail.text()))
		st.table.move(moved, last, place)
		*st.at(place) = *tail
	}
	*tail = group[S]{}
	c := last >> chunkBits
	st.chunks[c] = st.chunks[c][:last&(chunkSize-1)]
	if len(st.chunks[c]) == 0 {
		st.chunks[c] = nil
		st.chunks = st.chunks[:c]
	}
	st.count--
}
