package backplane

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/topic"
)

// theCalls are what a plane tells a fakeBroker of services and requests. Guarded by its mu.
type theCalls struct {
	serves  map[uint32]map[codec.UUID]abroad.Service
	offers  map[uint32]map[abroad.Offer]bool
	asked   []string
	words   []string // answers, cancellations and loads
	orphans int      // offers of a service that was not said before
}

func newTheCalls() theCalls {
	return theCalls{
		serves: make(map[uint32]map[codec.UUID]abroad.Service),
		offers: make(map[uint32]map[abroad.Offer]bool),
	}
}

func (b *fakeBroker) Serve(slot uint32, s *abroad.Service) {
	b.with(func() {
		if b.serves[slot] == nil {
			b.serves[slot] = make(map[codec.UUID]abroad.Service)
		}
		b.serves[slot][s.ID] = *s
	})
}

func (b *fakeBroker) Unserve(slot uint32, id codec.UUID) {
	b.with(func() { delete(b.serves[slot], id) })
}

func (b *fakeBroker) Offer(slot uint32, o abroad.Offer, p topic.Pattern) {
	b.with(func() {
		if _, is := b.serves[slot][o.Service]; !is || p.String() != o.Pattern {
			b.orphans++
		}
		if b.offers[slot] == nil {
			b.offers[slot] = make(map[abroad.Offer]bool)
		}
		b.offers[slot][o] = true
	})
}

func (b *fakeBroker) Withdraw(slot uint32, o abroad.Offer, _ topic.Pattern) {
	b.with(func() { delete(b.offers[slot], o) })
}

func (b *fakeBroker) Asked(slot uint32, q *abroad.Request) {
	b.with(func() { b.asked = append(b.asked, fmt.Sprintf("%d %s", slot, tellRequest(q))) })
}

func tellRequest(q *abroad.Request) string {
	return fmt.Sprintf("%x %x %x %d %t %t %s %s %s", q.Ref, q.Service, q.Requester, q.Left, q.Text,
		q.Owed, q.Topic, q.Version, q.Payload)
}

func (b *fakeBroker) Answered(slot uint32, a *abroad.Answer) {
	b.with(func() {
		b.words = append(b.words, fmt.Sprintf("%d answer %x %d %t %s %s", slot, a.Ref, a.Outcome,
			a.Text, a.Code, a.Payload))
	})
}

func (b *fakeBroker) Cancelled(slot uint32, ref codec.UUID) {
	b.with(func() { b.words = append(b.words, fmt.Sprintf("%d cancel %x", slot, ref)) })
}

func (b *fakeBroker) Loaded(slot uint32, l abroad.Load) {
	b.with(func() { b.words = append(b.words, fmt.Sprintf("%d load %+v", slot, l)) })
}

func (b *fakeBroker) Waited(slot uint32, w abroad.Wait) {
	b.with(func() { b.words = append(b.words, fmt.Sprintf("%d wait %+v", slot, w)) })
}

func (b *fakeBroker) Missed(slot uint32) {
	b.with(func() { b.words = append(b.words, fmt.Sprintf("%d missed", slot)) })
}

func (b *fakeBroker) Called() {}

// serving is what is known of services, in the only slot that has any.
func (b *fakeBroker) serving() (services []abroad.Service, offers []abroad.Offer) {
	b.with(func() {
		for slot := range b.serves {
			if !b.parted[slot] {
				services = slices.AppendSeq(services, maps.Values(b.serves[slot]))
				offers = slices.AppendSeq(offers, maps.Keys(b.offers[slot]))
			}
		}
	})
	slices.SortFunc(offers, func(a, b abroad.Offer) int {
		return strings.Compare(a.Pattern, b.Pattern)
	})
	return services, offers
}

var (
	oneID   = codec.NewUUID(1, 2)
	otherID = codec.NewUUID(3, 4)
)

