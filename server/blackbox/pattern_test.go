package blackbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// matches is the naive matcher of protocol §3: the oracle for what the node delivers.
func matches(pattern, name string) bool {
	name, pattern = strings.ToLower(name), strings.ToLower(pattern)
	if pattern == name {
		return true
	}
	if strings.HasPrefix(name, "system.") {
		return false
	}
	levels := strings.Split(name, ".")
	for i, p := range strings.Split(pattern, ".") {
		switch {
		case p == "#":
			return true
		case i >= len(levels), p != "+" && p != levels[i]:
			return false
		}
	}
	return strings.Count(pattern, ".") == len(levels)-1
}

// The oracle against a table by hand.
func TestS3_Oracle(t *testing.T) {
	for _, row := range []struct{ pattern, yes, no string }{
		{"a", "a A", "b aa a.a"},
		{"A.b", "a.b A.B", "a a.c a.b.c"},
		{"a.#", "a a.b a.b.c a.b.c.d.e", "b b.a aa"},
		{"#", "a a.b a.b.c.d.e system", "system.log"},
		{"+", "a b system", "a.b system.log"},
		{"+.b", "a.b x.b", "b a.b.c a.a"},
		{"a.+", "a.b a.c", "a a.b.c"},
		{"+.+", "a.b", "a a.b.c system.log"},
		{"a.+.c", "a.b.c a.x.c", "a.c a.b.b.c"},
		{"+.#", "a a.b a.b.c system", "system.log"},
		{"a.+.#", "a.b a.b.c a.b.c.d.e", "a"},
	} {
		for _, name := range strings.Fields(row.yes) {
			if !matches(row.pattern, name) {
				t.Errorf("%s does not match %s", row.pattern, name)
			}
		}
		for _, name := range strings.Fields(row.no) {
			if matches(row.pattern, name) {
				t.Errorf("%s matches %s", row.pattern, name)
			}
		}
	}
}

var patternTable = []string{
	"#", "+", "a", "A", "a.#", "a.b", "a.b.#", "+.b", "A.+", "+.+", "a.+.c", "+.#", "a.+.#",
	"+.+.+.+.+", "a.b.c.d.#", "+.+.+.+.#", "a.b.c.d.e", "b.#", "a1.#", "systems.#", "systemx",
}

var nameTable = []string{
	"a", "b", "A", "a1", "a.b", "A.B", "a.a", "b.b", "a.b.c", "a.x.C", "b.b.b", "a.b.c.d",
	"a.b.c.d.e", "x.b.c.d.e", "ab", "systems.a", "systemx", "a1.b",
}

// Every pattern, each with a connection of its own, gets what the oracle says and nothing else.
func TestS3_Patterns(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		publisher := n.dial(t, from)
		subscribers := make([]*client, len(patternTable))
		for i, pattern := range patternTable {
			subscribers[i] = n.dial(t, to)
			subscribers[i].subscribe("publish", pattern)
		}
		for _, name := range nameTable {
			publisher.send("publish:"+name+":1.0.0:"+idA, name)
			m := publisher.expect("response:" + name + ":1.0.0:" + idA)
			want := 0
			for _, pattern := range patternTable {
				if matches(pattern, name) {
					want++
				}
			}
			if got := m.object(t)["subscribers"]; got != float64(want) {
				t.Errorf("%s went to %v subscribers, want %d", name, got, want)
			}
		}
		for i, pattern := range patternTable {
			var want, got []string
			for _, name := range nameTable {
				if matches(pattern, name) {
					want = append(want, name)
				}
			}
			subscribers[i].settle()
			for _, m := range subscribers[i].backlog {
				if m.Action != "publish" || string(m.Payload) != m.Topic {
					t.Errorf("%s: %v", pattern, m)
				}
				got = append(got, m.Topic)
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s got %v, want %v", pattern, got, want)
			}
		}
	})
}

// Patterns work for requests in the same way.
func TestS3_RequestPatterns(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		requester, target := n.dial(t, transport), n.dial(t, transport)
		for _, pattern := range patternTable {
			target.subscribe("request", pattern)
			for _, name := range nameTable {
				requester.send("request:"+name+":1.0.0:"+idA, pattern)
				if !matches(pattern, name) {
					requester.expectFault("response:"+name+":1.0.0:"+idA, "NO_ROUTE_FOUND")
					continue
				}
				m := target.expectPayload("request:"+name+":1.0.0:*", pattern)
				target.send("response:"+name+":1.0.0:"+m.ID, "ok")
				requester.expectPayload("response:"+name+":1.0.0:"+idA, "ok")
			}
			target.ok("system.topic.unsubscribe", fmt.Sprintf(`{"topic":%q}`, pattern))
		}
		target.none()
	})
}

