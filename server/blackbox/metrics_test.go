package blackbox

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// metricTable is protocol §8's list of names and types; "{a,b}" in it are alternatives.
const metricTable = `
connection.active gauge
connection.{connected,disconnected,failed,rejected}.rate rate
connection.{connected,disconnected,failed,rejected}.total gauge
connection.outbound.dropped.count gauge
connection.outbound.dropped.rate rate
process.cpu.percent percent
process.memory.bytes gauge
process.memory.percent percent
process.uptime uptime
system.cpu.percent percent
system.memory.bytes gauge
system.memory.percent percent
system.uptime uptime
registry.count gauge
registry.{discovery,registration,unregistration}.rate rate
router.message.{count,count.error} gauge
router.message.{rate,rate.error} rate
router.message.size.avg average
router.message.size.max maximum
router.publish.{count,count.dropped,count.error} gauge
router.publish.{rate,rate.dropped,rate.error} rate
router.request.{count,count.dropped,count.error,count.timeout} gauge
router.request.{rate,rate.dropped,rate.error,rate.timeout} rate
router.request.{outstanding,queued} gauge
router.response.{count,count.error} gauge
router.response.{rate,rate.error} rate
router.limited.count gauge
router.limited.rate rate
`

func metricTypes() map[string]string {
	types := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(metricTable), "\n") {
		name, kind, _ := strings.Cut(line, " ")
		before, rest, found := strings.Cut(name, "{")
		if !found {
			types[name] = kind
			continue
		}
		alternatives, after, _ := strings.Cut(rest, "}")
		for _, a := range strings.Split(alternatives, ",") {
			types[before+a+after] = kind
		}
	}
	return types
}

// parametric are the names that carry a parameter in braces.
var parametric = []struct {
	form *regexp.Regexp
	kind string
}{
	{regexp.MustCompile(`^system\.cpu\.\{core:\d+\}\.percent$`), "percent"},
	{regexp.MustCompile(`^registry\.service\.\{serviceid:[0-9a-f-]{36}\}\.error\.rate$`), "rate"},
	{regexp.MustCompile(`^registry\.service\.\{serviceid:[0-9a-f-]{36}\}\.uptime$`), "uptime"},
}

func metrics(t testing.TB, c *client, payload string) map[string]any {
	t.Helper()
	m, ok := c.ok("system.metrics", payload)["metrics"].(map[string]any)
	if !ok {
		t.Fatal("no metrics")
	}
	return m
}

func TestS8_MetricNamesAndTypes(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c, other := n.dial(t, transport), n.dial(t, transport)
		want := metricTypes()
		full, plain := metrics(t, c, `{"showAll":true}`), metrics(t, c, "")
		for name := range want {
			if full[name] == nil || plain[name] == nil {
				t.Errorf("%s is missing", name)
			}
		}
		for name, v := range plain {
			if _, ok := v.(float64); !ok {
				t.Errorf("%s is %v, not a number", name, v)
			}
			if full[name] == nil {
				t.Errorf("%s is missing with showAll", name)
			}
		}
		seen := map[int]int{}
		for name, v := range full {
			kind, known := want[name]
			for i, p := range parametric {
				if p.form.MatchString(name) {
					kind, known = p.kind, true
					seen[i]++
				}
			}
			if !known {
				t.Errorf("%s is not in the contract", name)
				continue
			}
			o, _ := v.(map[string]any)
			_, number := o["value"].(float64)
			if o["name"] != name || o["type"] != kind || o["timestamp"] == nil || !number {
				t.Errorf("%s: %v, want type %s", name, v, kind)
			}
		}
		if seen[0] == 0 || seen[1] < 2 || seen[2] < 2 {
			t.Errorf("parametric metrics: %v", seen)
		}
		for _, kind := range []string{"error.rate", "uptime"} {
			if plain[fmt.Sprintf("registry.service.{serviceid:%s}.%s", other.id, kind)] == nil {
				t.Errorf("%s of a service is missing", kind)
			}
		}
		for _, payload := range []string{
			`{"showAll":false}`, `{"showAll":false,"paramFilter":{}}`,
		} {
			if _, number := metrics(t, c, payload)["connection.active"].(float64); !number {
				t.Errorf("%s: values are not numbers", payload)
			}
		}
		for _, bad := range []string{
			`{"showAll":"yes"}`, `{"showAll":1}`, `{"paramFilter":"x"}`,
			`{"paramFilter":[1]}`, `{"paramFilter":{"serviceid":1}}`,
			`{"showAll":null}`, `{"paramFilter":null}`, `{"paramFilter":{"serviceid":null}}`,
		} {
			c.refused("system.metrics", bad, "INVALID_REQUEST")
		}
	})
}

