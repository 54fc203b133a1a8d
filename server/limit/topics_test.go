package limit

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestTopicsForgetUnseen compares callers that keep buckets of topics, while the table forgets and
// adds them again, with a table that never forgets.
func TestTopicsForgetUnseen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "rate")
		const names, callers = 8, 3
		// Never without room, but forgetting from the fourth on.
		topics := NewTopics(PerSecond(n), names)
		models := [names]*model{}
		for i := range models {
			models[i] = newModel(n)
		}
		var cached [callers][names]*Bucket
		var now int64
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			now += rapid.SampledFrom([]int64{0, 0, 0, 1, 100, 400, 1000, 5000}).Draw(t, "gap")
			i := rapid.IntRange(0, names-1).Draw(t, "topic")
			caller := rapid.IntRange(0, callers-1).Draw(t, "caller")
			want, wantOK := models[i].take(now)
			wait, ok := topics.Take(&cached[caller][i], fmt.Append(nil, "t", i), now)
			if wait != want || ok != wantOK {
				t.Fatalf("topic %d at %d: %d %v, want %d %v", i, now, wait, ok, want, wantOK)
			}
			if rapid.IntRange(0, 3).Draw(t, "sweep") == 0 {
				topics.sweep(now) // as if topics of others were added
			}
			for i := range models {
				models[i].refill(now)
				if b := topics.buckets[fmt.Sprint("t", i)]; b == nil && !models[i].full() {
					t.Fatalf("topic %d is forgotten, though it is not full", i)
				}
			}
		}
		if topics.Overflowed() != 0 {
			t.Fatalf("%d look-ups overflowed with room for all", topics.Overflowed())
		}
	})
}

func TestForgottenBucketSaysSo(t *testing.T) {
	r := PerSecond(2)
	topics := NewTopics(r, 2)
	old := topics.Bucket([]byte("a"), 0)
	if again := topics.Bucket([]byte("a"), 0); again != old {
		t.Fatal("a topic has two buckets")
	}
	if _, ok := old.Take(r, 0); !ok {
		t.Fatal("a new bucket refuses")
	}
	topics.Bucket([]byte("b"), 0)
	if topics.Len() != 2 || old.Full(r, 0) || !old.Full(r, 500) {
		t.Fatalf("%d topics; full at once %v, later %v",
			topics.Len(), old.Full(r, 0), old.Full(r, 500))
	}
	topics.Bucket([]byte("c"), 500) // makes room
	for name, f := range map[string]func() (int64, bool){
		"Take":  func() (int64, bool) { return old.Take(r, 500) },
		"Check": func() (int64, bool) { return old.Check(r, 500) },
	} {
		if wait, ok := f(); ok || wait != Gone {
			t.Errorf("%s on a forgotten bucket: %d %v", name, wait, ok)
		}
	}
	old.Give(r)
	if wait, ok := old.Take(r, 1<<39); ok || wait != Gone {
		t.Error("Give brought a forgotten bucket back")
	}
	cached := old
	if wait, ok := topics.Take(&cached, []byte("a"), 500); !ok || wait != 0 {
		t.Errorf("Take with a forgotten bucket: %d %v", wait, ok)
	}
	if cached == old || cached != topics.Bucket([]byte("a"), 500) {
		t.Error("the kept bucket was not replaced by the topic's own")
	}
}

func TestTopicsWithoutRoomShareOne(t *testing.T) {
	const bound = 100
	r := PerSecond(5)
	topics := NewTopics(r, bound)
	for i := range bound {
		var cached *Bucket
		if _, ok := topics.Take(&cached, fmt.Append(nil, "t", i), 0); !ok || cached == nil {
			t.Fatalf("topic %d: %v", i, ok)
		}
	}
	passed := 0
	var late [20]*Bucket
	for i := range late {
		if _, ok := topics.Take(&late[i], fmt.Append(nil, "late", i), 0); ok {
			passed++
		}
		if late[i] != &topics.overflow {
			t.Fatalf("topic %d has a bucket though there is no room", i)
		}
	}
	if passed != 5 || topics.Overflowed() != 20 || topics.Len() != bound {
		t.Errorf("%d passed, %d overflowed, %d topics", passed, topics.Overflowed(), topics.Len())
	}
	if _, ok := topics.Take(new(*Bucket), []byte("t7"), 0); !ok {
		t.Error("a topic with a bucket of its own suffers from the others")
	}
	// 400 ms later all but topic 7 are full again: there is room,
	// and whoever kept the overflow bucket notices.
	for i := range late {
		_, ok := topics.Take(&late[i], fmt.Append(nil, "late", i), 399)
		if !ok || late[i] == &topics.overflow {
			t.Fatalf("topic %d still shares the overflow bucket", i)
		}
	}
	if topics.buckets["t7"] == nil || topics.Overflowed() != 20 {
		t.Errorf("topic 7 forgotten: %v; %d overflowed",
			topics.buckets["t7"] == nil, topics.Overflowed())
	}
}

func TestTopicsStayBounded(t *testing.T) {
	for _, bound := range []int{-1, 0, 1, 2, 3, 64} {
		topics := NewTopics(PerSecond(1), bound)
		for i := range 1000 {
			topics.Bucket(fmt.Append(nil, "t", i), int64(i)*10)
			if topics.Len() > max(bound, 1) || topics.Len() != len(topics.buckets) {
				t.Fatalf("bound %d: %d topics, %d in the table",
					bound, topics.Len(), len(topics.buckets))
			}
		}
		if topics.Overflowed() != 0 {
			t.Errorf("bound %d: %d overflowed, though every bucket was full",
				bound, topics.Overflowed())
		}
	}
}

func TestTopicsWithoutLimit(t *testing.T) {
	topics := NewTopics(Rate{}, 10)
	var cached *Bucket
	for range 100 {
		if wait, ok := topics.Take(&cached, []byte("a"), 0); wait != 0 || !ok {
			t.Fatal("refused without a limit")
		}
	}
	if cached != nil || topics.Len() != 0 || !topics.Rate().Off() {
		t.Error("a table without a limit holds buckets")
	}
}

func TestBucketNameIsCopied(t *testing.T) {
	topics := NewTopics(PerSecond(1), 10)
	name := []byte("abc")
	b := topics.Bucket(name, 0)
	name[0] = 'x'
	if topics.Bucket([]byte("abc"), 0) != b || topics.Bucket(name, 0) == b {
		t.Error("the table holds the caller's memory")
	}
}
