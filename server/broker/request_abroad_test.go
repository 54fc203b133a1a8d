package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/server/metrics"
	"mbserver/server/system"
)

// answerAll answers the requests that k was given, and returns them.
func (k *testClient) answerAll(payload string) (got []testMessage) {
	for _, m := range k.messages() {
		if m.Action == codec.Request && string(m.Topic[:1]) != "s" {
			got = append(got, m)
			k.send("response:" + string(m.Topic) + ":1.0.0:" + string(m.RequestID) + "\n" + payload)
		}
	}
	return got
}

// call asks on r.x, with an ID and ten seconds of time.
func (k *testClient) call(payload string) {
	k.send("request:r.X:2.0.1:" + someID + "::10000\n" + payload)
}

// asksFor has a client ask, and returns the answers it then has.
func (m *mesh) answers(k *testClient) []string {
	m.settle()
	return k.payloads("response:r.X:2.0.1:" + someID)
}

// A request goes to a service of another node, as it would to one of its own, and its answer comes
// back, whatever the loops.
func TestRequestAbroad(t *testing.T) {
	for _, tr := range []Transport{TransportTCP, TransportWS} {
		for loop := range 3 {
			m := newMesh(t, 1, 2, 3, nil)
			s := m.nodes[1].subscribers(1, 1, tr, "request", "r.+")[0]
			k := m.nodes[0].connect(loop, tr)
			m.settle()
			k.messages()
			s.messages()
			k.call("q")
			m.settle()
			got := s.answerAll("a")
			if len(got) != 1 || string(got[0].payload) != "q" || string(got[0].Topic) != "r.X" ||
				string(got[0].Version) != "2.0.1" || string(got[0].RequestID) == someID {
				t.Fatalf("the service got %v", got)
			}
			if got := m.answers(k); !slices.Equal(got, []string{"a"}) {
				t.Fatalf("answered %q", got)
			}
			s.send("response:r.X:1.0.0:" + string(got[0].RequestID) + "\nagain")
			m.settle()
			if got := s.payloads("response:"); len(got) != 1 ||
				!strings.Contains(got[0], "INVALID_REQUEST_ID") {
				t.Errorf("answered twice: %q", got)
			}
			m.pass(20)
			m.empty()
			if a, b := m.nodes[0].count(metrics.RequestsAcross),
				m.nodes[1].count(metrics.RequestsForeign); a != 1 || b != 1 {
				t.Errorf("%d went, %d came", a, b)
			}
		}
	}
}

// What has no ID is delivered, its answer dropped unless it says error.
func TestRequestAbroadWithoutID(t *testing.T) {
	m := newMesh(t, 1, 2, 1, nil)
	s := m.nodes[1].subscribers(1, 0, TransportTCP, "request", "r.x")[0]
	k := m.nodes[0].connect(0, TransportTCP)
	m.settle()
	k.messages()
	for _, answer := range []string{"fine", "error: no"} {
		k.send("request:r.x:1.0.0\nq")
		m.settle()
		if got := s.answerAll(answer); len(got) != 1 {
			t.Fatalf("the service got %v", got)
		}
		m.settle()
	}
	if got := k.payloads("response:"); !slices.Equal(got, []string{"error: no"}) {
		t.Errorf("got %q", got)
	}
	m.pass(20)
	m.empty()
}

// The deadline is the origin's, and what its time has run out for is not delivered, nor its answer.
func TestTimeoutAbroad(t *testing.T) {
	m := newMesh(t, 1, 2, 2, nil)
	s := m.nodes[1].subscribers(1, 1, TransportTCP, "request", "r.x")[0]
	k := m.nodes[0].connect(0, TransportTCP)
	m.settle()
	k.messages()
	k.call("1")
	m.settle()
	got := s.messages()
	s.sock.unlimited = false
	k.call("2")
	m.settle()
	m.pass(10_001)
	answers := m.answers(k)
	if len(answers) != 2 {
		t.Fatalf("answered %q", answers)
	}
	for _, a := range answers {
		if !strings.Contains(a, "TIMEOUT") ||
			!strings.Contains(a, `"targetServiceId":"`+s.id.String()) {
			t.Errorf("answered %q", a)
		}
	}
	m.empty()
	last := got[len(got)-1]
	s.send("response:r.X:1.0.0:" + string(last.RequestID) + "\nlate")
	s.unblock(0, true)
	m.settle()
	for _, one := range s.messages() {
		if one.Action == codec.Request && string(one.payload) == "2" {
			t.Error("delivered after its end")
		}
	}
	if got := m.answers(k); len(got) != 0 {
		t.Errorf("answered %q", got)
	}
}

