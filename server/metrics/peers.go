package metrics

import "time"

// Peer is a node of the cluster, as another one sees it.
type Peer struct {
	Name, ID, Version string
	Self              bool   // it is the node that tells of it
	State             string // "live", "joining" or "gone"
	Draining          bool
	Left              bool      // it is gone because it has said so,
	TooMuch           bool      // or passed over because it told more than is kept of it
	Since             time.Time // when it came to that, or the node itself started
	Connections       int64

	RoundTrip time.Duration // between the two nodes; 0: not known yet
	Sent      uint64        // publishes for it that were handed to the bus's queue
	Dropped   uint64        // that were not: the queue was full, or the bus away
	Received  uint64        // publishes of it that arrived
	Lost      uint64        // that did not
	Asked     uint64        // that did not and were asked for
	Repaired  uint64        // that arrived after that
	Requests  uint64        // requests for services of it that were handed to the bus's queue
	// CallsDropped: requests, answers and loads that found no room there. Requests went elsewhere.
	CallsDropped uint64
	CallsLost    uint64 // frames of requests and answers that were missing when a later one came
	CallsDoubled uint64 // that came again, or much too late, and were passed over
	Patterns     int    // of its interest, here, with what its services take requests of
	Services     int    // of its, that take requests
	Interest     uint64 // version of that
	Confirmed    uint64 // version of the own interest that it has confirmed

	Losing   Spell // publishes of it do not arrive: how many
	Missing  Spell // frames of requests and answers of it do not arrive: how many
	Dropping Spell // messages for it find no room: how many
	Slow     Spell // heartbeats to it and back take longer than one is from the next
}

// Spell is something that has gone wrong now and then; the zero value is nothing.
type Spell struct {
	Since, Last time.Time
	Count       uint64
}

// Cluster is a node's part in it; the zero value is a node's that is alone.
type Cluster struct {
	Joined   bool // there is one
	Island   bool // the bus does not answer
	Lost     uint64
	Waiting  int64  // bytes for the bus
	Interest uint64 // version of the own
	Peers    []Peer // without the node itself

	Displaced  bool      // a newer node has its name
	Isolated   bool      // it has fewer others than it should
	MinPeers   int       // how many those are
	AloneSince time.Time // that it is an island, or isolated
}

// perPeer makes the values of a family that has one for each other node.
func perPeer(value func(*Peer) float64) func(*Sample) []LabelledValue {
	return func(s *Sample) (values []LabelledValue) {
		for i := range s.Cluster.Peers {
			p := &s.Cluster.Peers[i]
			values = append(values, LabelledValue{p.Name, value(p)})
		}
		return values
	}
}

// ClusterTable is every family about other nodes; their label is the node's name. A node alone has
// no values of them.
var ClusterTable = []Labelled{
	{Family{"mb_cluster_node_live", "gauge",
		"1: what that node wants is known here, 0: not yet, or it is gone"}, "node",
		perPeer(func(p *Peer) float64 {
			if p.State == "live" {
				return 1
			}
			return 0
		})},
	{Family{"mb_cluster_round_trip_seconds", "gauge",
		"the last heartbeat's way to that node and back"}, "node",
		perPeer(func(p *Peer) float64 { return p.RoundTrip.Seconds() })},
	{Family{"mb_cluster_publishes_sent_total", "counter",
		"publishes for that node"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.Sent) })},
	{Family{"mb_cluster_publishes_dropped_total", "counter",
		"publishes that were not sent to that node: too many waited (cluster.outbound.bytes), or " +
			"NATS was away. It counts them among those lost"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.Dropped) })},
	{Family{"mb_cluster_publishes_received_total", "counter",
		"publishes of that node"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.Received) })},
	{Family{"mb_cluster_publishes_lost_total", "counter",
		"publishes of that node for this one that did not arrive"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.Lost) })},
	{Family{"mb_cluster_requests_sent_total", "counter",
		"requests that were sent to services of that node"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.Requests) })},
	{Family{"mb_cluster_calls_dropped_total", "counter",
		"requests, answers and words with them that were not sent to that node: too many waited " +
			"(cluster.outbound.bytes)"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.CallsDropped) })},
	{Family{"mb_cluster_calls_lost_total", "counter",
		"frames of requests and answers of that node that were missing when a later one came: " +
			"their requests time out"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.CallsLost) })},
	{Family{"mb_cluster_calls_doubled_total", "counter",
		"frames of requests and answers of that node that came again, or much too late, and were " +
			"passed over"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.CallsDoubled) })},
	{Family{"mb_cluster_services", "gauge",
		"services of that node that take requests"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.Services) })},
	{Family{"mb_cluster_publishes_asked_total", "counter",
		"publishes of that node that did not arrive and were asked for again"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.Asked) })},
	{Family{"mb_cluster_publishes_repaired_total", "counter",
		"those of them that arrived after that; the others are lost"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.Repaired) })},
	{Family{"mb_cluster_patterns", "gauge",
		"patterns that that node has subscribers for"}, "node",
		perPeer(func(p *Peer) float64 { return float64(p.Patterns) })},
}
