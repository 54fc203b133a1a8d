package broker

import (
	"fmt"
	"strings"
	"testing"

	"mbserver/server/config"
	"mbserver/server/permit"
)

// asking is a role that may use some topics, and ask for everything.
func asking(patterns ...string) permit.Role {
	r := may(patterns...)
	r.System = []string{"explain", "connection"}
	return r
}

// anonymous connects somebody who is known by no name.
func (n *testNode) anonymous() *testClient {
	k := n.connect(0, TransportTCP)
	n.settle()
	k.messages()
	return k
}

// short is a request that nobody answers in time.
func short(topic string, ms int) string {
	return fmt.Sprintf("request:%s:1.0.0:%s::%d\nx", topic, testRequestID, ms)
}

// full is a service with one request, which has no room for another.
func full(n *testNode, k *testClient) *testClient {
	s := n.worker(len(n.loops)-1, 1, "a.#")
	k.send("request:a.b:1.0.0\nx")
	n.settle()
	return s
}

var requests = []fateCase{
	{name: "answered", happen: func(n *testNode, k *testClient) {
		s := n.worker(len(n.loops)-1, 1, "a.+")
		k.send(message("request", "A.B"))
		n.settle()
		s.work()
	}, want: []string{"accepted", "matched", "delivered", "answered"}},
	{name: "waits, and is answered", happen: func(n *testNode, k *testClient) {
		s := full(n, k)
		k.send(message("request", "a.b"))
		n.settle()
		n.pass(10)
		s.work()
		s.work()
	}, want: []string{
		"accepted", "queued no service has room", "matched", "delivered", "answered",
	}},
	{name: "expired while it waits", happen: func(n *testNode, k *testClient) {
		full(n, k)
		k.send(short("a.b", 50))
		n.settle()
		n.pass(100)
	}, want: []string{"queued no service has room", "expired no service had room"}},
	{name: "expired at the service", happen: func(n *testNode, k *testClient) {
		n.worker(len(n.loops)-1, 1, "a.#")
		k.send(short("a.b", 50))
		n.settle()
		n.pass(100)
	}, want: []string{"matched", "delivered", "expired no answer"}},
	{name: "evicted", adjust: func(cfg *config.Config) { cfg.Max.OutstandingRequests = 1 },
		happen: func(n *testNode, k *testClient) {
			n.worker(len(n.loops)-1, 9, "a.#")
			k.send(message("request", "a.b"))
			n.pass(10)
			for range 40 {
				k.send("request:a.b:1.0.0\nx")
				n.pass(1)
			}
		}, want: []string{"matched", "delivered", "evicted"}},
	{name: "its service leaves", happen: func(n *testNode, k *testClient) {
		s := n.worker(len(n.loops)-1, 1, "a.#")
		k.send(message("request", "a.b"))
		n.settle()
		s.hangUp(true)
	}, want: []string{"delivered", "dropped disconnected"}},
	{name: "its requester leaves", happen: func(n *testNode, k *testClient) {
		s := n.worker(len(n.loops)-1, 1, "a.#")
		r := n.connect(0, TransportTCP)
		r.send(message("request", "a.b"))
		n.settle()
		r.hangUp(true)
		n.settle()
		s.work()
	}, want: []string{"delivered", "answered", "dropped the requester has left"}},
	{name: "its requester leaves while it waits", happen: func(n *testNode, k *testClient) {
		full(n, k)
		r := n.connect(0, TransportTCP)
		r.send(message("request", "a.b"))
		n.settle()
		r.hangUp(true)
	}, want: []string{"queued no service has room", "dropped the requester has left"}},
	{name: "the last service leaves while it waits", happen: func(n *testNode, k *testClient) {
		s := full(n, k)
		k.send(message("request", "a.b"))
		n.settle()
		s.hangUp(true)
	}, want: []string{"queued no service has room", "unrouted the last service has left"}},
	{name: "the queue is full", adjust: func(cfg *config.Config) { cfg.Max.QueuedPerTopic = 1 },
		happen: func(n *testNode, k *testClient) {
			full(n, k)
			k.send("request:a.b:1.0.0\nx")
			n.settle()
			k.send(message("request", "a.b"))
		}, want: []string{"accepted", "dropped queue_full"}},
	{name: "another's turn in a full queue", adjust: func(cfg *config.Config) {
		cfg.Max.QueuedPerTopic = 4
	}, happen: func(n *testNode, k *testClient) {
		full(n, k)
		for range 3 {
			k.send("request:a.b:1.0.0\nx")
		}
		n.settle()
		k.send(message("request", "a.b"))
		n.settle()
		n.anonymous().send("request:a.b:1.0.0\nx")
	}, want: []string{"queued no service has room", "dropped queue_full"}},
	{name: "no memory to wait", happen: func(n *testNode, k *testClient) {
		full(n, k)
		n.queuedBytes.Add(n.waitBytes + 1)
		k.send(message("request", "a.b"))
		n.settle()
		n.queuedBytes.Add(-n.waitBytes - 1)
	}, want: []string{"accepted", "dropped memory"}},
	{name: "no longer permitted while it waits", roles: testRoles{"": asking("a.#", "b.#")},
		happen: func(n *testNode, _ *testClient) {
			k := n.anonymous()
			full(n, k)
			k.send(message("request", "a.b"))
			n.settle()
			r := asking("a.#", "b.#")
			r.Verbs[permit.Request].Allow = []string{"b.#"}
			n.reload(testRoles{"": r}.authority(n.t))
		}, want: []string{"queued no service has room", "revoked request"}},
	{name: "draining", happen: func(n *testNode, k *testClient) {
		full(n, k)
		k.send(message("request", "a.b"))
		n.settle()
		for _, l := range n.loops {
			l.call((*Loop).failOutstanding)
		}
	}, want: []string{"queued no service has room", "dropped draining"}},
	{name: "its inbox is full", loops: 2, happen: func(n *testNode, k *testClient) {
		s := n.worker(1, 9, "a.#")
		n.canPause = false
		n.loops[1].inbox.full.Store(true)
		k.send(message("request", "a.b"))
		k.loop.run()
		n.loops[1].inbox.full.Store(false)
		s.messages()
	}, want: []string{"accepted", "dropped busy"}},
	{name: "its sender is not read", loops: 2, happen: func(n *testNode, k *testClient) {
		s := n.worker(1, 9, "a.#")
		r := n.anonymous()
		n.loops[1].inbox.full.Store(true)
		r.send(message("request", "a.b"))
		r.loop.run()
		n.loops[1].inbox.full.Store(false)
		n.settle()
		n.pass(1000)
		s.messages()
	}, want: []string{"accepted", "queued its sender is not read", "delivered"}},
}

