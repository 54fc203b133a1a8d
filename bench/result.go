package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// resultFormat is the version of the JSON form of Results.
const resultFormat = 1

// Results is one run of the harness: where and how it ran, and every repetition's figures.
type Results struct {
	Format   int       `json:"format"`
	Started  time.Time `json:"started"`
	Machine  Machine   `json:"machine"`
	Settings Settings  `json:"settings"`
	Measures []Measure `json:"measures"`
	Notes    []string  `json:"notes,omitempty"` // what was left out, and why
}

// Machine is where the run took place.
type Machine struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Memory  uint64 `json:"memoryBytes"`
	Kernel  string `json:"kernel"`
	Go      string `json:"go"`
	Version string `json:"version"` // of the harness
}

// Settings is how the run was done.
type Settings struct {
	DurationMs int64             `json:"durationMs"`
	WarmupMs   int64             `json:"warmupMs"`
	Repeat     int               `json:"repeat"`
	ServerCore int               `json:"serverCore"`
	LoadCore   int               `json:"loadCore"`
	Servers    map[string]string `json:"servers"` // target to what it is: version, loops
}

// Measure is one figure of one scenario, once for each repetition.
type Measure struct {
	Scenario  string    `json:"scenario"`
	Target    string    `json:"target"`
	Transport string    `json:"transport"`
	Payload   int       `json:"payload"` // bytes
	Metric    string    `json:"metric"`
	Unit      string    `json:"unit"`
	Higher    bool      `json:"higherIsBetter,omitempty"`
	Values    []float64 `json:"values"`
}

// Metrics. The first one of a scenario is the one it is judged by.
const (
	metricCPU     = "server CPU"     // of the server per delivered message or round trip
	metricRate    = "rate"           // delivered messages or round trips per second
	metricLoad    = "generator CPU"  // of the generator per delivered message or round trip
	metricP50     = "latency p50"    // from the intended time of sending
	metricP99     = "latency p99"    //
	metricP999    = "latency p99.9"  //
	metricMax     = "latency max"    //
	metricMemory  = "resident"       // of the server at the end
	metricPerConn = "per connection" // resident memory
	metricIdle    = "idle CPU"       // of one core
	metricAccept  = "accepted"       // connections per second
	metricStart   = "start"          // to the first accepted connection
	metricGrowth  = "growth"         // of resident memory
	metricNear    = "near node CPU"  // the part of server CPU of the publishers' node
	metricFar     = "far node CPU"   // of the subscribers'
	metricBus     = "bus CPU"        // of what is between both
	metricCrosses = "crossing"       // share of senders and receivers on different loops

	metricShare     = " share" // after the name of a CPU time: how much of a core that was
	metricShareUnit = "% of a core"
)

// Median returns the middle of the values, NaN-free: 0 when there are none.
func (m *Measure) Median() float64 { return median(m.Values) }

// Range returns the least and the greatest value.
func (m *Measure) Range() (least, greatest float64) {
	if len(m.Values) == 0 {
		return 0, 0
	}
	return slices.Min(m.Values), slices.Max(m.Values)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// series names what is measured, without the metric.
func (m *Measure) series() string {
	return strings.Join([]string{m.Scenario, m.Target, m.Transport, fmt.Sprint(m.Payload)}, "\x00")
}

// add appends one value of one repetition.
func (r *Results) add(m Measure, value float64) {
	for i := range r.Measures {
		have := &r.Measures[i]
		if have.series() == m.series() && have.Metric == m.Metric {
			have.Values = append(have.Values, value)
			return
		}
	}
	m.Values = []float64{value}
	r.Measures = append(r.Measures, m)
}

// find returns a measure of the run, nil when it is not there.
func (r *Results) find(scenario, target, transport string, payload int, metric string) *Measure {
	for i := range r.Measures {
		m := &r.Measures[i]
		if m.Scenario == scenario && m.Target == target && m.Transport == transport &&
			m.Payload == payload && m.Metric == metric {
			return m
		}
	}
	return nil
}

// WriteJSON writes the run as indented JSON.
func (r *Results) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// ReadJSON reads what WriteJSON wrote. Another format, unknown fields and measures without values
// are errors.
func ReadJSON(in io.Reader) (*Results, error) {
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	r := &Results{}
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	if r.Format != resultFormat {
		return nil, fmt.Errorf("results: format %d, this program reads %d", r.Format, resultFormat)
	}
	for i := range r.Measures {
		m := &r.Measures[i]
		if len(m.Values) == 0 || m.Scenario == "" || m.Metric == "" {
			return nil, fmt.Errorf("results: measure %d has no scenario, metric or values", i)
		}
	}
	return r, nil
}
