package server

import (
	"os"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
)

// wantMetrics is the contract's list (protocol §8), written out.
const wantMetrics = `
connection.active gauge
connection.connected.rate rate
connection.connected.total gauge
connection.disconnected.rate rate
connection.disconnected.total gauge
connection.failed.rate rate
connection.failed.total gauge
connection.outbound.dropped.count gauge
connection.outbound.dropped.rate rate
connection.rejected.rate rate
connection.rejected.total gauge
process.cpu.percent percent
process.memory.bytes gauge
process.memory.percent percent
process.uptime uptime
registry.count gauge
registry.discovery.rate rate
registry.registration.rate rate
registry.unregistration.rate rate
router.limited.count gauge
router.limited.rate rate
router.message.count gauge
router.message.count.error gauge
router.message.rate rate
router.message.rate.error rate
router.message.size.avg average
router.message.size.max maximum
router.publish.count gauge
router.publish.count.dropped gauge
router.publish.count.error gauge
router.publish.rate rate
router.publish.rate.dropped rate
router.publish.rate.error rate
router.request.count gauge
router.request.count.dropped gauge
router.request.count.error gauge
router.request.count.timeout gauge
router.request.outstanding gauge
router.request.queued gauge
router.request.rate rate
router.request.rate.dropped rate
router.request.rate.error rate
router.request.rate.timeout rate
router.response.count gauge
router.response.count.error gauge
router.response.rate rate
router.response.rate.error rate
system.cpu.percent percent
system.memory.bytes gauge
system.memory.percent percent
system.uptime uptime
`

func TestMetricTable(t *testing.T) {
	var got []string
	exports := map[string]bool{}
	for _, m := range metricTable {
		if m.name != "" {
			got = append(got, m.name+" "+m.kind)
		}
		if m.export != "" {
			if exports[m.export] || !regexp.MustCompile(`^mb_[a-z_]+$`).MatchString(m.export) {
				t.Errorf("%q is there twice, or no Prometheus name", m.export)
			}
			exports[m.export] = true
		}
	}
	sort.Strings(got)
	if want := strings.Split(strings.TrimSpace(wantMetrics), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// The page for operators explains every metric.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range metricTable {
		for _, name := range []string{m.name, m.export} {
			if name != "" && !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("docs/operations.md does not know %s", name)
			}
		}
	}
	for _, export := range regexp.MustCompile("`(mb_[a-z_]+)`").FindAllStringSubmatch(string(page), -1) {
		known := export[1] == "mb_info" || export[1] == "mb_system_core_cpu_ratio"
		for _, m := range metricTable {
			known = known || m.export == export[1]
		}
		if !known {
			t.Errorf("docs/operations.md tells of %s, which is not there", export[1])
		}
	}
}

// The numbers of a node whose loops and clock are the test's.
func TestSample(t *testing.T) {
	n := newLiveNode(t, nil)
	const sec = 1_700_000_000
	first := tally{countMessage: 4, countMessageBytes: 100, maxMessageBytes: 60, countPublish: 3, countPublishUnrouted: 1}
	second := tally{countMessage: 1, countMessageBytes: 50, maxMessageBytes: 50, countRequestUnrouted: 2, countOutboundDropped: 7}
	n.loops[0].stats.publish(sec-1, &first)
	n.loops[1].stats.publish(sec-1, &second)
	n.stats.rejected.add(sec - 1)
	n.stats.connected.add(sec)
	n.queued.Store(9)
	n.loops[1].load.Store(5)
	s := n.sample(time.Unix(sec, 0))
	for name, want := range map[string]float64{
		"router.message.count": 5, "router.message.rate": 5, "router.message.size.avg": 30, "router.message.size.max": 60,
		"router.publish.count": 3, "router.publish.count.dropped": 1, "router.publish.rate.dropped": 1,
		"router.request.count.dropped": 2, "router.request.rate.dropped": 2, "connection.outbound.dropped.rate": 7,
		"connection.rejected.total": 1, "connection.rejected.rate": 1, "connection.connected.total": 1, "connection.connected.rate": 0,
		"router.request.queued": 9, "connection.active": 5, "registry.count": 0,
	} {
		for _, m := range metricTable {
			if m.name == name && m.value(s) != want {
				t.Errorf("%s is %v, want %v", name, m.value(s), want)
			}
		}
	}
	for _, m := range metricTable {
		if m.kind != kindPercent {
			continue
		}
		if v := m.value(s); v < 0 || v > 1 {
			t.Errorf("%s is %v, not a fraction", m.name, v)
		}
	}
	idle := newLiveNode(t, nil).sample(time.Unix(sec, 0))
	for _, m := range metricTable {
		if v := m.value(idle); v != v || v < 0 {
			t.Errorf("%s of an idle node is %v", m.name, v)
		}
	}
}

