package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mbserver/server/config"
	"mbserver/server/metrics"
)

func withMemory(bytes int64) func(*config.Config) {
	return func(cfg *config.Config) { cfg.Memory.Limit = bytes }
}

// TestAgesAgainstSortedList holds ages against a sorted list: whatever order requests of several
// loops come and go in, the oldest is known.
func TestAgesAgainstSortedList(t *testing.T) {
	const loops = 3
	origins := make([]*service, loops)
	for i := range origins {
		origins[i] = &service{loop: &Loop{index: i}}
	}
	rapid.Check(t, func(t *rapid.T) {
		var a ages
		var model []*entry // oldest first
		now := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"comes": func(t *rapid.T) {
				now += int64(rapid.IntRange(0, 2).Draw(t, "passed"))
				e := &entry{}
				e.age.Item = e
				e.requester = origins[rapid.IntRange(0, loops-1).Draw(t, "origin")]
				e.arrived = now - int64(rapid.SampledFrom([]int{0, 0, 0, 1, 7, 50}).Draw(t, "age"))
				a.add(e)
				at, _ := slices.BinarySearchFunc(model, e, func(a, b *entry) int {
					return int(a.arrived - b.arrived)
				})
				model = slices.Insert(model, at, e)
			},
			"goes": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip("none is there")
				}
				at := rapid.IntRange(0, len(model)-1).Draw(t, "which")
				a.remove(model[at])
				model = slices.Delete(model, at, at+1)
			},
			"the oldest goes": func(t *rapid.T) {
				if e := a.oldest(); e != nil {
					a.remove(e)
					model = slices.DeleteFunc(model, func(m *entry) bool { return m == e })
				}
			},
			"": func(t *rapid.T) {
				switch e := a.oldest(); {
				case (e == nil) != (len(model) == 0):
					t.Fatalf("the oldest is %v of %d", e, len(model))
				case e != nil && e.arrived != model[0].arrived:
					t.Fatalf("the oldest is of %d, want %d", e.arrived, model[0].arrived)
				}
				for i, e := range a.late {
					if int(e.late) != i+1 {
						t.Fatalf("late entry %d says that it is number %d", i, e.late)
					}
				}
			},
		})
	})
}

// What comes out of order costs no more, and what comes in order never touches the heap: requests
// of other loops are a little older than this one's all the time.
func TestAgesInOrderAreLists(t *testing.T) {
	origins := []*service{{loop: &Loop{index: 0}}, {loop: &Loop{index: 1}}}
	var a ages
	for ms := range int64(1000) {
		for i, from := range origins {
			e := &entry{}
			e.age.Item, e.requester, e.arrived = e, from, ms-int64(5*i)
			a.add(e)
		}
	}
	if len(a.late) != 0 {
		t.Errorf("%d of 2000 requests in order are late", len(a.late))
	}
}

// More requests than may be stand only until evictions have come to the loops that hold the oldest,
// wherever these are by then.
func TestEvictionIsNeverLost(t *testing.T) {
	for loops := 2; loops <= 4; loops++ {
		n := newTestNode(t, 1, loops, nil)
		n.maxOutstanding = 10
		last := loops - 1
		old := n.subscribers(1, last, TransportTCP, "request", "old")[0]
		n.subscribers(1, 0, TransportTCP, "request", "new")
		k := n.connect(0, TransportTCP)
		ids := testIDs{rand.New(rand.NewPCG(1, 2))}
		for range 10 {
			k.send("request:old:1.0.0:" + ids.next() + "::600000\nx")
		}
		n.settle()
		old.messages()
		n.advance(1)
		for range 50 {
			k.send("request:new:1.0.0:" + ids.next() + "::600000\nx")
			n.run(0) // the loop of the oldest does not turn
			if got := n.outstanding.Load(); got > n.maxOutstanding+n.evictSlack {
				t.Fatalf("%d are outstanding while a loop is slow", got)
			}
		}
		for e := old.openEntry(); e != nil; e = old.openEntry() { // and then has none any more
			old.arrive(appendAnswer(nil, e))
		}
		n.settle()
		if got := n.outstanding.Load(); got != n.maxOutstanding {
			t.Errorf("with %d loops %d are outstanding, want %d", loops, got, n.maxOutstanding)
		}
		if got := len(k.messages()); got != 1+60-int(n.maxOutstanding) {
			t.Errorf("with %d loops the requester has %d messages", loops, got)
		}
	}
}

