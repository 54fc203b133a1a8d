package metrics

import (
	"testing"

	"pgregory.net/rapid"
)

// A time is in the bucket of the first bound that it does not pass, and what is published in pieces
// is what was counted.
func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var times Times
		var published PublishedTimes
		var want [buckets]uint64
		sum := 0.0
		around := []int64{0, 1, 1 << 62}
		for _, ns := range boundsNs {
			around = append(around, ns-1, ns, ns+1)
		}
		some := rapid.OneOf(rapid.SampledFrom(around), rapid.Int64Range(-5, 20e9))
		for range rapid.IntRange(1, 50).Draw(t, "times") {
			ns, n := some.Draw(t, "ns"), rapid.Uint64Range(1, 1000).Draw(t, "n")
			times[FlushTime].Add(ns, n)
			ns = max(ns, 0)
			i := 0
			for i < len(boundsNs) && ns > boundsNs[i] {
				i++
			}
			want[i] += n
			sum += float64(uint64(ns)*n) / 1e9
			if rapid.Bool().Draw(t, "publish") {
				published.Publish(&times)
			}
		}
		published.Publish(&times)
		var got TimesSample
		published.AddTo(&got)
		published.AddTo(&got)
		for i := range want {
			if got[FlushTime].Counts[i] != 2*want[i] || got[TurnTime].Counts[i] != 0 {
				t.Fatalf("bucket %d has %d, want %d", i, got[FlushTime].Counts[i], 2*want[i])
			}
		}
		if sum < 1e9 && (got[FlushTime].Sum < 1.999*sum || got[FlushTime].Sum > 2.001*sum) {
			t.Fatalf("sum %v, want %v", got[FlushTime].Sum, 2*sum)
		}
	})
}

func TestHistogramAllocates(t *testing.T) {
	var times Times
	var published PublishedTimes
	ns := int64(1)
	if n := testing.AllocsPerRun(100, func() {
		times[AnswerTime].Add(ns, 1)
		ns = ns*5 + 3
		published.Publish(&times)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHistogramAdd(b *testing.B) {
	var h Histogram
	for i := range b.N {
		h.Add(int64(i)&0xfffff, 1)
	}
}

// The bounds ascend, and each is a whole number of microseconds.
func TestBounds(t *testing.T) {
	for i, ns := range boundsNs {
		if ns%1000 != 0 || i > 0 && ns <= boundsNs[i-1] {
			t.Errorf("bound %d is %d ns", i, ns)
		}
	}
}
