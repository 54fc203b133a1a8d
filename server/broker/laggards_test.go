package broker

import (
	"net/netip"
	"strings"
	"testing"

	"mbserver/server/config"
)

// behind makes a connection hold about so many bytes of a message that does not end.
func (n *testNode) behind(loop, bytes int) *testClient {
	k := n.connect(loop, TransportTCP)
	n.settle()
	frame := k.frame([]byte(strings.Repeat("b", bytes+1)), false)
	k.arrive(frame[:len(frame)-1])
	n.settle()
	return k
}

// passMemory sets the budget so that one byte more is too much.
func (n *testNode) passMemory() {
	n.budget.high, n.budget.spare = n.charged(), 0
	n.budget.low = n.budget.high * budgetLow / budgetHigh
}

// The largest laggards go first, on whichever loop they are, and small ones when nobody else is
// left; of the same size those that have stood longest. Who holds nothing stays.
func TestShedOrder(t *testing.T) {
	n := newTestNode(t, 1, 2, func(c *config.Config) { c.Message.PayloadMaxLength = 1 << 20 })
	innocent := n.connect(0, TransportWS)
	var small, large []*testClient
	for i := range 20 {
		small = append(small, n.behind(i%2, 1000))
	}
	n.pass(freshMs)
	for i := range 4 {
		large = append(large, n.behind(i%2, 500_000))
	}
	n.passMemory()
	n.behind(1, 3000)
	cut := 0
	for _, k := range large {
		if k.state == stateGone {
			cut++
		}
	}
	if cut != 1 {
		t.Errorf("%d large laggards were cut, one is enough", cut)
	}
	for i, k := range small {
		if k.state == stateGone {
			t.Errorf("small laggard %d was cut while larger ones stood", i)
		}
	}
	n.budget.high, n.budget.low = 0, 0
	n.behind(0, 3000)
	for _, k := range append(large, small...) {
		if k.state != stateGone {
			t.Fatalf("a laggard of %d bytes stands", k.charge())
		}
	}
	if innocent.state != stateOpen {
		t.Error("who holds nothing was cut")
	}
}

// A reader that is behind goes after those of its size that do not read, and so does who has just
// come; a loop cuts so many in a turn and not more.
func TestShedSparesReaders(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	const stuck = 3 * shedTurn
	for range stuck {
		n.behind(0, 8000)
	}
	reader, publisher := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	reader.send("request:system.topic.subscribe:1.0.0\n" + `{"action":"publish","topic":"a"}`)
	n.settle()
	n.pass(freshMs)
	reader.sock.unlimited, reader.sock.budget = false, 0
	for range 4 {
		publisher.send("publish:a:1.0.0\n" + strings.Repeat("p", 12_000))
	}
	n.settle()
	reader.unblock(100, false)
	n.settle()
	n.passMemory()
	n.behind(0, 100)
	for turns := 0; n.budget.cutting.Load(); turns++ {
		if shed := int(n.budget.shed.Load()); shed > (turns+1)*shedTurn {
			t.Errorf("%d were cut in %d turns", shed, turns+1)
		}
		n.settle()
	}
	if reader.state != stateOpen {
		t.Error("the reader was cut")
	}
	if shed := n.budget.shed.Load(); shed == 0 || shed >= stuck {
		t.Errorf("%d of %d were cut", shed, stuck)
	}
}

// Nobody is cut for what others hold: requests that wait, and connections themselves.
func TestShedLeavesRoom(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	n.budget.set(1 << 20)
	n.Arriving.Add(600 << 10)
	k := n.behind(0, 10_000)
	if k.state != stateOpen {
		t.Error("it was cut for what others hold")
	}
	if !n.crowded() || n.Admit(netip.Addr{}) != "memory" {
		t.Error("newcomers are let in")
	}
	n.Arriving.Add(-600 << 10)
	if why := n.Admit(netip.Addr{}); why != "" {
		t.Errorf("a newcomer is refused for %s", why)
	}
}

// A list that somebody is reading does not weigh on its reader, only on who does not read it.
func TestListsWeighOnWhoDoesNotRead(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	l := n.loops[0]
	reader, idle := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	const paid = 1 << 20
	l.charge += l.laggards.note(reader.Conn, 100, paid, l.time.Ms)
	l.charge += l.laggards.note(idle.Conn, 5000, 0, l.time.Ms)
	if l.laggards.first() != idle.Conn {
		t.Error("the reader of a long list goes first")
	}
	l.laggards.promote(l.time.Ms + freshMs)
	if l.laggards.first() != reader.Conn {
		t.Error("who keeps a long list and does not read it does not go first")
	}
}

// The largest laggard is found again when the largest so far has less: snapshots count, which one
// that is fresh is not weighed by.
func TestMostCountsSnapshots(t *testing.T) {
	for name, settled := range map[string]bool{"fresh": false, "settled": true} {
		s := new(laggards)
		first, small, reader := new(Conn), new(Conn), new(Conn)
		s.note(first, 40_000, 0, 0)
		s.note(small, 9000, 0, 0)
		s.note(reader, 5000, 8000, 0)
		if settled {
			s.promote(freshMs)
		}
		s.note(first, 0, 0, freshMs)
		if most := s.most(); most != 13_000 {
			t.Errorf("%s: the largest holds %d bytes, want 13000", name, most)
		}
	}
}
