package broker

import (
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/topic"
)

// inward delivers what other nodes have published: into the inbox of each loop with subscribers, as
// a publish of another loop arrives. What is gathered for a loop goes there in one parcel. One
// goroutine at a time.
type inward struct {
	broker *Broker
	routes *topic.Cache[*service, *inTargets]
	out    []inwardOut // by loop
	lower  []byte      // scratch
}

// inwardOut is what is gathered for one loop.
type inwardOut struct {
	parcel *parcel // nil: nothing
	lost   *losses // refused, behind it; nil: nothing
}

// inTargets are this node's subscribers of a topic, in a group for each loop. Immutable.
type inTargets struct {
	groups []remoteGroup
	total  int
	anyWS  bool
	keyed  bool // somebody needs the topic's key
}

// inwardRoutes is how many bytes remembered routes of other nodes' publishes may hold.
const inwardRoutes = 1 << 20

func (in *inward) init(b *Broker) {
	in.broker, in.out = b, make([]inwardOut, len(b.loops))
	in.routes = topic.NewCache(b.trie, topic.Publish, inwardRoutes, in.build)
}

// build makes targets of matches: other nodes have got the message from its own.
func (in *inward) build(matches []topic.Match[*service]) (t *inTargets, bytes int) {
	t = &inTargets{keyed: in.broker.pause}
	for _, m := range matches {
		s, d := m.Sub, in.broker.deliveryOf(m.Options)
		if s.loop == nil || s.marked(markLeft) {
			continue
		}
		t.total++
		t.anyWS = t.anyWS || s.form != formTCP
		t.keyed = t.keyed || d&deliverConflate != 0
		t.groups = addTarget(t.groups, s, d)
	}
	return t, 64 + 64*len(t.groups) + 16*t.total
}

// receipt is owed to another node for a publish, when all loops have delivered it.
type receipt struct {
	rare    // what its items refer to
	broker  *Broker
	node    uint32
	of      uint64
	total   int
	left    atomic.Int32 // loops
	dropped atomic.Int32
}

var receipts = sync.Pool{New: func() any { return new(receipt) }}

// settle notes that one loop has delivered, and dropped so many. Any goroutine.
func (r *receipt) settle(dropped int) {
	r.dropped.Add(int32(dropped))
	if r.left.Add(-1) > 0 {
		return
	}
	r.broker.cluster.Receipt(r.node, r.of, r.total, int(r.dropped.Load()))
	*r = receipt{}
	receipts.Put(r)
}

// Deliver implements backplane.Broker. What is no publish on a user topic is passed over: who may
// speak as a node may not speak as this one.
func (n *ClusterNode) Deliver(message []byte, node uint32, of uint64) {
	in, b := &n.inward, n.Broker
	h, payload, bad := codec.ParseHeader(message, 1)
	if bad != nil || h.Action != codec.Publish {
		return
	}
	in.lower = topic.Lower(in.lower[:0], h.Topic)
	if topic.IsSystem(in.lower) {
		return
	}
	t, key := in.routes.Lookup(in.lower)
	if !t.keyed {
		key = 0
	}
	if of != 0 && len(t.groups) == 0 {
		b.cluster.Receipt(node, of, 0, 0)
	}
	if len(t.groups) == 0 {
		return
	}
	var owed *receipt
	if of != 0 {
		owed = receipts.Get().(*receipt)
		owed.broker, owed.node, owed.of, owed.total = b, node, of, t.total
		owed.left.Store(int32(len(t.groups)))
		owed.rare.receipt = owed
	}
	text := t.anyWS && utf8.Valid(payload) // the same that text frames are, whoever says so
	var body *ringbuf.Shared
	if len(payload) >= sharedBodyMin {
		body = ringbuf.NewShared(len(message))
		body.B = append(body.B, message...)
	}
	for i := range t.groups {
		in.add(&t.groups[i], message, body, text, key, owed)
	}
	if body != nil {
		body.Release()
	}
}

// add puts a message into the parcel for a group's loop, if its inbox has room.
func (in *inward) add(
	g *remoteGroup, message []byte, body *ringbuf.Shared, text bool, key uint64, owed *receipt,
) {
	b, out := in.broker, &in.out[g.loop.index]
	if out.parcel == nil {
		out.parcel = b.spares.take()
	}
	p := out.parcel
	inbox := &g.loop.inbox
	if out.lost != nil || inbox.full.Load() ||
		b.filled(inbox)+int64(p.size+len(message)+itemCharge) > int64(b.inboxBytes) {
		if out.lost == nil {
			out.lost = new(losses)
		}
		for _, s := range g.targets {
			out.lost.add(s, 1)
		}
		if owed != nil {
			owed.settle(len(g.targets))
		}
		return
	}
	it := p.add(itemPublish)
	it.text, it.group, it.number = text, g, key
	if owed != nil {
		it.rare = &owed.rare
	}
	if body != nil {
		p.refer(it, body)
	} else {
		p.copy(it, message, nil)
	}
	if p.size >= b.parcelBytes || len(p.items) >= b.parcelItems {
		in.handOver(g.loop)
	}
}

// handOver gives a loop what was gathered for it.
func (in *inward) handOver(to *Loop) {
	out := &in.out[to.index]
	if p, lost := out.parcel, out.lost; p != nil {
		*out = inwardOut{}
		to.accept(p, lost, nil, false)
	}
}

// Delivered implements backplane.Broker.
func (n *ClusterNode) Delivered() {
	for _, l := range n.loops {
		n.inward.handOver(l)
	}
	n.inward.routes.Sweep(routesTurn, false)
}

// Lost implements backplane.Broker.
func (n *ClusterNode) Lost(publishes uint64) {
	n.Delivered()
	for _, l := range n.loops {
		l.call(func(l *Loop) { l.miss(int(min(publishes, lostMost))) })
	}
}

// lostMost bounds what one frame can say to be lost.
const lostMost = 1 << 40

// missing is what a loop has to tell of publishes that were lost between nodes. Loop only.
type missing struct {
	next int // publishes of which nobody was told
	now  int // of which those are told that stand in slots before slot
	slot int
}

// miss tells each connection of this loop with a subscription for publishes that n of other nodes
// were lost: in pieces, and what is lost meanwhile afterwards, to all.
func (l *Loop) miss(n int) {
	m := &l.missing
	if m.next += n; m.now == 0 {
		l.inPieces(l.missSome)
	}
}

// missSome is a part of that.
func (l *Loop) missSome() (done bool) {
	m := &l.missing
	for {
		if m.now == 0 {
			if m.next == 0 {
				return true
			}
			m.now, m.next, m.slot = m.next, 0, 0
		}
		for ; m.slot < len(l.conns); m.slot++ {
			c := l.conns[m.slot]
			if c == nil || c.state != stateOpen || !c.takesPublishes() {
				continue
			}
			if !l.mayEnd() {
				return false
			}
			if simfaultBuild && strikes(simUntoldMiss) {
				continue
			}
			c.noteAcross(m.now)
		}
		m.now = 0
	}
}

// takesPublishes says whether c is subscribed to publishes on user topics.
func (c *Conn) takesPublishes() bool {
	for _, s := range c.subs.all() {
		if s.kind == topic.Publish && !s.pattern.System() {
			return true
		}
	}
	return false
}
