package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"mbserver/server/config"
)

// post posts a body to a path of the admin listener, with the token and the headers of a case.
func (n *liveNode) post(path, body string, c *adminCase) (int, string) {
	n.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+n.Addr("admin")+path,
		strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range map[string]string{"Content-Type": c.kind, "Origin": c.page} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.host != "" {
		req.Host = c.host
	}
	status, answer, _ := adminDo(n.t, req)
	return status, answer
}

// identify says who a client is.
func (c *liveClient) identify(token string) {
	c.t.Helper()
	c.ok("system.auth", `{"token":"`+token+`"}`)
}

// Nobody acts on a connection who is not the operator: no other role, no page of another site, and
// nobody by a name that is not the node's.
func TestOrdersAreRefused(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		operators(cfg)
		cfg.Permissions.Roles["nobody"] = config.Role{
			Publish:   config.Lists{Allow: []string{"#"}},
			Subscribe: config.Lists{Allow: []string{"#"}},
		}
		cfg.Admin.Operator = true // which says nothing about who has to give credentials
		cfg.Auth.LockoutThreshold = 100
	})
	victim := n.dial()
	victim.identify("nobody")
	victim.subscribe("publish", "a.b")
	id := `{"serviceId":"` + victim.id + `"`
	for path, body := range map[string]string{
		"/kick": id + `}`, "/mute": id + `,"durationMs":60000}`,
		"/unsubscribe": id + `,"topic":"a.b"}`, "/drain": `{}`,
	} {
		for _, c := range []adminCase{
			{name: "nobody", status: 401}, {name: "wrong", token: "wrong", status: 401},
			{name: "viewer", token: "viewer", status: 403},
			{name: "no words", token: "nobody", status: 403},
			{name: "page", token: "operator", page: "https://evil.example", status: 403},
			{name: "hidden page", token: "operator", page: "null", status: 403},
			{name: "form", token: "operator", kind: "text/plain", status: 415},
			{name: "rebound", token: "operator", host: "evil.example", status: 403},
			{name: "rebound page", token: "operator", host: "evil.example",
				page: "http://evil.example", status: 403},
		} {
			if status, answer := n.post(path, body, &c); status != c.status {
				t.Errorf("%s, %s: %d %s", path, c.name, status, answer)
			}
		}
		req, _ := http.NewRequest(http.MethodGet, "http://"+n.Addr("admin")+path, nil)
		if status, _, _ := adminDo(t, req); status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, status)
		}
	}
	victim.send("publish:a.b:1.0.0", "x") // neither kicked, muted nor unsubscribed
	victim.awaitTopic("publish:a.b:")
	if !n.ready() {
		t.Error("drained")
	}
}

// The operator mutes, unsubscribes and kicks by the same bodies as over the wire; the log says who
// has done what to whom.
func TestOrders(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		operators(cfg)
		cfg.Permissions.Roles["nobody"] = config.Role{
			Publish:   config.Lists{Allow: []string{"#"}},
			Subscribe: config.Lists{Allow: []string{"#"}},
		}
	})
	k := n.dial()
	k.identify("nobody")
	k.ok("system.service.register", `{"name":"clock","description":"tells the time"}`)
	k.subscribe("publish", "a.#")
	k.subscribe("publish", "b.c")
	id := `"serviceId":"` + k.id + `"`
	do := func(path, body string, want int, says string) {
		t.Helper()
		status, answer := n.post(path, body, &adminCase{token: "operator"})
		if status != want || !strings.Contains(answer, says) {
			t.Errorf("%s %s: %d %s", path, body, status, answer)
		}
	}
	do("/mute", `{`+id+`,"durationMs":60000}`, 200, `{"status":"success"}`)
	e := k.refused("system.topic.subscribe", "{}", "FORBIDDEN")
	details := e["details"].(map[string]any)
	if details["reason"] != "muted" || details["retryAfterMs"].(float64) < 1 {
		t.Errorf("muted: %v", e)
	}
	do("/mute", `{`+id+`,"durationMs":0}`, 200, `{"status":"success"}`)
	do("/unsubscribe", `{`+id+`,"topic":"A.#"}`, 200, `{"status":"success","ended":1}`)
	if m := k.awaitTopic("publish:system.topic.revoked:"); string(m.payload) !=
		`{"action":"publish","topic":"a.#"}` {
		t.Errorf("told %s", m.payload)
	}
	do("/unsubscribe", `{`+id+`,"topic":"a.#"}`, 200, `"ended":0`)
	do("/kick", `{`+id+`,"reason":"too loud"}`, 200, `{"status":"success"}`)
	m := k.awaitTopic("response:error:")
	if !strings.Contains(string(m.payload), `"kicked"`) ||
		!strings.Contains(string(m.payload), "too loud") {
		t.Errorf("told %s", m.payload)
	}
	k.wantEnd()
	do("/kick", `{`+id+`}`, 404, `"serviceId":"`+k.id)
	for path, bodies := range map[string][]string{
		"/kick":        {``, `[]`, `{}`, `{"serviceId":"x"}`, `{` + id + `,"durationMs":1}`},
		"/mute":        {`{` + id + `}`, `{` + id + `,"durationMs":-1}`, `{` + id + `,"for":1}`},
		"/unsubscribe": {`{` + id + `}`, `{` + id + `,"topic":"a","actoin":"publish"}`},
	} {
		for _, body := range bodies {
			do(path, body, 400, "INVALID_REQUEST")
		}
	}
	type line struct{ Msg, Module, ServiceID, Identity, Remote, Topic, Reason string }
	var lines []line
	eventually(t, "the lines of the log", func() bool {
		lines = nil
		for text := range strings.Lines(n.out.String()) {
			var l line
			_ = json.Unmarshal([]byte(text), &l)
			if l.Module == "admin" && l.ServiceID != "" {
				lines = append(lines, l)
			}
		}
		return len(lines) >= 5
	})
	for i, want := range []string{"muted", "unmuted", "unsubscribed", "unsubscribed", "kicked"} {
		if l := lines[i]; l.Msg != want+": clock, by operator" || l.Identity != "operator" ||
			l.ServiceID != k.id || l.Remote == "" {
			t.Errorf("line %d: %+v", i, l)
		}
	}
	if lines[2].Topic != "a.#" || lines[4].Reason != "too loud" {
		t.Errorf("%+v", lines)
	}
}
