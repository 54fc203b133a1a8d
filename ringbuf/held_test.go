package ringbuf

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkBacklog recounts everything that q keeps count of, of which `waits` bytes wait, and holds
// the bound of what it holds.
func checkBacklog(t fataler, q *backlog, waits int) {
	t.Helper()
	buffers, seen := 0, map[*Shared]int32{}
	bytes, live, own, ownMessages, listed := 0, 0, 0, 0, 0
	if q.chunk != nil {
		seen[q.chunk] = 0
		buffers += cap(q.chunk.B)
	}
	for p := q.head; p != q.tail; p++ {
		r := q.at(p)
		if r.buf == nil {
			if *r != (record{}) {
				t.Fatalf("what was taken out left %+v", *r)
			}
			continue
		}
		live++
		bytes += r.size()
		if r.flags&Own != 0 {
			own += r.size()
			if r.flags&continued == 0 {
				ownMessages++
			}
		}
		if r.flags&indexed != 0 {
			listed++
			if slot, ok := q.index.find(q.slots, r.key); !ok || q.at(slot) != r {
				t.Fatalf("key %d is found at %d, %v", r.key, slot, ok)
			}
		}
		if r.flags&Droppable != 0 && p-q.head < q.oldest-q.head {
			t.Fatalf("a record that may be dropped stands before the first")
		}
		if n, ok := seen[r.buf]; ok && r.flags&inChunk != 0 {
			seen[r.buf] = n + 1
			continue
		}
		buffers += cap(r.buf.B)
		if r.flags&inChunk != 0 {
			seen[r.buf] = 1
		}
	}
	for c, n := range seen {
		if c.records != n {
			t.Fatalf("a chunk has %d records, %d are counted", n, c.records)
		}
	}
	for _, v := range q.index.places {
		if v != 0 {
			listed--
		}
	}
	if bytes != waits || bytes != q.waits || live != q.live || buffers != q.buffers ||
		own != q.ownBytes || ownMessages != q.ownMessages || listed != 0 ||
		q.oldest-q.head > q.tail-q.head || int(q.tail-q.head) > len(q.slots) {
		t.Fatalf("%d bytes wait in %d records of %d bytes in buffers, own %d in %d, %d too many "+
			"or few in the index, of %d waiting: %+v",
			bytes, live, buffers, own, ownMessages, listed, waits, *q)
	}
	if held, most := q.held(), 2*(waits+80*live)+16<<10; held > most {
		t.Fatalf("%d bytes are held for %d that wait in %d records: at most %d",
			held, waits, live, most)
	}
}

// heldRun is a stalled Outbound and what is done to it.
type heldRun struct {
	turn   *Turn
	out    Outbound
	sock   pipe
	serial uint64
}

func (r *heldRun) push(t *rapid.T, n int) {
	r.serial++
	flags, key := Droppable, r.serial%rapid.Uint64Range(1, 300).Draw(t, "keys")+1
	isNewest := rapid.Bool().Draw(t, "newest")
	if rapid.IntRange(0, 3).Draw(t, "protected") == 0 {
		flags, key = Own, 1<<40+r.serial
	}
	g := &r.turn.Frames[0]
	start := len(g.B)
	g.B = append(g.B, make([]byte, n)...)
	body := NewShared(0)
	if rapid.IntRange(0, 9).Draw(t, "shared") == 0 {
		body.B = make([]byte, rapid.IntRange(1, 5*chunkSize).Draw(t, "body"))
	}
	r.out.AppendShared(r.turn, g.Commit(start, flags, key), body, isNewest)
	body.Release()
}

func (r *heldRun) check(t *rapid.T) {
	t.Helper()
	if r.out.backlog != nil {
		checkBacklog(t, r.out.backlog, r.out.Bytes())
	} else if r.out.Held() != 0 {
		t.Fatalf("%d bytes are held with nothing waiting", r.out.Held())
	}
}

func (r *heldRun) flush(t *rapid.T, budget int) {
	r.sock.budget, r.sock.got = budget, nil
	if _, err := r.out.Flush(r.turn, &r.sock, true); err != nil {
		t.Fatal(err)
	}
	r.turn.Reset()
	r.check(t)
}

