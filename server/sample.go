package server

import "time"

// sample gathers the numbers, without waiting for any loop: what a loop counted in a turn that still runs comes later.
// Any goroutine.
func (n *Node) sample(now time.Time) *sample {
	sec := now.Unix()
	s := &sample{
		at:           now,
		connected:    n.stats.connected.at(sec),
		disconnected: n.stats.disconnected.at(sec),
		failed:       n.stats.failed.at(sec),
		rejected:     n.stats.rejected.at(sec),

		outstanding:   n.outstanding.Load(),
		queued:        n.queued.Load(),
		charged:       n.charged(),
		paused:        n.paused.Load(),
		shed:          n.budget.shed.Load(),
		services:      n.registry.count(),
		subscriptions: n.trie.Count(),
		machine:       n.machine.read(now),
	}
	if n.logs != nil {
		s.logDropped = n.logs.Dropped()
	}
	for _, l := range n.loops {
		s.active += l.load.Load()
		l.stats.sum(&s.totals)
		l.stats.rates(sec, &s.rates)
	}
	return s
}
