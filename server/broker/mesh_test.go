package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/server/config"
	"mbserver/topic"
)

// mesh is nodes that are joined directly: what one says is kept until it is carried to the other,
// in the order of its lane, and lanes in any.
type mesh struct {
	t      testing.TB
	nodes  []*meshNode
	lanes  []*meshLane
	random *rand.Rand
	// lose says whether a word is lost on its way; nil: none is.
	lose func(from, to int, word string) bool
	said map[string]int // words, by kind
}

// meshLane is what one node says to another on one of its lanes.
type meshLane struct {
	from, to, lane int
	words          []func(in *ClusterNode)
}

// ctlLane is the lane on which services and offers go.
const ctlLane = -1

// meshNode is one of them; it implements Cluster.
type meshNode struct {
	fakeCluster
	*testNode
	in      *ClusterNode
	mesh    *mesh
	index   int
	gone    bool
	knows   []bool // which others it has joined
	serves  []abroad.Service
	offers  []abroad.Offer
	refuses bool // nothing can be sent
}

// newMesh makes so many nodes of so many loops each, which know of each other.
func newMesh(t testing.TB, seed uint64, count, loops int, adjust func(*config.Config)) *mesh {
	m := &mesh{t: t, random: rand.New(rand.NewPCG(seed, 7)), said: make(map[string]int)}
	for i := range count {
		n := &meshNode{mesh: m, index: i, knows: make([]bool, count)}
		n.fakeCluster = fakeCluster{counts: make(map[string]int), confirmed: true}
		n.testNode = newTestNode(t, seed+uint64(i), loops, adjust)
		n.in = n.ClusterNode()
		n.JoinCluster(n, "c", fmt.Sprint("n", i), 250*time.Millisecond)
		m.nodes = append(m.nodes, n)
	}
	for _, n := range m.nodes {
		for _, other := range m.nodes {
			m.meet(n, other)
		}
	}
	m.settle()
	return m
}

// meet has n know of another.
func (m *mesh) meet(n, other *meshNode) {
	if n == other || n.knows[other.index] {
		return
	}
	n.knows[other.index] = true
	n.in.Join(uint32(other.index))
	n.in.Named(uint32(other.index), other.id.String())
	for i := range other.serves {
		s := other.serves[i]
		n.in.Serve(uint32(other.index), &s)
	}
	for _, o := range other.offers {
		n.in.Offer(uint32(other.index), o, patternOf(m.t, o.Pattern))
	}
}

