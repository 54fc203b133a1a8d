package bench

import (
	"encoding/xml"
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
		"a &lt;cpu&gt;", "50.0 ±20% ×2.38", `title="50.0, 40.0, 60.0"`, `class="best"`,
		"redis tcp: not there", "subscribers, saturated",
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
	if err := sample().WriteSVG(&b, metricCPU); err != nil {
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
	for _, want := range []string{"fan-out/100", "mb tcp", "raw tcp"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in the plot", want)
		}
	}
	if err := sample().WriteSVG(&b, "colour"); err == nil {
		t.Error("a plot of nothing")
	}
}
