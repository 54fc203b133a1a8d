package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"golang.org/x/perf/benchmath"
)

// Verdict is what a comparison of two measures says.
type Verdict string

// Verdicts. A difference counts when the Mann-Whitney U-test finds it with 95 % confidence; that
// takes four repetitions on each side at least.
const (
	Same   Verdict = "same"
	Better Verdict = "better"
	Worse  Verdict = "worse"
)

// Difference compares one measure of two runs.
type Difference struct {
	Old, New *Measure
	Delta    float64 // of the medians, as a fraction of the old one
	P        float64 // probability of such a difference between equals
	Verdict  Verdict
	Warnings []string // of the statistics: too few values, for one
}

// Compare pairs what both runs have measured, in the order of the newer one.
func Compare(older, newer *Results) []Difference {
	var all []Difference
	for i := range newer.Measures {
		n := &newer.Measures[i]
		o := older.find(n.Scenario, n.Target, n.Transport, n.Payload, n.Metric)
		if o == nil {
			continue
		}
		all = append(all, difference(o, n))
	}
	return all
}

func difference(o, n *Measure) Difference {
	sample := func(m *Measure) *benchmath.Sample {
		return benchmath.NewSample(slices.Clone(m.Values), &benchmath.DefaultThresholds)
	}
	c := benchmath.AssumeNothing.Compare(sample(o), sample(n))
	d := Difference{Old: o, New: n, P: c.P, Verdict: Same}
	for _, w := range c.Warnings {
		d.Warnings = append(d.Warnings, w.Error())
	}
	before, after := o.Median(), n.Median()
	if before != 0 {
		d.Delta = (after - before) / math.Abs(before)
	}
	if c.P < c.Alpha && after != before && len(o.Values) > 1 && len(n.Values) > 1 {
		d.Verdict = Worse
		if (after > before) == n.Higher {
			d.Verdict = Better
		}
	}
	return d
}

// WriteComparison prints differences as a table, and each warning once.
func WriteComparison(out io.Writer, all []Difference) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SCENARIO\tTARGET\tBYTES\tMETRIC\tOLD\tNEW\tCHANGE\tP\tVERDICT")
	var warnings []string
	for _, d := range all {
		n := d.New
		fmt.Fprintf(w, "%s\t%s %s\t%d\t%s\t%s\t%s\t%+.1f%%\t%.3f\t%s\n",
			n.Scenario, n.Target, n.Transport, n.Payload, n.Metric,
			quantity(d.Old.Median(), d.Old.Unit), quantity(n.Median(), n.Unit),
			100*d.Delta, d.P, d.Verdict)
		for _, text := range d.Warnings {
			if !slices.Contains(warnings, text) {
				warnings = append(warnings, text)
			}
		}
	}
	for _, text := range warnings {
		fmt.Fprintf(w, "note: %s\n", text)
	}
	return w.Flush()
}
