package broker

import (
	"fmt"
	"strings"
	"testing"

	"mbserver/server/config"
	"mbserver/server/permit"
)

// limitedTo is a role that may do all that these tests do, so many times a second.
func limitedTo(perSecond int) permit.Role {
	r := may("a.#")
	r.Rate = perSecond
	return r
}

// passed sends a publish so often, and says how many were within the limits, and what the last one
// was told that was not.
func (k *testClient) passed(times int) (within int, refusal string) {
	k.node.t.Helper()
	for range times {
		k.send("publish:a.b:1.0.0:" + testRequestID + "\nx")
	}
	k.node.settle()
	for _, m := range k.messages() {
		if payload := string(m.payload); strings.Contains(payload, "RATE_LIMIT_EXCEEDED") {
			refusal = payload
		} else {
			within++
		}
	}
	return within, refusal
}

// A role's limit holds for each connection that has the role, beside the node's own limits, for all
// that is not a heartbeat; of several roles the lowest does. It changes with the roles and at a
// reload, without a burst to whoever changes them.
func TestRoleLimit(t *testing.T) {
	for _, own := range []int{0, 1000} {
		roles := testRoles{"": limitedTo(20), "slow": limitedTo(10), "free": limitedTo(0)}
		n := permitNode(t, 1, roles, func(cfg *config.Config) { cfg.RateLimit.PerService = own })
		a, b, c := n.connect(0, TransportTCP), n.connect(0, TransportWS), n.connect(0, TransportTCP)
		c.becomes("free")
		n.settle()
		for _, k := range []*testClient{a, b, c} {
			k.messages()
		}
		if got, refusal := a.passed(50); got != 20 ||
			!strings.Contains(refusal, `"scope":"role","limit":20,"retryAfterMs":50`) {
			t.Errorf("%d pass: %s", got, refusal)
		}
		if got, _ := b.passed(50); got != 20 {
			t.Errorf("of another connection %d pass", got)
		}
		if got, _ := c.passed(500); got != 500 {
			t.Errorf("without a limit %d pass", got)
		}
		beat := "request:system.heartbeat:1.0.0:" + testRequestID + "\n"
		if got := a.outcome(beat); got != "success" {
			t.Errorf("a heartbeat: %s", got)
		}
		if got := a.outcome("nonsense"); got != "RATE_LIMIT_EXCEEDED" {
			t.Errorf("what cannot be parsed: %s", got)
		}
		a.becomes("slow")
		n.settle()
		a.messages()
		if got, _ := a.passed(50); got != 0 {
			t.Errorf("with another role %d pass at once", got)
		}
		a.becomes("slow")
		n.settle()
		a.messages()
		n.advance(500)
		if got, refusal := a.passed(50); got != 5 || !strings.Contains(refusal, `"limit":10`) {
			t.Errorf("half a second later %d pass: %s", got, refusal)
		}
		n.reload(testRoles{
			"": limitedTo(0), "slow": limitedTo(100), "free": limitedTo(30),
		}.authority(t))
		n.advance(100)
		if got, _ := a.passed(50); got != 10 {
			t.Errorf("after a reload %d pass in a tenth of a second", got)
		}
		if got, _ := b.passed(500); got != 500 {
			t.Errorf("without the limit %d pass", got)
		}
		if got, _ := c.passed(500); got != 30 {
			t.Errorf("with a new one %d pass", got)
		}
	}
}

// A message that is over another limit takes nothing of the role's.
func TestRoleLimitBesideOthers(t *testing.T) {
	n := permitNode(t, 1, testRoles{"": limitedTo(20)}, func(cfg *config.Config) {
		cfg.RateLimit.TopicPerService = map[string]int{"a.b": 5}
	})
	a := n.members(1, 0, TransportTCP)[0]
	a.sock.discard = false
	if got, refusal := a.passed(50); got != 5 || !strings.Contains(refusal, `"scope":"pattern"`) {
		t.Errorf("%d pass: %s", got, refusal)
	}
	for i := range 16 {
		want := "NO_ROUTE_FOUND"
		if i == 15 {
			want = "RATE_LIMIT_EXCEEDED"
		}
		got := a.outcome(fmt.Sprintf("publish:a.c%d:1.0.0:%s\nx", i, testRequestID))
		if got != want {
			t.Errorf("%d: %s, want %s", i, got, want)
		}
	}
}
