package blackbox

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tokenOf is an identity's token in these tests.
func tokenOf(identity string) string { return "token-of-" + identity }

// knows is a setting of auth.tokens for some identities, each with a role of its name.
func knows(identities ...string) string {
	var list []string
	for _, identity := range identities {
		sum := sha256.Sum256([]byte(tokenOf(identity)))
		list = append(list, fmt.Sprintf(`{"identity":%q,"sha256":%q,"roles":[%q]}`,
			identity, hex.EncodeToString(sum[:]), identity))
	}
	return "auth.tokens=[" + strings.Join(list, ",") + "]"
}

// identify proves who a client is, and wants what the node says of it.
func (c *client) identify(identity string) {
	c.t.Helper()
	if o := c.ok("system.auth", fmt.Sprintf(`{"token":%q}`, tokenOf(identity))); o["identity"] !=
		identity {
		c.t.Fatalf("identified as %v", o)
	}
}

// gone waits for the end of a connection, and returns the last message before it.
func (c *client) gone() (last message) {
	c.t.Helper()
	if n := len(c.backlog); n > 0 {
		last = c.backlog[n-1]
	}
	for {
		m, err := c.tryFresh()
		if err != nil {
			return last
		}
		last = m
	}
}

// wantReason wants an error of a code and a reason.
func wantReason(t testing.TB, e errorBody, code, reason string) {
	t.Helper()
	if e.Code != code || e.Details["reason"] != reason {
		t.Fatalf("%s %v, want %s %s", e.Code, e.Details, code, reason)
	}
}

// Before it is authenticated a connection may say who it is and give signs of life, is in no list,
// and gets nothing; afterwards it is a service like any other.
func TestS10_BeforeAuthentication(t *testing.T) {
	perTransport(t, []string{knows("anna", "bob")}, func(t *testing.T, n *node, transport string) {
		a, b := n.dial(t, transport), n.dial(t, transport)
		if a.initial["auth"].(map[string]any)["required"] != true {
			t.Errorf("greeted with %v", a.initial)
		}
		a.ok("system.heartbeat", "")
		for _, topic := range []string{
			"system.service.list", "system.topic.subscribe", "system.metrics", "system.nothing",
		} {
			wantReason(t, a.refused(topic, "", "UNAUTHORIZED"), "UNAUTHORIZED", "required")
		}
		a.send("publish:x:1.0.0:"+idA, "")
		wantReason(t, a.expectFault("response:x:1.0.0:"+idA, "UNAUTHORIZED"),
			"UNAUTHORIZED", "required")
		b.identify("bob")
		if b.service(a.id) != nil || b.service(b.id) == nil {
			t.Error("who is not known is in the list, or who is, is not")
		}
		wantReason(t, a.refused("system.auth", `{"token":"wrong"}`, "UNAUTHORIZED"),
			"UNAUTHORIZED", "invalid")
		a.identify("anna")
		if got := b.service(a.id)["identity"]; got != "anna" {
			t.Errorf("it is %v", got)
		}
		a.subscribe("publish", "x")
		wantReason(t, a.refused("system.auth", `{"token":"`+tokenOf("bob")+`"}`, "FORBIDDEN"),
			"FORBIDDEN", "identity")
		a.identify("anna")
		a.none()
	})
}

// What follows system.auth on a connection is taken when that is answered, even when it came in the
// same piece.
func TestS10_WhatFollowsWaits(t *testing.T) {
	perTransport(t, []string{knows("anna")}, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		c.send("request:system.auth:1.0.0:"+idA, `{"token":"`+tokenOf("anna")+`"}`)
		for range 50 {
			c.send("request:system.topic.subscribe:1.0.0:"+idB, `{"action":"publish","topic":"x"}`)
		}
		c.send("publish:x:1.0.0", "hello")
		c.expect("response:system.auth:1.0.0:" + idA)
		for range 50 {
			c.expectPayload("response:system.topic.subscribe:1.0.0:"+idB, `{"status":"success"}`)
		}
		if m := c.fresh(); string(m.Payload) != "hello" {
			t.Errorf("got %v", m)
		}
	})
}

// Who does not say who it is, sends too much before, or is wrong three times, is told and closed.
func TestS10_Closed(t *testing.T) {
	t.Parallel()
	n := startNode(t, knows("anna"), "auth.timeout=300", "auth.failure.lockout.threshold=0")
	for _, transport := range transports {
		late := n.dial(t, transport)
		wantReason(t, late.gone().fault(t), "UNAUTHORIZED", "required")
		much := n.dial(t, transport)
		for range 3 {
			if much.peer.Send([]byte("publish:x:1.0.0\n"+strings.Repeat("x", 8<<10))) != nil {
				break
			}
		}
		wantReason(t, much.gone().fault(t), "UNAUTHORIZED", "required")
		wrong := n.dial(t, transport)
		for range 3 {
			wantReason(t, wrong.refused("system.auth", `{"token":"x"}`, "UNAUTHORIZED"),
				"UNAUTHORIZED", "invalid")
		}
		wrong.gone()
	}
}

