package broker

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mbserver/server/backplane"
	"mbserver/server/config"
	"mbserver/topic"
)

// simNode is one run of a node of a cluster.
type simNode struct {
	*testNode
	s       *clusterSim
	place   int
	name    string
	inc     uint64
	born    int64
	plane   backplane.Stepped
	end     *simEnd
	next    int64 // its own ms, at which the plane is to be stepped
	stuck   int   // lane that the bus takes nothing of, stuckNone: none
	still   bool  // it stands still
	open    bool  // clients come in
	ended   bool  // it was killed, or has left,
	endedAt int64 // then
	left    bool  // it has said so

	rivalled    bool  // another has its name,
	drains      bool  // for whose sake it drains,
	displacedAt int64 // or has left the cluster

	parted   map[uint64]int64 // when it took each other one for gone last
	partedAt int64            // when it took another for gone last
	aloneAt  int64            // when it took itself for alone last
	touched  int64            // when something was wrong with it last
	wrongs   int              // that are wrong with it now

	// What passes between it and its plane.
	slots    [64]uint64      // incarnations of others
	fresh    []uint32        // slots that have been taken since it was looked
	known    map[uint64]bool // those in slots
	heard    map[uint64]int64
	sent     map[uint64]int           // publishes that were numbered for others
	came     map[uint64]int           // publishes that came from others
	last     map[[2]uint64]int        // other and loop to the number of its last one
	receipts map[uint64]*crossPublish // by number
	lost     int                      // publishes, as it says
	lostIdle int                      // as of when its loops had nothing to do
}

const stuckNone = -2

// nameOf is that of the node of a place.
func nameOf(place int) string { return string(rune('a' + place)) }

// start starts a node.
func (s *clusterSim) start(place int, name string) *simNode {
	inc := uint64(len(s.runs) + 1)
	n := &simNode{
		s: s, place: place, name: name, inc: inc, born: s.now,
		stuck: stuckNone, touched: s.now,
		parted: make(map[uint64]int64),
		known:  make(map[uint64]bool), heard: make(map[uint64]int64),
		sent: make(map[uint64]int), came: make(map[uint64]int),
		last: make(map[[2]uint64]int), receipts: make(map[uint64]*crossPublish),
	}
	n.testNode = newTestNode(s.t, s.seed<<8|inc, s.loops, func(cfg *config.Config) {
		cfg.Connection.HeartbeatRetryTimeout = time.Hour
		cfg.Connection.HeartbeatDeregisterTimeout = 2 * time.Hour
	})
	n.end = s.bus.join(n)
	in := &simInward{n.ClusterNode(), n}
	plane, err := backplane.NewStepped(backplane.Options{
		Cluster: "sim", Node: n.name, Lanes: s.loops, Incarnation: inc,
		Heartbeat:  clusterHeartbeat * time.Millisecond,
		AckTimeout: clusterAckTimeout * time.Millisecond, OutboundBytes: s.outbound,
		RepairBytes: s.repair, InterestMax: 1000, Server: "1", ID: n.id.String(),
		Log: slog.New(&simLog{n}),
		Now: func() time.Duration { return time.Duration(n.ms) * time.Millisecond },
	}, in, n.end)
	if err != nil {
		s.t.Fatal(err)
	}
	n.plane = plane
	n.JoinCluster(&simCluster{plane, n}, "sim", n.name, clusterAckTimeout*time.Millisecond)
	if err := plane.Listen(); err != nil {
		s.t.Fatal(err)
	}
	s.runs = append(s.runs, n)
	s.nodes[place] = n
	s.say("node %s starts as %d", n.name, inc)
	return n
}

