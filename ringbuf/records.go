package ringbuf

import "unsafe"

// record is one piece of a message in a backlog: a range of a buffer. The zero record is a message
// that was taken out again.
type record struct {
	buf      *Shared // a chunk of the backlog's own (inChunk), or a body that it has a reference to
	key      uint64
	off, end uint32
	flags    Flags
	tag      Tag // of the message whose last record it is
}

func (r *record) size() int { return int(r.end - r.off) }

// records is a ring of records: a circular array that is pushed at both ends. What is taken out of
// its middle leaves a zero record behind, and those are closed up before they are many: a ring has
// at most four places for each record that it has. Loop only.
type records struct {
	slots []record // of a power of two; the record at position p stands in slot p & (len-1)
	head  uint32   // position of the first record
	tail  uint32   // position behind the last
	live  int      // those that are not zero

	oldest uint32 // no record that may be dropped stands before this position; from head to tail
	index  index
}

const (
	// recordSize is the memory of one place in the ring, in bytes.
	recordSize = int(unsafe.Sizeof(record{}))

	// recordsMin is the number of places that a ring begins with and keeps in its pool.
	recordsMin = 32
)

func (q *records) at(p uint32) *record { return &q.slots[p&uint32(len(q.slots)-1)] }

// held is the ring's memory in bytes.
func (q *records) held() int { return len(q.slots)*recordSize + q.index.held() }

// makeRoom finds a place for one more record when there is none. Closing up is for when it yields
// an eighth of the places: so each costs the copying of eight records at most.
func (q *records) makeRoom() {
	switch n := len(q.slots); {
	case n == 0:
		q.slots = make([]record, recordsMin)
	case q.live <= n-n/8:
		q.closeUp()
	default:
		q.resize(2 * n)
	}
}

// pushBack returns a place behind the others: the caller fills it at once, and then, if the record
// has the flag indexed, puts its slot into the index.
func (q *records) pushBack() (r *record, slot uint32) {
	if int(q.tail-q.head) == len(q.slots) {
		q.makeRoom()
	}
	slot = q.tail & uint32(len(q.slots)-1)
	q.tail++
	q.live++
	return &q.slots[slot], slot
}

// pushFront returns a place in front of the others but the first skip, none of which may be dropped
// or is in the index. The caller fills it at once, with nothing that may be dropped.
func (q *records) pushFront(skip int) (r *record) {
	if int(q.tail-q.head) == len(q.slots) {
		q.makeRoom()
	}
	q.head--
	q.live++
	p := q.head
	for ; skip > 0; skip-- {
		*q.at(p) = *q.at(p + 1)
		p++
	}
	return q.at(p)
}

// take makes the record at p zero, whose memory the caller has released.
func (q *records) take(p uint32) {
	r := q.at(p)
	if r.flags&indexed != 0 {
		q.index.remove(q.slots, r.key)
	}
	*r = record{}
	q.live--
}

// skipZero lets the ring begin with a record that is not zero, or empties it.
func (q *records) skipZero() {
	for q.head != q.tail && q.at(q.head).buf == nil {
		if q.oldest == q.head {
			q.oldest++
		}
		q.head++
	}
}

// shrink gives memory back that is much more than the records need. So many must have gone since
// the ring last grew or shrank that each costs the copying of two at most.
func (q *records) shrink() {
	n := len(q.slots)
	if n <= recordsMin || 4*q.live >= n {
		return
	}
	for n > recordsMin && 4*q.live <= n {
		n /= 2
	}
	q.resize(n)
}

// resize moves the ring into n places, which are enough.
func (q *records) resize(n int) {
	if q.live < int(q.tail-q.head) {
		q.closeUp()
	}
	from, mask := q.slots, uint32(len(q.slots)-1)
	first, to := q.head&mask, make([]record, n)
	count := copy(to[:q.live], from[first:])
	copy(to[count:q.live], from)
	q.oldest -= q.head
	q.slots, q.head, q.tail = to, 0, uint32(q.live)
	if q.index.used() {
		q.index.rebuild(q.slots)
	}
}

// closeUp moves the records side by side.
func (q *records) closeUp() {
	to, oldest := q.head, q.oldest
	for p := q.head; p != q.tail; p++ {
		if p == q.oldest {
			oldest = to
		}
		r := q.at(p)
		if r.buf == nil {
			continue
		}
		if p != to {
			*q.at(to) = *r
			*r = record{}
		}
		to++
	}
	if q.oldest == q.tail {
		oldest = to
	}
	q.tail, q.oldest = to, oldest
	if q.index.used() {
		q.index.rebuild(q.slots)
	}
}

// reset empties the ring; it keeps the memory that it began with.
func (q *records) reset() {
	if len(q.slots) > recordsMin {
		*q = records{}
		return
	}
	clear(q.slots)
	q.head, q.tail, q.live, q.oldest = 0, 0, 0, 0
	q.index = index{}
}