// A service that leaves fails what it has, at the origin, at once; what waits has no route.
func TestServiceLeavesAbroad(t *testing.T) {
	m := newMesh(t, 1, 2, 2, nil)
	s := m.nodes[1].worker(1, 1, "r.x")
	k := m.nodes[0].connect(0, TransportTCP)
	m.settle()
	k.messages()
	k.call("1")
	m.settle()
	k.call("2")
	m.settle()
	if m.nodes[0].queued.Load() != 1 {
		t.Fatalf("%d wait", m.nodes[0].queued.Load())
	}
	s.hangUp(true)
	s.sock.closed = true
	got := m.answers(k)
	if len(got) != 2 || !strings.Contains(got[0]+got[1], `"reason":"disconnected"`) ||
		!strings.Contains(got[0]+got[1], "NO_ROUTE_FOUND") ||
		!strings.Contains(got[0]+got[1], `"targetServiceId":"`+s.id.String()) {
		t.Errorf("answered %q", got)
	}
	m.pass(20)
	m.empty()
}

// A node that is gone fails what it has, and nothing else; what it had asked is not delivered any
// more.
func TestNodeLost(t *testing.T) {
	m := newMesh(t, 1, 3, 2, nil)
	a := m.nodes[1].worker(0, 3, "r.x")
	b := m.nodes[2].worker(1, 3, "r.x")
	k := m.nodes[0].connect(0, TransportTCP)
	m.settle()
	k.messages()
	for i := range 10 {
		k.call(fmt.Sprint(i))
		m.settle()
	}
	if m.nodes[0].queued.Load() != 4 {
		t.Fatalf("%d wait", m.nodes[0].queued.Load())
	}
	m.kill(m.nodes[1])
	m.notice(m.nodes[1])
	got := m.answers(k)
	if len(got) != 3 {
		t.Fatalf("answered %q", got)
	}
	for _, one := range got {
		if !strings.Contains(one, `"reason":"node_lost"`) ||
			!strings.Contains(one, `"targetServiceId":"`+a.id.String()) {
			t.Errorf("answered %q", one)
		}
	}
	for range 3 {
		b.answerAll("a")
		m.settle()
	}
	if got := m.answers(k); len(got) != 7 {
		t.Errorf("answered %q", got)
	}
	m.pass(60)
	m.empty()
	if got := m.nodes[0].count(metrics.RequestsNodeLost); got != 3 {
		t.Errorf("%d counted", got)
	}
}

// A node that asks and is gone leaves nothing behind, and its answers go nowhere.
func TestOriginLost(t *testing.T) {
	m := newMesh(t, 1, 2, 2, nil)
	s := m.nodes[1].worker(0, 2, "r.x")
	k := m.nodes[0].connect(0, TransportTCP)
	m.settle()
	for range 4 {
		k.call("q")
		m.settle()
	}
	got := s.messages()
	m.kill(m.nodes[0])
	m.notice(m.nodes[0])
	m.settle()
	m.empty()
	s.send("response:r.X:1.0.0:" + string(got[0].RequestID) + "\na")
	m.settle()
	m.pass(300)
	m.empty()
}

// A service has no more requests than it may, whoever asks, and everybody who waits has a turn.
func TestCapacityAcross(t *testing.T) {
	for seed := range uint64(10) {
		m := newMesh(t, seed, 3, 2, nil)
		s := m.nodes[2].worker(1, 1, "r.x")
		var ks []*testClient
		for i := range 16 {
			ks = append(ks, m.nodes[i%3].connect(i/3%2, TransportTCP))
		}
		m.settle()
		served := make(map[*testClient]int)
		for _, k := range ks {
			k.messages()
			k.call("q")
		}
		const rounds = 320
		idle := 0
		for range rounds {
			m.settle()
			n := len(s.answerAll("a"))
			if n > 1 {
				t.Fatalf("%d requests at a time", n)
			}
			if n == 0 {
				idle++
				m.pass(1)
			}
			for _, k := range ks {
				if got := m.answers(k); len(got) > 0 {
					if got[0] != "a" || len(got) > 1 {
						t.Fatalf("answered %q", got)
					}
					served[k]++
					k.call("q")
				}
			}
		}
		least, most := rounds, 0
		for _, k := range ks {
			least, most = min(least, served[k]), max(most, served[k])
		}
		if least < most/2-2 || idle > rounds/20 {
			t.Errorf("seed %d: served between %d and %d times, idle %d of %d", seed, least, most,
				idle, rounds)
		}
		t.Logf("seed %d: %d to %d, idle %d, %v", seed, least, most, idle, m.said)
	}
}

