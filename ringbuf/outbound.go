package ringbuf

import "errors"

// Limits bound one connection's egress: what is encoded for it in this turn and what its socket has
// not taken yet.
type Limits struct {
	Bytes    int
	Messages int
}

// span is a run of neighbours in one Frames, or the prefix of one message whose body is shared.
type span struct {
	start, end uint32 // range in its Frames' bytes
	first      uint32 // index of the first frame of the run
	frames     uint8
	newest     bool    // of each key only the newest message matters while the socket is behind
	body       *Shared // nil, or the message's body: it follows the prefix
}

// Writer takes bytes without blocking. A count below the total with a nil error means that the
// socket is full. ErrBehind says so too, of a writer that keeps bytes of which it has counted all.
type Writer interface {
	Write(p []byte) (n int, err error)
	Writev(bufs [][]byte) (n int, err error)
}

// ErrBehind is returned by a writer that has taken what it counted, but whose socket has not: it
// keeps some, and writes it when it is called again, before anything else. It is called again, if
// need be with nothing, when the socket is writable.
var ErrBehind = errors.New("the socket is behind its writer")

// Outbound is one connection's bounded egress. The zero value is empty and ready. Loop only.
type Outbound struct {
	last     span    // the newest run of this turn; empty when end == 0
	more     *[]span // the runs before it; borrowed from the Turn
	backlog  *backlog
	bytes    int // of the turn and the backlog together
	messages uint32
	replaced uint32 // messages taken out because a newer one with their key came
}

// Bytes is what waits to be written, this turn's frames included.
func (o *Outbound) Bytes() int { return o.bytes }

// PaidBytes is how many of those the socket has refused and are in bodies whose memory somebody
// else answers for (NewPaid): they take no room.
func (o *Outbound) PaidBytes() int {
	if o.backlog == nil {
		return 0
	}
	return o.backlog.paid
}

// RoomTaken is the bytes that take room: all that wait but the paid ones.
func (o *Outbound) RoomTaken() int { return o.bytes - o.PaidBytes() }

// Messages counts what waits to be written.
func (o *Outbound) Messages() int { return int(o.messages) }

// OwnBytes is how many bytes of messages with the flag Own the socket has not taken: what the
// connection owes to itself. This turn's frames are not counted before its socket has refused them.
func (o *Outbound) OwnBytes() int {
	if o.backlog == nil {
		return 0
	}
	return o.backlog.ownBytes
}

// OwnMessages counts those messages.
func (o *Outbound) OwnMessages() int {
	if o.backlog == nil {
		return 0
	}
	return o.backlog.ownMessages
}

// Held is the memory, in bytes, of what the socket has not taken: buffers and records, with all in
// them that is dead. It is at most twice the bytes that wait and 80 for each record, and 16 KiB
// more; 0 when nothing waits from before this turn. A body counts whole, whoever else refers to it.
func (o *Outbound) Held() int {
	if o.backlog == nil {
		return 0
	}
	return o.backlog.held()
}

// Stalled says that the socket did not take everything: frames go to the backlog until it drains.
func (o *Outbound) Stalled() bool { return o.backlog != nil }

// Empty says that nothing waits to be written, here or in a writer.
func (o *Outbound) Empty() bool { return o.messages == 0 && o.backlog == nil }

// Room says whether a message of size bytes fits into l.
func (o *Outbound) Room(size int, l Limits) bool {
	return int(o.messages) < l.Messages &&
		(o.bytes+size <= l.Bytes || o.RoomTaken()+size <= l.Bytes)
}

// Append takes a frame of this turn. It does not look at limits.
func (o *Outbound) Append(t *Turn, f Frame) { o.append(t, f, false) }

// AppendNewest is Append for a message that makes those before it with the same key worthless:
// while the socket is behind, they are taken out of the backlog. See Replaced.
func (o *Outbound) AppendNewest(t *Turn, f Frame) { o.append(t, f, true) }

