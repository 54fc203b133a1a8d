package bench

import "testing"

func TestQuantity(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{0, "ns", "0 ns"}, {0.5, "ns", "0.50 ns"}, {60.93, "ns", "60.9 ns"}, {145, "ns", "145 ns"},
		{999.4, "ns", "999 ns"}, {999.6, "ns", "1.00 µs"}, {11402, "ns", "11.4 µs"},
		{9.996, "ns", "10.0 ns"}, {99.96, "ns", "100 ns"}, {7.1e9, "ns", "7.10 s"},
		{392, "µs", "392 µs"}, {16237, "µs", "16.2 ms"}, {0.4, "µs", "400 ns"},
		{4.49, "ms", "4.49 ms"}, {1.5e6, "ms", "1.50 ks"},
		{0, "/s", "0 /s"}, {12, "/s", "12.0 /s"}, {5978621, "/s", "5.98 M/s"},
		{30373808, "/s", "30.4 M/s"}, {2e15, "/s", "2000 T/s"},
		{823, "B", "823 B"}, {32052, "B", "32.1 kB"}, {15.4, "MiB", "16.1 MB"},
		{-0.25, "MiB", "-262 kB"}, {0, "MiB", "0 MiB"},
		{0.0613, "%", "0.06 %"}, {97.13, "% of a core", "97.1 %"}, {100, "%", "100 %"},
		{12, "apples", "12.0 apples"},
	} {
		if got := quantity(c.v, c.unit); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}
