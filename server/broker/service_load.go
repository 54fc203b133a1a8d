package broker

import (
	"mbserver/server/abroad"
	"mbserver/server/wheel"
	"mbserver/topic"
)

// What other nodes are told of this one's services (protocol §12).
//
// Purpose. Other nodes know which services there are and how much each has to do.
//
// Outline. A service is told of with its first subscription for requests (offerAbroad), and again
// when it is another. What it has is told to each node for itself, without what that one has sent
// (tellLoad): at most every loadPace after a change, once more after againTime, because words may
// be lost, and at once to those that wait for it (request_turns.go).
//
// Cost. For a node alone: a nil check where a request begins or ends. Nothing at idle.

const (
	// loadPace is how many ms lie between two words of how much services have to do.
	loadPace = 5

	// againTime is how many ms after the last word that told something new all nodes are told once
	// more: words may be lost.
	againTime = 1000

	// unknownLoad is what no service has.
	unknownLoad = -1
)

// offered is what other nodes are told of a service of this one. Its loop's only.
type offered struct {
	count   int        // of its offers; 0: nothing is told
	version uint64     // of the latest
	due     bool       // it is among those whose load is to be told
	again   bool       // and among those of which it is to be told once more
	told    []toldLoad // by slot
}

// toldLoad is what one other node was told of a service, and what it has of it.
type toldLoad struct {
	node    *farNode // nil: none had the slot
	others  int32    // unknownLoad: it may not have heard it
	stalled bool
	last    bool
	from    int32 // requests of it that the service has
	held    int32 // room that is kept for it
	until   int64 // loop ms: for so long
}

// loads are the services of a loop that have more or less to do than others were told. Loop only.
type loads struct {
	loop    *Loop
	changed []*service
	telling []*service // what has changed until then is being told
	timer   wheel.Timer
	at      int64 // loop ms: when they were told last
	again   again
}

// again are those of which other nodes are told once more. Loop only.
type again struct {
	loop  *Loop
	list  line[*service]
	timer wheel.Timer
}

// crossing is what a loop sends other nodes. Loop only.
type crossing struct {
	some     bool // something was, and not flushed
	request  abroad.Request
	answer   abroad.Answer
	returned []byte // header of a request that has come back
	original []byte // scratch
}

// offeredOf returns what is told of s, nil when nothing ever was. Loop only.
func (s *service) offeredOf() *offered {
	if p := s.particulars.Load(); p != nil {
		return p.offered
	}
	return nil
}

// offerAbroad tells other nodes that s takes requests of p, and returns the version by which they
// know it. Its loop only.
func (b *Broker) offerAbroad(s *service, p topic.Pattern, priority float64) (version uint64) {
	if b.cluster == nil || p.System() {
		return 0
	}
	of := s.particulars.Load()
	if of == nil {
		of = new(particulars)
		s.particulars.Store(of)
	}
	if of.offered == nil {
		of.offered = &offered{}
	}
	if of.offered.count++; of.offered.count == 1 {
		b.cluster.Serve(s.described())
		if s.outstanding.Load() != 0 || s.marked(markStalled|markDue) || b.ending() {
			s.loop.loadChanged(s)
		}
	}
	of.offered.version = b.cluster.Offer(abroad.Offer{
		Service: s.id, Pattern: p.String(), Priority: priority,
	})
	return of.offered.version
}

// withdrawAbroad ends that.
func (b *Broker) withdrawAbroad(s *service, p topic.Pattern, priority float64) {
	if b.cluster == nil || p.System() {
		return
	}
	b.cluster.Withdraw(abroad.Offer{Service: s.id, Pattern: p.String(), Priority: priority})
	of := s.offeredOf()
	if of.count--; of.count == 0 {
		b.cluster.Unserve(s.id)
	}
}

// offersAgain tells other nodes of another priority, or nothing, and returns the version by which
// they know all offers of s.
func (b *Broker) offersAgain(s *service, p topic.Pattern, was, is float64) (version uint64) {
	if b.cluster == nil || p.System() {
		return 0
	}
	if was != is {
		b.offerAbroad(s, p, is)
		b.withdrawAbroad(s, p, was)
	}
	return s.offeredOf().version
}

// described is what other nodes are told of s. Loop only.
func (s *service) described() *abroad.Service {
	d := &abroad.Service{
		ID: s.id, Capacity: s.capacity.Load(), ConnectedAt: s.connectedAt,
		Transport: s.transport.String(),
	}
	p := s.particulars.Load()
	if who := p.identity.Load(); who != nil {
		d.Identity = *who
	}
	if k := p.profile.Load(); k != nil {
		d.Name, d.Description, d.Metadata = k.Name, k.Description, k.Metadata
	}
	return d
}

// describeAbroad tells other nodes that c is another than they were told. Loop only.
func (c *Conn) describeAbroad() {
	if of := c.offeredOf(); of != nil && of.count > 0 {
		c.loop.broker.cluster.Serve(c.described())
	}
}

// toldOf returns what a node was told of s, which others are told of. Its loop only.
func (s *service) toldOf(node *farNode) *toldLoad {
	of := s.offeredOf()
	for len(of.told) <= int(node.slot) {
		of.told = append(of.told, toldLoad{})
	}
	t := &of.told[node.slot]
	if t.node != node {
		s.outstanding.Add(-t.held) // it is gone that had it
		*t = toldLoad{node: node}
	}
	return t
}

