package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
)

// see asks the admin listener as an identity, "" as nobody, and returns status and answer.
func (n *liveNode) see(as, path string) (int, map[string]any) {
	n.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+n.Addr("admin")+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	if as != "" {
		req.Header.Set("Authorization", "Bearer "+as)
	}
	status, body, header := adminDo(n.t, req)
	var answer map[string]any
	if err := json.Unmarshal([]byte(body), &answer); err != nil ||
		header.Get("Cache-Control") != "no-store" {
		n.t.Fatalf("%s: %v, %v in %s", path, err, header, body)
	}
	return status, answer
}

// listOf is the rows of a list that is there to be seen.
func (n *liveNode) listOf(as, path, name string) (rows []map[string]any) {
	n.t.Helper()
	status, answer := n.see(as, path)
	list, is := answer[name].([]any)
	if status != http.StatusOK || !is {
		n.t.Fatalf("%s: %d %v", path, status, answer)
	}
	for _, row := range list {
		rows = append(rows, row.(map[string]any))
	}
	return rows
}

// column is what rows have under a name.
func column(rows []map[string]any, name string) (all []any) {
	for _, row := range rows {
		all = append(all, row[name])
	}
	return all
}

// want holds a row to some values.
func want(t *testing.T, what string, row map[string]any, values map[string]any) {
	t.Helper()
	for name, value := range values {
		if fmt.Sprint(row[name]) != fmt.Sprint(value) {
			t.Errorf("%s: %s is %v, want %v", what, name, row[name], value)
		}
	}
}

// What is shown of connections is what they have sent and received.
func TestConnectionsAreShown(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	a, b := n.dial(), n.dial()
	a.ok("system.service.register",
		`{"name":"Billing","description":"d","maxConcurrent":7,"metadata":{"k":"v"}}`)
	a.subscribe("publish", "a.b")
	a.subscribe("request", "ask.me")
	for range 10 {
		b.send("publish:a.b:1.0.0", strings.Repeat("x", 100))
	}
	for range 10 {
		a.awaitTopic("publish:a.b")
	}
	b.send("request:ask.me:1.0.0:00000000-0000-4000-8000-000000000001", "?")
	masked := a.awaitTopic("request:ask.me").requestID()
	b.settle()
	rows := n.listOf("", "/connz?sort=sent", "connections")
	if len(rows) != 2 || rows[0]["id"] != a.id || rows[1]["id"] != b.id {
		t.Fatalf("%v", rows)
	}
	counts := func(c *liveClient) map[string]any {
		return map[string]any{
			"received": c.wrote, "receivedBytes": c.wroteBytes, "sent": c.got,
			"sentBytes": c.gotBytes, "remote": c.conn.LocalAddr().String(), "dropped": 0,
			"backlogBytes": 0, "states": []any{}, "transport": "tcp",
		}
	}
	want(t, "a", rows[0], counts(a))
	want(t, "b", rows[1], counts(b))
	want(t, "a", rows[0], map[string]any{
		"name": "Billing", "serves": true, "outstanding": 1, "maxConcurrent": 7,
		"metadata": map[string]any{"k": "v"},
	})
	services := n.listOf("", "/servicez", "services")
	if len(services) != 1 || services[0]["id"] != a.id {
		t.Errorf("services: %v", services)
	}
	a.send("response:ask.me:1.0.0:"+masked, "!")
	b.awaitTopic("response:ask.me")
	status, d := n.see("", "/connz/"+a.id)
	subs, _ := d["subscriptions"].([]any)
	if status != http.StatusOK || len(subs) != 2 {
		t.Fatalf("%d %v", status, d)
	}
	want(t, "detail", d, counts(a))
	want(t, "detail", d, map[string]any{"outstanding": 0, "subscriptionCount": 2})
	want(t, "subscription", subs[1].(map[string]any),
		map[string]any{"action": "request", "topic": "ask.me", "priority": 0})
	_, d = n.see("", "/connz/"+b.id)
	want(t, "who is subscribed to nothing", d,
		map[string]any{"subscriptionCount": 0, "subscriptions": []any{}})
	if status, _ := n.see("", "/connz/"+n.broker.ID().String()); status != http.StatusNotFound {
		t.Errorf("one that is not there: %d", status)
	}
}

