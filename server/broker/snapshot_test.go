package broker

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"mbserver/codec"
	"mbserver/server/config"
)

// slowly has everything that is composed beside the loops take that long.
func (n *testNode) slowly(took time.Duration) {
	calls := 0
	n.background.now = func() time.Time {
		calls++
		return time.UnixMilli(testEpoch + n.ms).Add(time.Duration(calls) * took)
	}
}

// inquire sends a request to the node.
func (k *testClient) inquire(topic, payload string) {
	k.send("request:" + topic + ":1.0.0:" + testRequestID + "\n" + payload)
}

// answers settles the node and returns the payloads of the answers that the client has got.
func (k *testClient) answers() (all []string) {
	k.node.t.Helper()
	k.node.settle()
	for _, m := range k.messages() {
		if string(m.RequestID) == testRequestID {
			all = append(all, string(m.payload))
		}
	}
	return all
}

// answer is answers where there is one.
func (k *testClient) answer() string {
	k.node.t.Helper()
	all := k.answers()
	if len(all) != 1 {
		k.node.t.Fatalf("%d answers: %q", len(all), all)
	}
	return all[0]
}

// reason is that of an error, "success" where there is none.
func reasonOf(payload string) string {
	var e struct {
		Status string
		Error  struct {
			Code    string
			Details map[string]any
		}
	}
	if json.Unmarshal([]byte(payload), &e) != nil || e.Status != "" {
		return e.Status
	}
	reason, _ := e.Error.Details["reason"].(string)
	return strings.TrimSpace(e.Error.Code + " " + reason)
}

// One snapshot is made for all who ask within a second while nothing changes; another as soon as
// something has, and then not before the node may again.
func TestSnapshotIsShared(t *testing.T) {
	for topic, name := range map[string]string{
		"system.service.list": "other", "system.topic.list": "x.y",
		"system.topic.subscriptions": "x.y", "system.service.subscriptions": "x.y",
	} {
		t.Run(topic, func(t *testing.T) {
			n := newTestNode(t, 1, 2, nil)
			n.slowly(2 * time.Millisecond)
			a, b := n.connect(0, TransportTCP), n.connect(1, TransportWS)
			n.settle()
			payload := fmt.Sprintf(`{"serviceId":"%s"}`, b.id)
			for range 3 {
				for range 50 {
					a.inquire(topic, payload)
					b.inquire(topic, payload)
				}
				if got := len(a.answers()) + len(b.answers()); got != 100 {
					t.Fatalf("%d answers", got)
				}
			}
			if built := n.background.built.Load(); built != 1 {
				t.Fatalf("%d snapshots were made for 300 who asked", built)
			}
			b.inquire("system.topic.subscribe", `{"action":"publish","topic":"x.y"}`)
			b.inquire("system.service.register", `{"name":"other","description":"d"}`)
			if got := b.answers(); len(got) != 2 {
				t.Fatal(got)
			}
			for _, k := range []*testClient{a, b} { // each knows that it has been done
				k.inquire(topic, payload)
			}
			got := append(a.answers(), b.answers()...)
			for len(got) < 2 { // it is made when it may be
				n.advance(10)
				got = append(got, append(a.answers(), b.answers()...)...)
			}
			for _, answer := range got {
				if reasonOf(answer) != "success" || !strings.Contains(answer, `"`+name+`"`) {
					t.Errorf("%s is not in %s", name, answer)
				}
			}
			if built := n.background.built.Load(); built != 2 {
				t.Errorf("%d snapshots", built)
			}
			n.advance(1000)
			a.inquire(topic, payload)
			n.settle()
			n.advance(1000)
			if a.answers(); n.background.built.Load() != 3 {
				t.Errorf("%d snapshots after a second", n.background.built.Load())
			}
			n.settle()
			n.advance(3000)
			n.settle()
			if held := n.background.held.Load(); held != 0 || len(n.background.entries) != 0 {
				t.Errorf("%d bytes and %d entries are kept for nobody",
					held, len(n.background.entries))
			}
		})
	}
}

// The node's own numbers are those of the moment, what each service's are is shared.
func TestMetricsAreFresh(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	n.slowly(2 * time.Millisecond)
	a := n.connect(0, TransportTCP)
	for i := range 5 {
		a.send("publish:no.body:1.0.0\nx")
		a.inquire("system.metrics", `{}`)
		got := a.answers()
		for len(got) == 0 {
			n.advance(10)
			got = a.answers()
		}
		var m struct{ Metrics map[string]float64 }
		if err := json.Unmarshal([]byte(got[0]), &m); err != nil {
			t.Fatal(err)
		}
		if v := m.Metrics["router.publish.count"]; v != float64(i+1) {
			t.Errorf("%v publishes, want %d", v, i+1)
		}
		if _, ok := m.Metrics["registry.service.{serviceid:"+a.id.String()+"}.uptime"]; !ok {
			t.Error("the service is missing")
		}
	}
	if built := n.background.built.Load(); built != 1 {
		t.Errorf("%d snapshots of the services", built)
	}
}

