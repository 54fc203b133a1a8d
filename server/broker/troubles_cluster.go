package broker

import (
	"fmt"
	"time"

	"mbserver/server/metrics"
	"mbserver/server/trouble"
)

// findCluster looks for what is wrong between nodes. It waits for what the cluster does.
func (f *finder) findCluster() {
	now := time.UnixMilli(f.now.Unix)
	c := f.broker.Cluster(now)
	if !c.Joined {
		return
	}
	f.findIsolated(&c)
	for i := range c.Peers {
		f.findPeer(&c.Peers[i], c.Island)
	}
}

// findIsolated looks whether this node has lost the others.
func (f *finder) findIsolated(c *metrics.Cluster) {
	if !c.Island && !c.Isolated {
		return
	}
	t := f.since(c.AloneSince.UnixMilli())
	switch {
	case c.Displaced:
		f.add(trouble.Isolated, "name", t, "another node has the name of this one, which has left "+
			"the cluster and is not ready")
	case c.Island:
		f.add(trouble.Isolated, "bus", t, "NATS does not answer: this node goes on alone, and "+
			"what would cross is lost")
	default:
		live := 0
		for i := range c.Peers {
			if c.Peers[i].State == "live" {
				live++
			}
		}
		f.add(trouble.Isolated, "peers", t, "%d other nodes are there, fewer than "+
			"cluster.minPeers (%d): this one is not ready", live, c.MinPeers)
	}
}

// findPeer looks for what is wrong with another node. An island knows nothing of it.
func (f *finder) findPeer(p *metrics.Peer, island bool) {
	about := trouble.Subject{ID: p.ID, Name: p.Name}
	if p.State == "gone" && !p.Left && !island {
		cause, why := "", "node %s is not heard any more: nothing is sent to it"
		if p.TooMuch {
			cause, why = "too_much", "node %s tells of more patterns and services than "+
				"memory.limit has room for here: it is passed over, and nothing is sent to it"
		}
		f.addOf(about, trouble.NodeGone, cause, f.since(p.Since.UnixMilli()),
			fmt.Sprintf(why, p.Name))
	}
	spells := []struct {
		metrics.Spell
		kind       trouble.Kind
		cause, why string
	}{
		{p.Dropping, trouble.NodeSlow, "queue", fmt.Sprintf(
			"%d messages for node %s were not sent: too many wait for NATS", p.Dropping.Count,
			p.Name)},
		{p.Slow, trouble.NodeSlow, "round_trip", fmt.Sprintf(
			"a heartbeat to node %s and back takes %d ms", p.Name, p.RoundTrip.Milliseconds())},
		{p.Losing, trouble.NodesLose, "", fmt.Sprintf(
			"%d publishes of node %s did not arrive: who might have got them was told",
			p.Losing.Count, p.Name)},
		{p.Missing, trouble.NodesLose, "requests", fmt.Sprintf(
			"%d frames of requests and answers of node %s did not arrive: their requests time out",
			p.Missing.Count, p.Name)},
	}
	for _, s := range spells {
		if s.Since.IsZero() {
			continue
		}
		t := f.since(s.Since.UnixMilli())
		t.Last, t.On = f.since(s.Last.UnixMilli()).Since, false
		if t.Stands(f.now.Ms) {
			f.addOf(about, s.kind, s.cause, t, s.why)
		}
	}
}
