package blackbox

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const logHead = "response:system.log:1.0.0"

// logLine checks the form of a log message.
func logLine(t testing.TB, m message) map[string]any {
	t.Helper()
	m.mustHead(t, logHead)
	o := m.object(t)
	for _, key := range []string{"level", "message", "module"} {
		if s, _ := o[key].(string); s == "" {
			t.Fatalf("%s is %v in %s", key, o[key], m.Payload)
		}
	}
	checkTimestamp(t, o["timestamp"])
	return o
}

// register makes a log line at info.
func (c *client) register(name string) {
	c.t.Helper()
	c.ok("system.service.register", fmt.Sprintf(`{"name":%q,"description":"d"}`, name))
}

// logged takes the next log line that mentions the service.
func (c *client) logged(t testing.TB, id string) map[string]any {
	t.Helper()
	return logLine(t, c.await("a log line about "+id, func(m message) bool {
		return m.head() == logHead && strings.Contains(string(m.Payload), id)
	}))
}

func TestS8_LogLevels(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		actor := n.dial(t, overTCP)
		info, errors, debug := n.dial(t, transport), n.dial(t, transport), n.dial(t, transport)
		info.ok("system.log.subscribe", `{"levels":["info"]}`)
		errors.ok("system.log.subscribe", "")
		debug.ok("system.log.subscribe", `{"levels":["debug","info","warn","error"]}`)

		actor.register("somebody")
		if o := info.logged(t, actor.id); o["level"] != "info" {
			t.Errorf("registration at %v", o["level"])
		}
		debug.logged(t, actor.id)
		actor.subscribe("publish", "log.test")
		debug.await("a subscription at debug", func(m message) bool {
			return m.head() == logHead && m.object(t)["level"] == "debug" &&
				strings.Contains(string(m.Payload), "log.test")
		})
		late := n.dial(t, overWS)
		if o := info.logged(t, late.id); o["level"] != "info" {
			t.Errorf("connection at %v", o["level"])
		}
		debug.logged(t, late.id)
		actor.send("nonsense", "")
		actor.expectErrorHead()
		debug.await("a client's error at debug", func(m message) bool {
			return m.head() == logHead && m.object(t)["level"] == "debug"
		})
		info.settle()
		for _, m := range info.backlog {
			if o := logLine(t, m); o["level"] != "info" {
				t.Errorf("asked for info, got %s", m.Payload)
			}
		}
		errors.none()
	})
}

// A subscription replaces the one before; the expression selects;
// unsubscribing ends it, twice is no fault.
func TestS8_LogReplaceAndRegex(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		actor, other, control := n.dial(t, overTCP), n.dial(t, transport), n.dial(t, transport)
		control.ok("system.log.subscribe", `{"levels":["info","debug"]}`)
		actor.register("first")
		text, _ := control.logged(t, actor.id)["message"].(string)
		if text, _ = strings.CutSuffix(text, "first"); text == "" {
			t.Fatal("the line does not name the service")
		}

		other.ok("system.log.subscribe", `{"levels":["info"],"regex":"no line has this text"}`)
		actor.register("second")
		control.logged(t, actor.id)
		other.none()

		pattern, _ := json.Marshal("^" + regexp.QuoteMeta(text) + "third$")
		other.ok("system.log.subscribe", `{"levels":["info","debug"],"regex":`+string(pattern)+`}`)
		actor.subscribe("publish", "log.regex") // another line
		actor.register("third")
		control.logged(t, actor.id)
		if o := other.logged(t, actor.id); o["message"] != text+"third" {
			t.Errorf("got %v, want %q", o, text+"third")
		}
		other.settle()
		for _, m := range other.backlog {
			if o := logLine(t, m); o["message"] != text+"third" {
				t.Errorf("%q does not match %s", o["message"], pattern)
			}
		}
		other.backlog = nil

		other.ok("system.log.subscribe", `{"levels":["error"]}`) // replaces
		actor.register("fourth")
		control.logged(t, actor.id)
		other.none()
		other.ok("system.log.subscribe", `{"levels":["info"]}`)
		actor.register("fifth")
		other.logged(t, actor.id)
		other.ok("system.log.unsubscribe", "")
		other.ok("system.log.unsubscribe", "{}")
		other.settle()
		other.backlog = nil
		control.settle()
		control.backlog = nil
		actor.register("sixth")
		control.logged(t, actor.id)
		other.none()
	})
}

