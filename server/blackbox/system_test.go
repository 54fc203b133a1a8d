package blackbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// clientTopics are the system topics that take requests, with a payload that each accepts.
var clientTopics = map[string]string{
	"system.heartbeat":             `{}`,
	"system.service.register":      `{"name":"n","description":"d"}`,
	"system.service.list":          `{}`,
	"system.service.subscriptions": `{}`,
	"system.topic.subscribe":       `{"action":"publish","topic":"z.z"}`,
	"system.topic.unsubscribe":     `{"topic":"z.z"}`,
	"system.topic.list":            `{}`,
	"system.topic.subscriptions":   `{}`,
	"system.log.subscribe":         `{}`,
	"system.log.unsubscribe":       `{}`,
	"system.metrics":               `{}`,
	"system.explain":               `{"topic":"z.z"}`,
	"system.node.list":             `{}`,
}

// The action is checked before the topic is looked up and before the payload.
func TestS8_ActionFirst(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		topics := []string{
			"system.unknown", "system.log", "system.message", "system.initialize",
			"System.Nothing.At.All",
		}
		for topic := range clientTopics {
			topics = append(topics, topic)
		}
		for _, topic := range topics {
			for _, action := range []string{"publish", "response"} {
				if strings.EqualFold(topic, "system.heartbeat") && action == "response" {
					continue
				}
				c.send(action+":"+topic+":1.0.0:"+idA, "{}")
				c.expectFault("response:"+topic+":1.0.0:"+idA, "INVALID_REQUEST")
				c.send(action+":"+topic+":1.0.0", "{}")
				c.expectFault("response:"+topic+":1.0.0:*", "INVALID_REQUEST")
			}
		}
		c.none()
	})
}

func TestS8_UnknownTopic(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		for _, topic := range []string{
			"system.unknown", "System.Service", "system.service.foo",
			"system.topic.subscribe.x", "SYSTEM.a.b.c.d",
		} {
			c.send("request:"+topic+":1.0.0:"+idA, "{}")
			c.expectFault("response:"+topic+":1.0.0:"+idA, "TOPIC_NOT_SUPPORTED")
			c.send("request:"+topic+":1.0.0", "")
			c.expectFault("response:"+topic+":1.0.0:*", "TOPIC_NOT_SUPPORTED")
		}
		c.none()
	})
}

// Topic names match in any case and come back as they were spelled;
// every answer carries the status.
func TestS8_AnyCase(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		for topic, payload := range clientTopics {
			for _, spelled := range []string{topic, strings.ToUpper(topic), "S" + topic[1:]} {
				c.ok(spelled, payload)
			}
			c.send("request:"+topic+":1.0.0", payload) // without an ID the answer has a fresh one
			if m := c.expect("response:" + topic + ":1.0.0:*"); m.object(t)["status"] != "success" {
				t.Errorf("%s: %v", topic, m)
			}
		}
		c.none()
	})
}

func TestS8_HeartbeatResponse(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		for _, m := range []string{
			"response:system.heartbeat:1.0.0", "Response:SYSTEM.Heartbeat:1.0.0:" + idA,
		} {
			c.send(m, `{"status":"success"}`)
			c.send(m, "")
		}
		c.none()
		if o := c.ok("system.heartbeat", ""); len(o) != 1 {
			t.Errorf("got %v, want the status alone", o)
		}
	})
}