// Which roles somebody has is for who may see what others may do, and what he is subscribed to for
// who may list that; who has none of either is told from who is not to be looked at.
func TestConnectionRoles(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		operators(cfg)
		cfg.Auth.Tokens = append(cfg.Auth.Tokens, tokenOf("stranger"), tokenOf("clerk", "clerk"))
		cfg.Permissions.Roles["clerk"] = config.Role{System: []string{"connection", "service.list"}}
	})
	for _, c := range []struct{ who, as, roles, subscriptions string }{
		{"nobody", "operator", "[nobody]", "[]"},
		{"nobody", "viewer", "<nil>", "[]"},
		{"nobody", "clerk", "<nil>", "<nil>"},
		{"stranger", "operator", "[]", "[]"},
		{"stranger", "viewer", "<nil>", "[]"},
	} {
		one := n.dial()
		one.identify(c.who)
		status, d := n.see(c.as, "/connz/"+one.id)
		standing, _ := d["standing"].(map[string]any)
		roles, subs := fmt.Sprint(standing["roles"]), fmt.Sprint(d["subscriptions"])
		if status != http.StatusOK || roles != c.roles || subs != c.subscriptions {
			t.Errorf("%+v is shown %d, roles %s, subscriptions %s", c, status, roles, subs)
		}
	}
}

// Rates are of the time since an earlier look.
func TestConnectionRates(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	c := n.dial()
	n.see("", "/connz")
	c.settle()
	began := time.Now()
	row := n.listOf("", "/connz", "connections")[0]
	if rate, _ := row["receivedRate"].(float64); rate <= 0 {
		t.Errorf("%v after %v", row, time.Since(began))
	}
}

// Lists are sorted, searched, filtered and paged on the server.
func TestConnectionLists(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	var ids []any
	for i := range 7 {
		c := n.dial()
		c.ok("system.service.register", fmt.Sprintf(`{"name":"S%d","description":"d"}`, i))
		for range i {
			c.settle()
		}
		ids = append(ids, c.id)
	}
	reversed := slices.Clone(ids)
	slices.Reverse(reversed)
	for _, tt := range []struct {
		query string
		want  []any
		total int
	}{
		{"sort=received", reversed, 7},
		{"sort=received&order=asc", ids, 7},
		{"sort=name", ids, 7},
		{"sort=name&order=desc&limit=2", reversed[:2], 7},
		{"sort=name&offset=3&limit=2", ids[3:5], 7},
		{"sort=name&offset=100", nil, 7},
		{"sort=sentBytes&limit=1", reversed[:1], 7},
		{"search=s4", ids[4:5], 1},
		{"search=" + strings.ToUpper(ids[2].(string)[3:20]), ids[2:3], 1},
		{"sort=name&search=127.0.0.1", ids, 7},
		{"search=nothing", nil, 0},
		{"state=slow", nil, 0},
	} {
		rows := n.listOf("", "/connz?"+tt.query, "connections")
		_, answer := n.see("", "/connz?"+tt.query)
		if got := column(rows, "id"); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.query, got, tt.want)
		}
		want(t, tt.query, answer, map[string]any{"total": 7, "matched": tt.total})
	}
	if rows := n.listOf("", "/servicez?name=S3", "services"); len(rows) != 1 ||
		rows[0]["id"] != ids[3] {
		t.Errorf("%v", rows)
	}
	for _, query := range []string{
		"sort=nothing", "order=up", "limit=0", "limit=1001", "limit=x", "offset=-1",
		"offset=9999", "state=tired", "sorted=name", "limit=1&limit=2",
		"search=" + strings.Repeat("x", 300), "limit=5;sort=name", "limit=%zz",
	} {
		if status, answer := n.see("", "/connz?"+query); status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", query, status, answer)
		}
	}
}

// A subscriber that does not read is found by its state, its backlog and what it lost, by the node
// too whose sum that is.
func TestSlowConnectionIsShown(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		cfg.Connection.OutboundBytes = 64 << 10
	})
	slow, p := n.dial(), n.dial()
	slow.subscribe("publish", "a")
	payload := strings.Repeat("x", 16000)
	eventually(t, "it loses something", func() bool {
		for range 100 {
			p.send("publish:a:1.0.0", payload)
		}
		p.settle()
		rows := n.listOf("", "/connz?sort=dropped&limit=1&state=slow", "connections")
		return len(rows) == 1 && rows[0]["id"] == slow.id && rows[0]["dropped"].(float64) > 0
	})
	// The other loop may still be giving it what p's loop is done with.
	var row map[string]any
	eventually(t, "its loop lost what it has lost", func() bool {
		row = n.listOf("", "/connz?sort=dropped", "connections")[0]
		loops, sum := n.listOf("", "/loopz", "loops"), 0.0
		for _, l := range loops {
			sum += l["dropped"].(float64)
		}
		return len(loops) == 2 && row["dropped"] == sum
	})
	if row["backlogBytes"].(float64) == 0 {
		t.Errorf("%v", row)
	}
	_, d := n.see("", "/connz/"+slow.id)
	ring, _ := d["ring"].(map[string]any)
	if ring["bytes"] != d["backlogBytes"] || ring["limitBytes"] != float64(64<<10) {
		t.Errorf("%v", d)
	}
}

