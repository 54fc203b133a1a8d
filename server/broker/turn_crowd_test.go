package broker

import (
	"fmt"
	"testing"
	"time"

	"mbserver/ringbuf"
	"mbserver/server/config"
	"mbserver/server/metrics"
	"mbserver/topic"
)

// crowd is much that comes to its end at once on loop 0.
type crowd struct {
	name  string
	loops int
	// gather makes it. What it returns brings the end, before the loop's next turn, and says how
	// much of it is still to come.
	gather func(n *testNode, size int) (end func(), left func() int)
}

// crowdTurn is how much of it a turn may do: a quantum's looks at the clock, of which each comes
// after little work, or the steps of what ends; and in front of it what had its part in the turn
// before, which was not begun by run.
const crowdTurn = 20*workLook/messageWork + 2*endsTurn

// However much ends at once, it does so in several turns, and in each of them who asks is answered.
func TestCrowdsEndInPieces(t *testing.T) {
	for _, c := range crowds {
		t.Run(c.name, func(t *testing.T) {
			const size = 4 * crowdTurn
			n := newTestNode(t, 1, c.loops, func(cfg *config.Config) {
				cfg.Memory.Limit = 4 << 30
			})
			end, left := c.gather(n, size)
			probe := n.connect(0, TransportTCP)
			n.settle()
			probe.messages()
			n.tick = quantum / 20 // one look at the clock
			l := n.loops[0]
			before, turns, some := left(), 0, left() > 0
			for end(); n.drivers[0].scheduled; turns++ {
				if turns > 0 && probe.Conn.state == stateOpen {
					probe.send("request:system.heartbeat:1.0.0\n{}")
				}
				n.run(0)
				if took := before - left(); took > crowdTurn {
					t.Fatalf("turn %d did %d of %d, it may do %d", turns, took, before, crowdTurn)
				}
				before = left()
				answers := probe.messages()
				if turns > 0 && probe.Conn.state == stateOpen && len(answers) == 0 {
					t.Fatalf("turn %d: the probe has no answer", turns)
				}
				if n.drivers[0].scheduled != l.GivesWay() && l.inbox.empty() {
					t.Fatalf("turn %d: there is more = %v, and a turn is coming = %v",
						turns, l.GivesWay(), n.drivers[0].scheduled)
				}
			}
			if before > 2 || turns < 4 && some || turns == 0 {
				t.Errorf("after %d turns %d are left", turns, before)
			}
			n.settle()
		})
	}
}

