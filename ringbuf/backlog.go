package ringbuf

import (
	"sync"
	"unsafe"
)

// backlog is what a socket has not taken: a ring of records, in order, whose bytes stand in chunks
// of the backlog's own or in bodies that it has a reference to. Loop only.
//
// What it holds is bounded by what waits. A chunk is given back when none of it waits; when less
// than half of what is held does, the survivors are copied together (gather). So with B bytes
// waiting in R records it holds at most
//
//	2 × (B + 80 × R) + 16 KiB
//
// whatever was taken out of it, in whichever order. A message is one record, with one more for a
// body and for each 8 KiB. Each byte copied was paid for by one that had gone.
type backlog struct {
	records
	chunk *Shared // where the next small piece is copied to; nil when there is none with room
	turn  *Turn   // the loop's, which is told what becomes of tagged messages

	partial bool // the beginning of the first message is on the wire
	waits   int  // bytes that wait, but for the paid ones
	buffers int  // bytes of the chunks and bodies that are held, but for the paid ones
	paid    int  // bytes that wait of bodies whose memory somebody else answers for

	ownBytes    int // of the messages with the flag Own
	ownMessages int
}

const (
	// chunkSize is the size of a chunk in bytes, once a backlog has as much; its first ones are
	// smaller, down to chunkMin. A message larger than that is cut into pieces, so that its memory
	// goes as it is written.
	chunkSize = 8 << 10
	chunkMin  = 1 << 10

	// ownChunk is the size in bytes from which a piece has a buffer of its own: a chunk would waste
	// as much at its end.
	ownChunk = chunkSize / 4

	// slack is how many bytes may be held beside twice those that wait before the survivors are
	// copied together. With a chunk that is being filled and the smallest ring it makes 16 KiB.
	slack = 6 << 10
)

var backlogPool = sync.Pool{New: func() any { return new(backlog) }}

func newBacklog() *backlog { return backlogPool.Get().(*backlog) }

func (q *backlog) empty() bool { return q.live == 0 }

// held is the backlog's memory in bytes.
func (q *backlog) held() int {
	return q.buffers + q.records.held() + int(unsafe.Sizeof(backlog{}))
}

// push copies p to the end.
func (q *backlog) push(p []byte, flags Flags, key uint64) {
	for ; len(p) > chunkSize; p = p[chunkSize:] {
		q.add(p[:chunkSize], flags|continued, key)
		flags, key = flags&^indexed, 0
	}
	q.add(p, flags, key)
}

// add copies a piece of at most chunkSize bytes to the end.
func (q *backlog) add(p []byte, flags Flags, key uint64) {
	r, slot := q.pushBack()
	q.place(r, p, flags)
	if r.key = key; flags&indexed != 0 {
		q.index.add(q.slots, slot)
	}
}

// pushShared takes over one reference to body, of which the first skip bytes are already written.
func (q *backlog) pushShared(body *Shared, skip int, flags Flags) {
	r, _ := q.pushBack()
	*r = record{buf: body, off: uint32(skip), end: uint32(len(body.B)), flags: flags}
	if !body.paid() {
		q.buffers += cap(body.B)
	}
	q.account(r)
	q.settle() // the rest of a body may be little, and its buffer larger than it is
}

// place copies p, of at most chunkSize bytes, into a chunk, and makes it r's.
func (q *backlog) place(r *record, p []byte, flags Flags) {
	c := q.chunk
	switch {
	case len(p) > ownChunk:
		c = q.newChunk(len(p))
	case c == nil || cap(c.B)-len(c.B) < len(p):
		q.leaveChunk()
		c = q.newChunk(min(max(len(p), q.buffers, chunkMin), chunkSize))
		q.chunk = c
	}
	off := len(c.B)
	c.B = append(c.B, p...)
	c.records++
	r.buf, r.off, r.end, r.flags = c, uint32(off), uint32(len(c.B)), flags|inChunk
	q.account(r)
}

func (q *backlog) newChunk(n int) *Shared {
	c := NewShared(n)
	q.buffers += cap(c.B)
	return c
}

// leaveChunk fills the chunk no further: from here on it lives by its records.
func (q *backlog) leaveChunk() {
	c := q.chunk
	q.chunk = nil
	if c != nil && c.records == 0 {
		q.freeChunk(c)
	}
}

func (q *backlog) freeChunk(c *Shared) {
	q.buffers -= cap(c.B)
	c.Release()
}

// count counts bytes of a record, more or less, as waiting.
func (q *backlog) count(r *record, bytes int) {
	if r.paid() {
		q.paid += bytes
	} else {
		q.waits += bytes
	}
}

// paid says that somebody else answers for the record's memory.
func (r *record) paid() bool { return r.flags&inChunk == 0 && r.buf.paid() }

func (q *backlog) account(r *record) {
	q.count(r, r.size())
	if r.flags&Own != 0 {
		q.ownBytes += r.size()
		if r.flags&continued == 0 {
			q.ownMessages++
		}
	}
}

