package ringbuf

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// waiting is one message of the model.
type waiting struct {
	bytes     []byte
	key       uint64
	droppable bool
	newest    bool
	own       bool
}

// evictModel is an Outbound as a slice: what waits,
// of which `begun` bytes of the first message are on the wire.
type evictModel struct {
	queue    []waiting
	begun    int
	wire     []byte
	stalled  bool
	replaced int
}

func (m *evictModel) append(w waiting) {
	if w.newest && m.stalled {
		m.replace(w.key)
	}
	m.queue = append(m.queue, w)
}

// replace takes out the message that one with this key makes worthless.
func (m *evictModel) replace(key uint64) {
	for i := len(m.queue) - 1; i >= 0; i-- {
		if w := m.queue[i]; w.newest && w.key == key && !(i == 0 && m.begun > 0) {
			m.queue = append(m.queue[:i:i], m.queue[i+1:]...)
			m.replaced++
			return
		}
	}
}

// take writes up to n bytes; before the first stall nothing has been replaced, so the rest is
// thinned out then.
func (m *evictModel) take(n int) {
	for len(m.queue) > 0 {
		rest := m.queue[0].bytes[m.begun:]
		if n < len(rest) {
			m.wire = append(m.wire, rest[:n]...)
			m.begun += n
			if !m.stalled {
				m.stalled = true
				queue := m.queue
				m.queue = nil
				for i, w := range queue {
					if i == 0 && m.begun > 0 {
						m.queue = append(m.queue, w)
						continue
					}
					m.append(w)
				}
			}
			return
		}
		m.wire = append(m.wire, rest...)
		n -= len(rest)
		m.begun = 0
		m.queue = m.queue[1:]
	}
	m.stalled = false
}

func (m *evictModel) dropOldest() bool {
	for i, w := range m.queue {
		if w.droppable && !(i == 0 && m.begun > 0) {
			m.queue = append(m.queue[:i:i], m.queue[i+1:]...)
			return true
		}
	}
	return false
}

func (m *evictModel) cancel(key uint64) bool {
	for i, w := range m.queue {
		if w.key == key && !(i == 0 && m.begun > 0) {
			m.queue = append(m.queue[:i:i], m.queue[i+1:]...)
			return true
		}
	}
	return false
}

func (m *evictModel) pushFront(p []byte) {
	at := 0
	if m.begun > 0 {
		at = 1
	}
	rest := append([]waiting{{bytes: p}}, m.queue[at:]...)
	m.queue = append(m.queue[:at:at], rest...)
}

// owed is what waits in the backlog of messages that the connection owes to itself.
func (m *evictModel) owed() (size, count int) {
	if !m.stalled {
		return 0, 0
	}
	for i, w := range m.queue {
		if w.own {
			size += len(w.bytes)
			count++
			if i == 0 {
				size -= m.begun
			}
		}
	}
	return size, count
}

// evictRun is an Outbound and its model side by side.
type evictRun struct {
	turn    *Turn
	out     Outbound
	model   evictModel
	sock    pipe
	serial  int
	nextKey uint64
	dirty   bool // the turn's frames are not flushed yet
}

func (r *evictRun) flush(t *rapid.T, budget int) {
	r.sock.budget = budget
	waits := r.out.Bytes()
	writable := rapid.Bool().Draw(t, "writable") || !r.out.Stalled()
	if writable {
		r.model.take(min(budget, waits))
	}
	if _, err := r.out.Flush(r.turn, &r.sock, writable); err != nil {
		t.Fatal(err)
	}
	r.turn.Reset()
	r.dirty = false
}

