package blackbox

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// pausing are settings of back pressure with a longest pause in ms.
func pausing(most int) []string {
	return append(smallRing[:2:2], "connection.backpressure=pause",
		fmt.Sprintf("connection.backpressureMax=%d", most))
}

// stream is what a publisher of numbered messages with request IDs finds out: its acknowledgements
// and notices. Everything it sends is numbered in its IDs.
type stream struct {
	acks, dropped   int
	paused, resumed int
}

// take books one message for the publisher. Acknowledgements come in the order of the publishes
// unless the subscribers are on several loops, which the tests that use it avoid.
func (s *stream) take(t testing.TB, m message) {
	t.Helper()
	if m.Topic == "system.flow" {
		m.mustHead(t, "publish:system.flow:1.0.0")
		o := m.object(t)
		switch {
		case o["state"] == "paused" && s.paused == s.resumed:
			s.paused++
		case o["state"] == "resumed" && s.paused == s.resumed+1:
			s.resumed++
		default:
			t.Fatalf("%v after %d pauses and %d resumptions", m, s.paused, s.resumed)
		}
		return
	}
	if m.Action != "response" {
		t.Fatalf("unexpected: %v", m)
	}
	o := m.object(t)
	if o["status"] != "success" {
		t.Fatalf("not acknowledged: %v", m)
	}
	k, _ := o["dropped"].(float64)
	s.dropped += int(k)
	s.acks++
}

// pour publishes the messages from … to-1 with request IDs, without reading;
// the error comes on the channel.
func (c *client) pour(topic string, from, to int) <-chan error {
	done := make(chan error, 1)
	go func() {
		for i := from; i < to; i++ {
			m := fmt.Sprintf("publish:%s:1.0.0:%s\n%d %s", topic, uuid.NewString(), i, filler)
			if err := c.peer.Send([]byte(m)); err != nil {
				done <- fmt.Errorf("message %d: %w", i, err)
				return
			}
		}
		done <- nil
	}()
	return done
}

