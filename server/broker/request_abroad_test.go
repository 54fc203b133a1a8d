package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mbserver/codec"
	"mbserver/server/config"
	"mbserver/server/metrics"
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

var _ = config.Default
