package limit

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// naiveLimits are limits by arithmetic alone: a bucket is the time, in 1/rate ms, at which it is
// full again.
type naiveLimits struct {
	settings Settings
	buckets  map[string]int64
}

// over returns the scope of the first limit that a message is over, or "" and takes it from all.
func (n *naiveLimits) over(conn int, m Message, now int64) string {
	type bucket struct {
		scope, name string
		rate        int
	}
	list := []bucket{{"service", fmt.Sprint("service ", conn), n.settings.PerService}}
	if !m.Response && !m.System {
		if m.Topic[0] == 'a' { // the one pattern is a.#
			pattern := n.settings.TopicPerService["a.#"]
			list = append(list, bucket{"pattern", fmt.Sprint("pattern ", conn), pattern})
		}
		list = append(list, bucket{"topic", "topic " + string(m.Topic), n.settings.PerTopic})
	}
	list = append(list, bucket{"node", "node", n.settings.Total})
	for _, b := range list {
		full := max(n.buckets[b.name], now*int64(b.rate)) + 1000
		if b.rate != 0 && full > (now+1000)*int64(b.rate) {
			return b.scope
		}
	}
	for _, b := range list {
		n.buckets[b.name] = max(n.buckets[b.name], now*int64(b.rate)) + 1000
	}
	return ""
}

// TestGateModel holds a gate against arithmetic: with one loop every limit is exact, whatever runs
// of like messages its credit lets through, and the first limit that a message is over is named.
func TestGateModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]int{0, 1, 3, 40, 200, 1000, 5000})
		s := Settings{
			PerService: rate.Draw(t, "service"), PerTopic: rate.Draw(t, "topic"),
			Total:           rate.Draw(t, "total"),
			TopicPerService: map[string]int{"a.#": rate.Draw(t, "pattern")},
		}
		limits, err := New(s, 1)
		if err != nil {
			t.Fatal(err)
		}
		if limits == nil { // everything is off
			return
		}
		gate, naive := limits.NewGate(), naiveLimits{s, map[string]int64{}}
		owns := make([]Own, 2)
		now := int64(1)
		for range rapid.IntRange(1, 60).Draw(t, "turns") {
			for range rapid.IntRange(1, 4).Draw(t, "runs") {
				conn := rapid.IntRange(0, 1).Draw(t, "connection")
				name := rapid.SampledFrom([]string{"a.b", "b.c", "system.x"}).Draw(t, "topic")
				m := Message{
					Topic:    []byte(name),
					Response: rapid.IntRange(0, 3).Draw(t, "response") == 0,
				}
				m.System = string(m.Topic) == "system.x"
				for i := range rapid.IntRange(1, 150).Draw(t, "run") {
					var got Refusal
					passed := gate.Spend(&owns[conn], m)
					if !passed {
						got, passed = gate.Admit(&owns[conn], m, now)
					}
					want := naive.over(conn, m, now)
					if passed != (want == "") || got.Scope != want {
						t.Fatalf("message %d of connection %d on %s at %d: "+
							"passed %v, over %q, want %q",
							i, conn, m.Topic, now, passed, got.Scope, want)
					}
					if !passed && got.WaitMs < 1 {
						t.Fatalf("refused by %s for %d ms", got.Scope, got.WaitMs)
					}
				}
			}
			gate.EndTurn(now)
			now += rapid.SampledFrom([]int64{0, 1, 7, 300, 2000}).Draw(t, "ms")
		}
	})
}

// What several gates let through on credit exceeds a limit that they share by a CreditShare-th at
// most, and not at all what one connection may.
func TestGatesShare(t *testing.T) {
	const perSecond, loops = 3200, 4
	limits, err := New(Settings{Total: perSecond}, loops)
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	m := Message{Topic: []byte("a.b")}
	for i := range loops {
		gate, own := limits.NewGate(), &Own{}
		for range 2 * perSecond {
			if gate.Spend(own, m) {
				passed++
			} else if _, ok := gate.Admit(own, m, 1); ok {
				passed++
			}
			if i < loops-1 && passed%100 == 99 {
				break // its credit stays unpaid
			}
		}
	}
	if passed < perSecond || passed > perSecond+perSecond/CreditShare {
		t.Errorf("%d messages pass, the limit is %d", passed, perSecond)
	}
}
