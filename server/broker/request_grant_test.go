package broker

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mbserver/codec"
	"mbserver/server/config"
	"mbserver/topic"
)

// askLong asks on a topic under another, with an ID and ten minutes of time.
const askLong = "request:%s.t%d:1.0.0:%s::600000\nx"

// worker is a service that takes so many requests at a time, on the given topics.
func (n *testNode) worker(loop, most int, topics ...string) *testClient {
	k := n.connect(loop, TransportTCP)
	k.send(fmt.Sprintf("request:system.service.register:1.0.0\n"+
		`{"name":"w","description":"at a time","maxConcurrent":%d}`, most))
	for _, t := range topics {
		k.send("request:system.topic.subscribe:1.0.0\n" +
			fmt.Sprintf(`{"action":"request","topic":%q}`, t))
	}
	n.settle()
	k.messages()
	return k
}

// work answers the request that k was given last, and returns the topic of the next, if there is
// one.
func (k *testClient) work() string {
	k.node.t.Helper()
	if e := k.openEntry(); e != nil {
		k.arrive(appendAnswer(nil, e))
		k.node.settle()
	}
	name := ""
	for _, m := range k.messages() {
		if m.Action == codec.Request {
			name = string(m.Topic)
		}
	}
	return name
}

// Whoever waits for a service that takes one request at a time has its turn soon, whatever the
// others ask of it: on other topics, on topics of other loops, on one on which nobody waits.
func TestNobodyStarves(t *testing.T) {
	ids := testIDs{rand.New(rand.NewPCG(1, 2))}
	for loops := 1; loops <= 3; loops++ {
		for at := range loops {
			for patient := range 8 {
				n := newTestNode(t, 1, loops, nil)
				one := n.worker(at, 1, "t.#")
				greedy, polite := n.connect(0, TransportTCP), n.connect(loops-1, TransportTCP)
				flood := func(rounds int) {
					for range rounds {
						for i := range 8 {
							if i != patient {
								greedy.send(fmt.Sprintf(askLong, "t", i, ids.next()))
							}
						}
						n.settle()
					}
				}
				flood(5)
				polite.send(fmt.Sprintf(askLong, "t", patient, ids.next()))
				n.settle()
				served := 0
				for ; served < 40; served++ {
					flood(1)
					if one.work() == fmt.Sprintf("t.t%d", patient) {
						break
					}
				}
				if served > 3*8 {
					t.Errorf("with %d loops, the service on loop %d: topic %d waits for %d others",
						loops, at, patient, served)
				}
			}
		}
	}
}

// What many topics wait for costs those that wait for something else nothing; and a service that
// comes and goes on a wildcard costs each turn a bounded part. What it costs is look-ups.
func TestManyTopicsWait(t *testing.T) {
	const rounds, many = 100, 500
	ids := testIDs{rand.New(rand.NewPCG(1, 2))}
	cycle := func(topics int, churn bool) (lookUps, turns int) {
		n := newTestNode(t, 1, 2, func(cfg *config.Config) { cfg.Memory.Limit = 1 << 30 })
		n.waitTopics = topics
		n.worker(0, 1, "many.#")
		requester := n.connect(0, TransportTCP)
		for i := range topics + 1 {
			requester.send(fmt.Sprintf(askLong, "many", i, ids.next()))
			n.settle()
		}
		if got := n.queued.Load(); int(got) != topics {
			t.Fatalf("%d requests wait on %d topics", got, topics)
		}
		busy := n.worker(1, 1, "busy")
		idle := n.worker(1, 1)
		for range 2 {
			requester.send("request:busy:1.0.0:" + ids.next() + "::600000\nx")
		}
		n.settle()
		for _, l := range n.loops {
			// A cache of one name: each look-up of another is one of the trie.
			l.routes.requests = topic.NewCache(n.trie, topic.Request, 0,
				func(m []topic.Match[*service]) (*candidates, int) {
					lookUps++
					return buildCandidates(m)
				})
		}
		turn := func(i int) {
			before := lookUps
			n.run(i)
			turns++
			if got := lookUps - before; got > serveTurn/recheckSteps+4*grantMost {
				t.Errorf("churn %v: %d look-ups in a turn", churn, got)
			}
		}
		for i := range rounds {
			if churn {
				action := []string{"subscribe", "unsubscribe"}[i%2]
				idle.send("request:system.topic." + action + ":1.0.0\n" +
					`{"action":"request","topic":"+.x.y"}`)
			}
			requester.send("request:busy:1.0.0:" + ids.next() + "::600000\nx")
			busy.arrive(appendAnswer(nil, busy.openEntry()))
			for _, i := range []int{1, 0, 1, 0, 1} {
				turn(i)
			}
			for busy.openEntry() == nil {
				turn(0)
				turn(1)
			}
		}
		return lookUps, turns
	}
	few, _ := cycle(1, false)
	if got, _ := cycle(many, false); got > few+few/10 {
		t.Errorf("it takes %d look-ups, and %d while %d topics wait", few, got, many)
	}
	got, turns := cycle(many, true)
	if most := turns * (serveTurn/recheckSteps + 1); got > most || turns > 10*rounds {
		t.Errorf("with a service that comes and goes: %d look-ups in %d turns", got, turns)
	}
	t.Logf("%d look-ups with one topic; with %d and one that comes and goes, %d in %d turns",
		few, many, got, turns)
}

