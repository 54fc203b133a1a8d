package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
	"mbserver/topic"
)

// A request that is on its way to another loop when the time to drain is over is answered once,
// though nothing was outstanding then: it counts before anybody is told to go, and is told why.
func TestRequestInAParcelAtTheEnd(t *testing.T) {
	for _, topic := range []string{"end.t", "end.u", "end.v", "end.w"} { // wherever it would wait
		for _, most := range []int{1, 2} { // the second one waits, or does not
			for _, over := range []bool{false, true} {
				n := newTestNode(t, 1, 2, nil)
				one := n.worker(1, most, "end.#")
				k := n.connect(0, TransportWS)
				if most == 1 {
					k.send("request:end.first:1.0.0\nx")
				}
				n.settle()
				k.messages()
				k.send("request:" + topic + ":1.0.0:" + testRequestID + "\nx")
				n.state.Store(int32(draining))
				// The loop of the service has all its words before it has the request.
				hear := func(f func(*Loop)) {
					t.Helper()
					w := n.sendWords(f)
					n.run(1)
					n.run(0)
					n.settle()
					if len(w) != cap(w) {
						t.Fatalf("%d words were heard of %d", len(w), cap(w))
					}
				}
				if !over {
					hear((*Loop).noteCuts)
					if n.outstanding.Load() == 0 || n.cut.Load() == 0 {
						t.Errorf("%s: %d are outstanding, %d cut", topic, n.outstanding.Load(),
							n.cut.Load())
					}
				}
				hear((*Loop).failOutstanding)
				hear(func(*Loop) {})
				for _, l := range n.loops {
					l.call((*Loop).goAway)
				}
				n.settle()
				answers := 0
				for _, m := range k.messages() {
					if string(m.RequestID) == testRequestID &&
						strings.Contains(string(m.payload), `"draining"`) {
						answers++
					}
				}
				if answers != 1 || n.outstanding.Load() != 0 {
					t.Errorf("%s, a service of %d, %v: %d answers, %d outstanding",
						topic, most, over, answers, n.outstanding.Load())
				}
				one.messages()
			}
		}
	}
}

// toGo takes the notice that k is to go: when, and when it is cut, in ms; -1: there is none.
func (k *testClient) toGo() (slot, deadline int64) {
	k.node.t.Helper()
	slot, deadline = -1, -1
	for _, m := range k.messages() {
		if m.header != "publish:system.drain:1.0.0" {
			continue
		}
		var is struct{ ReconnectAfterMs, DeadlineMs *int64 }
		if json.Unmarshal(m.payload, &is) != nil || is.ReconnectAfterMs == nil ||
			is.DeadlineMs == nil || slot >= 0 {
			k.node.t.Fatalf("told %s", m.payload)
		}
		slot, deadline = *is.ReconnectAfterMs, *is.DeadlineMs
	}
	return slot, deadline
}

// left says that the node has closed the connection.
func (k *testClient) left() bool { return k.Conn.state != stateOpen }

const second = time.Second

// Slots lie within spread, but for a lead in which clients connect elsewhere, services' in its last
// fifth, no more than rate in any second, and never less than 5 s before the end; with less time
// than that all are told to go at once.
func TestSlots(t *testing.T) {
	for _, row := range []struct {
		clients, services int
		s                 Schedule
		first, last       int64 // ms: in which the clients' slots lie
		until             int64 // and the services' behind these
	}{
		{10, 5, Schedule{Spread: 5 * second, Rate: 1000, Time: 25 * second}, 500, 4000, 5000},
		{1, 1, Schedule{Spread: 5 * second, Rate: 1000, Time: 25 * second}, 500, 4000, 5000},
		{40, 0, Schedule{Spread: 2 * second, Rate: 10, Time: 25 * second}, 200, 4200, 4200},
		{40, 10, Schedule{Spread: 0, Rate: 10, Time: 25 * second}, 0, 0, 0},
		{40, 10, Schedule{Spread: 5 * second, Rate: 1, Time: 6 * second}, 9, 802, 1000},
		{40, 10, Schedule{Spread: 5 * second, Rate: 1000, Time: 5 * second}, 0, 0, 0},
		{40, 10, Schedule{Spread: 5 * second, Rate: 1000}, 0, 0, 0},
	} {
		name := fmt.Sprintf("%d clients, %d services, %+v", row.clients, row.services, row.s)
		n := newTestNode(t, 1, 2, nil)
		var clients, services []*testClient
		for i := range row.clients {
			clients = append(clients, n.connect(i%2, TransportTCP))
		}
		for i := range row.services {
			services = append(services, n.worker(i%2, 1, "a.b"))
		}
		n.settle()
		n.Depart(row.s)
		n.settle()
		slots := func(of []*testClient, from, until int64) (all []int64) {
			for _, k := range of {
				slot, deadline := k.toGo()
				if slot < from || slot > until || deadline != row.s.Time.Milliseconds() {
					t.Errorf("%s: a slot at %d of %d to %d, deadline %d",
						name, slot, from, until, deadline)
				}
				all = append(all, slot)
			}
			slices.Sort(all)
			return all
		}
		all := slots(clients, row.first, row.last)
		all = append(all, slots(services, row.last, row.until)...)
		if row.until == 0 || row.s.Time < 10*second {
			continue // the time is too short for the rate
		}
		for i := range all {
			if j := i + row.s.Rate; j < len(all) && all[j]-all[i] < 999 {
				t.Errorf("%s: %d slots from %d to %d", name, row.s.Rate+1, all[i], all[j])
			}
		}
		if most := row.first + row.last/int64(row.clients); all[0] > most {
			t.Errorf("%s: the first slot is at %d", name, all[0])
		}
	}
}

