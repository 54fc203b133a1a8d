package census

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever comes in whatever order, the first in order are kept, and no memory for others.
func TestTop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOf(rapid.IntRange(0, 50)).Draw(t, "all")
		most, skip := rapid.IntRange(1, 20).Draw(t, "most"), rapid.IntRange(0, 25).Draw(t, "skip")
		top := NewTop(most, func(a, b *int) int { return cmp.Compare(*a, *b) })
		for _, v := range all {
			top.Add(&v)
			if len(top.heap) > most {
				t.Fatalf("%d are kept", len(top.heap))
			}
		}
		want := slices.Sorted(slices.Values(all))
		want = want[:min(most, len(want))]
		want = want[min(skip, len(want)):]
		if got := top.Sorted(skip); !slices.Equal(got, want) || top.Seen() != len(all) {
			t.Fatalf("%v, want %v; saw %d", got, want, top.Seen())
		}
	})
}
