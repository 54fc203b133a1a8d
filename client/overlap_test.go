package client

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// twin publishes on two nodes as if they were one broker: the second gets each message a little
// later, in the same order, under the same ID.
type twin struct {
	first, second *clienttest.Broker
	late          chan func()
	done          sync.WaitGroup
}

func newTwin(first, second *clienttest.Broker) *twin {
	w := &twin{first: first, second: second, late: make(chan func(), 4096)}
	w.done.Go(func() {
		for send := range w.late {
			if rand.IntN(8) == 0 {
				time.Sleep(rand.N(time.Millisecond))
			}
			send()
		}
	})
	return w
}

// deliver sends to each connection of the node that has subscribed.
func deliver(b *clienttest.Broker, topic, id, payload string) {
	for _, conn := range b.Conns() {
		for _, s := range conn.Subscriptions() {
			if s == "publish "+topic {
				conn.Send("publish:"+topic+":1.0.0:"+id, []byte(payload))
			}
		}
	}
}

func (w *twin) publish(topic, payload string) {
	id := codec.NewUUID(rand.Uint64(), rand.Uint64()).String()
	deliver(w.first, topic, id, payload)
	w.late <- func() { deliver(w.second, topic, id, payload) }
}

// What two nodes deliver while a client moves between them, to and fro, comes once, in the order
// of each topic, and nothing is missing.
func TestOverlap(t *testing.T) {
	for _, transport := range []string{"tcp", "ws"} {
		t.Run(transport, func(t *testing.T) {
			a, b, _, address := twoNodes(t, transport)
			c := dial(t, address)
			topics := []string{"t0", "t1", "t2"}
			got := make(map[string]int) // the next number; dispatch goroutine's
			for _, topic := range topics {
				_, err := c.Subscribe(testContext(t), topic, func(m Message) {
					if want := fmt.Sprint(got[topic]); string(m.Payload) != want {
						t.Errorf("%s: got %s, want %s", topic, m.Payload, want)
					}
					got[topic]++
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			w := newTwin(a, b)
			stop := make(chan struct{})
			var publishers sync.WaitGroup
			sent := make([]int, len(topics))
			for i, topic := range topics {
				publishers.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(rand.N(200 * time.Microsecond)):
						}
						w.publish(topic, fmt.Sprint(sent[i]))
						sent[i]++
					}
				})
			}
			// From the late node to the other a message may be delivered nowhere: it left the one
			// before the client came, and comes to the other when the client has gone.
			a.Conns()[0].Announce(20*time.Millisecond, time.Minute)
			eventually(t, "the other node", func() bool { return c.NodeID() == b.NodeID })
			eventually(t, "the end of the old one", func() bool { return len(a.Conns()) == 0 })
			close(stop)
			publishers.Wait()
			close(w.late)
			w.done.Wait()
			if err := c.Settle(testContext(t)); err != nil {
				t.Fatal(err)
			}
			for i, topic := range topics {
				if got[topic] != sent[i] || sent[i] == 0 {
					t.Errorf("%s: got %d of %d", topic, got[topic], sent[i])
				}
			}
		})
	}
}

// overlapping is a queue in which two connections deliver, and what its callbacks got.
func overlapping(limit int) (*queue, *route, func() []string) {
	q := newQueue(limit, func(Gap) {}, func(uint64) {}, func(change) {})
	var got []string
	s := &Subscription{message: func(m Message) { got = append(got, string(m.Payload)) }}
	r := &route{topic: "a", version: "1.0.0", subs: []*Subscription{s}}
	q.overlaps()
	return q, r, func() []string {
		q.end(false)
		q.run()
		return got
	}
}

