package broker

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mbserver/codec"
	"mbserver/server/config"
	"mbserver/server/metrics"
	"mbserver/server/system"
)

// TestOverloadModel holds the arithmetic of overload for any policies, sizes and stalls: at every
// quiescence each subscriber has received, been told of as lost and been told of as conflated
// exactly what was published; per topic in order; and a hole is where its notice stands.
func TestOverloadModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newOverloadModel(t, rt)
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			for range rapid.IntRange(5, 60).Draw(rt, "steps") {
				m.step()
			}
			m.quiesce()
		}
	})
}

// overloadModel is a node, a few publishers and subscribers, and what they must see.
type overloadModel struct {
	t      *testing.T
	rt     *rapid.T
	n      *testNode
	pubs   []*testClient
	subs   []*modelSubscriber
	topics int
	next   int // number of the next publish
	acks   int // acknowledgements that are due
	told   int // deliveries that acknowledgements called dropped
}

// modelSubscriber is one subscriber's account.
type modelSubscriber struct {
	*testClient
	policy   delivery
	conflate bool

	owed, received, lost, conflated int
	owedAcked                       int
	last                            map[string]int // topic to the last number received
	pending                         int            // told as lost, and not found missing yet
	numbers                         []int          // owed, in order; looked at with one publisher
	at                              int            // index into numbers of what comes next
}

func newOverloadModel(t *testing.T, rt *rapid.T) *overloadModel {
	m := &overloadModel{t: t, rt: rt, topics: rapid.IntRange(1, 4).Draw(rt, "topics")}
	policies := []string{config.OverflowDrop, config.OverflowDropOldest}
	byDefault := rapid.SampledFrom(policies).Draw(rt, "default")
	seed, loops := rapid.Uint64().Draw(rt, "seed"), rapid.IntRange(1, 3).Draw(rt, "loops")
	m.n = newTestNode(t, seed, loops, func(cfg *config.Config) {
		// The larger is past sharedBodyMin.
		cfg.Message.PayloadMaxLength = rapid.SampledFrom([]int{200, 6000}).Draw(rt, "payload")
		cfg.Connection.OutboundBytes = 2*cfg.MaxFrame() + rapid.IntRange(0, 20_000).Draw(rt, "ring")
		cfg.Connection.OutboundMessages = rapid.SampledFrom([]int{4, 16, 1000}).Draw(rt, "messages")
		cfg.Connection.OutboundOverflow = byDefault
		cfg.Connection.HeartbeatRetryTimeout = time.Hour
		cfg.Connection.HeartbeatDeregisterTimeout = 2 * time.Hour
		if rapid.Bool().Draw(rt, "pause") {
			cfg.Connection.Backpressure = config.BackpressurePause
		}
	})
	if rapid.IntRange(0, 3).Draw(rt, "small inbox") == 0 {
		m.n.inboxBytes = 2*(m.n.maxFrame+itemCharge) + rapid.IntRange(0, 5000).Draw(rt, "inbox")
		m.n.inboxTurn = rapid.IntRange(1, 2000).Draw(rt, "inbox turn")
		m.n.parcelItems = rapid.IntRange(1, 8).Draw(rt, "parcel")
	}
	for range rapid.IntRange(1, 2).Draw(rt, "publishers") {
		m.pubs = append(m.pubs, m.n.connect(m.anyLoop(), m.anyTransport()))
	}
	for i := range rapid.IntRange(1, 4).Draw(rt, "subscribers") {
		client := m.n.connect(m.anyLoop(), m.anyTransport())
		s := &modelSubscriber{testClient: client, last: map[string]int{}}
		s.conflate = rapid.Bool().Draw(rt, "conflate")
		options, policy := fmt.Sprintf(`,"conflate":%v`, s.conflate), byDefault
		if rapid.Bool().Draw(rt, "own policy") {
			policy = rapid.SampledFrom(policies).Draw(rt, "policy")
			options += fmt.Sprintf(`,"overflow":%q`, policy)
		}
		s.policy = delivery(system.ParseOverflow(policy))
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		s.send("request:system.topic.subscribe:1.0.0:" + id + "\n" +
			`{"action":"publish","topic":"load.#"` + options + `}`)
		m.subs = append(m.subs, s)
	}
	m.n.settle()
	for _, k := range m.pubs {
		k.messages()
	}
	for _, s := range m.subs {
		s.messages()
	}
	return m
}