// prepare adds what the node has to do now, and returns when it has something next.
func (n *simNode) prepare() (next int64) {
	s := n.s
	if !n.open && (n.ms >= 1000 || n.plane.Joined(0)) {
		n.open = true
		s.say("%s is ready", n.name)
	}
	next = s.now + 50
	idle := true
	for i, d := range n.drivers {
		if d.scheduled {
			s.ready = append(s.ready, simAction{n, actLoop, i})
		} else if d.at != 0 {
			next = min(next, n.born+d.at)
		}
		idle = idle && !d.scheduled && n.loops[i].inbox.empty()
	}
	if idle {
		n.lostIdle = n.lost
	}
	if n.plane.Called() || n.ms >= n.next {
		s.ready = append(s.ready, simAction{n, actPlane, 0})
	} else {
		next = min(next, n.born+n.next)
	}
	for lane := -1; lane < 2*s.loops; lane++ {
		if lane != n.stuck && n.plane.Waits(lane) {
			s.ready = append(s.ready, simAction{n, actSend, lane})
		}
	}
	for i, ear := range n.end.ears {
		if len(ear.frames) == 0 {
			continue
		}
		if at := ear.frames[0].at; at > s.now {
			next = min(next, at)
		} else {
			s.ready = append(s.ready, simAction{n, actHear, i})
		}
	}
	return next
}

// stop ends a run: its clients lose their connections, and it does nothing any more.
func (n *simNode) stop() {
	s := n.s
	n.ended, n.endedAt, n.end.closed = true, s.now, true
	s.nodes[n.place] = nil
	for i, k := range s.places {
		if k != nil && k.node == n {
			k.lose()
			s.places[i] = nil
		}
	}
	n.settle() // so that nothing of it is left behind in this process
}

// noteSlots notes who has taken a slot.
func (n *simNode) noteSlots() {
	for _, slot := range n.fresh {
		n.slots[slot] = n.plane.At(slot)
		n.known[n.slots[slot]] = true
		if before := n.heard[n.slots[slot]]; before > 0 {
			n.s.totals["node back"]++
		}
	}
	n.fresh = n.fresh[:0]
}

// other returns who stands in a slot.
func (n *simNode) other(slot uint32) *simNode { return n.s.runOf(n.slots[slot]) }

// runOf returns the run with an incarnation.
func (s *clusterSim) runOf(inc uint64) *simNode {
	if inc == 0 || inc > uint64(len(s.runs)) {
		s.fail("nobody has the incarnation %d", inc)
	}
	return s.runs[inc-1]
}

// checkKnown holds that who has ended is gone after five heartbeats.
func (n *simNode) checkKnown() {
	for inc := range n.known {
		other := n.s.runOf(inc)
		if silent := n.s.now - other.endedAt; other.ended && n.well() &&
			silent > 5*clusterHeartbeat+50 {
			n.s.fail("%s knows %d, which ended %d ms ago", n.name, inc, silent)
		}
	}
}

// well says that nothing is or was wrong with it for so long that nobody may notice any more.
func (n *simNode) well() bool { return n.wellAt(n.s.now) }

// wellAt says that of a time, and that nothing has gone wrong since.
func (n *simNode) wellAt(at int64) bool {
	return n.wrongs == 0 && n.s.amiss == 0 && at-max(n.touched, n.born, n.s.calmFrom) >= healTime
}

// wrong notes that something is wrong with the node, and right that it is over.
func (n *simNode) wrong() { n.wrongs++; n.touched = n.s.now }
func (n *simNode) right() { n.wrongs--; n.touched = n.s.now }

// simLog has the lines of a plane among the simulation's steps.
type simLog struct{ n *simNode }

func (l *simLog) WithGroup(string) slog.Handler                { return l }
func (l *simLog) WithAttrs([]slog.Attr) slog.Handler           { return l }
func (l *simLog) Enabled(_ context.Context, v slog.Level) bool { return v >= slog.LevelInfo }
func (l *simLog) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError && !l.n.displaced(r.Message) {
		l.n.s.fail("%s: %s", l.n.name, r.Message)
	}
	if strings.Contains(r.Message, "the bus ") { // it does not answer, or does again
		l.n.aloneAt = l.n.s.now
	}
	l.n.s.say("%s: %s", l.n.name, r.Message)
	return nil
}

// simCluster is a plane as its broker knows it, watched.
type simCluster struct {
	backplane.Stepped
	n *simNode
}

