package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/server/config"
	"mbserver/server/metrics"
	"mbserver/topic"
)

// fakeCluster is a Cluster whose other nodes are the test.
type fakeCluster struct {
	counts    map[string]int
	version   uint64
	confirmed bool // what Known says
	waiting   []func(unconfirmed int)
	sent      []crossed
	refuses   uint64
	flushes   int
	keep      bool // what is sent
	held      int64
	receipts  []string
	room      func(pattern string) bool
}

// crossed is a publish for other nodes.
type crossed struct {
	to      []uint32
	message string
	receipt uint64
}

func (c *fakeCluster) Room(p string) bool    { return c.room == nil || c.room(p) }
func (c *fakeCluster) Version(string) uint64 { return c.version }
func (c *fakeCluster) Known(uint64) bool     { return c.confirmed }
func (c *fakeCluster) Flush(int)             { c.flushes++ }
func (c *fakeCluster) Isolated() bool        { return false }
func (c *fakeCluster) Held() int64           { return c.held }
func (c *fakeCluster) Unsubscribed(p string) { c.counts[p]-- }
func (c *fakeCluster) Subscribed(p string) uint64 {
	c.counts[p]++
	c.version++
	return c.version
}

func (c *fakeCluster) Serve(*abroad.Service)                   {}
func (c *fakeCluster) Unserve(codec.UUID)                      {}
func (c *fakeCluster) Offer(abroad.Offer) uint64               { return 0 }
func (c *fakeCluster) Withdraw(abroad.Offer)                   {}
func (c *fakeCluster) Ask(int, uint32, *abroad.Request) bool   { return false }
func (c *fakeCluster) Cancel(int, uint32, codec.UUID)          {}
func (c *fakeCluster) Answer(int, uint32, *abroad.Answer) bool { return false }
func (c *fakeCluster) Load(int, uint32, abroad.Load) bool      { return false }
func (c *fakeCluster) Wait(int, uint32, abroad.Wait) bool      { return false }

func (c *fakeCluster) Sample(time.Time) metrics.Cluster { return metrics.Cluster{Joined: true} }

func (c *fakeCluster) Await(_ uint64, then func(int)) { c.waiting = append(c.waiting, then) }

func (c *fakeCluster) Publish(
	_ int, to []uint32, header, payload []byte, receipt uint64,
) (refused uint64) {
	if c.keep {
		message := string(header) + string(payload)
		c.sent = append(c.sent, crossed{slices.Clone(to), message, receipt})
	}
	return c.refuses
}

func (c *fakeCluster) Receipt(node uint32, of uint64, subscribers, dropped int) {
	if c.keep {
		c.receipts = append(c.receipts, fmt.Sprint(node, of, subscribers, dropped))
	}
}

// newMember makes a test node that is one of a cluster.
func newMember(
	t *testing.T, loops int, adjust func(*config.Config),
) (n *testNode, c *fakeCluster, in *ClusterNode) {
	t.Helper()
	n = newTestNode(t, 1, loops, adjust)
	in = n.ClusterNode()
	c = &fakeCluster{counts: make(map[string]int), confirmed: true, keep: true}
	n.JoinCluster(c, "c", "n", 250*time.Millisecond)
	return n, c, in
}

// want subscribes another node.
func want(t *testing.T, in *ClusterNode, slot uint32, pattern string) topic.Pattern {
	t.Helper()
	p, err := topic.ParsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	in.Want(slot, p)
	return p
}

// A node's word says what it says, whatever else waits for the loop.
func TestReceiptBehindOthers(t *testing.T) {
	n, c, in := newMember(t, 1, nil)
	in.Join(3)
	want(t, in, 3, "a")
	n.subscribers(1, 0, TransportTCP, "publish", "b")
	k := n.connect(0, TransportTCP)
	k.send("publish:a:1.0.0:" + someID + "\nx")
	deliver := func(times int) {
		for range times {
			in.Deliver([]byte("publish:b:1.0.0:"+someID+"\nxyz"), 3, 0)
		}
		in.Delivered()
	}
	deliver(5)
	n.settle() // there is a parcel with room now
	deliver(1)
	in.Receipt(c.sent[0].receipt, 3, 5, 1)
	n.settle()
	const answer = `{"status":"success","subscribers":5,"dropped":1}`
	if got := k.payloads("response:a"); len(got) != 1 || got[0] != answer {
		t.Errorf("answered %q, want %q", got, answer)
	}
}

