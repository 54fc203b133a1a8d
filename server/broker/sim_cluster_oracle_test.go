package broker

import (
	"encoding/json"
	"slices"
	"time"

	"mbserver/codec"
	"mbserver/server/metrics"
)

// crossOracle knows the laws of a cluster.
type crossOracle struct {
	publishes map[string]*crossPublish // by key
	acks      map[string]*crossPublish // by request ID
	calls     map[string]*crossCall    // by request ID
	requests  map[string]*crossRequest // by key
	byID      map[string]*crossRequest
	responses map[string]*crossRequest // by masked ID
	heals     []func()                 // what is wrong now
}

func (o *crossOracle) init() {
	o.publishes, o.acks = make(map[string]*crossPublish), make(map[string]*crossPublish)
	o.calls = make(map[string]*crossCall)
	o.requests, o.byID = make(map[string]*crossRequest), make(map[string]*crossRequest)
	o.responses = make(map[string]*crossRequest)
}

// crossPublish is one publish that a node has taken.
type crossPublish struct {
	key, id, topic string
	number         int // of all
	from           *crossClient
	node           *simNode
	loop           int
	at, began      int64 // began: as its loop saw it
	probe          bool

	local     int              // subscribers of its own node
	everybody int              // and of all others that there are
	must      []*simNode       // others to which it must be sent
	sent      bool             // its node has sent it to others,
	crossed   []*simNode       // to these: it is delivered there, or counted as lost
	refused   int              // of these, those that it is known not to reach
	delivered map[*simNode]int // to how many subscribers, where it has arrived
	receipts  []crossReceipt
	answers   int
}

// crossReceipt is a node's word of a publish.
type crossReceipt struct {
	of          *simNode
	subscribers int
}

// peerOf is what a node knows of another; nil: nothing.
func (n *simNode) peerOf(other *simNode) *metrics.Peer {
	c := n.plane.Sample(time.Time{})
	for i := range c.Peers {
		if c.Peers[i].ID == other.id.String() {
			return &c.Peers[i]
		}
	}
	return nil
}

// calm says that all had been well for so long at a time that nobody may notice anything.
func (s *clusterSim) calm(at int64) bool { return !s.faults && at-s.calmFrom >= healTime }

// taken notes who has to get a publish that is taken next.
func (s *clusterSim) taken(p *crossPublish) {
	for _, k := range s.places {
		if k == nil || !k.wants(p.topic) {
			continue
		}
		p.everybody++
		if k.node == p.node {
			p.local++
			k.owed[p.key] = true
		}
	}
	for _, other := range s.all() {
		if other == p.node {
			continue
		}
		peer := p.node.peerOf(other)
		for _, k := range s.places {
			if k == nil || k.node != other {
				continue
			}
			for _, sub := range k.subs {
				known := peer != nil && peer.State == "live" && peer.Interest >= sub.version
				if !sub.takes(p.topic) || !known && !(sub.full && p.node.well() && other.well()) {
					continue
				}
				k.due[p.key] = true
				if !slices.Contains(p.must, other) {
					p.must = append(p.must, other)
				}
			}
		}
	}
	s.say("%s publishes %s on %s at %s, for %d, of %d", p.from.name, p.key, p.topic,
		p.node.name, p.local, p.everybody)
}

// judgeRoute judges where a publish was sent to.
func (s *clusterSim) judgeRoute(p *crossPublish) {
	for _, n := range p.must {
		if !slices.Contains(p.crossed, n) {
			s.fail("%s is not sent to %s, where somebody is subscribed", p.key, n.name)
		}
	}
	if p.id == "" && p.local == 0 && len(p.crossed) == 0 {
		p.from.strays++
	}
}

// acknowledged judges the answer to a publish.
func (s *clusterSim) acknowledged(k *crossClient, p *crossPublish, m *testMessage, code string) {
	p.answers++
	s.say("%s is answered %s %s", p.key, code, m.payload)
	if p.from != k || p.answers > 1 || string(m.Topic) != p.topic {
		s.fail("%s: answer %d: %s", p.key, p.answers, m.header)
	}
	subscribers, silent := p.local, len(p.crossed)-len(p.receipts)
	for _, r := range p.receipts {
		subscribers += r.subscribers
	}
	var ack struct {
		Status                            string
		Subscribers, Dropped, Unconfirmed int
	}
	switch {
	case code == string(codec.NoRouteFound):
		if subscribers+silent > 0 {
			s.fail("%s has no route, says its node; it came to %d, and to %d nodes who did not say",
				p.key, subscribers, silent)
		}
		s.totals["unrouted"]++
		if len(p.crossed) > 0 {
			s.totals["unrouted across"]++
		}
	case json.Unmarshal(m.payload, &ack) != nil || ack.Status != "success" ||
		ack.Subscribers != subscribers || ack.Unconfirmed != silent || ack.Dropped != 0 ||
		subscribers+silent == 0:
		s.fail("%s is acknowledged as %s; it came to %d, and to %d nodes who did not say",
			p.key, m.payload, subscribers, silent)
	default:
		if len(p.receipts) > 0 {
			s.totals["acknowledged across"]++
		}
	}
	if silent > 0 {
		s.totals["unconfirmed publish"]++
		if s.calm(p.at) && (p.probe || !s.tight) {
			s.fail("%s: %d nodes have not said, and all is well", p.key, silent)
		}
		if silent > p.refused && s.now-p.began < clusterAckTimeout-10 {
			s.fail("%s: %d nodes had only %d ms to say", p.key, silent, s.now-p.began)
		}
	}
	if p.probe && subscribers != p.everybody {
		s.fail("%s came to %d of %d", p.key, subscribers, p.everybody)
	}
}