// One requester waits on a bounded number of topics, and is told; others wait as before.
func TestTopicsOfOneRequester(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	n.worker(0, 1, "a.#")
	greedy, other := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	n.settle()
	greedy.messages()
	other.messages()
	ids := testIDs{rand.New(rand.NewPCG(1, 2))}
	ask := func(k *testClient, i int) {
		k.send(fmt.Sprintf(askLong, "a", i, ids.next()))
		n.settle()
	}
	ask(greedy, 0)
	for i := range waitTopicsMax {
		ask(greedy, i)
	}
	ask(greedy, 7) // it waits there already
	if got := greedy.messages(); len(got) != 0 {
		t.Fatalf("got %d messages, the first is %s", len(got), got[0].payload)
	}
	ask(greedy, waitTopicsMax)
	got := greedy.messages()
	if len(got) != 1 || !strings.Contains(string(got[0].payload), `"reason":"queue_full"`) {
		t.Fatalf("one topic too many was answered %v", got)
	}
	ask(other, waitTopicsMax)
	if got := other.messages(); len(got) != 0 {
		t.Fatalf("another was answered %s", got[0].payload)
	}
}

// Requests that wait hold an eighth of memory.limit and are refused beyond; a connection that reads
// slowly is not cut for what they hold.
func TestWaitingIsBoundedByMemory(t *testing.T) {
	const limit = 16 << 20
	n := newTestNode(t, 1, 2, withMemory(limit))
	n.worker(1, 1, "a.#")
	slow := n.subscribers(1, 0, TransportTCP, "publish", "news")[0]
	slow.sock.unlimited = false
	requester := n.connect(0, TransportTCP)
	n.settle()
	requester.messages()
	payload := strings.Repeat("x", 16_000)
	for range 40 {
		requester.send("publish:news:1.0.0\n" + payload)
		n.settle()
	}
	ids := testIDs{rand.New(rand.NewPCG(1, 2))}
	for i := range 2 * limit / len(payload) {
		requester.send(fmt.Sprintf(askLong, "a", i%7, ids.next()) + payload)
		n.settle()
	}
	refused := 0
	for _, m := range requester.messages() {
		if !strings.Contains(string(m.payload), `"reason":"memory"`) {
			t.Fatalf("got %s", m.payload)
		}
		refused++
	}
	held := n.queuedBytes.Load()
	if refused == 0 || held < limit/waitShare || held > limit/waitShare+64<<10 {
		t.Errorf("%d were refused, %d bytes wait, the bound is %d", refused, held, limit/waitShare)
	}
	if slow.Conn.state != stateOpen || n.overBudget() {
		t.Errorf("state %d, over the budget: %v", slow.Conn.state, n.overBudget())
	}
}

// A service or a requester that leaves with many requests does so in pieces, and nothing is left.
func TestLeavingInPieces(t *testing.T) {
	const count = 3*endsTurn + 1
	n := newTestNode(t, 1, 2, nil)
	s, k := n.worker(1, count, "a.#"), n.connect(0, TransportTCP)
	for range 2 * count {
		k.send("request:a.b:1.0.0:" + testRequestID + "::600000\nx")
		n.settle()
	}
	if n.queued.Load() != count || n.outstanding.Load() != 2*count {
		t.Fatalf("%d wait, %d are outstanding", n.queued.Load(), n.outstanding.Load())
	}
	before := n.outstanding.Load()
	s.hangUp(true)
	s.sock.closed = true
	n.run(1)
	if got := before - n.outstanding.Load(); got < 1 || got > 3*endsTurn {
		t.Errorf("%d of %d requests end in one turn", got, before)
	}
	k.hangUp(true)
	k.sock.closed = true
	n.settle()
	if n.outstanding.Load() != 0 || n.queued.Load() != 0 || n.charged() != 0 {
		t.Errorf("%d are outstanding, %d wait, %d bytes are charged",
			n.outstanding.Load(), n.queued.Load(), n.charged())
	}
}

// Many priorities are as cheap as one: the candidates are in one piece of memory.
func TestCandidatesOfManyPriorities(t *testing.T) {
	matches := make([]topic.Match[*service], 5000)
	random := rand.New(rand.NewPCG(1, 2))
	services := make([]service, len(matches))
	shuffle := func() {
		for i := range matches {
			matches[i].Sub = &services[i]
			matches[i].Options.Priority = float64(random.IntN(4000))
		}
	}
	shuffle()
	cs, bytes := buildCandidates(matches)
	seen, last := 0, 4000.0
	for _, group := range cs.groups {
		for i, s := range group {
			m := matches[seen]
			if m.Sub != s || (m.Options.Priority < last) != (i == 0) {
				t.Fatalf("candidate %d has priority %v behind %v", seen, m.Options.Priority, last)
			}
			last = m.Options.Priority
			seen++
		}
	}
	if seen != len(matches) || len(cs.all) != seen || bytes < 8*seen+24*len(cs.groups) {
		t.Errorf("%d candidates of %d, %d bytes", seen, len(matches), bytes)
	}
	allocs := testing.AllocsPerRun(5, func() { shuffle(); buildCandidates(matches) })
	if allocs > 3 {
		t.Errorf("%v allocations", allocs)
	}
}
