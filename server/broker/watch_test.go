package broker

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"mbserver/codec"
	"mbserver/server/permit"
	"mbserver/server/watch"
	"mbserver/topic"
)

// watchAll has a node's messages on a pattern be looked at.
func (n *testNode) watchAll(pattern string, rate int, r *permit.Rules) *watch.Watch {
	n.t.Helper()
	p, err := topic.ParsePattern(pattern)
	if err != nil {
		n.t.Fatal(err)
	}
	w, stop := n.Watch(watch.Options{
		Pattern: p, Actions: []codec.Action{codec.Publish, codec.Request, codec.Response},
		Rate: rate, Bytes: 64, Rules: r,
	})
	n.t.Cleanup(func() {
		before := n.watches.count()
		stop()
		stop()
		after := n.watches.count()
		if after != before-1 || n.watched() != (after > 0) ||
			n.watches.held.Load() != int64(after)*watch.Charge {
			n.t.Errorf("%d watch, and before %d did", after, before)
		}
	})
	return w
}

// taken lists what was taken, as "action topic payload from".
func taken(w *watch.Watch) (list []string) {
	for {
		select {
		case m := <-w.Messages():
			list = append(list, fmt.Sprintf("%s %s %s %d", m.Action, m.Topic, m.Payload, m.Reached))
		default:
			return list
		}
	}
}

// exchange is what some clients of a node send, and returns all that they get, without IDs.
func exchange(n *testNode, roles ...string) (got []string) {
	ks := []*testClient{
		n.connect(0, TransportTCP), n.connect(1, TransportWS), n.connect(1, TransportTCP),
	}
	for i, role := range roles {
		ks[i].becomes(role)
	}
	step := func(k int, msg string) {
		ks[k].send(msg)
		n.settle()
	}
	id := ":" + testRequestID
	step(1, "request:system.topic.subscribe:1.0.0\n"+`{"action":"all","topic":"a.+"}`)
	step(2, "request:system.topic.subscribe:1.0.0\n"+`{"action":"publish","topic":"a.b"}`)
	step(0, "publish:a.B:1.0.0"+id+"\none")
	step(0, "publish:a.c:1.0.0\ntwo")
	step(0, "publish:a.b.c:1.0.0"+id+"\nnobody")
	step(0, "request:a.none.here:1.0.0"+id+"\nnobody")
	step(0, "request:a.b:1.0.0"+id+"\nask")
	if e := ks[1].openEntry(); e != nil {
		step(1, "response:x:1.0.0:"+e.id.String()+"\nanswer")
	}
	step(0, "request:system.topic.list:1.0.0"+id+"\n{}")
	for i, k := range ks {
		for _, m := range k.messages() {
			payload := string(m.payload)
			if strings.Contains(payload, "serviceId") {
				payload = "an ID"
			}
			got = append(got, fmt.Sprintf("%d: %s %s %s", i, m.Action, m.Topic, payload))
		}
	}
	return got
}

// Who watches sees each message once, whatever becomes of it, and changes nothing that clients get.
func TestWatch(t *testing.T) {
	plain := exchange(newTestNode(t, 1, 2, nil))
	n := newTestNode(t, 1, 2, nil)
	all, some := n.watchAll("a.#", watch.RateMost, nil), n.watchAll("+.b", watch.RateMost, nil)
	charged := n.charged()
	watched := exchange(n)
	if fmt.Sprint(plain) != fmt.Sprint(watched) {
		t.Errorf("clients get\n%s\nand while somebody watches\n%s",
			strings.Join(plain, "\n"), strings.Join(watched, "\n"))
	}
	want := []string{
		"publish a.B one 2", "publish a.c two 1", "publish a.b.c nobody 0",
		"request a.none.here nobody 0", "request a.b ask 0", "response a.b answer 0",
	}
	if got := taken(all); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("shown: %q", got)
	}
	if passed, missed := all.Counts(); passed != uint64(len(want)) || missed != 0 {
		t.Errorf("%d passed, %d were missed", passed, missed)
	}
	if got := taken(some); fmt.Sprint(got) != fmt.Sprint([]string{want[0], want[4], want[5]}) {
		t.Errorf("shown of +.b: %q", got)
	}
	if least := int64(2 * watch.Charge); charged < least {
		t.Errorf("%d bytes are charged, two watches hold up to %d", charged, least)
	}
}

