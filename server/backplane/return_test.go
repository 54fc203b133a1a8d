package backplane

import (
	"cmp"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mbserver/server/abroad"
)

// A node that was cut off, however long, comes back with what was lost meanwhile, on both ways, and
// with nothing that was not.
func TestBackAfterLong(t *testing.T) {
	h := newHub(t)
	var ahead atomic.Int64
	began := time.Now()
	clock := func(o *Options) {
		o.RepairBytes = 1 << 20
		o.Now = func() time.Duration { return time.Since(began) + time.Duration(ahead.Load()) }
	}
	a, b := h.join(t, "a", clock), h.join(t, "b", clock)
	a.knows(t, 1)
	b.knows(t, 1)
	a.subscribe(t, "t")
	b.subscribe(t, "t")
	a.publish("t", 0, 30)
	b.publish("t", 0, 30)
	for _, m := range []*member{a, b} {
		m.accounted(t, 30)
	}
	h.setCut(a.bus, true)
	b.publish("t", 30, 4) // before it is gone
	eventually(t, "a is an island, and gone", func() bool {
		return a.alone.Load() && len(b.broker.wanting("t")) == 0
	})
	a.publish("t", 30, 7)
	for range 4 {
		ahead.Add(int64(forgetAfter))
		time.Sleep(2 * testBeat) // its goroutine sees that
	}
	h.setCut(a.bus, false)
	a.knows(t, 1)
	b.knows(t, 1)
	for _, m := range []*member{a, b} {
		m.publish("t", 40, 3)
	}
	for m, lost := range map[*member]int{a: 4, b: 7} {
		if _, n := m.accounted(t, 33+lost); n != lost {
			t.Errorf("%s is told that %d are lost, of %d", m.o.Node, n, lost)
		}
	}
}

// What a node has sent just before it leaves, and what was lost of that is told, though nothing
// comes of it any more.
func TestLastWords(t *testing.T) {
	h := newHub(t)
	a, b := h.join(t, "a"), h.join(t, "b")
	a.knows(t, 1)
	b.knows(t, 1)
	b.subscribe(t, "t")
	a.publish("t", 0, 10)
	b.accounted(t, 10)
	h.setLose(func(subject string) bool { return strings.Contains(subject, ".pub.") })
	a.publish("t", 10, 5)
	a.Close()
	if got, lost := b.accounted(t, 15); len(got) != 10 || lost != 5 {
		t.Errorf("%d came, %d are told to be lost, of 15", len(got), lost)
	}
}

// The farewell of a node does not overtake its last answers, on whichever lane they are: it is gone
// when they have come, or when what is lost of them would have.
func TestLastAnswers(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		h := aloneHub()
		began := time.Now()
		var stands atomic.Int64 // the time of b's clock; 0: it runs
		a := h.join(t, "a")
		b := h.join(t, "b", func(o *Options) {
			o.Now = func() time.Duration {
				return cmp.Or(time.Duration(stands.Load()), time.Since(began))
			}
		})
		a.knows(t, 1)
		b.knows(t, 1)
		h.mu.Lock()
		h.hold = func(subject string) bool { return strings.Contains(subject, ".req.") }
		h.mu.Unlock()
		to, from := a.other(), b.other()
		for loop := range 2 {
			answer := abroad.Answer{Ref: oneID, Outcome: abroad.Answered, Payload: []byte("x")}
			if !a.Answer(loop, to.slot, &answer) {
				t.Fatal("not sent")
			}
			a.Flush(loop)
		}
		stands.Store(int64(time.Since(began)))
		a.Close()
		is := func(leaving, gone bool) bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			parted := false
			b.broker.with(func() { parted = b.broker.parted[from.slot] })
			return from.leaving != 0 == leaving && parted == gone
		}
		answers := func() (count int) {
			b.broker.with(func() { count = len(b.broker.words) })
			return count
		}
		eventually(t, "it leaves", func() bool { return is(true, false) })
		h.release()
		eventually(t, "one answer comes", func() bool { return answers() == 1 })
		if !is(true, false) {
			t.Error("it is gone before all has come")
		}
		if b.Answer(0, from.slot, &abroad.Answer{Ref: oneID}) {
			t.Error("something is sent to it")
		}
		want := 2
		if lost {
			want = 1
			stands.Store(0)
		} else {
			h.release()
		}
		eventually(t, "it is gone", func() bool { return is(false, true) })
		if got := answers(); got != want {
			t.Errorf("%d answers have come, of %d", got, want)
		}
	}
}

// other is the only other node that m knows.
func (m *member) other() (n *node) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n = range m.nodes {
	}
	return n
}

// So many runs of nodes are known, and no more: those that are gone for longest are forgotten.
func TestKnownIsBounded(t *testing.T) {
	a := newHub(t).join(t, "a")
	for run := range uint64(2 * knownMost) {
		a.mu.Lock()
		n := a.find(nodeKey{fmt.Sprint("n", run%3), 1 + run})
		if n == nil {
			a.mu.Unlock()
			t.Fatalf("run %d has no place", run)
		}
		a.lose(n, hasLeft)
		a.mu.Unlock()
	}
	if n := len(a.nodes); n > knownMost {
		t.Errorf("%d are known", n)
	}
	a.inward.mu.Lock()
	defer a.inward.mu.Unlock()
	if n := len(a.inward.links); n > knownMost {
		t.Errorf("%d links are known", n)
	}
}
