package blackbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
)

// drain lets a slow subscriber read until everything that was published is accounted for.
func (a *account) drain(t testing.TB, slow *client, published int) {
	t.Helper()
	for deadline := time.Now().Add(patience); a.received+a.reported < published; {
		if time.Now().After(deadline) {
			t.Fatalf("received %d + reported %d of %d", a.received, a.reported, published)
		}
		a.book(t, slow.fresh())
	}
	if a.received+a.reported != published {
		t.Fatalf("received %d + reported %d of %d", a.received, a.reported, published)
	}
}

// What a subscriber with policy drop or drop-oldest does not get is told exactly, where the hole
// is, however often it falls behind; who chose the policy, the node or the subscription, makes no
// difference.
func TestOverload_Gaps(t *testing.T) {
	t.Parallel()
	for _, choice := range []struct {
		name, node, subscription string
		oldest                   bool
	}{
		{"drop", "", "", false},
		{"drop of the subscription", "disconnect", `,"overflow":"drop"`, false},
		{"drop-oldest of the node", "drop-oldest", "", true},
		{"drop-oldest of the subscription", "", `,"overflow":"drop-oldest"`, true},
	} {
		settings := smallRing
		if choice.node != "" {
			overflow := "connection.outbound.overflow=" + choice.node
			settings = append(settings[:len(settings):len(settings)], overflow)
		}
		t.Run(choice.name, func(t *testing.T) {
			perPlain(t, settings, func(t *testing.T, n *node, transport string) {
				testGaps(t, n, transport, choice.subscription, choice.oldest)
			})
		})
	}
}

func testGaps(t *testing.T, n *node, transport, subscription string, oldest bool) {
	publisher, slow, fast := n.dial(t, overTCP), n.narrow(t, transport), n.dial(t, transport)
	slow.subscribe("publish", "gap.test", subscription)
	fast.subscribe("publish", "gap.#")
	expectFast := func(i int) {
		if number, err := leadingNumber(fast.recv()); err != nil || number != i {
			t.Fatalf("the other subscriber got %d instead of %d: %v", number, i, err)
		}
	}
	const rounds, burst = 4, 30
	var a account
	told, published := 0, 0
	dropped := func() int { return n.counter(t, "mb_deliveries_dropped_total") }
	for range rounds {
		for lost := dropped(); dropped() < lost+burst; published += burst {
			if published > 5000 {
				t.Fatal("10 MB went to a subscriber that does not read")
			}
			told += publisher.flood(always("gap.test"), published, published+burst)
			for i := range burst {
				expectFast(published + i)
			}
		}
		for range 15 { // it reads some, and falls behind again
			a.book(t, slow.fresh())
		}
	}
	last := a.next
	a.drain(t, slow, published)
	publisher.flood(always("gap.test"), published, published+1)
	a.book(t, slow.fresh()) // the number holds the last notice to its place
	slow.none()
	if a.reported == 0 || last == published {
		t.Fatalf("nothing was ever lost: %+v", a)
	}
	if got := n.counter(t, "mb_deliveries_dropped_total"); got != a.reported {
		t.Errorf("%d reported, %d counted", a.reported, got)
	}
	if want := a.reported; oldest && told != 0 || !oldest && told != want {
		t.Errorf("acknowledgements told of %d dropped, notices of %d", told, want)
	}
	expectFast(published)
	fast.none()
}

// drop keeps what came first, drop-oldest what came last.
func TestOverload_WhatIsKept(t *testing.T) {
	perPlain(t, smallRing, func(t *testing.T, n *node, transport string) {
		publisher, first, last := n.dial(t, overTCP), n.narrow(t, transport), n.narrow(t, transport)
		first.subscribe("publish", "kept.test", `,"overflow":"drop"`)
		last.subscribe("publish", "kept.test", `,"overflow":"drop-oldest"`)
		const count = 200
		publisher.flood(always("kept.test"), 0, count)
		var a, b account
		before := func(x *account, c *client) int { // what it received in front of its first hole
			for x.reported == 0 {
				x.book(t, c.fresh())
			}
			return x.next
		}
		if kept, lost := before(&a, first), before(&b, last); kept <= lost {
			t.Errorf("drop kept the first %d, drop-oldest the first %d", kept, lost)
		}
		a.drain(t, first, count)
		b.drain(t, last, count)
		if b.next != count {
			t.Errorf("drop-oldest kept up to %d of %d", b.next, count)
		}
	})
}

