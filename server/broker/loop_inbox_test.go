package broker

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"mbserver/server/config"
)

// TestInboxAgainstModel holds an inbox against a queue: what was handed over is received in order
// and once, in parts; losses are told behind what came before them, and nothing that may be refused
// comes in between; the loop is woken whenever something waits.
func TestInboxAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newTestNode(t, 1, 2, nil)
		l, driver := n.loops[0], n.drivers[0]
		n.inboxTurn = rapid.IntRange(1, 1000).Draw(rt, "turn")
		c := n.connect(0, TransportTCP)
		n.settle()
		c.messages()
		var got, want []string
		next := 0
		rt.Repeat(map[string]func(*rapid.T){
			"hand over": func(rt *rapid.T) {
				p := n.spares.take()
				for range rapid.IntRange(1, 5).Draw(rt, "items") {
					name := fmt.Sprint("item ", next)
					next++
					p.add(itemCall).rare = &rare{call: func(*Loop) { got = append(got, name) }}
					p.size += rapid.IntRange(0, 300).Draw(rt, "size")
					want = append(want, name)
				}
				l.accept(p, nil, nil, false)
			},
			"lose": func(*rapid.T) {
				l.accept(n.spares.take(), lossesOf(c), nil, false)
			},
			"room": func(*rapid.T) { l.Writable(c.Handle()) },
			"short turn": func(*rapid.T) { // its quanta end at the first look
				n.tick = quantum
				n.run(0)
				n.tick = 0
			},
			"turn": func(*rapid.T) { n.run(0) },
			"": func(rt *rapid.T) {
				if !driver.scheduled && !l.inbox.empty() {
					rt.Fatal("something waits, and the loop sleeps")
				}
				if !slices.Equal(got, want[:len(got)]) {
					rt.Fatalf("received %q, want %q", got, want)
				}
				if l.inbox.full.Load() != (l.inbox.lost != nil) {
					rt.Fatal("an inbox is full exactly while losses wait to be taken")
				}
				if in := &l.inbox; in.empty() && (in.waiting.Load() != 0 || in.held.Load() != 0) {
					rt.Fatalf("an empty inbox is charged %d bytes", in.held.Load())
				}
			},
		})
		n.settle()
		if !slices.Equal(got, want) || !l.inbox.empty() || l.inbox.full.Load() {
			rt.Fatalf("received %q, want %q", got, want)
		}
	})
}

// Every item arrives once, each sender's in order, and the loop is woken whenever something waits
// that it does not know of.
func TestInboxOfManySenders(t *testing.T) {
	const senders, each = 4, 2000
	n := newTestNode(t, 1, 1, nil)
	l := n.loops[0]
	woken := make(chan struct{}, 1)
	l.driver = &wakingDriver{testDriver: n.drivers[0], woken: woken}
	var received [senders]int
	done := 0
	var work sync.WaitGroup
	for s := range senders {
		work.Go(func() {
			for i := range each {
				l.call(func(*Loop) {
					if received[s] != i {
						t.Errorf("sender %d: item %d after %d", s, i, received[s])
					}
					received[s]++
					done++
				})
			}
		})
	}
	for done < senders*each {
		<-woken // for ever, when a wake is lost: the test's own time ends it
		l.Run()
	}
	work.Wait()
}

// wakingDriver tells of each wish for a turn.
type wakingDriver struct {
	*testDriver
	woken chan struct{}
}

