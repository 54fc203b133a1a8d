package blackbox

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// hangUp asks the node to read its configuration again, and does not wait.
func (r *reloading) hangUp(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// reloaded is how often the node has said that it was.
func (r *reloading) reloaded() int {
	return strings.Count(r.out.String(), `"configuration reloaded"`)
}

// Reloads that are asked for while one is under way wait for it, by a signal or by the file: what
// is in the file in the end holds, and who was permitted all the time notices nothing.
func TestS10_ReloadsAtOnce(t *testing.T) {
	t.Parallel()
	const roles = "permissions: {roles: {" +
		"anna: {publish: {allow: ['#']}, subscribe: {allow: ['#']}}, " +
		"bob: {publish: {allow: [%s]}}, carl: {}}}\n"
	text := func(i int) string {
		return inFile(knows([][]string{{"anna", "bob"}, {"anna", "carl", "bob"}}[i%2]...)) +
			fmt.Sprintf(roles, []string{"x", "'#'"}[i%2])
	}
	r := startReloading(t, text(0), "loops=2", "auth.failure.lockout.threshold=0")
	a, b := r.dial(t, overTCP), r.dial(t, overWS)
	a.identify("anna")
	b.identify("bob")
	a.subscribe("publish", "x")
	for i := range 40 {
		r.put(t, text(i))
		r.hangUp(t)
		b.send("publish:x:1.0.0", fmt.Sprint(i))
		if m := a.fresh(); string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("%d: got %v", i, m)
		}
	}
	r.put(t, inFile(knows("anna", "carl"))+fmt.Sprintf(roles, "x"))
	r.hangUp(t)
	wantReason(t, b.gone().fault(t), "UNAUTHORIZED", "revoked")
	before := r.reloaded()
	r.hangUp(t)
	eventually(t, "the last reload", func() bool { return r.reloaded() > before })
	r.dial(t, overTLS).identify("carl")
	wantReason(t, r.dial(t, overWS).refused("system.auth", `{"token":"`+tokenOf("bob")+`"}`,
		"UNAUTHORIZED"), "UNAUTHORIZED", "invalid")
	a.settle()
	if strings.Contains(r.out.String(), "not reloaded") {
		t.Error("a reload went wrong")
	}
}

// A reload while the node drains neither holds up its end nor undoes it, and holds for who is still
// there.
func TestS10_ReloadWhileDraining(t *testing.T) {
	t.Parallel()
	roles := func(identities ...string) string {
		return inFile(knows(identities...)) + "permissions: {roles: {" +
			"anna: {request: {allow: ['#']}}, bob: {respond: {allow: ['#']}}}}\n"
	}
	r := startReloading(t, roles("anna", "bob"), "loops=2", "shutdown.timeout=20000")
	a, b := r.dial(t, overTCP), r.dial(t, overWS)
	a.identify("anna")
	b.identify("bob")
	b.subscribe("request", "x")
	a.send("request:x:1.0.0:"+idA+"::60000", "holds up the end")
	b.expect("request:x:1.0.0:*")
	r.terminate()
	r.says("asked to stop")
	r.put(t, roles("anna"))
	r.hangUp(t)
	a.await("the end of the request", func(m message) bool { return m.ID == idA })
	wantReason(t, b.gone().fault(t), "UNAUTHORIZED", "revoked")
	_ = b.peer.Close()
	a.gone()
	_ = a.peer.Close()
	r.ends(0)
}

// An identity has as many connections as it may, over all listeners and both ways to say who one
// is; who leaves makes room.
func TestS10_PerIdentity(t *testing.T) {
	t.Parallel()
	n := startNode(t, knows("anna", "bob"), "connection.max.perIdentity=2")
	upgrade := func(identity string) *rawConn {
		r := dialRaw(t, n.ws)
		r.write(head("Authorization: Bearer " + tokenOf(identity)))
		return r
	}
	enters := func(identity string) *rawConn {
		t.Helper()
		r := upgrade(identity)
		if resp, body := r.answer(); resp.StatusCode != 101 {
			t.Fatalf("%s: %s", resp.Status, body)
		}
		return r
	}
	first := enters("anna")
	second := n.dial(t, overTLS)
	second.identify("anna")
	second.identify("anna") // a renewal takes no place
	wantRefused(t, upgrade("anna"), overWS, 429, "RATE_LIMIT_EXCEEDED",
		`{"limit":2,"scope":"identity"}`)
	third := n.dial(t, overTCP)
	e := third.refused("system.auth", `{"token":"`+tokenOf("anna")+`"}`, "RATE_LIMIT_EXCEEDED")
	if e.Details["scope"] != "identity" || e.Details["limit"] != 2.0 {
		t.Errorf("details %v", e.Details)
	}
	wantReason(t, third.refused("system.topic.list", "", "UNAUTHORIZED"),
		"UNAUTHORIZED", "required")
	third.identify("bob") // it is as it was: nobody yet
	enters("bob")
	wantRefused(t, upgrade("bob"), overWS, 429, "RATE_LIMIT_EXCEEDED",
		`{"limit":2,"scope":"identity"}`)
	_ = first.conn.Close()
	again := n.dial(t, overWS)
	eventually(t, "room", func() bool {
		again.send("request:system.auth:1.0.0:"+idA, `{"token":"`+tokenOf("anna")+`"}`)
		m := again.await("an answer", func(m message) bool { return m.ID == idA })
		again.backlog = nil
		return strings.Contains(string(m.Payload), `"success"`)
	})
}

// A role's limit holds for each who has the role, over all transports, and changes while they are
// connected.
func TestS9_RoleLimit(t *testing.T) {
	t.Parallel()
	text := func(limit string) string {
		return inFile(knows("anna", "bob")) + "permissions: {roles: {" +
			"anna: {publish: {allow: ['#']}}, bob: {publish: {allow: ['#']}}}}\n" +
			"rate: {limit: {role: {" + limit + "}}}\n"
	}
	// A limit of one a second: as many are refused as are sent while less than that passes.
	r := startReloading(t, text("anna: 1"))
	var all []*client
	for _, transport := range transports {
		c, free := r.dial(t, transport), r.dial(t, transport)
		c.identify("anna")
		free.identify("bob")
		all = append(all, c)
		for _, k := range []*client{c, free} {
			for range 50 {
				k.send("publish:x:1.0.0:"+idA, "")
			}
		}
		limited := 0
		for range 50 {
			if e := c.fresh().fault(t); e.Code == "RATE_LIMIT_EXCEEDED" {
				limited++
				if e.Details["scope"] != "role" || e.Details["limit"] != 1.0 ||
					e.Details["retryAfterMs"].(float64) > 1000 {
					t.Errorf("details %v", e.Details)
				}
			}
			free.expectFault("response:x:1.0.0:"+idA, "NO_ROUTE_FOUND")
		}
		if limited == 0 {
			t.Errorf("over %s nothing is over the limit", transport)
		}
	}
	if r.counter(t, "mb_messages_limited_total") == 0 {
		t.Error("none is counted")
	}
	r.change(t, text("bob: 1"))
	for _, c := range all {
		for range 50 {
			c.send("publish:x:1.0.0:"+idA, "")
			c.expectFault("response:x:1.0.0:"+idA, "NO_ROUTE_FOUND")
		}
	}
	r.put(t, text("carl: 1"))
	r.says("rate.limit.role")
}
