package server

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"mbserver/codec"
	"mbserver/server/config"
)

// audited takes the next audit message about the service: key is from or to.
func (c *liveClient) audited(key, id string) map[string]any {
	c.t.Helper()
	return c.await("audit "+key+" "+id, func(m wireMessage) bool {
		return m.header == "publish:system.message:1.0.0" && m.object(c.t)[key] == id
	}).object(c.t)
}

func auditedMessage(o map[string]any) (header map[string]any, payload any) {
	m, _ := o["message"].(map[string]any)
	header, _ = m["header"].(map[string]any)
	return header, m["payload"]
}

// A request's whole life is audited, on both loops and to both auditors, while other work goes on undisturbed.
func TestAuditOfRequest(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) { cfg.Message.PayloadMaxLength = 64 << 10 })
	const id = "00000000-0000-4000-8000-00000000000a"
	auditors := []*liveClient{n.dial(), n.dial()}
	a, b := n.dial(), n.dial()
	b.subscribe("request", "audit.it")
	for _, c := range auditors {
		c.subscribe("publish", "system.message")
	}
	for round, payload := range []string{"question", strings.Repeat("long ", 4000)} { // copied into rings, and shared
		timeout, header := 5000.0, "request:Audit.It:1.2.3:"+id
		if round == 0 {
			timeout, header = 1234, header+"::1234"
		}
		a.send(header, payload)
		m := b.awaitTopic("request:Audit.It:1.2.3:")
		if string(m.payload) != payload {
			t.Fatalf("the request arrived as %.80q", m.payload)
		}
		b.send("response:audit.it:1.0.0:"+m.requestID(), "answer to "+payload)
		if got := a.awaitTopic("response:Audit.It:1.2.3:" + id); string(got.payload) != "answer to "+payload {
			t.Fatalf("answered with %.80q", got.payload)
		}
		for _, c := range auditors {
			taken := c.audited("from", a.id)
			if h, p := auditedMessage(taken); h["action"] != "request" || h["requestId"] != id || p != payload || taken["timeout"] != timeout {
				t.Errorf("taken: %.300v", taken)
			}
			sent := c.audited("to", b.id)
			if h, p := auditedMessage(sent); h["requestId"] != m.requestID() || h["topic"] != "Audit.It" || p != payload || sent["maskedId"] != id {
				t.Errorf("sent: %.300v", sent)
			}
			answer := c.audited("from", b.id)
			if h, p := auditedMessage(answer); h["action"] != "response" || h["requestId"] != m.requestID() || p != "answer to "+payload || answer["timeout"] != 0.0 {
				t.Errorf("answer taken: %.300v", answer)
			}
			back := c.audited("to", a.id)
			if h, p := auditedMessage(back); h["requestId"] != id || p != "answer to "+payload || back["maskedId"] != nil {
				t.Errorf("answer sent: %.300v", back)
			}
		}
	}
}

// Copies of a publish, the broker's answers and greetings are audited as sent; audit messages and log lines are not.
func TestAuditOfPublish(t *testing.T) {
	n := startLiveNode(t, nil)
	auditor, a := n.dial(), n.dial()
	subscribers := []*liveClient{n.dial(), n.dial(), a}
	for _, s := range subscribers {
		s.subscribe("publish", "audit.it")
	}
	a.ok("system.log.subscribe", `{"levels":["info"]}`)
	auditor.subscribe("publish", "system.message")
	const id = "00000000-0000-4000-8000-00000000000a"
	a.send("publish:audit.it:1.0.0:"+id, `{"n":1}`)
	ack := a.awaitTopic("response:audit.it:1.0.0:" + id).object(t)
	for _, s := range subscribers {
		masked := s.awaitTopic("publish:audit.it:1.0.0:").requestID()
		sent := auditor.audited("to", s.id)
		h, p := auditedMessage(sent)
		if h["requestId"] != masked || sent["maskedId"] != id || !reflect.DeepEqual(p, map[string]any{"n": 1.0}) {
			t.Errorf("sent: %v", sent)
		}
	}
	answer := auditor.audited("to", a.id)
	if h, p := auditedMessage(answer); h["action"] != "response" || fmt.Sprint(p) != fmt.Sprint(ack) {
		t.Errorf("acknowledged: %v, audited %v", ack, answer)
	}
	late := n.dial()
	greeting := auditor.audited("to", late.id)
	if h, _ := auditedMessage(greeting); h["topic"] != "system.initialize" || greeting["maskedId"] != nil {
		t.Errorf("greeted: %v", greeting)
	}
	a.awaitTopic("response:system.log") // the connection's line
	auditor.settle(n)
	for _, m := range auditor.backlog {
		if m.header != "publish:system.message:1.0.0" {
			continue
		}
		if h, _ := auditedMessage(m.object(t)); h["topic"] == "system.message" || h["topic"] == "system.log" {
			t.Errorf("audited: %s", m.payload)
		}
	}
	auditor.ok("system.topic.unsubscribe", `{"topic":"system.message"}`)
	if n.audited() {
		t.Error("audited without a subscriber")
	}
}

// A subscriber that leaves ends the audit, and so does one that was cut in the middle of it.
func TestAuditEndsWithItsSubscriber(t *testing.T) {
	n := startLiveNode(t, nil)
	auditor := n.dial()
	auditor.subscribe("publish", "system.message")
	if !n.audited() {
		t.Fatal("not audited")
	}
	_ = auditor.conn.Close()
	eventually(t, "the audit ends", func() bool { return !n.audited() })
}

// What the loop is doing while it audits keeps its scratch space: composing an audit message touches none of it.
func TestAuditKeepsScratch(t *testing.T) {
	n := newLiveNode(t, nil)
	l := n.loops[0]
	l.header, l.answer, l.notice, l.lower = []byte("header"), []byte("answer"), []byte("notice"), []byte("lower")
	c := &conn{}
	c.loop = l
	l.auditSent(c, &outgoing{header: []byte("publish:a.b:1.0.0\n"), payload: []byte("payload")})
	h, payload, err := codec.ParseHeader([]byte("publish:a.b:1.0.0\nx"), 1)
	if err != nil {
		t.Fatal(err)
	}
	l.auditTaken(c, &h, payload)
	if got := string(l.header) + string(l.answer) + string(l.notice) + string(l.lower); got != "headeranswernoticelower" {
		t.Errorf("scratch became %q", got)
	}
}
