package ringbuf

import "math/bits"

// index finds a backlog's messages by their keys, of the droppable ones with a key the newest: a
// table with open addressing, whose entries are the slots, counted from 1, in which those messages'
// first records stand. It has two places for each of the ring, is made with it anew, and so is at
// most half full and never larger than what the ring accounts for. Its keys are spread well by
// whoever makes them: nobody can choose keys that collide. The zero value is unused and has no
// memory.
type index struct {
	places []uint32 // of a power of two; 0: empty
	shift  uint8
}

const (
	indexPlaces    = 2 // for each place of the ring
	indexPlaceSize = 4 // bytes
)

func (x *index) used() bool { return x.places != nil }

func (x *index) held() int { return len(x.places) * indexPlaceSize }

// home is where the search for a key begins.
func (x *index) home(key uint64) uint32 { return uint32(key * 0x9e3779b97f4a7c15 >> x.shift) }

func (x *index) next(i uint32) uint32 { return (i + 1) & uint32(len(x.places)-1) }

// find returns the slot of the record with the key.
func (x *index) find(slots []record, key uint64) (slot uint32, ok bool) {
	if x.places == nil {
		return 0, false
	}
	for i := x.home(key); ; i = x.next(i) {
		switch v := x.places[i]; {
		case v == 0:
			return 0, false
		case slots[v-1].key == key:
			return v - 1, true
		}
	}
}

// add takes a slot in, whose record's key is not in the index.
func (x *index) add(slots []record, slot uint32) {
	if x.places == nil {
		x.rebuild(slots)
		return
	}
	x.put(slots[slot].key, slot)
}

func (x *index) put(key uint64, slot uint32) {
	i := x.home(key)
	for x.places[i] != 0 {
		i = x.next(i)
	}
	x.places[i] = slot + 1
}

// remove takes the key out, which is in the index. What stands behind it moves up, so that every
// search still ends at the first empty place.
func (x *index) remove(slots []record, key uint64) {
	hole := x.home(key)
	for slots[x.places[hole]-1].key != key {
		hole = x.next(hole)
	}
	for i := x.next(hole); x.places[i] != 0; i = x.next(i) {
		home := x.home(slots[x.places[i]-1].key)
		if mask := uint32(len(x.places) - 1); (i-home)&mask >= (i-hole)&mask {
			x.places[hole] = x.places[i]
			hole = i
		}
	}
	x.places[hole] = 0
}

// rebuild makes the index of the records in slots that have the flag indexed.
func (x *index) rebuild(slots []record) {
	if n := indexPlaces * len(slots); len(x.places) == n {
		clear(x.places)
	} else {
		x.places = make([]uint32, n)
		x.shift = uint8(64 - bits.TrailingZeros(uint(n)))
	}
	for i := range slots {
		if r := &slots[i]; r.flags&indexed != 0 {
			x.put(r.key, uint32(i))
		}
	}
}