// subscribed judges the answer to a subscription: who is said to know of it does.
func (s *clusterSim) subscribed(c *crossCall, payload []byte) {
	var answer struct{ Unconfirmed int }
	if json.Unmarshal(payload, &answer) != nil {
		s.fail("%s: %s", c.from.name, payload)
	}
	sub, n := c.sub, c.from.node
	s.say("%s has subscribed to %s, unconfirmed: %d", c.from.name, sub.pattern, answer.Unconfirmed)
	if answer.Unconfirmed > 0 {
		s.totals["unconfirmed subscription"]++
		if s.calm(c.at) {
			s.fail("%s: %d nodes have not confirmed %s, and all is well",
				c.from.name, answer.Unconfirmed, sub.pattern)
		}
		alone := n.plane.Sample(time.Time{}).Island || n.aloneAt >= c.at
		if !alone && s.now-c.at < clusterAckTimeout-10 {
			s.fail("%s: %d nodes had only %d ms to confirm %s",
				c.from.name, answer.Unconfirmed, s.now-c.at, sub.pattern)
		}
		return
	}
	s.totals["subscribed"]++
	sub.full = true
	if !slices.Contains(c.from.subs, sub) {
		return
	}
	for _, other := range s.all() {
		if other == n || n.rivalled { // the others tell of its rival
			continue
		}
		theirs, ours := n.peerOf(other), other.peerOf(n)
		knows := ours != nil && ours.State == "live" && ours.Interest >= sub.version
		confirmed := theirs != nil && theirs.State != "gone" && theirs.Confirmed >= sub.version
		confirmed = confirmed && ours != nil && ours.State == "live"
		if !knows && (n.well() && other.well() || confirmed) {
			s.fail("%s is answered, and %s does not know of %s at version %d: %+v",
				c.from.name, other.name, sub.pattern, sub.version, ours)
		}
	}
}

// probe has somebody at each node publish on every topic: it is known who has to get it.
func (s *clusterSim) probe() {
	s.say("everybody is asked")
	for _, n := range s.all() {
		k := s.connect(n)
		s.places = append(s.places, k)
		for i, topic := range crossTopics { // one at a time: the queues may be small
			s.after(int64(20*i+5*n.place), func() { k.publish(topic, true).probe = true })
		}
		for i, topic := range askedTopics {
			if !*clusterRequests {
				break
			}
			s.after(int64(200+50*i+5*n.place), func() { k.ask(topic, 300).probe = true })
		}
	}
}

// checkHealed holds that everybody knows everybody.
func (s *clusterSim) checkHealed() {
	for _, n := range s.all() {
		if !n.open {
			s.fail("%s is not ready", n.name)
		}
		if n.plane.Sample(time.Time{}).Island {
			s.fail("%s takes itself for alone", n.name)
		}
		for _, other := range s.all() {
			if n == other {
				continue
			}
			if peer := n.peerOf(other); peer == nil || peer.State != "live" {
				s.fail("%s is not live to %s: %+v", other.name, n.name, peer)
			}
		}
	}
}

