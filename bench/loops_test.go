package bench

import (
	"bytes"
	"reflect"
	"strings"
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

// loopsRun is a run with one loop and with two, of which a share of the links in percent crosses.
func loopsRun(one, two, crossing float64) *Results {
	r := run(one)
	cpu := r.Measures[0]
	cpu.Target = "mb-2"
	share := cpu
	share.Metric, share.Unit, share.Higher = metricCrosses, "%", true
	r.add(cpu, two)
	r.add(share, crossing)
	return r
}

func TestTableOfLoops(t *testing.T) {
	r := loopsRun(100, 250, 100)
	ws := r.Measures[0]
	ws.Transport, ws.Target = "ws", "mb-2" // not measured with one loop: no ratio
	r.add(ws, 300)
	other := ws
	other.Scenario, other.Transport = "pairs/50", "tcp"
	r.add(other, 200) // as above
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(table.String(), "\n")
	for i, want := range []string{
		"server CPU mb tcp mb-2 tcp mb-2/mb mb-2 ws",
		"fan-out/1 100 ns 250 ns 2.50 300 ns",
		"pairs/50 - 200 ns - -",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("line %d: %q, want %q", i, got, want)
		}
	}
	if strings.Count(table.String(), "mb-2/mb") != 1 {
		t.Errorf("ratios of nothing:\n%s", table.String())
	}
	var page strings.Builder
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<th scope="col">mb-2/mb</th>`, `<td title="">2.50</td>`} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in the page", want)
		}
	}
}

// What the generator and the server take of a core is shown, and not kept.
func TestShares(t *testing.T) {
	r := run(500, 400) // at 2 and 2.5 million a second
	load := r.Measures[0]
	load.Metric = metricLoad
	r.add(load, 100)
	r.add(load, 200)
	before := len(r.Measures)
	shares := r.withShares()
	for metric, want := range map[string][]float64{
		"server CPU share": {100, 100}, "generator CPU share": {20, 50},
	} {
		m := shares.find("fan-out/1", "mb", "tcp", 128, metric)
		if m == nil || !reflect.DeepEqual(m.Values, want) {
			t.Errorf("%s: %+v, want %v", metric, m, want)
		}
	}
	if len(r.Measures) != before {
		t.Errorf("%d measures, %d before", len(r.Measures), before)
	}
	var b bytes.Buffer
	if err := r.WriteSVG(&b, "generator CPU share"); err != nil {
		t.Error(err)
	}
}
