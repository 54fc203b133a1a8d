package metrics

import (
	"strings"
	"time"

	"mbserver/codec"
)

// Writer writes metrics as members of a JSON object (protocol §8, system.metrics).
type Writer struct {
	JSON   []byte            // what was written so far
	Full   bool              // objects with name, type and time, not numbers
	Filter map[string]string // the parameters that a metric must have, keys in lower case
	Later  bool              // members stand before what is written here

	timestamp []byte // of the first moment given
	name      []byte // scratch
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
	if w.Later {
		w.JSON = append(w.JSON, ',')
	}
	w.Later = true
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

// WriteNode writes the metrics of the node and of each core.
func (w *Writer) WriteNode(s *Sample) {
	w.begin(s.At)
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
}

// WriteService writes the metrics of a service.
func (w *Writer) WriteService(at time.Time, sv *Service) {
	if !w.wants("serviceid", sv.ID) {
		return
	}
	w.begin(at)
	uptime := max(at.UnixMilli()-sv.ConnectedAt, 0)
	w.name = append(append(w.name[:0], "registry.service.{serviceid:"...), sv.ID...)
	w.name = append(w.name, "}."...)
	prefix := len(w.name)
	w.add(string(append(w.name, "error.rate"...)), Rate, float64(sv.ErrorRate))
	w.add(string(append(w.name[:prefix], "uptime"...)), Uptime, float64(uptime)/1000)
}

func (w *Writer) begin(at time.Time) {
	if w.timestamp == nil {
		w.timestamp = codec.AppendTimestamp(nil, at.UnixMilli())
	}
}
