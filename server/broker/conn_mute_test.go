package broker

import (
	"strings"
	"testing"

	"mbserver/codec"
)

// Who is muted is told so, with what is left of its time; heartbeats, system.auth and answers pass.
// It gets what it is subscribed to, but no requests: those go elsewhere, or wait. It ends by
// itself.
func TestMute(t *testing.T) {
	inBothTransports(t, func(t *testing.T, tr Transport, loops int) {
		n := newTestNode(t, 1, loops, nil)
		k := n.subscribers(1, loops-1, tr, "both", "a.b")[0]
		client := n.member(0, tr)
		ask := func() { client.send("request:a.b:1.0.0:" + testRequestID + "::60000\nx") }
		ask()
		n.settle()
		hears(k, client)
		n.operate(k, muteOrder(1000))
		n.advance(400)
		for _, refused := range []string{
			"publish:a.b:1.0.0:" + testRequestID + "\nx", "publish:a.b:1.0.0\nx",
			"request:no.one:1.0.0:" + testRequestID + "\nx",
			"request:system.topic.list:1.0.0:" + testRequestID + "\n{}",
			"request:system.topic.subscribe:1.0.0\n" + `{"action":"publish","topic":"x"}`,
		} {
			k.send(refused)
			n.settle()
			ms := k.messages()
			if len(ms) != 1 {
				t.Fatalf("%.30s: %v", refused, ms)
			}
			code, details := ms[0].errorOf(t)
			hasID := strings.Contains(refused, testRequestID)
			if code != "FORBIDDEN" || details["reason"] != "muted" ||
				details["retryAfterMs"] != 600.0 ||
				hasID != (string(ms[0].RequestID) == testRequestID) {
				t.Errorf("%.30s: %s %s", refused, ms[0].header, ms[0].payload)
			}
		}
		for _, topic := range []string{"system.heartbeat", "system.auth"} {
			if got := k.outcome("request:" + topic + ":1.0.0:" + testRequestID +
				"\n" + `{"token":"x"}`); got != "success" {
				t.Errorf("%s: %s", topic, got)
			}
		}
		k.send("response:system.heartbeat:1.0.0\n{}")
		client.send("publish:a.b:1.0.0\nx")
		n.settle()
		if ms := k.messages(); len(ms) != 1 || ms[0].Action != codec.Publish {
			t.Errorf("it got %v", ms)
		}
		k.send("response:a.b:1.0.0:" + k.openEntry().id.String() + "\nok")
		if n.settle(); client.lastPayload("response:a.b:") != "ok" {
			t.Error("its answer did not pass")
		}
		ask()
		n.settle()
		if ms := k.messages(); len(ms) != 0 || n.queued.Load() != 1 {
			t.Errorf("it got %v; %d wait", ms, n.queued.Load())
		}
		n.advance(600)
		n.settle()
		if k.muted() || n.queued.Load() != 0 || k.expectTopic("request:a.b:").payload == nil {
			t.Errorf("muted %v, %d wait", k.muted(), n.queued.Load())
		}
		k.send("publish:a.b:1.0.0:" + testRequestID + "\nx")
		k.expectTopic("response:a.b:1.0.0:" + testRequestID)
	})
}

// lastPayload is that of the last message whose header begins so.
func (k *testClient) lastPayload(prefix string) (payload string) {
	for _, m := range k.messages() {
		if strings.HasPrefix(m.header, prefix) {
			payload = string(m.payload)
		}
	}
	return payload
}

// The last mute counts, and 0 ends one; requests go to who is not muted.
func TestMuteAgain(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	k, other := n.worker(0, 0, "a.b"), n.worker(1, 0, "a.b")
	client := n.member(1, TransportTCP)
	speaks := func() bool {
		return k.outcome("request:system.topic.list:1.0.0:"+testRequestID+"\n{}") == "success"
	}
	for _, row := range []struct{ mute, after, ends int64 }{
		{100, 50, 0}, {1000, 90, 0}, {50, 0, 50}, {500, 0, 0},
	} {
		n.operate(k, muteOrder(row.mute))
		n.advance(row.after)
		if speaks() {
			t.Fatalf("%+v: not muted", row)
		}
		if row.ends > 0 {
			n.advance(row.ends)
			if !speaks() {
				t.Fatalf("%+v: muted", row)
			}
		}
	}
	for range 8 {
		client.send("request:a.b:1.0.0:" + testRequestID + "\nx")
	}
	n.settle()
	if k.openEntry() != nil || other.openEntry() == nil {
		t.Error("a muted service is given requests")
	}
	n.operate(k, muteOrder(0))
	if !speaks() || k.muted() || n.loops[0].wheel.Cancel(&k.timer) == false {
		t.Error("muted")
	}
	// One that hangs up while it is muted leaves nothing behind.
	n.operate(k, muteOrder(1000))
	k.hangUp(true)
	n.advance(2000)
	n.settle()
}

// A mute stands while who it is changes, on a node that asks: with other rules, with other
// authorities, and when it is renewed.
func TestMuteStandsThroughReloads(t *testing.T) {
	n := permitNode(t, 1, testRoles{"": may("a.#"), "a": may("a.#")}, nil)
	k := n.member(0, TransportTCP)
	want := func(when, reason string) {
		t.Helper()
		k.send("publish:b.c:1.0.0:" + testRequestID + "\nx")
		n.settle()
		code, details := k.expectTopic("response:b.c:").errorOf(t)
		got, _ := details["reason"].(string)
		if code != "FORBIDDEN" || got != reason {
			t.Errorf("%s: %s %v", when, code, details)
		}
	}
	want("at first", "")
	n.operate(k, muteOrder(1000))
	want("muted", "muted")
	k.becomes("a")
	want("somebody", "muted")
	n.reload(testRoles{"": may("a.#"), "a": may("a.#", "c.#")}.authority(t))
	want("reloaded", "muted")
	n.advance(1000)
	want("after", "")
}

// A connection of a node that asks nobody is muted, and the node begins to ask: nothing is lost of
// what it would be without.
func TestMutedWhenTheNodeBeginsToAsk(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	n.Desk.do = func(f func()) { f() }
	k := n.member(0, TransportTCP)
	n.operate(k, muteOrder(1000))
	n.reload(testRoles{"": may("a.#"), "a": may("b.#")}.authority(t))
	if got := k.outcome("request:system.auth:1.0.0:" + testRequestID + "\n" +
		`{"token":"a"}`); got != "success" {
		t.Fatalf("system.auth: %s", got)
	}
	n.advance(1000)
	for name, want := range map[string]string{"a.b": "FORBIDDEN", "b.c": "NO_ROUTE_FOUND"} {
		if got := k.outcome("publish:" + name + ":1.0.0:" + testRequestID + "\nx"); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
