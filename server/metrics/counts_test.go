package metrics

import "testing"

// A rate is what the last whole second counted: not the running one, and not an older one.
func TestPublishedRates(t *testing.T) {
	var s Published
	var run Counts
	turn := func(sec int64, messages int) {
		run[Messages] += uint64(messages)
		s.Publish(sec, &run)
	}
	rate := func(sec int64) uint64 {
		var into Counts
		s.AddRates(sec, &into)
		return into[Messages]
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
	var sum Counts
	s.AddTotals(&sum)
	if sum[Messages] != 14 {
		t.Errorf("total %d, want 14", sum[Messages])
	}
}

// The sum over loops adds counts and keeps the largest maximum.
func TestPublishedSum(t *testing.T) {
	var into Counts
	for _, size := range []uint64{10, 400, 30} {
		var s Published
		run := Counts{Messages: 2, MaxMessageBytes: size}
		s.Publish(1, &run)
		s.AddTotals(&into)
	}
	if into[Messages] != 6 || into[MaxMessageBytes] != 400 {
		t.Errorf("%d messages, largest %d; want 6, 400", into[Messages], into[MaxMessageBytes])
	}
}

func TestEvents(t *testing.T) {
	var w Events
	for range 3 {
		w.Add(50)
	}
	w.Add(51)
	w.Add(50) // from a clock that is a moment behind: counted in the running second
	for _, row := range []struct{ sec, total, rate int64 }{
		{51, 5, 3}, {52, 5, 2}, {51, 5, 2}, {53, 5, 0}, {60, 5, 0},
	} {
		got := w.Read(row.sec)
		if got.Total != uint64(row.total) || got.Rate != uint64(row.rate) {
			t.Errorf("at %d: total %d rate %d, want %d %d",
				row.sec, got.Total, got.Rate, row.total, row.rate)
		}
	}
	w.Add(70)
	if rate := w.Read(71).Rate; rate != 1 {
		t.Errorf("after idle seconds: rate %d, want 1", rate)
	}
}

func TestWindow(t *testing.T) {
	var w Window
	w.Add(50)
	w.Add(50)
	w.Add(51)
	for _, row := range []struct {
		sec  int64
		want int
	}{{51, 2}, {52, 1}, {53, 0}} {
		if got := w.Rate(row.sec); got != row.want {
			t.Errorf("at %d: %d, want %d", row.sec, got, row.want)
		}
	}
}