func (m *overloadModel) anyLoop() int {
	return rapid.IntRange(0, len(m.n.loops)-1).Draw(m.rt, "loop")
}

func (m *overloadModel) anyTransport() Transport {
	return rapid.SampledFrom([]Transport{TransportTCP, TransportWS}).Draw(m.rt, "transport")
}

// step takes one random step.
func (m *overloadModel) step() {
	switch rapid.IntRange(0, 9).Draw(m.rt, "step") {
	case 0, 1, 2, 3:
		m.publish()
	case 4, 5:
		i := m.anyLoop()
		m.n.run(i)
	case 6: // a socket stalls, or drips
		s := rapid.SampledFrom(m.subs).Draw(m.rt, "staller")
		s.sock.unlimited, s.sock.budget = false, rapid.IntRange(0, 3000).Draw(m.rt, "budget")
	case 7:
		s := rapid.SampledFrom(m.subs).Draw(m.rt, "dripper")
		s.unblock(rapid.IntRange(0, 20_000).Draw(m.rt, "more"), false)
	case 8:
		m.n.advance(rapid.SampledFrom([]int64{1, 50, 3000}).Draw(m.rt, "ms"))
	case 9:
		rapid.SampledFrom(m.subs).Draw(m.rt, "reader").unblock(0, true)
	}
	for _, s := range m.subs {
		m.read(s)
	}
}

// publish sends a burst in one read: with request IDs, or without.
func (m *overloadModel) publish() {
	k := rapid.SampledFrom(m.pubs).Draw(m.rt, "publisher")
	acked := rapid.Bool().Draw(m.rt, "acknowledged")
	size := rapid.IntRange(0, m.n.payloadMax-20).Draw(m.rt, "size")
	pad := strings.Repeat("x", size)
	var burst []byte
	for range rapid.IntRange(1, 12).Draw(m.rt, "burst") {
		topic := rapid.IntRange(0, m.topics-1).Draw(m.rt, "topic")
		id := ""
		if acked {
			id = fmt.Sprintf(":00000000-0000-4000-8000-%012d", m.next)
			m.acks++
		}
		msg := fmt.Sprintf("publish:load.t%d:1.0.0%s\n%d %s", topic, id, m.next, pad)
		burst = append(burst, k.frame([]byte(msg), true)...)
		for _, s := range m.subs {
			s.owed++
			s.numbers = append(s.numbers, m.next)
			if acked {
				s.owedAcked++
			}
		}
		m.next++
	}
	k.arrive(burst)
}

// read books what a subscriber has received.
func (m *overloadModel) read(s *modelSubscriber) {
	for _, got := range m.taken(s.testClient) {
		if got.Action != codec.Publish {
			m.rt.Fatalf("a subscriber got %s", got.header)
		}
		if string(got.Topic) == "system.dropped" {
			var gap struct{ Count, Conflated int }
			err := json.Unmarshal(got.payload, &gap)
			if err != nil || gap.Count < 0 || gap.Conflated < 0 || gap.Count+gap.Conflated == 0 {
				m.rt.Fatalf("a gap of %s: %v", got.payload, err)
			}
			s.lost += gap.Count
			s.pending += gap.Count
			s.conflated += gap.Conflated
			continue
		}
		m.number(s, got)
	}
}

