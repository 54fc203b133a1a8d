package blackbox

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// account books what a subscriber receives against what was published: messages numbered from 0,
// and notices of gaps.
type account struct {
	next     int // number that would follow without a gap
	received int
	reported int // messages that system.dropped told of
	pending  int // of these, those that the next message's number must account for
}

// book takes one message; what is lost must be told exactly, before the next message.
func (a *account) book(t testing.TB, m message) {
	t.Helper()
	if m.Topic == "system.dropped" {
		m.mustHead(t, "publish:system.dropped:1.0.0")
		o := m.object(t)
		checkTimestamp(t, o["since"])
		checkTimestamp(t, o["until"])
		count, _ := o["count"].(float64)
		if count < 1 || count != float64(int(count)) {
			t.Fatalf("count in %s", m.Payload)
		}
		a.reported += int(count)
		a.pending += int(count)
		return
	}
	number, err := leadingNumber(m)
	if err != nil {
		t.Fatal(err)
	}
	if number != a.next+a.pending {
		t.Fatalf("message %d after %d with a gap of %d told", number, a.next-1, a.pending)
	}
	a.next, a.pending = number+1, 0
	a.received++
}

// A subscriber that does not read while 300 MB are published: the node's memory stays bounded,
// others get everything, and when it reads again every message is either there or reported lost.
func TestResilience_SlowSubscriber(t *testing.T) {
	t.Parallel()
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			n := startNode(t)
			const size, count = 16_000, 300_000_000 / 16_000
			publisher, slow := n.dial(t, overTCP), n.dial(t, transport)
			slow.subscribe("publish", "flood.test")
			fast := []*client{n.dial(t, overTCP), n.dial(t, overWS)}
			f := newFlow(64, len(fast))
			results := make(chan error, len(fast))
			for i, c := range fast {
				c.subscribe("publish", "flood.#")
				go func() { results <- f.follow(c.peer, i, count) }()
			}
			filler := strings.Repeat("f", size)
			before, peak := n.resident(), 0
			for i := range count {
				if err := f.await(i); err != nil {
					t.Fatal(err)
				}
				publisher.send("publish:flood.test:1.0.0", fmt.Sprint(i, " ", filler))
				if i%100 == 0 {
					peak = max(peak, n.resident())
				}
			}
			for range fast {
				if err := <-results; err != nil {
					t.Fatal(err)
				}
			}
			bound := 64 << 20
			if raceEnabled { // its shadow memory multiplies
				bound = 200 << 20
			}
			if peak-before > bound {
				t.Errorf("resident memory grew by %d MiB", (peak-before)>>20)
			}
			publisher.none()
			for _, c := range fast {
				c.none()
			}
			settleAccount(t, publisher, slow, count)
		})
	}
}

// settleAccount lets the slow subscriber read again while further messages come, until one of them
// finds room; that one closes the account.
func settleAccount(t *testing.T, publisher, slow *client, published int) {
	t.Helper()
	var a account
	deadline := time.Now().Add(2 * patience)
	for room := false; !room || a.next != published; a.book(t, slow.fresh()) {
		if time.Now().After(deadline) {
			t.Fatalf("still %d of %d after %v", a.next, published, 2*patience)
		}
		if room {
			continue
		}
		publisher.send("publish:flood.test:1.0.0:"+idA, fmt.Sprint(published, " more"))
		ack := publisher.expect("response:flood.test:1.0.0:" + idA)
		room = ack.object(t)["dropped"] == nil
		published++
	}
	if a.received+a.reported != published || a.reported == 0 {
		t.Errorf("received %d + reported %d, published %d", a.received, a.reported, published)
	}
	slow.none()
}

// The acknowledgement tells how many subscribers were over their limit.
func TestS5_AcknowledgesDrops(t *testing.T) {
	t.Parallel()
	n := startNode(t, "connection.outbound.bytes=65536")
	publisher, slow, fast := n.dial(t, overTCP), n.dial(t, overTCP), n.dial(t, overWS)
	slow.subscribe("publish", "drop.test")
	fast.subscribe("publish", "drop.#")
	filler := strings.Repeat("d", 16_000)
	dropped := 0
	for i := 0; dropped < 5; i++ {
		if i == 10_000 {
			t.Fatal("160 MB went to a subscriber that does not read")
		}
		publisher.send("publish:drop.test:1.0.0:"+idA, fmt.Sprint(i, " ", filler))
		o := publisher.expect("response:drop.test:1.0.0:" + idA).object(t)
		if k, there := o["dropped"]; there {
			if k != 1.0 {
				t.Fatalf("got %v", o)
			}
			dropped++
		}
		if o["subscribers"] != 2.0 || o["status"] != "success" {
			t.Fatalf("got %v", o)
		}
		if number, err := leadingNumber(fast.recv()); err != nil || number != i {
			t.Fatalf("the fast one got %d instead of %d: %v", number, i, err)
		}
	}
	if got := publisher.metric("connection.outbound.dropped.count"); got < 5 {
		t.Errorf("counted %v drops", got)
	}
}

// Who does not keep up can be seen in the list of services: what waits for it, and what it lost.
func TestS8_WhoIsBehindIsListed(t *testing.T) {
	t.Parallel()
	n := startNode(t, "connection.outbound.bytes=65536", "connection.heartbeatRetryTimeout=50000")
	publisher, slow := n.dial(t, overTCP), n.dial(t, overTCP)
	numbers := func(c *client) [3]int {
		s := publisher.service(c.id)
		var got [3]int
		for i, key := range []string{"backlogBytes", "backlogMessages", "dropped"} {
			v, ok := s[key].(float64)
			if !ok {
				t.Fatalf("%s is %v", key, s[key])
			}
			got[i] = int(v)
		}
		if remote := c.peer.(*tcpPeer).conn.LocalAddr().String(); s["remote"] != remote {
			t.Fatalf("remote %v, want %s", s["remote"], remote)
		}
		return got
	}
	slow.subscribe("publish", "behind.test")
	filler := strings.Repeat("d", 16_000)
	lost := 0
	for i := 0; lost < 5; i++ {
		if i == 10_000 {
			t.Fatal("160 MB went to a subscriber that does not read")
		}
		publisher.send("publish:behind.test:1.0.0:"+idA, filler)
		if publisher.expect("response:behind.test:1.0.0:" + idA).object(t)["dropped"] != nil {
			lost++
		}
	}
	eventually(t, "who is behind is listed", func() bool {
		got := numbers(slow)
		return got[0] > 16_000 && got[1] > 0 && got[1] < 10 && got[2] == lost
	})
	if got := numbers(publisher); got != [3]int{} {
		t.Errorf("who keeps up has %v", got)
	}
	slow.await("what was lost", func(m message) bool { return m.Topic == "system.dropped" })
	eventually(t, "who has caught up is listed", func() bool {
		return numbers(slow) == [3]int{0, 0, lost}
	})
}