// payloads are the payloads of the messages of k that begin so.
func (k *testClient) payloads(start string) (all []string) {
	for _, m := range k.messages() {
		if strings.HasPrefix(m.header, start) {
			all = append(all, string(m.payload))
		}
	}
	return all
}

// One call for a publish, however many patterns and nodes want it; its answer counts all nodes.
func TestPublishAcross(t *testing.T) {
	n, c, in := newMember(t, 2, nil)
	in.Join(3)
	in.Join(63)
	want(t, in, 3, "a.#")
	want(t, in, 3, "a.+")
	want(t, in, 63, "a.b")
	n.subscribers(2, 1, TransportTCP, "publish", "a.b")
	k := n.connect(0, TransportTCP)
	ask := func() uint64 {
		c.sent = nil
		k.send("publish:A.b:1.0.0:" + someID + "\nx")
		n.settle()
		if len(c.sent) != 1 || len(c.sent[0].to) != 2 ||
			!strings.HasPrefix(c.sent[0].message, "publish:A.b:1.0.0:") ||
			!strings.HasSuffix(c.sent[0].message, "\nx") {
			t.Fatalf("crossed: %+v", c.sent)
		}
		return c.sent[0].receipt
	}
	answer := func(want string) {
		t.Helper()
		n.settle()
		if got := k.payloads("response:A.b"); len(got) != 1 || got[0] != want {
			t.Errorf("answered %q, want %q", got, want)
		}
	}
	k.messages()
	of := ask()
	in.Receipt(of, 3, 5, 1)
	in.Receipt(of, 3, 5, 1) // no node counts twice
	in.Receipt(of, 7, 5, 1) // nor one that was not asked
	n.settle()
	if got := k.payloads("response:"); len(got) != 0 {
		t.Fatalf("answered before all have: %q", got)
	}
	in.Receipt(of, 63, 2, 0)
	answer(`{"status":"success","subscribers":9,"dropped":1}`)
	of = ask()
	in.Receipt(of, 63, 2, 0)
	n.pass(260)
	answer(`{"status":"success","subscribers":4,"unconfirmed":1}`)
	in.Receipt(of, 3, 5, 1) // too late
	in.Receipt(1<<63|5, 3, 5, 1)
	n.settle()
	c.refuses = 1<<3 | 1<<63
	ask()
	answer(`{"status":"success","subscribers":2,"unconfirmed":2}`)
	c.refuses = 0
	in.Part(63)
	c.sent = nil
	k.send("publish:a.b:1.0.0\ny")
	n.settle()
	if len(c.sent) != 1 || !slices.Equal(c.sent[0].to, []uint32{3}) || c.sent[0].receipt != 0 {
		t.Errorf("crossed: %+v", c.sent)
	}
}

// Whoever has left while the message was on its way is nobody.
func TestPublishAcrossToNobody(t *testing.T) {
	n, c, in := newMember(t, 1, nil)
	in.Join(0)
	p := want(t, in, 0, "a")
	k := n.connect(0, TransportTCP)
	k.messages()
	k.send("publish:a:1.0.0:" + someID + "\nx")
	n.settle()
	in.Receipt(c.sent[0].receipt, 0, 0, 0)
	n.settle()
	got := k.payloads("response:a")
	if len(got) != 1 || !strings.Contains(got[0], "NO_ROUTE_FOUND") {
		t.Errorf("answered %q", got)
	}
	in.Forget(0, p)
	k.send("publish:a:1.0.0\nx")
	n.settle()
	got = k.payloads("response:a")
	if len(got) != 1 || !strings.Contains(got[0], "NO_ROUTE_FOUND") {
		t.Errorf("answered %q", got)
	}
	if got := n.subscriptions(); got != 0 {
		t.Errorf("%d subscriptions", got)
	}
}

// someID is a request ID.
const someID = "00000000-0000-4000-8000-0000000000ab"

