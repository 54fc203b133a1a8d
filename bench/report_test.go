package bench

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
)

func run(values ...float64) *Results {
	r := &Results{Format: resultFormat}
	cpu := Measure{
		Scenario: "fan-out/1", Target: "mb", Transport: "tcp", Payload: 128,
		Metric: metricCPU, Unit: "ns",
	}
	rate := cpu
	rate.Metric, rate.Unit, rate.Higher = metricRate, "/s", true
	for _, v := range values {
		r.add(cpu, v)
		r.add(rate, 1e9/v)
	}
	return r
}

func TestCompare(t *testing.T) {
	slow, fast := run(100, 101, 102, 103, 104), run(50, 51, 52, 53, 54)
	for _, c := range []struct {
		name       string
		old, new   *Results
		cpu, rate  Verdict
		delta      float64
		wantWarned bool
	}{
		{name: "faster", old: slow, new: fast, cpu: Better, rate: Better, delta: 52.0/102 - 1},
		{name: "slower", old: fast, new: slow, cpu: Worse, rate: Worse, delta: 102.0/52 - 1},
		{name: "the same run", old: slow, new: slow, cpu: Same, rate: Same},
		{name: "within the noise",
			old: run(90, 100, 110, 120, 130), new: run(95, 105, 115, 118, 128),
			cpu: Same, rate: Same, delta: 5.0 / 110},
		{name: "too few", old: run(100, 101), new: run(50, 51),
			cpu: Same, rate: Same, delta: 50.5/100.5 - 1, wantWarned: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Compare(c.old, c.new)
			if len(got) != 2 {
				t.Fatalf("%d differences", len(got))
			}
			if got[0].Verdict != c.cpu || got[1].Verdict != c.rate ||
				math.Abs(got[0].Delta-c.delta) > 1e-9 {
				t.Errorf("CPU %+v, rate %+v", got[0], got[1])
			}
			if warned := len(got[0].Warnings) > 0; warned != c.wantWarned {
				t.Errorf("warnings %q", got[0].Warnings)
			}
		})
	}
}

func TestCompareOnlyWhatBothHave(t *testing.T) {
	other := run(1, 2, 3)
	other.Measures[0].Scenario = "fan-out/10"
	if got := Compare(run(1, 2, 3), other); len(got) != 1 || got[0].New.Metric != metricRate {
		t.Errorf("%+v", got)
	}
	var b strings.Builder
	compared := Compare(run(100, 101, 102, 103), run(50, 51, 52, 53))
	if err := WriteComparison(&b, compared); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fan-out/1", "-49.3%", "better", "0.029"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestHTML(t *testing.T) {
	r := sample()
	r.add(Measure{
		Scenario: "idle/5000", Target: "mb", Transport: "tcp", Payload: 128,
		Metric: metricIdle, Unit: "%",
	}, 0) // no logarithm
	var b strings.Builder
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"a &lt;cpu&gt;", "50.0 ns ±20% ×2.38", `title="50.0 ns, 40.0 ns, 60.0 ns"`,
		`class="best"`, "redis tcp: not there", "subscribers, saturated",
		"<dt>mb</dt><dd>mb-server 0.1.0, loops=1</dd>", "server on core 0, load on any core",
		"logarithmic scale", "linear scale", "prefers-color-scheme: dark", "position: sticky",
		"width=device-width",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if got, want := strings.Count(text, "<svg"), 4; got != want {
		t.Errorf("%d plots, want %d", got, want)
	}
	for _, foreign := range []string{"<script", "<link", "src=", "@import", "url(http", "<?xml"} {
		if strings.Contains(text, foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
}

func TestSVG(t *testing.T) {
	var b strings.Builder
	r := sample()
	r.Measures[1].Target = "<mb>"
	if err := r.WriteSVG(&b, metricCPU); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("no XML: %v", err)
		}
	}
	for _, want := range []string{
		"fan-out/100", "&lt;mb&gt; tcp", "raw tcp", "logarithmic scale", "lower is better",
		"50.0 ns (40.0 ns to 60.0 ns)",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in the plot", want)
		}
	}
	if err := sample().WriteSVG(&b, "colour"); err == nil {
		t.Error("a plot of nothing")
	}
}

