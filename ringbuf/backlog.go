package ringbuf

import "sync"

// record is one piece of a message in a backlog: a range of a buffer that it holds a reference to.
type record struct {
	buf      *Shared // nil: the message was taken out again
	key      uint64
	off, end uint32
	flags    Flags
}

// backlog is what a socket has not taken: records in order, small frames in chunks of the
// connection's own, large bodies as references. Loop only.
type backlog struct {
	records []record
	head    int
	// chunk is where the next small frame is copied to; nil or held by one reference of the
	// backlog's own.
	chunk *Shared

	partial bool // the beginning of the first message is on the wire
	removed int  // records at or after head that were taken out
	oldest  int  // no droppable record stands before it

	ownBytes    int // of the messages with the flag Own
	ownMessages int

	// newest is, by key, the first record of the newest message with it; nil when nothing is
	// conflated.
	newest map[uint64]int
}

// chunkSize is how much of a chunk is filled, in bytes.
// A frame larger than that has a chunk of its own.
const chunkSize = 16 << 10

// recordsKeep is the capacity that a pooled backlog may keep.
const recordsKeep = 1024

var backlogPool = sync.Pool{New: func() any { return new(backlog) }}

func newBacklog() *backlog { return backlogPool.Get().(*backlog) }

func (q *backlog) empty() bool { return q.head == len(q.records) }

// push copies p to the end.
func (q *backlog) push(p []byte, flags Flags, key uint64) {
	if q.chunk != nil && len(q.chunk.B)+len(p) > chunkSize {
		q.chunk.Release()
		q.chunk = NewShared()
		if cap(q.chunk.B) < chunkSize { // more will come: the first chunk was filled
			q.chunk.B = make([]byte, 0, chunkSize)
		}
	}
	if q.chunk == nil {
		q.chunk = NewShared()
	}
	c := q.chunk
	off := len(c.B)
	c.B = append(c.B, p...)
	c.Retain(1)
	q.append(record{buf: c, key: key, off: uint32(off), end: uint32(len(c.B)), flags: flags})
}

// pushShared takes over one reference to body, of which the first skip bytes are already written.
func (q *backlog) pushShared(body *Shared, skip int, flags Flags) {
	q.append(record{buf: body, off: uint32(skip), end: uint32(len(body.B)), flags: flags})
}

func (q *backlog) append(r record) {
	if gone := q.head + q.removed; gone > 64 && gone > len(q.records)/2 {
		q.compact()
	}
	if r.flags&Own != 0 {
		q.ownBytes += int(r.end - r.off)
		if r.flags&continued == 0 {
			q.ownMessages++
		}
	}
	q.records = append(q.records, r)
}

// disown takes n bytes of r, all that it still has if it is gone, off what is owed.
func (q *backlog) disown(r *record, n int, gone bool) {
	if r.flags&Own == 0 {
		return
	}
	q.ownBytes -= n
	if gone && r.flags&continued == 0 {
		q.ownMessages--
	}
}

// compact closes the gaps that written and removed records left.
func (q *backlog) compact() {
	kept := q.records[:0]
	for _, r := range q.records[q.head:] {
		if r.buf != nil {
			kept = append(kept, r)
		}
	}
	clear(q.records[len(kept):])
	q.records, q.head, q.removed, q.oldest = kept, 0, 0, 0
	if q.newest != nil {
		clear(q.newest)
		for i := range q.records {
			if r := &q.records[i]; r.flags&newest != 0 {
				q.newest[r.key] = i
			}
		}
	}
}

// peek appends up to limit pieces to iov, neighbours in one chunk joined. They are valid until the
// next push or discard.
func (q *backlog) peek(iov [][]byte, limit int) [][]byte {
	var prev *record
	for i := q.head; i < len(q.records); i++ {
		r := &q.records[i]
		if r.buf == nil {
			continue
		}
		if prev != nil && prev.buf == r.buf && prev.end == r.off {
			last := &iov[len(iov)-1]
			*last = (*last)[:len(*last)+int(r.end-r.off)]
		} else {
			if len(iov) == limit {
				break
			}
			iov = append(iov, r.buf.B[r.off:r.end])
		}
		prev = r
	}
	return iov
}

// discard takes n written bytes from the front and returns how many messages that completed.
func (q *backlog) discard(n int) (messages int) {
	for q.skipRemoved(); n > 0; q.skipRemoved() {
		r := &q.records[q.head]
		q.begin(q.head)
		size := int(r.end - r.off)
		if n < size {
			r.off += uint32(n)
			q.disown(r, n, false)
			q.partial = true
			return messages
		}
		n -= size
		q.partial = r.flags&continued != 0
		if !q.partial {
			messages++
		}
		q.disown(r, size, true)
		r.buf.Release()
		*r = record{}
		q.head++
	}
	return messages
}

// begin notes that bytes of the message whose record stands at i are on the wire:
// it can't be taken out any more.
func (q *backlog) begin(i int) {
	for {
		r := &q.records[i]
		if r.flags&newest != 0 && q.newest[r.key] == i {
			delete(q.newest, r.key)
		}
		r.flags &^= Droppable | newest
		r.key = 0
		if r.flags&continued == 0 {
			return
		}
		i++
	}
}

func (q *backlog) skipRemoved() {
	for q.head < len(q.records) && q.records[q.head].buf == nil {
		q.head++
		q.removed--
	}
}

// free returns all memory; q must not be used afterwards.
func (q *backlog) free() {
	for i := q.head; i < len(q.records); i++ {
		if b := q.records[i].buf; b != nil {
			b.Release()
		}
	}
	if q.chunk != nil {
		q.chunk.Release()
		q.chunk = nil
	}
	q.head, q.partial, q.removed, q.oldest, q.newest = 0, false, 0, 0, nil
	q.ownBytes, q.ownMessages = 0, 0
	if cap(q.records) > recordsKeep {
		q.records = nil
	}
	clear(q.records)
	q.records = q.records[:0]
	backlogPool.Put(q)
}
