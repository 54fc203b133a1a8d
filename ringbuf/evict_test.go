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
}

// evictModel is an Outbound as a slice: what waits, of which `begun` bytes of the first message are on the wire.
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

// take writes up to n bytes; before the first stall nothing has been replaced, so the rest is thinned out then.
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

// Whatever is dropped, replaced, cancelled or pushed in front of a stalled queue, the bytes on the wire are whole messages
// in the model's order, and the counts agree.
func TestEvictionAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := live()
		turn := NewTurn()
		var o Outbound
		var m evictModel
		sock := &pipe{}
		serial, nextKey := 0, uint64(1000)
		dirty := false
		flush := func(budget int) {
			sock.budget = budget
			waits := o.Bytes()
			writable := rapid.Bool().Draw(t, "writable") || !o.Stalled()
			if writable {
				m.take(min(budget, waits))
			}
			if _, err := o.Flush(turn, sock, writable); err != nil {
				t.Fatal(err)
			}
			turn.Reset()
			dirty = false
		}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "op") {
			case 0, 1, 2:
				serial++
				w := waiting{droppable: rapid.Bool().Draw(t, "droppable")}
				w.bytes = fmt.Appendf(nil, "<%d:%s>", serial, bytes.Repeat([]byte{'x'}, rapid.IntRange(0, 40).Draw(t, "size")))
				flags := Flags(0)
				if w.droppable {
					flags = Droppable
					w.key = uint64(rapid.IntRange(1, 4).Draw(t, "key"))
					w.newest = rapid.Bool().Draw(t, "newest")
				} else {
					nextKey++
					w.key = nextKey
				}
				g := &turn.Frames[rapid.IntRange(0, 1).Draw(t, "log")]
				start := len(g.B)
				if rapid.IntRange(0, 3).Draw(t, "shared") == 0 {
					cut := 2
					g.B = append(g.B, w.bytes[:cut]...)
					body := NewShared()
					body.B = append(body.B, w.bytes[cut:]...)
					o.AppendShared(turn, g.Commit(start, flags, w.key), body, w.newest)
					body.Release()
				} else {
					g.B = append(g.B, w.bytes...)
					f := g.Commit(start, flags, w.key)
					if w.newest {
						o.AppendNewest(turn, f)
					} else {
						o.Append(turn, f)
					}
				}
				m.append(w)
				dirty = true
			case 3:
				flush(rapid.IntRange(0, 300).Draw(t, "budget"))
			case 4:
				if o.Stalled() {
					if got, want := o.DropOldest(), m.dropOldest(); got != want {
						t.Fatalf("DropOldest %v, want %v", got, want)
					}
				}
			case 5:
				if o.Stalled() {
					key := nextKey - uint64(rapid.IntRange(0, 3).Draw(t, "which"))
					if got, want := o.Cancel(key), m.cancel(key); got != want {
						t.Fatalf("Cancel %v, want %v", got, want)
					}
				}
			case 6:
				if o.Stalled() {
					serial++
					p := fmt.Appendf(nil, "<%d:notice>", serial)
					o.PushFront(p)
					m.pushFront(p)
				}
			}
			if n := o.Messages(); n != len(m.queue) {
				t.Fatalf("%d messages wait, want %d", n, len(m.queue))
			}
			if n := o.Replaced(); n != m.replaced {
				t.Fatalf("%d messages replaced, want %d", n, m.replaced)
			}
			m.replaced = 0
		}
		if dirty {
			flush(0)
		}
		for range 3 {
			sock.budget = 1 << 30
			m.take(1 << 30)
			if _, err := o.Flush(turn, sock, true); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(sock.got, m.wire) {
			t.Fatalf("on the wire:\n%s\nwant:\n%s", sock.got, m.wire)
		}
		if !o.Empty() || o.Bytes() != 0 {
			t.Fatalf("%d messages and %d bytes wait after all", o.Messages(), o.Bytes())
		}
		o.Release(turn)
		if n := live() - before; n != 0 {
			t.Fatalf("%d buffers leaked", n)
		}
	})
}