// Who armed for nothing is told nothing: a message is looked at for as long as somebody has armed,
// known for a minute more, and then nothing of it is left.
func TestArmingEnds(t *testing.T) {
	for _, loops := range []int{1, 2} {
		n := newTestNode(t, 1, loops, nil)
		k := n.connect(0, TransportTCP)
		n.settle()
		k.messages()
		sends := func() {
			t.Helper()
			n.pass(1)
			k.send(message("publish", "a.b"))
			n.settle()
		}
		sends()
		if k.fateOf().Found {
			t.Error("a message is known that nobody has armed for")
		}
		before := n.charged()
		k.explain(`{"armMs":1000,"topic":"a.#"}`)
		k.send("publish:b.b:1.0.0:" + testRequestID + "\nx")
		n.settle()
		if k.fateOf().Found {
			t.Error("a message is known that matches nothing that somebody has armed for")
		}
		sends()
		if !k.fateOf().Found || n.charged() <= before {
			t.Errorf("it is not known; %d bytes are charged", n.charged())
		}
		n.pass(1001)
		for _, l := range n.loops {
			if l.trace.looks != nil {
				t.Error("a loop still looks")
			}
		}
		if !k.fateOf().Found {
			t.Error("it is not known any more")
		}
		for range 7 {
			n.pass(10_000)
			k.send("request:system.heartbeat:1.0.0\n")
		}
		if k.fateOf().Found || n.charged() != before {
			t.Errorf("it is still known, or %d bytes are charged", n.charged())
		}
		k.explain(`{"armMs":100000,"topic":"a.#"}`)
		k.explain(`{"armMs":0,"topic":"A.#"}`)
		sends()
		if k.fateOf().Found {
			t.Error("a message is known for which nobody is armed any more")
		}
		for i := range armsMax {
			if e := k.explain(fmt.Sprintf(`{"armMs":9000,"topic":"t%d"}`, i)); e.Error != nil {
				t.Fatalf("arm %d: %v", i, e.Error)
			}
		}
		if e := k.explain(`{"armMs":9000,"topic":"t"}`); e.Error == nil ||
			e.Error.Details["reason"] != "busy" {
			t.Errorf("one more is armed for: %v", e.Error)
		}
	}
}

// One of so many messages is looked at when the configuration says so.
func TestSampling(t *testing.T) {
	n := newTestNode(t, 1, 1, func(cfg *config.Config) { cfg.Explain.Sample = 10 })
	k := n.anonymous()
	found := 0
	for i := range 100 {
		id := fmt.Sprintf("5e0c0000-0000-4000-8000-%012d", i)
		k.send("publish:a.b:1.0.0:" + id + "\nx")
		if k.explain(`{"requestId":"` + id + `"}`).Found {
			found++
		}
	}
	if found != 10 {
		t.Errorf("%d of 100 messages are known", found)
	}
}

// A flood that is armed for is looked at in part, and what is kept of it is bounded and charged.
func TestTracedFloodIsBounded(t *testing.T) {
	n := newTestNode(t, 1, 2, func(cfg *config.Config) { cfg.Memory.Limit = 64 << 20 })
	n.subscribers(40, 0, TransportTCP, "publish", "a.#")
	n.subscribers(40, 1, TransportTCP, "publish", "a.#")
	k := n.watch()
	for range 200 {
		for range 100 {
			k.send(message("publish", "a.b"))
		}
		n.pass(50)
	}
	most := 2 * int64(n.traceBytes)
	held := int64(0)
	for _, l := range n.loops {
		held += int64(l.trace.book.Held())
		if l.trace.charged != int64(l.trace.book.Held()) {
			t.Errorf("%d bytes are charged, %d held", l.trace.charged, l.trace.book.Held())
		}
	}
	if held > most || held == 0 {
		t.Errorf("%d bytes are held, at most %d may be", held, most)
	}
	e := k.explain(`{"requestId":"` + testRequestID + `"}`)
	more := 0
	for _, s := range e.Stops {
		if strings.HasSuffix(s.Reason, " more") {
			more++
		}
	}
	if !e.Found || len(e.Stops) > 256 || more != 4 { // matched and delivered, on each loop
		t.Errorf("%d stops, %d of which stand for others: %v", len(e.Stops), more, e.said())
	}
}