func theService() *abroad.Service {
	return &abroad.Service{
		ID: oneID, Capacity: 3, ConnectedAt: 1 << 40, Transport: "tcp", Identity: "i", Name: "one",
		Description: "it", Metadata: []byte(`{"a":"b"}`),
	}
}

func theRequest() *abroad.Request {
	return &abroad.Request{
		Ref: codec.NewUUID(5, 6), Service: oneID, Requester: otherID, Left: 5000, Text: true,
		Owed: true, Topic: []byte("a.B"), Version: []byte("1.0.0"), Payload: []byte("{}"),
	}
}

// Services and what they take requests of are known to others, those that come later too, and end.
func TestServices(t *testing.T) {
	h := newHub(t)
	a, b := h.join(t, "a"), h.join(t, "b")
	a.knows(t, 1)
	b.knows(t, 1)
	s := theService()
	a.Serve(s)
	a.Offer(abroad.Offer{Service: oneID, Pattern: "x.#", Priority: -1.5})
	done := make(chan int, 1)
	a.Await(a.Offer(abroad.Offer{Service: oneID, Pattern: "y"}), func(n int) { done <- n })
	if n := <-done; n != 0 {
		t.Fatalf("%d have not confirmed", n)
	}
	later := h.join(t, "c")
	for _, m := range []*member{b, later} {
		services, offers := m.broker.serving()
		if len(services) != 1 || fmt.Sprint(services[0]) != fmt.Sprint(*s) ||
			fmt.Sprint(offers) != fmt.Sprintf("[{%v x.# -1.5} {%v y 0}]", oneID, oneID) {
			t.Fatalf("%s: %+v %+v", m.o.Node, services, offers)
		}
	}
	other := *s
	other.Capacity, other.Metadata = 9, nil
	a.Serve(&other)
	a.Withdraw(abroad.Offer{Service: oneID, Pattern: "y"})
	for _, m := range []*member{b, later} {
		eventually(t, "it is another", func() bool {
			services, offers := m.broker.serving()
			return len(services) == 1 && services[0].Capacity == 9 &&
				services[0].Metadata == nil && len(offers) == 1
		})
	}
	a.Withdraw(abroad.Offer{Service: oneID, Pattern: "x.#", Priority: -1.5})
	a.Unserve(oneID)
	for _, m := range []*member{b, later} {
		eventually(t, "it is not there", func() bool {
			services, offers := m.broker.serving()
			return len(services) == 0 && len(offers) == 0
		})
		if m.broker.orphans > 0 {
			t.Errorf("%s: %d offers of services that it did not know", m.o.Node, m.broker.orphans)
		}
	}
}

// Services of a node whose changes were lost are told again, whatever changed.
func TestLostServicesHeal(t *testing.T) {
	h := newHub(t)
	a, b := h.join(t, "a"), h.join(t, "b")
	a.knows(t, 1)
	b.knows(t, 1)
	s := theService()
	a.Serve(s)
	a.Offer(abroad.Offer{Service: oneID, Pattern: "x"})
	eventually(t, "it is there", func() bool { _, o := b.broker.serving(); return len(o) == 1 })
	h.setLose(func(subject string) bool {
		return strings.HasPrefix(subject, a.from) && strings.HasSuffix(subject, ".ctl")
	})
	version := a.Offer(abroad.Offer{Service: oneID, Pattern: "z"})
	a.Withdraw(abroad.Offer{Service: oneID, Pattern: "x"})
	other := *s
	other.ID = otherID
	a.Serve(&other)
	s.Capacity = 5
	a.Serve(s)
	eventually(t, "they were told", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.told.version > version+3
	})
	h.setLose(nil)
	eventually(t, "all is known", func() bool {
		services, offers := b.broker.serving()
		return len(services) == 2 && services[0].Capacity+services[1].Capacity == 8 &&
			len(offers) == 1 && offers[0].Pattern == "z"
	})
	if b.broker.orphans > 0 {
		t.Errorf("%d offers of services that it did not know", b.broker.orphans)
	}
}

