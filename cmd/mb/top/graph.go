package top

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/guptarohit/asciigraph"

	"mbserver/cmd/mb/human"
	"mbserver/cmd/mb/observe"
)

// graphed are the figures that points keep.
var graphed = []string{
	observe.CPU, observe.Memory, observe.Connected, observe.Outstanding, observe.Queued,
}

// series is one line of a graph.
type series struct {
	name  string
	value func(*point) float64 // NaN: not known
}

// graph is what the graph can show, one of several.
type graph struct {
	name   string
	write  func(float64) string
	series []series
}

// lineColors are those of a graph's series, with the same colour for its name.
var lineColors = []asciigraph.AnsiColor{asciigraph.Green, asciigraph.Blue, asciigraph.Red}

var graphs = []graph{
	{"messages", human.Rate, []series{
		{"in", func(p *point) float64 { return p.rates.In }},
		{"out", func(p *point) float64 {
			if p.rates.Out == nil {
				return math.NaN()
			}
			return *p.rates.Out
		}},
	}},
	{"requests", human.Rate, []series{
		{"requests", func(p *point) float64 { return p.rates.Requests }},
		{"responses", func(p *point) float64 { return p.rates.Responses }},
		{"timeouts", func(p *point) float64 { return p.rates.Timeouts }},
	}},
	{"trouble", human.Rate, []series{
		{"errors", func(p *point) float64 { return p.rates.Errors }},
		{"unrouted", func(p *point) float64 { return p.rates.Unrouted }},
		{"dropped", func(p *point) float64 { return p.rates.Dropped }},
	}},
	{"waiting", human.Count, []series{
		{"outstanding", func(p *point) float64 { return p.sample.Figures[observe.Outstanding] }},
		{"queued", func(p *point) float64 { return p.sample.Figures[observe.Queued] }},
	}},
	{"round trip", func(v float64) string { return human.Latency(time.Duration(v)) }, []series{
		{"heartbeat", func(p *point) float64 { return float64(p.sample.RoundTrip) }},
	}},
	{"cpu", human.Percent, []series{
		{"process", func(p *point) float64 { return p.sample.Figures[observe.CPU] }},
	}},
	{"memory", human.Bytes, []series{
		{"process", func(p *point) float64 { return p.sample.Figures[observe.Memory] }},
	}},
	{"connections", human.Count, []series{
		{"connections", func(p *point) float64 { return p.sample.Figures[observe.Connected] }},
	}},
}

// Columns of the graph beside the lines: a value, and the axis.
const (
	graphLabel  = 9
	graphOffset = 2
)

// spans are the times that the graph can show, and how many are written below it; autoSpan is the
// index of the longest that it grows to by itself.
var spans = []struct {
	time  time.Duration
	ticks int
}{{time.Minute, 7}, {2 * time.Minute, 5}, {5 * time.Minute, 6}, {15 * time.Minute, 4}}

const autoSpan = 2

// graphHole is the time without a sample after which the line is broken.
const graphHole = 15 * time.Second

// lines draws the graph of the last of spans before now, height lines high.
func (g *graph) lines(
	points []point, now time.Time, zoom, width, height int,
) []string {
	columns := width - graphLabel - graphOffset
	plotHeight := height - 3 // name, axis, times; asciigraph draws one line more than it is told
	if columns < 10 || plotHeight < 1 {
		return nil
	}
	span, ticks := spans[zoom].time, spans[zoom].ticks
	options := []asciigraph.Option{
		asciigraph.Height(plotHeight - 1), asciigraph.Offset(graphOffset),
		asciigraph.LowerBound(0), asciigraph.SeriesColors(lineColors...),
		asciigraph.XAxisRange(-span.Seconds(), 0), asciigraph.XAxisTickCount(ticks),
		asciigraph.XAxisValueFormatter(func(v float64) string {
			switch at := time.Duration(math.Round(v)) * time.Second; {
			case at == 0:
				return "now"
			case at%time.Minute == 0:
				return fmt.Sprintf("-%.0fm", -at.Minutes())
			default:
				return fmt.Sprintf("-%.0fs", -at.Seconds())
			}
		}),
		asciigraph.YAxisValueFormatter(func(v float64) string {
			return fmt.Sprintf("%*s", graphLabel-1, g.write(v))
		}),
	}
	legend := " " + bold.Styled(g.name)
	var all [][]float64
	highest := 0.0
	for i := range g.series {
		data, top, known := g.series[i].columns(points, now, span, columns)
		legend += "  " + lineColors[i].String() + g.series[i].name + asciigraph.Default.String()
		if !known {
			legend += faint.Styled(" (not told)")
		}
		highest = max(highest, top)
		all = append(all, data)
	}
	if highest == 0 {
		options = append(options, asciigraph.UpperBound(1))
	}
	drawn := strings.Split(asciigraph.PlotMany(all, options...), "\n")
	return append([]string{legend}, drawn...)
}

// columns puts the points into columns of equal time, each with the largest value in it. The
// columns stand still on the clock, so that a line moves to the left and does not flicker. A column
// without a point is as the one before, unless nothing was known for longer than graphHole.
func (s *series) columns(points []point, now time.Time, span time.Duration, n int) (
	data []float64, highest float64, known bool,
) {
	width := span / time.Duration(n)
	index := func(t time.Time) int { return int(t.UnixNano() / int64(width)) }
	first := index(now) - n + 1
	data = make([]float64, n)
	for i := range data {
		data[i] = math.NaN()
	}
	last := -1
	for i := range points {
		at, v := index(points[i].at)-first, s.value(&points[i])
		if at < 0 || at >= n || math.IsNaN(v) {
			continue
		}
		hole := i > 0 && points[i].at.Sub(points[i-1].at) > graphHole
		for gap := last + 1; last >= 0 && gap < at && !hole; gap++ {
			data[gap] = data[last]
		}
		if math.IsNaN(data[at]) || v > data[at] {
			data[at] = v
		}
		last, highest, known = at, max(highest, v), true
	}
	return data, highest, known
}
