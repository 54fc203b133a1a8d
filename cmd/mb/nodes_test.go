package main

import (
	"regexp"
	"strings"
	"testing"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// answering answers requests on one topic, and publishes on it, with a payload.
func answering(t *testing.T, topic, payload string) {
	t.Helper()
	newBroker(t, clienttest.Options{
		Intercept: func(c *clienttest.Conn, h *codec.Header, _ []byte) bool {
			if string(h.Topic) != topic {
				return false
			}
			c.Send("response:"+topic+":1.0.0:"+string(h.RequestID), []byte(payload))
			return true
		},
	})
}

func TestNodes(t *testing.T) {
	answering(t, "system.node.list", `{"status":"success","nodes":[`+
		`{"id":"i1","name":"one","version":"0.1.0","connectedAt":"2026-01-01T00:00:00.000Z",`+
		`"state":"live","draining":false,"connections":3,"self":true},`+
		`{"id":"i2","name":"two\u001b","version":"0.2.0",`+
		`"connectedAt":"2026-01-01T00:00:01.000Z","state":"gone","draining":true,`+
		`"connections":0,"rttMs":0.25,"lost":7}]}`)
	lines := start(t, "", "nodes").wait(exitOK).stdout.lines()
	want := regexp.MustCompile(`^NAME +ID +STATE +SINCE +VERSION +CONNECTIONS +RTT MS +LOST\n` +
		`one +i1 +asked +2026-01-01T00:00:00.000Z +0.1.0 +3 +- +-\n` +
		`two\\u001b +i2 +gone, draining +2026-01-01T00:00:01.000Z +0.2.0 +0 +0.25 +7$`)
	if !want.MatchString(strings.Join(lines, "\n")) {
		t.Errorf("table %q", lines)
	}
	lines = start(t, "", "nodes", "--json").wait(exitOK).stdout.lines()
	if len(lines) != 2 || !strings.Contains(lines[1], `"lost":7`) {
		t.Errorf("json %q", lines)
	}
}

// A node of which nobody knows what became of a message there is said beside the deliveries.
func TestPubUnconfirmed(t *testing.T) {
	answering(t, "a", `{"status":"success","subscribers":2,"unconfirmed":1}`)
	i := start(t, "", "pub", "a", "x", "--ack").wait(exitOK)
	if text := i.stderr.String(); !strings.Contains(text,
		"deliveries: 2, without those of 1 node that did not say in time") {
		t.Errorf("said %q", text)
	}
}

// What was lost between nodes is said apart from what this subscriber was too slow for.
func TestSubLostBetweenNodes(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "sub", "a")
	subscribed(t, b, "publish a").Send("publish:system.dropped:1.0.0",
		[]byte(`{"count":7,"atMost":true,"reason":"cluster",`+
			`"since":"2026-01-02T03:04:05.678Z","until":"2026-01-02T03:04:06.000Z"}`))
	eventually(t, "the notice", func() bool {
		return strings.Contains(i.stderr.String(), "gap: at most 7 messages of other nodes lost")
	})
	i.stop()
	i.wait(exitOK)
}
