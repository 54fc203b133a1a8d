package bench

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestScale(t *testing.T) {
	for _, c := range []struct {
		least, greatest float64
		want            string
	}{
		{60, 19086, "true [10 100 1000 10000 100000]"}, {640, 680, "true [500 1000]"},
		{110, 480, "true [100 200 500]"}, {100, 100, "true [100 200]"},
		{100, 200, "true [100 200]"}, {3e-9, 7e3, "true [1e-09 1e-07 1e-05 0.001 0.1 10 1000]"},
		{0, 2.05, "false [0 0.5 1 1.5 2 2.5]"},
		{0, 0, "false [0 0.2 0.4 0.6000000000000001 0.8 1]"},
		{5e-324, 5e-324, "false [0 0.2 0.4 0.6000000000000001 0.8 1]"},
		{-3, 12, "false [-5 0 5 10 15]"}, {-4, -1, "false [-4 -3 -2 -1 0]"},
	} {
		s := newScale(c.least, c.greatest)
		if got := fmt.Sprint(s.logarithmic, s.ticks); got != c.want {
			t.Errorf("%v to %v: %s, want %s", c.least, c.greatest, got, c.want)
		}
	}
}

// Whatever is measured has its place, in order, and ticks are few.
func TestScaleHoldsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfN(rapid.OneOf(
			rapid.Float64Range(1e-9, 1e12), rapid.Float64Range(-1e9, 1e9),
			rapid.Float64Range(0, 1e-290), rapid.Just(0.0),
		), 1, 8).Draw(t, "values")
		slices.Sort(some)
		s := newScale(some[0], some[len(some)-1])
		const slack = 1e-6
		last := -slack
		for _, v := range some {
			at := s.at(v)
			if !(at >= last-slack) || at > 1+slack {
				t.Fatalf("%v is at %v, after %v", v, at, last)
			}
			last = at
		}
		if n := len(s.ticks); n < 2 || n > maxTicks || !slices.IsSorted(s.ticks) ||
			s.at(s.ticks[0]) < -slack || s.at(s.ticks[n-1]) > 1+slack {
			t.Fatalf("ticks %v", s.ticks)
		}
	})
}
