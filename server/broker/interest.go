package broker

import (
	"slices"
	"sync"
	"time"

	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/server/system"
	"mbserver/topic"
)

// Cluster is what a broker needs of those who reach other nodes (server/backplane). A node alone
// has none, and pays a nil check. Any goroutine, unless a method says otherwise.
type Cluster interface {
	// Room says whether one more subscription to a pattern may be there.
	Room(pattern string) bool
	// Subscribed and Unsubscribed note that a subscription has come, or gone. Version is the one of
	// the node's interest that has added a pattern.
	Subscribed(pattern string) (version uint64)
	Unsubscribed(pattern string)
	Version(pattern string) uint64
	// Known says whether all other nodes have confirmed a version.
	Known(version uint64) bool
	// Await has then called when they have, or are not waited for any more, with how many have not;
	// it may be called at once.
	Await(version uint64, then func(unconfirmed int))
	// Publish sends a publish to other nodes, at the end of the turn, and says to which it does
	// not. When receipt is not 0, ClusterNode.Receipt brings word of the others. Loop only.
	Publish(
		loop int, to []uint32, header, payload []byte, receipt uint64,
	) (refused uint64)
	// Flush sends what was gathered. Loop only.
	Flush(loop int)
	// Receipt tells another node what became of a publish of its.
	Receipt(slot uint32, of uint64, subscribers, dropped int)
	// Held is how many bytes it holds of what goes to other nodes and comes from them.
	Held() int64
	// Sample tells how the cluster is. It may wait: no loop calls it.
	Sample(now time.Time) metrics.Cluster
	// Isolated says that fewer other nodes are there than there should be.
	Isolated() bool
}

// others are the other nodes, as subscriptions and routes know them: each is one subscriber of its
// patterns, a service without a loop whose slot says which node it is. Any goroutine.
type others struct {
	ackTimeout int64 // ms; immutable

	// Guarded by mu.
	mu    sync.Mutex
	nodes map[uint32]*service
	count int // of their subscriptions
}

// ClusterNode is the broker, as the cluster needs it: it implements backplane.Broker.
type ClusterNode struct {
	*Broker
	inward inward
}

// JoinCluster makes c what reaches other nodes of a cluster, in which this node has a name;
// ackTimeout is for how long a publisher waits for them. Before any loop runs.
func (b *Broker) JoinCluster(c Cluster, cluster, node string, ackTimeout time.Duration) {
	b.cluster, b.clusterName, b.clusterNode = c, cluster, node
	b.others.ackTimeout = max(ackTimeout.Milliseconds(), 1)
}

// Cluster tells of other nodes. Any goroutine but a loop's.
func (b *Broker) Cluster(now time.Time) metrics.Cluster {
	if b.cluster == nil {
		return metrics.Cluster{}
	}
	return b.cluster.Sample(now)
}

// Nodes implements system.Node.
func (b *Broker) Nodes(now time.Time) []metrics.Peer {
	self := metrics.Peer{
		ID: b.id.String(), Name: b.clusterNode, Version: b.version, Self: true, State: "live",
		Draining: b.ending(), Since: time.UnixMilli(b.openedAt.Load()),
		Connections: b.connections.Load(),
	}
	return append([]metrics.Peer{self}, b.Cluster(now).Peers...)
}

// ClusterNode returns what a Cluster calls. Before JoinCluster.
func (b *Broker) ClusterNode() *ClusterNode {
	b.others = &others{nodes: make(map[uint32]*service)}
	n := &ClusterNode{Broker: b}
	n.inward.init(b)
	return n
}

// Join makes a slot stand for another node, which is subscribed to nothing yet.
func (n *ClusterNode) Join(slot uint32) {
	o := n.others
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nodes[slot] = &service{slot: slot}
}

// node returns who stands for a node among the subscribers.
func (o *others) node(slot uint32, change int) *service {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count += change
	return o.nodes[slot]
}

// Want adds a subscription of another node.
func (n *ClusterNode) Want(slot uint32, p topic.Pattern) {
	n.trie.Subscribe(p, topic.Publish, n.others.node(slot, 1), topic.Options{})
}

// Forget takes one away.
func (n *ClusterNode) Forget(slot uint32, p topic.Pattern) {
	n.trie.Unsubscribe(p, topic.Publish, n.others.node(slot, -1))
}

// Part begins the end of another node: nothing is routed to it from here on.
func (n *ClusterNode) Part(slot uint32) {
	n.others.node(slot, 0).mark(markLeft, true)
	n.trie.Outdate()
}

// Standing is how many connections there are, and whether they are sent elsewhere.
func (n *ClusterNode) Standing() (connections int, draining bool) {
	return int(n.connections.Load()), n.ending()
}

// subscriptions is how many there are on this node.
func (b *Broker) subscriptions() int {
	if b.others == nil {
		return b.trie.Count()
	}
	b.others.mu.Lock()
	defer b.others.mu.Unlock()
	return b.trie.Count() - b.others.count
}

// tellOthers notes a subscription to user topics that has come or gone.
func (b *Broker) tellOthers(p topic.Pattern, by int32) (version uint64) {
	switch {
	case b.cluster == nil:
		return 0
	case by > 0:
		return b.cluster.Subscribed(p.String())
	}
	b.cluster.Unsubscribed(p.String())
	return 0
}

// interestOf is the version of the node's interest by which others know of a subscription.
func (b *Broker) interestOf(p topic.Pattern, k topic.Kind) uint64 {
	if b.cluster == nil || k != topic.Publish || p.System() {
		return 0
	}
	return b.cluster.Version(p.String())
}

// subscribe adds subscriptions, unless other nodes may not be told of them.
func (k *caller) subscribe(p topic.Pattern, kinds []topic.Kind, o topic.Options) *system.Error {
	if err := k.c.loop.broker.roomFor(p, kinds); err != nil {
		return err
	}
	k.version = 0
	for _, kind := range kinds {
		k.version = max(k.version, k.c.subscribe(p, kind, o))
	}
	return nil
}

// roomFor says why a subscription may not be there.
func (b *Broker) roomFor(p topic.Pattern, kinds []topic.Kind) *system.Error {
	if b.cluster == nil || p.System() || !slices.Contains(kinds, topic.Publish) ||
		b.cluster.Room(p.String()) {
		return nil
	}
	return &system.Error{Code: codec.ServiceUnavailable,
		Message: "this node has told the others of as many patterns as it may",
		Details: []codec.Detail{codec.TextDetail("reason", "interest_limit")}}
}

// Known implements system.Caller.
func (k *caller) Known() bool { return k.version == 0 || k.c.loop.broker.cluster.Known(k.version) }

// WhenKnown implements system.Caller.
func (k *caller) WhenKnown(then func(c system.Caller, unconfirmed int)) {
	l, s, h := k.c.loop, &k.c.service, k.h.Clone()
	k.c.owe()
	answer := func(unconfirmed int) {
		l.call(func(l *Loop) {
			c := l.askerOf(s)
			if c == nil {
				return
			}
			l.guard(c, func() {
				l.finishJob(c, &h, func(k system.Caller) *system.Error {
					then(k, unconfirmed)
					return nil
				})
			})
		})
	}
	l.broker.cluster.Await(k.version, answer)
}
