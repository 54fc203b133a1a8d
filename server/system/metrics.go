package system

import (
	"strings"
	"time"

	"mbserver/codec"
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
	switch {
	case len(filter) > 0:
		return c.filteredMetrics(filter, showAll)
	case showAll:
		return c.AnswerShared(FullMetricsSnapshot)
	}
	return c.AnswerShared(MetricsSnapshot)
}

// filteredMetrics answers with the metrics that have certain parameters. No metric has two, so
// those of one service at the most are among them.
func (c *call) filteredMetrics(filter map[string]string, full bool) *Error {
	n := c.node
	return c.InBackground(func() func(Caller) *Error {
		now := time.Now()
		w := metrics.Writer{JSON: []byte(metricsStart), Full: full, Filter: filter}
		w.WriteNode(n.Sample(now))
		if id, ok := codec.ParseUUID([]byte(filter["serviceid"])); ok {
			if s, ok := n.Service(id, now); ok {
				w.WriteService(now, measured(&s))
			}
		}
		answer := append(w.JSON, metricsEnd...)
		return func(c Caller) *Error {
			c.Answer(answer)
			return nil
		}
	})
}

// An answer with metrics, and what stands around them.
const (
	metricsStart = `{"status":"success","metrics":{`
	metricsEnd   = `}}`
)

// measured is what metrics tell of a service.
func measured(s *Service) *metrics.Service {
	return &metrics.Service{
		ID: s.ID.String(), ConnectedAt: s.ConnectedAt, ErrorRate: s.ErrorRate,
	}
}

// paramFilter reads which parameters a metric must have; the keys come in lower case. Empty: all
// metrics pass.
func (c *call) paramFilter() (map[string]string, *Error) {
	given, err := c.texts("paramFilter", "must be an object of strings")
	if err != nil {
		return nil, err
	}
	filter := make(map[string]string, len(given))
	for key, value := range given {
		filter[strings.ToLower(key)] = value
	}
	return filter, nil
}
