package ringbuf

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"pgregory.net/rapid"
)

var live func() int64

func TestMain(m *testing.M) {
	live = TrackShared()
	os.Exit(m.Run())
}

var errReset = errors.New("connection reset")

// pipe is a socket that takes budget bytes and no more.
type pipe struct {
	budget int
	err    error
	got    []byte
	calls  int
}

func (p *pipe) Write(b []byte) (int, error) {
	p.calls++
	if p.err != nil {
		return 0, p.err
	}
	n := min(p.budget, len(b))
	p.budget -= n
	p.got = append(p.got, b[:n]...)
	return n, nil
}

func (p *pipe) Writev(bufs [][]byte) (int, error) {
	p.calls++
	if p.err != nil {
		return 0, p.err
	}
	total := 0
	for _, b := range bufs {
		n := min(p.budget, len(b))
		p.budget -= n
		total += n
		p.got = append(p.got, b[:n]...)
		if n < len(b) {
			break
		}
	}
	return total, nil
}

// link is an Outbound beside its model: the messages it was given, one slice each.
type link struct {
	out      Outbound
	sock     pipe
	messages [][]byte
	control  []bool // which of them are control frames
	failed   bool
}

// take notes a message that was appended.
func (k *link) take(m []byte, flags Flags) {
	k.messages = append(k.messages, m)
	k.control = append(k.control, flags&Control != 0)
}

// lost is how many messages, without control frames, are not wholly written.
func (k *link) lost() (n int) {
	at := 0
	for i, m := range k.messages {
		if at += len(m); at > len(k.sock.got) && !k.control[i] {
			n++
		}
	}
	return n
}

func (k *link) expect() []byte { return bytes.Join(k.messages, nil) }

// check compares the link with its model.
func (k *link) check(t *rapid.T) {
	if k.failed {
		return
	}
	want := k.expect()
	if !bytes.HasPrefix(want, k.sock.got) {
		t.Fatalf("%d bytes written are not a prefix of the %d appended", len(k.sock.got), len(want))
	}
	if got := len(want) - len(k.sock.got); got != k.out.Bytes() {
		t.Fatalf("Bytes() = %d, %d wait", k.out.Bytes(), got)
	}
	left, at := 0, 0
	for _, m := range k.messages {
		if at += len(m); at > len(k.sock.got) {
			left++
		}
	}
	if left != k.out.Messages() || k.out.Empty() != (left == 0) {
		t.Fatalf("Messages() = %d, Empty() = %v, %d wait", k.out.Messages(), k.out.Empty(), left)
	}
	limits := Limits{Bytes: k.out.Bytes() + 10, Messages: left + 1}
	if !k.out.Room(10, limits) || k.out.Room(11, limits) ||
		k.out.Room(0, Limits{Bytes: 1 << 30, Messages: left}) {
		t.Fatal("Room disagrees with Bytes and Messages")
	}
}

// turns is several links that share the turns of one loop, as rapid drives them.
type turns struct {
	turn   *Turn
	links  []*link
	bodies []*Shared // each held by one reference of the test's own
	next   byte
}

func (s *turns) fill(b []byte, n int) []byte {
	for range n {
		s.next++
		b = append(b, s.next)
	}
	return b
}

var sizes = rapid.OneOf(
	rapid.IntRange(1, 40), rapid.IntRange(1, 40), rapid.IntRange(1, 40),
	rapid.IntRange(1, 2000), rapid.IntRange(chunkSize-10, chunkSize+10),
)

func (s *turns) frame(t *rapid.T) (Frame, []byte, Flags) {
	g := &s.turn.Frames[rapid.IntRange(0, FramesCount-1).Draw(t, "frames")]
	start := len(g.B)
	g.B = s.fill(g.B, sizes.Draw(t, "size"))
	flags := rapid.SampledFrom([]Flags{0, Droppable, Own, Control}).Draw(t, "flags")
	f := g.Commit(start, flags, 0)
	b := bytes.Clone(g.B[start:])
	if f.Size() != len(b) {
		t.Fatalf("Size() = %d of %d", f.Size(), len(b))
	}
	return f, b, flags
}

func (s *turns) some(t *rapid.T) []*link {
	var some []*link
	mask := rapid.IntRange(1, 1<<len(s.links)-1).Draw(t, "links")
	for i, k := range s.links {
		if mask>>i&1 == 1 && !k.failed {
			some = append(some, k)
		}
	}
	return some
}

func (s *turns) append(t *rapid.T) {
	for range rapid.IntRange(1, 8).Draw(t, "burst") {
		f, b, flags := s.frame(t)
		for _, k := range s.some(t) {
			k.out.Append(s.turn, f)
			k.take(b, flags)
		}
	}
}

func (s *turns) appendShared(t *rapid.T) {
	f, b, flags := s.frame(t)
	body := NewShared(10)
	body.B = s.fill(body.B, rapid.IntRange(0, 9000).Draw(t, "body"))
	s.bodies = append(s.bodies, body)
	for _, k := range s.some(t) {
		k.out.AppendShared(s.turn, f, body, false)
		k.take(append(bytes.Clone(b), body.B...), flags)
	}
}

