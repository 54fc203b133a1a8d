package system

import (
	"encoding/json"
	"strings"
	"time"

	"mbserver/server/metrics"
)

// metrics answers with the node's numbers.
func (c *call) metrics() *Error {
	showAll, err := c.flag("showAll")
	if err != nil {
		return err
	}
	filter, err := c.paramFilter()
	if err != nil {
		return err
	}
	return c.later(func(n Node) []byte {
		now := time.Now()
		var services []metrics.Service
		for _, s := range n.Services(now) {
			services = append(services, metrics.Service{
				ID: s.ID.String(), ConnectedAt: s.ConnectedAt, ErrorRate: s.ErrorRate,
			})
		}
		w := metrics.Writer{
			JSON: []byte(`{"status":"success","metrics":{`), Full: showAll, Filter: filter,
		}
		w.Write(n.Sample(now), services)
		return append(w.JSON, `}}`...)
	})
}

// paramFilter reads which parameters a metric must have; the keys come in lower case. Empty: all
// metrics pass.
func (c *call) paramFilter() (map[string]string, *Error) {
	raw, ok := c.fields["paramFilter"]
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
