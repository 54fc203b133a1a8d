package metrics

import (
	"strings"

	"mbserver/codec"
)

// Writer writes metrics as members of a JSON object (protocol §8, system.metrics).
type Writer struct {
	JSON   []byte            // what was written so far
	Full   bool              // objects with name, type and time, not numbers
	Filter map[string]string // the parameters that a metric must have, keys in lower case

	timestamp []byte
	started   bool
}

// Service is what is measured of one service.
type Service struct {
	ID          string
	ConnectedAt int64 // Unix ms
	ErrorRate   int   // errors in the last whole second
}

// wants says whether a metric with this one parameter (none: an empty key) passes the filter.
func (w *Writer) wants(key, value string) bool {
	for k, v := range w.Filter {
		if k != key || !strings.EqualFold(v, value) {
			return false
		}
	}
	return true
}

func (w *Writer) add(name, kind string, value float64) {
	if w.started {
		w.JSON = append(w.JSON, ',')
	}
	w.started = true
	w.JSON = codec.AppendJSONQuoted(w.JSON, name)
	w.JSON = append(w.JSON, ':')
	if !w.Full {
		w.JSON = codec.AppendJSONNumber(w.JSON, value)
		return
	}
	w.JSON = append(w.JSON, `{"name":`...)
	w.JSON = codec.AppendJSONQuoted(w.JSON, name)
	w.JSON = append(w.JSON, `,"type":"`...)
	w.JSON = append(w.JSON, kind...)
	w.JSON = append(w.JSON, `","timestamp":"`...)
	w.JSON = append(w.JSON, w.timestamp...)
	w.JSON = append(w.JSON, `","value":`...)
	w.JSON = codec.AppendJSONNumber(w.JSON, value)
	w.JSON = append(w.JSON, '}')
}

// Write writes the metrics of the node, of each core and of each service.
func (w *Writer) Write(s *Sample, services []Service) {
	w.timestamp = codec.AppendTimestamp(nil, s.At.UnixMilli())
	if w.wants("", "") {
		for i := range Table {
			if m := &Table[i]; m.Name != "" {
				w.add(m.Name, m.Kind, m.Value(s))
			}
		}
	}
	for _, c := range s.Machine.Cores {
		if w.wants("core", c.Name) {
			w.add("system.cpu.{core:"+c.Name+"}.percent", Percent, c.CPU)
		}
	}
	for _, sv := range services {
		if !w.wants("serviceid", sv.ID) {
			continue
		}
		prefix := "registry.service.{serviceid:" + sv.ID + "}."
		uptime := max(s.At.UnixMilli()-sv.ConnectedAt, 0)
		w.add(prefix+"error.rate", Rate, float64(sv.ErrorRate))
		w.add(prefix+"uptime", Uptime, float64(uptime)/1000)
	}
}