// Outstanding requests are charged, and a flood of them leaves little behind.
func TestOutstandingIsCharged(t *testing.T) {
	const count = 2 * entriesKeep
	n, s, k, rest := manyOutstanding(t, count)
	if got := n.charged() - rest; got < count*entryCharge || got > count*(entryCharge+200) {
		t.Errorf("%d bytes are charged for %d requests", got, count)
	}
	o := &n.loops[0].outstanding
	for e := s.openEntry(); e != nil; e = s.openEntry() {
		s.arrive(appendAnswer(nil, e))
		n.settle()
	}
	rest += int64(metrics.RecentBytes) // of the service's answers
	if n.charged() != rest || n.outstanding.Load() != 0 {
		t.Errorf("%d bytes are charged for %d requests", n.charged()-rest, n.outstanding.Load())
	}
	if len(o.slots) > entriesKeep || len(o.free) != len(o.slots) || len(o.given) != 0 {
		t.Errorf("%d slots and %d entries are kept, %d given back",
			len(o.slots), len(o.free), len(o.given))
	}
	k.send("request:a.b:1.0.0:" + testRequestID + "\nx")
	n.settle()
	if e := s.openEntry(); e == nil || o.find(e.id) != e {
		t.Error("the next request is not found by its masked ID")
	}
}

// No more requests are outstanding than an eighth of memory.limit holds.
func TestOutstandingIsBoundedByMemory(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	if n.maxOutstanding != 10_000 {
		t.Errorf("by default %d may be outstanding", n.maxOutstanding)
	}
	n = newTestNode(t, 1, 1, withMemory(64<<20))
	if n.maxOutstanding != 10_000 {
		t.Errorf("in 64 MiB %d may be outstanding", n.maxOutstanding)
	}
	n = newTestNode(t, 1, 1, withMemory(16<<20))
	if want := int64(16 << 20 / outstandingShare / outstandingBytes); n.maxOutstanding != want {
		t.Errorf("in 16 MiB %d may be outstanding, want %d", n.maxOutstanding, want)
	}
}

// BenchmarkOutOfOrder is an entry that comes among many, with an age between theirs.
func BenchmarkOutOfOrder(b *testing.B) {
	for _, others := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			from := &service{loop: &Loop{}}
			var a ages
			add := func(e *entry, at int64) {
				e.age.Item, e.requester, e.arrived = e, from, at
				a.add(e)
			}
			for i := range others {
				add(&entry{}, int64(i*7919%others))
			}
			e := &entry{}
			for b.Loop() {
				add(e, int64(others/2))
				a.remove(e)
			}
		})
	}
}

// The end of a node passes over entries that were given back, and answers those that are left.
func TestEndAfterManyOutstanding(t *testing.T) {
	n, s, _, _ := manyOutstanding(t, 2*entriesKeep)
	for n.outstanding.Load() > 1 {
		s.arrive(appendAnswer(nil, s.openEntry()))
		n.settle()
	}
	if len(n.loops[0].outstanding.given) == 0 {
		t.Error("no entry was given back")
	}
	n.loops[0].failOutstanding()
	if n.outstanding.Load() != 0 {
		t.Errorf("%d requests are left", n.outstanding.Load())
	}
}

// manyOutstanding makes a node on which so many requests of k are outstanding at s. rest is what
// was charged before them.
func manyOutstanding(
	t *testing.T, count int,
) (n *testNode, s, k *testClient, rest int64) {
	t.Helper()
	n = newTestNode(t, 1, 1, nil)
	s = n.subscribers(1, 0, TransportTCP, "request", "a.b")[0]
	k = n.connect(0, TransportTCP)
	n.settle()
	quiet(s, k)
	n.maxOutstanding = int64(count)
	rest = n.charged() // what the connections cost
	for range count {
		k.send("request:a.b:1.0.0:" + testRequestID + "\nx")
		n.settle()
	}
	return n, s, k, rest
}
