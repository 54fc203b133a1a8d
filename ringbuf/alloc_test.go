package ringbuf

import "testing"

// sink takes everything without keeping it.
type sink struct{ full bool }

func (s *sink) Write(p []byte) (int, error) {
	if s.full {
		return 0, nil
	}
	return len(p), nil
}

func (s *sink) Writev(bufs [][]byte) (total int, err error) {
	for _, b := range bufs {
		n, _ := s.Write(b)
		total += n
	}
	return total, nil
}

func (t *Turn) put(frames int, p []byte) Frame {
	g := &t.Frames[frames]
	start := len(g.B)
	g.B = append(g.B, p...)
	return g.Commit(start, Droppable, 0)
}

func holdAtZero(t *testing.T, name string, f func()) {
	t.Helper()
	for range 100 {
		f() // pools and slices grow to their size
	}
	if n := testing.AllocsPerRun(500, f); n != 0 && !raceEnabled {
		t.Errorf("%s: %v allocations", name, n)
	}
}

func TestAllocations(t *testing.T) {
	turn, out, sock := NewTurn(), make([]Outbound, 50), &sink{}
	small := make([]byte, 128)
	flush := func(writable bool) {
		for i := range out {
			if _, err := out[i].Flush(turn, sock, writable); err != nil {
				t.Fatal(err)
			}
		}
		turn.Reset()
	}
	holdAtZero(t, "one run", func() {
		for range 10 {
			f := turn.put(0, small)
			for i := range out {
				out[i].Append(turn, f)
			}
		}
		flush(false)
	})
	holdAtZero(t, "many runs", func() {
		for n := range 20 {
			f := turn.put(n%FramesCount, small)
			for i := range out {
				out[i].Append(turn, f)
			}
		}
		flush(false)
	})
	holdAtZero(t, "a stall and its end", func() {
		f := turn.put(0, small)
		for i := range out {
			out[i].Append(turn, f)
		}
		sock.full = true
		flush(false)
		sock.full = false
		flush(true)
	})
	body := NewShared(10)
	defer body.Release()
	body.B = append(body.B, make([]byte, 5000)...)
	holdAtZero(t, "shared bodies", func() {
		f := turn.put(0, small[:4])
		for i := range out {
			out[i].AppendShared(turn, f, body, false)
		}
		flush(false)
	})
	holdAtZero(t, "Shared", func() {
		s := NewShared(len(small))
		s.B = append(s.B, small...)
		s.Release()
	})
}