func (d *wakingDriver) Schedule() {
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

// lossesOf are one loss of k's.
func lossesOf(k *testClient) *losses {
	lost := new(losses)
	lost.add(&k.service, 1)
	return lost
}

// An inbox that was full takes publishes again though more are refused all the time: what comes
// from there on is received behind the losses before it.
func TestInboxOpensAgain(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	l, c := n.loops[0], n.connect(0, TransportTCP)
	n.settle()
	rounds, open := 0, 0
	var round func(*Loop)
	round = func(*Loop) {
		if !l.inbox.full.Load() {
			open++
		}
		if rounds++; rounds < 10 {
			p := n.spares.take()
			p.add(itemCall).rare = &rare{call: round}
			l.accept(p, lossesOf(c), nil, false) // refused while the loop receives
		}
	}
	l.call(round)
	n.settle()
	if open != rounds {
		t.Errorf("in %d of %d turns the inbox was open", open, rounds)
	}
}

// A flood does not leave its memory behind.
func TestInboxGivesBackMemory(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	l := n.loops[0]
	for range 4 * inboxKeep {
		l.call(func(*Loop) {})
	}
	n.settle()
	l.call(func(*Loop) {})
	n.settle()
	if c := max(cap(l.inbox.parcels), cap(l.inbox.taken)); c > inboxKeep {
		t.Errorf("an empty inbox keeps room for %d parcels", c)
	}
	p := n.spares.take()
	it := p.add(itemDirect)
	p.copy(it, make([]byte, 10*parcelBytes), nil)
	n.spares.give(p)
	for range 100 {
		if c := cap(n.spares.take().bytes); c > 2*n.parcelBytes {
			t.Fatalf("a parcel keeps room for %d bytes", c)
		}
	}
}

// Whoever fills the inbox of another loop is not read until that has room, and nobody else's
// publishes are refused for its sake.
func TestInboxHoldsBackWhoFillsIt(t *testing.T) {
	n := newTestNode(t, 1, 2, func(cfg *config.Config) { cfg.Message.PayloadMaxLength = 1000 })
	n.inboxBytes = 20 * (n.maxFrame + itemCharge)
	subscriber := n.subscribers(1, 1, TransportTCP, "publish", "a.b")[0]
	flooder, other := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	n.settle()
	subscriber.messages()
	message := "publish:a.b:1.0.0\n" + string(make([]byte, 1000))
	sent := 0
	for ; !flooder.sock.paused && sent < 100; sent++ {
		flooder.send(message)
		n.run(0) // the other loop does not turn
	}
	if !flooder.sock.paused || other.sock.paused {
		t.Fatalf("after %d messages: paused %v, another paused %v", sent, flooder.sock.paused,
			other.sock.paused)
	}
	if held := n.loops[1].inbox.waiting.Load(); 2*held < int64(n.inboxBytes) {
		t.Errorf("it is held back at %d bytes of %d", held, n.inboxBytes)
	}
	other.send("publish:a.b:1.0.0:" + testRequestID + "\nx")
	n.settle()
	if flooder.sock.paused || other.sock.paused {
		t.Error("there is room again, and somebody is not read")
	}
	if got := len(subscriber.messages()); got != sent+1 {
		t.Errorf("%d messages of %d", got, sent+1)
	}
	answers := other.messages()[1:] // without the greeting
	if len(answers) != 1 || string(answers[0].payload) != `{"status":"success","subscribers":1}` {
		t.Errorf("the other publisher was answered %v", answers)
	}
}

// A request that finds the inbox of its service's loop full is held back with its requester: it is
// neither refused nor lost, and those behind it come after it.
func TestInboxHoldsBackRequests(t *testing.T) {
	n := newTestNode(t, 1, 2, func(cfg *config.Config) { cfg.Message.PayloadMaxLength = 1000 })
	n.inboxBytes = 2 * (n.maxFrame + itemCharge)
	service := n.subscribers(1, 1, TransportTCP, "request", "a.b")[0]
	requester := n.connect(0, TransportTCP)
	n.settle()
	service.messages()
	requester.messages()
	const count = 50
	var in []byte
	for i := range count {
		in = append(in, requester.frame(fmt.Appendf(nil, "request:a.b:1.0.0:%s\n%d %s",
			testRequestID, i, make([]byte, 900)), false)...)
	}
	requester.arrive(in)
	n.run(0)
	if p := requester.Conn.paused; p == nil || p.rest == nil {
		t.Fatal("nothing was held back")
	}
	n.settle()
	for i, m := range service.messages() {
		if want := fmt.Sprint(i, " "); string(m.payload[:len(want)]) != want {
			t.Fatalf("request %d is %.10q", i, m.payload)
		}
	}
	got := int(service.service.outstanding.Load())
	if got != count || len(requester.messages()) != 0 {
		t.Errorf("%d requests of %d came, and the requester was told something", got, count)
	}
	if requester.sock.paused || requester.Conn.charge() != 0 {
		t.Errorf("paused %v, charged %d", requester.sock.paused, requester.Conn.charge())
	}
}

// Who sends little at a time is read although others fill an inbox, until it is nearly full; and
// when there is room again, not all of those that are not read fill it at once.
func TestInboxHoldsNobodyForOthers(t *testing.T) {
	n := newTestNode(t, 1, 2, func(cfg *config.Config) { cfg.Message.PayloadMaxLength = 1000 })
	n.subscribers(1, 1, TransportTCP, "publish", "a.b")
	message := []byte("publish:a.b:1.0.0\n" + string(make([]byte, 900)))
	n.inboxBytes = 400 * (n.maxFrame + itemCharge)
	var flooders []*testClient
	for range 3 * readOnMost {
		flooders = append(flooders, n.connect(0, TransportTCP))
	}
	other := n.connect(0, TransportTCP)
	n.settle()
	var flood []byte
	for range 2 * holdMessages {
		flood = append(flood, other.frame(message, false)...)
	}
	held := func() (count int) {
		for _, f := range flooders {
			if f.sock.paused {
				count++
			}
		}
		return count
	}
	for _, f := range flooders {
		f.arrive(flood)
		n.run(0) // the other loop does not turn
		other.arrive(other.frame(message, false))
		n.run(0)
		if other.sock.paused && !n.loops[0].fills(n.loops[1], holdAll-1) {
			t.Fatalf("who sends little is not read, with %d others", held())
		}
	}
	if count := held(); count < readOnMost+10 || !other.sock.paused {
		t.Fatalf("%d of %d are not read; the other one not = %v",
			count, len(flooders), other.sock.paused)
	}
	before := held()
	for before == held() {
		n.run(1)
		n.run(0)
	}
	if now := held(); now < before-readOnMost {
		t.Errorf("%d are read on at once", before-now)
	}
	n.settle()
	if held() > 0 || other.sock.paused {
		t.Errorf("there is room again, and %d are not read", held())
	}
}

// What waits for a socket does not wait behind what fills the inbox.
func TestWritableOvertakes(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	s := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
	other := n.subscribers(1, 1, TransportTCP, "publish", "c")[0]
	n.settle()
	s.sock.unlimited = false
	other.send("publish:a.b:1.0.0\nwaits")
	n.settle()
	if !s.out.Stalled() {
		t.Fatal("the socket has taken all")
	}
	behind := false
	n.loops[0].call(func(*Loop) { behind = s.out.Stalled() })
	s.unblock(0, true)
	n.run(0)
	if behind || s.out.Stalled() {
		t.Errorf("it was written behind what came before = %v, not at all = %v",
			behind, s.out.Stalled())
	}
}

// Word of room calls a loop whatever else waits, and is not forgotten behind word that a turn had
// no time for.
func TestWritableCallsTheLoop(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	c := n.connect(0, TransportTCP)
	n.settle()
	l, driver := n.loops[0], n.drivers[0]
	l.call(func(*Loop) {})
	driver.scheduled = false // the turn that was asked for is under way, and about to take that
	if l.Writable(c.Handle()); !driver.scheduled {
		t.Error("the loop is not called")
	}
	n.settle()
	l.Writable(c.Handle())
	driver.scheduled = false // as above
	l.call(func(*Loop) {})
	if !driver.scheduled {
		t.Error("word of room keeps the loop from being called")
	}
	n.settle()
	slot, gen := c.Handle()
	l.inbox.takenRoom, l.inbox.nextRoom = []handle{{slot, gen}}, 0
	l.Writable(slot, gen)
	n.run(0)
	if !driver.scheduled && !l.inbox.empty() {
		t.Error("word that came behind what was left over is forgotten")
	}
}

// However much is handed over at a time, what waits is charged what it holds, and arrives in order;
// small parcels are joined, so that this is no more than a few times what is in them.
func TestInboxChargesWhatItHolds(t *testing.T) {
	for _, size := range []int{1, 3000} { // bytes; parcels of little, and of just too much to join
		n := newTestNode(t, 1, 2, nil)
		subscriber := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
		publisher := n.connect(1, TransportTCP)
		n.settle()
		subscriber.messages()
		l, count, sent := n.loops[0], 0, 0
		each := 1
		if size > 1 {
			each = n.parcelBytes/4/size + 1
		}
		for ; l.inbox.held.Load() < 4*int64(n.parcelBytes); count++ {
			n.loops[1].parcels[0].parcel = &parcel{
				bytes: make([]byte, 0, n.parcelBytes), items: make([]item, 0, n.parcelItems),
			}
			n.loops[1].carried++
			for range each {
				publisher.send(fmt.Sprintf("publish:a.b:1.0.0\n%0*d", size, sent))
				sent++
			}
			n.run(1) // the other loop does not turn
		}
		room, filled := 0, 0
		for _, p := range l.inbox.parcels {
			room, filled = room+p.room(), filled+p.size
		}
		if held := int(l.inbox.held.Load()); held != room || n.charged() < int64(room) {
			t.Errorf("%d parcels with room for %d bytes are charged %d", len(l.inbox.parcels),
				room, held)
		}
		if size == 1 && len(l.inbox.parcels) > 1 && room > 4*filled {
			t.Errorf("%d small parcels with room for %d bytes have %d", len(l.inbox.parcels), room,
				filled)
		}
		n.settle()
		for i, m := range subscriber.messages() {
			if string(m.payload) != fmt.Sprintf("%0*d", size, i) {
				t.Fatalf("message %d is %s", i, m.payload)
			}
			sent--
		}
		if sent != 0 {
			t.Errorf("%d messages are missing", sent)
		}
	}
}

// A parcel that was taken from those to be filled again is theirs no more: one that does not come
// back is not kept.
func TestSparesKeepNothingThatTheyGave(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	var lent []*parcel
	for range 64 {
		lent = append(lent, &parcel{bytes: make([]byte, 0, 16)})
	}
	for _, p := range lent {
		n.spares.give(p)
	}
	for range lent {
		n.spares.take()
	}
	for i, p := range n.spares.list[:cap(n.spares.list)] {
		if p != nil {
			t.Fatalf("of none that are left the list refers to number %d", i)
		}
	}
}
