package backplane

import (
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mbserver/topic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub is the model of a bus: frames of one lane and subject arrive in order, some late, some not at
// all, and whoever is cut off neither sends nor hears.
type hub struct {
	mu      sync.Mutex
	ends    []*busEnd
	random  *rand.Rand
	lose    func(subject string) bool // nil: nothing is lost
	latency time.Duration             // of each frame, up to it
	twice   bool                      // all comes twice
	hold    func(subject string) bool // nil: nothing is held until release
	held    []heardFrame
}

// busEnd is one node's Bus.
type busEnd struct {
	hub  *hub
	cut  bool // guarded by hub.mu
	list []*ear
}

type ear struct {
	subjects []string
	frames   chan heardFrame
	done     chan struct{}
}

type heardFrame struct {
	subject string
	frame   []byte
	at      time.Time
}

func (h *hub) end() *busEnd {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &busEnd{hub: h}
	h.ends = append(h.ends, e)
	return e
}

func (e *busEnd) Send(_ int, subject string, frame []byte) error {
	h := e.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.cut {
		return io.ErrClosedPipe
	}
	if h.lose != nil && h.lose(subject) {
		return nil
	}
	if h.hold != nil && h.hold(subject) {
		h.held = append(h.held, heardFrame{subject: subject, frame: slices.Clone(frame)})
		return nil
	}
	h.bring(subject, frame)
	return nil
}

// bring brings a frame to those who listen. mu is held.
func (h *hub) bring(subject string, frame []byte) {
	at := time.Now()
	if h.latency > 0 {
		at = at.Add(time.Duration(h.random.Int64N(int64(h.latency))))
	}
	for _, other := range h.ends {
		if other.cut {
			continue
		}
		for _, a := range other.list {
			if slices.ContainsFunc(a.subjects, func(p string) bool { return fits(p, subject) }) {
				a.hear(heardFrame{subject, slices.Clone(frame), at})
				if h.twice {
					a.hear(heardFrame{subject, slices.Clone(frame), at})
				}
			}
		}
	}
}

// release brings the first frame that was held.
func (h *hub) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bring(h.held[0].subject, h.held[0].frame)
	h.held = h.held[1:]
}

func (a *ear) hear(f heardFrame) {
	select {
	case a.frames <- f:
	default: // a reader that is too slow
	}
}

// fits says whether a subject matches a pattern of NATS' with * alone.
func fits(pattern, subject string) bool {
	a, b := strings.Split(pattern, "."), strings.Split(subject, ".")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != "*" && a[i] != b[i] {
			return false
		}
	}
	return true
}

func (e *busEnd) Listen(subjects []string, f func(string, []byte)) error {
	a := &ear{subjects, make(chan heardFrame, 1<<14), make(chan struct{})}
	e.hub.mu.Lock()
	e.list = append(e.list, a)
	e.hub.mu.Unlock()
	go func() {
		defer close(a.done)
		for m := range a.frames {
			time.Sleep(time.Until(m.at))
			f(m.subject, m.frame)
		}
	}()
	return nil
}

func (e *busEnd) Close() {
	e.hub.mu.Lock()
	list := e.list
	e.list, e.cut = nil, true
	e.hub.mu.Unlock()
	for _, a := range list {
		close(a.frames)
		<-a.done
	}
}

func (h *hub) setCut(e *busEnd, cut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.cut = cut
}