// Nothing is made for those who have left, and nobody waits beyond a bound.
func TestSnapshotWaiting(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	a, b := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	n.settle()
	a.messages()
	for range questionsPerService + 3 {
		a.inquire("system.service.list", "{}")
	}
	for range jobsPerService + 2 {
		b.inquire("system.log.subscribe", `{"regex":"a"}`)
	}
	n.run(0)
	busy := 0
	for _, k := range []*testClient{a, b} {
		for _, m := range k.messages() {
			if reasonOf(string(m.payload)) == "SERVICE_UNAVAILABLE busy" {
				busy++
			}
		}
	}
	if busy != 5 {
		t.Errorf("%d were refused", busy)
	}
	a.hangUp(true)
	b.hangUp(true)
	n.settle()
	if built := n.background.built.Load(); built != 0 || n.background.asked != 0 {
		t.Errorf("%d snapshots for who has left, %d wait", built, n.background.asked)
	}
}

// A reader that takes its time with several large answers is not cut, nor does it lose what it is
// subscribed to; the node holds each snapshot once; what it is written at once is bounded.
func TestLargeAnswers(t *testing.T) {
	for _, tr := range []Transport{TransportTCP, TransportWS} {
		n := newTestNode(t, 1, 1, func(cfg *config.Config) {
			cfg.Connection.OutboundBytes = 64 << 10
		})
		n.slowly(2 * time.Millisecond)
		description := strings.Repeat("d", 1000)
		for i := range 1500 {
			k := n.connect(0, TransportTCP)
			k.inquire("system.service.register",
				fmt.Sprintf(`{"name":"s%d","description":%q}`, i, description))
		}
		a, p := n.connect(0, tr), n.connect(0, tr)
		if a.in = codec.NewTCPDecoder(8 << 20); tr == TransportWS {
			a.in = codec.NewWSDecoder(8<<20, true)
		}
		a.inquire("system.topic.subscribe", `{"action":"publish","topic":"a.b"}`)
		n.settle()
		a.messages()
		a.sock.unlimited, a.sock.budget = false, 4<<20
		for range 3 {
			a.inquire("system.service.list", "{}")
		}
		n.settle()
		before := len(a.sock.out)
		if before == 0 || before > 3*pieceMax {
			t.Fatalf("%s: %d bytes were written in a turn", tr, before)
		}
		for range 20 {
			p.send("publish:a.b:1.0.0\nx")
		}
		n.settle()
		if held := n.background.held.Load(); held < 1500*1000 || held > 2*1500*1300 {
			t.Errorf("%s: %d bytes are charged for one snapshot", tr, held)
		}
		if a.charge() > 64<<10 {
			t.Errorf("%s: the reader is charged %d bytes", tr, a.charge())
		}
		answers, published := 0, 0
		for turns := 0; answers < 3 || published < 20; turns++ {
			if turns > 100 {
				t.Fatalf("%s: %d answers, %d publishes", tr, answers, published)
			}
			was := len(a.sock.out)
			a.unblock(1<<20, false)
			n.settle()
			if n := len(a.sock.out) - was; n > 2*pieceMax {
				t.Fatalf("%s: %d bytes were written in a turn", tr, n)
			}
			for _, m := range a.messages() {
				switch {
				case string(m.Topic) == "a.b":
					published++
				case reasonOf(string(m.payload)) == "success":
					answers++
				}
			}
		}
		if a.state != stateOpen {
			t.Errorf("%s: the reader was cut", tr)
		}
		if built := n.background.built.Load(); built != 1 {
			t.Errorf("%s: %d snapshots", tr, built)
		}
	}
}

// A newer filter of the log overtakes one whose expression is still compiled.
func TestLogFilterOrder(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	a := n.connect(0, TransportTCP)
	a.inquire("system.log.subscribe", `{"levels":["debug"],"regex":"slow"}`)
	a.inquire("system.log.unsubscribe", `{}`)
	if got := a.answers(); len(got) != 2 {
		t.Fatal(got)
	}
	if to := n.logStream.Listeners(-4); len(to) != 0 || a.subs.charged() != 0 {
		t.Errorf("%d listen, %d bytes are charged", len(to), a.subs.charged())
	}
	a.inquire("system.log.subscribe", `{"levels":["debug"],"regex":"[a-z]+"}`)
	if got := a.answer(); reasonOf(got) != "success" || a.subs.charged() < 500 {
		t.Errorf("%s, %d bytes are charged", got, a.subs.charged())
	}
	a.inquire("system.log.subscribe", `{"regex":"("}`)
	if got := a.answer(); reasonOf(got) != "INVALID_REQUEST" {
		t.Error(got)
	}
	if to := n.logStream.Listeners(-4); len(to) != 1 {
		t.Error("what was refused has replaced what was there")
	}
}
