package blackbox

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// However a message is written and wherever it comes in, what is forbidden is: no spelling, no run
// of permitted messages before it, no piece of it, no listener is a way around.
func TestS10_NoFastPath(t *testing.T) {
	t.Parallel()
	n := startNode(t, knows("anna", "bob"), permissions)
	b := n.dial(t, overTCP)
	b.identify("bob")
	b.subscribe("both", "#")
	for _, transport := range transports {
		a := n.dial(t, transport)
		a.identify("anna")
		for _, header := range []string{
			"publish:a.secret:1.0.0", "PUBLISH:A.SECRET:1.0.0", "Publish:a.Secret:7.0.0::",
			"publish:a.secret:1.0.0:", "publish:a.secret:1.0.0:" + idA + ":" + idB,
			"request:a.secret:1.0.0", "request:a.x:1.0.0:" + idA + "::50",
			"request:ask:1.0.0:" + idA,
			"request:ask.x.y:1.0.0:" + idA + ":" + idB + ":1000", "publish:system:1.0.0",
		} {
			a.send("publish:a.x:1.0.0", "before")
			a.send(header, "hidden")
			a.send("publish:a.x:1.0.0", "behind")
			m := a.await("an answer", func(m message) bool { return m.Action == "response" })
			if e := m.fault(t); e.Code != "FORBIDDEN" {
				t.Errorf("%s over %s: %v", header, transport, m)
			}
		}
	}
	b.settle()
	for _, m := range b.backlog {
		if string(m.Payload) == "hidden" {
			t.Errorf("what is forbidden arrived: %v", m)
		}
	}
}

// The audit shows no answer and no notice that its reader could not have asked for.
func TestS10_AuditTellsNoMore(t *testing.T) {
	t.Parallel()
	n := startNode(t, knows("anna", "carl", "bob"), `permissions.roles={`+
		`"anna":{"system":["message"],"subscribe":{"allow":["seen"]}},`+
		`"carl":{"system":["message","service.list"]},`+
		`"bob":{"system":["*"],"publish":{"allow":["#"]},"subscribe":{"allow":["#"]}}}`)
	a, carl := n.dial(t, overTCP), n.dial(t, overWS)
	a.identify("anna")
	carl.identify("carl")
	for _, c := range []*client{a, carl} {
		c.subscribe("publish", "system.message")
	}
	b, other := n.dial(t, overTLS), n.dial(t, overWSS)
	b.identify("bob")
	other.identify("bob")
	other.subscribe("publish", "private.topic")
	b.ok("system.service.subscriptions", `{"serviceId":"`+other.id+`"}`)
	b.ok("system.service.list", "")
	b.ok("system.topic.list", "")
	b.send("publish:seen:1.0.0", "visible")
	for _, c := range []*client{a, carl} {
		c.settle()
		shown := false
		for _, m := range c.backlog {
			text := string(m.Payload)
			shown = shown || strings.Contains(text, "visible")
			mayList := c == carl && strings.Contains(text, `"topic":"system.service.subscriptions"`)
			if strings.Contains(text, "private.topic") && !mayList ||
				strings.Contains(text, "backlogBytes") || strings.Contains(text, `"expiresAt"`) ||
				strings.Contains(text, `"topic":"system.initialize"`) {
				t.Errorf("shown: %.300v", m)
			}
		}
		if shown != (c == a) {
			t.Errorf("a message on a topic that it may use: shown %v", shown)
		}
	}
}

// Behind a balancer it is the client's own address that is locked out, never the balancer's, and no
// other client's.
func TestS10_LockoutBehindProxy(t *testing.T) {
	t.Parallel()
	n := startNode(t, knows("anna"), "auth.failure.lockout.threshold=2",
		"proxy.trusted=127.0.0.1", "proxy.protocol=off")
	attempt := func(status int, reason string, fields ...string) {
		t.Helper()
		r := dialRaw(t, n.ws)
		r.write(head(append(fields, "Authorization: Bearer x")...))
		resp, body := r.answer()
		if resp.StatusCode != status || !strings.Contains(body, `"reason":"`+reason+`"`) {
			t.Errorf("%v: %s %s", fields, resp.Status, body)
		}
	}
	const by = "X-Forwarded-For: "
	for range 2 {
		attempt(401, "invalid", by+"203.0.113.1")
	}
	attempt(429, "locked_out", by+"203.0.113.1")
	attempt(429, "locked_out", by+"203.0.113.2, 203.0.113.1") // its own word does not count
	attempt(401, "invalid", by+"203.0.113.2")
	for range 4 {
		attempt(401, "invalid")
		c := n.dial(t, overTCP)
		wantReason(t, c.refused("system.auth", `{"token":"x"}`, "UNAUTHORIZED"),
			"UNAUTHORIZED", "invalid")
	}
}