// Who has nothing outstanding is closed at its slot, not before. A service is held until no client
// stands, and gets no request while another may have it.
func TestSlotsCome(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	quick, slow := n.connect(0, TransportWS), n.connect(1, TransportTCP)
	one := n.worker(0, 10, "a.b")
	n.settle()
	n.Depart(Schedule{Spread: second, Rate: 1000, Grace: 10 * second, Time: 25 * second})
	n.settle()
	quickAt, _ := quick.toGo()
	slowAt, _ := slow.toGo()
	oneAt, _ := one.toGo()
	slow.send("request:a.b:1.0.0:" + testRequestID + "::20000\nx")
	n.settle()
	n.pass(quickAt - 1)
	if quick.left() {
		t.Fatal("closed before its slot")
	}
	if n.pass(1); !quick.left() {
		t.Fatal("not closed at its slot")
	}
	n.pass(slowAt)
	if slow.left() {
		t.Fatal("closed while its request was outstanding")
	}
	n.pass(oneAt)
	if one.left() || !one.marked(markHeld) {
		t.Fatal("the service was not held")
	}
	two := n.worker(1, 10, "a.b")
	two.send("request:system.heartbeat:1.0.0\n")
	for range 5 {
		slow.send("request:a.b:1.0.0:" + testRequestID + "::20000\nx")
		n.settle()
	}
	if one.service.outstanding.Load() != 1 || two.service.outstanding.Load() != 5 {
		t.Errorf("%d went to the service that is to go, %d to the other",
			one.service.outstanding.Load()-1, two.service.outstanding.Load())
	}
	for _, k := range []*testClient{one, two} {
		for k.openEntry() != nil {
			k.work()
		}
	}
	if n.settle(); !slow.left() || !one.left() || two.left() {
		t.Errorf("closed: the client %v, its service %v, the one that came %v", slow.left(),
			one.left(), two.left())
	}
	if n.CutOff() != int(n.connections.Load()) {
		t.Errorf("%d were cut", n.CutOff())
	}
}

// Past the grace what was asked is answered, what is asked then is refused, for 2 s: then all of it
// is answered, and the connection closed.
func TestGraceIsOver(t *testing.T) {
	for _, asks := range []bool{false, true} {
		n := newTestNode(t, 1, 2, nil)
		k, one := n.connect(0, TransportTCP), n.worker(1, 10, "a.b")
		k.send("request:a.b:1.0.0:" + testRequestID + "::20000\nx")
		n.settle()
		n.Depart(Schedule{Grace: second, Rate: 1000, Time: 25 * second})
		n.settle()
		n.pass(999)
		const second = "00000000-0000-4000-8000-000000000002"
		k.send("request:a.b:1.0.0:" + second + "::20000\nx")
		n.settle()
		if one.service.outstanding.Load() != 2 {
			t.Fatal("refused within the grace")
		}
		n.pass(1)
		if !asks {
			n.pass(10_000)
			for one.openEntry() != nil {
				one.work()
			}
			if answers := count(k, `x`); !k.left() || answers != 0 {
				t.Errorf("closed: %v, %d refused", k.left(), answers)
			}
			continue
		}
		k.messages()
		const third = "00000000-0000-4000-8000-000000000003"
		k.send("request:a.b:1.0.0:" + third + "::20000\nx")
		n.settle()
		if count(k, `"draining"`) != 1 || one.service.outstanding.Load() != 2 || k.left() {
			t.Fatal("not refused after the grace, or closed")
		}
		n.pass(refusedTime - 1)
		if k.left() {
			t.Fatal("closed too soon")
		}
		n.pass(1)
		if answers := count(k, `"draining"`); !k.left() || answers != 2 || n.cut.Load() != 1 {
			t.Errorf("closed: %v, %d answers, cut %d", k.left(), answers, n.cut.Load())
		}
	}
}