// drop takes the record at p out, for a reason, and returns how many bytes of it waited.
func (q *backlog) drop(p uint32, why Outcome) (size int) {
	r := q.at(p)
	if r.tag != 0 {
		q.turn.tell(r.tag, why)
	}
	size = r.size()
	q.count(r, -size)
	if r.flags&Own != 0 {
		q.ownBytes -= size
		if r.flags&continued == 0 {
			q.ownMessages--
		}
	}
	q.leave(r)
	q.take(p)
	return size
}

// leave gives up the record's part of its buffer.
func (q *backlog) leave(r *record) {
	b := r.buf
	if r.flags&inChunk == 0 {
		if !b.paid() {
			q.buffers -= cap(b.B)
		}
		b.Release()
		return
	}
	switch b.records--; {
	case b.records > 0:
	case b == q.chunk:
		b.B = b.B[:0]
	default:
		q.freeChunk(b)
	}
}

// peekMax is how many bytes are looked for at once: more than most sockets take.
const peekMax = 256 << 10

// peek appends up to limit pieces to iov, neighbours in one chunk joined, of peekMax bytes or a
// little more. They are valid until the next push or discard.
func (q *backlog) peek(iov [][]byte, limit int) [][]byte {
	var buf *Shared // of the piece that is growing, from start to end
	var start, end uint32
	slots, mask := q.slots, uint32(len(q.slots)-1)
	bytes := 0
	for p := q.head; p != q.tail && bytes < peekMax; p++ {
		r := &slots[p&mask]
		switch {
		case r.buf == nil:
			continue
		case r.buf == buf && r.off == end:
			bytes += int(r.end - end)
			end = r.end
			continue
		case buf != nil:
			if iov = append(iov, buf.B[start:end]); len(iov) == limit {
				return iov
			}
		}
		buf, start, end = r.buf, r.off, r.end
		bytes += int(end - start)
	}
	if buf != nil {
		iov = append(iov, buf.B[start:end])
	}
	return iov
}

// discard takes n written bytes from the front and returns how many messages that completed.
func (q *backlog) discard(n int) (messages int) {
	for n > 0 {
		if !q.partial {
			q.begin(q.head)
		}
		r := q.at(q.head)
		if size := r.size(); n < size {
			r.off += uint32(n)
			q.count(r, -n)
			if r.flags&Own != 0 {
				q.ownBytes -= n
			}
			q.partial = true
			break
		}
		q.partial = r.flags&continued != 0
		if !q.partial {
			messages++
		}
		n -= q.drop(q.head, Written)
		q.skipZero()
	}
	q.settle()
	return messages
}

// begin notes that bytes of the message whose first record stands at p are on the wire: it can't be
// taken out any more.
func (q *backlog) begin(p uint32) {
	for {
		r := q.at(p)
		if r.flags&indexed != 0 {
			q.index.remove(q.slots, r.key)
		}
		r.flags &^= Droppable | indexed
		r.key = 0
		if r.flags&continued == 0 {
			return
		}
		p++
	}
}

// settle gives memory back when much more is held than waits: after records have gone, or a body
// came.
func (q *backlog) settle() {
	filling := 0
	if c := q.chunk; c != nil {
		filling = cap(c.B) - len(c.B)
	}
	if q.buffers-filling > 2*q.waits+slack {
		q.gather()
	}
	q.shrink()
}

// gather copies the survivors together: their order and their places in the ring stay.
func (q *backlog) gather() {
	q.leaveChunk()
	for p := q.head; p != q.tail; {
		p = q.gatherFrom(p)
	}
}

// gatherFrom copies those that fill one chunk, from position p on, and returns where it ended.
func (q *backlog) gatherFrom(p uint32) (end uint32) {
	size := 0
	for end = p; end != q.tail; end++ {
		r := q.at(end)
		if r.fillsBuffer() {
			continue
		}
		if size > 0 && size+r.size() > chunkSize {
			break
		}
		size += r.size()
	}
	if size == 0 {
		return end
	}
	c := q.newChunk(size)
	for ; p != end; p++ {
		r := q.at(p)
		if r.fillsBuffer() {
			continue
		}
		off := len(c.B)
		c.B = append(c.B, r.buf.B[r.off:r.end]...)
		c.records++
		q.leave(r)
		r.buf, r.off, r.end = c, uint32(off), uint32(len(c.B))
		r.flags |= inChunk
	}
	return end
}

// fillsBuffer says that nothing is won by copying r: it is zero, or its buffer is paid, or its own
// but for a quarter.
func (r *record) fillsBuffer() bool {
	return r.buf == nil || r.paid() || 4*r.size() >= 3*cap(r.buf.B)
}

// free returns all memory, and how many messages were left; q must not be used afterwards.
func (q *backlog) free() (messages int) {
	for p := q.head; p != q.tail; p++ {
		r := q.at(p)
		if r.buf == nil {
			continue
		}
		if r.flags&(continued|Control) == 0 {
			messages++
		}
		if r.tag != 0 {
			q.turn.tell(r.tag, Lost)
		}
		q.leave(r)
	}
	q.leaveChunk()
	q.records.reset()
	q.turn = nil
	q.partial, q.waits, q.paid, q.ownBytes, q.ownMessages = false, 0, 0, 0, 0
	backlogPool.Put(q)
	return messages
}
