package backplane

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mbserver/server/metrics"
)

func theSpans() *spans {
	return &spans{to: 5, epoch: 8, lane: 3, list: []span{{7, 8}, {8, 300}, {1 << 40, 1<<40 + 1}}}
}

// What cannot be asked for is refused.
func TestSpansThatCannotBe(t *testing.T) {
	for name, m := range map[string]spans{
		"nothing":  {list: []span{{5, 5}}},
		"overlap":  {list: []span{{5, 9}, {8, 10}}},
		"order":    {list: []span{{5, 6}, {1, 2}}},
		"overflow": {list: []span{{1 << 63, 0}}},
		"lane":     {lane: lanesMost, list: []span{{1, 2}}},
		"many":     {list: slices.Repeat([]span{{0, 1}}, spansMost+1)},
	} {
		_, fields, err := open(m.append(nil, kindRepair))
		if err != nil {
			t.Fatal(err)
		}
		if err := new(spans).parse(fields); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// repairing keeps so many bytes.
func repairing(n int) func(*Options) { return func(o *Options) { o.RepairBytes = n } }

// couple are two nodes that keep what they send; b is subscribed to t.
func couple(t *testing.T, h *hub, keeps int) (a, b *member) {
	t.Helper()
	a, b = h.join(t, "a", repairing(keeps)), h.join(t, "b", repairing(keeps))
	a.knows(t, 1)
	b.knows(t, 1)
	b.subscribe(t, "t")
	return a, b
}

// numbersOf reads what was delivered, which is in order, and once.
func numbersOf(t *testing.T, got []string) (all []int) {
	t.Helper()
	for _, text := range got {
		var i int
		if _, err := fmt.Sscanf(text, "publish:t:1.0.0:%d\n", &i); err != nil ||
			len(all) > 0 && i <= all[len(all)-1] {
			t.Fatalf("%q after %v", text, all[max(len(all)-3, 0):])
		}
		all = append(all, i)
	}
	return all
}

// accounted waits until all that was published was delivered or is told to be lost.
func (m *member) accounted(t *testing.T, published int) (got []int, lost int) {
	t.Helper()
	eventually(t, "all is accounted for", func() bool {
		texts, lost := m.broker.received()
		return len(texts)+int(lost) >= published
	})
	texts, n := m.broker.received()
	if len(texts)+int(n) != published {
		t.Errorf("%d were delivered and %d lost, of %d", len(texts), n, published)
	}
	return numbersOf(t, texts), int(n)
}

// counted is what m has counted of another node.
func (m *member) counted(name string) (peer metrics.Peer) {
	for _, p := range m.Sample(time.Time{}).Peers {
		if p.Name == name {
			peer = p
		}
	}
	return peer
}

// losing loses frames of the publish lanes for which f says so, by their number.
func losing(f func(n int) bool) func(string) bool {
	n := 0
	return func(subject string) bool {
		if !strings.Contains(subject, ".pub.") {
			return false
		}
		n++
		return f(n)
	}
}

// What the bus loses is asked for, and delivered in order, once: holes, what is lost again, and
// the last ones, behind which nothing comes.
func TestRepair(t *testing.T) {
	for name, lose := range map[string]func(n int) bool{
		"one":         func(n int) bool { return n == 20 },
		"many":        func(n int) bool { return n%4 == 0 && n <= 167 },
		"most":        func(n int) bool { return n%8 > 1 && n <= 250 },
		"a long hole": func(n int) bool { return n > 10 && n < 150 },
		"the first":   func(n int) bool { return n < 5 },
		"the last":    func(n int) bool { return n > 100 && n <= 167 },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			a, b := couple(t, h, 1<<20)
			h.setLose(losing(lose))
			const all = 500 // in 167 frames
			a.publish("t", 0, all)
			if got, lost := b.accounted(t, all); lost != 0 || len(got) != all {
				t.Errorf("%d delivered, %d lost", len(got), lost)
			}
			p := b.counted("a")
			if p.Asked == 0 || p.Asked != p.Repaired || p.Received != all || p.Lost != 0 {
				t.Errorf("counted %+v", p)
			}
			if n := b.inward.held.Load(); n != 0 {
				t.Errorf("%d bytes are held", n)
			}
		})
	}
}

// A node that keeps nothing is not asked, and one that wants nothing does not ask: what is lost is
// told without delay.
func TestRepairOff(t *testing.T) {
	for _, keeps := range [][2]int{{0, 1 << 20}, {1 << 20, 0}} {
		t.Run(fmt.Sprint(keeps), func(t *testing.T) {
			h := newHub(t)
			a, b := h.join(t, "a", repairing(keeps[0])), h.join(t, "b", repairing(keeps[1]))
			a.knows(t, 1)
			b.knows(t, 1)
			b.subscribe(t, "t")
			h.setLose(losing(func(n int) bool { return n == 2 }))
			a.publish("t", 0, 30)
			if got, lost := b.accounted(t, 30); lost != 3 || len(got) != 27 {
				t.Errorf("%d delivered, %d lost", len(got), lost)
			}
			if p := b.counted("a"); p.Asked != 0 || p.Repaired != 0 || p.Lost != 3 {
				t.Errorf("counted %+v", p)
			}
		})
	}
}