// Every way in which credentials come with a handshake, in the contract's order: a wrong one is not
// replaced by the next.
func TestS10_Handshake(t *testing.T) {
	t.Parallel()
	n := startNode(t, knows("anna", "bob"), "auth.failure.lockout.threshold=0")
	protocol := func(identity string) string {
		return "mb.token." + base64.RawURLEncoding.EncodeToString([]byte(tokenOf(identity)))
	}
	bearer := "Authorization: Bearer "
	for _, tt := range []struct {
		name, query string
		fields      []string
		want        string // identity, or the reason of a refusal
		selected    string // subprotocol
	}{
		{"bearer", "", []string{bearer + tokenOf("anna")}, "anna", ""},
		{"in any case", "", []string{"authorization: bearer  " + tokenOf("anna")}, "anna", ""},
		{"subprotocol", "", []string{"Sec-WebSocket-Protocol: mb, " + protocol("anna")},
			"anna", "mb"},
		{"another order", "", []string{"Sec-WebSocket-Protocol: " + protocol("bob") + ", x, mb"},
			"bob", "x"},
		{"query", "?x=1&access_token=" + tokenOf("anna"), nil, "anna", ""},
		{"escaped", "?access_token=token%2Dof-anna", nil, "anna", ""},
		{"bearer first", "?access_token=" + tokenOf("bob"), []string{
			bearer + tokenOf("anna"), "Sec-WebSocket-Protocol: mb, " + protocol("bob")},
			"anna", "mb"},
		{"wrong, and a good one", "?access_token=" + tokenOf("bob"), []string{bearer + "x"},
			"invalid", ""},
		{"another scheme", "", []string{"Authorization: Basic eDp5"}, "", ""},
		{"no base64", "", []string{"Sec-WebSocket-Protocol: mb, mb.token.a=b"}, "malformed", ""},
		{"long", "", []string{bearer + strings.Repeat("x", 4097)}, "invalid", ""},
		{"empty", "", []string{"Authorization: Bearer "}, "invalid", ""},
	} {
		r := dialRaw(t, n.ws)
		text := strings.Replace(string(head(tt.fields...)), "GET /", "GET /"+tt.query, 1)
		r.write([]byte(text))
		switch tt.want {
		case "invalid":
			wantRefused(t, r, overWS, 401, "UNAUTHORIZED", `{"reason":"invalid"}`)
			continue
		case "malformed":
			if resp, _ := r.answer(); resp.StatusCode != 400 && resp.StatusCode != 401 {
				t.Errorf("%s: %s", tt.name, resp.Status)
			}
			continue
		}
		resp, _ := r.answer()
		if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Protocol") != tt.selected {
			t.Errorf("%s: %s, subprotocol %q", tt.name, resp.Status,
				resp.Header.Get("Sec-WebSocket-Protocol"))
			continue
		}
		_, payload := r.frame()
		has := strings.Contains(string(payload), `"identity":"`+tt.want+`"`)
		if has != (tt.want != "") {
			t.Errorf("%s: %s", tt.name, payload)
		}
	}
	r := dialRaw(t, n.ws)
	r.write(head("Sec-WebSocket-Protocol: " + protocol("anna")))
	resp, body := r.answer()
	if resp.StatusCode != 400 || !strings.Contains(body, "offer mb as well") {
		t.Errorf("%s %s", resp.Status, body)
	}
	r = dialRaw(t, n.ws)
	r.write(head(bearer + "x"))
	if resp, _ := r.answer(); resp.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("%v", resp.Header)
	}
}

