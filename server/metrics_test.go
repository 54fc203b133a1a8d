package server

import (
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
	"mbserver/server/metrics"
)

func TestSystemMetrics(t *testing.T) {
	n := startLiveNode(t, nil)
	c, other := n.dial(), n.dial()
	plain, _ := c.ok("system.metrics", "")["metrics"].(map[string]any)
	full, _ := c.ok("system.metrics", `{"showAll":true}`)["metrics"].(map[string]any)
	for _, m := range metrics.Table {
		name, kind := m.Name, m.Kind
		if name == "" {
			continue
		}
		o, _ := full[name].(map[string]any)
		if _, number := plain[name].(float64); !number {
			t.Errorf("%s is %v", name, plain[name])
		}
		_, number := o["value"].(float64)
		stamp, _ := o["timestamp"].(string)
		_, err := time.Parse("2006-01-02T15:04:05.000Z", stamp)
		if err != nil || !number || o["type"] != kind || o["name"] != name || len(o) != 4 {
			t.Errorf("%s: %v, want type %s", name, o, kind)
		}
	}
	registered, active := plain["registry.count"], plain["connection.active"]
	connected := plain["connection.connected.total"]
	if registered != 2.0 || active != 2.0 || connected != 2.0 {
		t.Errorf("two connections counted as %v, %v, %v", registered, active, connected)
	}
	if _, there := plain["system.cpu.{core:0}.percent"]; !there {
		t.Error("no core 0")
	}

	prefix := "registry.service.{serviceid:" + other.id + "}."
	for _, payload := range []string{
		`{"paramFilter":{"serviceid":"` + other.id + `"}}`,
		`{"paramFilter":{"ServiceID":"` + strings.ToUpper(other.id) + `"}}`,
	} {
		got, _ := c.ok("system.metrics", payload)["metrics"].(map[string]any)
		if len(got) != 2 || got[prefix+"uptime"] == nil || got[prefix+"error.rate"] == nil {
			t.Errorf("%s leaves %v", payload, got)
		}
	}
	for payload, want := range map[string]int{
		`{"paramFilter":{"core":"0"}}`:                                    1,
		`{"paramFilter":{"core":"0","serviceid":"` + other.id + `"}}`:     0,
		`{"paramFilter":{"colour":"red"}}`:                                0,
		`{"paramFilter":{"serviceid":"` + strings.Repeat("0", 36) + `"}}`: 0,
		`{"paramFilter":{},"showAll":false}`:                              len(plain),
	} {
		if got, _ := c.ok("system.metrics", payload)["metrics"].(map[string]any); len(got) != want {
			t.Errorf("%s leaves %d, want %d", payload, len(got), want)
		}
	}
	for payload, field := range map[string]string{
		`{"showAll":"true"}`: "showAll", `{"showAll":1}`: "showAll", `{"showAll":null}`: "showAll",
		`{"paramFilter":null}`: "paramFilter",
		`{"paramFilter":"x"}`:  "paramFilter", `{"paramFilter":[]}`: "paramFilter",
		`{"paramFilter":{"core":0}}`: "paramFilter", `{"paramFilter":{"core":null}}`: "paramFilter",
	} {
		e := c.refused("system.metrics", payload, "INVALID_REQUEST")
		if d, _ := e["details"].(map[string]any); d["field"] != field {
			t.Errorf("%s: %v, want field %s", payload, e, field)
		}
	}
}

// What a client has seen an answer to is counted, on whichever loop it happened.
func TestMetricCounts(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		cfg.Request.TimeoutDefault = 20 * time.Millisecond
	})
	c, b := n.dial(), n.dial()
	b.subscribe("both", "count.it")
	before, _ := c.ok("system.metrics", "")["metrics"].(map[string]any)
	for range 3 {
		b.send("publish:count.nobody:1.0.0", "x")
		b.awaitTopic("response:count.nobody")
	}
	c.send("request:count.it:1.0.0:00000000-0000-4000-8000-000000000001", "x")
	c.awaitTopic("response:count.it:1.0.0:00000000-0000-4000-8000-000000000001")
	b.send("response:count.it:1.0.0:00000000-0000-4000-8000-000000000001", "late")
	b.awaitTopic("response:count.it")
	_ = n.dial().conn.Close()
	var after map[string]any
	eventually(t, "the disconnect is counted", func() bool {
		after, _ = c.ok("system.metrics", "")["metrics"].(map[string]any)
		return after["connection.disconnected.total"] == 1.0 && after["registry.count"] == 2.0
	})
	for name, want := range map[string]float64{
		"router.publish.count": 3, "router.publish.count.dropped": 3,
		"router.publish.count.error": 0, "router.request.count.timeout": 1,
		"router.request.outstanding": 0, "router.response.count": 1,
		"router.response.count.error": 1, "connection.connected.total": 1, "registry.count": 0,
	} {
		if d := after[name].(float64) - before[name].(float64); d != want {
			t.Errorf("%s grew by %v, want %v", name, d, want)
		}
	}
	totals := n.broker.Sample(time.Now()).Totals
	came, left := totals[metrics.Registrations], totals[metrics.Unregistrations]
	if came != 3 || left != 1 {
		t.Errorf("%d registrations and %d unregistrations, want 3 and 1", came, left)
	}
}