// loadChanged notes that s, a service of this loop, has more or less to do, or stops or begins to
// take requests.
func (l *Loop) loadChanged(s *service) {
	of := s.offeredOf()
	if of == nil || of.count == 0 || of.due {
		return
	}
	of.due = true
	d := &l.loads
	d.changed = append(d.changed, s)
	if !d.timer.Armed() {
		d.timer.Owner = d
		l.wheel.Add(&d.timer, max(d.at+loadPace, l.time.Ms+1))
	}
}

// Expire implements wheel.Expirer: what has changed is told.
func (d *loads) Expire(*wheel.Timer, int64) {
	l := d.loop
	d.at = l.time.Ms
	if len(d.telling) > 0 { // so many that it takes longer than that
		l.wheel.Add(&d.timer, d.at+loadPace)
		return
	}
	d.changed, d.telling = d.telling, d.changed
	if !d.some() {
		l.inPieces(d.some)
	}
}

// some tells a part of it.
func (d *loads) some() (done bool) {
	for n := len(d.telling); n > 0; n = len(d.telling) {
		if !d.loop.mayEnd() {
			return false
		}
		s := d.telling[n-1]
		d.telling[n-1] = nil
		d.telling = d.telling[:n-1]
		s.offeredOf().due = false
		d.loop.tellLoad(s, false)
	}
	return true
}

// confirm has other nodes told of s once more, in a while.
func (g *again) confirm(s *service) {
	of := s.offeredOf()
	if of.again {
		return
	}
	of.again = true
	g.list.push(s)
	if !g.timer.Armed() {
		g.timer.Owner = g
		g.loop.wheel.Add(&g.timer, g.loop.time.Ms+againTime)
	}
}

// Expire implements wheel.Expirer. Who has been told of something new since then is told once more
// after the next while.
func (g *again) Expire(*wheel.Timer, int64) {
	l, left := g.loop, g.list.len()
	l.inPieces(func() (done bool) {
		for ; left > 0; left-- {
			if !l.mayEnd() {
				return false
			}
			s := g.list.pop()
			s.offeredOf().again = false
			l.tellLoad(s, true)
		}
		if g.list.len() > 0 && !g.timer.Armed() {
			l.wheel.Add(&g.timer, l.time.Ms+againTime)
		}
		return true
	})
}

// tellLoad tells all nodes what s has to do, anyhow or as far as that is other than they were told.
func (l *Loop) tellLoad(s *service, anyhow bool) {
	live := l.broker.others.live.Load()
	if of := s.offeredOf(); live == nil || of.count == 0 || s.marked(markLeft) {
		return
	}
	for _, node := range *live {
		l.tellLoadTo(s, node, anyhow)
	}
}

// tellLoadTo tells one, at any rate or when it is other than it was told.
func (l *Loop) tellLoadTo(s *service, node *farNode, anyhow bool) {
	if node.marked(markLeft) {
		return
	}
	t := s.toldOf(node)
	is := abroad.Load{
		Service: s.id, Others: max(s.outstanding.Load()-t.from-t.held, 0),
		Stalled: s.marked(markStalled), Last: s.marked(markDue) || l.broker.ending(),
	}
	old := is.Others == t.others && is.Stalled == t.stalled && is.Last == t.last
	if old && !anyhow {
		return
	}
	if !old {
		l.loads.again.confirm(s)
	}
	l.crossing.some = true
	if l.broker.cluster.Load(l.index, node.slot, is) { // else with the next change
		t.others, t.stalled, t.last = is.Others, is.Stalled, is.Last
	}
}

// beginsAt and endsAt note that a service of this loop has a request, and that it has it no more.
func (l *Loop) beginsAt(s *service, e *entry) {
	if e.origin != nil {
		s.toldOf(e.origin).from++
	}
	l.loadChanged(s)
}

func (l *Loop) endsAt(s *service, e *entry) {
	if of := s.offeredOf(); e.origin != nil {
		if t := &of.told[e.origin.slot]; t.node == e.origin {
			t.from--
		}
	}
	l.loadChanged(s)
}

// tellLoads has all services of the loop told of: a node has come, or this one is drained, or is
// not any more.
func (l *Loop) tellLoads() {
	if l.broker.cluster == nil {
		return
	}
	l.eachOpen(func(c *Conn) { l.loadChanged(&c.service) })
}

// Missed implements backplane.Broker: that node is told of all services once more.
func (n *ClusterNode) Missed(slot uint32) {
	node := n.others.present(slot)
	if node == nil {
		return
	}
	for _, l := range n.loops {
		l.call(func(l *Loop) {
			l.eachOpen(func(c *Conn) {
				if of := c.offeredOf(); of != nil && of.count > 0 {
					c.toldOf(node).others = unknownLoad
					l.loadChanged(&c.service)
				}
			})
		})
	}
}

// tellDraining has other nodes choose other services, or these again.
func (b *Broker) tellDraining() {
	if b.cluster == nil {
		return
	}
	for _, l := range b.loops {
		l.call((*Loop).tellLoads)
	}
}
