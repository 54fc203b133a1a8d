package broker

import (
	"strings"
	"testing"

	"mbserver/server/system"
)

// What a service of another node takes requests of can be asked for, and changes with it; that it
// has gone is told, and who must be at this node is said to be elsewhere.
func TestSubscriptionsOfAnotherNode(t *testing.T) {
	m := newMesh(t, 1, 2, 2, nil)
	m.nodes[0].operators = true
	s := m.nodes[1].worker(1, 1, "r.+")
	k := m.nodes[0].operator(0, TransportTCP)
	m.settle()
	ask := func(topic string) string {
		k.messages()
		k.inquire(topic, `{"serviceId":"`+s.id.String()+`"}`)
		m.settle()
		return strings.Join(k.payloads("response:"+topic), " ")
	}
	list := func(topics ...string) string {
		text := `{"status":"success","nodeId":"` + m.nodes[1].id.String() +
			`","partial":true,"subscriptions":[`
		for i, one := range topics {
			if i > 0 {
				text += ","
			}
			text += `{"action":"request","topic":"` + one + `","priority":0}`
		}
		return text + `]}`
	}
	const of = "system.service.subscriptions"
	if got, want := ask(of), list("r.+"); got != want {
		t.Errorf("it says %s, not %s", got, want)
	}
	s.inquire("system.topic.subscribe", `{"action":"request","topic":"a.b"}`)
	s.inquire("system.topic.subscribe", `{"action":"publish","topic":"c.d"}`)
	m.settle()
	if got, want := ask(of), list("a.b", "r.+"); got != want {
		t.Errorf("it says %s, not %s", got, want)
	}
	s.inquire("system.topic.unsubscribe", `{"action":"request","topic":"r.+"}`)
	m.settle()
	if got, want := ask(of), list("a.b"); got != want {
		t.Errorf("it says %s, not %s", got, want)
	}
	if got := ask("system.connection.kick"); !strings.Contains(got, "another node") ||
		!strings.Contains(got, m.nodes[1].id.String()) {
		t.Errorf("to one that is to be kicked it says %s", got)
	}
	s.hangUp(true)
	m.settle()
	if got := ask(of); !strings.Contains(got, `"reason":"unknown"`) ||
		strings.Contains(got, "nodeId") {
		t.Errorf("of one that has gone it says %s", got)
	}
}

// Words of how much a service has to do that are lost are said once more when their node hears that
// some were: to the one that missed them, of all services.
func TestMissedLoads(t *testing.T) {
	m := newMesh(t, 1, 3, 2, nil)
	s := m.nodes[1].worker(1, 9, "r.+")
	k := m.nodes[1].connect(0, TransportTCP)
	m.settle()
	known := func(at int) (outstanding int) {
		m.nodes[at].ServicesAbroad(func(one *system.Service) {
			if one.ID == s.id {
				outstanding = one.Outstanding
			}
		})
		return outstanding
	}
	m.lose = func(from, to int, word string) bool { return to == 0 && word == "load" }
	for range 3 {
		k.call("q")
	}
	m.pass(againTime + 10*loadPace) // said, and said again
	if at0, at2 := known(0), known(2); at0 != 0 || at2 != 3 {
		t.Fatalf("they know of %d and %d requests", at0, at2)
	}
	m.lose = nil
	m.pass(againTime)
	before := m.said["load"]
	if known(0) != 0 {
		t.Fatal("it is said without being asked for")
	}
	m.nodes[1].in.Missed(0)
	m.pass(2 * loadPace)
	if got := known(0); got != 3 {
		t.Errorf("it knows of %d requests", got)
	}
	if said := m.said["load"] - before; said != 1 {
		t.Errorf("%d words for one who missed them", said)
	}
}