func TestS8_MetricFilter(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c, other := n.dial(t, transport), n.dial(t, transport)
		want := fmt.Sprint([]string{
			"registry.service.{serviceid:" + other.id + "}.error.rate",
			"registry.service.{serviceid:" + other.id + "}.uptime",
		})
		for _, key := range []string{"serviceid", "serviceId", "SERVICEID"} {
			for _, all := range []string{"", `,"showAll":true`} {
				var got []string
				payload := `{"paramFilter":{"` + key + `":"` + other.id + `"}` + all + `}`
				for name := range metrics(t, c, payload) {
					got = append(got, name)
				}
				sort.Strings(got)
				if fmt.Sprint(got) != want {
					t.Errorf("filter %s%s leaves %v", key, all, got)
				}
			}
		}
		unknown := `{"paramFilter":{"serviceid":"` + uuid.NewString() + `"}}`
		if got := metrics(t, c, unknown); len(got) != 0 {
			t.Errorf("an unknown service has %v", got)
		}
		var cores int
		for name := range metrics(t, c, `{"paramFilter":{"core":"0"}}`) {
			if name != "system.cpu.{core:0}.percent" {
				t.Errorf("filter for core 0 leaves %s", name)
			}
			cores++
		}
		if cores != 1 {
			t.Errorf("%d metrics of core 0", cores)
		}
	})
}

// The counts count: what a test does is seen in them.
func TestS8_MetricCounts(t *testing.T) {
	settings := []string{"max.outstanding.requests=50"}
	perTransport(t, settings, func(t *testing.T, n *node, transport string) {
		c, b := n.dial(t, transport), n.dial(t, transport)
		before := metrics(t, c, "")
		b.subscribe("both", "count.test")
		for range 5 {
			c.send("publish:count.test:1.0.0", "x")
		}
		for range 3 {
			c.send("publish:count.nobody:1.0.0", "x")
			c.expectFault("response:count.nobody:1.0.0:*", "NO_ROUTE_FOUND")
		}
		c.send("request:count.nobody:1.0.0:"+idA, "x")
		c.expectFault("response:count.nobody:1.0.0:"+idA, "NO_ROUTE_FOUND")
		c.send("request:count.test:1.0.0:"+idA+"::30", "expires")
		c.expectFault("response:count.test:1.0.0:"+idA, "TIMEOUT")
		c.send("request:count.test:1.0.0:"+idA, "answered")
		answered := b.await("the request", func(m message) bool {
			return string(m.Payload) == "answered"
		})
		b.send("response:count.test:1.0.0:"+answered.ID, strings.Repeat("y", 5000))
		c.expect("response:count.test:1.0.0:" + idA)
		b.send("response:count.test:1.0.0:"+answered.ID, "again")
		b.await("the refusal", func(m message) bool {
			return m.Action == "response" && m.ID == answered.ID
		})
		c.send("request:count.test:1.0.0:"+idB+"::600000", "stays")
		b.await("the request", func(m message) bool { return string(m.Payload) == "stays" })
		c.send("nonsense", "")
		c.expectErrorHead()
		third := n.dial(t, overTCP)
		after := metrics(t, c, "")
		grew := func(name string, least float64, exact bool) {
			t.Helper()
			was, _ := before[name].(float64)
			is, _ := after[name].(float64)
			if d := is - was; d < least || exact && d != least {
				t.Errorf("%s grew by %v, want %v", name, d, least)
			}
		}
		grew("connection.active", 1, true)
		grew("registry.count", 1, true)
		grew("connection.connected.total", 1, true)
		grew("connection.disconnected.total", 0, true)
		grew("router.publish.count", 8, true)
		grew("router.publish.count.dropped", 3, true)
		grew("router.request.count", 4, false) // system requests count too
		grew("router.request.count.timeout", 1, true)
		grew("router.request.outstanding", 1, true)
		grew("router.request.queued", 0, true)
		grew("router.response.count", 1, false)
		grew("router.response.count.error", 1, true)
		grew("router.message.count", 13, false)
		grew("router.message.count.error", 1, false)
		if v, _ := after["router.message.size.max"].(float64); v < 5000 {
			t.Errorf("the largest message is %v", v)
		}
		if v, _ := after["process.memory.bytes"].(float64); v < 1<<20 {
			t.Errorf("the process has %v bytes", v)
		}
		_ = third.peer.Close()
		eventually(t, "the disconnect is counted", func() bool {
			return c.metric("connection.disconnected.total") == 1 &&
				c.metric("connection.active") == 2
		})
	})
}

