package server

import (
	"encoding/json"
	"strings"
	"time"
)

// metrics answers with the node's numbers (protocol §8), composed at the desk.
func (s *systemCall) metrics() *callError {
	showAll, err := s.flag("showAll")
	if err != nil {
		return err
	}
	filter, err := s.paramFilter()
	if err != nil {
		return err
	}
	s.l.stats.publish(s.l.time.sec(), &s.l.tally) // what this loop counted before this request is in the answer
	return s.inBackground(func(n *Node) []byte {
		w := metricWriter{b: []byte(`{"status":"success","metrics":{`), full: showAll, filter: filter}
		n.sample(time.Now()).write(&w, n.registry.all())
		return append(w.b, `}}`...)
	})
}

// flag returns the boolean field key; false when it is absent or null.
func (s *systemCall) flag(key string) (value bool, err *callError) {
	if raw, ok := s.fields[key]; ok && json.Unmarshal(raw, &value) != nil {
		return false, invalid(key, "must be true or false")
	}
	return value, nil
}

// paramFilter reads which parameters a metric must have; the keys come in lower case. Empty: all metrics pass.
func (s *systemCall) paramFilter() (map[string]string, *callError) {
	raw, ok := s.fields["paramFilter"]
	if !ok {
		return nil, nil
	}
	var values map[string]*string // null is no string
	if json.Unmarshal(raw, &values) != nil {
		return nil, invalid("paramFilter", "must be an object of strings")
	}
	filter := make(map[string]string, len(values))
	for key, value := range values {
		if value == nil {
			return nil, invalid("paramFilter", "must be an object of strings")
		}
		filter[strings.ToLower(key)] = *value
	}
	return filter, nil
}
