package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// column is a target over a transport, or its ratio to another target over that, or to itself over
// another transport.
type column struct{ target, transport, over, overTransport string }

func (c column) String() string {
	switch {
	case c.over != "" && c.transport != c.overTransport:
		return c.target + " " + c.transport + "/" + c.overTransport
	case c.over != "":
		return c.target + "/" + c.over
	}
	return c.target + " " + c.transport
}

// row is a scenario with a payload.
type row struct {
	scenario string
	payload  int
}

// grid is one metric of a run: its rows in the order of measurement, its columns in that of the
// run.
type grid struct {
	metric, unit string
	higher       bool
	columns      []column
	rows         []row
}

// title names the metric, and the unit where figures do not say it all.
func (g grid) title() string {
	if g.unit == metricShareUnit {
		return g.metric + ", " + g.unit
	}
	return g.metric
}

// judged says whether a figure of the metric is better than another. What the generator used, and
// who happened to be on which loop, is how a run went.
func (g grid) judged() bool {
	return g.metric != metricLoad && g.metric != metricCrosses &&
		!strings.HasSuffix(g.metric, metricShare)
}

func (g grid) better() string {
	switch {
	case !g.judged():
		return "neither is better"
	case g.higher:
		return "higher is better"
	}
	return "lower is better"
}

// grids arranges a run by metric.
func (r *Results) grids() []grid {
	var all []grid
	for i := range r.Measures {
		m := &r.Measures[i]
		at := slices.IndexFunc(all, func(g grid) bool {
			return g.metric == m.Metric && g.unit == m.Unit
		})
		if at < 0 {
			at = len(all)
			all = append(all, grid{metric: m.Metric, unit: m.Unit, higher: m.Higher})
		}
		g := &all[at]
		if w := (row{m.Scenario, m.Payload}); !slices.Contains(g.rows, w) {
			g.rows = append(g.rows, w)
		}
	}
	columns := r.columns()
	for i := range all {
		all[i].columns = slices.DeleteFunc(slices.Clone(columns), func(c column) bool {
			return !slices.ContainsFunc(r.Measures, func(m Measure) bool {
				return m.of() == c && m.Metric == all[i].metric && m.Unit == all[i].unit
			})
		})
	}
	return all
}

// of is the column that m is a figure of.
func (m *Measure) of() column { return column{target: m.Target, transport: m.Transport} }

// columns is what was measured, in the order in which it began: the same in each table.
func (r *Results) columns() (all []column) {
	for i := range r.Measures {
		if c := r.Measures[i].of(); !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return all
}

func (r *Results) severalPayloads() bool {
	for i := range r.Measures {
		if r.Measures[i].Payload != r.Measures[0].Payload {
			return true
		}
	}
	return false
}

func (w row) label(withPayload bool) string {
	if withPayload {
		return w.scenario + ", " + strconv.Itoa(w.payload) + " B"
	}
	return w.scenario
}

// shown is the columns of g with a ratio after each node of several loops, where the node with one
// was measured too, and after each transport with TLS or compression, where the one without was.
func (r *Results) shown(g grid) (all []column) {
	for _, c := range g.columns {
		all = append(all, c)
		for _, ratio := range c.ratios() {
			if slices.ContainsFunc(g.rows, func(w row) bool { return r.over(g, w, ratio) > 0 }) {
				all = append(all, ratio)
			}
		}
	}
	return all
}

// ratios are those that c may be shown with.
func (c column) ratios() (all []column) {
	if loopsOf(c.target) > 1 {
		all = append(all, column{c.target, c.transport, node, c.transport})
	}
	if plainOf(c.transport) != c.transport {
		all = append(all, column{c.target, c.transport, c.target, plainOf(c.transport)})
	}
	return all
}

// over is the ratio that c shows, 0 when there is none.
func (r *Results) over(g grid, line row, c column) float64 {
	m := r.find(line.scenario, c.target, c.transport, line.payload, g.metric)
	base := r.find(line.scenario, c.over, c.overTransport, line.payload, g.metric)
	if m == nil || base == nil || base.Median() <= 0 {
		return 0
	}
	return m.Median() / base.Median()
}

// withShares is r with how much of a core the generator and the server used in each repetition.
// Both follow from measures, and more of them is neither better nor worse: results do not hold
// them.
func (r *Results) withShares() *Results {
	out := *r
	out.Measures = slices.Clone(r.Measures)
	for _, each := range []string{metricCPU, metricLoad} {
		for _, m := range r.Measures {
			rate := r.find(m.Scenario, m.Target, m.Transport, m.Payload, metricRate)
			if m.Metric != each || rate == nil || len(rate.Values) != len(m.Values) {
				continue
			}
			share := m
			share.Metric, share.Unit = each+metricShare, metricShareUnit
			share.Values = make([]float64, len(m.Values))
			for i, ns := range m.Values {
				share.Values[i] = 100 * ns * rate.Values[i] / 1e9
			}
			out.Measures = append(out.Measures, share)
		}
	}
	return &out
}

// WriteTable prints the medians, one table for each metric, with how far the repetitions lie apart
// and, where they were measured too, the ratio to the floor and of several loops to one.
func (r *Results) WriteTable(out io.Writer) error {
	r = r.withShares()
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	payloads := r.severalPayloads()
	for _, g := range r.grids() {
		fmt.Fprintf(w, "%s\t", g.title())
		columns := r.shown(g)
		for _, c := range columns {
			fmt.Fprintf(w, "%s\t", c)
		}
		fmt.Fprintln(w)
		for _, line := range g.rows {
			fmt.Fprintf(w, "%s\t", line.label(payloads))
			for _, c := range columns {
				fmt.Fprintf(w, "%s\t", r.cell(g, line, c))
			}
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	return w.Flush()
}

// cell is the median, the half of the spread in percent, and the ratio to the floor; or the ratio
// that c shows.
func (r *Results) cell(g grid, line row, c column) string {
	if c.over != "" {
		if ratio := r.over(g, line, c); ratio > 0 {
			return fmt.Sprintf("%.2f", ratio)
		}
		return "-"
	}
	m := r.find(line.scenario, c.target, c.transport, line.payload, g.metric)
	if m == nil {
		return "-"
	}
	text := quantity(m.Median(), m.Unit)
	if least, greatest := m.Range(); len(m.Values) > 1 && m.Median() != 0 {
		text += fmt.Sprintf(" ±%.0f%%", 50*(greatest-least)/math.Abs(m.Median()))
	}
	floor := r.find(line.scenario, "raw", "tcp", line.payload, g.metric)
	if g.metric == metricCPU && floor != nil && floor != m && floor.Median() > 0 {
		text += fmt.Sprintf(" ×%.2f", m.Median()/floor.Median())
	}
	return text
}
