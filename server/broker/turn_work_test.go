package broker

import (
	"fmt"
	"strings"
	"testing"

	"mbserver/server/config"
	"mbserver/server/metrics"
)

// done is what the loop has done, in units: what it took and what it gave.
func (l *Loop) done() int {
	return int(messageWork*l.counts[metrics.Messages] + l.counts[metrics.Sent] +
		l.counts[metrics.Dropped])
}

// flooded is a kind of input that makes much work of few bytes.
type flooded struct {
	name string
	// arrive makes all of it arrive at loop 0.
	arrive func(n *testNode)
}

const (
	floodReaders = 1000
	floodCount   = 3000
)

var floods = []flooded{
	{"fan-out", func(n *testNode) {
		n.subscribers(floodReaders, 0, TransportTCP, "publish", "a.b")
		k := n.connect(0, TransportTCP)
		k.arrive(k.frames("publish:a.b:1.0.0\n"))
	}},
	{"fan-out from another loop", func(n *testNode) {
		n.subscribers(floodReaders, 0, TransportWS, "publish", "a.b")
		k := n.connect(1, TransportTCP)
		k.arrive(k.frames("publish:a.b:1.0.0\n"))
		for len(k.loop.inboxOf(0).parcels) == 0 {
			n.run(1)
		}
	}},
	{"stalled rings", func(n *testNode) {
		for _, s := range n.subscribers(floodReaders, 0, TransportTCP, "publish", "a.b") {
			s.sock.unlimited = false
		}
		k := n.connect(0, TransportTCP)
		k.arrive(k.frames("publish:a.b:1.0.0\n"))
	}},
	{"malformed", func(n *testNode) {
		k := n.connect(0, TransportWS)
		for range 100 {
			k.arrive(k.frames("x"))
		}
	}},
	{"empty fragments", func(n *testNode) {
		k := n.connect(0, TransportWS)
		k.arrive([]byte("\x01\x80" + testMask)) // a message that never ends
		for range 2 {
			k.arrive([]byte(strings.Repeat("\x00\x80"+testMask, floodCount)))
		}
	}},
	{"pongs", func(n *testNode) {
		k := n.connect(0, TransportWS)
		for range 2 {
			k.arrive([]byte(strings.Repeat("\x8a\x80"+testMask, floodCount)))
		}
	}},
	{"subscriptions", func(n *testNode) {
		k := n.connect(0, TransportTCP)
		for range 20 {
			k.arrive(k.frames("request:system.topic.subscribe:1.0.0\n" +
				`{"action":"publish","topic":"a.b"}`))
		}
	}},
}

// testMask is the masking key of a frame.
const testMask = "\x01\x02\x03\x04"

// frames is msg as often as a flood has it.
func (k *testClient) frames(msg string) []byte {
	return []byte(strings.Repeat(string(k.frame([]byte(msg), true)), floodCount))
}

func (l *Loop) inboxOf(i int) *inbox { return &l.broker.loops[i].inbox }

// Whatever arrives, a loop looks at its sockets after a bounded amount of work, and what asks
// little is answered before the rest is done.
func TestTurnIsBoundedByWork(t *testing.T) {
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			n := newTestNode(t, 1, 2, func(cfg *config.Config) {
				cfg.Connection.OutboundMessages = 100
			})
			l := n.loops[0]
			probe := n.connect(0, TransportTCP)
			n.settle()
			probe.messages()
			n.tick = quantum / 20 // one look at the clock
			before := l.done()
			f.arrive(n)
			turns := 0
			for ; n.drivers[0].scheduled; turns++ {
				probe.send("request:system.heartbeat:1.0.0:" + fmt.Sprintf(
					"00000000-0000-4000-8000-%012d", turns) + "\n{}")
				n.run(0)
				did := l.done() - before
				before = l.done()
				if len(probe.messages()) != 1 {
					t.Fatalf("turn %d: the probe has no answer", turns)
				}
				// Each look at the clock comes with a step of work.
				if most := 20 * (workLook + floodReaders + share); turns > 0 && did > most {
					t.Fatalf("turn %d did %d units of work, it may do %d", turns, did, most)
				}
			}
			if turns < 5 {
				t.Errorf("all was done in %d turns", turns)
			}
			if l.GivesWay() || len(l.dirty) > 0 || l.turn.Len() > 0 {
				t.Error("something is left over")
			}
		})
	}
}