func (o *Outbound) append(t *Turn, f Frame, newest bool) {
	size := int(f.end - f.start)
	o.bytes += size
	o.messages++
	if o.last.end == f.start && o.last.end != 0 && o.last.frames == f.frames &&
		o.last.body == nil && o.last.newest == newest {
		o.last.end = f.end // the burst's next frame: the run grows
		return
	}
	if o.backlog != nil {
		g := &t.Frames[f.frames]
		meta := &g.meta[f.index]
		o.keep(g.B[f.start:f.end], nil, 0, meta, newest)
		return
	}
	o.pushSpan(t, span{
		start: f.start, end: f.end, first: f.index, frames: f.frames, newest: newest,
	})
}

// AppendShared takes a message that consists of a prefix encoded in this turn and a shared body. It
// retains body, unless that is empty. newest is as for AppendNewest.
func (o *Outbound) AppendShared(t *Turn, prefix Frame, body *Shared, newest bool) {
	if len(body.B) == 0 {
		o.append(t, prefix, newest)
		return
	}
	body.Retain(1)
	o.bytes += int(prefix.end-prefix.start) + len(body.B)
	o.messages++
	if o.backlog != nil {
		g := &t.Frames[prefix.frames]
		meta := &g.meta[prefix.index]
		o.keep(g.B[prefix.start:prefix.end], body, 0, meta, newest)
		return
	}
	o.pushSpan(t, span{
		start: prefix.start, end: prefix.end, first: prefix.index, frames: prefix.frames,
		newest: newest, body: body,
	})
}

// keep copies a message into the backlog: p, and then body (whose reference it takes over) without
// its first skip bytes. p may be empty when there is a body.
func (o *Outbound) keep(p []byte, body *Shared, skip int, meta *frameMeta, isNewest bool) {
	q := o.backlog
	flags, key := meta.flags, meta.key
	if key != 0 && (isNewest || flags&Droppable == 0) {
		if flags&Droppable != 0 {
			o.replace(key)
		}
		flags |= indexed
	}
	switch {
	case body == nil:
		q.push(p, flags, key)
	case len(p) > 0:
		q.push(p, flags|continued, key)
		flags &^= indexed
		fallthrough
	default:
		q.pushShared(body, skip, flags)
	}
	if meta.tag != 0 {
		q.tag(meta.tag)
	}
}

func (o *Outbound) pushSpan(t *Turn, s span) {
	if o.last.end != 0 {
		if o.more == nil {
			o.more = t.getSpans()
		}
		*o.more = append(*o.more, o.last)
		t.runs++
	}
	o.last = s
}

// Flush writes what waits with as few calls as it can. Before Reset of the turn it must be called
// once for every Outbound that took a frame; what the socket does not take is copied into the
// backlog then. full says that the socket took less than there was: call Flush again when it is
// writable. A stalled Outbound is not written before writable is true. After an error the Outbound
// must only be released.
func (o *Outbound) Flush(t *Turn, w Writer, writable bool) (full bool, err error) {
	if o.backlog != nil {
		if !writable {
			return true, nil
		}
		return o.drain(t, w)
	}
	if o.last.end == 0 {
		return false, nil
	}
	if o.more == nil && o.last.body == nil {
		p := t.bytes(&o.last)
		n, err := w.Write(p)
		if n == len(p) && err == nil {
			if t.tagged {
				o.tellTurn(t, Written)
			}
			o.clearTurn(t)
			return false, nil
		}
		return o.spill(t, n, err)
	}
	return o.flushMany(t, w)
}

// Small runs are cheaper to copy together than to hand to the kernel one by one: the cost of an
// iovec is that of copying a few hundred bytes.
const (
	flatRun = 1 << 10  // mean bytes of a run up to which runs are copied together
	flatMax = 64 << 10 // bytes copied together at once
	iovMax  = 256      // runs handed over at once
)