// Who may do nothing with a topic is not told that there is a message; who may not publish one has
// none shown.
func TestWatchPermissions(t *testing.T) {
	roles := testRoles{"": may("a.#"), "b": may("a.b", "a.c"), "none": {}}
	n := permitNode(t, 2, roles, nil)
	policy := n.authority.Load().Policy
	b := n.watchAll("#", watch.RateMost, policy.Rules("x", []string{"b"}))
	none := n.watchAll("#", watch.RateMost, policy.Rules("x", []string{"none"}))
	exchange(n)
	if got := taken(b); len(got) != 4 || got[1] != "publish a.c two 1" {
		t.Errorf("shown: %q", got)
	}
	if passed, _ := b.Counts(); passed != 4 {
		t.Errorf("%d are counted", passed)
	}
	if passed, _ := none.Counts(); passed != 0 || len(taken(none)) != 0 {
		t.Errorf("%d are counted of who may know of none", passed)
	}
	k := n.connect(0, TransportTCP)
	k.becomes("none")
	k.send("publish:a.b:1.0.0\nforged")
	n.settle()
	if got := taken(b); len(got) != 0 {
		t.Errorf("what may not be sent is shown: %q", got)
	}
}

// Beyond what is taken a message costs no allocation, and there is no bound to how many may pass.
func TestWatchAllocations(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	ks := n.subscribers(2, 1, TransportTCP, "publish", "a.+")
	p, s, c := n.connect(0, TransportTCP), n.subscribers(1, 0, TransportTCP, "request", "a.ask")[0],
		n.connect(0, TransportTCP)
	n.settle()
	quiet(append(ks, p, s, c)...)
	var all []*watch.Watch
	for range 4 {
		all = append(all, n.watchAll("a.#", 1, nil))
	}
	publish := p.again("publish:a.B:1.0.0:" + testRequestID + "\nx")
	request := c.again("request:a.ask:1.0.0:" + testRequestID + "\nx")
	var frame []byte
	runs := uint64(0)
	holdAtZero(t, func() {
		publish()
		request()
		n.settle()
		frame = appendAnswer(frame[:0], s.openEntry())
		s.loop.begin()
		s.Conn.receive(frame, math.MaxInt, math.MaxInt)
		n.settle()
		runs++
	})
	for _, w := range all {
		if passed, missed := w.Counts(); passed != 3*runs || missed != 0 {
			t.Errorf("%d of %d passed, %d were missed", passed, 3*runs, missed)
		}
		if got := taken(w); len(got) != 1 {
			t.Errorf("%d were taken", len(got))
		}
	}
}

// BenchmarkWatched is BenchmarkFanOut to one subscriber while somebody looks at all that passes.
func BenchmarkWatched(b *testing.B) {
	for _, watches := range []int{0, 1, 4} {
		b.Run(fmt.Sprintf("watches=%d", watches), func(b *testing.B) {
			n := newTestNode(b, 1, 1, nil)
			ks := n.subscribers(1, 0, TransportTCP, "publish", "bench.orders.+")
			p := n.connect(0, TransportTCP)
			n.settle()
			quiet(append(ks, p)...)
			for range watches {
				n.watchAll("bench.orders.#", 20, nil)
			}
			publish := p.again("publish:bench.orders.created:1.0.0\n" + strings.Repeat("x", 128))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				publish()
				if i%16 == 15 {
					n.settle()
				}
			}
			n.settle()
		})
	}
}
