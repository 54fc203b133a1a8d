package admin

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"mbserver/server/metrics"
)

// serveMetrics answers in the Prometheus text format.
func (s *Server) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	p := page{b: make([]byte, 0, pageBytes)}
	p.writeNode(s.node.Sample(time.Now()), &s.about)
	p.writeRuntime()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(p.b)
}

// pageBytes is more than a page usually has.
const pageBytes = 32 << 10

// page is a page of /metrics that is being written.
type page struct{ b []byte }

// family begins a family: what it means, and of which type it is.
func (p *page) family(name, kind, help string) {
	p.b = append(p.b, "# HELP "...)
	p.b = append(append(append(p.b, name...), ' '), help...)
	p.b = append(p.b, "\n# TYPE "...)
	p.b = append(append(append(p.b, name...), ' '), kind...)
	p.b = append(p.b, '\n')
}

// number writes one number; labels are empty, or stand in their braces.
func (p *page) number(name, labels string, value float64) {
	p.b = append(append(append(p.b, name...), labels...), ' ')
	p.b = strconv.AppendFloat(p.b, value, 'f', -1, 64)
	p.b = append(p.b, '\n')
}

// writeNode writes the node's own metrics. All come from one sample, so that they fit together.
func (p *page) writeNode(s *metrics.Sample, about *About) {
	for i := range metrics.Table {
		if m := &metrics.Table[i]; m.Export != "" {
			p.family(m.Export, m.Type(), m.Help)
			p.number(m.Export, "", m.Value(s))
		}
	}
	labelled := metrics.LabelledTable
	if s.Cluster.Joined {
		labelled = slices.Concat(labelled, metrics.ClusterTable)
	}
	for i := range labelled {
		m := &labelled[i]
		p.family(m.Export, m.Type, m.Help)
		for _, v := range m.Values(s) {
			p.number(m.Export, "{"+m.Label+"="+strconv.Quote(v.Label)+"}", v.Value)
		}
	}
	for i := range metrics.TimedTable {
		p.writeHistogram(&metrics.TimedTable[i], &s.Times)
	}
	info := &metrics.Info
	p.family(info.Export, info.Type, info.Help)
	p.number(info.Export, "{version="+strconv.Quote(about.Version)+
		",node="+strconv.Quote(about.NodeID)+"}", 1)
}

// writeHistogram writes one histogram: how many times were up to each bound, their sum, and how
// many there are.
func (p *page) writeHistogram(m *metrics.Timed, times *metrics.TimesSample) {
	p.family(m.Export, m.Type, m.Help)
	t := &times[m.Time]
	count := 0.0
	for i, n := range t.Counts {
		count += float64(n)
		bound := "+Inf"
		if i < len(metrics.Bounds) {
			bound = strconv.FormatFloat(metrics.Bounds[i], 'f', -1, 64)
		}
		p.number(m.Export+"_bucket", `{le="`+bound+`"}`, count)
	}
	p.number(m.Export+"_sum", "", t.Sum)
	p.number(m.Export+"_count", "", count)
}

// writeRuntime writes what the library tells of the Go runtime and the process, as far as the table
// has it. The lines of a family stand together.
func (p *page) writeRuntime() {
	var all bytes.Buffer
	vm.WriteProcessMetrics(&all)
	var last *metrics.Family
	for line := range bytes.Lines(all.Bytes()) {
		name := line[:max(bytes.IndexAny(line, "{ "), 0)]
		f := runtimeFamilies[string(name)]
		if f == nil {
			continue
		}
		if f != last {
			p.family(f.Export, f.Type, f.Help)
			last = f
		}
		p.b = append(p.b, line...)
	}
}

// runtimeFamilies are the families of metrics.Runtime by the names that stand in their lines.
var runtimeFamilies = func() map[string]*metrics.Family {
	by := make(map[string]*metrics.Family)
	for i := range metrics.Runtime {
		f := &metrics.Runtime[i]
		by[f.Export] = f
		if f.Type == "summary" {
			by[f.Export+"_sum"], by[f.Export+"_count"] = f, f
		}
	}
	return by
}()
