package ringbuf

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// dripWriter takes as many bytes as it has room for.
type dripWriter struct {
	room int
	out  []byte
}

func (w *dripWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	w.room -= n
	w.out = append(w.out, p[:n]...)
	return n, nil
}

func (w *dripWriter) Writev(bufs [][]byte) (total int, err error) {
	for _, b := range bufs {
		n, _ := w.Write(b)
		if total += n; n < len(b) {
			break
		}
	}
	return total, nil
}

// A paid body takes no room while it waits, however much of it is written, and its maker hears of
// its end exactly once: when it is written, or when the connection goes.
func TestPaidBodies(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		turn, w := NewTurn(), &dripWriter{}
		var o Outbound
		var sent []byte
		made, done := 0, 0
		written := func() int { return len(w.out) }
		type body struct{ from, to int }
		var paid []body // where they stand in what is sent
		for range 30 {
			for range random.IntN(4) {
				g := &turn.Frames[0]
				start := len(g.B)
				g.B = append(g.B, bytes.Repeat([]byte{'h'}, 1+random.IntN(50))...)
				sent = append(sent, g.B[start:]...)
				f := g.Commit(start, 0, 0)
				if random.IntN(2) == 0 {
					o.Append(turn, f)
					continue
				}
				b := bytes.Repeat([]byte{'b'}, 1+random.IntN(500))
				made++
				s := NewPaid(b, func() { done++ })
				paid = append(paid, body{len(sent), len(sent) + len(b)})
				sent = append(sent, b...)
				o.AppendShared(turn, f, s, false)
				s.Release()
			}
			w.room = random.IntN(600)
			if _, err := o.Flush(turn, w, true); err != nil {
				t.Fatal(err)
			}
			turn.Reset()
			want, left := 0, 0
			for _, b := range paid {
				if waits := b.to - max(b.from, written()); waits > 0 {
					want += waits
					left++
				}
			}
			if o.PaidBytes() != want || o.RoomTaken() != len(sent)-written()-want ||
				o.Bytes() != len(sent)-written() || made-done != left {
				t.Fatalf("seed %d: %d of %d bytes are paid, want %d; %d of %d bodies, want %d",
					seed, o.PaidBytes(), o.Bytes(), want, made-done, made, left)
			}
			if n := o.Bytes() - want; !o.Room(10, Limits{n + 10, 1000}) ||
				o.Room(10, Limits{n + 9, 1000}) {
				t.Fatalf("seed %d: room is not what is left of it", seed)
			}
		}
		if seed%2 == 0 {
			w.room = len(sent)
			if _, err := o.Flush(turn, w, true); err != nil || !bytes.Equal(w.out, sent) {
				t.Fatalf("seed %d: something else was written: %v", seed, err)
			}
		}
		o.Release(turn)
		if done != made || o.PaidBytes() != 0 {
			t.Fatalf("seed %d: %d of %d bodies have ended", seed, done, made)
		}
	}
}
