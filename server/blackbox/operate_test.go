package blackbox

import (
	"fmt"
	"testing"
)

// Over real sockets: who is kicked is told why and closed, who is muted says nothing for a while,
// and a subscription that an operator ends has ended.
func TestS8_Operators(t *testing.T) {
	settings := []string{"admin.operator=true"}
	perTransport(t, settings, func(t *testing.T, n *node, transport string) {
		op, c := n.dial(t, transport), n.dial(t, transport)
		of := fmt.Sprintf(`{"serviceId":%q`, c.id)
		c.subscribe("publish", "a.#")
		c.subscribe("publish", "b")
		op.ok("system.connection.mute", of+`,"durationMs":60000}`)
		c.send("publish:b:1.0.0:"+idA, "x")
		wantReason(t, c.expectFault("response:b:1.0.0:"+idA, "FORBIDDEN"), "FORBIDDEN", "muted")
		c.ok("system.heartbeat", "")
		op.send("publish:a.b:1.0.0", "heard")
		c.expectPayload("publish:a.b:1.0.0:*", "heard")
		op.ok("system.connection.mute", of+`,"durationMs":0}`)
		c.ok("system.topic.list", "")

		if o := op.ok("system.connection.unsubscribe", of+`,"topic":"a.#"}`); o["ended"] != 1.0 {
			t.Errorf("unsubscribed: %v", o)
		}
		c.expectPayload("publish:system.topic.revoked:1.0.0", `{"action":"publish","topic":"a.#"}`)
		op.send("publish:a.b:1.0.0", "x")
		op.expectFault("response:a.b:1.0.0:*", "NO_ROUTE_FOUND")

		op.ok("system.connection.kick", of+`,"reason":"too loud"}`)
		if op.service(c.id) != nil {
			t.Error("it is in the list")
		}
		wantReason(t, c.gone().fault(t), "FORBIDDEN", "kicked")
		op.refused("system.connection.kick", of+"}", "SERVICE_UNAVAILABLE")
		op.refused("system.connection.kick", `{"serviceId":"x"}`, "INVALID_REQUEST")
		op.ok("system.connection.kick", fmt.Sprintf(`{"serviceId":%q}`, op.id))
		wantReason(t, op.gone().fault(t), "FORBIDDEN", "kicked")
	})
}

// Where nothing lets them, nobody acts on others.
func TestS8_OperatorsAreFew(t *testing.T) {
	n := startNode(t)
	op, c := n.dial(t, "tcp"), n.dial(t, "ws")
	of := fmt.Sprintf(`{"serviceId":%q`, c.id)
	for topic, payload := range map[string]string{
		"system.connection.kick": of + "}", "system.connection.mute": of + `,"durationMs":1000}`,
		"system.connection.unsubscribe": of + `,"topic":"a"}`, "system.node.drain": "{}",
	} {
		if e := op.refused(topic, payload, "FORBIDDEN"); e.Details["key"] != "admin.operator" {
			t.Errorf("%s: %v", topic, e)
		}
	}
	c.ok("system.topic.list", "")
}