func (h *hub) setLose(f func(subject string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lose = f
}

// fakeBroker keeps what a plane tells it.
type fakeBroker struct {
	mu       sync.Mutex
	wants    map[uint32]map[string]bool
	ids      map[uint32]string
	parted   map[uint32]bool
	got      []string
	lost     uint64
	receipts map[uint64][2]int
	drains   bool
	answer   func(slot uint32, receipt uint64)

	theCalls // calls_test.go
}

func newFake() *fakeBroker {
	return &fakeBroker{
		wants: make(map[uint32]map[string]bool), parted: make(map[uint32]bool),
		receipts: make(map[uint64][2]int), ids: make(map[uint32]string),
		theCalls: newTheCalls(),
	}
}

func (b *fakeBroker) with(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *fakeBroker) Join(slot uint32) {
	b.with(func() {
		b.wants[slot] = make(map[string]bool)
		delete(b.parted, slot)
		delete(b.ids, slot)
	})
}

func (b *fakeBroker) Named(slot uint32, id string) { b.with(func() { b.ids[slot] = id }) }

func (b *fakeBroker) Want(slot uint32, p topic.Pattern) {
	b.with(func() { b.wants[slot][p.String()] = true })
}

func (b *fakeBroker) Forget(slot uint32, p topic.Pattern) {
	b.with(func() { delete(b.wants[slot], p.String()) })
}
func (b *fakeBroker) Part(slot uint32) { b.with(func() { b.parted[slot] = true }) }
func (b *fakeBroker) Delivered()       {}
func (b *fakeBroker) Lost(n uint64)    { b.with(func() { b.lost += n }) }

func (b *fakeBroker) Deliver(m []byte, slot uint32, receipt uint64) {
	b.with(func() { b.got = append(b.got, string(m)) })
	if receipt != 0 && b.answer != nil {
		b.answer(slot, receipt)
	}
}

func (b *fakeBroker) Receipt(of uint64, slot uint32, subscribers, dropped int) {
	b.with(func() { b.receipts[of] = [2]int{subscribers, dropped} })
}

func (b *fakeBroker) Standing() (int, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return 0, b.drains
}

// wanting is how many nodes there are that want a pattern and have not parted, and their slots.
func (b *fakeBroker) wanting(pattern string) (slots []uint32) {
	b.with(func() {
		for slot, wants := range b.wants {
			if wants[pattern] && !b.parted[slot] {
				slots = append(slots, slot)
			}
		}
	})
	return slots
}

// received is what was delivered, and what was lost.
func (b *fakeBroker) received() (got []string, lost uint64) {
	b.with(func() { got, lost = slices.Clone(b.got), b.lost })
	return got, lost
}

// member is one node of a test.
type member struct {
	*Plane
	broker *fakeBroker
	bus    *busEnd
}

var incarnations atomic.Uint64

// testBeat is short, so that tests are quick. All nodes of a test are one process: one that is not
// scheduled for three beats, while the others are, is gone for them, so that it is long enough for
// two busy cores.
const testBeat = 100 * time.Millisecond

func (h *hub) join(t *testing.T, name string, adjust ...func(*Options)) *member {
	t.Helper()
	o := Options{
		Cluster: "test", Node: name, Lanes: 2, Heartbeat: testBeat,
		AckTimeout: 10 * time.Second, OutboundBytes: 1 << 20, InterestMax: 1 << 20,
		Server: "1", ID: name, Incarnation: incarnations.Add(1),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, f := range adjust {
		f(&o)
	}
	m := &member{broker: newFake(), bus: h.end()}
	var err error
	if m.Plane, err = New(o, m.broker, m.bus); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	m.Joined(t.Context())
	return m
}

var quiet = slog.New(slog.DiscardHandler)

// newHub makes a bus; its test waits more than it works, so that others may run meanwhile.
func newHub(t *testing.T) *hub {
	t.Parallel()
	return aloneHub()
}

// aloneHub is newHub for a test that measures.
func aloneHub() *hub { return &hub{random: rand.New(rand.NewPCG(1, 2))} }

// eventually waits for something that must come.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// subscribe subscribes, and waits until all others have confirmed that.
func (m *member) subscribe(t *testing.T, pattern string) {
	t.Helper()
	done := make(chan int, 1)
	m.Await(m.Subscribed(pattern), func(unconfirmed int) { done <- unconfirmed })
	if n := <-done; n != 0 {
		t.Fatalf("%s: %d nodes have not confirmed %s", m.o.Node, n, pattern)
	}
}

// knows waits until m holds the interest of so many others.
func (m *member) knows(t *testing.T, others int) {
	t.Helper()
	eventually(t, m.o.Node+" knows the others", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		n := 0
		for _, o := range m.nodes {
			if o.state == nodeLive && o.holds {
				n++
			}
		}
		return n == others
	})
}