// What has arrived of a connection and was not reported yet is answered before it is closed,
// whenever it came: within the grace as ever, afterwards as what is asked then.
func TestAskedAtTheSlot(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	k, one := n.connect(0, TransportTCP), n.worker(0, 10, "a.b")
	n.settle()
	n.Depart(Schedule{Grace: second, Rate: 1000, Time: 25 * second})
	arrives := func(topic string) {
		msg := k.frame([]byte("request:"+topic+":1.0.0:"+testRequestID+"::20000\n{}"), true)
		k.sock.arrived = append(k.sock.arrived, msg)
	}
	arrives("a.b")
	for range 3 {
		if n.settle(); one.service.outstanding.Load() != 1 || k.left() {
			t.Fatalf("%d are outstanding, closed: %v", one.service.outstanding.Load(), k.left())
		}
		arrives("system.heartbeat") // which is answered at once
		arrives("a.b")
		one.work()
	}
	if answers := len(k.messages()); answers < 5 {
		t.Errorf("%d answers", answers)
	}
	n.pass(1000) // the grace
	k.sock.arrived = k.sock.arrived[:0]
	arrives("a.b")
	one.work()
	if n.settle(); count(k, `"draining"`) != 1 {
		t.Error("what it asked after the grace was not refused")
	}
	if n.settle(); !k.left() {
		t.Error("not closed")
	}
}

// Who asks on and on is closed when the grace, and the time in which more is refused, are over.
func TestAsksOnAtTheSlot(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	k := n.connect(0, TransportTCP)
	beat := k.frame([]byte("request:system.heartbeat:1.0.0:"+testRequestID+"\n"), true)
	n.Depart(Schedule{Grace: second, Rate: 1000, Time: 25 * second})
	for ms := 0; !k.left(); ms++ {
		if ms > 1000+refusedTime+cutTime {
			t.Fatal("not closed")
		}
		k.sock.arrived = append(k.sock.arrived[:0], slices.Clone(beat))
		n.pass(1)
		k.messages()
	}
}

// So is who sends so much that there is something whenever it is looked at, of whatever kind.
func TestSendsOnAtTheSlot(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	n.endsTurn = 4 // it sends without end in each turn
	k := n.connect(0, TransportTCP)
	n.settle()
	beat := k.frame([]byte("request:system.heartbeat:1.0.0\n{}"), true)
	n.Depart(Schedule{Grace: second, Rate: 1000, Time: 25 * second})
	least := int64(1000 + refusedTime)
	ms := int64(0) // in which the loop does not come to rest
	for ; !k.left() && ms < 10_000; ms += 10 {
		for range 2 * n.endsTurn {
			k.sock.arrived = append(k.sock.arrived, slices.Clone(beat))
		}
		n.advance(10)
		n.run(0)
	}
	if ms < least || ms > least+cutTime+20 {
		t.Errorf("closed after %d ms", ms)
	}
}

// count is how many messages of those that came hold a text.
func count(k *testClient, text string) (n int) {
	for _, m := range k.messages() {
		if strings.Contains(string(m.payload), text) {
			n++
		}
	}
	return n
}

// A drain that is cancelled leaves everybody whose slot has not come; a second one tells all again.
func TestDrainCancelled(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	first, last, one := n.connect(0, TransportTCP), n.connect(1, TransportTCP), n.worker(0, 1, "a")
	if !n.Unready() || n.Unready() {
		t.Fatal("Unready")
	}
	if ready, word := n.Ready(); ready || word != "draining" {
		t.Errorf("ready %v, %s", ready, word)
	}
	s := Schedule{Spread: second, Rate: 1000, Time: 25 * second}
	n.Depart(s)
	n.settle()
	at, _ := first.toGo()
	n.pass(at)
	if !first.left() || last.left() || n.going.Load() != 2 {
		t.Fatalf("%d are to go", n.going.Load())
	}
	if !n.ReadyAgain() || n.ReadyAgain() {
		t.Fatal("ReadyAgain")
	}
	n.pass(30_000)
	if last.left() || one.left() || n.going.Load() != 0 {
		t.Errorf("%d are to go after the drain was cancelled", n.going.Load())
	}
	if ready, _ := n.Ready(); !ready {
		t.Error("not ready again")
	}
	last.messages()
	n.Depart(s)
	n.settle()
	if at, _ := last.toGo(); at < 0 {
		t.Error("not told again")
	}
	if n.pass(1000); !last.left() || !one.left() {
		t.Error("they have not gone")
	}
}

