package limit

import (
	"fmt"
	"testing"
)

func TestNothingAllocates(t *testing.T) {
	r := PerSecond(100)
	var l Local
	var b Bucket
	topics := NewTopics(r, 10)
	full := NewTopics(r, 1)
	full.Bucket([]byte("first"), 0).Take(r, 0)
	var cached, overflow *Bucket
	name := []byte("orders.created")
	topics.Take(&cached, name, 0)
	patterns, err := NewPatterns(map[string]int{"other.#": 1})
	if err != nil {
		t.Fatal(err)
	}
	now := int64(0)
	for what, f := range map[string]func(){
		"Local":         func() { l.Check(r, now); l.Take(r, now) },
		"Bucket":        func() { b.Check(r, now); b.Take(r, now); b.Give(r) },
		"Topics":        func() { topics.Take(&cached, name, now) },
		"Topics.Bucket": func() { topics.Bucket(name, now) },
		"overflow":      func() { full.Take(&overflow, name, 0) },
		"no match":      func() { patterns.Matching(name) },
	} {
		if n := testing.AllocsPerRun(1000, func() { now++; f() }); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

// The clock of the benchmarks goes on by a millisecond every 1024 messages, about a million
// messages per second.

func BenchmarkLocalTake(b *testing.B) {
	for _, n := range []int{1000, 999_999, exactMax} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := PerSecond(n)
			var l Local
			passed := 0
			for i := 0; b.Loop(); i++ {
				if _, ok := l.Take(r, int64(i>>10)); ok {
					passed++
				}
			}
			if passed == 0 {
				b.Fatal("none passed")
			}
		})
	}
}

func BenchmarkBucketTake(b *testing.B) {
	for _, n := range []int{1000, 999_999, exactMax} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := PerSecond(n)
			var shared Bucket
			passed := 0
			for i := 0; b.Loop(); i++ {
				if _, ok := shared.Take(r, int64(i>>10)); ok {
					passed++
				}
			}
			if passed == 0 {
				b.Fatal("none passed")
			}
		})
	}
}

func BenchmarkBucketTakeContended(b *testing.B) {
	r := PerSecond(exactMax)
	var shared Bucket
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			shared.Take(r, int64(i>>10))
		}
	})
}

func BenchmarkTopicsTake(b *testing.B) {
	topics := NewTopics(PerSecond(exactMax), 1000)
	name := []byte("orders.created")
	var cached *Bucket
	for i := 0; b.Loop(); i++ {
		topics.Take(&cached, name, int64(i>>10))
	}
}

// BenchmarkTopicsLookup is the cold path: new topics all the time,
// so that each look-up adds one and sweeps.
func BenchmarkTopicsLookup(b *testing.B) {
	topics := NewTopics(PerSecond(1000), 1<<16)
	name := make([]byte, 0, 32)
	for i := 0; b.Loop(); i++ {
		name = fmt.Append(name[:0], "orders.t", i)
		topics.Bucket(name, int64(i>>10))
	}
}
