package bench

import (
	_ "embed" // of the page
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Parse(page))

// section is one metric of the page.
type section struct {
	Title  string
	Better string
	Plot   template.HTML
	Heads  []string
	Rows   []sectionRow
}

type sectionRow struct {
	Name  string
	Cells []sectionCell
}

type sectionCell struct {
	Text string
	All  string // every repetition
	Best bool
}

// WriteHTML writes the run as one page that needs nothing else: plots, tables, every repetition,
// machine and settings.
func (r *Results) WriteHTML(w io.Writer) error {
	r = r.withShares()
	data := struct {
		*Results
		Memory   string
		Sections []section
		About    []Scenario
	}{Results: r, Memory: fmt.Sprintf("%.1f GiB", float64(r.Machine.Memory)/(1<<30))}
	for _, g := range r.grids() {
		svg, err := r.inline(g)
		if err != nil {
			return err
		}
		// Drawn here; the plotter escapes names.
		data.Sections = append(data.Sections, r.section(g, template.HTML(svg)))
	}
	for _, s := range Scenarios() {
		if slices.ContainsFunc(r.Measures, func(m Measure) bool { return m.Scenario == s.Name }) {
			data.About = append(data.About, s)
		}
	}
	return pageTemplate.Execute(w, data)
}

func (r *Results) section(g grid, svg template.HTML) section {
	s := section{Title: g.metric + ", " + g.unit, Better: "lower is better", Plot: svg}
	if g.higher {
		s.Better = "higher is better"
	}
	columns := r.shown(g)
	for _, c := range columns {
		s.Heads = append(s.Heads, c.String())
	}
	for _, line := range g.rows {
		out := sectionRow{Name: line.label(r.severalPayloads())}
		best := r.best(g, line)
		for _, c := range columns {
			cell := sectionCell{Text: r.cell(g, line, c)}
			m := r.find(line.scenario, c.target, c.transport, line.payload, g.metric)
			if m != nil && c.over == "" {
				texts := make([]string, len(m.Values))
				for i, v := range m.Values {
					texts[i] = number(v)
				}
				cell.All, cell.Best = strings.Join(texts, ", "), m == best
			}
			out.Cells = append(out.Cells, cell)
		}
		s.Rows = append(s.Rows, out)
	}
	return s
}

// best is the best measure of a row, the floor aside.
func (r *Results) best(g grid, line row) *Measure {
	var best *Measure
	for _, c := range g.columns {
		m := r.find(line.scenario, c.target, c.transport, line.payload, g.metric)
		if m == nil || c.target == "raw" {
			continue
		}
		if best == nil || (m.Median() > best.Median()) == g.higher && m.Median() != best.Median() {
			best = m
		}
	}
	return best
}