func TestS8_Register(t *testing.T) {
	text := func(v any) string {
		b, _ := json.Marshal(v)
		return string(b)
	}
	form := func(name, description any, extra string) string {
		return `{"name":` + text(name) + `,"description":` + text(description) + extra + `}`
	}
	good := []string{
		form("a", "b", ""),
		form(strings.Repeat("n", 36), strings.Repeat("d", 1024), ""),
		form(strings.Repeat("é", 36), strings.Repeat("日", 1024), ""), // characters, not bytes
		form("a", "b", `,"maxConcurrent":1`),
		form("a", "b", `,"maxConcurrent":100000,"metadata":{}`),
		form("a", "b", `,"metadata":{"zone":"east","version":"1.2"}`),
	}
	bad := []string{
		`{}`, `{"name":"a"}`, `{"description":"b"}`,
		form("", "b", ""), form("a", "", ""), form(nil, "b", ""), form(7, "b", ""),
		form("a", []int{}, ""), form("a", strings.Repeat("d", 1025), ""),
		form(strings.Repeat("n", 37), "b", ""), form(strings.Repeat("é", 37), "b", ""),
		form("a", "b", `,"maxConcurrent":0`), form("a", "b", `,"maxConcurrent":-1`),
		form("a", "b", `,"maxConcurrent":1.5`), form("a", "b", `,"maxConcurrent":"1"`),
		form("a", nil, ""), form("a", "b", `,"maxConcurrent":null`),
		form("a", "b", `,"metadata":null`), form("a", "b", `,"metadata":{"x":null}`),
		form("a", "b", `,"metadata":"x"`), form("a", "b", `,"metadata":["x"]`),
		form("a", "b", `,"metadata":{"x":1}`), form("a", "b", `,"metadata":{"x":{"y":"z"}}`),
		form("a", "b", `,"metadata":{"x":"`+strings.Repeat("m", 1024)+`"}`),
	}
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c, other := n.dial(t, transport), n.dial(t, transport)
		if s := other.service(c.id); s["name"] != "" || s["description"] != "" {
			t.Errorf("before registering: %v", s)
		}
		for _, payload := range good {
			c.ok("system.service.register", payload)
			var want map[string]any
			if err := json.Unmarshal([]byte(payload), &want); err != nil {
				t.Fatal(err)
			}
			s := other.service(c.id)
			if s["name"] != want["name"] || s["description"] != want["description"] {
				t.Errorf("registered %.80s, listed %v", payload, s)
			}
		}
		m, _ := other.service(c.id)["metadata"].(map[string]any)
		if m["zone"] != "east" || m["version"] != "1.2" {
			t.Errorf("metadata is %v", m)
		}
		for _, empty := range []string{"", `,"metadata":{}`} {
			c.ok("system.service.register", form("final", "state", empty))
			if m, there := other.service(c.id)["metadata"]; there {
				t.Errorf("nothing in it, yet the list has metadata %v", m)
			}
		}
		for _, payload := range bad {
			c.refused("system.service.register", payload, "INVALID_REQUEST")
		}
		if s := other.service(c.id); s["name"] != "final" || s["description"] != "state" {
			t.Errorf("a refused registration changed %v", s)
		}
	})
}

func TestS8_ServiceList(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	a, b := n.dial(t, overTCP), n.dial(t, overWS)
	b.ok("system.service.register", `{"name":"b","description":"bee"}`)
	b.subscribe("request", "list.test")
	for i := range 5 {
		a.send("request:list.test:1.0.0:"+uuid.NewString()+"::600000", fmt.Sprint(i))
	}
	for range 5 {
		b.expect("request:list.test:1.0.0:*")
	}
	if all := items(t, a.ok("system.service.list", "{}"), "services"); len(all) != 2 {
		t.Fatalf("two are connected, the list has %v", all)
	}
	for _, c := range []*client{a, b} {
		s := b.service(c.id)
		for _, key := range []string{"connectedAt", "lastHeartbeat"} {
			checkTimestamp(t, s[key])
		}
		if s["transport"] != c.transport {
			t.Errorf("transport %v, want %s", s["transport"], c.transport)
		}
		for _, key := range []string{"outstanding", "queued"} {
			if _, ok := s[key].(float64); !ok {
				t.Errorf("%s is %v", key, s[key])
			}
		}
		if s["connectedAt"].(string) > s["lastHeartbeat"].(string) {
			t.Errorf("heard of before it connected: %v", s)
		}
	}
	s := a.service(b.id)
	if s["name"] != "b" || s["description"] != "bee" || s["outstanding"] != 5.0 {
		t.Errorf("got %v", s)
	}
	last := func() string { return a.service(b.id)["lastHeartbeat"].(string) }
	before := last()
	eventually(t, "a message counts as heartbeat", func() bool {
		b.send("response:system.heartbeat:1.0.0", "")
		return last() > before
	})
	id := b.id
	_ = b.peer.Close()
	eventually(t, "the service leaves the list", func() bool { return a.service(id) == nil })
}

func TestS8_ServiceSubscriptions(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c, other := n.dial(t, transport), n.dial(t, transport)
		other.subscribe("publish", "x.Y")
		other.subscribe("both", "a.#", `,"priority":2.5`)
		other.subscribe("request", "x.y")
		other.subscribe("all", "q")
		own := items(t, c.ok("system.service.subscriptions", ""), "subscriptions")
		if len(own) != 0 {
			t.Errorf("nothing subscribed, got %v", own)
		}
		want := []string{
			"publish a.# <nil>", "publish q <nil>", "publish x.y <nil>",
			"request a.# 2.5", "request q 0", "request x.y 0",
		}
		for _, answer := range []map[string]any{
			other.ok("system.service.subscriptions", "{}"),
			c.ok("system.service.subscriptions", `{"serviceId":"`+other.id+`"}`),
			c.ok("system.service.subscriptions", `{"serviceId":"`+strings.ToUpper(other.id)+`"}`),
		} {
			var got []string
			for _, s := range items(t, answer, "subscriptions") {
				got = append(got, fmt.Sprint(s["action"], " ", s["topic"], " ", s["priority"]))
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		for _, bad := range []string{`"x"`, `""`, `7`, `"` + idA + `0"`, `{}`, `null`} {
			c.refused("system.service.subscriptions", `{"serviceId":`+bad+`}`, "INVALID_REQUEST")
		}
		nobody := `{"serviceId":"` + uuid.NewString() + `"}`
		c.refused("system.service.subscriptions", nobody, "SERVICE_UNAVAILABLE")
	})
}