func TestBusyTime(t *testing.T) {
	var b busyTime
	for _, row := range []struct {
		to   busyTime
		want float64
	}{{busyTime{25, 100}, 0.25}, {busyTime{35, 110}, 1}, {busyTime{35, 120}, 0}, {busyTime{35, 120}, 0}, {busyTime{30, 130}, 0}, {busyTime{99, 140}, 1}} {
		if got := b.advance(row.to); got != row.want {
			t.Errorf("to %v: %v, want %v", row.to, got, row.want)
		}
	}
}

// The machine is read at most once a second, and says something sane the first time.
func TestMachine(t *testing.T) {
	var m machine
	now := time.Now()
	first := m.read(now)
	if first.processMemory < 1<<20 || first.systemMemory < first.processMemory || first.systemUptime <= 0 || len(first.cores) == 0 {
		t.Errorf("first reading: %+v", first)
	}
	for _, c := range first.cores {
		if c.cpu < 0 || c.cpu > 1 || !regexp.MustCompile(`^\d+$`).MatchString(c.name) {
			t.Errorf("core %+v", c)
		}
	}
	if again := m.read(now.Add(machinePeriod - 1)); again.at != now {
		t.Error("read again within a second")
	}
	if later := m.read(now.Add(machinePeriod)); later.at == now {
		t.Error("not read again after a second")
	}
}

func TestSystemMetrics(t *testing.T) {
	n := startLiveNode(t, nil)
	c, other := n.dial(), n.dial()
	plain, _ := c.ok("system.metrics", "")["metrics"].(map[string]any)
	full, _ := c.ok("system.metrics", `{"showAll":true}`)["metrics"].(map[string]any)
	for _, line := range strings.Split(strings.TrimSpace(wantMetrics), "\n") {
		name, kind, _ := strings.Cut(line, " ")
		o, _ := full[name].(map[string]any)
		if _, number := plain[name].(float64); !number {
			t.Errorf("%s is %v", name, plain[name])
		}
		_, number := o["value"].(float64)
		stamp, _ := o["timestamp"].(string)
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", stamp); err != nil || !number || o["type"] != kind || o["name"] != name || len(o) != 4 {
			t.Errorf("%s: %v, want type %s", name, o, kind)
		}
	}
	if plain["registry.count"] != 2.0 || plain["connection.active"] != 2.0 || plain["connection.connected.total"] != 2.0 {
		t.Errorf("two connections counted as %v, %v, %v", plain["registry.count"], plain["connection.active"], plain["connection.connected.total"])
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
		`{"paramFilter":null,"showAll":null}`:                             len(plain),
	} {
		if got, _ := c.ok("system.metrics", payload)["metrics"].(map[string]any); len(got) != want {
			t.Errorf("%s leaves %d, want %d", payload, len(got), want)
		}
	}
	for payload, field := range map[string]string{
		`{"showAll":"true"}`: "showAll", `{"showAll":1}`: "showAll", `{"paramFilter":"x"}`: "paramFilter",
		`{"paramFilter":[]}`: "paramFilter", `{"paramFilter":{"core":0}}`: "paramFilter", `{"paramFilter":{"core":null}}`: "paramFilter",
	} {
		e := c.refused("system.metrics", payload, "INVALID_REQUEST")
		if d, _ := e["details"].(map[string]any); d["field"] != field {
			t.Errorf("%s: %v, want field %s", payload, e, field)
		}
	}
}

// What a client has seen an answer to is counted, on whichever loop it happened.
func TestMetricCounts(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) { cfg.Request.TimeoutDefault = 20 * time.Millisecond })
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
		"router.publish.count": 3, "router.publish.count.dropped": 3, "router.publish.count.error": 0,
		"router.request.count.timeout": 1, "router.request.outstanding": 0, "router.response.count": 1, "router.response.count.error": 1,
		"connection.connected.total": 1, "registry.count": 0,
	} {
		if d := after[name].(float64) - before[name].(float64); d != want {
			t.Errorf("%s grew by %v, want %v", name, d, want)
		}
	}
	s := n.sample(time.Now())
	if s.totals[countRegistration] != 3 || s.totals[countUnregistration] != 1 {
		t.Errorf("%d registrations and %d unregistrations, want 3 and 1", s.totals[countRegistration], s.totals[countUnregistration])
	}
}
