package broker

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"mbserver/codec"
	"mbserver/server/config"
	"mbserver/server/logging"
)

// expect takes, of the messages that came, the first that fits.
func (k *testClient) expect(what string, fits func(m *testMessage) bool) testMessage {
	k.node.t.Helper()
	k.node.settle()
	k.kept = append(k.kept, k.messages()...)
	for i := range k.kept {
		if m := k.kept[i]; fits(&m) {
			k.kept = append(k.kept[:i:i], k.kept[i+1:]...)
			return m
		}
	}
	k.node.t.Fatalf("it never came: %s", what)
	return testMessage{}
}

// expectTopic takes the first message whose header begins so.
func (k *testClient) expectTopic(prefix string) testMessage {
	k.node.t.Helper()
	return k.expect(prefix, func(m *testMessage) bool {
		return strings.HasPrefix(m.header, prefix)
	})
}

// object returns the payload, which must be a JSON object.
func (m *testMessage) object(t testing.TB) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(m.payload, &o); err != nil {
		t.Fatalf("%s: %v in %q", m.header, err, m.payload)
	}
	return o
}

// ask makes a request on a system topic that must succeed.
func (k *testClient) ask(topic, payload string) map[string]any {
	k.node.t.Helper()
	k.send("request:" + topic + ":1.0.0:" + testRequestID + "\n" + payload)
	m := k.expectTopic("response:" + topic + ":1.0.0:" + testRequestID)
	o := m.object(k.node.t)
	if o["status"] != "success" {
		k.node.t.Fatalf("%s %s: %v", topic, payload, o)
	}
	return o
}

// subscribe subscribes the client to a topic.
func (k *testClient) subscribe(action, topic string) {
	k.node.t.Helper()
	k.ask("system.topic.subscribe", `{"action":"`+action+`","topic":"`+topic+`"}`)
}

// audited takes the next audit message about the service: key is from or to.
func (k *testClient) audited(key, id string) map[string]any {
	k.node.t.Helper()
	m := k.expect("audit "+key+" "+id, func(m *testMessage) bool {
		return m.header == "publish:system.message:1.0.0" && m.object(k.node.t)[key] == id
	})
	return m.object(k.node.t)
}

func auditedMessage(o map[string]any) (header map[string]any, payload any) {
	m, _ := o["message"].(map[string]any)
	header, _ = m["header"].(map[string]any)
	return header, m["payload"]
}

// A request's whole life is audited, on both loops and to both auditors, while other work goes on
// undisturbed.
func TestAuditOfRequest(t *testing.T) {
	n := newTestNode(t, 1, 2, func(cfg *config.Config) { cfg.Message.PayloadMaxLength = 64 << 10 })
	const id = "00000000-0000-4000-8000-00000000000a"
	auditors := []*testClient{n.connect(0, TransportTCP), n.connect(1, TransportWS)}
	a, b := n.connect(0, TransportTCP), n.connect(1, TransportTCP)
	b.subscribe("request", "audit.it")
	for _, c := range auditors {
		c.subscribe("publish", "system.message")
	}
	// The first is copied into rings, the second is shared.
	for round, payload := range []string{"question", strings.Repeat("long ", 4000)} {
		timeout, header := 5000.0, "request:Audit.It:1.2.3:"+id
		if round == 0 {
			timeout, header = 1234, header+"::1234"
		}
		a.send(header + "\n" + payload)
		m := b.expectTopic("request:Audit.It:1.2.3:")
		masked := string(m.RequestID)
		if string(m.payload) != payload {
			t.Fatalf("the request arrived as %.80q", m.payload)
		}
		b.send("response:audit.it:1.0.0:" + masked + "\nanswer to " + payload)
		got := a.expectTopic("response:Audit.It:1.2.3:" + id)
		if string(got.payload) != "answer to "+payload {
			t.Fatalf("answered with %.80q", got.payload)
		}
		for _, c := range auditors {
			taken := c.audited("from", a.id.String())
			h, p := auditedMessage(taken)
			if h["action"] != "request" || h["requestId"] != id ||
				p != payload || taken["timeout"] != timeout {
				t.Errorf("taken: %.300v", taken)
			}
			sent := c.audited("to", b.id.String())
			h, p = auditedMessage(sent)
			if h["requestId"] != masked || h["topic"] != "Audit.It" ||
				p != payload || sent["maskedId"] != id {
				t.Errorf("sent: %.300v", sent)
			}
			answer := c.audited("from", b.id.String())
			h, p = auditedMessage(answer)
			if h["action"] != "response" || h["requestId"] != masked ||
				p != "answer to "+payload || answer["timeout"] != 5000.0 {
				t.Errorf("answer taken: %.300v", answer)
			}
			back := c.audited("to", a.id.String())
			h, p = auditedMessage(back)
			if h["requestId"] != id || p != "answer to "+payload || back["maskedId"] != nil {
				t.Errorf("answer sent: %.300v", back)
			}
		}
	}
}