// drained has a node begin to leave: its connections are told to go, all at once.
func (n *meshNode) drained() {
	n.Unready()
	n.Depart(Schedule{Rate: 1000, Grace: time.Minute, Time: time.Minute})
}

// Services of a node that is drained are chosen last, and go when others do what they do, though
// clients stand.
func TestDrainAcross(t *testing.T) {
	m := newMesh(t, 1, 3, 1, nil)
	a, b := m.nodes[1].worker(0, 1, "r.x"), m.nodes[2].worker(0, 1, "r.x")
	k := m.nodes[0].connect(0, TransportTCP)
	stands := m.nodes[1].connect(0, TransportTCP)
	stands.call("owed") // which keeps it
	m.settle()
	m.pass(10)
	if got := append(a.messages(), b.messages()...); len(got) != 1 {
		t.Fatalf("got %v", got)
	}
	m.nodes[1].Unready()
	m.settle()
	m.pass(10)
	for _, s := range []*testClient{a, b} {
		if e := s.openEntry(); e != nil {
			s.arrive(appendAnswer(nil, e))
		}
	}
	m.settle()
	m.pass(10)
	k.messages()
	for i := range 2 {
		k.call(fmt.Sprint(i))
		m.settle()
	}
	if got := b.messages(); len(got) != 1 || string(got[0].payload) != "0" {
		t.Errorf("the one that stays got %v", got)
	}
	if got := a.messages(); len(got) != 1 || string(got[0].payload) != "1" {
		t.Errorf("the one that goes got %v", got)
	}
	m.nodes[1].Depart(Schedule{Rate: 1000, Grace: time.Minute, Time: time.Minute})
	m.settle()
	m.pass(10)
	if a.Conn.state != stateOpen {
		t.Fatal("it has gone with what it has to answer")
	}
	a.arrive(appendAnswer(nil, a.openEntry()))
	m.settle()
	m.pass(10)
	if a.Conn.state == stateOpen {
		t.Error("it stays, though others do what it does")
	}
}

// A service that is the only one for a pattern is held while clients stand, until another node has
// one.
func TestHeldUntilServedElsewhere(t *testing.T) {
	m := newMesh(t, 1, 2, 1, nil)
	a := m.nodes[0].worker(0, 1, "r.x", "r.y")
	b := m.nodes[1].worker(0, 1, "r.x")
	s := m.nodes[0].subscribers(1, 0, TransportTCP, "publish", "p")[0]
	s.sock.unlimited = false
	m.nodes[1].connect(0, TransportTCP).send("publish:p:1.0.0\nwhat keeps it")
	m.settle()
	s.send("request:r.none:1.0.0:" + someID + "\n")
	m.nodes[0].drained()
	m.settle()
	m.pass(20)
	if a.Conn.state != stateOpen || !a.marked(markHeld) {
		t.Fatalf("state %d, marks %x", a.Conn.state, a.marks.Load())
	}
	b.send("request:system.topic.subscribe:1.0.0\n" + `{"action":"request","topic":"r.y"}`)
	m.settle()
	m.pass(20)
	if a.Conn.state == stateOpen {
		t.Error("it is held")
	}
}

// What a service had no room for goes to another one, twice; then it waits for those that may have
// room, none of which is asked again before it has said that it has.
func TestBusyAbroad(t *testing.T) {
	m := newMesh(t, 1, 6, 1, nil)
	var services []*testClient
	for i := range 5 {
		services = append(services, m.nodes[1+i].worker(0, 1, "r.x"))
	}
	m.settle()
	m.lose = func(_, _ int, kind string) bool { return kind == "load" } // nobody knows
	for i := range services {
		services[i].service.take()
	}
	k := m.nodes[0].connect(0, TransportTCP)
	k.messages()
	m.said = make(map[string]int)
	k.call("q")
	m.settle()
	if m.said["ask"] != 5 || m.said["busy"] != 5 || m.nodes[0].queued.Load() != 1 {
		t.Errorf("%v, %d wait", m.said, m.nodes[0].queued.Load())
	}
	m.lose = nil
	services[3].loop.begin()
	services[3].loop.freed(&services[3].service)
	m.settle()
	m.pass(waitPace + 10)
	for i, s := range services {
		if got := s.answerAll("a"); (len(got) == 1 && string(got[0].payload) == "q") != (i == 3) {
			t.Errorf("service %d got %v", i, got)
		}
	}
	if got := m.answers(k); !slices.Equal(got, []string{"a"}) {
		t.Errorf("answered %q", got)
	}
}

