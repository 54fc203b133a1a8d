package broker

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"mbserver/server/config"
	"mbserver/server/event"
	"mbserver/server/trouble"
)

// lifeOf is what the node remembers of a connection, an event in each line.
func (n *testNode) lifeOf(k *testClient) (lines []string) {
	n.t.Helper()
	p := k.loop.knownOf(k.id)
	if p == nil {
		n.t.Fatalf("%v is not remembered", k.id)
	}
	s := p.story()
	for i := range s.Events {
		lines = append(lines, s.Events[i].String())
	}
	return lines
}

// lives compares what is remembered with what was.
func (n *testNode) lives(k *testClient, want ...string) {
	n.t.Helper()
	if got := n.lifeOf(k); strings.Join(got, "\n") != strings.Join(want, "\n") {
		n.t.Errorf("remembered is\n%s\nwant\n%s", strings.Join(got, "\n"),
			strings.Join(want, "\n"))
	}
}

// A connection's life is remembered in order, with what repeats in one event; of one that has left
// too, with why.
func TestEventsOfALife(t *testing.T) {
	n := newTestNode(t, 1, 2, func(cfg *config.Config) {
		cfg.RateLimit.PerService = 10
	})
	k := n.connect(0, TransportTCP)
	n.settle()
	opened := "opened over tcp from 192.0.2.1:1"
	n.lives(k, opened)
	if p := k.particulars.Load(); p != nil {
		t.Errorf("who only stands has %+v", p)
	}
	for range 2 {
		k.inquire("system.service.register", `{"name":"one","description":"x"}`)
		k.answer()
	}
	k.subscribed("both", "a.+")
	k.inquire("system.topic.unsubscribe", `{"topic":"a.+","action":"request"}`)
	k.inquire("system.topic.unsubscribe", `{"topic":"a.+","action":"request"}`)
	n.advance(2000)
	for range 3 {
		k.send("publish:nobody:1.0.0:" + testRequestID + "\nx")
	}
	n.settle()
	n.advance(1000)
	k.send("publish:nobody:1.0.0:" + testRequestID + "\nx")
	n.settle()
	n.advance(2000)
	for range 15 {
		k.send("request:system.topic.list:1.0.0\n{}")
	}
	n.settle()
	n.advance(2000)
	k.messages()
	n.settle()
	life := []string{
		opened, "registered as one", "subscribed to publishes on a.+",
		"subscribed to requests of a.+", "ended its subscription to requests of a.+",
		"4 messages were answered NO_ROUTE_FOUND: nobody is subscribed to this topic",
		"5 messages were over the limit of 10 a second (scope service)",
	}
	n.lives(k, life...)
	k.arrive([]byte{0, 0xff, 0xff, 0xff})
	n.settle()
	why := n.lifeOf(k)
	if last := why[len(why)-1]; !strings.HasPrefix(last, "closed: ") || len(why) != len(life)+2 {
		t.Errorf("remembered is %q", why)
	}
	if n.charged() > connectionCharge || n.stories.Load() != 0 || n.ills.ailing.Load() != 0 {
		t.Errorf("%d bytes are charged, %d for nobody's story", n.charged(), n.stories.Load())
	}
}

// Who is over the limit of a pattern is told of with that pattern: the node has many.
func TestEventsNameTheLimit(t *testing.T) {
	n := newTestNode(t, 1, 1, func(cfg *config.Config) {
		cfg.RateLimit.TopicPerService = map[string]int{"loud.#": 10, "loud.most.#": 5}
	})
	k := n.connect(0, TransportTCP)
	for range 6 {
		k.send("publish:loud.most.x:1.0.0\n{}")
	}
	for range 12 {
		k.send("publish:loud.x:1.0.0\n{}")
	}
	n.settle()
	n.advance(1000)
	says := "8 messages were over the limit of 10 a second (scope pattern loud.#)" // the last one's
	found := n.Troubles().Troubles
	at := slices.IndexFunc(found, func(one trouble.Trouble) bool {
		return one.Kind == trouble.LimitedClient
	})
	if at < 0 || found[at].Why != says || found[at].Cause != "pattern" {
		t.Errorf("told of: %+v, want %s", found, says)
	}
	life := n.lifeOf(k)
	says = "8 messages were over the limit of 5 a second (scope pattern loud.most.#)" // the first's
	if last := life[len(life)-1]; last != says {
		t.Errorf("remembered is %s, want %s", last, says)
	}
}

