package blackbox

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// subscribeMany gives the client that many subscriptions, without waiting for each answer.
func (c *client) subscribeMany(count int) {
	c.t.Helper()
	const window = 200
	for i := range count + window {
		if i < count {
			id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
			c.send("request:system.topic.subscribe:1.0.0:"+id,
				fmt.Sprintf(`{"action":"publish","topic":"many.p%d"}`, i))
		}
		if i >= window {
			m := c.await("the answer to a subscription", func(m message) bool {
				return m.Action == "response"
			})
			if !bytes.Contains(m.Payload, []byte("success")) {
				c.t.Fatal(m)
			}
		}
	}
}

// Whoever asks for long lists again and again is answered each time, and keeps nobody waiting: a
// list is made once for all who ask for it, beside the loop.
func TestListsKeepNobodyWaiting(t *testing.T) {
	const subscriptions, consoles, each = 10000, 4, 25
	n := startNode(t, "loops=1")
	hoarder, victim := n.dial(t, "tcp"), n.dial(t, "tcp")
	hoarder.subscribeMany(subscriptions)
	e := hoarder.refused("system.topic.subscribe", `{"action":"publish","topic":"one.more"}`,
		"SERVICE_UNAVAILABLE")
	if e.Details["reason"] != "subscription_limit" || e.Details["limit"] != float64(subscriptions) {
		t.Errorf("%+v", e)
	}
	before := n.counter(t, "mb_snapshots_total")
	type result struct {
		bytes int
		err   error
	}
	results := make(chan result, consoles)
	for i := range consoles {
		k := n.dial(t, []string{"tcp", "ws"}[i%2])
		for range each {
			k.send("request:system.service.subscriptions:1.0.0:"+idA,
				`{"serviceId":"`+hoarder.id+`"}`)
		}
		go func() {
			var r result
			for range each {
				f, err := k.peer.Recv(time.Now().Add(patience))
				if err == nil && !bytes.Contains(f.data[:200], []byte(`"status":"success"`)) {
					err = fmt.Errorf("%.300s", f.data)
				}
				if r.bytes += len(f.data); err != nil {
					r.err = err
					break
				}
			}
			results <- r
		}()
	}
	beats, left := 0, consoles
	for left > 0 {
		select {
		case r := <-results:
			if left--; r.err != nil || r.bytes < each*subscriptions*40 {
				t.Errorf("a console received %d bytes: %v", r.bytes, r.err)
			}
		default:
			victim.call("system.heartbeat", "{}")
			beats++
		}
	}
	if beats < 20 {
		t.Errorf("%d heartbeats were answered while lists were", beats)
	}
	if made := n.counter(t, "mb_snapshots_total") - before; made > 10 {
		t.Errorf("%d lists were made for %d who asked", made, consoles*each)
	}
	// It leaves in pieces: others are served between them.
	_ = hoarder.peer.Close()
	eventually(t, "all its subscriptions to end", func() bool {
		victim.call("system.heartbeat", "{}")
		return n.counter(t, "mb_subscriptions") == 0
	})
}

// An expression that takes long to compile, or is too large to, keeps nobody waiting.
func TestExpressionsKeepNobodyWaiting(t *testing.T) {
	n := startNode(t, "loops=1")
	attacker, victim := n.dial(t, "tcp"), n.dial(t, "tcp")
	slow := `(?i)` + strings.Repeat(`[a-\\x{1e900}]`, 40)
	for range 3 {
		attacker.send("request:system.log.subscribe:1.0.0:"+idA, `{"regex":"`+slow+`"}`)
	}
	beats := 0
	for answered := 0; answered < 3; beats++ {
		victim.call("system.heartbeat", "{}")
		for answered < 3 {
			f, err := attacker.peer.Recv(time.Now().Add(time.Millisecond))
			if err != nil {
				break
			}
			if !bytes.Contains(f.data, []byte(`"status":"success"`)) {
				t.Fatalf("%.300s", f.data)
			}
			answered++
		}
	}
	if beats < 10 {
		t.Errorf("%d heartbeats were answered while expressions were compiled", beats)
	}
	for _, regex := range []string{"(a{50}){50}", strings.Repeat("a", 1025)} {
		e := victim.refused("system.log.subscribe", `{"regex":"`+regex+`"}`, "INVALID_REQUEST")
		if e.Details["field"] != "regex" {
			t.Errorf("%.30s: %+v", regex, e)
		}
	}
}

// The payload of a request to the node has a bound of its own.
func TestSystemPayload(t *testing.T) {
	n := startNode(t, "message.payload.maxLength=1MiB")
	c := n.dial(t, "ws")
	pad := func(length int) string { return "{" + strings.Repeat(" ", length-2) + "}" }
	c.ok("system.heartbeat", pad(65536))
	e := c.refused("system.heartbeat", pad(65537), "MALFORMED_MESSAGE")
	if e.Details["length"] != 65537.0 || e.Details["maxLength"] != 65536.0 {
		t.Errorf("%+v", e)
	}
	c.ok("system.heartbeat", "{}")
}

// What cannot be parsed counts for the limits of its sender; heartbeats never do.
func TestMalformedIsLimited(t *testing.T) {
	perTransport(t, []string{"rate.limit.global.per.service=20"},
		func(t *testing.T, n *node, transport string) {
			c := n.dial(t, transport)
			for range 100 {
				if err := c.peer.Send([]byte("nonsense")); err != nil {
					t.Fatal(err)
				}
			}
			limited := 0
			for range 100 {
				if e := c.recv(); e.Topic != "error" {
					t.Fatal(e)
				} else if e.fault(t).Code == "RATE_LIMIT_EXCEEDED" {
					limited++
				}
			}
			if limited < 40 {
				t.Errorf("%d of 100 were limited", limited)
			}
			for range 100 {
				c.ok("system.heartbeat", "{}")
			}
		})
}
