package ringbuf

import "slices"

// DropOldest takes the oldest droppable message that has not begun to leave out of the backlog. ok
// is false when there is none.
func (o *Outbound) DropOldest() (ok bool) {
	q := o.backlog
	if q == nil {
		return false
	}
	for i := max(q.oldest, q.head); i < len(q.records); i++ {
		if r := &q.records[i]; r.buf != nil && r.flags&Droppable != 0 {
			q.oldest = i + 1
			o.bytes -= q.remove(i)
			o.messages--
			return true
		}
	}
	q.oldest = len(q.records)
	return false
}

// Cancel takes the message with the given key out of the backlog, unless it has begun to leave. It
// looks at every record: for rare use.
func (o *Outbound) Cancel(key uint64) (ok bool) {
	q := o.backlog
	if q == nil {
		return false
	}
	for i := q.head; i < len(q.records); i++ {
		if r := &q.records[i]; r.buf != nil && r.key == key {
			o.bytes -= q.remove(i)
			o.messages--
			return true
		}
	}
	return false
}

// PushFront copies a protected message of the caller's own in front of everything that has not
// begun to leave.
func (o *Outbound) PushFront(p []byte) {
	q := o.backlog
	q.push(p, 0, 0)
	r := q.records[len(q.records)-1]
	q.records = q.records[:len(q.records)-1]
	at := q.head
	for ; q.partial && at < len(q.records); at++ { // behind the message that has begun
		if r := &q.records[at]; r.buf != nil && r.flags&continued == 0 {
			at++
			break
		}
	}
	q.records = slices.Insert(q.records, at, r)
	q.oldest = 0
	for key, i := range q.newest {
		if i >= at {
			q.newest[key] = i + 1
		}
	}
	o.bytes += len(p)
	o.messages++
}

// Replaced returns how many messages were taken out since the last call because a newer one with
// their key came.
func (o *Outbound) Replaced() int {
	n := o.replaced
	o.replaced = 0
	return int(n)
}

// removeKey takes out the newest message with the key and returns its size.
func (q *backlog) removeKey(key uint64) (size int, ok bool) {
	i, ok := q.newest[key]
	if !ok {
		return 0, false
	}
	delete(q.newest, key)
	return q.remove(i), true
}

// noteNewest remembers the message just pushed as the newest with its key.
func (q *backlog) noteNewest(key uint64) {
	i := len(q.records) - 1
	for i > q.head && q.records[i-1].buf != nil && q.records[i-1].flags&continued != 0 {
		i--
	}
	q.newest[key] = i
}

// remove takes out the message whose first record stands at i and returns its size in bytes.
func (q *backlog) remove(i int) (size int) {
	for {
		r := &q.records[i]
		more := r.flags&continued != 0
		size += int(r.end - r.off)
		if r.flags&newest != 0 && q.newest[r.key] == i {
			delete(q.newest, r.key)
		}
		q.disown(r, int(r.end-r.off), true)
		r.buf.Release()
		*r = record{}
		q.removed++
		if !more {
			return size
		}
		i++
	}
}
