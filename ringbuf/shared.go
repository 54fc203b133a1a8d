package ringbuf

import (
	"sync"
	"sync/atomic"

	"github.com/valyala/bytebufferpool"
)

// Shared is a counted reference to bytes that several queues, perhaps of several loops, send. B is
// written by its maker before the first hand-over and is immutable from then on. Retain and Release
// may be called by any goroutine.
type Shared struct {
	B    []byte
	refs atomic.Int32
	buf  *bytebufferpool.ByteBuffer
}

var sharedPool = sync.Pool{New: func() any { return new(Shared) }}

// tracked counts the live buffers; nil outside of tests.
var tracked *atomic.Int64

// TrackShared counts, from here on, the buffers that are made and not yet given back: for tests
// that hold leaks at zero. Call it before any goroutine makes one.
func TrackShared() (live func() int64) {
	tracked = new(atomic.Int64)
	return tracked.Load
}

// fresh says that no buffer is used twice; false outside of tests.
var fresh bool

// FreshShared makes every buffer anew, or pools them again: for simulations, in which what a run
// does must depend on nothing that ran before it, the capacity of a pooled buffer included. Buffers
// that are given back are overwritten meanwhile, so that a use after release is seen. Not while
// another goroutine makes or releases one.
func FreshShared(on bool) { fresh = on }

// NewShared returns an empty pooled buffer with one reference, owned by the caller.
func NewShared() *Shared {
	s := sharedPool.Get().(*Shared)
	if s.buf = nil; !fresh {
		s.buf = bytebufferpool.Get()
		s.B = s.buf.B[:0]
	}
	s.refs.Store(1)
	if tracked != nil {
		tracked.Add(1)
	}
	return s
}

// Retain adds n references; the caller must hold one already.
func (s *Shared) Retain(n int) { s.refs.Add(int32(n)) }

// Release gives one reference back; the last one returns the memory to its pool. Using s afterwards
// is a bug, and a release too many panics rather than corrupt another connection's bytes.
func (s *Shared) Release() {
	switch n := s.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("ringbuf: Shared released more often than retained")
	}
	if tracked != nil {
		tracked.Add(-1)
	}
	if s.buf == nil {
		b := s.B[:cap(s.B)]
		for i := range b {
			b[i] = 0xdb
		}
		return
	}
	s.buf.B = s.B
	bytebufferpool.Put(s.buf)
	s.B, s.buf = nil, nil
	sharedPool.Put(s)
}