// Connections with input left over are served in turn, and in order.
func TestLeftOverIsServedInTurn(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	l := n.loops[0]
	s := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
	var ks []*testClient
	for range 4 {
		ks = append(ks, n.connect(0, TransportTCP))
	}
	n.settle()
	quiet(append(ks, s)...)
	s.sock.discard = false
	n.tick = quantum / 4
	for i, k := range ks {
		var b []byte
		for number := range 2 * floodCount {
			msg := fmt.Appendf(nil, "publish:a.b:1.0.0\n%d %d", i, number)
			b = append(b, k.frame(msg, true)...)
		}
		k.arrive(b)
	}
	next := make([]int, len(ks))
	for n.drivers[0].scheduled {
		n.run(0)
		for _, m := range s.messages() {
			var i, number int
			_, err := fmt.Sscan(string(m.payload), &i, &number)
			if err != nil || number != next[i] {
				t.Fatalf("%d: got %s, want number %d", i, m.payload, next[i])
			}
			next[i]++
		}
		if !l.leftOver() {
			continue
		}
		// Only one that is served in this turn may be a turn ahead of the others.
		least, most := next[1], next[1]
		for _, have := range next[1:] {
			least, most = min(least, have), max(most, have)
		}
		if most < 2*floodCount && most-least > 2*(4*workLook+little)/messageWork {
			t.Fatalf("one was served %d, another %d", most, least)
		}
	}
	for i, have := range next {
		if have != 2*floodCount {
			t.Errorf("%d: %d messages", i, have)
		}
		if !ks[i].Reads() || ks[i].charge() != 0 {
			t.Errorf("%d is read = %v, charged %d", i, ks[i].Reads(), ks[i].charge())
		}
	}
}

// While it gives way a loop writes what was fanned out together, and answers at once.
func TestGivingWayDoesNotFlush(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	s := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
	k, probe := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	n.settle()
	s.messages()
	probe.messages()
	n.tick = flushDelay / 50
	for range 4 {
		k.arrive(k.frames("publish:a.b:1.0.0\nx"))
	}
	writes, turns := 0, 0
	for ; n.drivers[0].scheduled; turns++ {
		probe.send("request:system.heartbeat:1.0.0\n{}")
		n.run(0)
		if len(probe.messages()) != 1 {
			t.Fatal("the probe has no answer")
		}
		if len(s.messages()) > 0 {
			writes++
		}
	}
	if turns < 4 || writes == 0 || writes > turns/2+1 {
		t.Errorf("%d writes in %d turns", writes, turns)
	}
	n.settle()
}

// floodedBefore makes the client have sent so many messages that the node has not taken yet, while
// floods of others stand before them.
func (n *testNode) floodedBefore(k *testClient, floods, messages int) {
	for range floods {
		f := n.connect(0, TransportTCP)
		for range 4 {
			f.arrive(f.frames("publish:a.b:1.0.0\nx"))
		}
	}
	var b []byte
	for i := range messages {
		b = append(b, k.frame(fmt.Appendf(nil,
			"request:system.heartbeat:1.0.0:00000000-0000-4000-8000-%012d\n{}", i), true)...)
	}
	k.arrive(b)
}

// Who is behind for once has its turn before those who always are, however many they are.
func TestLittleLeftOverIsServedFirst(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	n.subscribers(10, 0, TransportTCP, "publish", "a.b")
	k := n.connect(0, TransportTCP)
	n.settle()
	k.messages()
	n.tick = quantum / 4
	const floods, messages = 30, 150
	n.floodedBefore(k, floods, messages)
	if !n.loops[0].leftOver() || k.paused == nil {
		t.Fatal("nothing is left over")
	}
	got, turns := 0, 0
	for ; got < messages; turns++ {
		n.run(0)
		got += len(k.messages())
	}
	if !n.loops[0].leftOver() {
		t.Fatal("the floods are over")
	}
	// Each of them has a little before it, a look at the clock for each workLook of that.
	if most := 2 * (floods + 1) * (little/workLook + 1) / 4; turns > most {
		t.Errorf("it was served in turn %d, at most %d", turns, most)
	}
	n.settle()
}

// An answer leaves before what other loops have sent, and before what is left over.
func TestAnswersLeaveFirst(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	n.subscribers(10, 0, TransportTCP, "publish", "a.b")
	probe := n.connect(0, TransportTCP)
	n.settle()
	probe.messages()
	answered := -1
	n.loops[0].call(func(*Loop) { answered = len(probe.messages()) })
	probe.send("request:system.heartbeat:1.0.0\n{}")
	n.run(0)
	if answered != 1 {
		t.Errorf("%d answers when other loops were heard", answered)
	}
}

// Nobody is a laggard for what the node itself does not take; and it reads in smaller pieces when
// that is much.
func TestInputLeftOverIsNoLag(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	l := n.loops[0]
	n.subscribers(10, 0, TransportTCP, "publish", "a.b")
	k := n.connect(0, TransportTCP)
	n.settle()
	n.tick = quantum / 4
	n.floodedBefore(k, 3, 150)
	if k.paused == nil || k.charge() != 0 || l.charge < bodyCharge(k.paused.rest) {
		t.Fatalf("what is left over is charged %d bytes to the client, %d to the loop",
			k.charge(), l.charge)
	}
	if got := l.ReadSize(1 << 20); got != readBusy {
		t.Errorf("reads take %d bytes", got)
	}
	n.restBytes = 1 << 10
	if got := l.ReadSize(1 << 20); got != readLeast {
		t.Errorf("reads take %d bytes while much is left over", got)
	}
	n.passMemory()
	n.settle()
	if k.state != stateOpen || l.rests != 0 {
		t.Errorf("state %d, %d bytes are left over", k.state, l.rests)
	}
}
