package broker

import (
	"sync"
	"sync/atomic"

	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/server/fair"
	"mbserver/server/system"
	"mbserver/server/wheel"
	"mbserver/topic"
)

// Services of other nodes (protocol §12).
//
// Purpose. A request goes to the best service of any node, and whoever looks for one sees no
// difference: a service of another node is a service, subscribed in the trie with its priority.
//
// Outline. The cluster says of each service what it is (Serve), what it takes requests of (Offer)
// and how much of its capacity is given away (Loaded). It has a loop here, its home, which shares
// out its room as that of an own service (request_grant.go), and no connection. How a request goes
// there is in request_abroad.go, how one of another node comes here in request_foreign.go, what
// others are told of own services in service_load.go.
//
// Invariants. outstanding of a service of another node is what this node has there, which is
// counted here and exact, and what its node last said that others have (far.others): a hint, by
// which it is chosen. Whether it has room is decided there.
//
// Cost. For a node alone: nothing but a look at a mark for each request.

// others are the other nodes, as subscriptions and routes know them. Any goroutine.
type others struct {
	ackTimeout int64 // ms; immutable

	live  atomic.Pointer[[]*farNode] // those that are not gone; nil: none
	waits atomic.Int64               // how often one waits for a service here

	// Guarded by mu.
	mu    sync.Mutex
	nodes map[uint32]*farNode // the latest of each slot
	count int                 // of their subscriptions
}

// farNode is another node, from when it joins until it is gone: then it is marked as left. As a
// service, without a loop, it is one subscriber of all patterns for publishes that it has told of.
type farNode struct {
	service
	self  particulars
	named atomic.Pointer[codec.UUID] // its ID for clients; nil: not known yet

	services map[codec.UUID]*service // guarded by others.mu
	loads    uint64                  // words of loads that have come; written by who calls Loaded

	// By loop, each its loop's only.
	asked  []fair.List[*entry] // this node's requests that it has
	theirs []foreign           // requests of it that this node has
}

// foreign are the requests of another node that a loop's services have.
type foreign struct {
	list  fair.List[*entry]
	named map[codec.UUID]*entry // by their names there
}

// far is what only a service of another node has, or that node.
type far struct {
	node   *farNode
	about  atomic.Pointer[abroad.Service] // what was said of it; nil: it is the node
	others atomic.Int32                   // requests that it was said to have of others
	loaded atomic.Uint64                  // farNode.loads when that was said
	offers map[string]float64             // priority by pattern; guarded by others.mu

	changes atomic.Uint64 // of offers

	// Its home's only.
	home  *Loop
	of    *service
	timer wheel.Timer // until it is asked again that was busy
}

// far is what s has as a service of another node, or as that node.
func (s *service) far() *far { return s.particulars.Load().far }

// newNode makes another node of a slot.
func (o *others) newNode(slot uint32, loops int) *farNode {
	n := &farNode{
		services: make(map[codec.UUID]*service),
		asked:    make([]fair.List[*entry], loops), theirs: make([]foreign, loops),
	}
	n.slot = slot
	n.self.far = &far{node: n}
	n.particulars.Store(&n.self)
	o.nodes[slot] = n
	return n
}

// settleLive lists those that are not gone. mu is held.
func (o *others) settleLive() {
	var all []*farNode
	for slot := range uint32(nodeSlots) {
		if n := o.nodes[slot]; n != nil && !n.marked(markLeft) {
			all = append(all, n)
		}
	}
	o.live.Store(&all)
}

// nodeSlots is how many slots there are for other nodes.
const nodeSlots = 64

// present returns a node that is not gone, or nil.
func (o *others) present(slot uint32) *farNode {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.presentLocked(slot)
}

func (o *others) presentLocked(slot uint32) *farNode {
	if n := o.nodes[slot]; n != nil && !n.marked(markLeft) {
		return n
	}
	return nil
}

// serving returns a service of a node that is not gone, or nil. mu is held.
func (o *others) serving(slot uint32, id codec.UUID) *service {
	if n := o.presentLocked(slot); n != nil {
		return n.services[id]
	}
	return nil
}

// Join makes a slot stand for another node, which is subscribed to nothing yet.
func (n *ClusterNode) Join(slot uint32) {
	o := n.others
	o.mu.Lock()
	o.newNode(slot, len(n.loops))
	o.settleLive()
	o.mu.Unlock()
	for _, l := range n.loops {
		l.call((*Loop).tellLoads)
	}
}

// Named implements backplane.Broker.
func (n *ClusterNode) Named(slot uint32, text string) {
	id, ok := codec.ParseUUID([]byte(text))
	if node := n.others.present(slot); node != nil && ok {
		node.named.Store(&id)
		n.registry.changes.Add(1)
		n.trie.Outdate()
	}
}

