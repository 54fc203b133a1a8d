package broker

import (
	"strings"
	"testing"
)

// stallWithConflated makes k's socket full while newer messages replace older ones of a topic.
func (n *testNode) stallWithConflated(k *testClient) {
	k.send("request:system.topic.subscribe:1.0.0\n" +
		`{"action":"publish","topic":"k.#","conflate":true}`)
	p := n.connect(0, TransportTCP)
	n.settle()
	k.messages()
	k.sock.unlimited = false
	for range 4 {
		p.send("publish:k.a:1.0.0\nx")
		n.settle()
	}
}

// What was replaced is told before the connection ends, whoever ends it.
func TestReplacedIsToldAtTheEnd(t *testing.T) {
	for what, end := range map[string]func(n *testNode, k *testClient){
		"its peer": func(_ *testNode, k *testClient) { k.hangUp(false) },
		"the node": func(n *testNode, _ *testClient) { n.loops[0].call((*Loop).goAway) },
	} {
		for _, tr := range []Transport{TransportTCP, TransportWS} {
			n := newTestNode(t, 1, 1, nil)
			k := n.connect(0, tr)
			n.stallWithConflated(k)
			end(n, k)
			n.settle()
			k.unblock(0, true)
			n.settle()
			var got []string
			for _, m := range k.messages() {
				if m.header != "" {
					got = append(got, strings.SplitN(m.header, ":", 3)[1]+" "+string(m.payload))
				}
			}
			if len(got) < 2 || !strings.HasPrefix(got[len(got)-1], "system.dropped ") ||
				!strings.Contains(got[len(got)-1], `"conflated":3`) {
				t.Errorf("%s ends it, %s: %q", what, tr, got)
			}
		}
	}
}

// Answers of work beside the loops reach who has ended its stream meanwhile; then it is closed, and
// nothing of it is left.
func TestBackgroundAnswersAfterTheEnd(t *testing.T) {
	for _, row := range []struct{ topic, payload, want string }{
		{"system.log.subscribe", `{"levels":["info"],"regex":"a"}`, "success"},
		{"system.log.subscribe", `{"regex":"("}`, "INVALID_REQUEST"},
		{"system.metrics", `{"paramFilter":{"core":"0"}}`, "success"},
		{"system.metrics", `{}`, "success"},
		{"system.service.subscriptions", `{}`, "success"},
		{"system.topic.list", `{}`, "success"},
	} {
		n := newTestNode(t, 1, 1, nil)
		k := n.connect(0, TransportTCP)
		n.settle()
		k.messages()
		k.inquire(row.topic, row.payload)
		k.hangUp(false)
		n.run(0)
		if k.sock.closed {
			t.Errorf("%s: it is closed before it is answered", row.topic)
			continue
		}
		if got := reasonOf(k.answer()); !strings.HasPrefix(got, row.want) {
			t.Errorf("%s %s: %s", row.topic, row.payload, got)
		}
		if !k.sock.closed || n.connections.Load() != 0 || n.charged() != 0 {
			t.Errorf("%s: closed %v, %d connections, %d bytes",
				row.topic, k.sock.closed, n.connections.Load(), n.charged())
		}
		if to := n.logStream.Listeners(0); len(to) != 0 {
			t.Errorf("%s: the log has %d readers", row.topic, len(to))
		}
	}
}

// Who has ended its stream does not wait for what was discarded then: it is closed with its last
// answer.
func TestDiscardedRequestsAreNotOwed(t *testing.T) {
	for at := range 2 {
		for _, queued := range []string{"one.t", "one.u", "one.v"} { // on either loop
			n := newTestNode(t, 1, 2, nil)
			one := n.worker(at, 1, "one.#")
			k := n.connect(0, TransportTCP)
			n.settle()
			k.messages()
			for _, topic := range []string{"one.t", queued, queued} {
				k.send("request:" + topic + ":1.0.0:" + testRequestID + "\nx")
				n.settle()
			}
			k.hangUp(false)
			n.settle()
			if n.queued.Load() != 0 || k.sock.closed {
				t.Fatalf("%d requests wait, closed %v", n.queued.Load(), k.sock.closed)
			}
			one.work()
			if got := k.answers(); len(got) != 1 || got[0] != "answer" {
				t.Errorf("%q", got)
			}
			if !k.sock.closed {
				t.Errorf("the service on loop %d, %s: it waits for what was discarded", at, queued)
			}
		}
	}
}

// While the process stands still nobody is answered: that is no part of the time that who has ended
// its stream is given. Bytes that come meanwhile give it no more.
func TestLingersWhileTheLoopListens(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	service := n.worker(0, 1, "one.t")
	k := n.connect(0, TransportTCP)
	n.settle()
	k.messages()
	k.send("request:one.t:1.0.0:" + testRequestID + "\nx")
	n.settle()
	k.hangUp(false)
	n.settle()
	n.advance(2 * lingerTime.Milliseconds()) // stopped, and then all turns at once
	n.settle()
	if k.sock.closed {
		t.Fatal("it is closed for the time in which the process stood still")
	}
	service.work()
	if got := k.answers(); len(got) != 1 || got[0] != "answer" {
		t.Errorf("%q", got)
	}
	n.settle()
	if !k.sock.closed {
		t.Error("it has its answer and is not closed")
	}
	k = n.connect(0, TransportTCP)
	n.settle()
	k.arrive([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) // no frame: it is to go
	for range 8 {
		n.pass(lingerTime.Milliseconds() / 4)
		if !k.sock.closed {
			k.arrive([]byte{0})
		}
	}
	n.settle()
	if !k.sock.closed {
		t.Error("who sends is given more time")
	}
}