func TestS8_LogBadFields(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		for _, bad := range []string{
			`{"levels":["fatal"]}`, `{"levels":["info",""]}`, `{"levels":"info"}`,
			`{"levels":[1]}`, `{"levels":{}}`, `{"regex":"("}`, `{"regex":"(a)\\1"}`,
			`{"regex":"(?=x)"}`, `{"regex":1}`, `{"regex":["x"]}`,
			`{"levels":null}`, `{"levels":[null]}`, `{"regex":null}`,
		} {
			c.refused("system.log.subscribe", bad, "INVALID_REQUEST")
		}
		n.dial(t, transport).register("unheard")
		c.none()
	})
}

// Delivering a log line does not make another, even to a subscriber of everything.
func TestS8_LogDoesNotFeedItself(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c, actor := n.dial(t, transport), n.dial(t, transport)
		c.ok("system.log.subscribe", `{"levels":["debug","info","warn","error"]}`)
		actor.register("one event")
		c.logged(t, actor.id)
		const rounds = 20
		for range rounds {
			c.settle() // 3 messages of its own, which may each be logged at debug
		}
		if lines := len(c.backlog); lines > 6*rounds+10 {
			t.Errorf("%d lines for %d messages", lines, 3*rounds)
		}
	})
}

// Each part of the node speaks about its own, and a line names in its message whom it is about: the
// name of the service, else its ID.
func TestS8_LogModules(t *testing.T) {
	settings := []string{"connection.max.concurrent=4"}
	perTransport(t, settings, func(t *testing.T, n *node, transport string) {
		watcher := n.dial(t, overTCP)
		watcher.ok("system.log.subscribe", `{"levels":["debug","info","warn","error"]}`)
		said := func(module, about string, words ...string) {
			t.Helper()
			o := logLine(t, watcher.await(strings.Join(words, " "), func(m message) bool {
				text, _ := m.object(t)["message"].(string)
				for _, w := range words {
					if !strings.Contains(text, w) {
						return false
					}
				}
				return m.head() == logHead
			}))
			if o["module"] != module || !strings.Contains(o["message"].(string), about) {
				t.Errorf("%v: module %v in %v, want %s about %s",
					words, o["module"], o, module, about)
			}
		}
		a := n.dial(t, transport)
		said("connection", a.id, "connected: ")
		a.subscribe("request", "log.early")
		said("subscription", a.id, "subscribed: ", "request", "log.early")
		a.register("anna")
		said("registry", "anna", "registered: ")
		a.subscribe("publish", "log.late")
		said("subscription", "anna", "subscribed: ", "publish", "log.late")
		a.ok("system.topic.unsubscribe", `{"topic":"log.late"}`)
		said("subscription", "anna", "unsubscribed: ", "publish", "log.late")
		for _, header := range []string{
			"nonsense", "publish:no.body:1.0.0", "request:no.body:1.0.0:" + idA,
			"response:no.body:1.0.0:" + idA, "request:system.what:1.0.0",
		} {
			a.send(header, "")
			said("router", "anna", "client error: ")
			_ = a.recv().fault(t)
		}
		_ = a.peer.Close()
		said("connection", "anna", "disconnected: ")
		for range 4 { // there may be as many, and the watcher is one
			if p, err := n.connect(overTCP); err == nil {
				t.Cleanup(func() { _ = p.Close() })
			}
		}
		said("door", "connection_limit", "refused a connection: ")
	})
}

const auditHead = "publish:system.message:1.0.0"

// auditOf fits an audit message from or to a service.
func auditOf(key, id string) func(o map[string]any) bool {
	return func(o map[string]any) bool { return o[key] == id }
}

