package backplane

import (
	"slices"
	"strings"
	"time"

	"mbserver/server/metrics"
)

// Sample tells how the cluster is. It may wait for what the plane does: no loop calls it.
func (p *Plane) Sample(now time.Time) metrics.Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := metrics.Cluster{
		Joined: true, Island: p.alone.Load(), Lost: p.lost.Load(), Interest: p.told.version,
	}
	for _, l := range p.lanes {
		c.Waiting += int64(l.queue.waiting())
	}
	newest := make(map[string]*node)
	for _, n := range p.nodes {
		if other := newest[n.name]; other == nil || other.inc < n.inc {
			newest[n.name] = n
		}
	}
	clock := p.o.Now()
	for _, n := range newest {
		peer := metrics.Peer{
			Name: n.name, ID: n.id, Version: n.server, State: stateNames[n.state],
			Draining: n.draining, Since: now.Add(n.since - clock),
			Connections: int64(n.connections), RoundTrip: n.roundTrip,
			Sent: n.link.sent.Load(), Dropped: n.link.dropped.Load(),
			Patterns: len(n.patterns), Interest: n.version, Confirmed: n.confirmed,
		}
		p.inward.count(n.nodeKey, &peer)
		c.Peers = append(c.Peers, peer)
	}
	slices.SortFunc(c.Peers, func(a, b metrics.Peer) int { return strings.Compare(a.Name, b.Name) })
	return c
}