// A service that says that it has room behind a request that it had none for is asked again at
// once.
func TestRoomBehindBusy(t *testing.T) {
	m := newMesh(t, 1, 2, 2, nil)
	s := m.nodes[1].worker(0, 1, "r.x")
	k := m.nodes[0].connect(0, TransportTCP)
	m.settle()
	k.call("q")
	n, in := m.nodes[0], m.nodes[0].in
	n.testNode.settle()
	var ref codec.UUID
	for _, l := range n.loops {
		for _, e := range l.outstanding.slots {
			if e != nil && e.far != nil {
				ref = e.id
			}
		}
	}
	m.said = make(map[string]int)
	in.Answered(1, &abroad.Answer{Ref: ref, Outcome: abroad.Busy, Payload: []byte("q")})
	in.Loaded(1, abroad.Load{Service: s.id})
	in.Called()
	n.testNode.settle()
	if m.said["ask"] != 1 {
		t.Errorf("asked %d times", m.said["ask"])
	}
}

// What cannot be sent to any node waits, and goes when it can.
func TestAskRefused(t *testing.T) {
	m := newMesh(t, 1, 3, 2, nil)
	a, b := m.nodes[1].worker(0, 1, "r.x"), m.nodes[2].worker(0, 1, "r.x")
	k := m.nodes[0].connect(0, TransportTCP)
	m.settle()
	k.messages()
	m.nodes[0].refuses = true
	k.call("q")
	m.settle()
	if got := m.nodes[0].queued.Load(); got != 1 {
		t.Fatalf("%d wait", got)
	}
	m.nodes[0].refuses = false
	m.pass(busyRest + 10)
	if got := append(a.answerAll("a"), b.answerAll("a")...); len(got) != 1 {
		t.Errorf("given to %d", len(got))
	}
	if got := m.answers(k); !slices.Equal(got, []string{"a"}) {
		t.Errorf("answered %q", got)
	}
	m.pass(60)
	m.empty()
}

// What another node says that is not so is passed over, and costs nobody anything.
func TestHostileNode(t *testing.T) {
	m := newMesh(t, 1, 2, 2, nil)
	n := m.nodes[1]
	s := n.worker(1, 2, "r.x", "system.log")
	other := n.connect(0, TransportTCP)
	m.settle()
	s.messages()
	good := abroad.Request{
		Ref: codec.NewUUID(1, 1), Service: s.id, Left: 100, Owed: true,
		Topic: []byte("r.x"), Version: []byte("1.0.0"), Payload: []byte("q"),
	}
	for _, bad := range []func(q *abroad.Request){
		func(q *abroad.Request) { q.Topic = []byte("r.x\nevil") },
		func(q *abroad.Request) { q.Topic = []byte("r:x") },
		func(q *abroad.Request) { q.Topic = nil },
		func(q *abroad.Request) { q.Topic = []byte("r..x") },
		func(q *abroad.Request) { q.Topic = []byte(".r.x") },
		func(q *abroad.Request) { q.Topic = []byte(strings.Repeat("a", 300)) },
		func(q *abroad.Request) { q.Topic = []byte("a.b.c.d.e.f") },
		func(q *abroad.Request) { q.Topic = []byte("r.y") },
		func(q *abroad.Request) { q.Topic = []byte("system.log") },
		func(q *abroad.Request) { q.Version = []byte("1.0.0:x") },
		func(q *abroad.Request) { q.Version = nil },
		func(q *abroad.Request) { q.Version = []byte("1.0.0\n") },
		func(q *abroad.Request) { q.Version = []byte(strings.Repeat("1", 300)) },
		func(q *abroad.Request) { q.Service = other.id },
		func(q *abroad.Request) { q.Service = codec.NewUUID(5, 5) },
	} {
		q := good
		bad(&q)
		n.in.Asked(0, &q)
		n.in.Called()
		n.testNode.settle()
		if got := append(s.messages(), other.messages()...); len(got) > 0 &&
			got[0].Action == codec.Request {
			t.Errorf("%+v was delivered: %s", q, got[0].header)
		}
	}
	for _, left := range []int64{-1 << 63, -1, 0, 1 << 62} {
		q := good
		q.Left, q.Ref = left, codec.NewUUID(9, uint64(left))
		n.in.Asked(0, &q)
		n.in.Asked(0, &q) // it is the same
		n.in.Called()
		n.testNode.settle()
		if got := s.answerAll("a"); len(got) != 1 {
			t.Errorf("%d ms are left: %d", left, len(got))
		}
		n.testNode.settle()
	}
	before := n.count(metrics.AnswersUnmatched) + n.unmatched.Load()
	for i := range uint64(4) {
		n.in.Answered(0, &abroad.Answer{Ref: codec.NewUUID(i, i<<62|i), Payload: []byte("x")})
		n.in.Answered(7, &abroad.Answer{})
		n.in.Cancelled(0, codec.NewUUID(i, i))
		n.in.Loaded(0, abroad.Load{Service: s.id, Others: 1 << 30})
		n.in.Waited(0, abroad.Wait{Service: other.id, Waits: true})
		n.in.Waited(0, abroad.Wait{Service: codec.NewUUID(i, i), Waits: true})
		n.in.Called()
		n.testNode.settle()
	}
	if got := n.count(metrics.AnswersUnmatched) + n.unmatched.Load() - before; got != 8 {
		t.Errorf("%d words were counted", got)
	}
	m.pass(400)
	m.empty()
}

