package broker

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mbserver/codec"
	"mbserver/server/auth"
	"mbserver/server/config"
	"mbserver/server/permit"
)

// may is a role whose every verb is allowed on some patterns.
func may(patterns ...string) (r permit.Role) {
	for v := range r.Verbs {
		r.Verbs[v].Allow = patterns
	}
	return r
}

// testRoles are roles by name. Whose token is its name has the role of that name; who has none,
// that of "".
type testRoles map[string]permit.Role

// authority is one that lets everybody in.
func (r testRoles) authority(t testing.TB) *Authority {
	t.Helper()
	src := permit.Source{Roles: make(map[string]permit.Role)}
	var known auth.Source
	for name, role := range r {
		if name == "" {
			src.Roles["nobody"], src.Anonymous = role, []string{"nobody"}
			continue
		}
		src.Roles[name] = role
		known.Tokens = append(known.Tokens,
			auth.Token{Identity: "anna", SHA256: auth.Hash(name), Roles: []string{name}})
	}
	policy, err := permit.Compile(src)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(known)
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{Verifier: verifier, Policy: policy}
}

// permitNode is a node with roles.
func permitNode(t testing.TB, loops int, r testRoles, adjust func(*config.Config)) *testNode {
	t.Helper()
	n := newTestNode(t, 1, loops, adjust)
	n.Desk.do = func(f func()) { f() }
	n.authority.Store(r.authority(t))
	return n
}

// reload puts other roles in force, as Reauthorise does, and says what that took.
func (n *testNode) reload(a *Authority) (took revoked) {
	n.t.Helper()
	n.authority.Store(a)
	told := 0
	for _, again := range []bool{false, true} {
		for _, l := range n.loops {
			l.call(func(l *Loop) {
				l.beginPass(&pass{authority: a, again: again, now: n.Desk.now(), told: func() {
					told++
					if again {
						took.add(l.revoked)
						l.revoked = revoked{}
					}
				}})
			})
		}
		n.settle()
		words := n.sendWords(func(*Loop) {})
		n.settle()
		if len(words) != cap(words) {
			n.t.Fatal("a word was not heard")
		}
	}
	if told != 2*len(n.loops) {
		n.t.Fatalf("%d loops have confirmed", told)
	}
	return took
}

// becomes gives k another standing at once: its token was checked before.
func (k *testClient) becomes(token string) {
	k.node.t.Helper()
	g, err := k.node.authority.Load().Verifier.Token(token, k.node.Desk.now())
	if err != nil {
		k.node.t.Fatal(err)
	}
	var h codec.Header
	if _, err := h.Parse([]byte("request:system.auth:1.0.0:"+testRequestID+"\n"), 1); err != nil {
		k.node.t.Fatal(err)
	}
	k.node.wake(k.loop)
	k.loop.begin()
	k.loop.identify(k.Conn, &h, g, nil)
}

// outcome is what k is told of a message: the code of an error, or "success".
func (k *testClient) outcome(msg string) string {
	k.node.t.Helper()
	k.send(msg)
	k.node.settle()
	return k.lastCode()
}

func (k *testClient) lastCode() (code string) {
	k.node.t.Helper()
	for _, m := range k.messages() {
		if m.Action != codec.Response {
			continue
		}
		o := m.object(k.node.t)
		if code, _ = o["status"].(string); code == "" {
			code, _ = o["error"].(map[string]any)["code"].(string)
		}
	}
	return code
}

// What is remembered of a topic is of the rules that were asked, whoever else speaks there, and
// however often they change; a topic that may not be sent to is not remembered with the routes.
func TestVerdictsAreOfTheirRules(t *testing.T) {
	for _, action := range []string{"publish", "request"} {
		n := permitNode(t, 1, testRoles{"a": may("a.#"), "b": may("b.#")}, nil)
		one, other := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
		one.becomes("a")
		other.becomes("b")
		n.settle()
		want := func(when string, k *testClient, topic, code string) {
			t.Helper()
			for range 3 { // the second and third are answered from memory
				msg := action + ":" + topic + ":1.0.0:" + testRequestID + "\nx"
				if got := k.outcome(msg); got != code {
					t.Errorf("%s, %s %s: %s, want %s", when, action, topic, got, code)
				}
			}
		}
		const no, yes = "FORBIDDEN", "NO_ROUTE_FOUND"
		for range 2 {
			want("at first", one, "a.x", yes)
			want("at first", other, "a.x", no)
			want("at first", other, "b.x", yes)
			want("at first", one, "b.x", no)
		}
		want("not to be sent to", one, "c.x", no)
		r := &n.loops[0].routes
		if r.publishes.Find([]byte("c.x")) != nil || r.requests.Find([]byte("c.x")) != nil {
			t.Error("a topic that nobody may send to has a route")
		}
		one.becomes("b")
		want("renewed", one, "a.x", no)
		want("renewed", one, "b.x", yes)
		n.reload(testRoles{"a": may("b.#"), "b": may("a.#")}.authority(t))
		want("reloaded", one, "a.x", yes)
		want("reloaded", other, "b.x", no)
	}
}

