package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"mbserver/server/config"
)

// posts sends an object to a path of the admin listener as somebody, and returns what is answered.
func (n *liveNode) posts(path, token, body string) (status int, answer map[string]any) {
	n.t.Helper()
	status, text := n.post(path, body, &adminCase{token: token})
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		n.t.Fatalf("%s: %d %q", path, status, text)
	}
	return status, answer
}

// codeOf is the code of an answer that is an error.
func codeOf(answer map[string]any) any {
	failure, _ := answer["error"].(map[string]any)
	return failure["code"]
}

// Whoever asks is told what he may see and do.
func TestAdminWhoAmI(t *testing.T) {
	begun := time.Now().Truncate(time.Millisecond)
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		operators(cfg)
	})
	_, viewer := n.see("viewer", "/whoamiz")
	if viewer["identity"] != "viewer" || viewer["operator"] != false || viewer["sends"] != true ||
		viewer["payloads"] != false || viewer["server"] != "tcp://"+n.Addr("tcp") {
		t.Errorf("viewer: %v", viewer)
	}
	started, err := time.Parse(time.RFC3339, fmt.Sprint(viewer["startedAt"]))
	if err != nil || started.Before(begun) || started.After(time.Now()) {
		t.Errorf("it has started %v: %v", viewer["startedAt"], err)
	}
	words, _ := viewer["words"].([]any)
	if len(words) != 4 || slices.Contains(words, any("admin")) {
		t.Errorf("words of the viewer: %v", words)
	}
	if viewer["publishes"] != false || viewer["requests"] != false {
		t.Errorf("the viewer, who may not send: %v", viewer)
	}
	if _, is := n.see("operator", "/whoamiz"); is["operator"] != true {
		t.Errorf("operator: %v", is)
	}
	if _, is := n.see("nobody", "/whoamiz"); len(is["words"].([]any)) != 0 {
		t.Errorf("nobody: %v", is)
	}
	if status, is := n.see("", "/whoamiz"); status != 401 {
		t.Errorf("without a token: %d %v", status, is)
	}
	n = startLiveNode(t, withAdmin)
	if _, is := n.see("", "/whoamiz"); is["operator"] != false || is["sends"] != false ||
		is["payloads"] != false || is["asks"] != false {
		t.Errorf("without authentication: %v", is)
	}
	n = startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		operators(cfg)
		cfg.Auth.Required = config.RequiredFalse
		cfg.Permissions.Roles["all"] = config.Role{System: []string{"*"}}
		cfg.Permissions.Anonymous = []string{"all"}
	})
	if _, is := n.see("", "/whoamiz"); is["asks"] != true || len(is["words"].([]any)) != 8 {
		t.Errorf("who may see all without a token: %v", is)
	}
	n = startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		cfg.Admin.Operator = true
	})
	if _, is := n.see("", "/whoamiz"); is["operator"] != true || is["sends"] != true ||
		is["payloads"] != true || is["publishes"] != true || is["requests"] != true {
		t.Errorf("with admin.operator: %v", is)
	}
}

// What is sent from the listener is sent as whoever asks could send it himself.
func TestAdminSends(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		operators(cfg)
		viewer := cfg.Permissions.Roles["viewer"]
		viewer.Publish.Allow, viewer.Request.Allow = []string{"a.#"}, []string{"a.#"}
		cfg.Permissions.Roles["viewer"] = viewer
		nobody := cfg.Permissions.Roles["nobody"]
		nobody.Subscribe.Allow, nobody.Respond.Allow = []string{"#"}, []string{"#"}
		cfg.Permissions.Roles["nobody"] = nobody
	})
	c := n.dial()
	c.identify("nobody")
	c.subscribe("all", "a.b")

	status, is := n.posts("/publish", "viewer", `{"topic":"a.b","payload":"hé"}`)
	if got, _ := is["payload"].(map[string]any); status != 200 || got["subscribers"] != 1.0 {
		t.Errorf("a publish: %d %v", status, is)
	}
	if got := c.awaitTopic("publish:a.b"); string(got.payload) != "hé" {
		t.Errorf("its subscriber gets %+v", got)
	}
	for _, tt := range []struct {
		path, token, body string
		status            int
		code              string
	}{
		{"/publish", "viewer", `{"topic":"b.c","payload":""}`, 403, "FORBIDDEN"},
		{"/request", "viewer", `{"topic":"b.c","payload":""}`, 403, "FORBIDDEN"},
		{"/publish", "nobody", `{"topic":"a.b","payload":""}`, 403, "FORBIDDEN"},
		{"/publish", "viewer", `{"topic":"a.c","payload":""}`, 422, "NO_ROUTE_FOUND"},
		{"/request", "viewer", `{"topic":"a.b","payload":"","timeoutMs":1}`, 422, "TIMEOUT"},
		{"/request", "viewer", `{"topic":"a.b","timeoutMs":9000}`, 400, "INVALID_REQUEST"},
		{"/request", "viewer", `{"topic":"a.b","more":1}`, 400, "INVALID_REQUEST"},
		{"/publish", "viewer", `{"topic":"..","payload":""}`, 422, "MALFORMED_MESSAGE"},
		{"/publish", "", `{"topic":"a.b","payload":""}`, 401, "UNAUTHORIZED"},
		{"/publish", "wrong", `{"topic":"a.b","payload":""}`, 401, "UNAUTHORIZED"},
	} {
		if status, is := n.posts(tt.path, tt.token, tt.body); status != tt.status ||
			codeOf(is) != tt.code {
			t.Errorf("%s as %q, %s: %d %v", tt.path, tt.token, tt.body, status, is)
		}
	}
	if status, is := n.see("viewer", "/explainz?topic=a.b"); status != 403 {
		t.Errorf("explained without the word: %d %v", status, is)
	}
}

// Without authentication the listener sends nothing, and explains.
func TestAdminSendsNothing(t *testing.T) {
	n := startLiveNode(t, withAdmin)
	if status, is := n.posts("/publish", "", `{"topic":"a.b"}`); status != 403 {
		t.Errorf("a publish: %d %v", status, is)
	}
	_, is := n.see("", "/explainz?topic=a.b&payloadBytes=3")
	stops, _ := is["stops"].([]any)
	if is["found"] != true || len(stops) == 0 ||
		stops[len(stops)-1].(map[string]any)["stop"] != "unrouted" {
		t.Errorf("explained: %v", is)
	}
	if status, is := n.see("", "/explainz?requestId=x"); codeOf(is) != "INVALID_REQUEST" {
		t.Errorf("no ID: %d %v", status, is)
	}
}
