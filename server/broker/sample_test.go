package broker

import (
	"testing"
	"time"

	"mbserver/server/metrics"
)

// The numbers of a node whose loops and clock are the test's.
func TestSample(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	const sec = 1_700_000_000
	first := metrics.Counts{
		metrics.Messages: 4, metrics.MessageBytes: 100, metrics.MaxMessageBytes: 60,
		metrics.Publishes: 3, metrics.PublishesUnrouted: 1,
	}
	second := metrics.Counts{
		metrics.Messages: 1, metrics.MessageBytes: 50, metrics.MaxMessageBytes: 50,
		metrics.RequestsEvicted: 2, metrics.Dropped: 7,
	}
	n.loops[0].published.Publish(sec-1, &first)
	n.loops[1].published.Publish(sec-1, &second)
	n.Arrivals.Rejected.Add(sec - 1)
	n.Arrivals.Connected.Add(sec)
	n.queued.Store(9)
	n.loops[1].load.Store(5)
	s := n.Sample(time.Unix(sec, 0))
	for name, want := range map[string]float64{
		"router.message.count": 5, "router.message.rate": 5,
		"router.message.size.avg": 30, "router.message.size.max": 60,
		"router.publish.count": 3, "router.request.queued": 9,
		"router.publish.count.dropped": 1, "router.publish.rate.dropped": 1,
		"router.request.count.dropped": 2, "router.request.rate.dropped": 2,
		"connection.rejected.total": 1, "connection.rejected.rate": 1,
		"connection.connected.total": 1, "connection.connected.rate": 0,
		"connection.active": 5, "connection.outbound.dropped.rate": 7, "registry.count": 0,
	} {
		for _, m := range metrics.Table {
			if m.Name == name && m.Value(s) != want {
				t.Errorf("%s is %v, want %v", name, m.Value(s), want)
			}
		}
	}
	for _, m := range metrics.Table {
		if m.Kind != metrics.Percent {
			continue
		}
		if v := m.Value(s); v < 0 || v > 1 {
			t.Errorf("%s is %v, not a fraction", m.Name, v)
		}
	}
	idle := newTestNode(t, 1, 2, nil).Sample(time.Unix(sec, 0))
	for _, m := range metrics.Table {
		if v := m.Value(idle); v != v || v < 0 {
			t.Errorf("%s of an idle node is %v", m.Name, v)
		}
	}
}