func (o *Outbound) flushMany(t *Turn, w Writer) (full bool, err error) {
	if o.last.end != 0 {
		o.pushSpan(t, span{})
	}
	runs := *o.more
	written := 0
	for from := 0; from < len(runs); {
		var n, want int
		if o.bytes <= flatMax && o.bytes <= flatRun*len(runs) {
			t.flat = t.flat[:0]
			for i := range runs {
				t.flat = append(t.flat, t.bytes(&runs[i])...)
				if b := runs[i].body; b != nil {
					t.flat = append(t.flat, b.B...)
				}
			}
			from, want = len(runs), len(t.flat)
			n, err = w.Write(t.flat)
		} else {
			t.iov = t.iov[:0]
			for ; from < len(runs) && len(t.iov) < iovMax; from++ {
				p := t.bytes(&runs[from])
				t.iov = append(t.iov, p)
				want += len(p)
				if b := runs[from].body; b != nil {
					t.iov = append(t.iov, b.B)
					want += len(b.B)
				}
			}
			n, err = w.Writev(t.iov)
			clear(t.iov)
		}
		written += n
		if err != nil || n < want {
			return o.spill(t, written, err)
		}
	}
	if t.tagged {
		o.tellTurn(t, Written)
	}
	o.clearTurn(t)
	return false, nil
}

// spill keeps what the socket did not take: the turn's runs without their first written bytes
// become the backlog.
func (o *Outbound) spill(t *Turn, written int, err error) (bool, error) {
	if err != nil && err != ErrBehind {
		return false, err
	}
	o.backlog = newBacklog()
	o.backlog.turn = t
	skip := written
	o.bytes -= written
	if o.more != nil {
		for i := range *o.more {
			skip = o.spillSpan(t, &(*o.more)[i], skip)
		}
		t.putSpans(o.more)
		o.more = nil
	}
	if o.last.end != 0 {
		o.spillSpan(t, &o.last, skip)
	}
	o.last = span{}
	return true, nil
}

// spillSpan moves one run into the backlog, without its first skip bytes,
// and returns how many of those are left.
func (o *Outbound) spillSpan(t *Turn, s *span, skip int) int {
	g := &t.Frames[s.frames]
	at := s.start
	for i := s.first; at < s.end; i++ {
		meta := g.meta[i]
		p := g.B[at:meta.end]
		at = meta.end
		body := s.body
		s.body = nil
		size := len(p)
		if body != nil {
			size += len(body.B)
		}
		if skip >= size {
			skip -= size
			o.messages--
			if body != nil {
				body.Release()
			}
			if meta.tag != 0 {
				t.tell(meta.tag, Written)
			}
			continue
		}
		if skip > 0 {
			meta.flags, meta.key = meta.flags&^Droppable, 0 // its beginning is on the wire
			o.backlog.partial = true
		}
		written := min(skip, len(p))
		o.keep(p[written:], body, skip-written, &meta, s.newest)
		skip = 0
	}
	return skip
}

// drain writes from the backlog after the socket became writable.
func (o *Outbound) drain(t *Turn, w Writer) (full bool, err error) {
	for {
		t.iov = o.backlog.peek(t.iov[:0], iovMax)
		want := 0
		for _, p := range t.iov {
			want += len(p)
		}
		n, err := w.Writev(t.iov)
		clear(t.iov)
		behind := err == ErrBehind
		if err != nil && !behind {
			return false, err
		}
		o.bytes -= n
		o.messages -= uint32(o.backlog.discard(n))
		if o.backlog.empty() && !behind {
			o.backlog.free()
			o.backlog = nil
			return false, nil
		}
		if n < want || behind {
			return true, nil
		}
	}
}

func (o *Outbound) clearTurn(t *Turn) {
	if o.more != nil {
		for i := range *o.more {
			if b := (*o.more)[i].body; b != nil {
				b.Release()
			}
		}
		t.putSpans(o.more)
		o.more = nil
	}
	if o.last.body != nil {
		o.last.body.Release()
	}
	o.last = span{}
	o.bytes, o.messages = 0, 0
}

// Release drops everything and returns its memory: the connection is gone. lost is how many
// messages that were, the one of which a part is written included; a frame with the flag Control is
// none.
func (o *Outbound) Release(t *Turn) (lost int) {
	if o.more != nil {
		for i := range *o.more {
			lost += t.messages(&(*o.more)[i])
		}
	}
	lost += t.messages(&o.last)
	if t.tagged {
		o.tellTurn(t, Lost)
	}
	o.clearTurn(t)
	if o.backlog != nil {
		lost += o.backlog.free()
		o.backlog = nil
	}
	return lost
}
