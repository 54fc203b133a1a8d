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
