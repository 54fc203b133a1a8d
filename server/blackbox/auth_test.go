package blackbox

import (
	"strings"
	"testing"
)

// system.auth without a token is refused, but the topic is known.
func TestS8_AuthNeedsToken(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		for _, payload := range []string{
			`{}`, `{"token":7}`, `{"token":""}`, `{"token":null}`,
		} {
			c.refused("system.auth", payload, "INVALID_REQUEST")
		}
		c.none()
	})
}

// On a node without authentication any token is welcome, and says nothing about who it is.
func TestS8_AuthWithoutAuthentication(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		if o := c.ok("system.auth", `{"token":"secret"}`); len(o) != 1 {
			t.Errorf("got %v, want the status alone", o)
		}
		c.none()
	})
}

// No payload on system.auth is ever shown to who reads the audit: neither a token nor the answer,
// whatever became of it.
func TestS8_AuditHidesTokens(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		auditor, a := n.dial(t, to), n.dial(t, from)
		auditor.subscribe("publish", "system.message")
		const token = "verysecret"
		a.ok("system.auth", `{"token":"`+token+`"}`)
		a.ok("System.AUTH", `{"token":"`+token+`"}`)
		a.send("publish:system.Auth:1.0.0:"+idA, `{"token":"`+token+`"}`)
		a.expectFault("response:system.Auth:1.0.0:"+idA, "INVALID_REQUEST")
		a.send("request:system.auth:1.0.0:"+idA, token) // no JSON
		a.expectFault("response:system.auth:1.0.0:"+idA, "MALFORMED_MESSAGE")
		for range 4 {
			for _, key := range []string{"from", "to"} {
				o := auditor.audited(t, "a message "+key, func(o map[string]any) bool {
					topic, _ := auditHeader(o)["topic"].(string)
					return o[key] == a.id && strings.EqualFold(topic, "system.auth")
				})
				if p := o["message"].(map[string]any)["payload"]; p != "(not shown)" {
					t.Errorf("%s: payload %v", key, p)
				}
			}
		}
	})
}
