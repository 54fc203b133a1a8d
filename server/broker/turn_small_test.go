package broker

import (
	"fmt"
	"strings"
	"testing"

	"mbserver/server/config"
)

// Very many connections whose answers fill the frames, while there are very many to write to: what
// was fanned out is still written in pieces, what is gathered is bounded, and nothing is lost.
func TestFullFramesAreWrittenInPieces(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	const readers, talkers, asked = 2000, 700, 100
	l := n.loops[0]
	all := n.subscribers(readers, 0, TransportTCP, "publish", "a.b")
	publisher := n.connect(0, TransportTCP)
	var ks []*testClient
	for range talkers {
		ks = append(ks, n.connect(0, TransportTCP))
	}
	n.settle()
	for _, k := range append(ks, all...) {
		k.messages()
	}
	n.tick = quantum / 20 // one look at the clock
	written := func() (count int) {
		for _, k := range all {
			if len(k.sock.out) > 0 {
				count++
			}
		}
		return count
	}
	publisher.send("publish:a.b:1.0.0\n1")
	ask := ks[0].frame([]byte("request:system.heartbeat:1.0.0:"+testRequestID+"\n{}"), true)
	input := []byte(strings.Repeat(string(ask), asked))
	for _, k := range ks {
		k.arrive(append([]byte(nil), input...))
	}
	if at := written(); at > 0 {
		t.Errorf("%d were written to before the end of the turn", at)
	}
	if got := l.turn.Len(); got > overfull+turnMax {
		t.Errorf("%d bytes are gathered, at most %d", got, overfull)
	}
	for turns, before := 0, 0; n.drivers[0].scheduled; turns++ {
		n.run(0)
		after := written()
		if took := after - before; took > readers/4 {
			t.Fatalf("turn %d wrote to %d of %d", turns, took, readers)
		}
		before = after
	}
	n.settle()
	for i, k := range ks {
		if got := len(k.messages()); got != asked {
			t.Fatalf("talker %d has %d of %d answers", i, got, asked)
		}
		if !k.Reads() || k.charge() != 0 {
			t.Fatalf("talker %d is read = %v, charged %d", i, k.Reads(), k.charge())
		}
	}
	for i, k := range all {
		if got := len(k.messages()); got != 1 {
			t.Fatalf("reader %d has %d messages", i, got)
		}
	}
}

// Laggards whose rings hold very many messages are cut in pieces, too: to release a message takes
// its time.
func TestShedReleasesInPieces(t *testing.T) {
	const laggards, each = 12, shedMessages / 4
	n := newTestNode(t, 1, 1, func(c *config.Config) {
		c.Memory.Limit = 4 << 30
		c.Connection.OutboundMessages, c.Connection.OutboundBytes = each, each<<7
	})
	l := n.loops[0]
	all := n.subscribers(laggards, 0, TransportTCP, "publish", "a")
	publisher := n.connect(0, TransportTCP)
	quiet(all...)
	for _, k := range all {
		k.sock.unlimited, k.sock.budget = false, 0
	}
	one := publisher.frame([]byte("publish:a:1.0.0\n1"), true)
	piece := []byte(strings.Repeat(string(one), 500))
	for range each / 500 {
		publisher.arrive(append([]byte(nil), piece...))
		n.settle()
	}
	waiting := func() (count int) {
		for _, k := range all {
			count += k.out.Messages()
		}
		return count
	}
	n.budget.high, n.budget.low, n.budget.spare = 0, 0, 0
	l.callShed()
	turns, before := 0, waiting()
	for ; n.drivers[0].scheduled; turns++ {
		n.run(0)
		left := waiting()
		if took := before - left; took > shedMessages+each {
			t.Errorf("turn %d released %d messages, it may release %d", turns, took, shedMessages)
		}
		before = left
	}
	if before != 0 || turns < 2 {
		t.Errorf("%d messages wait after %d turns", before, turns)
	}
	n.settle()
}

// Very many laggards get their whole weight in pieces, the largest first.
func TestPromotionIsBounded(t *testing.T) {
	var s laggards
	conns := make([]Conn, 2*promoteMost+1)
	for i := range conns {
		s.note(&conns[i], 100, 0, 0)
	}
	s.note(&conns[2*promoteMost], 1<<20, 0, 0)
	settled := func() (count int) {
		for i := range conns {
			if !conns[i].lag.fresh {
				count++
			}
		}
		return count
	}
	for round := 1; round <= 3; round++ {
		s.promote(freshMs)
		if got, want := settled(), min(round*promoteMost, len(conns)); got != want {
			t.Fatalf("round %d: %d have their weight, want %d", round, got, want)
		}
		if s.first() != &conns[2*promoteMost] {
			t.Fatalf("round %d: the largest is not first", round)
		}
	}
}

// What a full inbox has refused, of one turn after the other, is noted under the inbox's lock at
// the cost of the shorter list: who has lost before does not make it longer.
func TestLossesJoinAtTheCostOfTheShorter(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	all := n.subscribers(300, 0, TransportTCP, "publish", "a.b")
	in := &n.loops[0].inbox
	list := func(ks []*testClient) *losses {
		s := new(losses)
		for _, k := range ks {
			s.add(&k.service, 1)
		}
		return s
	}
	many, few := list(all), list(all[290:])
	in.mu.Lock()
	in.addLost(few)
	in.addLost(many)
	in.addLost(list(all[:10]))
	in.mu.Unlock()
	if in.lost != many {
		t.Error("the longer list was added to the shorter one")
	}
	counts := fmt.Sprint(in.lost.list[0].count, in.lost.list[100].count, in.lost.list[295].count)
	if counts != "2 1 2" || len(in.lost.list) != 300 {
		t.Errorf("of %d subscribers some have lost %s, want 2 1 2", len(in.lost.list), counts)
	}
}