// What a loop remembers of verdicts is bounded, and charged.
func TestVerdictsAreBounded(t *testing.T) {
	n := permitNode(t, 1, testRoles{"": may("a.#")}, nil)
	k := n.members(1, 0, TransportTCP)[0]
	l := n.loops[0]
	for i := range verdictsMax + 100 {
		k.send(fmt.Sprintf("publish:b.%s%d:1.0.0\nx", strings.Repeat("x", 100), i))
		if i%64 == 0 {
			n.settle()
		}
		if got := len(l.standings.verdicts); got > verdictsMax {
			t.Fatalf("%d verdicts", got)
		}
	}
	n.settle()
	if l.standings.held != l.standings.charged || l.standings.held < 100*100 {
		t.Errorf("%d bytes are charged, %d held", l.standings.charged, l.standings.held)
	}
	k.hangUp(true)
	n.settle()
	if l.standings.charged != 0 || len(l.standings.verdicts) != 0 || l.standings.holders != 0 {
		t.Errorf("%+v", l.standings)
	}
}

// topicOf returns a topic whose requests wait on a loop.
func (n *testNode) topicOf(loop int) string {
	for i := 0; ; i++ {
		if name := fmt.Sprintf("t.x%d", i); n.queueLoop([]byte(name)) == n.loops[loop] {
			return name
		}
	}
}

// A request that is on its way to where it is to wait, held back before it, or there already, is
// answered when its requester may not make it any more.
func TestRequestOnItsWay(t *testing.T) {
	for name, tt := range map[string]struct{ before, after func(n *testNode) }{
		"in a parcel": {func(*testNode) {}, func(*testNode) {}},
		"in an inbox": {func(n *testNode) { n.run(0) }, func(*testNode) {}},
		"in a queue":  {func(n *testNode) { n.settle() }, func(*testNode) {}},
	} {
		n := permitNode(t, 2, testRoles{"": may("t.#"), "asks": may("t.#"), "not": may("u.#")}, nil)
		topic := n.topicOf(1)
		n.worker(1, 1, topic)
		first, k := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
		first.send("request:" + topic + ":1.0.0:" + testRequestID + "\nx")
		k.becomes("asks")
		n.settle()
		k.messages()
		k.send("request:" + topic + ":1.0.0:" + testRequestID + "\nx")
		tt.before(n)
		k.becomes("not")
		n.settle()
		var codes []string
		for _, m := range k.messages() {
			if string(m.Topic) == topic {
				codes = append(codes, fmt.Sprint(m.object(t)["error"].(map[string]any)["code"]))
			}
		}
		if len(codes) != 1 || codes[0] != "FORBIDDEN" || n.queued.Load() != 0 {
			t.Errorf("%s: %v, %d wait", name, codes, n.queued.Load())
		}
	}
}

// One that is held back with its requester, since the inbox of the loop where it is to wait is
// full, is held against the rules that stand when its requester is read on.
func TestRequestHeldBack(t *testing.T) {
	n := permitNode(t, 2, testRoles{"": may("t.#"), "asks": may("t.#"), "not": may("u.#")}, nil)
	n.canPause = true
	topic := n.topicOf(1)
	w := n.worker(1, 1, topic)
	first, k := n.connect(0, TransportTCP), n.connect(0, TransportTCP)
	first.send("request:" + topic + ":1.0.0:" + testRequestID + "\nx")
	k.becomes("asks")
	n.settle()
	k.messages()
	w.messages()
	room := n.inboxBytes
	n.inboxBytes = 1
	k.send("request:" + topic + ":1.0.0:" + testRequestID + "\nx")
	if k.paused == nil || k.paused.request.body == nil {
		t.Fatal("it is not held back")
	}
	n.inboxBytes = room
	k.becomes("not")
	w.arrive(appendAnswer(nil, w.openEntry())) // and has room
	n.settle()
	if got := k.lastCode(); got != "FORBIDDEN" || n.queued.Load() != 0 {
		t.Errorf("%s, %d wait", got, n.queued.Load())
	}
	if ms := w.messages(); len(ms) > 0 {
		t.Errorf("the service got %s", ms[0].header)
	}
}

