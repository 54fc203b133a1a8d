package ringbuf

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// tagged is an Outbound of which every message has a tag, and what it has told of each.
type tagged struct {
	t     *testing.T
	turn  *Turn
	out   Outbound
	sock  pipe
	tags  Tag
	key   map[Tag]uint64
	kept  map[Tag]bool
	ended map[Tag]Outcome
	size  map[Tag]int
}

func newTagged(t *testing.T) *tagged {
	return &tagged{
		t: t, turn: NewTurn(), key: map[Tag]uint64{}, kept: map[Tag]bool{},
		ended: map[Tag]Outcome{}, size: map[Tag]int{},
	}
}

// heed takes what was told. Each message has one end, and Kept only before it.
func (k *tagged) heed() {
	for _, told := range k.turn.Told {
		if was, over := k.ended[told.Tag]; over {
			k.t.Fatalf("message %d is %d after it was %d", told.Tag, told.Outcome, was)
		}
		if told.Outcome == Kept {
			if k.kept[told.Tag] {
				k.t.Fatalf("message %d is kept twice", told.Tag)
			}
			k.kept[told.Tag] = true
			continue
		}
		k.ended[told.Tag] = told.Outcome
	}
	k.turn.Told = k.turn.Told[:0]
}

// add appends a message of a size, by itself or with a shared body.
func (k *tagged) add(size int, flags Flags, key uint64, newest, shared bool) {
	k.tags++
	k.size[k.tags], k.key[k.tags] = size, key
	f := &k.turn.Frames[0]
	start := len(f.B)
	var body *Shared
	if shared {
		body = NewShared(size)
		body.B = append(body.B, make([]byte, size)...)
		f.B = append(f.B, 'p')
		k.size[k.tags]++
	} else {
		f.B = append(f.B, make([]byte, size)...)
	}
	frame := f.Commit(start, flags, key)
	k.turn.Tag(frame, k.tags)
	switch {
	case shared:
		k.out.AppendShared(k.turn, frame, body, newest)
		body.Release()
	case newest:
		k.out.AppendNewest(k.turn, frame)
	default:
		k.out.Append(k.turn, frame)
	}
	k.heed()
}

// TestTags: whatever is done to an Outbound, each tagged message is told of exactly once at its
// end, those as written of which the socket has all bytes, and the others for what was done.
func TestTags(t *testing.T) {
	var seen [Lost + 1]int
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		k := newTagged(t)
		want := map[Outcome]int{}
		for range 60 {
			switch r.IntN(8) {
			case 0, 1, 2:
				newest := r.IntN(3) == 0
				key := uint64(0)
				if newest {
					key = 1 + r.Uint64N(3)
				}
				size := 1 + r.IntN(40)
				if r.IntN(5) == 0 {
					size = 1 + r.IntN(3*chunkSize)
				}
				k.add(size, Droppable, key, newest, r.IntN(3) == 0)
				want[Replaced] += k.out.Replaced()
			case 3: // a request: protected, found by its key
				k.add(1+r.IntN(40), 0, uint64(k.tags)+1000, false, false)
			case 4, 5:
				k.sock.budget = r.IntN(2 * chunkSize)
				if _, err := k.out.Flush(k.turn, &k.sock, r.IntN(2) == 0); err != nil {
					t.Fatal(err)
				}
				k.heed()
				want[Replaced] += k.out.Replaced()
				if k.turn.Reset(); k.turn.tagged {
					t.Fatal("the turn is still tagged")
				}
				continue
			case 6:
				if k.out.DropOldest() {
					want[Oldest]++
				}
			case 7:
				tag := 1 + Tag(r.IntN(int(k.tags)+1))
				if key := k.key[tag]; key >= 1000 && k.out.Cancel(key) {
					want[Cancelled]++
				}
				if r.IntN(4) == 0 {
					want[Expelled] += k.out.Expel(make([]byte, 0, 8),
						func([]byte) bool { return r.IntN(2) == 0 })
				}
			}
			k.heed()
		}
		want[Lost] = k.out.Release(k.turn)
		k.heed()
		got, written := map[Outcome]int{}, 0
		for tag, what := range k.ended {
			seen[what]++
			if got[what]++; what == Written {
				written += k.size[tag]
			}
		}
		if len(k.ended) != int(k.tags) {
			t.Fatalf("seed %d: of %d messages %d have an end", seed, k.tags, len(k.ended))
		}
		for _, what := range []Outcome{Oldest, Replaced, Cancelled, Expelled, Lost} {
			if got[what] != want[what] {
				t.Fatalf("seed %d: outcome %d is told of %d messages, want %d",
					seed, what, got[what], want[what])
			}
		}
		if rest := len(k.sock.got) - written; rest < 0 || got[Lost] == 0 && rest != 0 {
			t.Fatalf("seed %d: the socket has %d bytes, written are said to be %d",
				seed, len(k.sock.got), written)
		}
	}
	seen[Kept] = 1
	if slices.Contains(seen[:], 0) {
		t.Errorf("messages by outcome: %v", seen)
	}
	if n := live(); n != 0 {
		t.Fatalf("%d buffers are left", n)
	}
}
