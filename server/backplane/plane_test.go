package backplane

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// three are three nodes that know one another.
func three(t *testing.T, h *hub) (a, b, c *member) {
	t.Helper()
	a, b, c = h.join(t, "a"), h.join(t, "b"), h.join(t, "c")
	for _, m := range []*member{a, b, c} {
		m.knows(t, 2)
	}
	return a, b, c
}

// A subscription that is answered is in force on every other node, whoever comes and goes.
func TestInterestStandsWhenConfirmed(t *testing.T) {
	h := newHub(t)
	h.latency = time.Millisecond
	a, b, c := three(t, h)
	all := []*member{a, b, c}
	for i := range 300 {
		m, pattern := all[i%3], fmt.Sprintf("t%d.+", i%7)
		m.subscribe(t, pattern)
		for _, other := range all {
			if other != m && len(other.broker.wanting(pattern)) == 0 {
				t.Fatalf("%s does not know %s of %s", other.o.Node, pattern, m.o.Node)
			}
		}
		if i%2 == 0 {
			m.Unsubscribed(pattern)
		}
	}
}

// publish sends n publishes from loop 0 to whoever wants the pattern.
func (m *member) publish(pattern string, from, n int) {
	for i := range n {
		slots := m.broker.wanting(pattern)
		slices.Sort(slots)
		m.Publish(0, slots, fmt.Appendf(nil, "publish:t:1.0.0:%d\n", from+i), []byte("x"), 0)
		if i%3 == 0 {
			m.Flush(0)
		}
	}
	m.Flush(0)
}

// What does not arrive is lost, and counted exactly, by whoever misses it: also the last ones. What
// arrives is in order, and once.
func TestLossesAreExact(t *testing.T) {
	h := newHub(t)
	a, b, c := three(t, h)
	b.subscribe(t, "t")
	c.subscribe(t, "t")
	const all = 500
	n := 0
	h.setLose(func(subject string) bool {
		if !strings.Contains(subject, ".pub.") {
			return false
		}
		n++
		return n%4 == 0 || n > 250 // some, and all of the end
	})
	a.publish("t", 0, all)
	for _, m := range []*member{b, c} {
		eventually(t, "all is accounted for", func() bool {
			got, lost := m.broker.received()
			return len(got)+int(lost) == all
		})
		got, lost := m.broker.received()
		if lost == 0 || len(got) == 0 {
			t.Errorf("%s: %d received, %d lost", m.o.Node, len(got), lost)
		}
		last := -1
		for _, text := range got {
			var i int
			if _, err := fmt.Sscanf(text, "publish:t:1.0.0:%d\n", &i); err != nil || i <= last {
				t.Fatalf("%s: %q after %d", m.o.Node, text, last)
			}
			last = i
		}
	}
	h.setLose(nil)
	a.publish("t", all, 10)
	eventually(t, "what is not lost is delivered again", func() bool {
		got, _ := b.broker.received()
		return len(got) > 0 && strings.HasPrefix(got[len(got)-1], "publish:t:1.0.0:509")
	})
}

// Changes that are lost are noticed, and all is told again.
func TestLostChangesHeal(t *testing.T) {
	h := newHub(t)
	a, b, _ := three(t, h)
	var lost atomic.Int32
	h.setLose(func(subject string) bool {
		is := strings.HasPrefix(subject, a.from) && strings.HasSuffix(subject, ".ctl")
		if is {
			lost.Add(1)
		}
		return is
	})
	a.Subscribed("x.#")
	a.Subscribed("y.#")
	eventually(t, "something is lost", func() bool { return lost.Load() > 0 })
	h.setLose(nil)
	a.Unsubscribed("x.#")
	eventually(t, "the interest is that of a", func() bool {
		return len(b.broker.wanting("y.#")) == 1 && len(b.broker.wanting("x.#")) == 0
	})
}

// A node that is silent is gone, what was routed to it is not any more, and it comes back whole.
func TestGoneAndBack(t *testing.T) {
	h := newHub(t)
	a, b, c := three(t, h)
	a.subscribe(t, "t")
	h.setCut(a.bus, true)
	for _, m := range []*member{b, c} {
		eventually(t, "a is gone", func() bool { return len(m.broker.wanting("t")) == 0 })
	}
	eventually(t, "a is an island", a.alone.Load)
	unconfirmed := make(chan int, 1)
	a.Await(a.Subscribed("u"), func(n int) { unconfirmed <- n })
	if n := <-unconfirmed; n != 2 {
		t.Errorf("on the island %d nodes have not confirmed", n)
	}
	if len(a.broker.parted) != 0 {
		t.Error("the island takes the others for gone")
	}
	h.setCut(a.bus, false)
	for _, m := range []*member{b, c} {
		eventually(t, "a is back", func() bool {
			return len(m.broker.wanting("t")) == 1 && len(m.broker.wanting("u")) == 1
		})
	}
	a.knows(t, 2)
}

