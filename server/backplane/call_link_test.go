package backplane

import (
	"fmt"
	"testing"

	"mbserver/codec"
	"mbserver/server/abroad"
)

// A frame of requests that a bus carries more than once, or late, is taken once, however often the
// node was gone meanwhile; what misses is counted.
func TestCallsOnce(t *testing.T) {
	h := newHub(t)
	a, b := h.join(t, "a"), h.join(t, "b")
	a.knows(t, 1)
	b.knows(t, 1)
	epoch := a.links[0].Load().epoch
	carry := func(epoch, lane, number uint64) {
		q := theRequest()
		q.Ref = codec.NewUUID(epoch+lane, number)
		frame := appendRequest(appendCallHead(nil, b.o.Incarnation, epoch, number), q)
		b.calls.receive(fmt.Sprintf("%sb.req.%d", a.from, lane), frame)
	}
	asked := func() (n int) { b.broker.with(func() { n = len(b.broker.asked) }); return n }
	for _, number := range []uint64{0, 0, 1, 3, 2, 2, 3, 1} { // 2 comes late
		carry(epoch, 0, number)
	}
	carry(epoch, 1, 0)
	if n := asked(); n != 5 {
		t.Errorf("%d are taken of 5 that came, each several times", n)
	}
	carry(epoch, 0, 200)
	carry(epoch, 0, 4) // nobody knows
	carry(epoch, 0, 200-63)
	carry(epoch, 0, 200-63)
	if p := b.counted("a"); asked() != 7 || p.CallsLost != 1+196 || p.CallsDoubled != 4+2 {
		t.Errorf("%d are taken of 7; %d are missing, %d came again", asked(), p.CallsLost,
			p.CallsDoubled)
	}
	n := b.nodes[nodeKey{"a", a.o.Incarnation}]
	b.calls.place(n.nodeKey, 0, false)
	carry(epoch, 0, 201)
	b.calls.place(n.nodeKey, n.slot, true)
	carry(epoch, 0, 201)
	if asked() != 7 {
		t.Error("what came while the node was gone is taken afterwards")
	}
	carry(epoch+1, 0, 0)
	carry(epoch, 0, 202)
	if asked() != 8 {
		t.Error("a later epoch is not taken, or an earlier one is")
	}
}

// A node whose frames of requests were lost tells all that it has told with them once more, though
// no other frame follows.
func TestMissedCalls(t *testing.T) {
	h := newHub(t)
	a, b := h.join(t, "a"), h.join(t, "b")
	a.knows(t, 1)
	b.knows(t, 1)
	missed := func() (n int) {
		a.broker.with(func() {
			for _, word := range a.broker.words {
				if word == "0 missed" {
					n++
				}
			}
		})
		return n
	}
	before := missed()
	h.setLose(func(subject string) bool { return subject == a.from+"b.req.0" })
	a.Load(0, 0, abroad.Load{Service: oneID, Others: 1})
	a.Flush(0)
	eventually(t, "it is said again", func() bool { return missed() > before })
	h.setLose(nil)
	before = missed()
	a.Load(0, 0, abroad.Load{Service: oneID, Others: 1})
	a.Flush(0)
	eventually(t, "what is missing before it is known", func() bool { return missed() > before })
}