// Nothing is drawn over anything else: the legend stands above the marks, each mark in a lane of
// its own, and all of them within the ticks.
func TestPlotHasRoom(t *testing.T) {
	r := sample()
	for i, target := range []string{"redis", "nats", mqttBroker, "centrifuge", "mb-2", "mb-4"} {
		for _, transport := range []string{"tcp", "ws"} {
			m := Measure{
				Scenario: "fan-out/100", Target: target, Transport: transport, Payload: 128,
				Metric: metricCPU, Unit: "ns",
			}
			r.add(m, 3*math.Pow(10, float64(i)))
			r.add(m, 5*math.Pow(10, float64(i)))
		}
	}
	p := r.draw(r.grids()[0])
	looks := map[string]bool{}
	for _, e := range p.Legend {
		if e.Mark.Y+10 > p.Top-plotAxis || e.X < 0 || e.X > 70 {
			t.Errorf("%s of the legend is at %v, %d; rows from %d", e.Name, e.X, e.Mark.Y, p.Top)
		}
		looks[fmt.Sprint(e.Colour, e.Mark.Square, e.Mark.Fill)] = true
	}
	if len(looks) != 14 || len(p.Rows) != 1 || len(p.Rows[0].Points) != 14 {
		t.Fatalf("%d looks, %+v", len(looks), p.Rows)
	}
	last := p.Top
	for _, point := range p.Rows[0].Points {
		if point.Mark.Y < last+plotLane || point.Mark.Y > p.Bottom-plotLane {
			t.Errorf("a mark at %d after one at %d, bottom %d", point.Mark.Y, last, p.Bottom)
		}
		last = point.Mark.Y
		if point.Least < p.Ticks[0].X || point.Greatest > 100 || point.Least > point.Greatest {
			t.Errorf("a mark from %v to %v", point.Least, point.Greatest)
		}
	}
}

// A target has its place and its look in all tables, whatever was not measured of it.
func TestColumnsKeepTheirOrder(t *testing.T) {
	r := sample()
	for _, target := range []string{"nats", "redis"} {
		m := Measure{
			Scenario: "request/1x1", Target: target, Transport: "tcp", Payload: 128,
			Metric: metricCPU, Unit: "ns",
		}
		r.add(m, 5)
	}
	growth := Measure{
		Scenario: "slow/100", Target: "redis", Transport: "tcp", Payload: 128,
		Metric: metricGrowth, Unit: "MiB",
	}
	for _, v := range []float64{-3, -1, 1} {
		r.add(growth, v)
	}
	growth.Target = "mb"
	r.add(growth, 2)
	grids := r.grids()
	last := grids[len(grids)-1]
	if got := fmt.Sprint(last.columns); got != "[mb tcp redis tcp]" {
		t.Errorf("columns %s", got)
	}
	before, after := r.draw(grids[0]).Legend, r.draw(last).Legend
	if before[3].Name != after[1].Name || before[3].Colour != after[1].Colour {
		t.Errorf("redis is %+v, then %+v", before[3], after[1])
	}
	if got := r.cell(last, last.rows[0], last.columns[1]); got != "-1.05 MB ±200%" {
		t.Errorf("redis grew by %s", got)
	}
}

// What says how a run went is no contest.
func TestNothingJudged(t *testing.T) {
	r := sample()
	r.add(Measure{
		Scenario: "fan-out/1", Target: "mb", Transport: "tcp", Payload: 128,
		Metric: metricLoad, Unit: "ns",
	}, 40)
	for _, g := range r.withShares().grids() {
		judged := g.metric == metricCPU || g.metric == metricRate
		if g.judged() != judged || (r.best(g, g.rows[0]) != nil) != judged {
			t.Errorf("%s: %s", g.metric, g.better())
		}
	}
}
