package blackbox

import (
	"fmt"
	"strings"
	"testing"
)

// Lists cover all nodes, and say which one; or the one that answers, when that is asked.
func TestS12_ListsCoverAllNodes(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, startNATS(t), "a", "b")
	here, there := nodes[0].dial(t, overTCP), nodes[1].dial(t, overWS)
	there.ok("system.service.register", `{"name":"far","description":"d","maxConcurrent":2}`)
	there.subscribe("request", "ask.far")
	there.subscribe("publish", "news")
	here.subscribe("request", "ask.near")
	ids := []any{here.initial["nodeId"], there.initial["nodeId"]}
	services := func(payload string) (got []string) {
		for _, s := range items(t, here.ok("system.service.list", payload), "services") {
			_, seen := s["lastHeartbeat"]
			_, queued := s["queued"]
			got = append(got, spaced(s["id"] == here.id, s["id"] == there.id, s["name"],
				s["nodeId"] == ids[0], s["nodeId"] == ids[1], seen, queued))
		}
		return got
	}
	const near, far = "true false  true false true true", "false true far false true false false"
	eventually(t, "the services of both are listed", func() bool {
		return strings.Join(services(""), ", ") == near+", "+far
	})
	if got := strings.Join(services(`{"scope":"node"}`), ", "); got != near {
		t.Errorf("services of the node: %s", got)
	}
	subscriptions := func(payload string) (got []string) {
		all := items(t, here.ok("system.topic.subscriptions", payload), "subscriptions")
		for _, s := range all {
			for _, one := range items(t, s, "subscribers") {
				got = append(got, spaced(s["topic"], one["serviceId"] == here.id,
					one["serviceId"] == there.id, one["serviceId"] == nil,
					one["nodeId"] == ids[0], one["nodeId"] == ids[1]))
			}
		}
		return got
	}
	const all = "ask.far false true false false true, ask.near true false false true false, " +
		"news false false true false true"
	eventually(t, "the subscriptions of both are listed", func() bool {
		return strings.Join(subscriptions(`{"scope":"cluster"}`), ", ") == all
	})
	if got := strings.Join(subscriptions(`{"scope":"node"}`), ", "); got !=
		"ask.near true false false true false" {
		t.Errorf("subscriptions of the node: %s", got)
	}
	of := func(id string) string {
		return string(here.call("system.service.subscriptions", `{"serviceId":"`+id+`"}`).Payload)
	}
	for id, want := range map[string]string{
		there.id: fmt.Sprintf(`{"status":"success","nodeId":%q,"partial":true,"subscriptions":`+
			`[{"action":"request","topic":"ask.far","priority":0}]}`, ids[1]),
		here.id: fmt.Sprintf(`{"status":"success","nodeId":%q,"subscriptions":`+
			`[{"action":"request","topic":"ask.near","priority":0}]}`, ids[0]),
	} {
		if got := of(id); got != want {
			t.Errorf("its subscriptions: %s", got)
		}
	}
	_, page := nodes[0].probe("/topicz?pattern=news")
	if !strings.Contains(page, fmt.Sprintf(`{"nodeId":%q}`, ids[1])) {
		t.Errorf("/topicz says %s", page)
	}
	for _, topic := range []string{"system.service.list", "system.topic.subscriptions"} {
		answer := here.call(topic, `{"scope":"world"}`)
		if !strings.Contains(string(answer.Payload), `"INVALID_REQUEST"`) {
			t.Errorf("%s of a scope that is none: %s", topic, answer.Payload)
		}
	}
}

// spaced is what Sprintln prints, without its newline.
func spaced(values ...any) string { return strings.TrimSuffix(fmt.Sprintln(values...), "\n") }
