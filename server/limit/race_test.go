package limit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// together runs f on several goroutines and waits for them.
func together(f func(worker int)) {
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() { f(worker) })
	}
	wait.Wait()
}

// TestSharedBucketIsExact lets goroutines take as fast as they can while the clock goes on: what
// passes is the burst and the rate times the time, neither more nor less.
func TestSharedBucketIsExact(t *testing.T) {
	const end = 3000 // ms
	for _, n := range []int{1, 7, 1000, 3001} {
		r := PerSecond(n)
		var b Bucket
		var clock, passed atomic.Int64
		together(func(int) {
			for {
				now := clock.Load()
				if _, ok := b.Take(r, now); ok {
					passed.Add(1)
				} else if now == end {
					return
				} else {
					clock.CompareAndSwap(now, now+1) // only when nothing is left at this time
				}
			}
		})
		if want := int64(n + n*end/1000); passed.Load() != want {
			t.Errorf("rate %d: %d passed, want %d", n, passed.Load(), want)
		}
	}
}

// TestGiveBesideTake lets goroutines take and give back all the time beside one that keeps: none is
// lost, none gained.
func TestGiveBesideTake(t *testing.T) {
	r := PerSecond(1000)
	var b Bucket
	var kept atomic.Int64
	together(func(worker int) {
		for i := range 2000 {
			if _, ok := b.Take(r, 0); !ok {
				continue
			}
			if worker > 0 || i%2 == 0 {
				b.Give(r)
			} else {
				kept.Add(1)
			}
		}
	})
	left := int64(0)
	for {
		if _, ok := b.Take(r, 0); !ok {
			break
		}
		left++
	}
	if kept.Load() == 0 || kept.Load()+left != 1000 {
		t.Errorf("%d kept and %d left of 1000", kept.Load(), left)
	}
}

// TestTopicsBesideForgetting has goroutines that keep buckets of more topics than stay in the
// table. No topic passes more than its rate, which a bucket used by some and replaced for others
// would.
func TestTopicsBesideForgetting(t *testing.T) {
	const (
		names = 32
		n     = 20     // messages per second
		end   = 60_000 // ms
	)
	topics := NewTopics(PerSecond(n), names)
	var clock, forgotten atomic.Int64
	var passed [names]atomic.Int64
	together(func(worker int) {
		var cached [names]*Bucket
		name := make([]byte, 0, 8)
		for i := worker * 700; ; i++ {
			now := clock.Load()
			if now >= end {
				return
			}
			// Bursts on a few topics, long enough silent on the others for the sweep to take them.
			at := (i/400*5 + i%3) % names
			name = fmt.Append(name[:0], "t", at)
			before := cached[at]
			if _, ok := topics.Take(&cached[at], name, now); ok {
				passed[at].Add(1)
			}
			if before != nil && cached[at] != before {
				forgotten.Add(1)
			}
			if i%50 == 0 {
				topics.mu.Lock()
				topics.sweep(now) // as if topics of others were added
				topics.mu.Unlock()
			}
			if i%5 == 0 {
				clock.CompareAndSwap(now, now+1)
			}
		}
	})
	for i := range passed {
		if most := int64(n + n*end/1000); passed[i].Load() > most {
			t.Errorf("topic %d: %d passed, at most %d may", i, passed[i].Load(), most)
		}
	}
	if forgotten.Load() == 0 || topics.Overflowed() != 0 {
		t.Errorf("%d kept buckets were forgotten, %d look-ups overflowed: the test shows nothing",
			forgotten.Load(), topics.Overflowed())
	}
}

// TestForgettingBesideTake has one goroutine forget a full bucket while others take: either the
// bucket stays and counts what passed, or it is gone and nothing passed.
func TestForgettingBesideTake(t *testing.T) {
	r := PerSecond(3)
	gone := 0
	for range 3000 {
		var b Bucket
		var passed atomic.Int64
		var forgot atomic.Bool
		together(func(worker int) {
			if worker == 0 {
				forgot.Store(b.forget(r, 0))
			} else if _, ok := b.Take(r, 0); ok {
				passed.Add(1)
			}
		})
		if forgot.Load() == (passed.Load() > 0) {
			t.Fatalf("forgotten: %v, though %d passed", forgot.Load(), passed.Load())
		}
		if forgot.Load() {
			gone++
		}
	}
	t.Logf("forgotten first in %d of 3000 rounds", gone)
}