// Patterns are shown as a tree, a level at a time, with who is subscribed.
func TestTopicsAreShown(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	a, b := n.dial(), n.dial()
	for _, topic := range []string{"x", "orders.eu.new", "orders.us.+", "orders.eu", "orders.#"} {
		a.subscribe("publish", topic)
	}
	b.subscribe("both", "orders.eu")
	for _, tt := range []struct {
		query string
		want  string // topic patterns publish request
	}{
		{"", "orders 5 0 0, x 1 1 0"},
		{"prefix=orders", "orders.# 1 1 0, orders.eu 3 2 1, orders.us 1 0 0"},
		{"prefix=Orders.EU", "orders.eu 2 2 1, orders.eu.new 1 1 0"},
		{"flat=true&search=EU", "orders.eu 2 2 1, orders.eu.new 1 1 0"},
		{"prefix=orders&limit=1", "orders.# 1 1 0"},
		{"prefix=orders&limit=1&after=orders.%23", "orders.eu 3 2 1"},
		{"prefix=ord", ""},
	} {
		var got []string
		for _, r := range n.listOf("", "/topicz?"+tt.query, "topics") {
			got = append(got, fmt.Sprint(r["topic"], " ", r["patterns"], " ", r["publish"], " ",
				r["request"]))
		}
		if is := strings.Join(got, ", "); is != tt.want {
			t.Errorf("%s: %s, want %s", tt.query, is, tt.want)
		}
	}
	for action, ids := range map[string][]any{"publish": {a.id, b.id}, "request": {b.id}} {
		rows := n.listOf("", "/topicz?pattern=orders.eu&action="+action, "subscribers")
		got := column(rows, "id")
		slices.SortFunc(ids, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		if !slices.Equal(got, ids) {
			t.Errorf("%s: %v, want %v", action, got, ids)
		}
	}
	for _, query := range []string{"pattern=a..b", "offset=1", "pattern=a&action=both", "flat=1"} {
		if status, _ := n.see("", "/topicz?"+query); status != http.StatusBadRequest {
			t.Errorf("%s: %d", query, status)
		}
	}
}

// Each key is shown with what is in force, who set it, and what waits for the next start; no secret
// is, and what others may do only to who may know.
func TestConfigurationIsShown(t *testing.T) {
	setup := func(cfg *config.Config) { withAdmin(cfg); operators(cfg); cfg.Loops = 2 }
	n := startLiveNode(t, setup)
	keys := func(as, query string) map[string]map[string]any {
		t.Helper()
		by := map[string]map[string]any{}
		for _, row := range n.listOf(as, "/configz?limit=1000&"+query, "settings") {
			by[row["key"].(string)] = row
		}
		return by
	}
	all := keys("viewer", "")
	if len(all) != len(config.Keys()) {
		t.Errorf("%d keys of %d", len(all), len(config.Keys()))
	}
	want(t, "loops", all["loops"], map[string]any{
		"value": 2, "source": "program", "live": false, "pending": nil})
	want(t, "memory", all["message.payload.maxLength"], map[string]any{
		"value": 16384, "default": 16384, "source": "default", "unit": "bytes"})
	for _, key := range []string{"auth.tokens", "permissions.roles", "rate.limit.role"} {
		want(t, key, all[key], map[string]any{"value": nil})
	}
	roles, _ := keys("operator", "")["permissions.roles"]["value"].(map[string]any)
	if roles["viewer"] == nil {
		t.Errorf("an operator sees %v", roles)
	}
	for key, row := range keys("operator", "") {
		if _, is := row["default"]; !is {
			t.Errorf("%s has no default", key)
		}
	}
	err := n.Reload(func() (config.Config, config.Origins, error) {
		cfg := liveConfig()
		setup(&cfg)
		cfg.Loops, cfg.Admission.Rate = 3, 9
		return cfg, config.Origins{
			"loops": {Source: "flag --set"}, "admission.rate": {Source: "file x, line 2"},
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all = keys("viewer", "")
	want(t, "loops", all["loops"], map[string]any{"value": 2, "pending": 3})
	want(t, "rate", all["admission.rate"], map[string]any{
		"value": 9, "source": "file x, line 2", "pending": nil})
	if pending := keys("viewer", "only=pending"); len(pending) != 1 || pending["loops"] == nil {
		t.Errorf("pending: %v", pending)
	}
	if file := keys("viewer", "source=file"); len(file) != 1 || file["admission.rate"] == nil {
		t.Errorf("of the file: %v", file)
	}
}