// checkAtRest holds what is true when nothing is on its way.
func (s *clusterSim) checkAtRest() {
	s.checkHealed()
	for _, n := range s.all() {
		s.checkNode(n)
		for _, other := range s.all() {
			if n != other {
				s.checkLink(n, other)
			}
		}
	}
	s.checkRequests()
	for id, c := range s.calls {
		if c.answers != 1 && slices.Contains(s.places, c.from) {
			s.fail("%s: %d answers to %s %s", c.from.name, c.answers, c.topic, id)
		}
	}
	for _, p := range s.publishes {
		if p.id != "" && p.answers != 1 && slices.Contains(s.places, p.from) {
			s.fail("%s: %d answers", p.key, p.answers)
		}
	}
	for _, k := range s.places {
		if k == nil {
			continue
		}
		if len(k.owed) > 0 || k.strays > 0 || len(k.ends.revoked) > 0 {
			s.fail("%s did not get %v, nor %d errors, nor word of %v", k.name, k.owed, k.strays,
				k.ends.revoked)
		}
		for key := range k.due {
			if p := s.publishes[key]; p.node.ended { // who is gone cannot say what it has sent
				delete(k.due, key)
			}
		}
		if len(k.due) > k.told {
			s.fail("%s did not get %v of other nodes, and was told of %d", k.name, k.due, k.told)
		}
		if most := k.node.lost - k.lostBefore; k.told < k.lostLeast || k.told > most {
			s.fail("%s was told of %d publishes lost between nodes, which were %d to %d",
				k.name, k.told, k.lostLeast, most)
		}
	}
}

// patterns are those that somebody at the node is subscribed to, by how many; each service, and
// what it takes requests of, is one of its own.
func (n *simNode) patterns() map[string]int {
	all := make(map[string]int)
	for _, k := range n.s.places {
		if k != nil && k.node == n {
			for _, sub := range k.serves {
				all[k.name+" "+sub.pattern] = 1
				all[k.name] = 0 // no subscription, but told of
			}
			for _, sub := range k.subs {
				all[sub.pattern]++
			}
		}
	}
	return all
}

func (s *clusterSim) checkNode(n *simNode) {
	own, theirs := 0, 0
	for _, count := range n.patterns() {
		own += count
	}
	for _, other := range s.all() {
		if other != n {
			for _, count := range other.patterns() {
				theirs += min(count, 1)
			}
		}
	}
	if n.trie.Count() != own+theirs || n.others.count != theirs {
		s.fail("%s has %d subscriptions, %d of others; they are %d and %d", n.name,
			n.trie.Count(), n.others.count, own, theirs)
	}
	if c := n.plane.Sample(time.Time{}); c.Waiting != 0 || c.Lost != uint64(n.lost) {
		s.fail("%s has %d bytes for the bus; it has lost %d publishes and told of %d",
			n.name, c.Waiting, c.Lost, n.lost)
	}
	for _, l := range n.loops {
		waits := len(l.acks.slots) - len(l.acks.free)
		if abroad := len(l.across.slots) - len(l.across.free); waits+abroad != 0 {
			s.fail("%s: %d acknowledgements wait for ever, %d for nodes", n.name, waits, abroad)
		}
		if !l.inbox.empty() || l.inTurn || l.missing.next+l.missing.now != 0 {
			s.fail("loop %d of %s is not at rest", l.index, n.name)
		}
	}
}

// checkLink holds the books of what n has sent to another: it came, or is counted as lost.
func (s *clusterSim) checkLink(n, other *simNode) {
	to, from := n.peerOf(other), other.peerOf(n)
	is := n.plane.Sample(time.Time{}).Interest
	if from.Interest != is || to.Confirmed != from.Interest || from.Patterns != len(n.patterns()) {
		s.fail("%s knows %d patterns of %s, version %d, is taken to know %d; they are %v at %d",
			other.name, from.Patterns, n.name, from.Interest, to.Confirmed, n.patterns(), is)
	}
	sent, came := n.sent[other.inc], other.came[n.inc]
	if to.Sent+to.Dropped != uint64(sent) || from.Received != uint64(came) ||
		from.Lost != uint64(sent-came) {
		s.fail("%d from %s for %s, %d came; they say %d sent, %d dropped, %d received, %d lost",
			sent, n.name, other.name, came, to.Sent, to.Dropped, from.Received, from.Lost)
	}
	if to.Dropped > 0 {
		s.totals["queue full"]++
	}
}

// checkEmpty holds that nothing is left when everybody has gone.
func (s *clusterSim) checkEmpty() {
	for i := range s.places {
		s.places[i] = nil
	}
	s.checkAtRest()
	for _, n := range s.all() {
		held := n.plane.Held()
		if n.connections.Load() != 0 || n.registry.count() != 0 || n.charged() != held ||
			held > int64(s.loops*(s.repair+500)) {
			s.fail("%s: left behind: %d connections, %d services, %d bytes, %d of them for others",
				n.name, n.connections.Load(), n.registry.count(), n.charged(), held)
		}
		for _, l := range n.loops {
			if l.wheel.Len() != 0 || len(l.free) != len(l.conns) {
				at, _ := l.wheel.Next()
				s.fail("%s, loop %d: %d timers, next in %d ms, %d of %d slots free",
					n.name, l.index, l.wheel.Len(), at-n.ms, len(l.free), len(l.conns))
			}
		}
	}
	if live := liveShared() - s.shared; live != 0 {
		s.fail("%d buffers were never released", live)
	}
}
