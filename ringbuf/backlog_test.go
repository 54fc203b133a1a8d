package ringbuf

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestBacklogAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := live()
		q := newBacklog()
		var messages [][]byte // the model: what waits, the first perhaps without its beginning
		fill := byte(0)
		bytesOf := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				fill++
				b[i] = fill
			}
			return b
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 6).Draw(t, "burst") {
					b := bytesOf(sizes.Draw(t, "size"))
					q.push(b, Droppable, 0)
					messages = append(messages, b)
				}
			},
			"pushShared": func(t *rapid.T) {
				prefix, body := bytesOf(rapid.IntRange(1, 14).Draw(t, "prefix")), NewShared(9000)
				body.B = append(body.B, bytesOf(rapid.IntRange(1, 9000).Draw(t, "body"))...)
				messages = append(messages, append(bytes.Clone(prefix), body.B...))
				q.push(prefix, continued, 0)
				q.pushShared(body, 0, 0)
			},
			"discard": func(t *rapid.T) {
				n := rapid.IntRange(0, len(bytes.Join(messages, nil))).Draw(t, "n")
				want := 0
				for left := n; left > 0; {
					if left < len(messages[0]) {
						messages[0] = messages[0][left:]
						break
					}
					left -= len(messages[0])
					messages = messages[1:]
					want++
				}
				if got := q.discard(n); got != want {
					t.Fatalf("discard(%d) = %d, want %d", n, got, want)
				}
			},
			"": func(t *rapid.T) {
				want := bytes.Join(messages, nil)
				if q.empty() != (len(want) == 0) {
					t.Fatalf("empty() = %v with %d bytes", q.empty(), len(want))
				}
				limit := rapid.IntRange(1, 8).Draw(t, "limit")
				iov := q.peek(nil, limit)
				if len(iov) > limit || len(iov) == 0 && len(want) > 0 {
					t.Fatalf("peek gave %d pieces of at most %d", len(iov), limit)
				}
				if got := bytes.Join(iov, nil); !bytes.HasPrefix(want, got) {
					t.Fatal("peek differs")
				}
				all := bytes.Join(q.peek(nil, 1<<30), nil)
				if !bytes.HasPrefix(want, all) || len(all) < min(len(want), peekMax) {
					t.Fatal("peek of everything differs")
				}
				checkBacklog(t, q, len(want))
			},
		})
		q.free()
		if n := live() - before; n != 0 {
			t.Fatalf("%d buffers leaked", n)
		}
	})
}

// Neighbours in a chunk leave as one piece.
func TestBacklogJoinsNeighbours(t *testing.T) {
	q := newBacklog()
	defer q.free()
	for range 100 {
		q.push([]byte("0123456789"), 0, 0)
	}
	if iov := q.peek(nil, 256); len(iov) != 1 || len(iov[0]) != 1000 {
		t.Fatalf("%d pieces", len(iov))
	}
}

// A backlog that never runs empty does not grow.
func TestBacklogStaysBounded(t *testing.T) {
	before := live()
	q := newBacklog()
	p := make([]byte, 100)
	for range 10 {
		q.push(p, 0, 0)
	}
	for range 10000 {
		q.push(p, 0, 0)
		q.discard(100)
	}
	if len(q.slots) > recordsMin || live()-before > 3 {
		t.Errorf("10 waiting messages take %d places and %d buffers",
			len(q.slots), live()-before)
	}
	q.free()
	if n := live() - before; n != 0 {
		t.Errorf("%d buffers leaked", n)
	}
}

func TestSharedReleasedTooOften(t *testing.T) {
	s := &Shared{}
	s.refs.Store(1)
	s.Retain(1)
	s.refs.Add(-2)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	s.Release()
}