// Requests, what takes them back, answers and loads arrive as they were sent, in order.
func TestCalls(t *testing.T) {
	h := newHub(t)
	a, b := h.join(t, "a"), h.join(t, "b")
	a.knows(t, 1)
	b.knows(t, 1)
	const slot = 0 // of the only other node
	q := theRequest()
	var asked []string
	for i := range 200 {
		q.Left, q.Payload = int64(i), []byte(strings.Repeat("x", 10*i)+"\x00")
		if !a.Ask(1, slot, q) {
			t.Fatalf("%d is not to be had", i)
		}
		asked = append(asked, fmt.Sprintf("%d %s", slot, tellRequest(q)))
		if i%7 == 0 {
			a.Flush(1)
		}
	}
	a.Cancel(1, slot, q.Ref)
	answers := []*abroad.Answer{
		{Ref: q.Ref, Outcome: abroad.Answered, Text: true, Payload: []byte("{}")},
		{Ref: q.Ref, Outcome: abroad.Failed, Code: codec.Timeout, Payload: []byte("e")},
		{Ref: q.Ref, Outcome: abroad.Failed, Code: "LATER", Payload: []byte("e")},
		{Ref: q.Ref, Outcome: abroad.Busy},
	}
	for _, answer := range answers {
		if !a.Answer(1, slot, answer) {
			t.Fatal("not to be had")
		}
	}
	load := abroad.Load{Service: oneID, Others: 70000, Stalled: true}
	a.Load(1, slot, load)
	wait := abroad.Wait{Service: otherID, Waits: true}
	a.Wait(1, slot, wait)
	a.Flush(1)
	var words []string
	eventually(t, "all has come", func() bool {
		b.broker.with(func() { words = slices.Clone(b.broker.words) })
		return len(words) == 3+len(answers)
	})
	if !slices.Equal(b.broker.asked, asked) {
		t.Errorf("asked %d: %q", len(b.broker.asked), b.broker.asked[:3])
	}
	want := []string{
		fmt.Sprintf("0 cancel %x", q.Ref), fmt.Sprintf("0 answer %x 0 true  {}", q.Ref),
		fmt.Sprintf("0 answer %x 1 false TIMEOUT e", q.Ref),
		fmt.Sprintf("0 answer %x 1 false SERVICE_UNAVAILABLE e", q.Ref),
		fmt.Sprintf("0 answer %x 2 false  ", q.Ref),
		fmt.Sprintf("0 load %+v", load), fmt.Sprintf("0 wait %+v", wait),
	}
	if !slices.Equal(words, want) {
		t.Errorf("%q, not %q", words, want)
	}
}

// A lane that is half full takes no more requests, but answers; a full one, and one without a bus,
// takes neither.
func TestCallsWithoutRoom(t *testing.T) {
	h := newHub(t)
	a, b := h.join(t, "a"), h.join(t, "b")
	a.knows(t, 1)
	b.knows(t, 1)
	q := a.calls.lanes[0].queue
	fill := func(n int) { q.held.Store(int64(n)) }
	answer := &abroad.Answer{Ref: oneID}
	fill(q.most/2 + 1)
	if a.Ask(0, 0, theRequest()) || a.Load(0, 0, abroad.Load{}) {
		t.Error("a half full lane takes a request or a load")
	}
	if !a.Answer(0, 0, answer) {
		t.Error("a half full lane takes no answer")
	}
	a.Flush(0)
	eventually(t, "it is sent", func() bool { return q.held.Load() == int64(q.most/2+1) })
	fill(q.most)
	if a.Answer(0, 0, answer) {
		t.Error("a full lane takes an answer")
	}
	fill(0)
	if a.Ask(0, 1, theRequest()) {
		t.Error("a node that is not there may be asked")
	}
	h.setCut(a.bus, true)
	eventually(t, "a is an island", a.alone.Load)
	if a.Ask(0, 0, theRequest()) {
		t.Error("an island asks others")
	}
}