// Part begins the end of another node: nothing is routed to it from here on, and what it has of
// this one's fails.
func (n *ClusterNode) Part(slot uint32) {
	o := n.others
	o.mu.Lock()
	node := o.presentLocked(slot)
	if node == nil {
		o.mu.Unlock()
		return
	}
	node.mark(markLeft|markGone, true)
	o.settleLive()
	for _, s := range node.services {
		n.retire(s)
	}
	n.registry.changes.Add(1)
	o.mu.Unlock()
	n.trie.Outdate()
	n.wakeQueues()
	for _, l := range n.loops {
		l.call(func(l *Loop) { l.loseNode(node) })
	}
}

// retire ends a service of another node. others.mu is held.
func (b *Broker) retire(s *service) {
	s.mark(markLeft|markGone|markStalled, true)
	f := s.far()
	for text := range f.offers {
		b.withdrawn(s, text)
	}
	delete(f.node.services, s.id)
}

// withdrawn ends one of its subscriptions. others.mu is held.
func (b *Broker) withdrawn(s *service, pattern string) {
	delete(s.far().offers, pattern)
	s.far().changes.Add(1)
	p, err := topic.ParsePattern(pattern)
	if err == nil && b.trie.Unsubscribe(p, topic.Request, s) {
		b.others.count--
	}
}

// Serve implements backplane.Broker.
func (n *ClusterNode) Serve(slot uint32, about *abroad.Service) {
	o := n.others
	o.mu.Lock()
	defer o.mu.Unlock()
	node := o.presentLocked(slot)
	if node == nil {
		return
	}
	s := node.services[about.ID]
	if s == nil {
		s = &service{
			loop: n.loops[about.ID.Hi>>32%uint64(len(n.loops))], id: about.ID,
			connectedAt: about.ConnectedAt,
		}
		f := &far{node: node, home: s.loop, of: s, offers: make(map[string]float64)}
		f.timer.Owner = f
		s.particulars.Store(&particulars{far: f})
		s.mark(markFar, true)
		node.services[s.id] = s
	}
	s.far().about.Store(about)
	if about.Name != "" {
		s.particulars.Load().profile.Store(&system.Profile{
			Name: about.Name, Description: about.Description, Metadata: about.Metadata,
			MaxConcurrent: int(about.Capacity),
		})
	}
	if s.capacity.Swap(about.Capacity) != about.Capacity && s.marked(markWaited) {
		s.loop.call(func(l *Loop) { l.offer(s) })
	}
	n.registry.changes.Add(1)
}

// Unserve implements backplane.Broker.
func (n *ClusterNode) Unserve(slot uint32, id codec.UUID) {
	o := n.others
	o.mu.Lock()
	s := o.serving(slot, id)
	if s != nil {
		n.retire(s)
		n.registry.changes.Add(1)
	}
	o.mu.Unlock()
	if s != nil {
		n.trie.Outdate()
		n.wakeQueues()
		s.loop.call(func(l *Loop) { l.forgetAwaited(s) })
	}
}

// Offer implements backplane.Broker.
func (n *ClusterNode) Offer(slot uint32, of abroad.Offer, p topic.Pattern) {
	o := n.others
	o.mu.Lock()
	s := o.serving(slot, of.Service)
	if s == nil || p.System() {
		o.mu.Unlock()
		return
	}
	s.far().offers[p.String()] = of.Priority
	s.far().changes.Add(1)
	if n.trie.Subscribe(p, topic.Request, s, topic.Options{Priority: of.Priority}) {
		o.count++
	}
	o.mu.Unlock()
	n.wakeQueues()
	if n.departing.Load() { // who serves here may have been held for want of it
		for _, l := range n.loops {
			l.call((*Loop).lookAtHeld)
		}
	}
}

// Withdraw implements backplane.Broker. An offer that another has replaced is none any more.
func (n *ClusterNode) Withdraw(slot uint32, of abroad.Offer, p topic.Pattern) {
	o := n.others
	o.mu.Lock()
	s := o.serving(slot, of.Service)
	if s != nil {
		if priority, is := s.far().offers[p.String()]; is && priority == of.Priority {
			n.withdrawn(s, p.String())
		}
	}
	o.mu.Unlock()
	n.wakeQueues()
}

// Loaded implements backplane.Broker.
func (n *ClusterNode) Loaded(slot uint32, load abroad.Load) {
	o := n.others
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.serving(slot, load.Service)
	if s == nil {
		return
	}
	f := s.far()
	f.node.loads++
	f.loaded.Store(f.node.loads)
	s.outstanding.Add(load.Others - f.others.Swap(load.Others))
	s.mark(markStalled, load.Stalled)
	s.mark(markDue, load.Last)
	s.mark(markBusy, false)
	if s.marked(markWaited) {
		p := n.calls.parcelFor(s.loop)
		p.add(itemRoom).to = s
	}
}

// servedElsewhere says whether a service of another node that stays takes requests of a pattern.
func (b *Broker) servedElsewhere(p topic.Pattern) bool {
	if b.others == nil {
		return false
	}
	for _, m := range b.trie.Subscribers(p, topic.Request, nil) {
		if m.Sub.marks.Load()&(markFar|markLeft|markDue) == markFar {
			return true
		}
	}
	return false
}