// Of much that waits, a part is looked at in each turn; what stays keeps its place.
func TestMuchThatWaitsIsForbidden(t *testing.T) {
	const size = 5000
	n := permitNode(t, 1, testRoles{"": may("t.#"), "asks": may("t.#"), "less": may("t.y")},
		func(cfg *config.Config) {
			cfg.Max.QueuedPerTopic, cfg.Max.OutstandingRequests = size, size
		})
	n.waitBytes = 1 << 40
	n.worker(0, 1, "t.x", "t.y")
	k := n.members(1, 0, TransportTCP)[0]
	k.becomes("asks")
	n.settle()
	for i := range size {
		k.send(fmt.Sprintf("request:%s:1.0.0:00000000-0000-4000-8000-%012d::600000\nx",
			[]string{"t.x", "t.y"}[i%2], i))
	}
	n.settle()
	waiting := n.queued.Load()
	if waiting < size-10 {
		t.Fatalf("%d wait", waiting)
	}
	k.becomes("less")
	for before := waiting; n.drivers[0].scheduled; before = n.queued.Load() {
		n.run(0)
		if gone := before - n.queued.Load(); int(gone) > n.endsTurn {
			t.Fatalf("%d are answered in a turn", gone)
		}
	}
	if left := n.queued.Load(); left < waiting/2-1 || left > waiting/2+1 {
		t.Errorf("%d of %d stay", left, waiting)
	}
}

// A publish that waits for room in the ring of who may not have it any more is let go, and its
// publisher read on.
func TestParkedIsRevoked(t *testing.T) {
	n := permitNode(t, 1, testRoles{"": may("a.#")}, nil)
	ks := n.parked(2, 20)
	took := n.reload(testRoles{"": may("b.#")}.authority(t))
	if n.loops[0].parkedCount != 0 || n.paused.Load() != 0 {
		t.Errorf("%d publishes wait, %d publishers", n.loops[0].parkedCount, n.paused.Load())
	}
	if took.messages < 2*20 || took.subscriptions != 2 {
		t.Errorf("took %+v", took)
	}
	before := n.sent()
	for _, k := range ks {
		k.sock.discard = false
		k.unblock(0, true)
	}
	n.settle()
	for _, k := range ks {
		for i, m := range k.messages() {
			if i > 0 && string(m.Topic) == "a.b" { // the first may have begun before
				t.Errorf("got %s, of %d", m.header, n.sent()-before)
			}
		}
	}
}

// Who was connected before the node asked who connects may send as long a token as others: where it
// asks nobody, frames are as long as messages.
func TestTokenOfWhoCameBefore(t *testing.T) {
	long := strings.Repeat("x", auth.MaxToken)
	for _, tr := range []struct {
		Transport
		deflate bool
	}{{TransportTCP, false}, {TransportWS, false}, {TransportWS, true}} {
		n := newTestNode(t, 1, 1, func(cfg *config.Config) {
			cfg.Message.PayloadMaxLength = 1024
			cfg.WS.Deflate.Enabled = true
		})
		n.Desk.do = func(f func()) { f() }
		k := n.connectAs(0, tr.Transport, tr.deflate)
		n.settle()
		n.reload(testRoles{"": may("a.#"), long: may("b.#")}.authority(t))
		msg := "request:system.auth:1.0.0:" + testRequestID + "\n{\"token\":\"" + long + "\"}"
		if got := k.outcome(msg); got != "success" {
			t.Errorf("%v: %q", tr, got)
		}
	}
}

