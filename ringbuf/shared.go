package ringbuf

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Shared is a counted reference to bytes that several queues, perhaps of several loops, send. B is
// written by its maker before the first hand-over and is immutable from then on. Retain and Release
// may be called by any goroutine.
type Shared struct {
	B    []byte
	refs atomic.Int32
	// fresh: it was made while FreshShared was on.
	fresh bool
	// records counts those of the backlog whose chunk this is, and which has its one reference.
	// Loop only.
	records int32
	done    func() // of a paid one
}

// Buffers are pooled by size. One pool for all sizes would hand out, for a message of one byte, a
// buffer as large as the largest that ever was: a client that sent large ones first could make what
// it sends afterwards hold many times what it is charged for. Four sizes for each power of two: a
// buffer is at most a quarter larger than what it was asked for, but for the smallest.
const (
	sizeMinBits = 6  // 64 bytes
	sizeMaxBits = 20 // 1 MiB; larger ones are left to the garbage collector
)

var sharedPools [(sizeMaxBits-sizeMinBits)*4 + 1]sync.Pool

// sizeClass is the index of the first pool whose buffers hold n bytes; past the last one when none
// does.
func sizeClass(n int) int {
	if n <= 1<<sizeMinBits {
		return 0
	}
	octave := bits.Len(uint(n-1)) - 1
	return (octave-sizeMinBits)*4 + (n-1-1<<octave)>>(octave-2) + 1
}

// classSize is the capacity, in bytes, of the buffers in a pool.
func classSize(class int) int {
	if class == 0 {
		return 1 << sizeMinBits
	}
	octave := (class-1)/4 + sizeMinBits
	return 1<<octave + ((class-1)%4+1)<<(octave-2)
}

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
// does must depend on nothing that ran before it. Buffers that are given back are overwritten
// meanwhile, so that a use after release is seen. Not while another goroutine makes or releases
// one.
func FreshShared(on bool) { fresh = on }

// NewShared returns an empty buffer with room for n bytes and one reference, owned by the caller.
// More may be appended to it, but what is larger than was asked for is not pooled again.
func NewShared(n int) *Shared {
	class := sizeClass(n)
	var s *Shared
	if class < len(sharedPools) && !fresh {
		s, _ = sharedPools[class].Get().(*Shared)
	}
	if s == nil {
		if class < len(sharedPools) {
			n = classSize(class)
		}
		s = &Shared{B: make([]byte, 0, n), fresh: fresh}
	}
	s.refs.Store(1)
	if tracked != nil {
		tracked.Add(1)
	}
	return s
}

// NewPaid returns a buffer around b with one reference, owned by the caller, for whose memory the
// caller answers and no Outbound that refers to it: see Outbound.PaidBytes. Whoever gives the last
// reference back calls done, on its goroutine; b is the caller's again then.
func NewPaid(b []byte, done func()) *Shared {
	s := &Shared{B: b, done: done}
	s.refs.Store(1)
	if tracked != nil {
		tracked.Add(1)
	}
	return s
}

// paid says that somebody answers for the memory.
func (s *Shared) paid() bool { return s.done != nil }

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
	if s.paid() {
		s.done()
		return
	}
	if s.fresh {
		b := s.B[:cap(s.B)]
		for i := range b {
			b[i] = 0xdb
		}
		return
	}
	class := sizeClass(cap(s.B))
	if class < len(sharedPools) && classSize(class) == cap(s.B) {
		s.B = s.B[:0]
		sharedPools[class].Put(s)
	}
}