// When the time of a drain that is not the end is over, what is outstanding of those who were told
// is answered, once, and they are closed; who came later stays.
func TestDrainTimeIsOver(t *testing.T) {
	n := newTestNode(t, 1, 2, func(cfg *config.Config) { cfg.Max.OutstandingPerService = 2 })
	k, one := n.connect(0, TransportTCP), n.connect(1, TransportTCP)
	one.joins(topic.Request, topic.Options{})
	n.settle()
	asks := func(from *testClient) {
		from.send("request:a.b:1.0.0:" + testRequestID + "::20000\nx")
		n.settle()
	}
	asks(k)
	asks(k)
	if !n.Unready() {
		t.Fatal("Unready")
	}
	n.Depart(Schedule{Grace: 10 * second, Rate: 1000, Time: 25 * second})
	n.settle()
	late, two := n.connect(0, TransportWS), n.connect(0, TransportTCP)
	if asks(late); n.queued.Load() != 1 {
		t.Fatalf("%d wait", n.queued.Load())
	}
	two.joins(topic.Request, topic.Options{})
	n.settle()
	if n.queued.Load() != 0 || two.service.outstanding.Load() != 1 {
		t.Fatalf("%d wait, %d are with the service that came", n.queued.Load(),
			two.service.outstanding.Load())
	}
	for _, l := range n.loops {
		l.call((*Loop).cutTold)
	}
	n.settle()
	if answers := count(k, `"draining"`); answers != 2 || !k.left() || !one.left() {
		t.Errorf("%d answers, closed: %v and its service %v", answers, k.left(), one.left())
	}
	if late.left() || two.left() || count(late, `"draining"`) != 0 {
		t.Error("who came later is closed, or refused")
	}
	if two.work(); count(late, "x") != 0 || n.outstanding.Load() != 0 {
		t.Errorf("%d are outstanding", n.outstanding.Load())
	}
	asks(late)
	if two.service.outstanding.Load() != 1 || n.cut.Load() != 2 || n.going.Load() != 0 {
		t.Errorf("%d go on, %d were cut, %d are to go", two.service.outstanding.Load(),
			n.cut.Load(), n.going.Load())
	}
}

// Readiness alone fails for the delay when somebody has asked lately and somebody is connected: not
// longer, not when that ends, and not beyond the time.
func TestAwaitNotice(t *testing.T) {
	const delay, never = 50 * time.Millisecond, time.Hour
	for _, row := range []struct {
		name        string
		asked       time.Duration // ago
		connections int64
		delay, time time.Duration
		leaves      bool // the connection, meanwhile
		least       time.Duration
	}{
		{"it is asked", 0, 1, delay, never, false, delay},
		{"it was asked", balancerTime - second, 1, delay, never, false, delay},
		{"nobody asks", balancerTime + second, 1, never, never, false, 0},
		{"nobody is connected", 0, 0, never, never, false, 0},
		{"the last one leaves", 0, 1, never, never, true, delay},
		{"the time is over", 0, 1, never, delay, false, delay},
		{"no delay", 0, 1, 0, never, false, 0},
	} {
		n := newTestNode(t, 1, 1, nil)
		begin := time.Now()
		n.Unready()
		n.Broker.asked.Store(begin.Add(-row.asked).UnixMilli())
		n.connections.Store(row.connections)
		ctx, cancel := context.WithTimeout(t.Context(), row.time)
		if row.leaves {
			time.AfterFunc(delay, func() { n.Release(netip.Addr{}) })
		}
		n.AwaitNotice(ctx, row.delay)
		cancel()
		// A clock in whole milliseconds says when it was asked.
		if took := time.Since(begin); took < row.least-time.Millisecond || took > never/60 {
			t.Errorf("%s: waited %v, at least %v", row.name, took, row.least)
		}
	}
}
