package broker

import (
	"strings"
	"testing"
)

// A request that is on its way to another loop when the node begins its end is answered once,
// though nothing was outstanding then: it counts before anybody is told to go, and when the time is
// over it is told why.
func TestRequestInAParcelAtTheEnd(t *testing.T) {
	for _, topic := range []string{"end.t", "end.u", "end.v", "end.w"} { // wherever it would wait
		for _, most := range []int{1, 2} { // the second one waits, or does not
			for _, over := range []bool{false, true} {
				n := newTestNode(t, 1, 2, nil)
				one := n.worker(1, most, "end.#")
				k := n.connect(0, TransportWS)
				if most == 1 {
					k.send("request:end.first:1.0.0\nx")
				}
				n.settle()
				k.messages()
				k.send("request:" + topic + ":1.0.0:" + testRequestID + "\nx")
				n.state.Store(int32(draining))
				// The loop of the service has all its words before it has the request.
				hear := func(f func(*Loop)) {
					t.Helper()
					w := n.sendWords(f)
					n.run(1)
					n.run(0)
					n.settle()
					if len(w) != cap(w) {
						t.Fatalf("%d words were heard of %d", len(w), cap(w))
					}
				}
				if !over {
					hear(func(*Loop) {})
					if n.outstanding.Load() == 0 {
						t.Errorf("%s: it is not outstanding", topic)
					}
				}
				hear((*Loop).failOutstanding)
				hear(func(*Loop) {})
				for _, l := range n.loops {
					l.call((*Loop).goAway)
				}
				n.settle()
				answers := 0
				for _, m := range k.messages() {
					if string(m.RequestID) == testRequestID &&
						strings.Contains(string(m.payload), `"draining"`) {
						answers++
					}
				}
				if answers != 1 || n.outstanding.Load() != 0 {
					t.Errorf("%s, a service of %d, %v: %d answers, %d outstanding",
						topic, most, over, answers, n.outstanding.Load())
				}
				one.messages()
			}
		}
	}
}