func patternOf(t testing.TB, text string) topic.Pattern {
	p, err := topic.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// kill ends a node: the others notice it when the test says so (notice).
func (m *mesh) kill(n *meshNode) {
	n.gone = true
	m.lanes = slices.DeleteFunc(m.lanes, func(l *meshLane) bool {
		return l.from == n.index || l.to == n.index
	})
}

// notice has others learn that n is gone.
func (m *mesh) notice(n *meshNode) {
	for _, other := range m.nodes {
		if other.knows[n.index] {
			other.knows[n.index] = false
			other.in.Part(uint32(n.index))
		}
	}
}

// part has n take another for gone, which lives; what was on its way to n from there is lost.
func (m *mesh) part(n, other *meshNode) {
	if !n.knows[other.index] {
		return
	}
	n.knows[other.index] = false
	for _, l := range m.lanes {
		if l.from == other.index && l.to == n.index {
			l.words = nil
		}
	}
	n.in.Part(uint32(other.index))
}

// say keeps a word for others.
func (n *meshNode) say(lane int, to uint32, kind string, word func(in *ClusterNode)) bool {
	m := n.mesh
	if n.refuses {
		return false
	}
	m.said[kind]++
	if m.nodes[to].gone || n.gone || m.lose != nil && m.lose(n.index, int(to), kind) {
		return true
	}
	for _, l := range m.lanes {
		if l.from == n.index && l.to == int(to) && l.lane == lane {
			l.words = append(l.words, word)
			return true
		}
	}
	m.lanes = append(m.lanes, &meshLane{n.index, int(to), lane, []func(*ClusterNode){word}})
	return true
}

// all says a word to all others.
func (n *meshNode) all(kind string, word func(in *ClusterNode)) {
	for i := range n.mesh.nodes {
		if i != n.index && n.mesh.nodes[i].knows[n.index] {
			n.say(ctlLane, uint32(i), kind, word)
		}
	}
}

// carry brings one lane's words, or some of them, to where they are for.
func (m *mesh) carry() bool {
	var some []*meshLane
	for _, l := range m.lanes {
		if len(l.words) > 0 {
			some = append(some, l)
		}
	}
	if len(some) == 0 {
		return false
	}
	l := some[m.random.IntN(len(some))]
	count := 1 + m.random.IntN(len(l.words))
	words := l.words[:count]
	l.words = l.words[count:]
	if to := m.nodes[l.to]; !to.gone && to.knows[l.from] {
		for _, w := range words {
			w(to.in)
		}
		to.in.Called()
	}
	return true
}

// settle carries all there is, until nothing is said any more.
func (m *mesh) settle() {
	for again := true; again; {
		for _, n := range m.nodes {
			if !n.gone {
				n.testNode.settle()
			}
		}
		again = m.carry()
	}
}

// pass lets ms go by at all nodes.
func (m *mesh) pass(ms int) {
	for range ms {
		for _, n := range m.nodes {
			n.advance(1)
		}
		m.settle()
	}
}

func (n *meshNode) Serve(s *abroad.Service) {
	said := *s
	n.serves = slices.DeleteFunc(n.serves, func(o abroad.Service) bool { return o.ID == s.ID })
	n.serves = append(n.serves, said)
	n.all("serve", func(in *ClusterNode) { in.Serve(uint32(n.index), &said) })
}

func (n *meshNode) Unserve(id codec.UUID) {
	n.serves = slices.DeleteFunc(n.serves, func(o abroad.Service) bool { return o.ID == id })
	n.all("unserve", func(in *ClusterNode) { in.Unserve(uint32(n.index), id) })
}

func (n *meshNode) Offer(o abroad.Offer) uint64 {
	if slices.Contains(n.offers, o) {
		n.mesh.t.Errorf("offered twice: %v", o)
	}
	n.offers = append(n.offers, o)
	p := patternOf(n.mesh.t, o.Pattern)
	n.all("offer", func(in *ClusterNode) { in.Offer(uint32(n.index), o, p) })
	n.version++
	return n.version
}

func (n *meshNode) Withdraw(o abroad.Offer) {
	i := slices.Index(n.offers, o)
	if i < 0 {
		n.mesh.t.Errorf("was not offered: %v", o)
		return
	}
	n.offers = slices.Delete(n.offers, i, i+1)
	p := patternOf(n.mesh.t, o.Pattern)
	n.all("withdraw", func(in *ClusterNode) { in.Withdraw(uint32(n.index), o, p) })
}

func (n *meshNode) Ask(loop int, node uint32, q *abroad.Request) bool {
	c := *q
	c.Topic, c.Version = slices.Clone(q.Topic), slices.Clone(q.Version)
	c.Payload = slices.Clone(q.Payload)
	return n.say(loop, node, "ask", func(in *ClusterNode) { in.Asked(uint32(n.index), &c) })
}

func (n *meshNode) Cancel(loop int, node uint32, ref codec.UUID) {
	n.say(loop, node, "cancel", func(in *ClusterNode) { in.Cancelled(uint32(n.index), ref) })
}

func (n *meshNode) Answer(loop int, node uint32, a *abroad.Answer) bool {
	c := *a
	c.Payload = slices.Clone(a.Payload)
	kind := []string{"answer", "fail", "busy"}[a.Outcome]
	return n.say(loop, node, kind, func(in *ClusterNode) { in.Answered(uint32(n.index), &c) })
}

func (n *meshNode) Load(loop int, node uint32, l abroad.Load) bool {
	return n.say(loop, node, "load", func(in *ClusterNode) { in.Loaded(uint32(n.index), l) })
}

func (n *meshNode) Wait(loop int, node uint32, w abroad.Wait) bool {
	return n.say(loop, node, "wait", func(in *ClusterNode) { in.Waited(uint32(n.index), w) })
}

// Flush implements Cluster.
func (n *meshNode) Flush(int) {}

// count is a count of all loops of a node.
func (n *meshNode) count(of int) (total uint64) {
	for _, l := range n.loops {
		total += l.counts[of]
	}
	return total
}

// empty fails when anything is left behind at the nodes that live.
func (m *mesh) empty() {
	m.t.Helper()
	for i, n := range m.nodes {
		if n.gone {
			continue
		}
		if n.outstanding.Load() != 0 || n.queued.Load() != 0 {
			m.t.Errorf("node %d: %d outstanding, %d wait", i, n.outstanding.Load(), n.queued.Load())
		}
		if got := n.others.waits.Load(); got != 0 {
			m.t.Errorf("node %d: %d nodes wait", i, got)
		}
		for _, l := range n.loops {
			if l.outstanding.count != 0 || len(l.awaited) != 0 {
				m.t.Errorf("node %d: %d entries, %d awaited",
					i, l.outstanding.count, len(l.awaited))
			}
			for _, c := range l.conns {
				if c != nil && c.service.outstanding.Load() != 0 {
					m.t.Errorf("node %d: a service has %d", i, c.service.outstanding.Load())
				}
			}
		}
		n.others.mu.Lock()
		for _, node := range n.others.nodes {
			for _, s := range node.services {
				if got := s.outstanding.Load(); got != 0 {
					m.t.Errorf("node %d: one of another has %d, %d of others", i, got,
						s.far().others.Load())
				}
			}
		}
		n.others.mu.Unlock()
	}
}