// What an island publishes for others is lost, counted, and told when it is back.
func TestIslandsLossesAreTold(t *testing.T) {
	h := newHub(t)
	a, b := h.join(t, "a"), h.join(t, "b")
	a.knows(t, 1)
	b.knows(t, 1)
	b.subscribe(t, "t")
	h.setCut(a.bus, true)
	eventually(t, "a is an island", a.alone.Load)
	slots := a.broker.wanting("t")
	if len(slots) != 1 {
		t.Fatal("the island has forgotten what others want")
	}
	for range 7 {
		if a.Publish(1, slots, []byte("publish:t:1.0.0:m\n"), nil, 9) != 1<<slots[0] {
			t.Fatal("the island takes a publish for one that arrives")
		}
	}
	a.Flush(1)
	h.setCut(a.bus, false)
	eventually(t, "7 are lost", func() bool { _, lost := b.broker.received(); return lost == 7 })
	a.knows(t, 1)
	b.knows(t, 1)
	a.publish("t", 0, 3)
	eventually(t, "3 arrive", func() bool { got, _ := b.broker.received(); return len(got) == 3 })
	if _, lost := b.broker.received(); lost != 7 {
		t.Errorf("%d are lost", lost)
	}
}

// A receipt reaches who waits for it.
func TestReceipts(t *testing.T) {
	h := newHub(t)
	a, b := h.join(t, "a"), h.join(t, "b")
	a.knows(t, 1)
	b.knows(t, 1)
	b.subscribe(t, "t")
	b.broker.answer = func(slot uint32, of uint64) { b.Receipt(slot, of, 3, 1) }
	a.Publish(0, a.broker.wanting("t"), []byte("publish:t:1.0.0:m\n"), []byte("x"), 77)
	a.Flush(0)
	eventually(t, "the receipt is there", func() bool {
		a.broker.mu.Lock()
		defer a.broker.mu.Unlock()
		return a.broker.receipts[77] == [2]int{3, 1}
	})
}

// A node that leaves is gone at once, and one that is no successor makes an older one of its name
// leave.
func TestRival(t *testing.T) {
	h := newHub(t)
	a, other := h.join(t, "a"), h.join(t, "b")
	newer := h.join(t, "a")
	a.mu.Lock() // the time that it may take until a drains is over
	a.rivals[newer.o.Incarnation] = -rivalTime
	a.mu.Unlock()
	eventually(t, "the older one has left", func() bool { return a.Isolated() })
	if newer.Isolated() {
		t.Error("the newer one has left too")
	}
	newer.subscribe(t, "t")
	eventually(t, "the newer one is there", func() bool {
		return len(other.broker.wanting("t")) == 1
	})
	newer.Close()
	eventually(t, "it has left", func() bool { return len(other.broker.wanting("t")) == 0 })
}

// All of a large interest is told in parts.
func TestLargeSnapshot(t *testing.T) {
	h := newHub(t)
	a := h.join(t, "a")
	const many = 20_000
	for i := range many {
		a.Subscribed(fmt.Sprintf("orders.n%d.+.created", i))
	}
	b := h.join(t, "b")
	count := 0
	b.broker.with(func() {
		for _, wants := range b.broker.wants {
			count += len(wants)
		}
	})
	if count != many {
		t.Errorf("a node that is ready knows %d patterns of %d", count, many)
	}
}

// What a lane's queue does not take is lost, counted, and later ones arrive.
func TestFullQueue(t *testing.T) {
	h := newHub(t)
	a, b := h.join(t, "a"), h.join(t, "b")
	a.knows(t, 1)
	b.knows(t, 1)
	b.subscribe(t, "t")
	q := a.lanes[0].queue
	q.held.Add(int64(q.most)) // as if it were full
	a.publish("t", 0, 5)
	q.held.Add(-int64(q.most))
	a.publish("t", 5, 5)
	eventually(t, "5 are lost, and 5 are not", func() bool {
		got, lost := b.broker.received()
		return len(got) == 5 && lost == 5
	})
}

// A node that comes back has the slot that it had, and one that comes has none of one that is gone:
// word of a publish that was under way is nobody else's.
func TestSlots(t *testing.T) {
	h := newHub(t)
	a := h.join(t, "a")
	slotOf := func(name string, inc uint64) uint32 {
		slot := uint32(0)
		eventually(t, name+" is live", func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			n := a.nodes[nodeKey{name, inc}]
			if n != nil {
				slot = n.slot
			}
			return n != nil && n.state == nodeLive
		})
		return slot
	}
	gone := func(m *member) {
		eventually(t, m.o.Node+" is gone", func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.nodes[nodeKey{m.o.Node, m.o.Incarnation}].state == nodeGone
		})
	}
	b, c := h.join(t, "b"), h.join(t, "c")
	first, second := slotOf("b", b.o.Incarnation), slotOf("c", c.o.Incarnation)
	b.Close()
	gone(b)
	h.setCut(c.bus, true)
	gone(c)
	h.setCut(c.bus, false)
	if slot := slotOf("c", c.o.Incarnation); slot != second {
		t.Errorf("c is back in slot %d, and was in %d", slot, second)
	}
	again := h.join(t, "b")
	if slot := slotOf("b", again.o.Incarnation); slot == first || slot == second {
		t.Errorf("a new node is in slot %d, as one that is gone", slot)
	}
}
