package broker

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"mbserver/server/config"
	"mbserver/server/metrics"
	"mbserver/topic"
)

func (k *testClient) subscribed(action, pattern string) string {
	k.node.t.Helper()
	k.inquire("system.topic.subscribe", fmt.Sprintf(`{"action":%q,"topic":%q}`, action, pattern))
	return k.answer()
}

func TestSubscriptionLimit(t *testing.T) {
	n := newTestNode(t, 1, 1, func(cfg *config.Config) { cfg.Connection.MaxSubscriptions = 3 })
	a := n.connect(0, TransportTCP)
	for _, row := range []struct{ action, pattern, want string }{
		{"both", "a", "success"},
		{"both", "b", "SERVICE_UNAVAILABLE subscription_limit"}, // whole: one would have room
		{"publish", "b", "success"},
		{"publish", "c", "SERVICE_UNAVAILABLE subscription_limit"},
		{"both", "a", "success"}, // it is there
	} {
		got := a.subscribed(row.action, row.pattern)
		if reasonOf(got) != row.want {
			t.Errorf("%s %s: %s", row.action, row.pattern, got)
		}
		if row.want != "success" && !strings.Contains(got, `"limit":3`) {
			t.Error(got)
		}
	}
	if n.trie.Count() != 3 || len(a.subs.all()) != 3 {
		t.Errorf("%d subscriptions, %d listed", n.trie.Count(), len(a.subs.all()))
	}
	a.inquire("system.topic.unsubscribe", `{"action":"request","topic":"a"}`)
	if got := a.answer() + a.subscribed("request", "c"); strings.Contains(got, "error") {
		t.Error(got)
	}
}

// What a connection remembers is what a map would, and what was lent is not written to.
func TestSubscriptionsAgainstAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var s subscriptions
	model := make(map[subscriptionKey]topic.Options)
	var lent, copied []subscription
	for step := range 20000 {
		p, _ := topic.ParsePattern(fmt.Sprintf("a.p%d", random.IntN(60)))
		kind := topic.Kind(random.IntN(2))
		o := topic.Options{Priority: float64(step)}
		i := s.find(p, kind)
		if _, there := model[subscriptionKey{p.String(), kind}]; there != (i >= 0) {
			t.Fatalf("step %d: %s is at %d", step, p, i)
		}
		switch dice := random.IntN(10); {
		case i < 0 && dice < 6:
			s.add(subscription{p, kind, o})
			model[subscriptionKey{p.String(), kind}] = o
		case i >= 0 && dice < 4:
			s.writable()
			s.list[i].options = o
			model[subscriptionKey{p.String(), kind}] = o
		case i >= 0:
			s.remove(i)
			delete(model, subscriptionKey{p.String(), kind})
		}
		if len(s.list) != len(model) {
			t.Fatalf("step %d: %d of %d", step, len(s.list), len(model))
		}
		for _, sub := range s.list {
			if model[subscriptionKey{sub.pattern.String(), sub.kind}] != sub.options {
				t.Fatalf("step %d: %v", step, sub)
			}
		}
		for i := range lent {
			if lent[i] != copied[i] {
				t.Fatalf("step %d: what was lent has changed", step)
			}
		}
		if random.IntN(20) == 0 {
			lent, _ = s.lend()
			copied = append([]subscription(nil), lent...)
		}
	}
}

// Who leaves with many subscriptions leaves in pieces, and is sent nothing from the first on:
// nobody else's answers tell of it, on no loop.
func TestSubscriptionsEndInPieces(t *testing.T) {
	const count, each = 200, 6
	n := newTestNode(t, 1, 2, nil)
	n.endsTurn = each // few of the shards change in the turn in which it leaves
	a, near := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	far, other := n.connect(1, TransportWS), n.connect(1, TransportTCP)
	for i := range count {
		a.inquire("system.topic.subscribe", fmt.Sprintf(`{"action":"both","topic":"p%d.x"}`, i))
	}
	if got := a.answers(); len(got) != count {
		t.Fatal(len(got))
	}
	other.subscribed("publish", "p1.x")
	near.messages()
	far.messages()
	// The routes are remembered.
	for _, k := range []*testClient{near, far} {
		k.send("publish:p0.x:1.0.0:" + testRequestID + "\nx")
		if got := k.answer(); !strings.Contains(got, `"subscribers":1`) {
			t.Fatal(got)
		}
	}
	if n.charged() < 2*count*subscriptionCharge {
		t.Errorf("%d bytes are charged", n.charged())
	}
	sent := n.sent()
	a.hangUp(true)
	turns, was := 0, n.trie.Count()
	if was < 2*count-each || was == 2*count+1 {
		t.Fatalf("%d subscriptions are left in the turn in which it leaves", was)
	}
	for _, k := range []*testClient{near, far} {
		k.send("publish:p0.x:1.0.0:" + testRequestID + "\nx")
		k.send("request:p0.x:1.0.0:" + testRequestID + "\nx")
		k.send("publish:p1.x:1.0.0:" + testRequestID + "\nx")
		n.run(1) // it has other things to do than to forget
	}
	for n.trie.Count() > 1 {
		n.run(0)
		if turns++; was-n.trie.Count() > each {
			t.Fatalf("%d subscriptions were ended in a turn", was-n.trie.Count())
		}
		was = n.trie.Count()
		if was > 1 && !n.drivers[0].scheduled {
			t.Fatal("the rest is forgotten")
		}
	}
	for _, k := range []*testClient{near, far} {
		got := strings.Join(k.answers(), " ")
		if strings.Count(got, "NO_ROUTE_FOUND") != 2 || strings.Count(got, `"subscribers":1`) != 1 {
			t.Errorf("%s", got)
		}
	}
	if got := n.sent() - sent; got != 8 { // six answers, two publishes
		t.Errorf("%d messages were sent", got)
	}
	kept := 3 * int64(connectionCharge)
	for _, k := range []*testClient{near, far, other} {
		kept += k.subs.charged() + k.storyCharge()
	}
	if n.charged() != kept || n.loops[0].counts[metrics.Dropped] != 0 || n.outstanding.Load() != 0 {
		t.Errorf("%d bytes are charged of %d, %d requests wait",
			n.charged(), kept, n.outstanding.Load())
	}
}

// What subscriptions make the node hold is not more than twice what is charged for them, nor less
// than a third.
func TestSubscriptionsAreCharged(t *testing.T) {
	const clients, each = 20, 1500
	n := newTestNode(t, 1, 1, nil)
	var ks []*testClient
	for range clients {
		k := n.connect(0, TransportTCP)
		k.sock.discard = true
		ks = append(ks, k)
	}
	n.settle()
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for j, k := range ks {
		for i := range each {
			k.inquire("system.topic.subscribe",
				fmt.Sprintf(`{"action":"publish","topic":"c%d.device%d.temperature"}`, j, i))
		}
		n.settle()
	}
	held, charged := heap()-before, n.charged()
	t.Logf("%d bytes held, %d charged: %d for each", held, charged, held/(clients*each))
	if !raceEnabled && (held > 2*charged || 3*held < charged) {
		t.Errorf("%d bytes are held, %d are charged", held, charged)
	}
	runtime.KeepAlive(ks)
}
