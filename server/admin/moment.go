package admin

import (
	"math"
	"strconv"

	"mbserver/server/metrics"
)

// counted are what a moment has of the counts: how much was added since the moment before, and in
// all.
var counted = [...]struct {
	name  string
	count int // of metrics.Counts
}{
	{"in", metrics.Messages}, {"out", metrics.Sent}, {"lost", metrics.Dropped},
	{"conflated", metrics.Conflated},
	{"inBytes", metrics.BytesRead}, {"outBytes", metrics.BytesWritten},
	{"publishes", metrics.Publishes}, {"requests", metrics.Requests},
	{"unroutedPublishes", metrics.PublishesUnrouted},
	{"unroutedRequests", metrics.RequestsUnrouted},
	{"timeouts", metrics.RequestTimeouts}, {"limited", metrics.Limited},
	{"errors", metrics.MessageErrors},
}

// levels are what it has of what goes up and down.
var levels = [...]struct {
	name  string
	value func(*metrics.Sample) float64
}{
	{"connections", func(s *metrics.Sample) float64 { return float64(s.Active) }},
	{"subscriptions", func(s *metrics.Sample) float64 { return float64(s.Subscriptions) }},
	{"outstanding", func(s *metrics.Sample) float64 { return float64(s.Outstanding) }},
	{"queued", func(s *metrics.Sample) float64 { return float64(s.Queued) }},
	{"paused", func(s *metrics.Sample) float64 { return float64(s.Paused) }},
	{"slow", func(s *metrics.Sample) float64 { return float64(s.Totals[metrics.Slow]) }},
	{"memoryBytes", func(s *metrics.Sample) float64 { return float64(s.Charged) }},
}

// timings are what it has of the histograms: quantiles, in seconds, of what was added to them since
// the moment before.
var timings = [...]struct {
	name     string
	time     int // of metrics.TimesSample
	quantile float64
}{
	{"turnP50", metrics.TurnTime, 0.5}, {"turnP99", metrics.TurnTime, 0.99},
	{"publishP50", metrics.FlushTime, 0.5}, {"publishP99", metrics.FlushTime, 0.99},
	{"answerP50", metrics.AnswerTime, 0.5}, {"answerP99", metrics.AnswerTime, 0.99},
}

// Where the parts of a moment begin.
const (
	momentAt      = iota // Unix ms
	momentSeconds        // that it spans
	momentBusy           // share of the loops' time
	momentCounts
	momentLevels  = momentCounts + len(counted)
	momentTimings = momentLevels + len(levels)
	momentSize    = momentTimings + len(timings)
)

// moment is what a node did in a short time, and what it had at its end. What there is none of, as
// a quantile of nothing, is NaN.
type moment [momentSize]float64

// momentNames are the names of its parts, in their order.
var momentNames = func() (names [momentSize]string) {
	names[momentAt], names[momentSeconds], names[momentBusy] = "at", "seconds", "busy"
	for i, c := range counted {
		names[momentCounts+i] = c.name
	}
	for i, l := range levels {
		names[momentLevels+i] = l.name
	}
	for i, t := range timings {
		names[momentTimings+i] = t.name
	}
	return names
}()

// momentBetween is the moment from one sample to another.
func momentBetween(from, to *metrics.Sample) *moment {
	m := new(moment)
	seconds := to.At.Sub(from.At).Seconds()
	m[momentAt], m[momentSeconds] = float64(to.At.UnixMilli()), max(seconds, 0)
	if seconds > 0 && to.Loops > 0 {
		busy := to.Times[metrics.TurnTime].Sum - from.Times[metrics.TurnTime].Sum
		m[momentBusy] = min(max(busy/seconds/float64(to.Loops), 0), 1)
	}
	for i, c := range counted {
		m[momentCounts+i] = float64(to.Totals[c.count] - from.Totals[c.count])
	}
	for i, l := range levels {
		m[momentLevels+i] = l.value(to)
	}
	for i, t := range timings {
		counts := to.Times[t.time].Counts
		for b, n := range from.Times[t.time].Counts {
			counts[b] -= n
		}
		m[momentTimings+i] = quantile(counts[:], t.quantile)
	}
	return m
}

// quantile is that of times in the buckets of metrics.Bounds: within one they are taken to lie
// evenly, and in the last at its lower bound. NaN: there are none.
func quantile(counts []uint64, q float64) float64 {
	total := uint64(0)
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return math.NaN()
	}
	rank, below, lower := q*float64(total), 0.0, 0.0
	for i, upper := range metrics.Bounds {
		n := float64(counts[i])
		if n > 0 && below+n >= rank {
			return lower + (upper-lower)*(rank-below)/n
		}
		below, lower = below+n, upper
	}
	return lower
}

// append appends the moment's parts as members of a JSON object, without its braces.
func (m *moment) append(b []byte) []byte {
	for i, name := range momentNames {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, name)
		b = appendPart(append(b, ':'), i, m[i])
	}
	return b
}

// appendPart appends one part as JSON: counts as they are, all else with four digits.
func appendPart(b []byte, part int, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, "null"...)
	case part == momentAt || part >= momentCounts && part < momentTimings:
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	}
	return strconv.AppendFloat(b, v, 'g', 4, 64)
}

// lasts says whether nothing at all has happened from one sample to another.
func lasts(from, to *metrics.Sample) bool {
	return from.Totals == to.Totals && from.Times == to.Times && from.Active == to.Active
}
