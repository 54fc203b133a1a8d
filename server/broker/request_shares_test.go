package broker

import (
	"math"
	"strings"
	"testing"

	"mbserver/codec"
	"mbserver/server/abroad"
)

// sharedWork is requesters that ask one request after the other of three services of different
// speed.
type sharedWork struct {
	nodes    int // the services are one on each of these, in turn
	askers   int // of these nodes, the first ones, 16 requesters each
	capacity int // of each service, at a time; 0: any
	parallel bool
}

// shares returns how many requests each service has served, and in how many ms somebody waited
// while a service had nothing to do. The first takes 1 ms for a request, the others 2 and 4; ten
// times that where they work on all that they have at a time.
func (s sharedWork) shares(t *testing.T) (served [3]int, idle int) {
	m := newMesh(t, 1, s.nodes, 2, nil)
	var services [3]*testClient
	var held [3][]testMessage
	var due [3][]int
	for i := range services {
		services[i] = m.nodes[i%s.nodes].worker(i%2, max(s.capacity, 1), "r.x")
		if s.capacity == 0 {
			services[i].capacity.Store(0)
			services[i].describeAbroad()
		}
	}
	var askers []*testClient
	for i := range 16 * s.askers {
		askers = append(askers, m.nodes[i%s.askers%s.nodes].connect(i%2, TransportTCP))
	}
	m.settle()
	for _, k := range askers {
		k.messages()
		k.call("q")
	}
	for ms := range 4000 {
		m.pass(1)
		for i, c := range services {
			takes := []int{1, 2, 4}[i]
			for _, one := range c.messages() {
				if one.Action == codec.Request {
					held[i], due[i] = append(held[i], one), append(due[i], ms+10*takes)
				}
			}
			if len(held[i]) == 0 && m.nodes[0].queued.Load() > 0 {
				idle++
			}
			ready := 0
			if s.parallel {
				for ready < len(due[i]) && due[i][ready] <= ms {
					ready++
				}
			} else if ms%takes == 0 && len(held[i]) > 0 {
				ready = 1
			}
			for _, one := range held[i][:ready] {
				c.send("response:r.X:1.0.0:" + string(one.RequestID) + "\na")
				served[i]++
			}
			held[i], due[i] = held[i][ready:], due[i][ready:]
		}
		m.settle()
		for _, k := range askers {
			for range m.answers(k) {
				k.call("q")
			}
		}
	}
	return served, idle
}

// Services of other nodes get what they would get at the requesters' node, and none has nothing to
// do while requests wait: whether they work on one request after the other, or on all that they
// have at a time, and whether one node asks or all do.
func TestSharesAcross(t *testing.T) {
	for _, s := range []sharedWork{
		{askers: 1, capacity: 0}, {askers: 1, capacity: 1}, {askers: 1, capacity: 4},
		{askers: 1, capacity: 0, parallel: true}, {askers: 1, capacity: 8, parallel: true},
		{askers: 3, capacity: 0, parallel: true},
	} {
		s.nodes = 1
		near, idleNear := s.shares(t)
		s.nodes = 3
		far, idleFar := s.shares(t)
		t.Logf("%+v: on one node %v, on three %v, idle %d and %d", s, near, far, idleNear, idleFar)
		for i := range near {
			if math.Abs(float64(far[i]-near[i])) > 0.15*float64(near[i]) {
				t.Errorf("%+v: service %d has served %d, on one node %d", s, i, far[i], near[i])
			}
		}
		if idleFar > idleNear+40 { // of 12,000
			t.Errorf("%+v: one had nothing to do for %d ms while requests waited, on one node %d",
				s, idleFar, idleNear)
		}
	}
}

// askingCluster is a Cluster that keeps the name of the request that it was given last, and of the
// answers only how many there were.
type askingCluster struct {
	fakeCluster
	asked   codec.UUID
	answers int
}

func (c *askingCluster) Ask(_ int, _ uint32, q *abroad.Request) bool {
	c.asked = q.Ref
	return true
}

func (c *askingCluster) Answer(int, uint32, *abroad.Answer) bool { c.answers++; return true }
func (c *askingCluster) Load(int, uint32, abroad.Load) bool      { return true }

// crossings returns what a request takes that crosses, at its origin and at its target, each of
// which takes so many ms, and a check that all that were made have had their answers.
func crossings(t testing.TB, ms int64) (origin, target, check func()) {
	n := newTestNode(t, 1, 2, nil)
	in := n.ClusterNode()
	c := &askingCluster{fakeCluster: fakeCluster{counts: make(map[string]int), confirmed: true}}
	n.JoinCluster(c, "c", "n", 1)
	in.Join(3)
	id := codec.NewUUID(1, 2)
	in.Serve(3, &abroad.Service{ID: id})
	in.Offer(3, abroad.Offer{Service: id, Pattern: "a.b"}, patternOf(t, "a.b"))
	s, k := n.worker(1, 1, "c.d"), n.connect(0, TransportTCP)
	n.settle()
	quiet(s, k)
	payload := strings.Repeat("x", 128)
	request := k.again("request:a.b:1.0.0:" + testRequestID + "\n" + payload)
	before, asked, given := n.sent(), uint64(0), uint64(0)
	answer := &abroad.Answer{Payload: []byte("answer")}
	origin = func() {
		request()
		n.settle()
		answer.Ref = c.asked
		in.Answered(3, answer)
		in.Called()
		n.settle()
		n.advance(ms)
		asked++
	}
	q := &abroad.Request{
		Service: s.id, Requester: id, Left: 5000, Owed: true, Topic: []byte("c.D"),
		Version: []byte("1.0.0"), Payload: []byte(payload),
	}
	var frame []byte
	target = func() {
		q.Ref = codec.NewUUID(given, 7)
		in.Asked(3, q)
		in.Called()
		n.settle()
		frame = appendAnswer(frame[:0], s.openEntry())
		s.arrive(frame)
		n.settle()
		n.advance(ms)
		n.settle()
		given++
	}
	return origin, target, func() {
		if got := n.sent() - before; got != asked+given || uint64(c.answers) != given ||
			n.outstanding.Load() != 0 || s.service.outstanding.Load() != 0 {
			t.Errorf("%d asked, %d given: %d messages, %d answers", asked, given, got, c.answers)
		}
	}
}

// A request that crosses, and its answer, cost no allocation at either node.
func TestRequestAcrossAllocations(t *testing.T) {
	origin, target, check := crossings(t, 1)
	t.Run("origin", func(t *testing.T) { holdAtZero(t, origin) })
	t.Run("target", func(t *testing.T) { holdAtZero(t, target) })
	check()
}

// BenchmarkRequestAcross is BenchmarkRequest for one that crosses: what it takes at either node,
// without the bus.
func BenchmarkRequestAcross(b *testing.B) {
	origin, target, check := crossings(b, 0)
	for _, side := range []struct {
		name string
		do   func()
	}{{"origin", origin}, {"target", target}} {
		b.Run(side.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				side.do()
			}
		})
	}
	check()
}