// No token is in the log, in an error or in the audit, in whatever way it came.
func TestS10_TokensAreNotShown(t *testing.T) {
	t.Parallel()
	n := startNode(t, knows("anna"), "logging.level=debug", "auth.failure.lockout.threshold=0")
	const secret = "sesame0sesame1sesame2"
	for _, request := range []string{
		strings.Replace(string(head()), "GET /", "GET /?access_token="+secret, 1),
		strings.Replace(string(head()), "GET / HTTP/1.1", "GET /?access_token="+secret+" X", 1),
		strings.Replace(string(head("X")), "GET /", "GET /?access_token="+secret, 1),
		string(head("Authorization: Bearer " + secret)),
		string(head("Authorization: Bearer "+secret, "Authorization: Bearer "+secret)),
	} {
		r := dialRaw(t, n.ws)
		r.write([]byte(request))
		if _, body := r.answer(); strings.Contains(body, secret) {
			t.Errorf("%s: %s", request, body)
		}
	}
	c := n.dial(t, overTCP)
	c.identify("anna")
	c.refused("system.auth", `{"token":"`+secret+`"}`, "UNAUTHORIZED")
	n.says("client error")
	if text := n.out.String(); strings.Contains(text, secret) ||
		strings.Contains(text, tokenOf("anna")) {
		t.Errorf("a token is in the log")
	}
	for _, tokens := range []string{
		`[{"identity":"a","sha256":"` + secret + `"}]`, `["` + secret + `"]`,
		`[{"identity":"a","token":"` + secret + `"}]`, `{"a":"` + secret + `"}`, `"` + secret + `"`,
		`[{"identity":"a","sha256":["` + secret + `"]}]`,
	} {
		path := filepath.Join(t.TempDir(), "mb.yaml")
		if err := os.WriteFile(path, []byte("auth.tokens: "+tokens), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, l := range []launch{{settings: []string{"auth.tokens=" + tokens}}, {config: path},
			{settings: []string{"auth.token=" + tokens}}} {
			bad, err := tryNode(t, l)
			if err == nil {
				t.Cleanup(bad.finish)
				t.Errorf("it starts with %s", tokens)
			} else if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", tokens, err)
			}
		}
	}
}

// A token may be longer than the messages of a node: up to 8 KiB it is looked at.
func TestS10_LongTokens(t *testing.T) {
	long := strings.Repeat("x", 8<<10)
	knowsLong := fmt.Sprintf(`auth.tokens=[{"identity":"anna","sha256":"%x"}]`,
		sha256.Sum256([]byte(long)))
	perTransport(t, []string{knowsLong, "message.payload.maxLength=256"},
		func(t *testing.T, n *node, transport string) {
			c := n.dial(t, transport)
			longer := n.dial(t, transport)
			wantReason(t, longer.refused("system.auth", `{"token":"`+long+`y"}`, "UNAUTHORIZED"),
				"UNAUTHORIZED", "invalid")
			if o := c.ok("system.auth", `{"token":"`+long+`"}`); o["identity"] != "anna" {
				t.Errorf("%v", o)
			}
			c.send("publish:a:1.0.0", long) // legal as a frame
			m := c.await("an error", func(m message) bool { return m.Topic == "a" })
			if e := m.fault(t); e.Code != "MALFORMED_MESSAGE" || e.Details["maxLength"] != 256.0 {
				t.Errorf("%v", e.Details)
			}
			c.ok("system.heartbeat", "")
		})
}
