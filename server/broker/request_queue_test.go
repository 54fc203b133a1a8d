package broker

import (
	"bytes"
	"testing"
)

// A service that frees room and loses its framing in one turn has room for nobody, though the trie
// still knows it: what waits must not go back and forth between it and the queue.
func TestQueueOfAServiceThatIsBeingClosed(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	service, requester := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	service.send("request:system.service.register:1.0.0\n" +
		`{"name":"one","description":"at a time","maxConcurrent":1}`)
	service.send("request:system.topic.subscribe:1.0.0\n" + `{"action":"request","topic":"a.b"}`)
	n.settle()
	ids := []string{
		"6a1b2c3d-0000-4000-8000-000000000001",
		"6a1b2c3d-0000-4000-8000-000000000002",
		"6a1b2c3d-0000-4000-8000-000000000003",
	}
	for _, id := range ids {
		requester.send("request:a.b:1.0.0:" + id + "\nask")
	}
	n.settle()
	requester.messages()
	if n.queued.Load() != 2 {
		t.Fatalf("%d requests wait", n.queued.Load())
	}
	masked := service.openEntry().id.String()
	service.send("response:a.b:1.0.0:" + masked + "\nanswer")
	service.arrive([]byte{0xff, 0xff, 0xff, 0xff})
	n.settle()
	answers := make(map[string][]byte)
	for _, m := range requester.messages() {
		answers[string(m.RequestID)] = m.payload
	}
	if string(answers[ids[0]]) != "answer" {
		t.Errorf("the first request: %q", answers[ids[0]])
	}
	for _, id := range ids[1:] {
		if !bytes.Contains(answers[id], []byte("NO_ROUTE_FOUND")) {
			t.Errorf("a request that waited: %q", answers[id])
		}
	}
}
