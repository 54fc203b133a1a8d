package bench

import (
	"reflect"
	"testing"
)

func TestLoopsOf(t *testing.T) {
	for target, want := range map[string]int{
		"mb": 1, "mb-2": 2, "mb-16": 16,
		"mb-1": 0, "mb-0": 0, "mb-02": 0, "mb-+2": 0, "mb--2": 0, "mb-": 0, "mb-two": 0,
		"raw": 0, "nats": 0, "": 0,
	} {
		if got := loopsOf(target); got != want {
			t.Errorf("%q: %d loops, want %d", target, got, want)
		}
	}
	for _, n := range []int{1, 2, maxLoops} {
		if got := loopsOf(nodeWith(n)); got != n {
			t.Errorf("%s: %d loops", nodeWith(n), got)
		}
	}
}

func TestSpread(t *testing.T) {
	o := Options{Targets: []string{"raw", "mb", "redis"}, Loops: []int{2, 1, 4}}
	want := []string{"raw", "mb-2", "mb", "mb-4", "redis"}
	if got := o.spread(); !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	o.Loops = []int{1}
	if got := o.spread(); !reflect.DeepEqual(got, o.Targets) {
		t.Errorf("one loop: %q", got)
	}
}
