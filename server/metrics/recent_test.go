package metrics

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Quantiles are those of the sorted times, at most a quarter more, and of the last window and the
// one before it alone.
func TestRecent(t *testing.T) {
	const longest = 1 << recentLast
	rapid.Check(t, func(t *rapid.T) {
		var r Recent
		of := map[int64][]int64{} // by window
		now := int64(1_800_000_000)
		add := func(t *rapid.T) {
			now += rapid.Int64Range(0, RecentWindow).Draw(t, "s")
			ns := rapid.OneOf(
				rapid.Int64Range(0, 1e6), rapid.Int64Range(0, longest-1)).Draw(t, "ns")
			r.Add(now, ns)
			of[now/RecentWindow] = append(of[now/RecentWindow], ns)
		}
		check := func(t *rapid.T) {
			at := now + rapid.Int64Range(0, 3*RecentWindow).Draw(t, "later")
			all := slices.Concat(of[at/RecentWindow], of[at/RecentWindow-1])
			slices.Sort(all)
			n, p50, p99 := r.Read(at)
			if n != uint64(len(all)) {
				t.Fatalf("%d, want %d", n, len(all))
			}
			for part, got := range map[int]time.Duration{50: p50, 99: p99} {
				if n == 0 {
					if got != 0 {
						t.Fatalf("p%d %v of none", part, got)
					}
					continue
				}
				want := all[(part*len(all)+99)/100-1]
				if int64(got) <= want || int64(got) > max(want+want/4+1, 1<<recentFirst) {
					t.Fatalf("p%d %d, want %d", part, got, want)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){"add": add, "": check})
	})
	var r Recent
	r.Add(0, 1<<62)
	r.Add(0, -1)
	if n, p50, p99 := r.Read(0); n != 2 || p50 != 1<<recentFirst || p99 < longest {
		t.Errorf("%d, %v, %v", n, p50, p99)
	}
	if n := testing.AllocsPerRun(100, func() { r.Add(1, 5); r.Read(1) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
