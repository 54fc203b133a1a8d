package blackbox

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

// One row for each way that an error's head keeps what its cause said: topic as spelled, version,
// ID. (message.fault checks the body's form for every error of every test.)
func TestS7_HeadsAndCodes(t *testing.T) {
	rows := []struct{ name, header, payload, head, code string }{
		{"malformed header", "publish:a b:1.0.0:" + idA, "",
			"response:error:1.0.0", "MALFORMED_MESSAGE"},
		{"malformed system payload", "request:System.Metrics:1.2.3:" + idA, "[",
			"response:System.Metrics:1.2.3:" + idA, "MALFORMED_MESSAGE"},
		{"system payload without ID", "request:system.metrics:1.2.3", "[",
			"response:system.metrics:1.2.3:*", "MALFORMED_MESSAGE"},
		{"system fields", "request:system.topic.Subscribe:1.0.1:" + idA, "{}",
			"response:system.topic.Subscribe:1.0.1:" + idA, "INVALID_REQUEST"},
		{"system action", "publish:System.Log:1.0.0:" + idA, "{}",
			"response:System.Log:1.0.0:" + idA, "INVALID_REQUEST"},
		{"unknown response", "response:A.b:3.2.1:" + idA, "",
			"response:A.b:3.2.1:" + idA, "INVALID_REQUEST_ID"},
		{"response without ID", "response:A.b:3.2.1", "",
			"response:A.b:3.2.1:*", "INVALID_REQUEST_ID"},
		{"system version", "request:system.Heartbeat:2.0.0:" + idA, "",
			"response:system.Heartbeat:2.0.0:" + idA, "VERSION_NOT_SUPPORTED"},
		{"system version without ID", "request:system.heartbeat:3.0.0", "",
			"response:system.heartbeat:3.0.0:*", "VERSION_NOT_SUPPORTED"},
		{"unknown system topic", "request:System.What:1.0.0:" + idA, "",
			"response:System.What:1.0.0:" + idA, "TOPIC_NOT_SUPPORTED"},
		{"no publish subscriber", "publish:No.Body:3.2.1:" + idA + ":" + idB, "x",
			"response:No.Body:3.2.1:" + idA, "NO_ROUTE_FOUND"},
		{"no request subscriber", "request:No.Body:3.2.1:" + idA + ":" + idB + ":5", "x",
			"response:No.Body:3.2.1:" + idA, "NO_ROUTE_FOUND"},
		{"timeout", "request:Some.Body:3.2.1:" + idA + "::20", "x",
			"response:Some.Body:3.2.1:" + idA, "TIMEOUT"},
		{"unknown service", "request:system.service.subscriptions:1.0.0:" + idA,
			`{"serviceId":"` + idC + `"}`,
			"response:system.service.subscriptions:1.0.0:" + idA, "SERVICE_UNAVAILABLE"},
	}
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		c, target := n.dial(t, from), n.dial(t, to)
		target.subscribe("request", "some.body")
		for _, row := range rows {
			t.Log(row.name)
			c.send(row.header, row.payload)
			if strings.HasPrefix(row.head, "response:error:") {
				if e := c.expectErrorHead(); e.Code != row.code {
					t.Errorf("got %+v", e)
				}
				continue
			}
			c.expectFault(row.head, row.code)
		}
		c.none()
	})
}

// Hundreds of bad messages of every kind never cost their sender the connection,
// nor what it subscribed.
func TestS7_BadMessagesKeepTheConnection(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		c.subscribe("publish", "still.here")
		for range 50 {
			for _, header := range []string{
				"garbage", "publish:no.body:1.0.0", "response:no.body:1.0.0:" + uuid.NewString(),
				"request:system.nope:1.0.0", "request:system.heartbeat:9.0.0",
				"publish:system.heartbeat:1.0.0", "request:no.body:1.0.0:" + uuid.NewString(),
				"\x00\x01\x02",
			} {
				c.send(header, "{}")
				if m := c.recv(); m.fault(t).Code == "INTERNAL_ERROR" {
					t.Fatalf("%q: %v", header, m)
				}
			}
		}
		c.send("publish:still.here:1.0.0", "yes")
		c.expectPayload("publish:still.here:1.0.0:*", "yes")
		c.none()
	})
}
