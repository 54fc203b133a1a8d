package limit

import (
	"testing"

	"pgregory.net/rapid"
)

// A bucket whose rate changes has the same part left, and one that changes to and fro has what it
// had: nobody gains by that.
func TestMove(t *testing.T) {
	rates := []int{1, 3, 7, 10, 999, 1000, 1001, 123_457, 10_000_000}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Rate { return PerSecond(rapid.SampledFrom(rates).Draw(t, name)) }
		now, from, to := rapid.Int64Range(0, 1<<39).Draw(t, "now"), draw("from"), draw("to")
		var l Local
		taken := rapid.IntRange(0, 2000).Draw(t, "taken")
		for range min(taken, from.Limit()) {
			l.Take(from, now)
		}
		now += rapid.Int64Range(0, 1500).Draw(t, "later")
		left := l.Room(from, now)
		l.Move(from, to, now)
		// A part of the one is the same part of the other, a message more or less; less by what
		// comes in a millisecond where bucket time is no finer.
		got := float64(l.Room(to, now)) / float64(to.Limit())
		was := float64(left) / float64(from.Limit())
		if d := got - was; d > 1/float64(from.Limit())+1e-9 || -d > 1/float64(to.Limit())+0.001 {
			t.Fatalf("%v left of %d, was %v of %d", got, to.Limit(), was, from.Limit())
		}
		l.Move(to, from, now)
		if again := l.Room(from, now); again > left ||
			again < left-1-int64(from.Limit())/1000 {
			t.Fatalf("%d left, then %d", left, again)
		}
	})
	var l Local
	for range 10 {
		l.Take(PerSecond(10), 0)
	}
	l.Move(PerSecond(10), Rate{}, 0)
	if l.Move(Rate{}, PerSecond(5), 0); l.Room(PerSecond(5), 0) != 5 {
		t.Error("what had no limit has less than all")
	}
}
