package backplane

import (
	"encoding/binary"
	"hash/maphash"
)

// texts is a set of texts, most of which are short, and each of which may be marked. A map of them
// takes 90 bytes for one of 30, which the collector follows one by one; this takes some 45, and
// nothing in it refers to anything.
type texts struct {
	// At most three quarters of slots are in use: such a one has a part of the text's hash, its
	// mark, and where it lies, counted from 1.
	slots  []uint64
	blocks [][]byte // lengths and texts, one after the other
	count  int      // texts
	size   int      // bytes in blocks
	dead   int      // of these, bytes of what was taken away
}

const (
	textMark  = 1 << 32
	textHash  = ^uint64(1<<33 - 1) // what a slot has of a hash
	textBlock = 1 << 16            // bytes of a block that is full
)

// textSeed makes the hashes unguessable: patterns are what clients say.
var textSeed = maphash.MakeSeed()

func textHashOf(text string) uint64 { return maphash.String(textSeed, text) & textHash }

// home is from where on a hash is looked for.
func (t *texts) home(hash uint64) int { return int(hash >> 33 * uint64(len(t.slots)) >> 31) }

func (t *texts) after(i int) int {
	if i++; i < len(t.slots) {
		return i
	}
	return 0
}

// at is the text of a slot, and how many bytes it takes.
func (t *texts) at(slot uint64) (text []byte, size int) {
	place := uint32(slot) - 1
	b := t.blocks[place/textBlock][place%textBlock:]
	length, n := binary.Uvarint(b)
	size = n + int(length)
	return b[n:size], size
}

// find returns the slot of a text, or that there is none, and the one that it would have.
func (t *texts) find(text string, hash uint64) (i int, is bool) {
	if len(t.slots) == 0 {
		return 0, false
	}
	for i = t.home(hash); t.slots[i] != 0; i = t.after(i) {
		if t.slots[i]&textHash != hash {
			continue
		}
		if have, _ := t.at(t.slots[i]); string(have) == text {
			return i, true
		}
	}
	return i, false
}

// has says whether a text is there. One that is loses its mark.
func (t *texts) has(text string) bool {
	i, is := t.find(text, textHashOf(text))
	if is {
		t.slots[i] &^= textMark
	}
	return is
}

// add adds a text that is not there, of less than textBlock bytes.
func (t *texts) add(text string) {
	if t.count++; t.count > len(t.slots)*3/4 {
		t.resize(len(t.slots)*3/2 + 4)
	}
	hash := textHashOf(text)
	i, _ := t.find(text, hash)
	t.slots[i] = hash | put(t, text)
}

// put puts a text into the last block, or one more, and returns where it lies.
func put[T string | []byte](t *texts, text T) (place uint64) {
	size := binary.MaxVarintLen32 + len(text) // or a little less
	last := len(t.blocks) - 1
	if last < 0 || len(t.blocks[last])+size > textBlock {
		if last++; last > 0 { // else it grows: there may not be many
			t.blocks = append(t.blocks, make([]byte, 0, textBlock))
		} else {
			t.blocks = append(t.blocks, nil)
		}
	}
	b := t.blocks[last]
	place = uint64(last*textBlock + len(b) + 1)
	t.blocks[last] = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	t.size += len(t.blocks[last]) - len(b)
	return place
}

// remove takes a text away, and says whether it was there.
func (t *texts) remove(text string) bool {
	i, is := t.find(text, textHashOf(text))
	if !is {
		return false
	}
	if t.count--; t.count == 0 {
		*t = texts{}
		return true
	}
	_, size := t.at(t.slots[i])
	t.dead += size
	// What lies behind it because it was there moves up.
	for j := t.after(i); t.slots[j] != 0; j = t.after(j) {
		if t.steps(t.home(t.slots[j]), j) >= t.steps(i, j) {
			t.slots[i], i = t.slots[j], j
		}
	}
	t.slots[i] = 0
	if t.count < len(t.slots)/4 {
		t.resize(len(t.slots) / 2)
	}
	if t.dead > t.size/2 && t.size > textBlock/16 {
		t.compact()
	}
	return true
}

// steps is how far it is from one slot on to another.
func (t *texts) steps(from, to int) int {
	if to < from {
		to += len(t.slots)
	}
	return to - from
}

// resize has another number of slots.
func (t *texts) resize(slots int) {
	old := t.slots
	t.slots = make([]uint64, slots)
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		i := t.home(slot)
		for t.slots[i] != 0 {
			i = t.after(i)
		}
		t.slots[i] = slot
	}
}

// compact gives back what was taken by texts that are gone.
func (t *texts) compact() {
	old := texts{blocks: t.blocks}
	t.blocks, t.size, t.dead = nil, 0, 0
	for i, slot := range t.slots {
		if slot != 0 {
			text, _ := old.at(slot)
			t.slots[i] = slot&^(textMark-1) | put(t, text)
		}
	}
}

// mark marks all.
func (t *texts) mark() {
	for i, slot := range t.slots {
		if slot != 0 {
			t.slots[i] |= textMark
		}
	}
}

// list returns all texts, or those with a mark, in any order.
func (t *texts) list(marked bool) (list []string) {
	for _, slot := range t.slots {
		if slot != 0 && (!marked || slot&textMark != 0) {
			text, _ := t.at(slot)
			list = append(list, string(text))
		}
	}
	return list
}
