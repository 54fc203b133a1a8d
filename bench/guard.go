package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"text/tabwriter"

	"golang.org/x/perf/benchfmt"
)

// Yardstick is the benchmark that others are measured in: plain work of the processor, so that a
// limit holds on machines of different speed.
const Yardstick = "mbserver/bench.Yardstick"

// Limits are what the guard holds: ratios, of micro-benchmarks to the yardstick and of scenarios to
// the floor, each measured in the same run, and how far above them noise may lie.
type Limits struct {
	Band float64 `json:"band"` // as a fraction: 0.3 lets a ratio be 30 % above

	// Micro is package.Benchmark to nanoseconds per nanosecond of the yardstick.
	Micro map[string]float64 `json:"micro"`
	// Macro is scenario to the server's CPU time over TCP, per that of raw.
	Macro map[string]float64 `json:"macro"`
	// TwoLoops is scenario to the most that the server's CPU time with two loops over TCP may be,
	// per that with one. No band is added.
	TwoLoops map[string]float64 `json:"twoLoopsAtMost,omitempty"`
}

// A limit of two loops is renewed to this much above what was measured.
const twoLoopsRoom = 1.3

// ReadLimits reads what Limits.Write wrote.
func ReadLimits(in io.Reader) (*Limits, error) {
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	l := &Limits{}
	if err := d.Decode(l); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	count := len(l.Micro) + len(l.Macro) + len(l.TwoLoops)
	if l.Band <= 0 || count == 0 {
		return nil, fmt.Errorf("limits: a band of %g and %d limits hold nothing", l.Band, count)
	}
	return l, nil
}

// Write writes the limits as JSON.
func (l *Limits) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(l)
}

// Held is one limit and what was measured.
type Held struct {
	Name     string
	Ratio    float64 // NaN when it was not measured
	Limit    float64 // without the band; 0: only Most is held
	Most     float64
	Exceeded bool // or not measured
}

// twoLoopsName is the name of what is held of a scenario with two loops.
func twoLoopsName(scenario string) string { return nodeWith(2) + "/" + node + " " + scenario }

// Check compares a run with the limits: micro is the output of go test -bench, of which the fastest
// repetition counts.
func (l *Limits) Check(micro io.Reader, macro *Results) ([]Held, error) {
	ratios, err := microRatios(micro)
	if err != nil {
		return nil, err
	}
	var all []Held
	hold := func(name string, limit, most, ratio float64, measured bool) {
		if !measured {
			ratio = math.NaN()
		}
		all = append(all, Held{
			Name: name, Ratio: ratio, Limit: limit, Most: most, Exceeded: !measured || ratio > most,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(l.Micro)) {
		ratio, ok := ratios[name]
		hold(name, l.Micro[name], l.Micro[name]*(1+l.Band), ratio, ok)
	}
	for _, name := range slices.Sorted(maps.Keys(l.Macro)) {
		ratio, ok := macro.ratio(name, node, "raw")
		hold(name, l.Macro[name], l.Macro[name]*(1+l.Band), ratio, ok)
	}
	for _, name := range slices.Sorted(maps.Keys(l.TwoLoops)) {
		ratio, ok := macro.ratio(name, nodeWith(2), node)
		hold(twoLoopsName(name), 0, l.TwoLoops[name], ratio, ok && macro.crosses(name))
	}
	return all, nil
}

// Renew sets every limit to what was measured, those of two loops with room above it.
func (l *Limits) Renew(held []Held) {
	for _, h := range held {
		if math.IsNaN(h.Ratio) {
			continue
		}
		ratio := math.Round(1000*h.Ratio) / 1000
		if _, ok := l.Micro[h.Name]; ok {
			l.Micro[h.Name] = ratio
		} else if _, ok := l.Macro[h.Name]; ok {
			l.Macro[h.Name] = ratio
		}
		for name := range l.TwoLoops {
			if twoLoopsName(name) == h.Name {
				l.TwoLoops[name] = math.Round(10*twoLoopsRoom*h.Ratio) / 10
			}
		}
	}
}

// microRatios returns each benchmark's fastest time in units of the yardstick's.
func microRatios(in io.Reader) (map[string]float64, error) {
	best := make(map[string]float64)
	r := benchfmt.NewReader(in, "go test -bench")
	for r.Scan() {
		res, ok := r.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		value, ok := res.Value("sec/op")
		if !ok {
			continue
		}
		base, parts := res.Name.Parts()
		name := res.GetConfig("pkg") + "." + string(base)
		for _, p := range parts {
			if p[0] != '-' { // the number of processors
				name += string(p)
			}
		}
		if have, ok := best[name]; !ok || value < have {
			best[name] = value
		}
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("benchmarks: %w", err)
	}
	unit := best[Yardstick]
	if unit <= 0 {
		return nil, fmt.Errorf("benchmarks: no %s among them", Yardstick)
	}
	for name := range best {
		best[name] /= unit
	}
	return best, nil
}

// ratio is a target's CPU time over another's, over TCP.
func (r *Results) ratio(scenario, target, base string) (float64, bool) {
	for i := range r.Measures {
		m := &r.Measures[i]
		if m.Scenario != scenario || m.Target != target || m.Transport != "tcp" ||
			m.Metric != metricCPU {
			continue
		}
		floor := r.find(scenario, base, "tcp", m.Payload, metricCPU)
		if floor != nil && floor.Median() > 0 {
			return m.Median() / floor.Median(), true
		}
	}
	return 0, false
}

// crosses reports whether everything went from one of two loops to the other: what stays on one
// loop holds any limit.
func (r *Results) crosses(scenario string) bool {
	found := false
	for i := range r.Measures {
		m := &r.Measures[i]
		if m.Scenario == scenario && m.Target == nodeWith(2) && m.Metric == metricCrosses {
			least, _ := m.Range()
			if found = true; least < 100 {
				return false
			}
		}
	}
	return found
}

// WriteHeld prints the limits as a table.
func (l *Limits) WriteHeld(out io.Writer, all []Held) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "NAME\tRATIO\tEXPECTED\tAT MOST (+%.0f%%)\t\n", 100*l.Band)
	for _, h := range all {
		verdict := "ok"
		switch {
		case math.IsNaN(h.Ratio):
			verdict = "NOT MEASURED"
		case h.Exceeded:
			verdict = "EXCEEDED"
		}
		expected := "-"
		if h.Limit > 0 {
			expected = fmt.Sprintf("%.3f", h.Limit)
		}
		fmt.Fprintf(w, "%s\t%.3f\t%s\t%.3f\t%s\n", h.Name, h.Ratio, expected, h.Most, verdict)
	}
	return w.Flush()
}
