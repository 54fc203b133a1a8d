package main

import (
	"encoding/json"
	"strings"
	"testing"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// With --json all that a command says, on either output, is an object a line:
// results, errors, notices.
func TestJSONIsObjects(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	results := writeResults(t, 1, 2, 3, 4)
	service := start(t, "", "reply", "r", "x", "--name", "n", "--json")
	conn := subscribed(t, b, "request r")
	for _, tc := range []struct {
		args string
		code int
	}{
		{"pub a x", exitOK}, {"pub a x --ack", exitOK}, {"pub a x --fail-no-route", exitError},
		{"pub a. x", exitUsage}, {"pub a.{b} x", exitError},
		{"request r x", exitOK}, {"request nobody x", exitError}, {"request", exitUsage},
		{"services", exitOK}, {"topics", exitOK}, {"metrics", exitOK},
		{"metrics --filter nothing", exitError}, {"sub a.*", exitError}, {"sub", exitUsage},
		{"sub a --wait 1ms", exitOK}, {"sub a -n 1 --wait 1ms", exitError},
		{"log --wait 1ms", exitOK}, {"log -n 1 --wait 1ms", exitError},
		{"nonsense", exitUsage}, {"topics --nonsense", exitUsage},
		{"topics --server tcp://127.0.0.1:1", exitError},
		{"context add a --server tcp://x --use", exitOK}, {"context list", exitOK},
		{"context use b", exitUsage},
		{"bench list", exitOK}, {"bench nonsense", exitUsage},
		{"bench compare " + results + " " + results, exitOK},
		{"bench report " + results + " -o " + t.TempDir() + "/page.html", exitOK},
		{"bench compare nothing.json nothing.json", exitError},
	} {
		i := start(t, "", append(strings.Fields(tc.args), "--json")...).wait(tc.code)
		said := i.stdout.String() + i.stderr.String()
		if said == "" || tc.code != exitOK && !strings.Contains(said, `"error":{`) {
			t.Errorf("%s: %q", tc.args, said)
		}
		wantObjects(t, tc.args, said)
	}
	start(t, "", "request", "nobody", "x", "--json").wait(exitError).
		wantErr(`{"error":{"code":"NO_ROUTE_FOUND","message":"no service`)
	conn.Send("publish:system.dropped:1.0.0", []byte(`{"count":7}`))
	eventually(t, "gap", func() bool {
		return strings.Contains(service.stderr.String(), `{"gap":{"count":7,`)
	})
	service.stop()
	wantObjects(t, "reply", service.wait(exitOK).stderr.String())
	service.wantErr(`{"notice":"answering r"}`)
}

func wantObjects(t *testing.T, what, said string) {
	t.Helper()
	for line := range strings.Lines(said) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil || len(object) == 0 {
			t.Errorf("%s: %q is no object: %v", what, line, err)
		}
	}
}

// What was delivered is what was routed without what had no room.
func TestPubDeliveries(t *testing.T) {
	_, _ = recorder(t, func(c *clienttest.Conn, h *codec.Header) {
		c.Send("response:a:1.0.0:"+string(h.RequestID),
			[]byte(`{"status":"success","subscribers":1500,"dropped":300}`))
	})
	start(t, "", "pub", "a", "x", "--ack").wait(exitOK).
		wantErr("deliveries: 1,200, 300 more lost: the subscribers are too slow")
	out := start(t, "", "pub", "a", "x", "--ack", "--json").wait(exitOK).stdout.String()
	for _, want := range []string{`"deliveries":1200`, `"subscribers":1500`, `"dropped":300`} {
		if !strings.Contains(out, want) {
			t.Errorf("%s has no %s", out, want)
		}
	}
}

// A filter that fits nothing is an error, not an empty answer.
func TestUnknownFilters(t *testing.T) {
	b := newBroker(t, clienttest.Options{Intercept: func(
		c *clienttest.Conn, h *codec.Header, payload []byte,
	) bool {
		if !strings.Contains(string(payload), "serviceid") {
			return false
		}
		c.Send("response:system.metrics:1.0.0:"+string(h.RequestID),
			[]byte(`{"status":"success","metrics":{}}`))
		return true
	}})
	start(t, "", "metrics", "--filter", "colour").wait(exitError).wantOut("").
		wantErr(`mb: no metric has "colour" in its name`)
	start(t, "", "metrics", "--service", "x").wait(exitError).wantOut("").
		wantErr("mb: no service has the ID x; mb services lists them")
	start(t, "", "metrics", "--filter", "ROUTER").wait(exitOK)
	for pattern, want := range map[string]string{
		"a.*": "a.+?", "a/b.*": "a.b.+?", "flights/*": "flights.+?",
	} {
		start(t, "", "sub", pattern).wait(exitError).wantErr("not a pattern", want)
	}
	if n := len(b.Conns()); n > 1 {
		t.Errorf("%d connections are left", n)
	}
}
