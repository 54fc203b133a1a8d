package ringbuf

// Flags describe one frame, intrinsically: the same for every connection it goes to.
type Flags uint8

const (
	// Droppable frames may be refused or taken out again when a backlog is full.
	// All others are protected.
	Droppable Flags = 1 << iota
	// Own marks what the connection owes to itself: a protected answer to something it sent. See
	// Outbound.OwnBytes.
	Own
	// Control marks a frame that is no message to its receiver: nobody misses it.
	Control
	// continued frames have their next part in a Shared body that belongs to the same message.
	continued
	// indexed marks the first record of a message that is found by its key: so that a newer one
	// replaces it, or to be cancelled.
	indexed
	// inChunk marks a record whose bytes stand in a chunk of its backlog's own.
	inChunk
)

// frameMeta is where a frame ends in its Frames, and what it is.
type frameMeta struct {
	key   uint64
	end   uint32
	flags Flags
	tag   Tag
}

// Frames is a turn's frames of one wire form: an append-only run of encoded bytes. It lives for one
// turn and is empty between turns; no Outbound refers to it after its Flush. Loop only.
type Frames struct {
	// B holds the encoded frames. Encode by appending to it, then Commit.
	B    []byte
	id   uint8
	meta []frameMeta
}

// Frame is one committed frame of a Frames: valid until the end of the turn.
type Frame struct {
	start, end uint32
	index      uint32
	frames     uint8
}

// Size is the frame's length in bytes.
func (f Frame) Size() int { return int(f.end - f.start) }

// Commit turns what was appended to B since the offset start (len(B) before encoding) into a frame.
// A key other than 0 lets a backlog find the message again: see AppendNewest and Cancel.
func (f *Frames) Commit(start int, flags Flags, key uint64) Frame {
	end := uint32(len(f.B))
	f.meta = append(f.meta, frameMeta{key: key, end: end, flags: flags})
	return Frame{start: uint32(start), end: end, index: uint32(len(f.meta) - 1), frames: f.id}
}

// framesKeep is the capacity, in bytes, that a Frames keeps from one turn to the next.
const framesKeep = 1 << 20

func (f *Frames) reset() {
	if cap(f.B) > framesKeep {
		f.B, f.meta = nil, nil
		return
	}
	f.B, f.meta = f.B[:0], f.meta[:0]
}

// FramesCount is the number of Frames in a Turn.
const FramesCount = 5

// Turn is what a loop gathers during one turn: its frames and the scratch space of its flushes.
// Which Frames holds what is the caller's choice; what the same connections take one after the
// other belongs in one, where it lies side by side and leaves as one piece. Loop only.
type Turn struct {
	Frames [FramesCount]Frames
	Told   []Told // what became of tagged messages
	tagged bool   // some frame of this turn is
	runs   int    // that connections have noted beside their last one
	spare  []*[]span
	spares int // room for spans in them
	iov    [][]byte
	flat   []byte
}

// NewTurn returns an empty turn.
func NewTurn() *Turn {
	t := new(Turn)
	for i := range t.Frames {
		t.Frames[i].id = uint8(i)
	}
	return t
}

// Len is how much this turn has gathered: bytes that were encoded, and one for each run that a
// connection had to note beside its last, because the frames that it takes are no neighbours. With
// a bound of it, a turn's memory is bounded, in which many connections take every other frame.
func (t *Turn) Len() int {
	n := t.runs
	for i := range t.Frames {
		n += len(t.Frames[i].B)
	}
	return n
}

// Reset forgets the turn's frames. Every Outbound that took one of them must have been flushed or
// released.
func (t *Turn) Reset() {
	t.runs, t.tagged = 0, false
	for i := range t.Frames {
		t.Frames[i].reset()
	}
}

func (t *Turn) bytes(s *span) []byte { return t.Frames[s.frames].B[s.start:s.end] }

// messages counts the frames of a run that are messages.
func (t *Turn) messages(s *span) (n int) {
	f := &t.Frames[s.frames]
	for i, at := s.first, s.start; at < s.end; i++ {
		if f.meta[i].flags&Control == 0 {
			n++
		}
		at = f.meta[i].end
	}
	return n
}

func (t *Turn) getSpans() *[]span {
	if n := len(t.spare); n > 0 {
		s := t.spare[n-1]
		t.spare[n-1] = nil // it may never come back
		t.spare = t.spare[:n-1]
		t.spares -= cap(*s)
		return s
	}
	s := make([]span, 0, 16)
	return &s
}

// sparesMax bounds the room for spans, in spans of some 24 bytes, that is kept for reuse in all
// slices together, spanKeep that in each.
const (
	sparesMax = 32 << 10
	spanKeep  = 1024
)

func (t *Turn) putSpans(s *[]span) {
	clear(*s)
	if n := cap(*s); n <= spanKeep && t.spares+n <= sparesMax {
		*s = (*s)[:0]
		t.spare = append(t.spare, s)
		t.spares += n
	}
}
