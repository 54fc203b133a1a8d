package ringbuf

// DropOldest takes the oldest droppable message that has not begun to leave out of the backlog. ok
// is false when there is none.
func (o *Outbound) DropOldest() (ok bool) {
	q := o.backlog
	if q == nil {
		return false
	}
	for ; q.oldest != q.tail; q.oldest++ {
		if q.at(q.oldest).flags&Droppable != 0 {
			o.remove(q.oldest, Oldest)
			return true
		}
	}
	return false
}

// Cancel takes the protected message with the given key out of the backlog, unless it has begun to
// leave. No two protected messages of one Outbound may have the same key, nor that of a droppable
// one. O(1).
func (o *Outbound) Cancel(key uint64) (ok bool) {
	q := o.backlog
	if q == nil {
		return false
	}
	slot, ok := q.index.find(q.slots, key)
	if ok {
		o.remove(slot, Cancelled) // a slot is a position, too
	}
	return ok
}

// PushFront copies a protected message of the caller's own, of at most 8 KiB, in front of
// everything that has not begun to leave.
func (o *Outbound) PushFront(p []byte) {
	q := o.backlog
	begun := 0 // records of the message that has begun
	if q.partial {
		for begun = 1; q.at(q.head+uint32(begun)-1).flags&continued != 0; {
			begun++
		}
	}
	r := q.pushFront(begun)
	q.place(r, p, 0)
	r.key, r.tag = 0, 0
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

// replace takes out the newest message with the key, if there is one.
func (o *Outbound) replace(key uint64) {
	q := o.backlog
	if slot, ok := q.index.find(q.slots, key); ok {
		o.remove(slot, Replaced)
		o.replaced++
	}
}

// remove takes out, for a reason, the message whose first record stands at p.
func (o *Outbound) remove(p uint32, why Outcome) {
	q := o.backlog
	for more := true; more; p++ {
		more = q.at(p).flags&continued != 0
		o.bytes -= q.drop(p, why)
	}
	o.messages--
	q.skipZero()
	q.settle()
}

// Expel takes those droppable messages that have not begun to leave out of the backlog of which
// drop says so. It is given the beginning of each, as much as scratch has room for. It returns how
// many that were. The turn's own frames are not looked at: flush before.
func (o *Outbound) Expel(scratch []byte, drop func(begin []byte) bool) (count int) {
	q := o.backlog
	if q == nil {
		return 0
	}
	inside := q.partial // p stands inside of a message
	for p := q.head; p != q.tail; p++ {
		r := q.at(p)
		if r.buf == nil {
			continue
		}
		first := !inside
		inside = r.flags&continued != 0
		if !first || r.flags&Droppable == 0 || !drop(q.beginning(scratch[:0], p)) {
			continue
		}
		for more := true; more; p++ {
			more = q.at(p).flags&continued != 0
			o.bytes -= q.drop(p, Expelled)
		}
		p--
		inside = false
		o.messages--
		count++
	}
	q.skipZero()
	q.settle()
	return count
}

// beginning appends the first bytes of the message at p, as much as dst has room for.
func (q *backlog) beginning(dst []byte, p uint32) []byte {
	for more := true; more && len(dst) < cap(dst); p++ {
		r := q.at(p)
		b := r.buf.B[r.off:r.end]
		dst = append(dst, b[:min(len(b), cap(dst)-len(dst))]...)
		more = r.flags&continued != 0
	}
	return dst
}