// Copies of a publish, the broker's answers, greetings and log lines are audited as sent; audit
// messages are not.
func TestAuditOfPublish(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	n.onLine = func(logging.Line, []*service) {}
	auditor, a := n.connect(0, TransportTCP), n.connect(1, TransportTCP)
	subscribers := []*testClient{n.connect(0, TransportTCP), n.connect(1, TransportWS), a}
	for _, s := range subscribers {
		s.subscribe("publish", "audit.it")
	}
	a.ask("system.log.subscribe", `{"levels":["info"]}`)
	auditor.subscribe("publish", "system.message")
	const id = "00000000-0000-4000-8000-00000000000a"
	a.send("publish:audit.it:1.0.0:" + id + "\n" + `{"n":1}`)
	m := a.expectTopic("response:audit.it:1.0.0:" + id)
	ack := m.object(t)
	for _, s := range subscribers {
		m := s.expectTopic("publish:audit.it:1.0.0:")
		sent := auditor.audited("to", s.id.String())
		h, p := auditedMessage(sent)
		if h["requestId"] != string(m.RequestID) || sent["maskedId"] != id ||
			!reflect.DeepEqual(p, map[string]any{"n": 1.0}) {
			t.Errorf("sent: %v", sent)
		}
	}
	answer := auditor.audited("to", a.id.String())
	h, p := auditedMessage(answer)
	if h["action"] != "response" || fmt.Sprint(p) != fmt.Sprint(ack) {
		t.Errorf("acknowledged: %v, audited %v", ack, answer)
	}
	late := n.connect(0, TransportTCP)
	greeting := auditor.audited("to", late.id.String())
	h, _ = auditedMessage(greeting)
	if h["topic"] != "system.initialize" || greeting["maskedId"] != nil {
		t.Errorf("greeted: %v", greeting)
	}
	a.expectTopic("response:system.log") // the connection's line
	audited := auditor.expect("the audit of the line", func(m *testMessage) bool {
		if m.header != "publish:system.message:1.0.0" {
			return false
		}
		h, _ := auditedMessage(m.object(t))
		return h["topic"] == "system.log"
	})
	if line := audited.object(t); line["to"] != a.id.String() {
		t.Errorf("log line: %s", audited.payload)
	}
	n.settle()
	for _, m := range append(auditor.kept, auditor.messages()...) {
		if m.header != "publish:system.message:1.0.0" {
			continue
		}
		h, _ := auditedMessage(m.object(t))
		if h["topic"] == "system.message" {
			t.Errorf("audited: %s", m.payload)
		}
	}
	auditor.ask("system.topic.unsubscribe", `{"topic":"system.message"}`)
	if n.audited() {
		t.Error("audited without a subscriber")
	}
}

// A subscriber that leaves ends the audit, and so does one that was cut in the middle of it.
func TestAuditEndsWithItsSubscriber(t *testing.T) {
	for _, reset := range []bool{false, true} {
		n := newTestNode(t, 1, 1, nil)
		auditor := n.connect(0, TransportTCP)
		auditor.subscribe("publish", "system.message")
		if !n.audited() {
			t.Fatal("not audited")
		}
		auditor.hangUp(reset)
		if n.settle(); n.audited() {
			t.Errorf("audited without a subscriber, reset = %v", reset)
		}
	}
}

// What the loop is doing while it audits keeps its scratch space: composing an audit message
// touches none of it.
func TestAuditKeepsScratch(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	l := n.loops[0]
	l.header, l.answer = []byte("header"), []byte("answer")
	l.notice, l.lower = []byte("notice"), []byte("lower")
	c := &Conn{}
	c.loop = l
	l.auditSent(c, &outgoing{header: []byte("publish:a.b:1.0.0\n"), payload: []byte("payload")})
	h, payload, err := codec.ParseHeader([]byte("publish:a.b:1.0.0\nx"), 1)
	if err != nil {
		t.Fatal(err)
	}
	l.auditTaken(c, &h, payload)
	got := string(l.header) + string(l.answer) + string(l.notice) + string(l.lower)
	if got != "headeranswernoticelower" {
		t.Errorf("scratch became %q", got)
	}
}

// What follows from a message never seems to come before it, whichever loop's clock is behind and
// wherever the wall's is set.
func TestAuditStampsNeverRunBackwards(t *testing.T) {
	var a audit
	for _, row := range []struct{ now, want int64 }{
		{100, 100}, {99, 100}, {100, 100}, {107, 107}, {0, 107}, {108, 108},
	} {
		if got := a.stamp(row.now); got != row.want {
			t.Errorf("at %d: %d, want %d", row.now, got, row.want)
		}
	}
}
