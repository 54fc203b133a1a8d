package limit

import (
	"fmt"
	"math"
	"testing"
)

func TestPerSecond(t *testing.T) {
	for _, c := range []struct {
		n, limit int
	}{
		{math.MinInt, 0}, {-1, 0}, {0, 0}, {1, 1}, {3, 3}, {999, 999}, {1000, 1000}, {1001, 1001},
		{9_999_999, 9_999_999}, {10_000_000, 10_000_000}, {10_000_001, 10_001_000},
		{999_999_999, 1_000_000_000}, {1_000_000_000, 1_000_000_000},
		{1_000_000_001, 1_000_000_000}, {math.MaxInt, 1_000_000_000},
	} {
		r := PerSecond(c.n)
		if r.Limit() != c.limit || r.Off() != (c.limit == 0) {
			t.Errorf("PerSecond(%d): limit %d, off %v; want %d", c.n, r.Limit(), r.Off(), c.limit)
		}
		if r.perMs > 10_000_000 {
			t.Errorf("PerSecond(%d): %d units in a millisecond, times would not fit", c.n, r.perMs)
		}
	}
	if r := (Rate{}); !r.Off() || r.Limit() != 0 {
		t.Error("the zero Rate limits")
	}
}

func TestEveryExactRateIsExact(t *testing.T) {
	for n := 1; n <= exactMax; n += 1 + n/5000 {
		if r := PerSecond(n); r.Limit() != n || r.perMs*1000%r.message != 0 {
			t.Fatalf("PerSecond(%d) is %d: %+v", n, r.Limit(), r)
		}
	}
}

func TestNoLimit(t *testing.T) {
	var l Local
	var b Bucket
	for range 1000 {
		if wait, ok := l.Take(Rate{}, 0); wait != 0 || !ok {
			t.Fatal("a Local refuses without a limit")
		}
		if wait, ok := b.Take(Rate{}, 0); wait != 0 || !ok {
			t.Fatal("a Bucket refuses without a limit")
		}
	}
	if _, ok := l.Check(Rate{}, 0); !ok {
		t.Error("a Local's Check refuses without a limit")
	}
	if _, ok := b.Check(Rate{}, 0); !ok {
		t.Error("a Bucket's Check refuses without a limit")
	}
	b.Give(Rate{})
	if l != (Local{}) || b.due.Load() != 0 || !b.Full(Rate{}, 0) || !l.Full(Rate{}, 0) {
		t.Error("a bucket without a limit changed")
	}
}

func TestBurstThenOneByOne(t *testing.T) {
	r := PerSecond(4)
	var l Local
	for _, c := range []struct {
		at, wait int64
	}{
		{0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 250}, {1, 249}, {249, 1}, {250, 0}, {250, 250},
		{750, 0}, {750, 0}, {750, 250},
		{5000, 0}, {5000, 0}, {5000, 0}, {5000, 0}, {5000, 250},
	} {
		if wait, ok := l.Take(r, c.at); wait != c.wait || ok != (c.wait == 0) {
			t.Fatalf("at %d: %d %v, want a wait of %d", c.at, wait, ok, c.wait)
		}
	}
}

// TestLongRunsDoNotDrift takes whenever it may for a long time, by waiting as told,
// and counts exactly.
func TestLongRunsDoNotDrift(t *testing.T) {
	const day = 24 * 3600 * 1000
	const late = 1 << 39 // the last times that are promised
	for _, c := range []struct {
		n         int
		start, ms int64
	}{
		{1, 0, 5 * day}, {3, 0, 2 * day}, {7, late - day, day},
		{999, late - 600_000, 600_000}, {1001, 0, 600_000}, {65_537, 123_456_789, 10_007},
		{9_999_991, late - 71, 71}, {9_999_999, 0, 61}, {10_000_000, late - 50, 50},
	} {
		t.Run(fmt.Sprint(c.n), func(t *testing.T) {
			r, l, b := PerSecond(c.n), new(Local), new(Bucket)
			l.due = (c.start + burstMs) * r.perMs // the burst is spent
			b.due.Store(l.due)
			var passed int64
			for now := c.start; now <= c.start+c.ms; {
				wait, ok := l.Take(r, now)
				if sharedWait, sharedOK := b.Take(r, now); sharedOK != ok || sharedWait != wait {
					t.Fatalf("at %d: Local %d %v, Bucket %d %v",
						now, wait, ok, sharedWait, sharedOK)
				}
				if ok {
					passed++
				} else if wait < 1 {
					t.Fatalf("at %d: refused with a wait of %d", now, wait)
				}
				now += wait
			}
			if want := int64(c.n) * c.ms / 1000; passed != want {
				t.Errorf("%d passed in %d ms, want %d", passed, c.ms, want)
			}
		})
	}
}