// What is kept no longer is lost, and told at once; the rest of the hole comes.
func TestRepairOfMoreThanIsKept(t *testing.T) {
	h := newHub(t)
	a, b := couple(t, h, 16<<10)
	h.setLose(losing(func(n int) bool { return n > 10 && n < 990 }))
	const all = 3000
	a.publish("t", 0, all)
	got, lost := b.accounted(t, all)
	if p := b.counted("a"); lost == 0 || p.Repaired == 0 || p.Lost != uint64(lost) ||
		p.Asked != p.Repaired+p.Lost || p.Received != uint64(len(got)) {
		t.Errorf("counted %+v", p)
	}
}

// When nobody answers, what was held back comes after a while, and what misses is lost.
func TestRepairThatDoesNotCome(t *testing.T) {
	h := newHub(t)
	a, b := couple(t, h, 1<<20)
	var asked atomic.Int32
	pubs := losing(func(n int) bool { return n == 5 || n == 9 })
	h.setLose(func(subject string) bool {
		if strings.HasSuffix(subject, ".a.ctl") && !strings.Contains(subject, ".all.") {
			asked.Add(1)
			return true
		}
		return pubs(subject)
	})
	began := time.Now()
	a.publish("t", 0, 60)
	got, lost := b.accounted(t, 60)
	if took := time.Since(began); lost != 6 || len(got) != 54 || took < repairTime/2 {
		t.Errorf("%d delivered, %d lost, after %v", len(got), lost, took)
	}
	if asked.Load() < 3 {
		t.Errorf("asked %d times", asked.Load())
	}
}

// No more is held back than there may be: what misses before it is given up.
func TestHeldIsBounded(t *testing.T) {
	h := newHub(t)
	const keeps = 32 << 10
	a, b := couple(t, h, keeps)
	pubs := losing(func(n int) bool { return n == 5 })
	h.setLose(func(subject string) bool {
		return strings.HasSuffix(subject, ".a.ctl") || pubs(subject)
	})
	most := int64(0)
	for i := range 200 {
		a.publish("t", i*30, 30)
		most = max(most, b.inward.held.Load())
	}
	if got, lost := b.accounted(t, 6000); lost != 3 || len(got) != 5997 {
		t.Errorf("%d delivered, %d lost", len(got), lost)
	}
	if most > 2*keeps || b.inward.held.Load() != 0 {
		t.Errorf("%d bytes were held, %d are", most, b.inward.held.Load())
	}
}

// What comes more than once is delivered once.
func TestRepairedOnce(t *testing.T) {
	h := newHub(t)
	a, b := couple(t, h, 1<<20)
	h.mu.Lock()
	h.twice = true
	h.mu.Unlock()
	h.setLose(losing(func(n int) bool { return n%3 == 0 && n < 100 }))
	a.publish("t", 0, 300)
	if _, lost := b.accounted(t, 300); lost != 0 {
		t.Errorf("%d are lost", lost)
	}
}

// A repaired publish whose publisher waits is acknowledged.
func TestRepairedReceipt(t *testing.T) {
	h := newHub(t)
	a, b := couple(t, h, 1<<20)
	b.broker.answer = func(slot uint32, of uint64) { b.Receipt(slot, of, 3, 1) }
	h.setLose(losing(func(n int) bool { return n == 1 }))
	a.Publish(0, a.broker.wanting("t"), []byte("publish:t:1.0.0:0\n"), []byte("x"), 77)
	a.Flush(0)
	eventually(t, "the receipt is there", func() bool {
		a.broker.mu.Lock()
		defer a.broker.mu.Unlock()
		return a.broker.receipts[77] == [2]int{3, 1}
	})
	if got, _ := b.accounted(t, 1); len(got) != 1 {
		t.Errorf("delivered %v", got)
	}
}

// Whatever is lost, of publishes and of questions, is told or comes; in order, once, soon.
func TestRepairAtRandom(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHub(t)
			h.latency = time.Millisecond
			a, b := couple(t, h, []int{4 << 10, 64 << 10, 1 << 20}[seed%3])
			r := rand.New(rand.NewPCG(seed, 1))
			bad := 0
			h.setLose(func(subject string) bool {
				if strings.HasSuffix(subject, ".all.ctl") {
					return false
				}
				if bad > 0 {
					bad--
					return true
				}
				if r.IntN(20) == 0 {
					bad = r.IntN(40)
				}
				return r.IntN(10) == 0
			})
			const all = 1500
			for i := range all / 30 {
				a.publish("t", i*30, 30)
				time.Sleep(time.Millisecond)
			}
			got, lost := b.accounted(t, all)
			t.Logf("%d delivered, %d lost, counted %+v", len(got), lost, b.counted("a"))
		})
	}
}