const published = "publish:a.B:1.0.0:00000000-0000-4000-8000-000000000001\n"

// A publish of another node reaches who is subscribed here, once, in order, and no other node; its
// receipt says how many, and for how many there was no room.
func TestDeliver(t *testing.T) {
	n, c, in := newMember(t, 3, nil)
	in.Join(1)
	want(t, in, 1, "#")
	var all []*testClient
	for loop := range 3 {
		all = append(all, n.subscribers(2, loop, TransportWS, "publish", "a.+")...)
	}
	both := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
	both.send("request:system.topic.subscribe:1.0.0\n" + `{"action":"publish","topic":"#"}`)
	n.settle()
	all = append(all, both)
	large := strings.Repeat("l", sharedBodyMin)
	for _, k := range all {
		k.messages()
	}
	in.Deliver([]byte(published+"1"), 1, 0)
	in.Deliver([]byte(published+large), 1, 8)
	in.Deliver([]byte(published+"\xff"), 1, 9)
	in.Delivered()
	n.settle()
	for i, k := range all {
		got := k.payloads(strings.TrimSuffix(published, "\n"))
		if !slices.Equal(got, []string{"1", large, "\xff"}) {
			t.Errorf("client %d got %d: %.20q", i, len(got), got)
		}
	}
	if want := []string{"1 8 7 0", "1 9 7 0"}; !slices.Equal(c.receipts, want) {
		t.Errorf("receipts %q, want %q", c.receipts, want)
	}
	if len(c.sent) != 0 {
		t.Error("it went on to other nodes")
	}
	c.receipts = nil
	in.Deliver([]byte("publish:nobody.x.y:1.0.0\n"), 1, 10)
	for _, bad := range []string{
		"", "\n", "publish", "request:a.b:1.0.0\n", "publish:system.log:1.0.0\nx",
		"publish:System.message:1.0.0\nx", "publish:a b:1.0.0\nx",
	} {
		in.Deliver([]byte(bad), 1, 0)
	}
	in.Delivered()
	n.settle()
	if want := []string{"1 10 1 0"}; !slices.Equal(c.receipts, want) { // "#" is subscribed to
		t.Errorf("receipts %q, want %q", c.receipts, want)
	}
}

// What an inbox does not take is lost to that loop's subscribers, who are told, and in the receipt.
func TestDeliverToFullInbox(t *testing.T) {
	n, c, in := newMember(t, 2, nil)
	k := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
	k.messages()
	fill := int64(n.inboxBytes)
	n.loops[0].inbox.waiting.Add(fill)
	in.Deliver([]byte(published+"1"), 2, 5)
	in.Deliver([]byte(published+"2"), 2, 6)
	in.Delivered()
	n.loops[0].inbox.waiting.Add(-fill)
	n.settle()
	in.Deliver([]byte(published+"3"), 2, 7)
	in.Delivered()
	n.settle()
	if want := []string{"2 5 1 1", "2 6 1 1", "2 7 1 0"}; !slices.Equal(c.receipts, want) {
		t.Errorf("receipts %q, want %q", c.receipts, want)
	}
	if got := k.payloads("publish:"); len(got) != 2 || !strings.Contains(got[0], `"count":2`) ||
		got[1] != "3" {
		t.Errorf("got %q", got)
	}
}

// Losses between nodes are told to everybody with a subscription for publishes, all of them, and in
// pieces.
func TestLostBetweenNodes(t *testing.T) {
	n, _, in := newMember(t, 2, func(cfg *config.Config) { cfg.Connection.MaxConcurrent = 1000 })
	n.endsTurn = 3
	var meant []*testClient
	for loop := range 2 {
		meant = append(meant, n.subscribers(8, loop, TransportTCP, "publish", "a.b")...)
	}
	others := append(n.subscribers(3, 0, TransportTCP, "request", "a.b"),
		n.subscribers(3, 1, TransportTCP, "publish", "system.message")...)
	for _, k := range slices.Concat(meant, others) {
		k.messages()
	}
	in.Lost(2)
	in.Lost(3)
	n.settle()
	in.Lost(1 << 62) // whatever a node says
	n.settle()
	for _, k := range meant {
		told := k.payloads("publish:system.dropped")
		sum := 0
		for _, text := range told[:len(told)-1] {
			var count int
			if _, err := fmt.Sscanf(text, `{"count":%d,"atMost":true,"reason":"cluster"`,
				&count); err != nil {
				t.Fatal(err, text)
			}
			sum += count
		}
		if sum != 5 {
			t.Errorf("told of %d in %q", sum, told)
		}
	}
	for _, k := range others {
		if told := k.payloads("publish:system.dropped"); len(told) != 0 {
			t.Errorf("told %q", told)
		}
	}
}