func TestS8_Subscribe(t *testing.T) {
	good := []string{
		`{"action":"publish","topic":"a.b"}`,
		`{"action":"request","topic":"a.b"}`,
		`{"action":"both","topic":"a.b"}`,
		`{"action":"all","topic":"a.b"}`,
		`{"action":"request","topic":"A.+.#","priority":-1.25}`,
		`{"action":"request","topic":"a.b","priority":1e300}`,
		`{"action":"request","topic":"a.b","priority":0}`,
		`{"action":"publish","topic":"a.b","overflow":"drop"}`,
		`{"action":"publish","topic":"a.b","overflow":"drop-oldest"}`,
		`{"action":"publish","topic":"a.b","overflow":"disconnect","conflate":false}`,
		`{"action":"publish","topic":"a.b","conflate":true}`,
		`{"action":"publish","topic":"system.log"}`,
		`{"action":"publish","topic":"System.Service.REGISTER"}`,
	}
	bad := []string{
		`{}`, `{"action":"publish"}`, `{"topic":"a.b"}`,
		`{"action":"response","topic":"a.b"}`, `{"action":"","topic":"a.b"}`,
		`{"action":1,"topic":"a.b"}`, `{"action":"publish","topic":7}`,
		`{"action":"publish","topic":null}`, `{"action":["publish"],"topic":"a.b"}`,
		`{"action":null,"topic":"a.b"}`,
		`{"action":"request","topic":"a.b","priority":null}`,
		`{"action":"publish","topic":"a.b","overflow":null}`,
		`{"action":"publish","topic":"a.b","conflate":null}`,
		`{"action":"request","topic":"a.b","priority":"5"}`,
		`{"action":"request","topic":"a.b","priority":true}`,
		`{"action":"request","topic":"a.b","priority":1e999}`,
		`{"action":"request","topic":"a.b","priority":[1]}`,
		`{"action":"publish","topic":"a.b","overflow":"drop-newest"}`,
		`{"action":"publish","topic":"a.b","overflow":1}`,
		`{"action":"publish","topic":"a.b","conflate":"yes"}`,
		`{"action":"publish","topic":"a.b","conflate":1}`,
	}
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		for _, payload := range good {
			c := n.dial(t, transport)
			c.ok("system.topic.subscribe", payload)
			c.ok("system.topic.subscribe", payload) // again is no fault
			list := items(t, c.ok("system.service.subscriptions", ""), "subscriptions")
			if len(list) == 0 {
				t.Errorf("%s: not listed", payload)
			}
			_ = c.peer.Close()
		}
		c := n.dial(t, transport)
		for _, payload := range bad {
			c.refused("system.topic.subscribe", payload, "INVALID_REQUEST")
		}
		list := items(t, c.ok("system.service.subscriptions", ""), "subscriptions")
		if len(list) != 0 {
			t.Errorf("refused, yet listed: %v", list)
		}
	})
}

// Unsubscribing takes one action or both; what is not subscribed is a success.
func TestS8_Unsubscribe(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		listed := func() string {
			var got []string
			for _, s := range items(t, c.ok("system.service.subscriptions", ""), "subscriptions") {
				got = append(got, fmt.Sprint(s["action"], " ", s["topic"]))
			}
			slices.Sort(got)
			return strings.Join(got, ", ")
		}
		for _, row := range []struct{ payload, want string }{
			{`{"topic":"not.there"}`, "publish un.test, request un.test"},
			// Another pattern, though it matches.
			{`{"topic":"un.#"}`, "publish un.test, request un.test"},
			{`{"topic":"un.test","action":"publish"}`, "request un.test"},
			{`{"topic":"Un.Test","action":"request"}`, "publish un.test"},
			{`{"topic":"un.test","action":"both"}`, ""},
			{`{"topic":"un.test","action":"all"}`, ""},
			{`{"topic":"un.test"}`, ""},
		} {
			c.subscribe("both", "un.test")
			c.ok("system.topic.unsubscribe", row.payload)
			if got := listed(); got != row.want {
				t.Errorf("after %s: %q, want %q", row.payload, got, row.want)
			}
		}
		for _, bad := range []string{
			`{}`, `{"topic":1}`, `{"topic":""}`, `{"topic":"a..b"}`,
			`{"topic":"a.b","action":"none"}`, `{"topic":"a.b","action":3}`,
			`{"topic":null}`, `{"topic":"a.b","action":null}`,
		} {
			c.refused("system.topic.unsubscribe", bad, "INVALID_REQUEST")
		}
	})
}