// An address from which many wrong credentials came is told to wait, over both transports; a good
// one is accepted from it all the same, and who is connected notices nothing.
func TestS10_Lockout(t *testing.T) {
	t.Parallel()
	n := startNode(t, knows("anna"), "auth.failure.lockout.threshold=2",
		"auth.failure.lockout.duration=60")
	before := n.dial(t, overWS)
	before.identify("anna")
	for range 2 {
		r := dialRaw(t, n.ws)
		r.write(head("Authorization: Bearer x"))
		wantRefused(t, r, overWS, 401, "UNAUTHORIZED", `{"reason":"invalid"}`)
	}
	r := dialRaw(t, n.ws)
	r.write(head("Authorization: Bearer x"))
	resp, body := r.answer()
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" ||
		!strings.Contains(body, `"reason":"locked_out"`) {
		t.Errorf("%s %v %s", resp.Status, resp.Header, body)
	}
	c := n.dial(t, overTCP)
	e := c.refused("system.auth", `{"token":"x"}`, "UNAUTHORIZED")
	wantReason(t, e, "UNAUTHORIZED", "locked_out")
	if ms, _ := e.Details["retryAfterMs"].(float64); ms < 1000 || ms > 60000 {
		t.Errorf("%v", e.Details)
	}
	c.identify("anna")
	before.identify("anna")
	n.says("locked out")
	for name, want := range map[string]int{
		"mb_auth_failures_total": 4, `mb_connections_refused_total{reason="invalid"}`: 2,
		`mb_connections_refused_total{reason="locked_out"}`: 1,
	} {
		if got := n.counter(t, name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

// permissions are roles by example: JSON, as --set takes it.
const permissions = `permissions.roles={` +
	`"anna":{"publish":{"allow":["a.#"],"deny":["a.secret"]},` +
	`"subscribe":{"allow":["b.#","own.{identity}.#"]},` +
	`"request":{"allow":["ask.+"]},"respond":{"allow":["serve"]}},` +
	`"bob":{"publish":{"allow":["#"]},"subscribe":{"allow":["#"]},"request":{"allow":["#"]},` +
	`"respond":{"allow":["#"]},"system":["*"]}}`

// Each verb is permitted on its own, for the whole of what is asked, on every transport.
func TestS10_Permissions(t *testing.T) {
	perTransport(t, []string{knows("anna", "bob"), permissions},
		func(t *testing.T, n *node, transport string) {
			a, b := n.dial(t, transport), n.dial(t, transport)
			a.identify("anna")
			b.identify("bob")
			b.subscribe("publish", "a.#")
			b.subscribe("request", "ask.x")
			a.send("publish:A.x:1.0.0:"+idA, "1")
			a.expectPayload("response:A.x:1.0.0:"+idA, `{"status":"success","subscribers":1}`)
			forbidden := func(action, topic string) {
				t.Helper()
				a.send(action+":"+topic+":1.0.0:"+idA, "2")
				e := a.expectFault("response:"+topic+":1.0.0:"+idA, "FORBIDDEN")
				if e.Details["action"] != action || e.Details["topic"] != topic {
					t.Errorf("%v", e.Details)
				}
			}
			forbidden("publish", "a.secret")
			forbidden("publish", "b.x")
			forbidden("request", "ask.x.y")
			forbidden("request", "a.x")
			a.send("request:ask.x:1.0.0:"+idA, "")
			for _, tt := range []struct{ action, pattern, verb string }{
				{"publish", "b.#", ""}, {"publish", "b.+", ""}, {"publish", "own.anna.+", ""},
				{"request", "serve", ""}, {"publish", "a.#", "subscribe"},
				{"publish", "#", "subscribe"},
				{"publish", "own.+", "subscribe"}, {"publish", "own.bob", "subscribe"},
				{"request", "serve.#", "respond"}, {"both", "serve", "subscribe"},
				{"both", "b.#", "respond"}, {"publish", "system.message", "subscribe"},
				{"publish", "system.log", "subscribe"},
			} {
				payload := fmt.Sprintf(`{"action":%q,"topic":%q}`, tt.action, tt.pattern)
				if tt.verb == "" {
					a.ok("system.topic.subscribe", payload)
					continue
				}
				e := a.refused("system.topic.subscribe", payload, "FORBIDDEN")
				if e.Details["action"] != tt.verb || e.Details["topic"] != tt.pattern {
					t.Errorf("%s: %v", payload, e.Details)
				}
			}
			for _, topic := range []string{"system.service.list", "system.topic.list",
				"system.topic.subscriptions", "system.metrics", "system.log.subscribe"} {
				a.refused(topic, "", "FORBIDDEN")
				b.ok(topic, "")
			}
			a.ok("system.service.subscriptions", "")
			a.refused("system.service.subscriptions", `{"serviceId":"`+b.id+`"}`, "FORBIDDEN")
			a.ok("system.service.register", `{"name":"a","description":"b"}`)
			b.settle()
			for _, m := range b.backlog {
				if string(m.Payload) == "2" {
					t.Errorf("what is forbidden arrived: %v", m)
				}
			}
		})
}

// Who may read the audit sees what is about topics that it may use, and nothing else.
func TestS10_Audit(t *testing.T) {
	t.Parallel()
	roles := `permissions.roles={"anna":{"subscribe":{"allow":["a.#"]},"system":["message"]},` +
		`"bob":{"publish":{"allow":["#"]}}}`
	for _, loops := range []string{"loops=1", "loops=3"} {
		n := startNode(t, knows("anna", "bob"), roles, loops)
		var auditors []*client
		for range 3 {
			c := n.dial(t, overTCP)
			c.identify("anna")
			c.subscribe("publish", "system.message")
			auditors = append(auditors, c)
		}
		b := n.dial(t, overWS)
		b.identify("bob")
		b.send("publish:secret:1.0.0", "hidden")
		b.send("publish:a.x:1.0.0", "shown")
		for _, c := range auditors {
			shown := c.await("the audit of a.x", func(m message) bool {
				return m.Topic == "system.message" && strings.Contains(string(m.Payload), "shown")
			})
			_ = shown
			c.settle()
			for _, m := range c.backlog {
				if strings.Contains(string(m.Payload), "hidden") ||
					strings.Contains(string(m.Payload), `"topic":"secret"`) {
					t.Errorf("%s: %v", loops, m)
				}
			}
		}
	}
}

// A reload takes permissions, and tokens, from who is connected, and gives others theirs; a faulty
// file changes nothing.
func TestS10_Reload(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mb.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	tokens := func(identities ...string) string {
		return "auth.tokens: " + strings.TrimPrefix(knows(identities...), "auth.tokens=") + "\n"
	}
	const wide = "permissions: {roles: {anna: {subscribe: {allow: ['#']}, " +
		"respond: {allow: ['#']}}, " +
		"bob: {publish: {allow: ['#']}, request: {allow: ['#']}}, carl: {}}}\n"
	const narrow = "permissions: {roles: {anna: {subscribe: {allow: ['a.#']}}, " +
		"bob: {publish: {allow: ['a.#']}}, carl: {}}}\n"
	write(tokens("anna", "bob", "carl") + wide)
	n := launchNode(t, launch{config: path})
	a, b, c := n.dial(t, overTCP), n.dial(t, overWS), n.dial(t, overTLS)
	a.identify("anna")
	b.identify("bob")
	c.identify("carl")
	for _, pattern := range []string{"a.b", "x.#", "#"} {
		a.subscribe("publish", pattern)
	}
	a.subscribe("request", "x.y")

	write(tokens("anna", "bob") + narrow)
	n.says(`"configuration reloaded"`)
	if strings.Contains(n.out.String(), "take effect at the next start") {
		t.Error("a key has changed that nobody has written anew")
	}
	wantReason(t, c.gone().fault(t), "UNAUTHORIZED", "revoked")
	for range 3 {
		m := a.expect("publish:system.topic.revoked:1.0.0")
		if o := m.object(t); o["topic"] == "a.b" || o["action"] == nil {
			t.Errorf("revoked: %v", o)
		}
	}
	b.send("publish:x.y:1.0.0:"+idA, "")
	b.expectFault("response:x.y:1.0.0:"+idA, "FORBIDDEN")
	b.send("publish:a.b:1.0.0:"+idA, "still")
	b.expectPayload("response:a.b:1.0.0:"+idA, `{"status":"success","subscribers":1}`)
	if m := a.fresh(); string(m.Payload) != "still" {
		t.Errorf("got %v", m)
	}

	write("permissions: {roles: {anna: {publish: {deny: [a]}}}}\n")
	n.says("configuration not reloaded")
	write(tokens("anna", "bob") + wide)
	eventually(t, "a second reload", func() bool {
		return strings.Count(n.out.String(), `"configuration reloaded"`) == 2
	})
	a.subscribe("publish", "x.#")
	b.send("publish:x.y:1.0.0", "again")
	if m := a.fresh(); string(m.Payload) != "again" {
		t.Errorf("got %v", m)
	}
}

// Who a connection is ends with its token, of which it is told before; who renews in time stays.
func TestS10_Expiry(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(2 * time.Second).UTC().Truncate(time.Millisecond)
	sum := sha256.Sum256([]byte(tokenOf("anna")))
	long := sha256.Sum256([]byte(tokenOf("longer")))
	n := startNode(t, fmt.Sprintf(
		`auth.tokens=[{"identity":"anna","sha256":"%x","expires":%q},`+
			`{"identity":"anna","sha256":"%x"}]`,
		sum, end.Format(time.RFC3339Nano), long))
	c, renews := n.dial(t, overTCP), n.dial(t, overWS)
	c.identify("anna")
	renews.identify("anna")
	for _, k := range []*client{c, renews} {
		o := k.expect("publish:system.auth.expiring:1.0.0").object(t)
		if at, err := time.Parse(time.RFC3339, o["expiresAt"].(string)); err != nil ||
			!at.Equal(end) {
			t.Errorf("told of %v, want %v", o, end)
		}
	}
	renews.ok("system.auth", `{"token":"`+tokenOf("longer")+`"}`)
	wantReason(t, c.gone().fault(t), "UNAUTHORIZED", "expired")
	if time.Now().Before(end) {
		t.Error("it was closed before its end")
	}
	renews.ok("system.heartbeat", "")
	again := n.dial(t, overTLS)
	e := again.refused("system.auth", `{"token":"`+tokenOf("anna")+`"}`, "UNAUTHORIZED")
	wantReason(t, e, "UNAUTHORIZED", "expired")
}