func TestS3_BadPatterns(t *testing.T) {
	bad := []string{
		"", ".", "a.", ".a", "a..b", "a.#.b", "#.a", "##", "++", "a+", "+a", "#a", "a#", "a.b#",
		"1a", "a-b", "a_b", "a b", " a", "a ", "a.b.c.d.e.f", "a.b.c.d.e.#", "+.+.+.+.+.+",
		"a:b", "a*", "*", "é", "a/b", "$a", "a.>",
		strings.Repeat("a", 256),
		"system.#", "system.+", "SYSTEM.#", "system.foo", "system.heartbeat",
		"system.metrics", "system.initialize", "system.service.list", "system.+.register",
		"system.dropped", "system.flow", "system.auth",
	}
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		for _, pattern := range bad {
			for _, action := range []string{"publish", "request", "both"} {
				payload := fmt.Sprintf(`{"action":%q,"topic":%q}`, action, pattern)
				c.refused("system.topic.subscribe", payload, "INVALID_REQUEST")
			}
		}
		list := items(t, c.ok("system.service.subscriptions", ""), "subscriptions")
		if len(list) != 0 {
			t.Errorf("refused subscriptions are there: %v", list)
		}
	})
}

// Wildcards never see what the broker sends on system topics:
// log lines, notifications, audit, heartbeats.
func TestS3_WildcardsNeverMatchSystem(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		for _, pattern := range []string{"#", "+.#", "+.+", "+.+.+"} {
			c.subscribe("both", pattern)
		}
		other := n.dial(t, transport)
		other.subscribe("publish", "system.service.register")
		other.subscribe("publish", "system.topic.subscribe")
		other.ok("system.service.register", `{"name":"x","description":"y"}`)
		other.subscribe("publish", "a.b")
		other.ok("system.topic.unsubscribe", `{"topic":"a.b"}`)
		c.none()
	})
}

// "system" alone is a user topic like any other: published, requested, matched by wildcards, with a
// version of its own and a payload that is no JSON. What has more levels is not.
func TestS2_SystemAloneIsAUserTopic(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		a, exact, wild := n.dial(t, from), n.dial(t, to), n.dial(t, to)
		a.send("publish:System:7.0.0:"+idA, "nobody")
		a.expectFault("response:System:7.0.0:"+idA, "NO_ROUTE_FOUND")
		a.send("request:system:7.0.0", "nobody")
		a.expectFault("response:system:7.0.0:*", "NO_ROUTE_FOUND")
		exact.subscribe("both", "SYSTEM")
		for _, pattern := range []string{"+", "#", "+.#"} {
			wild.ok("system.topic.subscribe", `{"action":"publish","topic":"`+pattern+`"}`)
			a.send("publish:System:7.0.0:"+idA, "no JSON")
			ack := a.expect("response:System:7.0.0:" + idA)
			if ack.object(t)["subscribers"] != 2.0 {
				t.Errorf("with %s: %v", pattern, ack)
			}
			exact.expectPayload("publish:System:7.0.0:*", "no JSON")
			wild.expectPayload("publish:System:7.0.0:*", "no JSON")
			wild.ok("system.topic.unsubscribe", `{"topic":"`+pattern+`"}`)
		}
		a.send("request:system:7.0.0:"+idB, "question")
		m := exact.expectPayload("request:system:7.0.0:*", "question")
		exact.send("response:system:7.0.0:"+m.ID, "answer")
		a.expectPayload("response:system:7.0.0:"+idB, "answer")
		exact.ok("system.topic.unsubscribe", `{"topic":"system"}`)
		a.send("publish:system:1.0.0", "nobody again")
		a.expectFault("response:system:1.0.0:*", "NO_ROUTE_FOUND")
		for _, pattern := range []string{"system.#", "system.+", "system.x"} {
			a.refused("system.topic.subscribe",
				`{"action":"publish","topic":"`+pattern+`"}`, "INVALID_REQUEST")
		}
		exact.none()
		wild.none()
	})
}

// One service that matches through several patterns gets one copy and counts once.
func TestS3_OneCopy(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		a, b := n.dial(t, from), n.dial(t, to)
		for _, pattern := range []string{"a.b", "a.b", "A.B", "a.+", "a.#", "+.b", "#", "+.#"} {
			b.subscribe("both", pattern)
		}
		a.send("publish:a.b:1.0.0:"+idA, "once")
		if m := a.expect("response:a.b:1.0.0:" + idA); m.object(t)["subscribers"] != 1.0 {
			t.Errorf("got %v", m)
		}
		b.expectPayload("publish:a.b:1.0.0:*", "once")
		b.none()
		a.send("request:a.b:1.0.0:"+idB, "once")
		m := b.expectPayload("request:a.b:1.0.0:*", "once")
		b.none()
		b.send("response:a.b:1.0.0:"+m.ID, "1")
		a.expectPayload("response:a.b:1.0.0:"+idB, "1")
		// One pattern fewer leaves the others.
		b.ok("system.topic.unsubscribe", `{"topic":"#"}`)
		a.send("publish:a.b:1.0.0", "still")
		b.expectPayload("publish:a.b:1.0.0:*", "still")
		a.send("publish:other:1.0.0", "")
		b.expectPayload("publish:other:1.0.0:*", "") // through +.#
		b.none()
	})
}
