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
}

// ReadLimits reads what Limits.Write wrote.
func ReadLimits(in io.Reader) (*Limits, error) {
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	l := &Limits{}
	if err := d.Decode(l); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	if l.Band <= 0 || len(l.Micro)+len(l.Macro) == 0 {
		return nil, fmt.Errorf("limits: a band of %g and %d limits hold nothing",
			l.Band, len(l.Micro)+len(l.Macro))
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
	Limit    float64 // without the band
	Exceeded bool    // or not measured
}

// Check compares a run with the limits: micro is the output of go test -bench, of which the fastest
// repetition counts.
func (l *Limits) Check(micro io.Reader, macro *Results) ([]Held, error) {
	ratios, err := microRatios(micro)
	if err != nil {
		return nil, err
	}
	var all []Held
	hold := func(name string, limit, ratio float64, measured bool) {
		if !measured {
			ratio = math.NaN()
		}
		exceeded := !measured || ratio > limit*(1+l.Band)
		all = append(all, Held{Name: name, Ratio: ratio, Limit: limit, Exceeded: exceeded})
	}
	for _, name := range slices.Sorted(maps.Keys(l.Micro)) {
		ratio, ok := ratios[name]
		hold(name, l.Micro[name], ratio, ok)
	}
	for _, name := range slices.Sorted(maps.Keys(l.Macro)) {
		ratio, ok := macro.ratio(name)
		hold(name, l.Macro[name], ratio, ok)
	}
	return all, nil
}

// Renew sets every limit to what was measured.
func (l *Limits) Renew(held []Held) {
	for _, h := range held {
		if math.IsNaN(h.Ratio) {
			continue
		}
		ratio := math.Round(1000*h.Ratio) / 1000
		if _, ok := l.Micro[h.Name]; ok {
			l.Micro[h.Name] = ratio
		} else {
			l.Macro[h.Name] = ratio
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

// ratio is the node's CPU time over the floor's, over TCP.
func (r *Results) ratio(scenario string) (float64, bool) {
	for i := range r.Measures {
		m := &r.Measures[i]
		if m.Scenario != scenario || m.Target != "mb" || m.Transport != "tcp" ||
			m.Metric != metricCPU {
			continue
		}
		floor := r.find(scenario, "raw", "tcp", m.Payload, metricCPU)
		if floor != nil && floor.Median() > 0 {
			return m.Median() / floor.Median(), true
		}
	}
	return 0, false
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
		fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%.3f\t%s\n",
			h.Name, h.Ratio, h.Limit, h.Limit*(1+l.Band), verdict)
	}
	return w.Flush()
}
