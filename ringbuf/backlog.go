package ringbuf

import "sync"

// record is one piece of a message in a backlog: a range of a buffer that it holds a reference to.
type record struct {
	buf      *Shared
	off, end uint32
	flags    Flags
}

// backlog is what a socket has not taken: records in order, small frames in chunks of the connection's own, large
// bodies as references. Loop only.
type backlog struct {
	records []record
	head    int
	chunk   *Shared // where the next small frame is copied to; nil or held by one reference of the backlog's own
}

// chunkSize is how much of a chunk is filled, in bytes. A frame larger than that has a chunk of its own.
const chunkSize = 16 << 10

// recordsKeep is the capacity that a pooled backlog may keep.
const recordsKeep = 1024

var backlogPool = sync.Pool{New: func() any { return new(backlog) }}

func newBacklog() *backlog { return backlogPool.Get().(*backlog) }

func (q *backlog) empty() bool { return q.head == len(q.records) }

// push copies p to the end.
func (q *backlog) push(p []byte, flags Flags) {
	if q.chunk != nil && len(q.chunk.B)+len(p) > chunkSize {
		q.chunk.Release()
		q.chunk = nil
	}
	if q.chunk == nil {
		q.chunk = NewShared()
	}
	c := q.chunk
	off := len(c.B)
	c.B = append(c.B, p...)
	c.Retain(1)
	q.append(record{buf: c, off: uint32(off), end: uint32(len(c.B)), flags: flags})
}

// pushShared takes over one reference to body, of which the first skip bytes are already written.
func (q *backlog) pushShared(body *Shared, skip int, flags Flags) {
	q.append(record{buf: body, off: uint32(skip), end: uint32(len(body.B)), flags: flags})
}

func (q *backlog) append(r record) {
	if q.head > 64 && q.head > len(q.records)/2 {
		n := copy(q.records, q.records[q.head:])
		clear(q.records[n:])
		q.records, q.head = q.records[:n], 0
	}
	q.records = append(q.records, r)
}

// peek appends up to limit pieces to iov, neighbours in one chunk joined. They are valid until the next push or discard.
func (q *backlog) peek(iov [][]byte, limit int) [][]byte {
	var prev *record
	for i := q.head; i < len(q.records); i++ {
		r := &q.records[i]
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
	for n > 0 {
		r := &q.records[q.head]
		size := int(r.end - r.off)
		if r.flags&continued != 0 {
			q.records[q.head+1].flags &^= Droppable // the same message
		}
		if n < size {
			r.off += uint32(n)
			r.flags &^= Droppable // its beginning is on the wire
			return messages
		}
		n -= size
		if r.flags&continued == 0 {
			messages++
		}
		r.buf.Release()
		*r = record{}
		q.head++
	}
	return messages
}

// free returns all memory; q must not be used afterwards.
func (q *backlog) free() {
	for i := q.head; i < len(q.records); i++ {
		q.records[i].buf.Release()
	}
	if q.chunk != nil {
		q.chunk.Release()
		q.chunk = nil
	}
	q.head = 0
	if cap(q.records) > recordsKeep {
		q.records = nil
	}
	clear(q.records)
	q.records = q.records[:0]
	backlogPool.Put(q)
}