// Random messages over both connections, the same ones on each in the same order, from anywhere
// in the sequence on: the callbacks get the whole sequence.
func TestOverlapInAnyOrder(t *testing.T) {
	for range 500 {
		q, r, result := overlapping(1 << 20)
		count := 1 + rand.IntN(30)
		ids := make([][]byte, count)
		for i := range ids {
			ids[i] = codec.NewUUID(rand.Uint64(), rand.Uint64()).Append(nil)
		}
		bring := func(s stage, i int) {
			q.message(nil, s, r, ids[i], fmt.Append(nil, i))
		}
		oldEnd := rand.IntN(count + 1)    // the old connection brings those before
		newStart := rand.IntN(oldEnd + 1) // the new one these and the rest
		old, fresh := 0, newStart         // next of each
		for old < oldEnd || fresh < count && rand.IntN(4) > 0 {
			if old < oldEnd && (fresh == count || rand.IntN(2) == 0) {
				bring(leaving, old)
				old++
			} else if fresh < count {
				bring(joining, fresh)
				fresh++
			}
		}
		q.release()
		for ; fresh < count; fresh++ {
			bring(joined, fresh)
		}
		got := result()
		for i := range max(count, len(got)) {
			if i >= len(got) || i >= count || got[i] != fmt.Sprint(i) {
				t.Fatalf("old 0–%d, new %d–%d: got %v", oldEnd, newStart, count, got)
			}
		}
	}
}

// Messages without an ID are those of one node alone: each is delivered.
func TestOverlapWithoutID(t *testing.T) {
	q, r, result := overlapping(1 << 20)
	for _, s := range []stage{leaving, joining, leaving, joining} {
		q.message(nil, s, r, nil, []byte("line"))
	}
	q.release()
	q.message(nil, joined, r, nil, []byte("line"))
	if got := result(); len(got) != 5 {
		t.Errorf("got %d of 5", len(got))
	}
}

// More than the limit is not held: it is delivered, still once.
func TestOverlapHoldsWithinTheLimit(t *testing.T) {
	q, r, result := overlapping(1 << 10)
	var ids [][]byte
	for range 5 {
		ids = append(ids, codec.NewUUID(rand.Uint64(), rand.Uint64()).Append(nil))
	}
	for _, id := range ids {
		q.message(nil, joining, r, id, make([]byte, 200))
	}
	if q.overlap.holding || len(q.overlap.items) > 0 {
		t.Error("still held")
	}
	q.limit = 1 << 20 // The callbacks have made room.
	for _, id := range ids {
		q.message(nil, leaving, r, id, make([]byte, 200))
	}
	if got := result(); len(got) != len(ids) {
		t.Errorf("got %d of %d", len(got), len(ids))
	}
}

// A copy whose connection is lost while it waits for room does not take the other's place.
func TestOverlapCopyThatWaits(t *testing.T) {
	q, r, result := overlapping(100)
	id := codec.NewUUID(1, 2).Append(nil)
	q.message(nil, leaving, r, codec.NewUUID(1, 1).Append(nil), make([]byte, 100))
	lost := make(chan struct{})
	close(lost)
	if waited := q.message(lost, leaving, r, id, []byte("x")); !waited {
		t.Fatal("found room")
	}
	q.resumed()
	q.limit = 1 << 20
	q.message(nil, joined, r, id, []byte("x"))
	if got := result(); len(got) != 2 {
		t.Errorf("got %d of 2", len(got))
	}
}

// The IDs that are remembered are bounded, and forgotten with the last move.
func TestOverlapIsBounded(t *testing.T) {
	q, _, _ := overlapping(1 << 20)
	o := q.overlap
	id := func(n uint64) []byte { return codec.NewUUID(n, n).Append(nil) }
	for n := range uint64(3 * overlapIDs) {
		if o.twice(id(n)) {
			t.Fatalf("message %d was seen", n)
		}
		if all := len(o.recent) + len(o.older); all > overlapIDs {
			t.Fatalf("%d IDs after %d messages", all, n)
		}
	}
	for n := uint64(3*overlapIDs - overlapIDs/2); n < 3*overlapIDs; n++ {
		if !o.twice(id(n)) {
			t.Fatalf("message %d was forgotten", n)
		}
	}
	q.overlaps()
	q.parts()
	if q.overlap == nil {
		t.Error("forgotten with the first of two moves")
	}
	q.parts()
	if q.overlap != nil {
		t.Error("remembered for ever")
	}
}
