package admin

import (
	"net/http"
	"strconv"
	"time"

	"mbserver/server/metrics"
	"mbserver/server/permit"
)

// everyMost is how rarely numbers may be asked for.
const everyMost = time.Minute

// serveMetricsStream shows the node's numbers again and again.
func (s *Server) serveMetricsStream(w http.ResponseWriter, r *http.Request, v *viewer) {
	every := time.Second
	if text := r.URL.Query().Get("every"); text != "" {
		var err error
		every, err = time.ParseDuration(text)
		if err != nil || every < streamTick || every > everyMost || every%streamTick != 0 {
			answerError(w, http.StatusBadRequest, invalid,
				"every: must be whole seconds, from 1s to 1m0s", "field", "every")
			return
		}
	}
	st := s.openStream(w, r, v, permit.Metrics, false)
	if st == nil {
		return
	}
	defer st.close()
	last := s.history.recent(time.Now())
	show := func(now time.Time) {
		sample := s.node.Sample(now)
		st.tellMoment(momentBetween(last, sample), sample)
		last = sample
	}
	show(time.Now())
	ticks := 0
	run(st, nil, func(struct{}) {}, func(now time.Time) {
		if ticks++; time.Duration(ticks)*streamTick >= every {
			ticks = 0
			show(now)
		}
	})
}

// tellMoment adds an event with a moment, and what else there is of the sample at its end.
func (st *stream) tellMoment(m *moment, s *metrics.Sample) {
	st.buffer = append(st.buffer, "id: "...)
	st.buffer = append(strconv.AppendInt(st.buffer, s.At.UnixMilli(), 10), '\n')
	st.begin("metrics")
	b := m.append(append(st.buffer, '{'))
	b = append(b, `,"totals":{`...)
	for i, c := range counted {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, c.name), ':')
		b = strconv.AppendUint(b, s.Totals[c.count], 10)
	}
	b = appendLimits(append(b, "},"...), s)
	b = append(b, `,"process":{"cpu":`...)
	b = strconv.AppendFloat(b, processCPU(s), 'g', 4, 64)
	b = append(b, `,"memoryBytes":`...)
	b = strconv.AppendFloat(b, processMemory(s), 'f', 0, 64)
	st.buffer = append(b, "}}"...)
	st.finish()
}

// Numbers of the process that the table of metrics has.
var (
	processCPU    = metricOf("process.cpu.percent")
	processMemory = metricOf("process.memory.bytes")
)

func metricOf(name string) func(*metrics.Sample) float64 {
	for _, m := range metrics.Table {
		if m.Name == name {
			return m.Value
		}
	}
	panic("admin: no metric is called " + name)
}
