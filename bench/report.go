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
	ID     string
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
		CSS      template.CSS
		Memory   string
		Cores    string
		Sections []section
		About    []Scenario
	}{
		Results: r, CSS: template.CSS(plotCSS), // A file of ours.
		Memory: quantity(float64(r.Machine.Memory), "B"), Cores: r.Settings.cores(),
	}
	for i, g := range r.grids() {
		var svg strings.Builder
		if err := plotTemplate.Execute(&svg, r.draw(g)); err != nil {
			return fmt.Errorf("plot of %s: %w", g.metric, err)
		}
		s := r.section(g)
		s.ID = fmt.Sprintf("metric-%d", i+1)
		s.Plot = template.HTML(svg.String()) // Escaped by its template.
		data.Sections = append(data.Sections, s)
	}
	for _, s := range Scenarios() {
		if slices.ContainsFunc(r.Measures, func(m Measure) bool { return m.Scenario == s.Name }) {
			data.About = append(data.About, s)
		}
	}
	return pageTemplate.Execute(w, data)
}

// cores says where server and load ran.
func (s *Settings) cores() string {
	on := func(core int) string {
		if core < 0 {
			return "any core"
		}
		return fmt.Sprintf("core %d", core)
	}
	return "server on " + on(s.ServerCore) + ", load on " + on(s.LoadCore)
}

func (r *Results) section(g grid) section {
	s := section{Title: g.title(), Better: g.better()}
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
					texts[i] = quantity(v, m.Unit)
				}
				cell.All, cell.Best = strings.Join(texts, ", "), m == best
			}
			out.Cells = append(out.Cells, cell)
		}
		s.Rows = append(s.Rows, out)
	}
	return s
}

// best is the best measure of a row, the floor aside; nil when none is better than another.
func (r *Results) best(g grid, line row) *Measure {
	if !g.judged() {
		return nil
	}
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