// number books one message. With one publisher and no conflation the holes must be where the
// notices stand.
func (m *overloadModel) number(s *modelSubscriber, got testMessage) {
	var n int
	if _, err := fmt.Sscanf(string(got.payload), "%d", &n); err != nil || n >= m.next {
		m.rt.Fatalf("never published: %s %.40q", got.header, got.payload)
	}
	topic := string(got.Topic)
	if last, there := s.last[topic]; there && n <= last && len(m.pubs) == 1 {
		m.rt.Fatalf("%s: %d after %d", topic, n, last)
	}
	s.last[topic] = n
	s.received++
	// A message that waits for room comes after the notice of what was lost behind it meanwhile.
	if len(m.pubs) > 1 || s.conflate || m.n.pause {
		return
	}
	if s.at+s.pending >= len(s.numbers) || s.numbers[s.at+s.pending] != n {
		m.rt.Fatalf("got %d; %d came before it, a gap of %d was told since", n, s.at, s.pending)
	}
	s.at, s.pending = s.at+s.pending+1, 0
}

// taken is messages without the test's end, so that a failure can be shrunk.
func (m *overloadModel) taken(k *testClient) []testMessage {
	ms, err := k.take()
	if err != nil || k.sock.violation != "" {
		m.rt.Fatalf("%v %s", err, k.sock.violation)
	}
	return ms
}

// quiesce lets everybody read until nothing moves, and compares.
func (m *overloadModel) quiesce() {
	for range 6 { // pauses run out, and those after them
		for _, s := range m.subs {
			s.unblock(0, true)
		}
		m.n.settle()
		m.n.advance(m.n.backpressureMax + 1)
		m.n.settle()
	}
	lost, conflated, toldMost := 0, 0, 0
	for i, s := range m.subs {
		m.read(s)
		if s.Conn.state != stateOpen || s.gap != nil || !s.out.Empty() || s.parked != nil {
			m.rt.Fatalf("subscriber %d is not at rest: state %d, gap %+v, "+
				"%d messages wait, %v waits for it",
				i, s.Conn.state, s.gap, s.out.Messages(), s.parked)
		}
		if s.received+s.lost+s.conflated != s.owed {
			m.rt.Fatalf("subscriber %d received %d, lost %d, conflated %d of %d",
				i, s.received, s.lost, s.conflated, s.owed)
		}
		if s.conflated > 0 && !s.conflate {
			m.rt.Fatalf("subscriber %d never asked for the newest only", i)
		}
		lost += s.lost
		conflated += s.conflated
		toldMost += min(s.lost, s.owedAcked)
	}
	for _, k := range m.pubs {
		for _, got := range m.taken(k) {
			if string(got.Topic) == "system.flow" {
				continue
			}
			var ack struct {
				Status               string
				Subscribers, Dropped int
			}
			err := json.Unmarshal(got.payload, &ack)
			if err != nil || ack.Status != "success" || ack.Subscribers != len(m.subs) {
				m.rt.Fatalf("a publisher got %s %s", got.header, got.payload)
			}
			m.acks--
			m.told += ack.Dropped
		}
	}
	if m.acks != 0 {
		m.rt.Fatalf("%d acknowledgements are missing", m.acks)
	}
	if m.told > toldMost {
		m.rt.Fatalf("acknowledgements told of %d dropped, subscribers of %d at most",
			m.told, toldMost)
	}
	dropped, replaced := uint64(0), uint64(0)
	for _, l := range m.n.loops {
		dropped += l.counts[metrics.Dropped]
		replaced += l.counts[metrics.Conflated]
		kept := int64(0)
		for _, c := range l.conns {
			if c != nil {
				kept += c.subs.charged() + c.storyCharge()
			}
		}
		if l.charge != kept || l.turn.Len() != 0 {
			m.rt.Fatalf("loop %d is charged %d bytes and has %d in its frames",
				l.index, l.charge, l.turn.Len())
		}
	}
	if int(dropped) != lost || int(replaced) != conflated || m.n.paused.Load() != 0 {
		m.rt.Fatalf("told of %d lost and %d conflated, counted %d and %d; %d are paused",
			lost, conflated, dropped, replaced, m.n.paused.Load())
	}
}