// The word of a request counts from the node that it was sent to, and from no other.
func TestWordOfAnotherNode(t *testing.T) {
	m := newMesh(t, 1, 3, 1, nil)
	s := m.nodes[1].worker(0, 1, "r.x")
	k := m.nodes[0].connect(0, TransportTCP)
	m.settle()
	k.messages()
	k.call("q")
	n := m.nodes[0]
	n.testNode.settle()
	for _, e := range n.loops[0].outstanding.slots {
		if e != nil && e.far != nil {
			n.in.Answered(2, &abroad.Answer{Ref: e.id, Payload: []byte("a lie")})
			n.in.Cancelled(2, e.id)
			n.in.Called()
		}
	}
	m.settle()
	s.answerAll("a")
	if got := m.answers(k); !slices.Equal(got, []string{"a"}) {
		t.Errorf("answered %q", got)
	}
	if got := n.count(metrics.AnswersUnmatched); got != 1 {
		t.Errorf("%d counted", got)
	}
}

// A subscription to requests is answered when the other nodes know of it; another priority, a
// registration and the end are told; all once each.
func TestServicesAreTold(t *testing.T) {
	m := newMesh(t, 1, 2, 2, nil)
	n := m.nodes[0]
	n.confirmed = false
	k := n.connect(1, TransportTCP)
	k.messages()
	subscribe := func(pattern string, priority int) {
		k.send("request:system.topic.subscribe:1.0.0:" + someID + "\n" +
			fmt.Sprintf(`{"action":"request","topic":%q,"priority":%d}`, pattern, priority))
		m.settle()
	}
	subscribe("r.x", 0)
	const answer = "response:system.topic.subscribe"
	if got := k.payloads(answer); len(got) != 0 || len(n.waiting) != 1 {
		t.Fatalf("answered %q", got)
	}
	n.waiting[0](0)
	n.testNode.settle()
	if got := k.payloads(answer); len(got) != 1 {
		t.Fatalf("answered %q", got)
	}
	n.confirmed = true
	subscribe("r.x", 0)
	subscribe("r.x", 5)
	subscribe("r.#", 1)
	k.send("request:system.service.register:1.0.0\n" +
		`{"name":"n","description":"d","maxConcurrent":3,"metadata":{"a":"b"}}`)
	m.settle()
	told := 0
	m.nodes[1].ServicesAbroad(func(s *system.Service) {
		told++
		p := s.Profile
		if s.Node != n.id || !s.Abroad || s.ID != k.id || p.Name != "n" || p.MaxConcurrent != 3 ||
			p.Description != "d" || string(p.Metadata) != `{"a":"b"}` || s.Transport != "tcp" ||
			s.Outstanding != 0 {
			t.Errorf("told %+v", s)
		}
	})
	cs := m.nodes[1].loops[0].candidatesOf([]byte("r.x"))
	if told != 1 || cs == nil || len(cs.all) != 1 || len(n.offers) != 2 ||
		m.nodes[1].subscriptions() != 0 {
		t.Errorf("%d told, candidates %v, offers %v", told, cs, n.offers)
	}
	k.hangUp(true)
	k.sock.closed = true
	m.settle()
	if cs := m.nodes[1].loops[0].candidatesOf([]byte("r.x")); cs != nil || len(n.offers) != 0 ||
		len(n.serves) != 0 || m.nodes[1].trie.Count() != 0 {
		t.Errorf("left behind: %v, %v, %v", cs, n.offers, n.serves)
	}
}
