package server

import (
	"mbserver/codec"
	"strings"
)

// metricWriter writes metrics as members of a JSON object.
type metricWriter struct {
	b         []byte
	full      bool // objects, not numbers
	filter    map[string]string
	timestamp []byte
	started   bool
}

// wants says whether a metric with this one parameter (none: an empty key) passes the filter.
func (w *metricWriter) wants(key, value string) bool {
	for k, v := range w.filter {
		if k != key || !strings.EqualFold(v, value) {
			return false
		}
	}
	return true
}

func (w *metricWriter) add(name, kind string, value float64) {
	if w.started {
		w.b = append(w.b, ',')
	}
	w.started = true
	w.b = codec.AppendJSONQuoted(w.b, name)
	w.b = append(w.b, ':')
	if !w.full {
		w.b = codec.AppendJSONNumber(w.b, value)
		return
	}
	w.b = append(w.b, `{"name":`...)
	w.b = codec.AppendJSONQuoted(w.b, name)
	w.b = append(w.b, `,"type":"`...)
	w.b = append(w.b, kind...)
	w.b = append(w.b, `","timestamp":"`...)
	w.b = append(w.b, w.timestamp...)
	w.b = append(w.b, `","value":`...)
	w.b = codec.AppendJSONNumber(w.b, value)
	w.b = append(w.b, '}')
}

// write gives w the metrics of the node, of each core and of each service.
func (s *sample) write(w *metricWriter, services []*service) {
	w.timestamp = codec.AppendTimestamp(nil, s.at.UnixMilli())
	if w.wants("", "") {
		for i := range metricTable {
			if m := &metricTable[i]; m.name != "" {
				w.add(m.name, m.kind, m.value(s))
			}
		}
	}
	for _, c := range s.machine.cores {
		if w.wants("core", c.name) {
			w.add("system.cpu.{core:"+c.name+"}.percent", kindPercent, c.cpu)
		}
	}
	for _, sv := range services {
		id := sv.id.String()
		if !w.wants("serviceid", id) {
			continue
		}
		prefix := "registry.service.{serviceid:" + id + "}."
		uptime := max(s.at.UnixMilli()-sv.connectedAt, 0)
		w.add(prefix+"error.rate", kindRate, float64(sv.errors.rate(s.at.Unix())))
		w.add(prefix+"uptime", kindUptime, float64(uptime)/1000)
	}
}