// disconnect cuts who falls behind, at once, and nobody else; what it was not given is counted.
func TestOverload_Disconnect(t *testing.T) {
	t.Parallel()
	for name, choice := range map[string][2]string{
		"node":         {"connection.outbound.overflow=disconnect", ""},
		"subscription": {"connection.outbound.overflow=drop", `,"overflow":"disconnect"`},
	} {
		t.Run(name, func(t *testing.T) {
			settings := append(smallRing[:2:2], choice[0])
			perPlain(t, settings, func(t *testing.T, n *node, transport string) {
				testCut(t, n, transport, choice[1])
			})
		})
	}
}

func testCut(t *testing.T, n *node, transport, subscription string) {
	publisher, slow, fast := n.dial(t, overTCP), n.narrow(t, transport), n.dial(t, transport)
	slow.subscribe("publish", "cut.test", subscription)
	fast.subscribe("publish", "cut.test", `,"overflow":"drop"`)
	published, told, owed := 0, 0, 0
	for n.counter(t, "mb_connections") == 3 {
		if published == 10_000 {
			t.Fatal("20 MB went to a subscriber that does not read")
		}
		for range 10 {
			told += publisher.flood(always("cut.test"), published, published+1)
			if told == 1 && owed == 0 {
				owed = published + 1
			}
			if number, err := leadingNumber(fast.recv()); err != nil || number != published {
				t.Fatalf("the other subscriber got %d instead of %d: %v", number, published, err)
			}
			published++
		}
	}
	if told != 1 {
		t.Errorf("acknowledgements told of %d dropped; it was cut because of one", told)
	}
	if publisher.service(slow.id) != nil {
		t.Error("it is still a service")
	}
	got, counted := slow.closed(), n.counter(t, "mb_deliveries_dropped_total")
	if got+counted != owed {
		t.Errorf("it received %d, %d were counted as dropped, of %d until it was cut",
			got, counted, owed)
	}
	fast.none()
}

// A conflating subscriber that is behind gets the newest message of each topic; those that it
// replaced are counted.
func TestOverload_Conflate(t *testing.T) {
	perPlain(t, smallRing, func(t *testing.T, n *node, transport string) {
		publisher, slow := n.dial(t, overTCP), n.narrow(t, transport)
		slow.subscribe("publish", "state.#", `,"conflate":true`)
		const topics, count = 5, 400
		topic := func(i int) string { return fmt.Sprintf("state.part%d", i%topics) }
		if told := publisher.flood(topic, 0, count); told != 0 {
			t.Errorf("acknowledgements told of %d dropped", told)
		}
		last, received, conflated := map[string]int{}, 0, 0
		for deadline := time.Now().Add(patience); received+conflated < count; {
			if time.Now().After(deadline) {
				t.Fatalf("received %d + conflated %d of %d", received, conflated, count)
			}
			m := slow.fresh()
			if m.Topic == "system.dropped" {
				g := parseGap(t, m)
				if g.Count != 0 {
					t.Errorf("%d lost, though one message of each topic has room", g.Count)
				}
				conflated += g.Conflated
				continue
			}
			number, err := leadingNumber(m)
			before, there := last[m.Topic]
			if err != nil || there && number <= before || m.Topic != topic(number) {
				t.Fatalf("%v after %d: %v", m, before, err)
			}
			last[m.Topic] = number
			received++
		}
		if received+conflated != count || conflated == 0 {
			t.Errorf("received %d + conflated %d of %d", received, conflated, count)
		}
		for i := count - topics; i < count; i++ {
			if last[topic(i)] != i {
				t.Errorf("the newest on %s is %d, it got %d", topic(i), i, last[topic(i)])
			}
		}
		if got := n.counter(t, "mb_deliveries_conflated_total"); got != conflated {
			t.Errorf("%d told, %d counted", conflated, got)
		}
		if got := n.counter(t, "mb_deliveries_dropped_total"); got != 0 {
			t.Errorf("%d counted as dropped", got)
		}
		slow.none()
	})
}

