package broker

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestLineModel holds a line against a slice, and that a crowd does not leave its memory behind.
func TestLineModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q line[int]
		var want []int
		for next := range rapid.IntRange(1, 50).Draw(t, "steps") {
			n := rapid.IntRange(-4000, 4000).Draw(t, "more or less")
			for ; n > 0; n-- {
				q.push(next)
				want = append(want, next)
			}
			for ; n < 0 && len(want) > 0; n++ {
				if *q.first() != want[0] || q.pop() != want[0] {
					t.Fatalf("not the first of %d was taken", len(want))
				}
				want = want[1:]
			}
			if q.len() != len(want) || !slices.Equal(q.waiting(), want) {
				t.Fatalf("%d wait, want %d", q.len(), len(want))
			}
			if c := cap(q.items); c > lineKeep && c > 8*(len(want)+4000) {
				t.Fatalf("room for %d is kept for %d", c, len(want))
			}
		}
	})
}