// What a connection has proved at the door may be good no more when it is opened. It is told, and
// leaves nothing behind.
func TestGrantIsGoneAtOpen(t *testing.T) {
	before := testRoles{"anna": may("a.#")}
	for name, after := range map[string]*Authority{
		"another's token": testRoles{"bob": may("b.#")}.authority(t),
		"nobody is asked": {Verifier: before.authority(t).Verifier, Policy: nil},
		"no tokens":       testRoles{}.authority(t),
	} {
		n := permitNode(t, 1, before, func(cfg *config.Config) {
			cfg.Connection.MaxPerIdentity = 1
		})
		g, err := n.authority.Load().Verifier.Token("anna", n.Desk.now())
		if err != nil || !n.EnterAs(g.Identity) {
			t.Fatal(err)
		}
		n.authority.Store(after)
		n.connections.Add(1)
		k := n.enter(0, &Arrival{
			Transport: TransportTCP, Remote: netip.MustParseAddrPort("192.0.2.1:1"), Grant: g,
		})
		n.settle()
		good := name == "nobody is asked" // its verifier knows the same token
		ms := k.messages()
		if last := string(ms[len(ms)-1].payload); strings.Contains(last, "revoked") == good {
			t.Errorf("%s: %s", name, last)
		}
		k.hangUp(true)
		n.settle()
		if !n.EnterAs(g.Identity) || n.loops[0].standings.holders != 0 {
			t.Errorf("%s: its place is taken, or it has left something", name)
		}
	}
}

// Who is leaving when the node begins to ask gets nothing that it may not have, and is forgotten.
func TestLeavingWhenAsked(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	k := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0]
	p := n.connect(0, TransportTCP)
	n.settle()
	k.messages()
	k.sock.unlimited, k.sock.budget = false, 0
	p.send("publish:a.b:1.0.0\nsecret")
	n.settle()
	k.hangUp(false)
	n.settle()
	a := testRoles{"anna": may("a.#")}.authority(t)
	a.Required = true
	n.reload(a)
	if k.sock.closed {
		t.Fatal("it has left already")
	}
	k.unblock(0, true)
	n.settle()
	for _, m := range k.messages() {
		if string(m.Topic) == "a.b" {
			t.Errorf("got %s", m.payload)
		}
	}
	n.pass(10_000)
	if l := n.loops[0]; l.standings.holders != 0 || l.charge != 0 {
		t.Errorf("%d have a standing, %d bytes are charged", l.standings.holders, l.charge)
	}
}

// An expression that is being compiled when the word for the log goes filters nothing.
func TestPendingFilterIsRevoked(t *testing.T) {
	with, without := permit.Role{System: []string{"log"}}, permit.Role{}
	n := permitNode(t, 1, testRoles{"with": with, "without": without}, nil)
	k := n.connect(0, TransportTCP)
	k.becomes("with")
	n.settle()
	k.messages()
	k.send("request:system.log.subscribe:1.0.0:" + testRequestID + "\n{\"regex\":\"x\"}")
	k.becomes("without")
	n.settle()
	if got := k.lastCode(); got != "FORBIDDEN" || n.logStream.Filter(&k.Conn.service) != nil {
		t.Errorf("%s, %v", got, n.logStream.Filter(&k.Conn.service))
	}
}

// A reload looks at so many connections in each turn, of however many; others are served between.
func TestReloadOfMany(t *testing.T) {
	many := 100_000
	if raceEnabled {
		many = 5000
	}
	n := permitNode(t, 1, testRoles{"": may("a.#")}, func(cfg *config.Config) {
		cfg.Memory.Limit = 8 << 30
	})
	for range many {
		k := n.connect(0, TransportTCP)
		k.sock.discard = true
	}
	k, p := n.subscribers(1, 0, TransportTCP, "publish", "a.b")[0], n.connect(0, TransportTCP)
	n.settle()
	k.messages()
	a, l, done := testRoles{"": may("a.b")}.authority(t), n.loops[0], false
	n.authority.Store(a)
	l.call(func(l *Loop) {
		l.beginPass(&pass{authority: a, now: time.Now(), told: func() { done = true }})
	})
	turns, most := 0, 0
	for p0 := 0; !done; turns++ {
		if turns%100 == 0 {
			p.send("publish:a.b:1.0.0\nx")
		}
		n.run(0)
		if turns%100 == 0 && len(k.messages()) != 1 {
			t.Fatal("who publishes waits for the reload")
		}
		if s := l.standings.pass; s != nil {
			most, p0 = max(most, s.slot-p0), s.slot
		}
		if turns > 4*many {
			t.Fatal("it does not end")
		}
	}
	if most > recheckOthers || turns < many/recheckOthers {
		t.Errorf("%d connections in a turn, %d turns", most, turns)
	}
}
