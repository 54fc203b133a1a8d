package broker

import (
	"time"

	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/server/metrics"
	"mbserver/server/system"
	"mbserver/topic"
)

// Cluster is what a broker needs of those who reach other nodes (server/backplane). A node alone
// has none, and pays a nil check. Any goroutine, unless a method says otherwise.
type Cluster interface {
	// Room says whether one more subscription to a pattern may be there; "": one more offer.
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
	// Serve tells other nodes of a service that takes requests here: it has come, or is another
	// than was told. Unserve ends that. Offer and Withdraw note what it takes requests of; a
	// version is for Await, as those of Subscribed. Any goroutine.
	Serve(s *abroad.Service)
	Unserve(id codec.UUID)
	Offer(o abroad.Offer) (version uint64)
	Withdraw(o abroad.Offer)
	// Ask sends a request to a service of another node, at the end of the turn; false: that is not
	// to be had, and nothing was sent. Cancel ends one: it is not delivered if it was not yet, and
	// no answer is waited for. Loop only, and so that of one request the same loop.
	Ask(loop int, node uint32, q *abroad.Request) bool
	Cancel(loop int, node uint32, ref codec.UUID)
	// Answer sends a request's origin word of it, and Load word of a service, at the end of the
	// turn; false: not sent. Loop only.
	Answer(loop int, node uint32, a *abroad.Answer) bool
	Load(loop int, node uint32, l abroad.Load) bool
	// Wait tells another node that requests wait here for a service of it, or that none does any
	// more, at the end of the turn; false: not sent. Loop only.
	Wait(loop int, node uint32, w abroad.Wait) bool
	// Held is how many bytes it holds of what goes to other nodes and comes from them.
	Held() int64
	// Sample tells how the cluster is. It may wait: no loop calls it.
	Sample(now time.Time) metrics.Cluster
	// Isolated says that fewer other nodes are there than there should be.
	Isolated() bool
}

// ClusterNode is the broker, as the cluster needs it: it implements backplane.Broker.
type ClusterNode struct {
	*Broker
	inward inward
	calls  calls
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
	b.others = &others{nodes: make(map[uint32]*farNode)}
	n := &ClusterNode{Broker: b}
	n.inward.init(b)
	n.calls.init(b)
	return n
}

// node returns who stands for a node among the subscribers.
func (o *others) node(slot uint32, change int) *service {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count += change
	return &o.nodes[slot].service
}

// Want adds a subscription of another node.
func (n *ClusterNode) Want(slot uint32, p topic.Pattern) {
	n.trie.Subscribe(p, topic.Publish, n.others.node(slot, 1), topic.Options{})
}

// Forget takes one away.
func (n *ClusterNode) Forget(slot uint32, p topic.Pattern) {
	n.trie.Unsubscribe(p, topic.Publish, n.others.node(slot, -1))
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

// interestOf is the version of the node's interest by which others know of a subscription for
// publishes.
func (b *Broker) interestOf(p topic.Pattern) uint64 {
	if b.cluster == nil || p.System() {
		return 0
	}
	return b.cluster.Version(p.String())
}

// subscribe adds subscriptions, unless other nodes may not be told of them.
func (k *caller) subscribe(p topic.Pattern, kinds []topic.Kind, o topic.Options) *system.Error {
	if err := k.c.roomFor(p, kinds); err != nil {
		return err
	}
	k.version = 0
	for _, kind := range kinds {
		k.version = max(k.version, k.c.subscribe(p, kind, o))
	}
	return nil
}

// roomFor says why a subscription may not be there: other nodes are told of as many as they may be.
func (c *Conn) roomFor(p topic.Pattern, kinds []topic.Kind) *system.Error {
	cluster := c.loop.broker.cluster
	if cluster == nil || p.System() {
		return nil
	}
	for _, k := range kinds {
		about := p.String()
		if k == topic.Request {
			if c.subs.find(p, k) >= 0 {
				continue
			}
			about = "" // it shares what is told with nobody
		}
		if !cluster.Room(about) {
			return interestLimit
		}
	}
	return nil
}

// interestLimit is the answer to a subscription that other nodes cannot be told of.
var interestLimit = &system.Error{Code: codec.ServiceUnavailable,
	Message: "this node has told the others of as many patterns as it may",
	Details: []codec.Detail{codec.TextDetail("reason", "interest_limit")}}

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