// Whatever is taken out, in whichever order, and however large the messages are: what is held is
// bounded by what waits.
func TestHeldIsBounded(t *testing.T) {
	sizes := rapid.OneOf(rapid.IntRange(1, 60), rapid.IntRange(1, 60), rapid.IntRange(1, 3000),
		rapid.IntRange(ownChunk-1, ownChunk+1), rapid.IntRange(chunkSize-1, 5*chunkSize))
	rapid.Check(t, func(t *rapid.T) {
		before := live()
		r := &heldRun{turn: NewTurn()}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 200).Draw(t, "burst") {
					r.push(t, sizes.Draw(t, "size"))
					r.check(t)
				}
				if !r.out.Stalled() {
					r.flush(t, 0)
				}
			},
			"write": func(t *rapid.T) {
				r.flush(t, rapid.IntRange(0, r.out.Bytes()).Draw(t, "budget"))
			},
			"dropOldest": func(t *rapid.T) {
				for range rapid.IntRange(1, 200).Draw(t, "count") {
					r.out.DropOldest()
					r.check(t)
				}
			},
			"cancel": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "count") {
					r.out.Cancel(1<<40 + r.serial - rapid.Uint64Range(0, 200).Draw(t, "which"))
					r.check(t)
				}
			},
			"pushFront": func(t *rapid.T) {
				if r.out.Stalled() {
					r.out.PushFront(make([]byte, rapid.IntRange(1, 300).Draw(t, "size")))
					r.check(t)
				}
			},
		})
		r.out.Release(r.turn)
		if n := live() - before; n != 0 || r.out.Held() != 0 {
			t.Fatalf("%d buffers leaked, %d bytes held", n, r.out.Held())
		}
	})
}

// The worst orders known: a few small messages survive among many large ones that are replaced,
// dropped or cancelled.
func TestSurvivorsPinNothing(t *testing.T) {
	const keys, rounds = 5000, 20000
	for _, way := range []string{"conflate", "drop-oldest", "cancel"} {
		t.Run(way, func(t *testing.T) {
			turn, o := NewTurn(), Outbound{}
			put := func(n int, flags Flags, key uint64) {
				g := &turn.Frames[0]
				start := len(g.B)
				g.B = append(g.B, make([]byte, n)...)
				f := g.Commit(start, flags, key)
				if way == "conflate" {
					o.AppendNewest(turn, f)
				} else {
					o.Append(turn, f)
				}
				if !o.Stalled() {
					_, _ = o.Flush(turn, &pipe{}, false)
				}
				turn.Reset()
			}
			most := 0
			for i := range uint64(rounds) {
				switch way {
				case "conflate":
					put(30, Droppable, i%keys+2)
				default:
					put(30, 0, 0)
				}
				for range 4 {
					switch way {
					case "conflate":
						put(1900, Droppable, 1)
					case "drop-oldest":
						put(1900, Droppable, 0)
						o.DropOldest()
					case "cancel":
						put(1900, 0, 7)
						o.Cancel(7)
					}
				}
				most = max(most, o.Held())
				if i%1000 == 0 {
					checkBacklog(t, o.backlog, o.Bytes())
				}
			}
			if bound := 2*(o.Bytes()+80*o.Messages()) + 16<<10; most > bound {
				t.Errorf("%d bytes were held, at most %d", most, bound)
			}
			o.Release(turn)
		})
	}
}

// A buffer is at most a quarter larger than what it was asked for, whatever was pooled before.
func TestSharedSizes(t *testing.T) {
	for class := range sharedPools {
		n := classSize(class)
		if sizeClass(n) != class || class > 0 && sizeClass(n-1) > class {
			t.Fatalf("class %d of %d bytes: %d, %d", class, n, sizeClass(n), sizeClass(n-1))
		}
	}
	for n := 1; n < 3<<20; n += 1 + n/7 {
		s := NewShared(n)
		if cap(s.B) < n || len(s.B) != 0 || cap(s.B) > max(1<<sizeMinBits, n+n/4+1) {
			t.Fatalf("for %d bytes: %d of %d", n, len(s.B), cap(s.B))
		}
		s.B = append(s.B, make([]byte, n)...)
		if n%2 == 0 {
			s.B = append(s.B, make([]byte, n)...)
		}
		s.Release()
	}
	if big := sizeClass(1<<sizeMaxBits + 1); big < len(sharedPools) {
		t.Fatal(fmt.Sprint("a large buffer is pooled: class ", big))
	}
}

// However many slices of spans a turn needed, it keeps few of them, and none that it has given.
func TestTurnKeepsFewSpans(t *testing.T) {
	turn := NewTurn()
	var lent []*[]span
	for range 4 * sparesMax / spanKeep {
		s := turn.getSpans()
		*s = make([]span, 0, spanKeep)
		lent = append(lent, s)
	}
	for _, s := range lent {
		turn.putSpans(s)
	}
	kept := 0
	for _, s := range turn.spare {
		kept += cap(*s)
	}
	if kept == 0 || kept > sparesMax || kept != turn.spares {
		t.Errorf("room for %d spans is kept and %d counted, of at most %d", kept, turn.spares,
			sparesMax)
	}
	for range len(turn.spare) {
		turn.getSpans()
	}
	for _, s := range turn.spare[:cap(turn.spare)] {
		if s != nil {
			t.Fatal("a slice that was given away is referred to")
		}
	}
	if turn.spares != 0 {
		t.Errorf("room for %d spans is counted, none is kept", turn.spares)
	}
}
