package backplane

import (
	"slices"
	"strings"
	"time"

	"mbserver/server/metrics"
)

// Held is how many bytes wait for the bus, are kept of what was sent, were brought and wait, or are
// kept of what other nodes tell of themselves. Any goroutine.
func (p *Plane) Held() int64 {
	n := p.inward.held.Load() + p.brings.Load() + p.heard.bytes.Load()
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
		Displaced: p.displaced, Isolated: p.lonely.Load(), MinPeers: p.o.MinPeers,
	}
	clock := p.o.Now()
	if at := max(p.islandSince, p.lonelySince); c.Island || c.Isolated {
		if p.islandSince != 0 && p.lonelySince != 0 {
			at = min(p.islandSince, p.lonelySince)
		}
		c.AloneSince = now
		if at != 0 { // else it has happened since the last tick
			c.AloneSince = now.Add(at - clock)
		}
	}
	for _, q := range p.queues {
		c.Waiting += q.held.Load()
	}
	newest := make(map[string]*node)
	for _, n := range p.nodes {
		if n.state == nodeGone && clock-n.since > forgetAfter {
			continue
		}
		if other := newest[n.name]; other == nil || other.inc < n.inc {
			newest[n.name] = n
		}
	}
	for _, n := range newest {
		peer := metrics.Peer{
			Name: n.name, ID: n.id, Version: n.server, State: stateNames[n.state],
			Draining: n.draining, Left: n.left, TooMuch: n.tooMuch, Since: now.Add(n.since - clock),
			Connections: int64(n.connections), RoundTrip: n.roundTrip,
			Sent: n.link.sent.Load(), Dropped: n.link.dropped.Load(),
			Requests: n.link.asked.Load(), CallsDropped: n.link.callsDropped.Load(),
			Patterns: n.entries.count, Services: len(n.services),
			Interest: n.version, Confirmed: n.confirmed,
			Losing: n.troubles.losing.told(now, clock), Slow: n.troubles.slow.told(now, clock),
			Missing:  n.troubles.missing.told(now, clock),
			Dropping: n.troubles.dropping.told(now, clock),
		}
		peer.CallsLost, peer.CallsDoubled = p.calls.count(n.nodeKey)
		p.inward.count(n.nodeKey, &peer)
		c.Peers = append(c.Peers, peer)
	}
	slices.SortFunc(c.Peers, func(a, b metrics.Peer) int { return strings.Compare(a.Name, b.Name) })
	return c
}
