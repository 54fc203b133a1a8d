package bench

import (
	"bytes"
	"hash/fnv"
	"math"
	"reflect"
	"strings"
	"testing"
)

// Plain work: hashing, copying and a map, as brokers do.
func BenchmarkYardstick(b *testing.B) {
	text, to := payloadText(64), make([]byte, 64)
	names := map[string]int{}
	for i := range 56 {
		names[string(text[i:i+8])+string(rune('a'+i%26))] = i
	}
	key, sum := string(text[:8])+"a", 0
	for b.Loop() {
		h := fnv.New64a()
		_, _ = h.Write(text) // It never fails.
		copy(to, text)
		sum += names[key] + int(h.Sum64()&1)
	}
	if sum < 0 {
		b.Fatal("overflow")
	}
}

func payloadText(n int) []byte {
	return bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz012345"), n/32)
}

const benchOutput = `goos: linux
pkg: mbserver/bench
BenchmarkYardstick-2   	 1000	       200 ns/op
BenchmarkYardstick-2   	 1000	       220 ns/op
PASS
pkg: mbserver/codec
BenchmarkParseHeader/short-2 	 1000	       150 ns/op	       0 B/op	       0 allocs/op
BenchmarkParseHeader/short-2 	 1000	       100 ns/op	       0 B/op	       0 allocs/op
PASS
`

func TestLimits(t *testing.T) {
	const name = "mbserver/codec.ParseHeader/short"
	l := &Limits{
		Band: 0.2, Micro: map[string]float64{name: 0.45},
		Macro: map[string]float64{"fan-out/100": 2},
	}
	check := func() []Held {
		t.Helper()
		held, err := l.Check(strings.NewReader(benchOutput), sample())
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	want := []Held{
		{Name: name, Ratio: 0.5, Limit: 0.45, Most: 0.45 * (1 + l.Band)},
		{Name: "fan-out/100", Ratio: 50.0 / 21, Limit: 2, Most: 2 * (1 + l.Band)},
	}
	if got := check(); !reflect.DeepEqual(got, want) {
		t.Errorf("within the band: %+v, want %+v", got, want)
	}
	l.Band = 0.1
	if got := check(); !got[1].Exceeded || !got[0].Exceeded == (0.5 > 0.45*1.1) {
		t.Errorf("past the band: %+v", got)
	}
	l.Macro["fan-out/1"] = 3
	var b strings.Builder
	held := check()
	err := l.WriteHeld(&b, held)
	if text := b.String(); err != nil || !strings.Contains(text, "NOT MEASURED") ||
		!strings.Contains(text, "EXCEEDED") {
		t.Errorf("%v\n%s", err, b.String())
	}
	l.Renew(held)
	if l.Micro[name] != 0.5 || l.Macro["fan-out/100"] != 2.381 || l.Macro["fan-out/1"] != 3 {
		t.Errorf("renewed: %+v", l)
	}
	var file bytes.Buffer
	if err := l.Write(&file); err != nil {
		t.Fatal(err)
	}
	if again, err := ReadLimits(&file); err != nil || !reflect.DeepEqual(again, l) {
		t.Errorf("read %+v, %v", again, err)
	}
}

// What two loops cost is held without a band, and only where everything crosses.
func TestLimitsTwoLoops(t *testing.T) {
	l := &Limits{Band: 0.5, TwoLoops: map[string]float64{"fan-out/1": 3}}
	for _, c := range []struct {
		name     string
		run      *Results
		ratio    float64
		exceeded bool
	}{
		{name: "within", run: loopsRun(100, 299, 100), ratio: 2.99},
		{name: "past it", run: loopsRun(100, 301, 100), ratio: 3.01, exceeded: true},
		{name: "half of it", run: loopsRun(100, 100, 50), ratio: math.NaN(), exceeded: true},
		{name: "not measured", run: run(100), ratio: math.NaN(), exceeded: true},
	} {
		held, err := l.Check(strings.NewReader(benchOutput), c.run)
		if err != nil || len(held) != 1 {
			t.Fatalf("%s: %+v, %v", c.name, held, err)
		}
		h := held[0]
		same := h.Ratio == c.ratio || math.IsNaN(h.Ratio) && math.IsNaN(c.ratio)
		if h.Name != "mb-2/mb fan-out/1" || !same || h.Most != 3 || h.Exceeded != c.exceeded {
			t.Errorf("%s: %+v", c.name, h)
		}
	}
	held, err := l.Check(strings.NewReader(benchOutput), loopsRun(100, 150, 100))
	if err != nil {
		t.Fatal(err)
	}
	if l.Renew(held); l.TwoLoops["fan-out/1"] != 2 { // 1.5 and room
		t.Errorf("renewed: %+v", l)
	}
}

func TestLimitsRefuse(t *testing.T) {
	for _, text := range []string{
		"", "{}", `{"band":0.1}`, `{"band":0,"macro":{"a":1}}`,
		`{"band":0.1,"macro":{"a":1},"x":1}`,
	} {
		if _, err := ReadLimits(strings.NewReader(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
	l := &Limits{Band: 1, Micro: map[string]float64{"a": 1}}
	if _, err := l.Check(strings.NewReader("PASS\n"), sample()); err == nil {
		t.Error("no yardstick is no error")
	}
}