// What is answered with an error counts as one: of requests whatever it was, but for timeouts;
// evicted ones in a count of their own too; of messages every single one.
func TestS8_MetricErrors(t *testing.T) {
	settings := []string{"max.outstanding.requests=1", "message.payload.maxLength=1024"}
	perPair(t, settings, func(t *testing.T, n *node, from, to string) {
		c, b := n.dial(t, from), n.dial(t, to)
		b.subscribe("request", "count.test")
		names := []string{
			"router.message.count.error", "router.publish.count.error",
			"router.publish.count.dropped", "router.request.count.error",
			"router.request.count.dropped", "router.request.count.timeout",
			"router.response.count.error",
		}
		count := func() (got []int) {
			all := metrics(t, b, "")
			for _, name := range names {
				v, _ := all[name].(float64)
				got = append(got, int(v))
			}
			return got
		}
		for _, row := range []struct {
			what, header, payload, head, code string
			want                              [7]int // by how much names grow
		}{
			{"malformed header", "nonsense", "", "response:error:1.0.0", "MALFORMED_MESSAGE",
				[7]int{1}},
			{"unrouted publish", "publish:no.body:1.0.0:" + idA, "",
				"response:no.body:1.0.0:" + idA, "NO_ROUTE_FOUND", [7]int{1, 0, 1}},
			{"publish too long", "publish:no.body:1.0.0:" + idA, strings.Repeat("x", 1025),
				"response:no.body:1.0.0:" + idA, "MALFORMED_MESSAGE", [7]int{1, 1}},
			{"unrouted request", "request:no.body:1.0.0:" + idA, "",
				"response:no.body:1.0.0:" + idA, "NO_ROUTE_FOUND", [7]int{1, 0, 0, 1}},
			{"system request", "request:system.what:1.0.0:" + idA, "",
				"response:system.what:1.0.0:" + idA, "TOPIC_NOT_SUPPORTED", [7]int{1, 0, 0, 1}},
			{"unknown service", "request:system.service.subscriptions:1.0.0:" + idA,
				`{"serviceId":"` + idC + `"}`,
				"response:system.service.subscriptions:1.0.0:" + idA, "SERVICE_UNAVAILABLE",
				[7]int{1, 0, 0, 1}},
			{"timeout", "request:count.test:1.0.0:" + idA + "::1", "",
				"response:count.test:1.0.0:" + idA, "TIMEOUT", [7]int{1, 0, 0, 0, 0, 1}},
			{"response to nothing", "response:count.test:1.0.0:" + idA, "",
				"response:count.test:1.0.0:" + idA, "INVALID_REQUEST_ID",
				[7]int{1, 0, 0, 0, 0, 0, 1}},
		} {
			before := count()
			c.send(row.header, row.payload)
			m := c.recv()
			if e := m.fault(t); m.head() != row.head || e.Code != row.code {
				t.Fatalf("%s: %v", row.what, m)
			}
			grew(t, row.what, names, before, count(), row.want[:])
		}
		before := count()
		c.send("request:count.test:1.0.0:"+idA+"::60000", "gives way")
		c.send("request:count.test:1.0.0:"+idB+"::60000", "to this")
		c.expectFault("response:count.test:1.0.0:"+idA, "SERVICE_UNAVAILABLE")
		grew(t, "evicted", names, before, count(), []int{1, 0, 0, 1, 1, 0, 0})
	})
}

func grew(t testing.TB, what string, names []string, before, after, want []int) {
	t.Helper()
	for i, name := range names {
		if d := after[i] - before[i]; d != want[i] {
			t.Errorf("%s: %s grew by %d, want %d", what, name, d, want[i])
		}
	}
}
