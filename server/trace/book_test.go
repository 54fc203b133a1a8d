package trace

import (
	"math/rand/v2"
	"testing"

	"mbserver/codec"
)

func idOf(n int) codec.UUID { return codec.NewUUID(uint64(n), uint64(n)) }

// Whatever is put into a book, it holds no more than it may, and knows the latest of it.
func TestBookIsBounded(t *testing.T) {
	const bytes = 1 << 20
	b := NewBook(3, bytes)
	if b.Held() != 0 {
		t.Errorf("an empty book holds %d bytes", b.Held())
	}
	random := rand.New(rand.NewPCG(1, 1))
	last := Mark(0)
	for i := range 50_000 {
		last = b.Begin(Message{ID: idOf(i), At: int64(i), Topic: "a.b"}, int64(i))
		for range random.IntN(60) {
			b.Note(Entry{Mark: last, Stop: Stop(random.IntN(stops)), At: int64(i), Reason: "r"})
		}
		if held := b.Held(); held > bytes {
			t.Fatalf("after %d messages it holds %d bytes of %d", i+1, held, bytes)
		}
		if a := b.Tell(last); len(a) != 1 || a[0].ID != idOf(i) || a[0].Mark.Origin() != 3 {
			t.Fatalf("message %d is known as %v", i, a)
		}
		if tag := b.Tag(last); b.Tagged(tag) != last {
			t.Fatalf("message %d has the tag of %x", i, b.Tagged(tag))
		}
	}
	if held := b.Held(); held < bytes/2 {
		t.Errorf("it holds %d bytes of %d", held, bytes)
	}
	if b.Tag(1) != 0 || b.Tagged(0) != 0 || len(b.index) != len(b.messages) {
		t.Errorf("what has given way is known: %d in the index, %d messages",
			len(b.index), len(b.messages))
	}
	if small := NewBook(0, 0); small.most != least {
		t.Errorf("the smallest book has room for %d messages", small.most)
	}
}

// Of a message with many receivers the first of each kind are told, the others counted.
func TestBookCountsTheRest(t *testing.T) {
	b := NewBook(0, 1<<20)
	m := b.Begin(Message{ID: idOf(1)}, 0)
	for range 1000 {
		b.Note(Entry{Mark: m, Stop: Delivered, Service: idOf(2)})
	}
	b.Note(Entry{Mark: m, Stop: Dropped, Reason: "busy", More: 41})
	b.Note(Entry{Mark: m, Stop: Dropped, Reason: "drop"})
	other := b.Begin(Message{ID: idOf(2)}, 0)
	all := b.Tell(m, 99, other)
	if len(all) != 2 || all[1].Mark != other || len(all[1].Entries) != 0 {
		t.Fatalf("of three messages are known %v", all)
	}
	delivered, one, dropped := 0, 0, 0
	for _, e := range all[0].Entries {
		switch {
		case e.Stop == Dropped:
			dropped += 1 + int(e.More)
			if e.Reason == "" {
				dropped--
			}
		case e.Service == codec.UUID{}:
			delivered += int(e.More)
		default:
			delivered++
			one++
		}
	}
	if delivered != 1000 || one != Each || dropped != 43 {
		t.Errorf("%d were delivered, %d told one by one, %d dropped", delivered, one, dropped)
	}
}

// A message is found by its sender's ID and by the one that its receivers know, the latest first,
// while it is not too old; of another loop's, what became of it here is known.
func TestBookFinds(t *testing.T) {
	b := NewBook(0, 1<<20)
	first := b.Begin(Message{ID: idOf(1), At: 10}, 0)
	b.Mask(first, 10, idOf(7))
	second := b.Begin(Message{ID: idOf(1), At: 20}, 0)
	b.Mask(5<<24|9, 30, idOf(8)) // another loop's
	for _, c := range []struct {
		id    int
		since int64
		want  []Mark
	}{
		{1, 0, []Mark{second, first}}, {1, 15, []Mark{second}}, {7, 0, []Mark{first}},
		{7, 11, nil}, {8, 0, []Mark{5<<24 | 9}}, {2, 0, nil},
	} {
		got := b.Find(idOf(c.id), c.since, 8, nil)
		if len(got) != len(c.want) {
			t.Errorf("ID %d since %d: %x, want %x", c.id, c.since, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("ID %d since %d: %x, want %x", c.id, c.since, got, c.want)
			}
		}
	}
	if got := b.Find(idOf(1), 0, 1, nil); len(got) != 1 {
		t.Errorf("of one that is wanted there are %d", len(got))
	}
}

// However many messages come, few are taken: a burst, and then so many a second.
func TestBookTakesFew(t *testing.T) {
	b := NewBook(0, 1<<20)
	taken := 0
	for ms := range int64(20_000) {
		for range 10 {
			if b.Open(ms) {
				b.Begin(Message{}, ms)
				taken++
			}
		}
	}
	if most := burst + 20*rate; taken > most || taken < most-rate {
		t.Errorf("%d were taken in 20 s, want %d", taken, most)
	}
}