func (s *turns) flush(t *rapid.T, k *link, writable bool) {
	if k.failed {
		return
	}
	k.sock.budget = rapid.OneOf(
		rapid.Just(0), rapid.IntRange(0, 100), rapid.IntRange(0, 50000), rapid.Just(1<<30),
	).Draw(t, "budget")
	k.sock.calls = 0
	stalled := k.out.Stalled()
	full, err := k.out.Flush(s.turn, &k.sock, writable)
	if stalled && !writable && k.sock.calls > 0 {
		t.Fatal("wrote to a stalled socket")
	}
	if err != nil {
		t.Fatal(err)
	}
	if full != k.out.Stalled() || full == k.out.Empty() {
		t.Fatalf("Flush: full = %v, Stalled() = %v, Empty() = %v",
			full, k.out.Stalled(), k.out.Empty())
	}
	if !full && (k.out.backlog != nil || k.out.more != nil || k.out.last != span{}) {
		t.Fatal("an idle Outbound holds memory")
	}
	if full && writable && k.sock.budget > 0 {
		t.Fatal("stopped before the socket was full")
	}
}

func (s *turns) end(t *rapid.T) {
	for _, k := range s.links {
		s.flush(t, k, rapid.Bool().Draw(t, "writable"))
	}
	s.turn.Reset()
	if s.turn.Len() != 0 {
		t.Fatal("Reset left frames")
	}
}

// fail resets a link's connection in the middle of the turn; another takes its place.
func (s *turns) fail(t *rapid.T) {
	i := rapid.IntRange(0, len(s.links)-1).Draw(t, "link")
	k := s.links[i]
	k.sock.err = errReset
	tried := !k.out.Empty()
	if _, err := k.out.Flush(s.turn, &k.sock, true); tried && err != errReset {
		t.Fatalf("Flush = %v", err)
	}
	if got, want := k.out.Release(s.turn), k.lost(); got != want {
		t.Fatalf("Release lost %d messages, want %d", got, want)
	}
	if !k.out.Empty() || k.out.Bytes() != 0 || k.out.Stalled() {
		t.Fatal("Release left something")
	}
	s.links[i] = &link{}
}

func TestOutboundAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := live()
		s := &turns{turn: NewTurn()}
		for range rapid.IntRange(1, 3).Draw(t, "count") {
			s.links = append(s.links, &link{})
		}
		t.Repeat(map[string]func(*rapid.T){
			"append":       s.append,
			"appendShared": s.appendShared,
			"flush": func(t *rapid.T) {
				k := s.links[rapid.IntRange(0, len(s.links)-1).Draw(t, "link")]
				s.flush(t, k, rapid.Bool().Draw(t, "writable"))
			},
			"end":  s.end,
			"fail": s.fail,
			"": func(t *rapid.T) {
				for _, k := range s.links {
					k.check(t)
				}
			},
		})
		for i, k := range s.links {
			// One goes away with bytes waiting; its bodies are released all the same.
			if i == 0 && !k.out.Empty() {
				if got, want := k.out.Release(s.turn), k.lost(); got != want {
					t.Fatalf("Release lost %d messages, want %d", got, want)
				}
				continue
			}
			k.sock.budget = 1 << 30
			if full, err := k.out.Flush(s.turn, &k.sock, true); full || err != nil {
				t.Fatalf("Flush = %v, %v", full, err)
			}
			k.check(t)
			if want := k.expect(); len(want) != len(k.sock.got) {
				t.Fatalf("%d of %d bytes came out", len(k.sock.got), len(want))
			}
		}
		for _, b := range s.bodies {
			if n := b.refs.Load(); n != 1 {
				t.Fatalf("a body has %d references beside the test's own", n-1)
			}
			b.Release()
		}
		if n := live() - before; n != 0 {
			t.Fatalf("%d buffers leaked", n)
		}
	})
}

// What has begun on the wire must not be taken out again.
func TestBegunMessageIsProtected(t *testing.T) {
	for _, written := range []int{0, 1, 4, 5, 13} {
		turn := NewTurn()
		g := &turn.Frames[0]
		g.B = append(g.B, "head"...)
		f := g.Commit(0, Droppable, 0)
		body := NewShared(10)
		body.B = append(body.B, "the whole body"...)
		var early, late Outbound // spilled after the cut; spilled at once and drained to it
		early.AppendShared(turn, f, body, false)
		late.AppendShared(turn, f, body, false)
		check := func(o *Outbound, sock *pipe, writable bool) {
			t.Helper()
			if full, err := o.Flush(turn, sock, writable); !full || err != nil {
				t.Fatal(full, err)
			}
			for p := o.backlog.head; p != o.backlog.tail; p++ {
				r := o.backlog.at(p)
				if got := r.flags&Droppable != 0; got != (sock.got == nil) {
					t.Errorf("%d bytes written: droppable = %v", len(sock.got), got)
				}
			}
			o.Release(turn)
		}
		check(&early, &pipe{budget: written}, false)
		sock := &pipe{}
		if full, _ := late.Flush(turn, sock, false); !full {
			t.Fatal("not full")
		}
		sock.budget = written
		check(&late, sock, true)
		body.Release()
	}
}
