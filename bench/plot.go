package bench

import (
	_ "embed" // of the plot's form
	"fmt"
	"html/template"
	"io"
	"slices"
)

//go:embed plot.svg
var plotForm string

//go:embed plot.css
var plotCSS string

var plotTemplate = template.Must(template.New("plot").Parse(plotForm))

// plot is one metric drawn: a row for each scenario, in it a mark for each column at the median,
// on a line from the least to the greatest value. What stands beside one another is placed in
// percent of the width, so that it fits a page of any; what stands above one another in pixels.
type plot struct {
	Title, Scale  string
	Width, Height string
	CSS           template.CSS // of a plot that stands alone
	Top, Bottom   int          // of the rows
	Legend        []legendEntry
	Ticks         []plotTick
	Rows          []plotRow
}

type legendEntry struct {
	Name, Colour string // Colour is a class of plot.css
	X            float64
	Mark         mark
}

type plotTick struct {
	Text string
	X    float64
}

type plotRow struct {
	Label  string
	Y      int
	Points []plotPoint
}

type plotPoint struct {
	Colour, Text    string
	Least, Greatest float64
	Mark            mark
}

// mark is how a column looks, beside its colour, and where it stands.
type mark struct {
	X      float64
	Y      int
	Square bool
	Fill   string // a class of plot.css
}

// Sizes in pixels, and percent of the width.
const (
	plotHead      = 34 // title
	plotLegend    = 20 // a line of the legend
	plotPerLine   = 3  // entries in one
	plotAxis      = 24 // labels of the ticks
	plotLabel     = 25 // label of a row, to its first mark
	plotLane      = 8  // from one mark to the next
	plotMargin    = 6  // percent, beside the first and the last tick: half their labels
	plotColours   = 7  // in plot.css
	plotAloneWide = "760"
)

// draw lays a metric out.
func (r *Results) draw(g grid) plot {
	factor, unit := siOf(g.unit)
	least, greatest := r.extent(g)
	s := newScale(least*factor, greatest*factor)
	at := func(v float64) float64 {
		return plotMargin + (100-2*plotMargin)*s.at(v)
	}
	p := plot{Title: g.title() + ", " + g.better(), Scale: "linear scale", Width: "100%"}
	if s.logarithmic {
		p.Scale = "logarithmic scale"
	}
	lines := (len(g.columns) + plotPerLine - 1) / plotPerLine
	p.Top = plotHead + lines*plotLegend + plotAxis
	for k, c := range g.columns {
		e := legendEntry{Name: c.String(), X: 1 + 100/plotPerLine*float64(k%plotPerLine)}
		e.Colour, e.Mark = r.look(c)
		e.Mark.X, e.Mark.Y = e.X, plotHead+k/plotPerLine*plotLegend
		p.Legend = append(p.Legend, e)
	}
	for _, v := range s.ticks {
		p.Ticks = append(p.Ticks, plotTick{Text: tickText(v, unit), X: at(v)})
	}
	y := p.Top
	for _, line := range g.rows {
		out := plotRow{Label: line.label(r.severalPayloads()), Y: y}
		y += plotLabel
		for _, c := range g.columns {
			m := r.find(line.scenario, c.target, c.transport, line.payload, g.metric)
			if m == nil {
				continue
			}
			least, greatest := m.Range()
			point := plotPoint{
				Least: at(least * factor), Greatest: at(greatest * factor),
				Text: fmt.Sprintf("%s, %s: %s (%s to %s)", out.Label, c,
					quantity(m.Median(), g.unit),
					quantity(least, g.unit), quantity(greatest, g.unit)),
			}
			point.Colour, point.Mark = r.look(c)
			point.Mark.X, point.Mark.Y = at(m.Median()*factor), y
			out.Points = append(out.Points, point)
			y += plotLane
		}
		p.Rows = append(p.Rows, out)
	}
	p.Bottom = y
	p.Height = fmt.Sprint(y + plotAxis)
	return p
}

// extent is the least and the greatest value of a metric.
func (r *Results) extent(g grid) (least, greatest float64) {
	first := true
	for i := range r.Measures {
		m := &r.Measures[i]
		if m.Metric != g.metric || m.Unit != g.unit {
			continue
		}
		low, high := m.Range()
		if first {
			least, greatest, first = low, high, false
		}
		least, greatest = min(least, low), max(greatest, high)
	}
	return least, greatest
}

// look is how a column is drawn: the colour says the target, the shape the transport, throughout
// the run; half filled is with TLS, hollow is compressed. The floor is grey. Where there are more
// targets than colours, the marks of the later ones are hollow.
func (r *Results) look(c column) (colour string, m mark) {
	var targets []string // but for the floor
	for _, each := range r.columns() {
		if each.target != "raw" && !slices.Contains(targets, each.target) {
			targets = append(targets, each.target)
		}
	}
	at, fill := slices.Index(targets, c.target), "full"
	if at >= plotColours-1 {
		at, fill = at%(plotColours-1), "hollow"
	}
	switch {
	case overTLS(c.transport):
		fill = "half"
	case c.transport == withDeflate:
		fill = "hollow"
	}
	return fmt.Sprintf("c%d", at+1), mark{Square: plainOf(c.transport) == "ws", Fill: fill}
}

// WriteSVG plots a metric of the run, by the name it has in tables.
func (r *Results) WriteSVG(w io.Writer, metric string) error {
	r = r.withShares()
	for _, g := range r.grids() {
		if g.metric == metric {
			p := r.draw(g)
			p.Width, p.CSS = plotAloneWide, template.CSS(plotCSS) // A file of ours.
			return plotTemplate.Execute(w, p)
		}
	}
	return fmt.Errorf("the run has no %q", metric)
}