// audited takes the first audit message that fits.
func (c *client) audited(
	t testing.TB, what string, fits func(o map[string]any) bool,
) map[string]any {
	t.Helper()
	return c.await(what, func(m message) bool {
		return m.head() == auditHead && fits(m.object(t))
	}).object(t)
}

func auditHeader(o map[string]any) map[string]any {
	m, _ := o["message"].(map[string]any)
	h, _ := m["header"].(map[string]any)
	return h
}

func TestS8_AuditOfPublish(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		auditor, a, b := n.dial(t, to), n.dial(t, from), n.dial(t, to)
		b.subscribe("publish", "audit.test")
		auditor.subscribe("publish", "system.message")
		a.send("publish:Audit.Test:1.2.3:"+idA+":"+idB, `{"n":1,"s":"x"}`)
		masked := b.expect("publish:Audit.Test:1.2.3:*").ID
		ack := a.expect("response:Audit.Test:1.2.3:" + idA)

		taken := auditor.audited(t, "the message taken", auditOf("from", a.id))
		checkTimestamp(t, taken["timestamp"])
		wantHeader := map[string]any{
			"action": "publish", "topic": "Audit.Test", "version": "1.2.3",
			"requestId": idA, "parentRequestId": idB,
		}
		if taken["timeout"] != 5000.0 {
			t.Errorf("no timeout is the default, audited as %v", taken["timeout"])
		}
		if got := auditHeader(taken); !reflect.DeepEqual(got, wantHeader) {
			t.Errorf("taken: header %v, want %v", got, wantHeader)
		}
		wantPayload := map[string]any{"n": 1.0, "s": "x"}
		got := taken["message"].(map[string]any)["payload"]
		if !reflect.DeepEqual(got, wantPayload) {
			t.Errorf("taken: payload %v is not the JSON itself", got)
		}
		sent := auditor.audited(t, "the copy sent", auditOf("to", b.id))
		checkTimestamp(t, sent["timestamp"])
		h := auditHeader(sent)
		if h["requestId"] != masked || h["action"] != "publish" || sent["maskedId"] != idA {
			t.Errorf("sent: %v", sent)
		}
		answer := auditor.audited(t, "the acknowledgement", auditOf("to", a.id))
		if h := auditHeader(answer); h["requestId"] != idA || h["action"] != "response" {
			t.Errorf("acknowledged: %v", answer)
		}
		told := answer["message"].(map[string]any)["payload"]
		if got := fmt.Sprint(told); got != fmt.Sprint(ack.object(t)) {
			t.Errorf("acknowledged with %v, audited %v", ack, got)
		}
	})
}

func TestS8_AuditOfRequest(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		auditor, a, b := n.dial(t, from), n.dial(t, from), n.dial(t, to)
		b.subscribe("request", "audit.test")
		auditor.subscribe("publish", "system.message")
		a.send("request:audit.test:1.0.0:"+idA+"::1234", "question")
		masked := b.expect("request:audit.test:1.0.0:*").ID
		b.send("response:audit.test:1.0.0:"+masked, "answer")
		a.expectPayload("response:audit.test:1.0.0:"+idA, "answer")

		steps := []struct {
			what, key, id, action, requestID, payload string
		}{
			{"request taken", "from", a.id, "request", idA, "question"},
			{"request sent", "to", b.id, "request", masked, "question"},
			{"response taken", "from", b.id, "response", masked, "answer"},
			{"response sent", "to", a.id, "response", idA, "answer"},
		}
		for _, s := range steps {
			o := auditor.audited(t, s.what, auditOf(s.key, s.id))
			h := auditHeader(o)
			if h["action"] != s.action || h["requestId"] != s.requestID ||
				o["message"].(map[string]any)["payload"] != s.payload {
				t.Errorf("%s: %v", s.what, o)
			}
			if s.what == "request taken" &&
				(o["timeout"] != 1234.0 || fmt.Sprint(h["timeout"]) != "1234") {
				t.Errorf("timeout 1234 audited as %v, in the header %v", o["timeout"], h["timeout"])
			}
			if s.what == "response taken" && o["timeout"] != 5000.0 {
				t.Errorf("no timeout is the default, audited as %v", o["timeout"])
			}
			if s.what == "request sent" && o["maskedId"] != idA {
				t.Errorf("maskedId is %v, want %s", o["maskedId"], idA)
			}
		}
		// Without an ID nothing was masked.
		a.send("request:audit.test:1.0.0", "no ID")
		b.expect("request:audit.test:1.0.0:*")
		taken := auditor.audited(t, "request taken", auditOf("from", a.id))
		if _, there := auditHeader(taken)["requestId"]; there {
			t.Errorf("a requestId where there was none: %v", taken)
		}
		sent := auditor.audited(t, "request sent", auditOf("to", b.id))
		if id, there := sent["maskedId"]; there {
			t.Errorf("maskedId %v where there was none", id)
		}
	})
}