// A lane keeps what it may, gives back exactly that, says of all else that it is gone, and forgets.
func TestKept(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		bus := &takenBus{}
		q := newQueue(bus, 0, 1<<30)
		q.kept.most = 1 + r.IntN(20_000)
		links := []*link{newLink("f.", "b", 1, 1, 1), newLink("f.", "c", 2, 1, 1)}
		want := make(map[*link]map[uint64][]byte)
		for range 300 {
			of := links[r.IntN(2)]
			n := &of.lanes[0]
			first := n.next
			n.next += uint64(1 + r.IntN(5))
			if want[of] == nil {
				want[of] = make(map[uint64][]byte)
			}
			frame := fmt.Appendf(nil, "%s %d ", of.name, first)
			frame = append(frame, make([]byte, r.IntN(300))...)
			if r.IntN(50) == 0 {
				frame = append(frame, make([]byte, r.IntN(30_000))...)
			}
			if r.IntN(10) == 0 {
				continue // it is given up
			}
			want[of][first] = frame
			q.push(outgoing{subject: n.subject, frame: frame, of: of, first: first, upto: n.next})
		}
		drain(q)
		if n := q.kept.bytes.Load(); n > int64(q.kept.most) {
			t.Fatalf("%d bytes are kept, of %d", n, q.kept.most)
		}
		for _, of := range links {
			all := of.lanes[0].next
			from := r.Uint64N(all)
			bus.frames = nil
			gone := q.again(of, []span{{from, all + 5}})
			if q.kept.pending.Load() > 0 {
				q.again(of, []span{{from, all}}) // too early
			}
			drain(q)
			back := 0
			for first, frame := range want[of] {
				came := func(f []byte) bool { return bytes.Equal(f, frame) }
				if slices.ContainsFunc(bus.frames, came) {
					back++
				} else if first >= from && !covered(gone, first) {
					t.Fatalf("%d neither comes nor is gone", first)
				}
			}
			if back < len(bus.frames) {
				t.Fatalf("%d frames came, %d of which were sent", len(bus.frames), back)
			}
		}
		q.kept.tick(keptFor + 1)
		if q.kept.bytes.Load() != 0 || q.kept.spare != nil {
			t.Fatal("it does not forget")
		}
		gone := q.again(links[0], []span{{0, 1}})
		if len(gone) != 1 || gone[0] != (span{0, 1}) {
			t.Fatalf("gone: %v", gone)
		}
	}
}

func covered(list []span, n uint64) bool {
	return slices.ContainsFunc(list, func(s span) bool { return s.first <= n && n < s.upto })
}

// takenBus keeps what it is given.
type takenBus struct{ frames [][]byte }

func (b *takenBus) Send(_ int, _ string, frame []byte) error {
	b.frames = append(b.frames, bytes.Clone(frame))
	return nil
}
func (b *takenBus) Listen([]string, func(string, []byte)) error { return nil }
func (b *takenBus) Close()                                      {}

// drain sends all that a queue without a goroutine has.
func drain(q *queue) {
	for sent := true; sent; {
		sent, _ = q.step()
	}
}

// To keep frames costs no allocation once the ring is full.
func TestKeptAllocates(t *testing.T) {
	k := &kept{most: 1 << 20}
	f := &outgoing{frame: make([]byte, 700), of: &link{}}
	for range 5000 {
		k.keep(f)
	}
	if n := testing.AllocsPerRun(5000, func() { k.keep(f) }); n != 0 {
		t.Errorf("%v allocations for a frame", n)
	}
}

// A link of which something misses at any time holds no more for that than what it holds back.
func TestHolesThatNeverEnd(t *testing.T) {
	b := aloneHub().join(t, "b", repairing(1<<20))
	i := &b.inward
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.of(nodeKey{"a", 1})
	l.keeps = true
	in := i.in(l, 1, 0)
	one := appendPublish(nil, []byte("publish:t:1.0.0:m\n"), nil, 0)
	take := func(n uint64) { i.take(in, &batch{epoch: 1, first: n, publishes: one}) }
	for n := uint64(0); n < 5000; n += 2 {
		take(n + 1)
		if n >= 8 {
			take(n - 8)
		}
		if len(in.holes.list) > 16 {
			t.Fatalf("%d are in the list of %d that wait", len(in.holes.list),
				len(in.holes.waiting()))
		}
	}
	if l.lost != 0 || l.received < 4900 {
		t.Errorf("%d received, %d lost", l.received, l.lost)
	}
}