var crowds = []crowd{
	{"heartbeats", 1, func(n *testNode, size int) (func(), func() int) {
		n.members(size, 0, TransportTCP)
		sent := n.sent()
		n.pass(n.heartbeatRetry - 1)
		return func() { n.advance(1) },
			func() int { return size - int(n.sent()-sent) }
	}},
	{"silent connections", 1, func(n *testNode, size int) (func(), func() int) {
		n.members(size, 0, TransportWS)
		n.pass(n.heartbeatDeregister - 1)
		return func() { n.advance(1) }, n.there
	}},
	{"timers of another level", 1, func(n *testNode, size int) (func(), func() int) {
		n.members(size, 0, TransportTCP)
		l := n.loops[0]
		const at = 2<<20 + 5<<14 + 3<<8 + 7 // each is moved three times before it fires
		for _, c := range l.conns {
			l.wheel.Add(&c.timer, at)
		}
		// What is moved is nobody's to see: time tells.
		return func() { n.advance(at - 1 - n.ms) }, func() int { return 0 }
	}},
	{"deadlines", 1, func(n *testNode, size int) (func(), func() int) {
		n.asked(1, size)
		return func() { n.advance(n.timeoutDefaultMs + 1) }, n.open
	}},
	{"deadlines of what waits", 1, func(n *testNode, size int) (func(), func() int) {
		n.worker(0, 1, "a.b")
		n.asks(size)
		return func() { n.advance(n.timeoutDefaultMs + 1) }, n.open
	}},
	{"the end of requests", 1, func(n *testNode, size int) (func(), func() int) {
		n.asked(1, size)
		return func() { n.loops[0].call((*Loop).failOutstanding) }, n.open
	}},
	{"the end of connections", 1, func(n *testNode, size int) (func(), func() int) {
		n.members(size, 0, TransportWS)
		return func() { n.loops[0].call((*Loop).goAway) }, n.there
	}},
	{"peers that end", 1, func(n *testNode, size int) (func(), func() int) {
		return n.peersThatGo(size, TransportTCP, false)
	}},
	{"peers that break off", 1, func(n *testNode, size int) (func(), func() int) {
		return n.peersThatGo(size, TransportWS, true)
	}},
	{"services that leave", 1, func(n *testNode, size int) (func(), func() int) {
		ks := n.asked(100, size)
		return func() {
			for _, k := range ks {
				k.hangUp(true)
			}
		}, n.open
	}},
	{"services that are cut", 1, func(n *testNode, size int) (func(), func() int) {
		ks := n.asked(100, size)
		return func() {
			n.loops[0].begin()
			for _, k := range ks {
				k.abort()
			}
		}, n.open
	}},
	{"requesters that leave", 1, func(n *testNode, size int) (func(), func() int) {
		n.worker(0, 1, "a.b")
		ks := n.asks(size)
		return func() {
			for _, k := range ks {
				k.hangUp(true)
			}
		}, func() int { return int(n.queued.Load()) }
	}},
	{"readers that are cut", 1, func(n *testNode, size int) (func(), func() int) {
		for _, k := range n.members(size, 0, TransportTCP) {
			k.sock.unlimited = false
			k.joins(topic.Publish, topic.Options{Overflow: uint8(deliverDisconnect)})
		}
		n.droppable = ringbuf.Limits{Bytes: 1 << 20, Messages: 3}
		k := n.connect(0, TransportTCP)
		for range 3 {
			k.send("publish:a.b:1.0.0\nx")
			n.settle()
		}
		return func() { k.send("publish:a.b:1.0.0\nx") }, n.there
	}},
	{"publishes that wait for who leaves", 1, func(n *testNode, size int) (func(), func() int) {
		s := n.parked(1, size)[0]
		return func() { s.hangUp(true) }, func() int { return n.loops[0].parkedCount }
	}},
	{"publishes that wait for who is cut", 1, func(n *testNode, size int) (func(), func() int) {
		s := n.parked(1, size)[0]
		return func() {
			n.loops[0].begin()
			s.abort()
		}, func() int { return n.loops[0].parkedCount }
	}},
	{"publishes that have waited enough", 1, func(n *testNode, size int) (func(), func() int) {
		n.parked(30, size/30)
		return func() { n.advance(n.backpressureMax) },
			func() int { return n.loops[0].parkedCount }
	}},
	{"publishes that find room", 1, func(n *testNode, size int) (func(), func() int) {
		s := n.parked(1, size)[0]
		return func() { s.unblock(0, true) }, func() int { return int(n.paused.Load()) }
	}},
	{"losses at an inbox", 2, func(n *testNode, size int) (func(), func() int) {
		return n.losing(size), func() int { return size - int(n.loops[0].counts[metrics.Dropped]) }
	}},
	{"losses that are told", 2, func(n *testNode, size int) (func(), func() int) {
		end, sent := n.losing(size), n.sent()
		return end, func() int { return size - int(n.sent()-sent) }
	}},
}

// losing returns what has so many subscribers of loop 0 lose a message at its inbox.
func (n *testNode) losing(subscribers int) func() {
	for _, k := range n.members(subscribers, 0, TransportTCP) {
		k.joins(topic.Publish, topic.Options{})
	}
	k := n.connect(1, TransportTCP)
	n.settle()
	return func() {
		n.inboxBytes = 1 // nothing fits
		k.send("publish:a.b:1.0.0\nx")
		n.run(1)
	}
}

