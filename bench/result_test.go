package bench

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sample() *Results {
	r := &Results{
		Format: resultFormat, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Machine: Machine{
			CPU: "a <cpu>", Cores: 2, Memory: 1 << 30, Kernel: "6.1", Go: "go1.26", Version: "dev",
		},
		Settings: Settings{
			DurationMs: 2000, WarmupMs: 500, Repeat: 3, ServerCore: 0, LoadCore: -1,
			Servers: map[string]string{"mb": "mb-server 0.1.0, loops=1"},
		},
		Notes: []string{"redis tcp: not there"},
	}
	mb := Measure{
		Scenario: "fan-out/100", Target: "mb", Transport: "tcp", Payload: 128,
		Metric: metricCPU, Unit: "ns",
	}
	raw, rate := mb, mb
	raw.Target = "raw"
	rate.Metric, rate.Unit, rate.Higher = metricRate, "/s", true
	for i, v := range []float64{50, 40, 60} {
		r.add(raw, 20+float64(i))
		r.add(mb, v)
		r.add(rate, 1e6*v)
	}
	return r
}

func TestJSONRoundTrip(t *testing.T) {
	var b bytes.Buffer
	want := sample()
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	got, err := ReadJSON(&b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, wrote %+v", got, want)
	}
	if len(got.Measures) != 3 || len(got.Measures[1].Values) != 3 {
		t.Errorf("measures %+v", got.Measures)
	}
}

func TestReadJSONRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":       "",
		"no JSON":       "hello",
		"other format":  `{"format":2}`,
		"unknown field": `{"format":1,"colour":"red"}`,
		"no values":     `{"format":1,"measures":[{"scenario":"a","metric":"b","values":[]}]}`,
		"no scenario":   `{"format":1,"measures":[{"metric":"b","values":[1]}]}`,
	} {
		if _, err := ReadJSON(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMedianAndRange(t *testing.T) {
	for _, c := range []struct {
		values                []float64
		median, least, grtest float64
	}{
		{nil, 0, 0, 0}, {[]float64{3}, 3, 3, 3},
		{[]float64{3, 1}, 2, 1, 3}, {[]float64{9, 1, 5}, 5, 1, 9},
	} {
		m := Measure{Values: c.values}
		least, greatest := m.Range()
		if m.Median() != c.median || least != c.least || greatest != c.grtest {
			t.Errorf("%v: median %v, range %v to %v", c.values, m.Median(), least, greatest)
		}
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"server CPU", "raw tcp", "50.0 ns ±20% ×2.38", "50.0 M/s ±20%",
		"note: redis tcp: not there",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// Over TLS a column stands beside its ratio to the same target without, where that was measured.
func TestTableTLS(t *testing.T) {
	r := sample()
	for _, m := range []Measure{
		{Target: "mb", Transport: "tls"}, {Target: "mb", Transport: "wss"},
	} {
		m.Scenario, m.Payload, m.Metric, m.Unit = "fan-out/100", 128, metricCPU, "ns"
		r.add(m, 60)
	}
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(b.String(), "\n")
	if got := strings.Join(strings.Fields(head), " "); got !=
		"server CPU raw tcp mb tcp mb tls mb tls/tcp mb wss" {
		t.Errorf("columns %q", got)
	}
	if !strings.Contains(b.String(), "1.20") {
		t.Errorf("no ratio in\n%s", b.String())
	}
}

func TestSelected(t *testing.T) {
	all, err := selected(nil)
	if err != nil || len(all) != len(nodeScenarios()) {
		t.Fatalf("all: %d, %v", len(all), err)
	}
	for _, c := range []struct {
		names []string
		want  int
	}{
		{[]string{"fan-out"}, 5}, {[]string{"fan-out/100"}, 1},
		{[]string{"start", "request", "request/1x1"}, 4}, {[]string{"cluster"}, 6},
	} {
		got, err := selected(c.names)
		if err != nil || len(got) != c.want {
			t.Errorf("%v: %d scenarios, %v", c.names, len(got), err)
		}
	}
	for _, name := range []string{"fan", "fan-out/2", ""} {
		if _, err := selected([]string{name}); err == nil {
			t.Errorf("%q is a scenario", name)
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	good := DefaultOptions()
	if err := good.validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Options){
		"target":      func(o *Options) { o.Targets = []string{"kafka"} },
		"no target":   func(o *Options) { o.Targets = nil },
		"transport":   func(o *Options) { o.Transports = []string{"udp"} },
		"small":       func(o *Options) { o.Payloads = []int{minPayload - 1} },
		"large":       func(o *Options) { o.Payloads = []int{maxPayload + 1} },
		"repeat":      func(o *Options) { o.Repeat = 0 },
		"duration":    func(o *Options) { o.Duration = 0 },
		"no warm-up":  func(o *Options) { o.Warmup = -1 },
		"no loops":    func(o *Options) { o.Loops = nil },
		"zero loops":  func(o *Options) { o.Loops = []int{1, 0} },
		"many loops":  func(o *Options) { o.Loops = []int{maxLoops + 1} },
		"loops twice": func(o *Options) { o.Loops = []int{2, 1, 2} },
		"loops of a running node": func(o *Options) {
			o.Loops, o.Address = []int{2}, map[string]string{"tcp": "127.0.0.1:1"}
		},
		"no procs": func(o *Options) { o.Procs = 0 },
	} {
		o := DefaultOptions()
		if spoil(&o); o.validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The page lists every scenario as mb bench list does.
func TestDocsListScenarios(t *testing.T) {
	page, err := os.ReadFile("../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Scenarios() {
		if row := "| `" + s.Name + "` | " + s.About + " |\n"; !strings.Contains(string(page), row) {
			t.Errorf("docs/benchmarks.md has no line\n%s", row)
		}
	}
}
