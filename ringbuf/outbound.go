package ringbuf

// Limits bound one connection's egress: what is encoded for it in this turn and what its socket has not taken yet.
type Limits struct {
	Bytes    int
	Messages int
}

// span is a run of neighbouring frames of one log, or the prefix of one message whose body is shared.
type span struct {
	start, end uint32 // range in the log
	first      uint32 // index of the first frame of the run in its log
	log        uint8
	body       *Shared // nil, or the message's body: it follows the prefix
}

// Writer takes bytes without blocking. A count below the total with a nil error means that the socket is full.
type Writer interface {
	Write(p []byte) (n int, err error)
	Writev(bufs [][]byte) (n int, err error)
}

// Outbound is one connection's bounded egress. The zero value is empty and ready. Loop only.
type Outbound struct {
	last     span   // the newest run of this turn; empty when end == 0
	more     []span // the runs before it; borrowed from the Turn
	backlog  *backlog
	bytes    int // of the turn and the backlog together
	messages int
}

// Bytes is what waits to be written, this turn's frames included.
func (o *Outbound) Bytes() int { return o.bytes }

// Messages counts what waits to be written.
func (o *Outbound) Messages() int { return o.messages }

// Stalled says that the socket did not take everything: frames go to the backlog until it drains.
func (o *Outbound) Stalled() bool { return o.backlog != nil }

// Empty says that nothing waits to be written.
func (o *Outbound) Empty() bool { return o.messages == 0 }

// Room says whether a message of size bytes fits into l.
func (o *Outbound) Room(size int, l Limits) bool {
	return o.bytes+size <= l.Bytes && o.messages < l.Messages
}

// Append takes a frame of this turn. It does not look at limits.
func (o *Outbound) Append(t *Turn, f Frame) {
	size := int(f.end - f.start)
	o.bytes += size
	o.messages++
	if o.last.end == f.start && o.last.log == f.log && o.last.body == nil && o.last.end != 0 {
		o.last.end = f.end // the burst's next frame: the run grows
		return
	}
	if o.backlog != nil {
		l := &t.Logs[f.log]
		o.backlog.push(l.B[f.start:f.end], l.frames[f.index].flags)
		return
	}
	o.pushSpan(t, span{start: f.start, end: f.end, first: f.index, log: f.log})
}

// AppendShared takes a message that consists of a prefix encoded in this turn and a shared body. It retains body, unless
// that is empty.
func (o *Outbound) AppendShared(t *Turn, prefix Frame, body *Shared) {
	if len(body.B) == 0 {
		o.Append(t, prefix)
		return
	}
	body.Retain(1)
	o.bytes += int(prefix.end-prefix.start) + len(body.B)
	o.messages++
	if o.backlog != nil {
		l := &t.Logs[prefix.log]
		flags := l.frames[prefix.index].flags
		o.backlog.push(l.B[prefix.start:prefix.end], flags|continued)
		o.backlog.pushShared(body, 0, flags)
		return
	}
	o.pushSpan(t, span{start: prefix.start, end: prefix.end, first: prefix.index, log: prefix.log, body: body})
}

func (o *Outbound) pushSpan(t *Turn, s span) {
	if o.last.end != 0 {
		if o.more == nil {
			o.more = t.getSpans()
		}
		o.more = append(o.more, o.last)
	}
	o.last = s
}

// Flush writes what waits with as few calls as it can. Before Reset of the turn it must be called once for every
// Outbound that took a frame; what the socket does not take is copied into the backlog then. full says that the socket
// took less than there was: call Flush again when it is writable. A stalled Outbound is not written before writable is
// true. After an error the Outbound must only be released.
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
			o.clearTurn(t)
			return false, nil
		}
		return o.spill(t, n, err)
	}
	return o.flushMany(t, w)
}

// Small runs are cheaper to copy together than to hand to the kernel one by one: the cost of an iovec is that of
// copying a few hundred bytes.
const (
	flatRun = 1 << 10  // mean bytes of a run up to which runs are copied together
	flatMax = 64 << 10 // bytes copied together at once
	iovMax  = 256      // runs handed over at once
)

func (o *Outbound) flushMany(t *Turn, w Writer) (full bool, err error) {
	if o.last.end != 0 {
		o.more = append(o.moreOr(t), o.last)
		o.last = span{}
	}
	written := 0
	for from := 0; from < len(o.more); {
		var n, want int
		if o.bytes <= flatMax && o.bytes <= flatRun*len(o.more) {
			t.flat = t.flat[:0]
			for i := range o.more {
				t.flat = append(t.flat, t.bytes(&o.more[i])...)
				if b := o.more[i].body; b != nil {
					t.flat = append(t.flat, b.B...)
				}
			}
			from, want = len(o.more), len(t.flat)
			n, err = w.Write(t.flat)
		} else {
			t.iov = t.iov[:0]
			for ; from < len(o.more) && len(t.iov) < iovMax; from++ {
				p := t.bytes(&o.more[from])
				t.iov = append(t.iov, p)
				want += len(p)
				if b := o.more[from].body; b != nil {
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
	o.clearTurn(t)
	return false, nil
}

func (o *Outbound) moreOr(t *Turn) []span {
	if o.more == nil {
		return t.getSpans()
	}
	return o.more
}

// spill keeps what the socket did not take: the turn's runs without their first written bytes become the backlog.
func (o *Outbound) spill(t *Turn, written int, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	q := newBacklog()
	skip := written
	keep := func(s *span) {
		frames := t.Logs[s.log].frames
		at := s.start
		flags := Flags(0)
		for i := s.first; at < s.end; i++ {
			meta := frames[i]
			p := t.Logs[s.log].B[at:meta.end]
			at = meta.end
			flags = meta.flags
			if skip > 0 {
				flags &^= Droppable // its beginning is on the wire
			}
			switch {
			case skip >= len(p):
				skip -= len(p)
				if s.body == nil {
					o.messages--
				}
			case s.body != nil:
				q.push(p[skip:], flags|continued)
				skip = 0
			default:
				q.push(p[skip:], flags)
				skip = 0
			}
		}
		if s.body == nil {
			return
		}
		if skip >= len(s.body.B) {
			skip -= len(s.body.B)
			o.messages--
			s.body.Release()
		} else {
			q.pushShared(s.body, skip, flags)
			skip = 0
		}
		s.body = nil
	}
	for i := range o.more {
		keep(&o.more[i])
	}
	if o.last.end != 0 {
		keep(&o.last)
	}
	o.bytes -= written
	if o.more != nil {
		t.putSpans(o.more)
		o.more = nil
	}
	o.last = span{}
	o.backlog = q
	return true, nil
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
		if err != nil {
			return false, err
		}
		o.bytes -= n
		o.messages -= o.backlog.discard(n)
		if o.backlog.empty() {
			o.backlog.free()
			o.backlog = nil
			return false, nil
		}
		if n < want {
			return true, nil
		}
	}
}

func (o *Outbound) clearTurn(t *Turn) {
	if o.more != nil {
		for i := range o.more {
			if b := o.more[i].body; b != nil {
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

// Release drops everything and returns its memory: the connection is gone.
func (o *Outbound) Release(t *Turn) {
	o.clearTurn(t)
	if o.backlog != nil {
		o.backlog.free()
		o.backlog = nil
	}
}
