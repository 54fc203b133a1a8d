package raw

import "testing"

func TestHello(t *testing.T) {
	want := Hello{Role: Requester, Slot: 70000, Frame: 200, Channel: "bench.fan"}
	in := AppendHello(nil, want)
	for n := range len(in) {
		if _, used := parseHello(in[:n]); used != 0 {
			t.Errorf("%d of %d bytes were enough", n, len(in))
		}
	}
	got, used := parseHello(append(in, "rest"...))
	if got != want || used != len(in) {
		t.Errorf("got %+v in %d bytes", got, used)
	}
}
