package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// column is a target over a transport, or its ratio to another target over that.
type column struct{ target, transport, over string }

func (c column) String() string {
	if c.over != "" {
		return c.target + "/" + c.over
	}
	return c.target + " " + c.transport
}

// row is a scenario with a payload.
type row struct {
	scenario string
	payload  int
}

// grid is one metric of a run: its rows and columns in the order of measurement.
type grid struct {
	metric, unit string
	higher       bool
	columns      []column
	rows         []row
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
		if c := (column{target: m.Target, transport: m.Transport}); !slices.Contains(g.columns, c) {
			g.columns = append(g.columns, c)
		}
		if w := (row{m.Scenario, m.Payload}); !slices.Contains(g.rows, w) {
			g.rows = append(g.rows, w)
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
// was measured too.
func (r *Results) shown(g grid) (all []column) {
	for _, c := range g.columns {
		all = append(all, c)
		if loopsOf(c.target) < 2 {
			continue
		}
		c.over = node
		if slices.ContainsFunc(g.rows, func(line row) bool { return r.over(g, line, c) > 0 }) {
			all = append(all, c)
		}
	}
	return all
}

// over is the ratio that c shows, 0 when there is none.
func (r *Results) over(g grid, line row, c column) float64 {
	m := r.find(line.scenario, c.target, c.transport, line.payload, g.metric)
	base := r.find(line.scenario, c.over, c.transport, line.payload, g.metric)
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
			share.Metric, share.Unit = each+" share", "% of a core"
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
		fmt.Fprintf(w, "%s, %s\t", g.metric, g.unit)
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
	text := number(m.Median())
	if least, greatest := m.Range(); len(m.Values) > 1 && m.Median() != 0 {
		text += fmt.Sprintf(" ±%.0f%%", 50*(greatest-least)/m.Median())
	}
	floor := r.find(line.scenario, "raw", "tcp", line.payload, g.metric)
	if g.metric == metricCPU && floor != nil && floor != m && floor.Median() > 0 {
		text += fmt.Sprintf(" ×%.2f", m.Median()/floor.Median())
	}
	return text
}

// number has three or four digits that mean something.
func number(v float64) string {
	switch {
	case v >= 1000 || v <= -1000 || v == 0:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10 || v <= -10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