// With more topics than its ring has room for a conflating subscriber loses messages too: the two
// are told apart, and the sum holds.
func TestOverload_ConflateAndLose(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"drop", "drop-oldest"} {
		t.Run(policy, func(t *testing.T) {
			perPlain(t, smallRing, func(t *testing.T, n *node, transport string) {
				publisher, slow := n.dial(t, overTCP), n.narrow(t, transport)
				slow.subscribe("publish", "state.#",
					fmt.Sprintf(`,"conflate":true,"overflow":%q`, policy))
				const count = 500
				topic := func(i int) string { return fmt.Sprintf("state.part%d", i*i%97%60) }
				publisher.flood(topic, 0, count)
				received, lost, conflated, before := 0, 0, 0, map[string]int{}
				for deadline := time.Now().Add(patience); received+lost+conflated < count; {
					if time.Now().After(deadline) {
						t.Fatalf("received %d + lost %d + conflated %d of %d",
							received, lost, conflated, count)
					}
					m := slow.fresh()
					if m.Topic == "system.dropped" {
						g := parseGap(t, m)
						lost, conflated = lost+g.Count, conflated+g.Conflated
						continue
					}
					number, err := leadingNumber(m)
					if last, there := before[m.Topic]; err != nil || there && number <= last {
						t.Fatalf("%v after %d: %v", m, last, err)
					}
					before[m.Topic] = number
					received++
				}
				if received+lost+conflated != count || lost == 0 || conflated == 0 {
					t.Errorf("received %d + lost %d + conflated %d of %d",
						received, lost, conflated, count)
				}
				l := n.counter(t, "mb_deliveries_dropped_total")
				c := n.counter(t, "mb_deliveries_conflated_total")
				if l != lost || c != conflated {
					t.Errorf("told %d and %d, counted %d and %d", lost, conflated, l, c)
				}
				slow.none()
			})
		})
	}
}

// A ring that is full of publishes still has room for answers and errors:
// each comes, once, in order.
func TestOverload_AnswersAreNotDropped(t *testing.T) {
	perPlain(t, smallRing, func(t *testing.T, n *node, transport string) {
		publisher, slow := n.dial(t, overTCP), n.narrow(t, transport)
		slow.subscribe("publish", "own.test")
		if publisher.flood(always("own.test"), 0, 150) == 0 {
			t.Fatal("the subscriber is not over its limit")
		}
		var ids []string
		for i := range 12 {
			id := uuid.NewString()
			ids = append(ids, id)
			if i%2 == 0 {
				slow.send("request:system.heartbeat:1.0.0:"+id, "")
			} else {
				slow.send("request:nobody.there:1.0.0:"+id, "")
			}
		}
		publisher.flood(always("own.test"), 150, 160)
		var a account
		for deadline := time.Now().Add(patience); a.received+a.reported < 160 || len(ids) > 0; {
			if time.Now().After(deadline) {
				t.Fatalf("%d answers are missing, %+v", len(ids), a)
			}
			m := slow.fresh()
			if m.Action != "response" {
				a.book(t, m)
				continue
			}
			if len(ids) == 0 || m.ID != ids[0] {
				t.Fatalf("an answer twice or out of order: %v", m)
			}
			ids = ids[1:]
		}
		if a.received+a.reported != 160 {
			t.Errorf("%+v of 160", a)
		}
		slow.none()
	})
}

// A connection that does not even take its answers is closed, whatever the policy.
func TestOverload_AnswersNotRead(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"drop", "drop-oldest"} {
		t.Run(policy, func(t *testing.T) {
			settings := append(smallRing[:2:2], "connection.outbound.overflow="+policy,
				"connection.stallTimeout=500")
			perPlain(t, settings, func(t *testing.T, n *node, transport string) {
				watcher, deaf := n.dial(t, transport), n.narrow(t, transport)
				sent := 0
				for alive := true; alive; sent++ {
					if sent == 100_000 {
						t.Fatal("100,000 answers wait for a connection that does not read")
					}
					if sent%100 == 0 && n.counter(t, "mb_connections") == 1 {
						break
					}
					header := "request:system.topic.list:1.0.0:"
					if sent%2 == 1 {
						header = "publish:nobody.there:1.0.0:"
					}
					alive = deaf.peer.Send([]byte(header+uuid.NewString()+"\n")) == nil
				}
				eventually(t, "the connection is gone", func() bool {
					return watcher.service(deaf.id) == nil
				})
				watcher.none()
			})
		})
	}
}