// A subscription is answered when the other nodes know of it, and what they are told of is counted
// once, and only publishes of user topics.
func TestSubscribeWaits(t *testing.T) {
	n, c, _ := newMember(t, 2, nil)
	c.confirmed = false
	k := n.connect(1, TransportTCP)
	k.messages()
	subscribe := func(action, pattern string) {
		k.send("request:system.topic.subscribe:1.0.0:" + someID + "\n" +
			`{"action":"` + action + `","topic":"` + pattern + `"}`)
		n.settle()
	}
	const answer = "response:system.topic.subscribe"
	subscribe("publish", "a.b")
	if got := k.payloads(answer); len(got) != 0 || len(c.waiting) != 1 {
		t.Fatalf("answered %q", got)
	}
	c.waiting[0](0)
	n.settle()
	if got := k.payloads(answer); !slices.Equal(got, []string{`{"status":"success"}`}) {
		t.Errorf("answered %q", got)
	}
	subscribe("publish", "a.b") // it stands, and may not be known yet all the same
	c.waiting[1](2)
	n.settle()
	if got := k.payloads(answer); !slices.Equal(got,
		[]string{`{"status":"success","unconfirmed":2}`}) {
		t.Errorf("answered %q", got)
	}
	c.waiting = nil
	subscribe("request", "r")
	subscribe("publish", "system.message")
	if got := k.payloads(answer); len(got) != 2 || len(c.waiting) != 0 {
		t.Errorf("answered %q, %d wait", got, len(c.waiting))
	}
	c.confirmed = true
	subscribe("both", "c")
	if got := k.payloads(answer); len(got) != 1 {
		t.Errorf("answered %q", got)
	}
	if fmt.Sprint(c.counts) != "map[a.b:1 c:1]" {
		t.Errorf("told of %v", c.counts)
	}
	c.room = func(string) bool { return false }
	subscribe("both", "d")
	if got := k.payloads(answer); len(got) != 1 || !strings.Contains(got[0], "interest_limit") {
		t.Errorf("answered %q", got)
	}
	k.hangUp(false)
	n.settle()
	if fmt.Sprint(c.counts) != "map[a.b:0 c:0]" {
		t.Errorf("left behind: %v", c.counts)
	}
}

// What crosses costs no allocation.
func TestAcrossAllocations(t *testing.T) {
	n, c, in := newMember(t, 2, nil)
	in.Join(0)
	want(t, in, 0, "a.b")
	c.keep = false
	k := n.connect(0, TransportTCP)
	quiet(append(n.subscribers(3, 1, TransportTCP, "publish", "a.b"), k)...)
	publish := k.again("publish:a.b:1.0.0\nx")
	holdAtZero(t, func() { publish(); n.settle() })
	ask := k.again("publish:a.b:1.0.0:" + someID + "\nx")
	holdAtZero(t, func() {
		ask()
		n.settle()
		n.advance(1)
	})
	message := []byte(published + "x")
	holdAtZero(t, func() {
		in.Deliver(message, 0, 7)
		in.Delivered()
		n.settle()
	})
}

// What waits between nodes is charged: newcomers are refused for it.
func TestClusterIsCharged(t *testing.T) {
	n, c, _ := newMember(t, 1, nil)
	before := n.charged()
	c.held = n.budget.full
	if n.charged()-before != c.held || n.crowded() {
		t.Errorf("%d bytes are charged for %d", n.charged()-before, c.held)
	}
	if c.held++; !n.crowded() {
		t.Error("nobody is refused")
	}
}
