package ringbuf

import (
	"fmt"
	"testing"
)

// BenchmarkOutboundAppend is one frame of a burst for one connection: its share of encoding and
// flushing included.
func BenchmarkOutboundAppend(b *testing.B) {
	turn, sock, p := NewTurn(), &sink{}, make([]byte, 128)
	var o Outbound
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		o.Append(turn, turn.put(0, p))
		if n%64 == 63 {
			_, _ = o.Flush(turn, sock, false)
			turn.Reset()
		}
	}
}

func BenchmarkOutboundFlush(b *testing.B) {
	for _, runs := range []int{1, 4, 64} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			turn, sock, p := NewTurn(), &sink{}, make([]byte, 128)
			var o Outbound
			var frames []Frame
			for n := range runs {
				frames = append(frames, turn.put(n%FramesCount, p))
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, f := range frames {
					o.Append(turn, f)
				}
				_, _ = o.Flush(turn, sock, false)
			}
		})
	}
}

// BenchmarkBacklog is one frame that waits for its socket.
func BenchmarkBacklog(b *testing.B) {
	q, p := newBacklog(), make([]byte, 128)
	for range 100 {
		q.push(p, 0, 0)
	}
	var iov [][]byte
	b.ReportAllocs()
	for b.Loop() {
		q.push(p, 0, 0)
		iov = q.peek(iov[:0], 4)
		q.discard(len(p))
	}
	q.free()
}

// stalled returns an Outbound whose socket takes nothing: n messages of 100 bytes wait.
func stalled(turn *Turn, n int, flags Flags) *Outbound {
	o := new(Outbound)
	for i := range n {
		o.AppendNewest(turn, frameOf(turn, 100, flags, uint64(i+1)*keySpread|1))
		if i%1000 == 0 {
			_, _ = o.Flush(turn, &sink{full: true}, false)
			turn.Reset()
		}
	}
	_, _ = o.Flush(turn, &sink{full: true}, false)
	turn.Reset()
	return o
}

const keySpread = 0x9e3779b97f4a7c15

func frameOf(turn *Turn, n int, flags Flags, key uint64) Frame {
	g := &turn.Frames[0]
	start := len(g.B)
	g.B = append(g.B, zeros[:n]...)
	return g.Commit(start, flags, key)
}

var zeros [4096]byte

// The benchmarks of a stalled connection are of one message each, on a ring with 10,000 others.
const waitingHere = 10000

func BenchmarkStalledAppend(b *testing.B) {
	turn := NewTurn()
	o := stalled(turn, waitingHere, 0)
	taker := &sink{}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		o.Append(turn, frameOf(turn, 100, Droppable, 0))
		turn.Reset()
		if n%waitingHere == 0 {
			_, _ = o.Flush(turn, taker, true)
			o.Append(turn, frameOf(turn, 100, Droppable, 0))
			_, _ = o.Flush(turn, &sink{full: true}, true)
			turn.Reset()
		}
	}
	o.Release(turn)
}

func BenchmarkStalledDropOldest(b *testing.B) {
	for _, protected := range []int{0, 100} {
		b.Run(fmt.Sprintf("protected=%d", protected), func(b *testing.B) {
			turn := NewTurn()
			o := stalled(turn, waitingHere, Droppable)
			for range protected {
				o.PushFront(zeros[:100])
			}
			b.ReportAllocs()
			for b.Loop() {
				o.DropOldest()
				o.Append(turn, frameOf(turn, 100, Droppable, 0))
				turn.Reset()
			}
			o.Release(turn)
		})
	}
}

func BenchmarkStalledCancel(b *testing.B) {
	turn := NewTurn()
	o := stalled(turn, waitingHere, 0)
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		o.Append(turn, frameOf(turn, 100, 0, (n+waitingHere+1)*keySpread|1))
		turn.Reset()
		o.Cancel((n+waitingHere/2)*keySpread | 1)
	}
	o.Release(turn)
}

func BenchmarkStalledConflate(b *testing.B) {
	for _, size := range []int{100, 1900, 3900} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			turn := NewTurn()
			o := stalled(turn, waitingHere, Droppable)
			b.ReportAllocs()
			for n := uint64(0); b.Loop(); n++ {
				o.AppendNewest(turn, frameOf(turn, size, Droppable, (n%1000+1)*keySpread|1))
				turn.Reset()
			}
			o.Release(turn)
		})
	}
}
