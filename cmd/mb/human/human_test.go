package human

import (
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		Count(0): "0", Count(12): "12", Count(999): "999", Count(999.9): "1 k",
		Count(12345): "12.3 k", Count(1.5): "1.5", Count(0.04): "0.04", Count(999_999): "1 M",
		Count(-1e-13): "0", Rate(-1e-13): "0/s", Percent(-1e-13): "0 %",
		Rate(0): "0/s", Rate(0.5): "0.5/s", Rate(1.996): "2/s",
		Rate(12345): "12.3 k/s", Rate(120_000): "120 k/s",
		Bytes(-1): "0 B", Bytes(512): "512 B", Bytes(16384): "16 KiB", Bytes(1 << 22): "4.0 MiB",
		Percent(0.034): "3.4 %", Percent(1): "100 %",
		Latency(0): "0 s", Latency(213 * time.Microsecond): "213 µs",
		Latency(1234 * time.Millisecond): "1.23 s", Latency(9996 * time.Microsecond): "10 ms",
		Span(-time.Second): "0s", Span(42 * time.Second): "42s", Span(312 * time.Second): "5m 12s",
		Span(3*time.Hour + 5*time.Minute): "3h 5m", Span(292 * time.Hour): "12d 4h",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