// The payload is the JSON itself, a string, or base64.
func TestS8_AuditPayloads(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		auditor, a := n.dial(t, to), n.dial(t, from)
		auditor.subscribe("publish", "system.message")
		for _, row := range []struct {
			payload string
			want    any
			base64  bool
		}{
			{`{"a":[1,null,"x"]}`, map[string]any{"a": []any{1.0, nil, "x"}}, false},
			{"[1,\n 2]", []any{1.0, 2.0}, false}, // still one line
			{`"text"`, "text", false},
			{`12.5`, 12.5, false},
			{`true`, true, false},
			{`not JSON`, "not JSON", false},
			{"two\nlines \"quoted\" \u2028 \x01", "two\nlines \"quoted\" \u2028 \x01", false},
			{`{"a":1} tail`, `{"a":1} tail`, false},
			{"\xff\xfe\x00bytes",
				base64.StdEncoding.EncodeToString([]byte("\xff\xfe\x00bytes")), true},
		} {
			a.send("publish:nobody.listens:1.0.0", row.payload)
			a.expectFault("response:nobody.listens:1.0.0:*", "NO_ROUTE_FOUND")
			o := auditor.audited(t, "the message taken", auditOf("from", a.id))
			m := o["message"].(map[string]any)
			if !reflect.DeepEqual(m["payload"], row.want) {
				t.Errorf("%q: audited as %v", row.payload, m["payload"])
			}
			encoding, there := m["encoding"]
			if there != row.base64 || there && encoding != "base64" {
				t.Errorf("%q: encoding %v", row.payload, encoding)
			}
		}
	})
}

// Malformed messages are not taken; audit messages are not audited;
// without a subscriber nothing comes.
func TestS8_AuditLimits(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		auditor, a := n.dial(t, transport), n.dial(t, transport)
		auditor.subscribe("publish", "system.message")
		a.send("nonsense", "")
		a.expectErrorHead()
		a.send("publish:nobody.listens:1.0.0", "marker")
		a.expectFault("response:nobody.listens:1.0.0:*", "NO_ROUTE_FOUND")
		first := auditor.audited(t, "the message taken", auditOf("from", a.id))
		if first["message"].(map[string]any)["payload"] != "marker" {
			t.Errorf("a malformed message was taken: %v", first)
		}
		auditor.settle()
		for _, m := range auditor.backlog {
			if m.head() != auditHead {
				t.Errorf("got %v", m)
				continue
			}
			topic, _ := auditHeader(m.object(t))["topic"].(string)
			if strings.EqualFold(topic, "system.message") {
				t.Errorf("an audit message was audited: %s", m.Payload)
			}
		}
		auditor.ok("system.topic.unsubscribe", `{"topic":"system.message"}`)
		auditor.settle()
		auditor.backlog = nil
		a.send("publish:nobody.listens:1.0.0", "unseen")
		a.expectFault("response:nobody.listens:1.0.0:*", "NO_ROUTE_FOUND")
		auditor.none()
	})
}
