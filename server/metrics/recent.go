package metrics

import (
	"math/bits"
	"sync/atomic"
	"time"
	"unsafe"
)

// RecentWindow is how long a window of Recent is, in seconds.
const RecentWindow = 30

// Recent is the times of the last 30 to 60 seconds of one thing, by their length: what half of them
// keep, and 99 of 100, can be told to a quarter. The zero value is ready. One goroutine adds, any
// goroutine reads; while a window is begun, who reads may see a part of it.
type Recent struct {
	windows [2]recentWindow // the current one is that of its number, modulo two
}

type recentWindow struct {
	number atomic.Uint32 // Unix seconds by RecentWindow
	counts [recentBuckets]atomic.Uint32
}

// Buckets: one for what is below 8 µs, then four for each power of two up to 17 s, and one for what
// is longer.
const (
	recentFirst   = 13 // bits of the first bucket's bound in ns
	recentLast    = 34
	recentBuckets = 2 + 4*(recentLast-recentFirst)
)

// RecentBytes is what a Recent holds.
const RecentBytes = int(unsafe.Sizeof(Recent{}))

// Add counts a time of so many ns at a moment, in Unix seconds. It allocates nothing.
func (r *Recent) Add(unix, ns int64) {
	number := uint32(unix / RecentWindow)
	w := &r.windows[number%2]
	if w.number.Load() != number {
		for i := range w.counts {
			w.counts[i].Store(0)
		}
		w.number.Store(number)
	}
	w.counts[recentBucket(ns)].Add(1)
}

func recentBucket(ns int64) int {
	if ns < 1<<recentFirst {
		return 0
	}
	octave := bits.Len64(uint64(ns)) - 1
	if octave >= recentLast {
		return recentBuckets - 1
	}
	return 1 + 4*(octave-recentFirst) + int(ns>>(octave-2))&3
}

// recentBound is the least time, in ns, that is too long for a bucket.
func recentBound(bucket int) int64 {
	if bucket == 0 {
		return 1 << recentFirst
	}
	octave, part := (bucket-1)/4, (bucket-1)%4
	return int64(4+part+1) << (octave + recentFirst - 2)
}

// Read returns how many times there are at a moment, in Unix seconds, and a bound that half of
// them, and 99 of 100, keep: at most a quarter above, and 21 s for what is longer than 17 s; 0 when
// there are none.
func (r *Recent) Read(unix int64) (count uint64, p50, p99 time.Duration) {
	var counts [recentBuckets]uint64
	now := uint32(unix / RecentWindow)
	for i := range r.windows {
		w := &r.windows[i]
		if n := w.number.Load(); n != now && n != now-1 {
			continue
		}
		for b := range w.counts {
			n := uint64(w.counts[b].Load())
			counts[b] += n
			count += n
		}
	}
	quantile := func(part uint64) time.Duration { // in hundredths
		up := uint64(0)
		for b, n := range counts {
			if up += n; n > 0 && 100*up >= part*count {
				return time.Duration(recentBound(b))
			}
		}
		return 0
	}
	return count, quantile(50), quantile(99)
}
