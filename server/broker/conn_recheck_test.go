package broker

import (
	"strings"
	"testing"

	"mbserver/codec"
	"mbserver/server/auth"
	"mbserver/server/permit"
)

// Credentials that were found good by rules that a reload has replaced meanwhile are good for what
// the new ones make of them: nothing, when the token is gone.
func TestCheckedBeforeReload(t *testing.T) {
	verifier := func(tokens ...string) *auth.Verifier {
		var s auth.Source
		for _, text := range tokens {
			s.Tokens = append(s.Tokens, auth.Token{Identity: text, SHA256: auth.Hash(text)})
		}
		v, err := auth.New(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	n := newTestNode(t, 1, 1, nil)
	n.authority.Store(&Authority{Verifier: verifier("anna", "bob"), Required: true})
	a, b := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	n.settle()
	a.messages()
	b.messages()
	before := n.authority.Load().Verifier
	n.authority.Store(&Authority{Verifier: verifier("bob"), Required: true})
	for _, tt := range []struct {
		k        *testClient
		identity string
		want     string
	}{{a, "anna", `"reason":"invalid"`}, {b, "bob", `"identity":"bob"`}} {
		g, err := before.Token(tt.identity, n.Desk.now())
		if err != nil {
			t.Fatal(err)
		}
		var h codec.Header
		message := "request:system.auth:1.0.0:" + testRequestID + "\n"
		if _, err := h.Parse([]byte(message), 1); err != nil {
			t.Fatal(err)
		}
		tt.k.loop.begin()
		tt.k.loop.identify(tt.k.Conn, &h, g, nil)
		n.settle()
		got := tt.k.messages()
		if len(got) != 1 || !strings.Contains(string(got[0].payload), tt.want) {
			t.Errorf("%s: %v", tt.identity, got)
		}
	}
}

// What a ring holds may be got or not, whatever it is: messages of users, what the node tells of
// others, lines of its log, the audit of one message or another.
func TestMayGet(t *testing.T) {
	role := permit.Role{System: []string{"message", "topic.list"}}
	role.Verbs[permit.Subscribe].Allow = []string{"a"}
	policy, err := permit.Compile(permit.Source{
		Roles: map[string]permit.Role{"r": role}, Anonymous: []string{"r"}})
	if err != nil {
		t.Fatal(err)
	}
	audit := func(name string) string {
		return `publish:system.message:1.0.0` + "\n" + `{"timestamp":"x","from":"y","message":` +
			`{"header":{"action":"publish","topic":"` + name + `","version":"1.0.0"}}}`
	}
	for text, want := range map[string]bool{
		"publish:A:1.0.0\n": true, "publish:b:1.0.0\n": false, "publish:": false,
		"publish:system.dropped:1.0.0\n{}":         true,
		"publish:system.topic.subscribe:1.0.0\n{}": true,
		// These need service.list, and log.
		"publish:system.service.register:1.0.0\n{}": false, "response:system.log:1.0.0\n{}": false,
		audit("A"): true, audit("b"): false, audit("system.topic.list"): true,
		audit("system.service.list"): false, audit("system.initialize"): false,
		"publish:system.message:1.0.0\n{": false,
	} {
		// A byte of a length may be that of a newline.
		for _, framing := range []string{"", "\x00\x00\x00\n", "\x81\n"} {
			if got := mayGet(policy.Anonymous(), []byte(framing+text)); got != want {
				t.Errorf("%q%q: %v", framing, text, got)
			}
		}
	}
}
