package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
)

// postDrain posts to /drain, with a header or none, and returns status and body.
func (n *liveNode) postDrain(body, kind, origin string) (int, string) {
	n.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+n.Addr("admin")+"/drain",
		strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	answer, err := adminClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	b := make([]byte, 1<<10)
	k, _ := answer.Body.Read(b)
	return answer.StatusCode, strings.TrimSpace(string(b[:k]))
}

func (n *liveNode) ready() bool {
	ready, _ := n.broker.Ready()
	return ready
}

// Nobody drains a node by accident, or from a web page, or where that is not allowed.
func TestDrainIsRefused(t *testing.T) {
	const kind = "application/json"
	n := startLiveNode(t, withAdmin)
	if status, body := n.postDrain("{}", kind, ""); status != http.StatusForbidden ||
		!strings.Contains(body, "admin.operator") || !n.ready() {
		t.Errorf("without admin.operator: %d %s", status, body)
	}
	n = startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		cfg.Admin.Operator = true
	})
	for _, row := range []struct {
		body, kind, origin string
		status             int
	}{
		{"{}", kind, "http://localhost:3002", http.StatusForbidden},
		{"{}", kind, "null", http.StatusForbidden},
		{"{}", "", "", http.StatusUnsupportedMediaType},
		{"{}", "text/plain", "", http.StatusUnsupportedMediaType},
		{"rate=1", "application/x-www-form-urlencoded", "", http.StatusUnsupportedMediaType},
		{"", kind, "", http.StatusBadRequest},
		{"[]", kind, "", http.StatusBadRequest},
		{"{}{}", kind, "", http.StatusBadRequest},
		{`{"rate":-1}`, kind, "", http.StatusBadRequest},
		{`{"rate":"1"}`, kind, "", http.StatusBadRequest},
		{`{"rate":1,"cancel":true}`, kind, "", http.StatusBadRequest},
		{`{"speed":1}`, kind, "", http.StatusBadRequest},
		{`{"rate":1}` + strings.Repeat(" ", 2<<10) + "x", kind, "", http.StatusBadRequest},
		{`{"cancel":true}`, kind, "", http.StatusConflict},
	} {
		status, body := n.postDrain(row.body, row.kind, row.origin)
		if status != row.status || !n.ready() {
			t.Errorf("%.40q as %q from %q: %d %s, want %d", row.body, row.kind, row.origin,
				status, body, row.status)
		}
	}
}

// A drain can be cancelled while readiness alone fails, begun again, and is taken over by the end.
func TestDrainThenShutdown(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) {
		withAdmin(cfg)
		cfg.Admin.Operator = true
		cfg.Shutdown.Delay = time.Hour
		cfg.Shutdown.Timeout = 2 * time.Hour
	})
	c := n.dial()
	n.ready() // somebody asks
	for range 2 {
		status, body := n.postDrain(`{"rate":5}`, "application/json; charset=utf-8", "")
		if n.ready() {
			t.Fatalf("drained, and ready: %d %s", status, body)
		}
		if status, _ := n.postDrain(`{}`, "application/json", ""); status != http.StatusConflict {
			t.Errorf("drained twice: %d", status)
		}
		if status, body := n.postDrain(`{"cancel":true}`, "application/json", ""); !n.ready() {
			t.Errorf("cancelled, and not ready: %d %s", status, body)
		}
	}
	if err := n.Drain(0); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.wantEnd()
	}()
	if err := n.shutdown(livePatience); err != nil {
		t.Error(err)
	}
	<-ended
	if n.Drain(0) == nil || n.Undrain() == nil {
		t.Error("a node that has ended is drained, or not any more")
	}
}