// Nothing is lost for a slow consumer that a publisher waits for: the publisher is paused, told so,
// and told when it is read on.
func TestOverload_PauseLosesNothing(t *testing.T) {
	perPlain(t, pausing(600_000), func(t *testing.T, n *node, transport string) {
		publisher, slow := n.dial(t, transport), n.narrow(t, transport)
		slow.subscribe("publish", "calm.test")
		const count = 400
		sent := publisher.pour("calm.test", 0, count)
		var s stream
		for s.paused == 0 {
			s.take(t, publisher.fresh())
		}
		// The peer's kernel may open its window once more, late;
		// the publisher is then read on for a moment.
		eventually(t, "one publisher is paused", func() bool {
			return n.counter(t, "mb_publishers_paused") == 1
		})
		if s.acks == 0 || s.acks == count {
			t.Errorf("%d acknowledgements before the pause", s.acks)
		}
		done := make(chan error, 1)
		go func() {
			for i := range count {
				// A notice of a gap is an error too.
				if err := expectNumber(slow.peer, i); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		for s.acks < count || s.resumed < s.paused {
			s.take(t, publisher.fresh())
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if s.dropped != 0 || n.counter(t, "mb_deliveries_dropped_total") != 0 {
			t.Errorf("%d were dropped", s.dropped)
		}
		if got := n.counter(t, "mb_publisher_pauses_total"); got != s.paused {
			t.Errorf("told of %d pauses, %d counted", s.paused, got)
		}
		if n.counter(t, "mb_publishers_paused") != 0 {
			t.Error("somebody is still paused")
		}
		publisher.none()
		slow.none()
	})
}

// While a publisher is paused, others publish to others,
// and the paused one still gets what is for it.
func TestOverload_PauseConcernsOnlyThePublisher(t *testing.T) {
	perPlain(t, pausing(600_000), func(t *testing.T, n *node, transport string) {
		publisher, slow := n.dial(t, transport), n.narrow(t, transport)
		other, reader := n.dial(t, transport), n.dial(t, overTCP)
		slow.subscribe("publish", "pause.test")
		publisher.subscribe("publish", "news.test")
		reader.subscribe("publish", "news.test")
		publisher.pour("pause.test", 0, 400)
		var s stream
		for s.paused == 0 {
			s.take(t, publisher.fresh())
		}
		for i := range 50 {
			other.send("publish:news.test:1.0.0:"+idA, fmt.Sprint(i))
			o := other.expect("response:news.test:1.0.0:" + idA).object(t)
			if o["subscribers"] != 2.0 || o["dropped"] != nil {
				t.Fatalf("got %v", o)
			}
			reader.expectPayload("publish:news.test:1.0.0:*", fmt.Sprint(i))
			publisher.await("the news", func(m message) bool {
				return string(m.Payload) == fmt.Sprint(i)
			})
		}
		// Who asks for no acknowledgement is not paused: the policy decides.
		for i := range 100 {
			other.send("publish:pause.test:1.0.0", fmt.Sprint(i, " ", filler))
		}
		other.none()
	})
}

// Two connections that publish to each other and do not read come free by themselves: after
// backpressureMax the policy decides, and nothing is lost that is not told. On one loop and on two.
func TestOverload_PauseNeverDeadlocks(t *testing.T) {
	t.Parallel()
	for _, loops := range []string{"loops=1", "loops=2"} {
		t.Run(loops, func(t *testing.T) {
			// The rings have room for the acknowledgements that nobody reads.
			settings := append(pausing(60)[1:], "connection.outbound.bytes=262144", loops)
			perPlain(t, settings, testCross)
		})
	}
}

func testCross(t *testing.T, n *node, transport string) {
	pair := [2]*client{n.narrow(t, transport), n.narrow(t, transport)}
	topics := [2]string{"cross.zero", "cross.one"}
	pair[0].subscribe("publish", topics[1])
	pair[1].subscribe("publish", topics[0])
	published := 0
	// Their sockets need not be full at the same time:
	// only a round that drops twice has dropped for both.
	for dropped, both := 0, 0; both < 6; published++ {
		if published == 5000 {
			t.Fatal("10 MB went to a subscriber that does not read")
		}
		for i, c := range pair {
			m := fmt.Sprintf("publish:%s:1.0.0:%s\n%d %s",
				topics[i], uuid.NewString(), published, filler)
			if err := c.peer.Send([]byte(m)); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "both are free again", func() bool {
			return n.counter(t, "mb_publishes_total") == 2*(published+1) &&
				n.counter(t, "mb_publishers_paused") == 0
		})
		total := n.counter(t, "mb_deliveries_dropped_total")
		if total-dropped == len(pair) {
			both++
		}
		dropped = total
	}
	for i, c := range pair {
		r := c.collect() // the other one must not read for this one to be served
		var s stream
		var a account
		for s.acks < published || s.resumed < s.paused || a.received+a.reported < published {
			if m := r.next(t); m.Action == "publish" && m.Topic != "system.flow" {
				a.book(t, m)
			} else {
				s.take(t, m)
			}
		}
		if s.acks != published || a.received+a.reported != published ||
			s.paused == 0 || a.reported == 0 {
			t.Errorf("connection %d published %d: %+v %+v", i, published, s, a)
		}
	}
}

// collector reads a connection to its end, so that its socket never fills. Any goroutine.
type collector struct {
	mu  sync.Mutex
	in  []message // Guarded by mu.
	err error     // Guarded by mu.
}

// collect begins; nothing else may read the connection any more.
func (c *client) collect() *collector {
	r := new(collector)
	go func() {
		for {
			m, err := c.tryFresh()
			r.mu.Lock()
			if r.err = err; err == nil {
				r.in = append(r.in, m)
			}
			r.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return r
}

// next returns the next message.
func (r *collector) next(t testing.TB) (m message) {
	t.Helper()
	eventually(t, "another message", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.in) > 0 {
			m, r.in = r.in[0], r.in[1:]
			return true
		}
		if r.err != nil {
			t.Fatalf("the connection has ended: %v", r.err)
		}
		return false
	})
	return m
}

// A pause ends when the subscriber that caused it leaves.
func TestOverload_PauseEndsWithItsSubscriber(t *testing.T) {
	perPlain(t, pausing(600_000), func(t *testing.T, n *node, transport string) {
		publisher, slow, fast := n.dial(t, transport), n.narrow(t, transport), n.dial(t, transport)
		slow.subscribe("publish", "leave.test")
		fast.subscribe("publish", "leave.test")
		const count = 300
		sent := publisher.pour("leave.test", 0, count)
		var s stream
		for s.paused == 0 {
			s.take(t, publisher.fresh())
		}
		if err := abort(slow.peer); err != nil {
			t.Fatal(err)
		}
		for s.acks < count || s.resumed < s.paused {
			s.take(t, publisher.fresh())
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		for i := range count {
			if err := expectNumber(fast.peer, i); err != nil {
				t.Fatal(err)
			}
		}
		fast.none()
		publisher.none()
	})
}

// A paused publisher that leaves is forgotten, with what it sent and was not read.
func TestOverload_PauseEndsWithItsPublisher(t *testing.T) {
	perPlain(t, pausing(600_000), func(t *testing.T, n *node, transport string) {
		slow := n.narrow(t, transport)
		slow.subscribe("publish", "gone.test")
		slow.settle()                                     // and the subscription is charged
		before := n.counter(t, "mb_memory_charged_bytes") // a connection costs something itself
		publisher := n.dial(t, transport)
		publisher.pour("gone.test", 0, 150)
		var s stream
		for s.paused == 0 {
			s.take(t, publisher.fresh())
		}
		if err := abort(publisher.peer); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is gone", func() bool {
			return n.counter(t, "mb_connections") == 1 && n.counter(t, "mb_publishers_paused") == 0
		})
		for i := range s.acks {
			if err := expectNumber(slow.peer, i); err != nil {
				t.Fatal(err)
			}
		}
		const story = 1 << 10 // that it was behind is remembered of the slow one
		eventually(t, "nothing more is charged", func() bool {
			slow.settle()
			return n.counter(t, "mb_memory_charged_bytes") <= before+story
		})
	})
}

// Subscriptions that would rather lose the oldest, or only want the newest,
// never make anybody wait.
func TestOverload_PauseNotForTheImpatient(t *testing.T) {
	perPlain(t, pausing(600_000), func(t *testing.T, n *node, transport string) {
		publisher := n.dial(t, transport)
		oldest, newest := n.narrow(t, transport), n.narrow(t, transport)
		oldest.subscribe("publish", "hurry.test", `,"overflow":"drop-oldest"`)
		newest.subscribe("publish", "hurry.test", `,"conflate":true`)
		const count = 250
		sent := publisher.pour("hurry.test", 0, count)
		var s stream
		for s.acks < count {
			s.take(t, publisher.fresh())
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if s.paused != 0 || n.counter(t, "mb_publisher_pauses_total") != 0 {
			t.Error("the publisher was paused")
		}
		var a account
		a.drain(t, oldest, count)
		if a.reported == 0 {
			t.Error("the subscriber was not over its limit")
		}
		if n.counter(t, "mb_deliveries_conflated_total") == 0 {
			t.Error("nothing was conflated")
		}
	})
}
