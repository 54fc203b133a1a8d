package observe

import (
	"context"
	"time"
)

// Sample is what a node told at one moment.
type Sample struct {
	At            time.Time
	NodeID        string
	Version       string        // of the node
	Took          time.Duration // all questions together
	RoundTrip     time.Duration // one heartbeat
	Figures       Figures
	Exported      map[string]float64 // nil: the admin listener was not asked
	Connections   []Connection
	Subscriptions []Subscription // nil: not asked for
}

// Sample asks for everything that is in one; for subscriptions, which may be many, only on request.
func (n *Node) Sample(ctx context.Context, subscriptions bool) (*Sample, error) {
	start := time.Now()
	s := &Sample{}
	var err error
	if s.RoundTrip, err = n.RoundTrip(ctx); err != nil {
		return nil, err
	}
	if s.Figures, err = n.Figures(ctx); err != nil {
		return nil, err
	}
	s.At = time.Now() // of the figures, which rates are made of
	// Of this connection: after another one the node may be another.
	s.NodeID, s.Version = n.client.NodeID(), n.client.ServerVersion()
	if s.Connections, err = n.Connections(ctx); err != nil {
		return nil, err
	}
	if subscriptions {
		if s.Subscriptions, err = n.Subscriptions(ctx); err != nil {
			return nil, err
		}
		Name(s.Subscriptions, s.Connections)
	}
	s.Took = time.Since(start)
	return s, nil
}

// Rates are events a second.
type Rates struct {
	In        float64  `json:"in"`            // messages that arrived
	BytesIn   float64  `json:"bytesIn"`       // their bytes
	Out       *float64 `json:"out,omitempty"` // messages handed to connections; nil: not known
	BytesOut  *float64 `json:"bytesOut,omitempty"`
	Publishes float64  `json:"publishes"`
	Requests  float64  `json:"requests"`
	Responses float64  `json:"responses"`
	Errors    float64  `json:"errors"`   // messages that the node answered with an error
	Unrouted  float64  `json:"unrouted"` // publishes that nobody was subscribed to
	Dropped   float64  `json:"dropped"`  // deliveries that slow subscribers lost
	Timeouts  float64  `json:"timeouts"`
	Limited   float64  `json:"limited"` // messages over a rate limit
	Opened    float64  `json:"opened"`  // connections
	Closed    float64  `json:"closed"`
}

// Since returns the rates between the sample before and s. Without one, or when the node was
// started anew in between, they are the node's own of the last whole second.
func (s *Sample) Since(before *Sample) (r Rates) {
	elapsed := 0.0
	if before != nil && s.Figures[Uptime] >= before.Figures[Uptime] {
		elapsed = s.At.Sub(before.At).Seconds()
	}
	for _, f := range []struct {
		to          *float64
		total, rate string
	}{
		{&r.In, "router.message.count", "router.message.rate"},
		{&r.Errors, "router.message.count.error", "router.message.rate.error"},
		{&r.Publishes, "router.publish.count", "router.publish.rate"},
		{&r.Unrouted, "router.publish.count.dropped", "router.publish.rate.dropped"},
		{&r.Requests, "router.request.count", "router.request.rate"},
		{&r.Timeouts, "router.request.count.timeout", "router.request.rate.timeout"},
		{&r.Responses, "router.response.count", "router.response.rate"},
		{&r.Dropped, "connection.outbound.dropped.count", "connection.outbound.dropped.rate"},
		{&r.Limited, "router.limited.count", "router.limited.rate"},
		{&r.Opened, "connection.connected.total", "connection.connected.rate"},
		{&r.Closed, "connection.disconnected.total", "connection.disconnected.rate"},
	} {
		*f.to = s.Figures[f.rate]
		if elapsed > 0 {
			*f.to = max(s.Figures[f.total]-before.Figures[f.total], 0) / elapsed
		}
	}
	r.BytesIn = r.In * s.Figures["router.message.size.avg"]
	if elapsed > 0 {
		r.BytesIn = max(s.bytesIn()-before.bytesIn(), 0) / elapsed
		if s.Exported != nil && before.Exported != nil {
			r.Out = growth(sentMessages, before.Exported, s.Exported, elapsed)
			r.BytesOut = growth(sentBytes, before.Exported, s.Exported, elapsed)
		}
	}
	return r
}

// growth is that of a counter a second; nil when it is not told.
func growth(name string, before, after map[string]float64, elapsed float64) *float64 {
	v, told := after[name]
	if !told {
		return nil
	}
	v = max(v-before[name], 0) / elapsed
	return &v
}

// bytesIn is how many bytes of messages have arrived: the wire tells their average.
func (s *Sample) bytesIn() float64 {
	return s.Figures["router.message.count"] * s.Figures["router.message.size.avg"]
}