// Publish implements Cluster.
func (c *simCluster) Publish(
	loop int, to []uint32, header, payload []byte, receipt uint64,
) (refused uint64) {
	n, s := c.n, c.n.s
	p := s.publishes[messageKey(payload)]
	if p == nil || p.node != n || p.sent {
		s.fail("%s sends %q to others", n.name, payload)
	}
	p.sent = true
	if receipt != 0 {
		n.receipts[receipt] = p
	}
	refused = c.Stepped.Publish(loop, to, header, payload, receipt)
	for _, slot := range to {
		inc := n.plane.At(slot)
		if inc == 0 {
			s.fail("%s is routed to a node that is gone", p.key)
		}
		other := s.runOf(inc)
		if slices.Contains(p.crossed, other) {
			s.fail("%s is routed to %s twice", p.key, other.name)
		}
		p.crossed = append(p.crossed, other)
		n.sent[inc]++
		if refused&(1<<slot) != 0 {
			p.refused++
		}
	}
	return refused
}

// simInward is a broker as its plane knows it, watched.
type simInward struct {
	*ClusterNode
	n *simNode
}

// Join implements backplane.Broker.
func (in *simInward) Join(slot uint32) {
	in.n.fresh = append(in.n.fresh, slot)
	in.ClusterNode.Join(slot)
}

// Part implements backplane.Broker: who is taken for gone was silent, or has left.
func (in *simInward) Part(slot uint32) {
	n, s := in.n, in.n.s
	n.noteSlots()
	other := n.other(slot)
	s.totals["node gone"]++
	delete(n.known, other.inc)
	n.partedAt, n.parted[other.inc] = s.now, s.now
	silent := s.now - n.heard[other.inc]
	if !other.left && n.displacedAt == 0 && silent <= 3*clusterHeartbeat {
		s.fail("%s takes %s (%d) for gone, of which it heard %d ms ago",
			n.name, other.name, other.inc, silent)
	}
	in.ClusterNode.Part(slot)
}

// Want implements backplane.Broker.
func (in *simInward) Want(slot uint32, p topic.Pattern) { in.ClusterNode.Want(slot, p) }

// Deliver implements backplane.Broker: what comes was sent, comes once, and in order.
func (in *simInward) Deliver(message []byte, slot uint32, receipt uint64) {
	n, s := in.n, in.n.s
	_, payload, _ := splitMessage(message)
	p := s.publishes[messageKey(payload)]
	if p == nil || !slices.Contains(p.crossed, n) ||
		p.node.displacedAt != 0 && p.at > p.node.displacedAt {
		s.fail("%s gets %q, which was not sent to it", n.name, message)
	}
	if _, twice := p.delivered[n]; twice {
		s.fail("%s gets %s twice", n.name, p.key)
	}
	lane := [2]uint64{p.node.inc, uint64(p.loop)}
	if p.number <= n.last[lane] {
		s.fail("%s gets %s of loop %d of %s after a later one", n.name, p.key, p.loop, p.node.name)
	}
	n.last[lane] = p.number
	n.came[p.node.inc]++
	count := 0
	for _, k := range s.places {
		if k != nil && k.node == n && k.wants(p.topic) {
			count++
			k.owed[p.key] = true
		}
	}
	p.delivered[n] = count
	s.say("%s gets %s for %d", n.name, p.key, count)
	in.ClusterNode.Deliver(message, slot, receipt)
}

// Lost implements backplane.Broker.
func (in *simInward) Lost(publishes uint64) {
	n, s := in.n, in.n.s
	s.say("%s misses %d", n.name, publishes)
	s.totals["lost across"] += int(publishes)
	n.lost += int(publishes)
	for _, k := range s.places {
		if k != nil && k.node == n && len(k.subs) > 0 {
			k.lostLeast += int(publishes)
		}
	}
	in.ClusterNode.Lost(publishes)
}

// Receipt implements backplane.Broker: what is said of a publish is what became of it.
func (in *simInward) Receipt(of uint64, slot uint32, subscribers, dropped int) {
	n, s := in.n, in.n.s
	n.noteSlots()
	p, other := n.receipts[of], n.other(slot)
	if p == nil {
		s.fail("%s is told of a publish that it has not made", n.name)
	}
	if count, is := p.delivered[other]; !is || count != subscribers || dropped != 0 {
		s.fail("%s says that %s came to %d, and that %d were dropped; it came to %d",
			other.name, p.key, subscribers, dropped, count)
	}
	if !slices.ContainsFunc(p.receipts, func(r crossReceipt) bool { return r.of == other }) {
		p.receipts = append(p.receipts, crossReceipt{other, subscribers})
	}
	in.ClusterNode.Receipt(of, slot, subscribers, dropped)
}
