package trace

import (
	"unsafe"

	"mbserver/codec"
)

const (
	// Each is how many entries of a kind a book keeps of one message; it counts the others.
	Each = 16

	// Age is for how long a message is kept, in milliseconds, if there is room.
	Age = 60_000

	// Within a second a book takes rate messages of its own loop, and burst at once: that is what a
	// loop may spend on them, and few enough to be kept for their time.
	rate  = 50
	burst = 256

	// perMessage is for how many entries there is room for each message, one with another.
	perMessage = 8

	// textMost is how many bytes of topics, patterns and identities a message is taken to refer to.
	textMost = 512

	// least is the number of messages that a book begins with, and always has room for.
	least = 64
)

// kept is a message in a book.
type kept struct {
	Message
	count [stops]uint32 // of its entries, those included that are not kept
	rest  [stops]uint64 // place of the entry that stands for them
}

const (
	entrySize = int(unsafe.Sizeof(Entry{}))
	keptSize  = int(unsafe.Sizeof(kept{}))
	indexSize = 16 // of a message in the index
	unitBytes = keptSize + indexSize + textMost

	// tags is how many there are: one comes again after so many messages.
	tags = 1<<16 - 1
)

// Book is one loop's record. It grows to its bound, and then the oldest give way. Loop only.
type Book struct {
	origin   Mark // the loop's part of a mark
	sequence Mark
	most     int // messages

	messages []kept // a circular array; the message at place p stands at p % len
	head     uint64 // place of the next message
	entries  []Entry
	next     uint64          // place of the next entry
	index    map[Mark]uint64 // places of messages

	credit   int   // messages that may be taken at once
	refilled int64 // ms
	shut     int64 // ms: none is taken in this one any more
}

// NewBook returns the book of a loop, which holds so many bytes at most, or as much as it needs.
func NewBook(loop, bytes int) *Book {
	return &Book{
		origin: Mark(loop) << markBits,
		most:   max(bytes/(unitBytes+perMessage*entrySize), least),
		index:  make(map[Mark]uint64), credit: burst, shut: -1,
	}
}

// Held is the book's memory in bytes.
func (b *Book) Held() int { return len(b.messages)*unitBytes + len(b.entries)*entrySize }

// Open says whether one more message may be looked at, in ms of any clock that does not go back.
func (b *Book) Open(ms int64) bool {
	if b.credit > 0 {
		return true
	}
	if ms == b.shut {
		return false
	}
	if more := (ms - b.refilled) * rate / 1000; more > 0 {
		b.credit, b.refilled = int(min(more, burst)), ms
		return true
	}
	b.shut = ms
	return false
}

// Begin takes a message of the loop's own, which Open has let pass, and gives it its mark.
func (b *Book) Begin(m Message, ms int64) Mark {
	if b.credit == burst {
		b.refilled = ms
	}
	b.credit--
	b.sequence = b.sequence%markMost + 1
	m.Mark = b.origin | b.sequence
	b.put(m)
	return m.Mark
}

// Mask notes the ID under which receivers know a message.
func (b *Book) Mask(mark Mark, at int64, id codec.UUID) { b.of(mark, at).Masked = id }

// Note takes one thing that became of a message, of this loop or another one.
func (b *Book) Note(e Entry) {
	m := b.of(e.Mark, e.At)
	m.count[e.Stop] += 1 + e.More
	if m.count[e.Stop]-e.More > Each {
		others := 1 + e.More
		if r := b.at(m.rest[e.Stop]); r != nil && r.Mark == e.Mark {
			r.More += others
			r.At = e.At
			return
		}
		e = Entry{Mark: e.Mark, Stop: e.Stop, At: e.At, More: others}
		m.rest[e.Stop] = b.next + 1
	}
	if n := len(b.entries); b.next >= uint64(n) && n < b.most*perMessage {
		b.growEntries(min(max(2*n, least*perMessage), b.most*perMessage))
	}
	b.entries[b.next%uint64(len(b.entries))] = e
	b.next++
}