// Why a connection has gone is what was decided first.
func TestEventsSayWhyItWent(t *testing.T) {
	for why, end := range map[string]func(n *testNode, k *testClient){
		"its peer ended the stream": func(_ *testNode, k *testClient) { k.hangUp(false) },
		"its socket failed, or its peer has gone": func(_ *testNode, k *testClient) {
			k.hangUp(true)
		},
		"no heartbeat": func(n *testNode, _ *testClient) {
			n.settle()
			n.pass(100_000)
		},
		"its peer closed it": func(_ *testNode, k *testClient) {
			k.arrive([]byte{0x88, 0x82, 0, 0, 0, 0, 3, 0xe8})
		},
		"the server is going away": func(n *testNode, k *testClient) { k.bye() },
		"memory.limit was near, and it was the largest laggard": func(
			n *testNode, k *testClient,
		) {
			k.loop.begin()
			k.loop.cut(k.Conn)
		},
		"writing to it failed: " + errTestReset.Error(): func(n *testNode, k *testClient) {
			k.sock.err = errTestReset
			k.send("request:system.heartbeat:1.0.0:" + testRequestID + "\n{}")
		},
	} {
		n := newTestNode(t, 1, 1, nil)
		k := n.connect(0, TransportWS)
		n.settle()
		n.wake(k.loop)
		k.loop.begin()
		end(n, k)
		n.settle()
		if k.state != stateGone {
			k.hangUp(true)
		}
		n.settle()
		if got := n.lifeOf(k); got[len(got)-1] != "closed: "+why {
			t.Errorf("%q, want %s", got, why)
		}
	}
}

// What is lost is one event for each stall, with how much, and the notices are another.
func TestEventsOfLosses(t *testing.T) {
	n := newTestNode(t, 1, 1, func(cfg *config.Config) {
		cfg.Connection.OutboundBytes = 64 << 10
	})
	slow, publisher := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	slow.subscribed("publish", "a")
	n.settle()
	slow.sock.unlimited = false
	for range 100 {
		publisher.send("publish:a:1.0.0\n" + strings.Repeat("x", 1000))
		n.settle()
	}
	lost := slow.particulars.Load().dropped.Load()
	if lost == 0 {
		t.Fatal("nothing was lost")
	}
	n.advance(600)
	report := n.Troubles()
	if len(report.Troubles) != 1 || report.Troubles[0].Kind != trouble.SlowSubscriber ||
		report.Troubles[0].ID != slow.id.String() ||
		!strings.Contains(report.Troubles[0].Why, fmt.Sprintf("%d messages", lost)) {
		t.Errorf("told is %+v", report.Troubles)
	}
	slow.unblock(0, true)
	n.settle()
	got := strings.Join(n.lifeOf(slow), "\n")
	for _, want := range []string{
		"its ring was more than three quarters full",
		fmt.Sprintf("%d messages were lost because its ring was full", lost),
		"was told of losses (system.dropped)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in\n%s", want, got)
		}
	}
	n.advance(trouble.Gap + 1)
	if got := n.Troubles().Troubles; len(got) != 0 {
		t.Errorf("afterwards: %+v", got)
	}
}

