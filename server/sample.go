package server

import (
	"time"

	"mbserver/server/metrics"
)

// sample gathers the numbers, without waiting for any loop: what a loop counted in a turn that still runs comes later.
// Any goroutine.
func (n *Node) Sample(now time.Time) *metrics.Sample {
	sec := now.Unix()
	s := &metrics.Sample{
		At:           now,
		Connected:    n.arrivals.Connected.Read(sec),
		Disconnected: n.arrivals.Disconnected.Read(sec),
		Failed:       n.arrivals.Failed.Read(sec),
		Rejected:     n.arrivals.Rejected.Read(sec),

		Outstanding:   n.outstanding.Load(),
		Queued:        n.queued.Load(),
		Charged:       n.charged(),
		Paused:        n.paused.Load(),
		Shed:          n.budget.shed.Load(),
		Services:      n.registry.count(),
		Subscriptions: n.trie.Count(),
		Machine:       n.machine.Read(now),
	}
	if n.logs != nil {
		s.LogDropped = n.logs.Dropped()
	}
	for _, l := range n.loops {
		s.Active += l.load.Load()
		l.published.AddTotals(&s.Totals)
		l.published.AddRates(sec, &s.Rates)
	}
	return s
}