// at returns the entry at a place, counted from 1; nil when it has given way, or for 0.
func (b *Book) at(place uint64) *Entry {
	if n := uint64(len(b.entries)); place > 0 && b.next-place < n {
		return &b.entries[(place-1)%n]
	}
	return nil
}

// of returns a message, which is taken when it is not there.
func (b *Book) of(mark Mark, at int64) *kept {
	if place, ok := b.index[mark]; ok {
		return &b.messages[place%uint64(len(b.messages))]
	}
	return b.put(Message{Mark: mark, At: at})
}

// put takes a message; the oldest gives way when there is no room.
func (b *Book) put(m Message) *kept {
	if n := len(b.messages); b.head >= uint64(n) && n < b.most {
		b.grow(min(max(2*n, least), b.most))
	}
	slot := &b.messages[b.head%uint64(len(b.messages))]
	if slot.Mark != 0 {
		delete(b.index, slot.Mark)
	}
	*slot = kept{Message: m}
	b.index[m.Mark] = b.head
	b.head++
	return slot
}

// grow makes room for so many messages. Places stay.
func (b *Book) grow(n int) {
	to := make([]kept, n)
	for place := b.first(b.head, len(b.messages)); place < b.head; place++ {
		to[place%uint64(n)] = b.messages[place%uint64(len(b.messages))]
	}
	b.messages = to
}

// growEntries makes room for so many entries. Places stay.
func (b *Book) growEntries(n int) {
	to := make([]Entry, n)
	for place := b.first(b.next, len(b.entries)); place < b.next; place++ {
		to[place%uint64(n)] = b.entries[place%uint64(len(b.entries))]
	}
	b.entries = to
}

// first is the place of the oldest of what has room for so many and comes before a place.
func (b *Book) first(next uint64, room int) uint64 { return next - min(next, uint64(room)) }

// Tag returns what names a message in the loop's rings, 0 when it is not in the book.
func (b *Book) Tag(mark Mark) uint16 {
	place, ok := b.index[mark]
	if !ok {
		return 0
	}
	return uint16(place%tags) + 1
}

// Tagged returns the message with a tag, 0 when it has given way.
func (b *Book) Tagged(tag uint16) Mark {
	n := uint64(len(b.messages))
	if n == 0 || tag == 0 {
		return 0
	}
	last := b.head - 1 // of the places with this tag the last one that was given is meant
	place := last - (last+tags-uint64(tag-1))%tags
	if place > last || last-place >= n {
		return 0
	}
	return b.messages[place%n].Mark
}

// Find appends the marks of the messages that came since a time (Unix ms) and have this ID, as
// their sender gave it or masked, the latest first, up to most.
func (b *Book) Find(id codec.UUID, since int64, most int, dst []Mark) []Mark {
	for place, first := b.head, b.first(b.head, len(b.messages)); place > first && most > 0; {
		place--
		m := &b.messages[place%uint64(len(b.messages))]
		if (m.ID == id || m.Masked == id) && m.At >= since {
			dst = append(dst, m.Mark)
			most--
		}
	}
	return dst
}

// Tell returns what the book knows of some messages, of those of which it knows anything. It looks
// through its entries once, however many are asked for, and none too: how long it takes is not to
// say whether there is something that the asker may not see.
func (b *Book) Tell(marks ...Mark) (all []Account) {
	at := map[Mark]int{0: -1} // no message has that
	for _, mark := range marks {
		if place, ok := b.index[mark]; ok {
			at[mark] = len(all)
			all = append(all, Account{Message: b.messages[place%uint64(len(b.messages))].Message})
		}
	}
	for place := b.first(b.next, len(b.entries)); place < b.next; place++ {
		e := &b.entries[place%uint64(len(b.entries))]
		if i, ok := at[e.Mark]; ok && i >= 0 {
			all[i].Entries = append(all[i].Entries, *e)
		}
	}
	return all
}
