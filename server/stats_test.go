package server

import "testing"

// A rate is what the last whole second counted: not the running one, and not an older one.
func TestStatsRates(t *testing.T) {
	var s stats
	var run tally
	turn := func(sec int64, messages int) {
		run[countMessage] += uint64(messages)
		s.publish(sec, &run)
	}
	rate := func(sec int64) uint64 {
		var into tally
		s.rates(sec, &into)
		return into[countMessage]
	}
	turn(100, 3)
	turn(100, 4)
	for _, row := range []struct {
		sec  int64
		want uint64
	}{{100, 0}, {101, 7}, {102, 0}, {99, 0}} {
		if got := rate(row.sec); got != row.want {
			t.Errorf("at %d: %d, want %d", row.sec, got, row.want)
		}
	}
	turn(101, 5)
	for _, row := range []struct {
		sec  int64
		want uint64
	}{{100, 7}, {101, 7}, {102, 5}, {103, 0}} {
		if got := rate(row.sec); got != row.want {
			t.Errorf("after 101, at %d: %d, want %d", row.sec, got, row.want)
		}
	}
	turn(105, 2) // the seconds between were idle
	if got := rate(105); got != 0 {
		t.Errorf("at 105 after idle seconds: %d, want 0", got)
	}
	if got := rate(106); got != 2 {
		t.Errorf("at 106: %d, want 2", got)
	}
	var sum tally
	s.sum(&sum)
	if sum[countMessage] != 14 {
		t.Errorf("total %d, want 14", sum[countMessage])
	}
}

// The sum over loops adds counts and keeps the largest maximum.
func TestStatsSum(t *testing.T) {
	var into tally
	for _, size := range []uint64{10, 400, 30} {
		var s stats
		run := tally{countMessage: 2, maxMessageBytes: size}
		s.publish(1, &run)
		s.sum(&into)
	}
	if into[countMessage] != 6 || into[maxMessageBytes] != 400 {
		t.Errorf("%d messages, largest %d; want 6, 400", into[countMessage], into[maxMessageBytes])
	}
}

func TestWindow(t *testing.T) {
	var w window
	for range 3 {
		w.add(50)
	}
	w.add(51)
	w.add(50) // from a clock that is a moment behind: counted in the running second
	for _, row := range []struct{ sec, total, rate int64 }{{51, 5, 3}, {52, 5, 2}, {51, 5, 2}, {53, 5, 0}, {60, 5, 0}} {
		total, rate := w.read(row.sec)
		if total != uint64(row.total) || rate != uint64(row.rate) {
			t.Errorf("at %d: total %d rate %d, want %d %d", row.sec, total, rate, row.total, row.rate)
		}
	}
	w.add(70)
	if _, rate := w.read(71); rate != 1 {
		t.Errorf("after idle seconds: rate %d, want 1", rate)
	}
}

func TestErrorWindow(t *testing.T) {
	var w errorWindow
	w.add(50)
	w.add(50)
	w.add(51)
	for _, row := range []struct {
		sec  int64
		want int
	}{{51, 2}, {52, 1}, {53, 0}} {
		if got := w.rate(row.sec); got != row.want {
			t.Errorf("at %d: %d, want %d", row.sec, got, row.want)
		}
	}
}