// Ten thousand connections with a hundred events each take what they are charged, and no more than
// is said; when they have left, a bounded part is kept of them, and nothing is charged.
func TestEventsMemory(t *testing.T) {
	const clients, each, most = 10_000, 100, 5500
	n := newTestNode(t, 1, 2, func(cfg *config.Config) { cfg.Memory.Limit = 4 << 30 })
	all := make([]*testClient, clients)
	for i := range all {
		all[i] = n.connect(i%2, TransportTCP)
		all[i].describe()
		all[i].sock.discard = true
	}
	n.settle()
	before, charge := heapBytes(), n.loops[0].charge+n.loops[1].charge
	for i, k := range all {
		for j := range each {
			k.note(event.Subscribed, 0, 0, fmt.Sprintf("flights.t%05d.x%03d", i, j))
		}
	}
	held := heapBytes() - before
	charged := n.loops[0].charge + n.loops[1].charge - charge
	if charged > clients*most || held > charged*9/8+clients*128 {
		t.Errorf("%d bytes are held for each, %d charged", held/clients, charged/clients)
	}
	t.Logf("%d bytes are held for each of %d, %d charged", held/clients, clients, charged/clients)
	if got := n.lifeOf(all[0]); len(got) != each+1 {
		t.Errorf("%d events are kept", len(got))
	}
	for _, k := range all {
		k.hangUp(true)
	}
	n.settle()
	kept := 0
	for _, l := range n.loops {
		if l.charge != 0 || l.pasts.bytes > l.broker.pastBytes || l.pasts.bytes == 0 {
			t.Errorf("%d bytes are charged, %d kept", l.charge, l.pasts.bytes)
		}
		kept += l.pasts.len()
	}
	if n.lifeOf(all[clients-1]); kept < 100 || kept > clients/10 {
		t.Errorf("%d of those that have left are kept", kept)
	}
	if n.loops[0].knownOf(all[0].id) != nil {
		t.Error("all of those that have left are kept")
	}
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Where logs have had their part of the memory they do not grow; what is wrong is noted for longer,
// and then not either.
func TestEventsWithinMemory(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	n.logBytes, n.spellBytes = 4<<10, 8<<10
	for i := range 100 {
		k := n.connect(0, TransportTCP)
		for j := range 200 {
			k.send(fmt.Sprintf("publish:nobody.t%d:1.0.0:%s\nx", i, testRequestID))
			k.note(event.Subscribed, 0, 0, fmt.Sprint("x", j))
		}
		n.settle()
		if held := n.stories.Load(); held > n.spellBytes+spellCharge {
			t.Fatalf("%d bytes are held", held)
		}
	}
	if held := n.stories.Load(); held < n.logBytes {
		t.Errorf("%d bytes are held", held)
	}
}

// A fault, turns that take long, and what was cut are told of, with how many.
func TestTroublesOfLoops(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	l := n.loops[1]
	if got := n.Troubles().Troubles; len(got) != 0 {
		t.Fatalf("at first: %+v", got)
	}
	n.advance(reportShare + 1)
	l.begin()
	l.guard(nil, func() { panic("a test") })
	l.ills[trouble.TurnsLong].Note(l.time.Ms)
	l.ill(trouble.ConnectionsCut)
	n.faults = nil
	n.FaultAside()
	report := n.Troubles()
	for k, count := range map[trouble.Kind]string{
		trouble.Fault: "2 faults", trouble.TurnsLong: "1 turns",
		trouble.ConnectionsCut: "1 connections",
	} {
		if report.Counts[k] != 1 {
			t.Errorf("%s: %d", k, report.Counts[k])
		}
		found := false
		for _, one := range report.Troubles {
			found = found || one.Kind == k && strings.HasPrefix(one.Why, count)
		}
		if !found {
			t.Errorf("%s is not in %+v", k, report.Troubles)
		}
	}
	n.settle()
	n.advance(trouble.Gap + reportShare + 1)
	if got := n.Troubles().Troubles; len(got) != 0 {
		t.Errorf("afterwards: %+v", got)
	}
	// A turn that does not end is told of while it runs.
	l.pulse.begin(n.drivers[0].Now().Ns)
	n.advance(300)
	if got := n.Troubles().Troubles; len(got) != 1 || got[0].Kind != trouble.TurnsLong {
		t.Errorf("in a long turn: %+v", got)
	}
	n.advance(6000)
	if got := n.Troubles().Troubles; len(got) != 1 || got[0].Kind != trouble.Stuck {
		t.Errorf("in an endless turn: %+v", got)
	}
}
