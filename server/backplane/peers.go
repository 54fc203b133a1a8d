package backplane

import (
	"slices"
	"strings"
	"time"

	"mbserver/server/metrics"
)

// Held is how many bytes wait for the bus, are kept of what was sent, or were brought and wait. Any
// goroutine.
func (p *Plane) Held() int64 {
	n := p.inward.held.Load() + p.brings.Load()
	for _, q := range p.queues {
		n += q.held.Load() + q.kept.bytes.Load()
	}
	return n
}

// Sample tells how the cluster is. It may wait for what the plane does: no loop calls it.
func (p *Plane) Sample(now time.Time) metrics.Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := metrics.Cluster{
		Joined: true, Island: p.alone.Load(), Lost: p.lost.Load(), Interest: p.told.version,
	}
	for _, q := range p.queues {
		c.Waiting += q.held.Load()
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
			Requests: n.link.asked.Load(), CallsDropped: n.link.callsDropped.Load(),
			Patterns: len(n.patterns), Services: len(n.services),
			Interest: n.version, Confirmed: n.confirmed,
		}
		p.inward.count(n.nodeKey, &peer)
		c.Peers = append(c.Peers, peer)
	}
	slices.SortFunc(c.Peers, func(a, b metrics.Peer) int { return strings.Compare(a.Name, b.Name) })
	return c
}