func (r *evictRun) append(t *rapid.T) {
	r.serial++
	w := waiting{droppable: rapid.Bool().Draw(t, "droppable")}
	filling := bytes.Repeat([]byte{'x'}, rapid.IntRange(0, 40).Draw(t, "size"))
	w.bytes = fmt.Appendf(nil, "<%d:%s>", r.serial, filling)
	flags := Flags(0)
	if w.droppable {
		flags = Droppable
		w.key = uint64(rapid.IntRange(1, 4).Draw(t, "key"))
		w.newest = rapid.Bool().Draw(t, "newest")
	} else {
		r.nextKey++
		w.key = r.nextKey
		if w.own = rapid.Bool().Draw(t, "own"); w.own {
			flags = Own
		}
	}
	g := &r.turn.Frames[rapid.IntRange(0, 1).Draw(t, "frames")]
	start := len(g.B)
	if rapid.IntRange(0, 3).Draw(t, "shared") == 0 {
		cut := 2
		g.B = append(g.B, w.bytes[:cut]...)
		body := NewShared(10)
		body.B = append(body.B, w.bytes[cut:]...)
		r.out.AppendShared(r.turn, g.Commit(start, flags, w.key), body, w.newest)
		body.Release()
	} else {
		g.B = append(g.B, w.bytes...)
		f := g.Commit(start, flags, w.key)
		if w.newest {
			r.out.AppendNewest(r.turn, f)
		} else {
			r.out.Append(r.turn, f)
		}
	}
	r.model.append(w)
	r.dirty = true
}

// step does one thing to both and compares their counts.
func (r *evictRun) step(t *rapid.T) {
	switch rapid.IntRange(0, 6).Draw(t, "op") {
	case 0, 1, 2:
		r.append(t)
	case 3:
		r.flush(t, rapid.IntRange(0, 300).Draw(t, "budget"))
	case 4:
		if r.out.Stalled() {
			if got, want := r.out.DropOldest(), r.model.dropOldest(); got != want {
				t.Fatalf("DropOldest %v, want %v", got, want)
			}
		}
	case 5:
		if r.out.Stalled() {
			key := r.nextKey - uint64(rapid.IntRange(0, 3).Draw(t, "which"))
			if got, want := r.out.Cancel(key), r.model.cancel(key); got != want {
				t.Fatalf("Cancel %v, want %v", got, want)
			}
		}
	case 6:
		if r.out.Stalled() {
			r.serial++
			p := fmt.Appendf(nil, "<%d:notice>", r.serial)
			r.out.PushFront(p)
			r.model.pushFront(p)
		}
	}
	if n := r.out.Messages(); n != len(r.model.queue) {
		t.Fatalf("%d messages wait, want %d", n, len(r.model.queue))
	}
	size, count := r.model.owed()
	if r.out.OwnBytes() != size || r.out.OwnMessages() != count {
		t.Fatalf("owes itself %d bytes in %d messages, want %d in %d",
			r.out.OwnBytes(), r.out.OwnMessages(), size, count)
	}
	if n := r.out.Replaced(); n != r.model.replaced {
		t.Fatalf("%d messages replaced, want %d", n, r.model.replaced)
	}
	r.model.replaced = 0
}

// Whatever is dropped, replaced, cancelled or pushed in front of a stalled queue, the bytes on the
// wire are whole messages in the model's order, and the counts agree.
func TestEvictionAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := live()
		r := &evictRun{turn: NewTurn(), nextKey: 1000}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			r.step(t)
		}
		if r.dirty {
			r.flush(t, 0)
		}
		for range 3 {
			r.sock.budget = 1 << 30
			r.model.take(1 << 30)
			if _, err := r.out.Flush(r.turn, &r.sock, true); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(r.sock.got, r.model.wire) {
			t.Fatalf("on the wire:\n%s\nwant:\n%s", r.sock.got, r.model.wire)
		}
		if !r.out.Empty() || r.out.Bytes() != 0 {
			t.Fatalf("%d messages and %d bytes wait after all", r.out.Messages(), r.out.Bytes())
		}
		r.out.Release(r.turn)
		if n := live() - before; n != 0 {
			t.Fatalf("%d buffers leaked", n)
		}
	})
}