func TestS8_TopicListAndSubscriptions(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		a, b := n.dial(t, transport), n.dial(t, transport)
		if topics, ok := a.ok("system.topic.list", "")["topics"].([]any); !ok || len(topics) != 0 {
			t.Errorf("topics of an empty node: %v", topics)
		}
		if len(items(t, a.ok("system.topic.subscriptions", ""), "subscriptions")) != 0 {
			t.Error("subscriptions of an empty node")
		}
		a.subscribe("both", "b.test", `,"priority":3`)
		b.subscribe("request", "B.test")
		b.subscribe("publish", "a.#")
		a.subscribe("publish", "A.#")
		a.subscribe("publish", "c.+")
		if got := fmt.Sprint(a.ok("system.topic.list", "")["topics"]); got != "[a.# b.test c.+]" {
			t.Errorf("topics %v", got)
		}
		var got []string
		for _, s := range items(t, a.ok("system.topic.subscriptions", ""), "subscriptions") {
			var who []string
			for _, subscriber := range items(t, s, "subscribers") {
				name := map[any]string{a.id: "a", b.id: "b"}[subscriber["serviceId"]]
				who = append(who, fmt.Sprint(name, " ", subscriber["priority"]))
			}
			slices.Sort(who)
			got = append(got, fmt.Sprint(s["topic"], " ", s["action"], " ", who))
		}
		want := []string{
			"a.# publish [a <nil> b <nil>]", "b.test publish [a <nil>]",
			"b.test request [a 3 b 0]", "c.+ publish [a <nil>]",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		_ = b.peer.Close()
		eventually(t, "its subscriptions go", func() bool {
			return len(items(t, a.ok("system.topic.subscriptions", ""), "subscriptions")) == 4 &&
				!strings.Contains(string(a.call("system.topic.subscriptions", "").Payload), b.id)
		})
	})
}

// The subscribers of a request pattern stand by priority, highest first.
func TestS8_SubscribersByPriority(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		for _, priority := range []string{"0", "7.5", "-3", "7.5", "100", "2"} {
			n.dial(t, transport).subscribe("both", "by.priority", `,"priority":`+priority)
		}
		c := n.dial(t, transport)
		for _, s := range items(t, c.ok("system.topic.subscriptions", ""), "subscriptions") {
			var got []any
			for _, subscriber := range items(t, s, "subscribers") {
				got = append(got, subscriber["priority"])
			}
			want := []any{100.0, 7.5, 7.5, 2.0, 0.0, -3.0}
			if s["action"] == "request" && !slices.Equal(got, want) {
				t.Errorf("%v: priorities %v, want %v", s["topic"], got, want)
			}
		}
	})
}

// Subscribers of the three notification topics see every operation that succeeds, with the
// request's fields.
func TestS8_Notifications(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		actor, watcher := n.dial(t, from), n.dial(t, to)
		for _, topic := range []string{
			"system.service.register", "system.topic.subscribe", "system.topic.unsubscribe",
		} {
			watcher.subscribe("publish", topic)
		}
		watcher.settle()
		watcher.backlog = nil // it may have seen its own subscriptions
		told := func(topic string, want map[string]any) {
			t.Helper()
			m := watcher.expect("publish:" + topic + ":1.0.0")
			want["serviceId"] = actor.id
			o := m.object(t)
			for key, v := range want {
				if o[key] != v {
					t.Errorf("%s: %s is %v, want %v", topic, key, o[key], v)
				}
			}
		}
		actor.ok("system.service.register", `{"name":"n1","description":"d1"}`)
		told("system.service.register", map[string]any{"name": "n1", "description": "d1"})
		actor.ok("SYSTEM.Service.Register", `{"name":"n2","description":"d2"}`)
		told("system.service.register", map[string]any{"name": "n2", "description": "d2"})
		actor.subscribe("request", "some.topic", `,"priority":4`)
		told("system.topic.subscribe",
			map[string]any{"action": "request", "topic": "some.topic", "priority": 4.0})
		actor.ok("system.topic.unsubscribe", `{"topic":"some.topic","action":"request"}`)
		told("system.topic.unsubscribe", map[string]any{"action": "request", "topic": "some.topic"})

		actor.refused("system.service.register", `{"name":""}`, "INVALID_REQUEST")
		actor.refused("system.topic.subscribe", `{"action":"publish","topic":"system.x"}`,
			"INVALID_REQUEST")
		actor.refused("system.topic.unsubscribe", `{}`, "INVALID_REQUEST")
		watcher.none()
		watcher.ok("system.topic.unsubscribe", `{"topic":"system.topic.subscribe"}`)
		watcher.settle()
		watcher.backlog = nil
		actor.subscribe("publish", "some.topic")
		watcher.none()
	})
}
