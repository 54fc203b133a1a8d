package admin

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"mbserver/server/metrics"
)

// serveMetrics answers in the Prometheus text format.
func (s *Server) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	s.metrics.WritePrometheus(&b)
	vm.WriteProcessMetrics(&b)
	vm.WriteFDMetrics(&b) // process_open_fds, process_max_fds
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

// writeMetrics writes the node's own metrics. All come from one sample, so that they fit together.
func (s *Server) writeMetrics(w io.Writer) {
	sample := s.node.Sample(time.Now())
	for i := range metrics.Table {
		m := &metrics.Table[i]
		switch {
		case m.Export == "":
		case strings.HasSuffix(m.Export, "_total"):
			vm.WriteCounterUint64(w, m.Export, uint64(m.Value(sample)))
		default:
			vm.WriteGaugeFloat64(w, m.Export, m.Value(sample))
		}
	}
	for _, c := range sample.Machine.Cores {
		vm.WriteGaugeFloat64(w, "mb_system_core_cpu_ratio{core="+strconv.Quote(c.Name)+"}", c.CPU)
	}
	vm.WriteGaugeUint64(w, "mb_info{version="+strconv.Quote(s.about.Version)+
		",node="+strconv.Quote(s.about.NodeID)+"}", 1)
}