// members connects clients that discard what they receive.
func (n *testNode) members(count, loop int, tr Transport) (ks []*testClient) {
	for range count {
		ks = append(ks, n.connect(loop, tr))
	}
	n.settle()
	quiet(ks...)
	return ks
}

// peersThatGo is a crowd of clients of loop 0 that go by themselves, with a reset or without.
func (n *testNode) peersThatGo(count int, tr Transport, reset bool) (end func(), left func() int) {
	ks := n.members(count, 0, tr)
	return func() {
		for _, k := range ks {
			k.hangUp(reset)
		}
	}, n.there
}

// joins subscribes to a.b.
func (k *testClient) joins(kind topic.Kind, o topic.Options) {
	p, err := topic.ParsePattern("a.b")
	if err != nil {
		k.node.t.Fatal(err)
	}
	k.Conn.subscribe(p, kind, o)
}

// there is how many connections have not left loop 0.
func (n *testNode) there() (count int) {
	for _, c := range n.loops[0].conns {
		if c != nil && !c.marked(markLeft) {
			count++
		}
	}
	return count
}

func (n *testNode) open() int { return int(n.outstanding.Load()) }

// asks has ten clients have so many requests on a.b, for which n.maxOutstanding is raised.
func (n *testNode) asks(count int) []*testClient {
	n.maxOutstanding, n.waitBytes, n.queuedPerTopic = int64(count), 1<<40, count
	n.budget.set(1 << 40)
	ks := n.members(10, 0, TransportTCP)
	for i := range count {
		ks[i%len(ks)].send(fmt.Sprintf("request:a.b:1.0.0:00000000-0000-4000-8000-%012d\nx", i))
		if i%1000 == 0 {
			n.settle()
		}
	}
	n.settle()
	return ks
}

// asked has so many services be asked so much together.
func (n *testNode) asked(services, count int) (ks []*testClient) {
	for range services {
		k := n.connect(0, TransportTCP)
		k.joins(topic.Request, topic.Options{})
		ks = append(ks, k)
	}
	n.settle()
	quiet(ks...)
	n.asks(count)
	return ks
}

// parked has so many publishes wait for each of so many subscribers.
func (n *testNode) parked(subscribers, count int) (ks []*testClient) {
	n.pause = true
	ks = n.subscribers(subscribers, 0, TransportTCP, "publish", "a.b")
	publishers := n.members(count, 0, TransportTCP)
	quiet(ks...)
	n.droppable.Messages = 3
	for _, k := range ks {
		k.sock.unlimited = false
	}
	for range 3 {
		publishers[0].send("publish:a.b:1.0.0\nx")
		n.settle()
	}
	for i, k := range publishers {
		k.send("publish:a.b:1.0.0:" + testRequestID + "\nx")
		if i%100 == 0 {
			n.settle()
		}
	}
	n.settle()
	if n.loops[0].parkedCount != subscribers*count {
		n.t.Fatalf("%d publishes wait", n.loops[0].parkedCount)
	}
	return ks
}

// BenchmarkLongestTurn tells how long the longest turn takes when much comes to its end at once.
func BenchmarkLongestTurn(b *testing.B) {
	for _, c := range crowds {
		b.Run(c.name, func(b *testing.B) {
			const size = 10_000
			longest, turns := time.Duration(0), 0
			for range b.N {
				n := newTestNode(b, 1, c.loops, func(cfg *config.Config) {
					cfg.Memory.Limit = 4 << 30
				})
				end, left := c.gather(n, size)
				n.wall = true
				begun := time.Now()
				end()
				for n.drivers[0].scheduled {
					n.run(0)
					longest = max(longest, time.Since(begun))
					turns++
					begun = time.Now()
				}
				n.settle()
				if left() > 10 {
					b.Fatalf("%d are left", left())
				}
			}
			b.ReportMetric(float64(longest.Microseconds()), "µs/longest")
			b.ReportMetric(float64(turns)/float64(b.N), "turns")
		})
	}
}
