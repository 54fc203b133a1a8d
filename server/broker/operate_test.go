package broker

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mbserver/codec"
	"mbserver/server/config"
	"mbserver/server/permit"
	"mbserver/server/system"
	"mbserver/topic"
)

// asked is what an order came to.
type asked struct {
	done  bool
	ended int
	err   *system.Error
}

// begin has an order carried out, as Operate does, without waiting.
func (n *testNode) begin(k *testClient, o system.Order) *asked {
	o.Of = k.id
	is, of := new(asked), &k.Conn.service
	k.loop.call(func(l *Loop) {
		l.operate(of, system.Actor{Identity: "op"}, &o, func(_ *Loop, ended int, e *system.Error) {
			if is.done {
				n.t.Error("an order is told twice")
			}
			*is = asked{true, ended, e}
		})
	})
	return is
}

// operate is begin, and waits.
func (n *testNode) operate(k *testClient, o system.Order) *asked {
	n.t.Helper()
	is := n.begin(k, o)
	n.settle()
	if !is.done {
		n.t.Fatal("nobody is told of an order")
	}
	return is
}

func kickOrder(words string) system.Order {
	return system.Order{Deed: system.Kick, Reason: words}
}

func muteOrder(ms int64) system.Order { return system.Order{Deed: system.Mute, ForMs: ms} }

func unsubscribeOrder(t testing.TB, pattern string, kinds ...topic.Kind) system.Order {
	t.Helper()
	p, err := topic.ParsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return system.Order{Deed: system.Unsubscribe, Pattern: p, Kinds: kinds}
}

// member connects somebody who has heard the welcome.
func (n *testNode) member(loop int, t Transport) *testClient {
	k := n.connect(loop, t)
	n.settle()
	hears(k)
	return k
}

// operator connects somebody from the node's own machine.
func (n *testNode) operator(loop int, t Transport) *testClient {
	n.connections.Add(1)
	k := n.enter(loop, &Arrival{Transport: t, Remote: netip.MustParseAddrPort("127.0.0.1:9")})
	n.settle()
	hears(k)
	return k
}

// hears has clients forget what came until now, and keep what comes.
func hears(clients ...*testClient) {
	for _, k := range clients {
		k.messages()
		k.sock.discard, k.kept = false, nil
	}
}

// inBothTransports runs f over each, and with the target on the operator's loop and on another.
func inBothTransports(t *testing.T, f func(t *testing.T, tr Transport, loops int)) {
	for _, tr := range []Transport{TransportTCP, TransportWS} {
		for _, loops := range []int{1, 2} {
			t.Run(fmt.Sprintf("%v, %d loops", tr, loops), func(t *testing.T) { f(t, tr, loops) })
		}
	}
}

// errorOf is the error that a message says, with its details.
func (m testMessage) errorOf(t testing.TB) (code string, details map[string]any) {
	t.Helper()
	e, _ := m.object(t)["error"].(map[string]any)
	code, _ = e["code"].(string)
	details, _ = e["details"].(map[string]any)
	return code, details
}

// wasKicked holds that the last that k has got is why, and the end.
func (k *testClient) wasKicked(words string) (before []testMessage) {
	t := k.node.t
	t.Helper()
	ms := k.messages()
	if k.transport == TransportWS {
		if len(ms) == 0 || ms[len(ms)-1].kind != codec.Close ||
			binary.BigEndian.Uint16(ms[len(ms)-1].payload) != codec.ClosePolicy {
			t.Fatalf("no close 1008: %v", ms)
		}
		ms = ms[:len(ms)-1]
	}
	if len(ms) == 0 {
		t.Fatal("it is told nothing")
	}
	last := ms[len(ms)-1]
	code, details := last.errorOf(t)
	if last.header != "response:error:1.0.0" || code != "FORBIDDEN" ||
		details["reason"] != "kicked" || !strings.Contains(string(last.payload), words) {
		t.Errorf("told %s %s", last.header, last.payload)
	}
	if !k.sock.writeClosed {
		t.Error("its stream has not ended")
	}
	return ms[:len(ms)-1]
}

// Who is kicked is told why and closed; it is gone from the node when that is answered. What it was
// to answer fails, what it has asked is nobody's.
func TestKick(t *testing.T) {
	inBothTransports(t, func(t *testing.T, tr Transport, loops int) {
		n := newTestNode(t, 1, loops, nil)
		n.operators = true
		op := n.operator(0, tr)
		k := n.subscribers(1, loops-1, tr, "both", "a.b")[0]
		other := n.worker(0, 1, "c.d")
		client := n.member(0, tr)
		hears(k)
		client.send("request:a.b:1.0.0:" + testRequestID + "\nx")
		k.send("request:c.d:1.0.0:" + testRequestID + "\nx") // it will not hear the answer
		n.settle()
		k.messages()
		id := k.id.String()
		op.send("request:system.connection.kick:1.0.0:" + testRequestID + "\n" +
			`{"serviceId":"` + id + `","reason":"too loud"}`)
		for i := 0; op.lastCode() != "success"; i++ {
			if i == 20 {
				t.Fatal("no answer")
			}
			for l := range n.loops {
				n.run(l)
			}
		}
		if n.registry.find(k.id) != nil || len(n.trie.Subscribers(
			unsubscribeOrder(t, "a.b").Pattern, topic.Publish, nil)) != 0 {
			t.Error("it was answered, and stands in a list")
		}
		n.settle()
		k.wasKicked("too loud")
		if code, details := client.expectTopic("response:a.b:").errorOf(t); code !=
			"SERVICE_UNAVAILABLE" || details["reason"] != "disconnected" {
			t.Errorf("its requester is told %s %v", code, details)
		}
		other.work()
		if n.outstanding.Load() != 0 || n.queued.Load() != 0 {
			t.Errorf("%d outstanding", n.outstanding.Load())
		}
		op.inquire("system.connection.kick", `{"serviceId":"`+id+`"}`)
		if got := op.answer(); !strings.Contains(got, `"reason":"unknown"`) {
			t.Errorf("kicked again: %s", got)
		}
		k.hangUp(false)
		n.settle()
		if !k.sock.closed || n.connections.Load() != 3 {
			t.Errorf("closed %v, %d connections", k.sock.closed, n.connections.Load())
		}
	})
}

// Who kicks itself is answered first.
func TestKickOneself(t *testing.T) {
	inBothTransports(t, func(t *testing.T, tr Transport, loops int) {
		n := newTestNode(t, 1, loops, nil)
		n.operators = true
		k := n.operator(loops-1, tr)
		k.inquire("system.connection.kick", `{"serviceId":"`+k.id.String()+`"}`)
		n.settle()
		before := k.wasKicked("operator")
		if len(before) != 1 || string(before[0].payload) != `{"status":"success"}` {
			t.Errorf("before: %v", before)
		}
	})
}

// Who reads nothing and is kicked is gone from the node at once, and gets what waits, what it has
// lost and why, if it reads in time; if not, it is cut.
func TestKickWhoReadsNothing(t *testing.T) {
	inBothTransports(t, func(t *testing.T, tr Transport, loops int) {
		for _, reads := range []bool{true, false} {
			n := newTestNode(t, 1, loops, nil)
			k := n.subscribers(1, loops-1, tr, "publish", "a.b")[0]
			p := n.member(0, TransportTCP)
			hears(k)
			n.droppable.Messages = 3
			k.sock.unlimited = false
			for range 9 {
				p.send("publish:a.b:1.0.0\nx")
				n.settle()
			}
			if is := n.operate(k, kickOrder("")); is.err != nil || n.registry.find(k.id) != nil {
				t.Fatalf("%v, in the list: %v", is.err, n.registry.find(k.id) != nil)
			}
			if !reads {
				n.pass(2 * lingerTime.Milliseconds())
				if !k.sock.closed || n.connections.Load() != 1 {
					t.Error("it stays")
				}
				continue
			}
			k.unblock(0, true)
			n.settle()
			got, lost := 0, 0.0
			for _, m := range k.wasKicked("") {
				switch m.header[:14] {
				case "publish:a.b:1.":
					got++
				case "publish:system":
					lost += m.object(t)["count"].(float64)
				}
			}
			if got+int(lost) != 9 || lost == 0 {
				t.Errorf("%d came and %v were told as lost, of 9", got, lost)
			}
		}
	})
}

// Somebody who is to go, and held by what it has outstanding, is kicked all the same, and the drain
// ends.
func TestKickInADrain(t *testing.T) {
	inBothTransports(t, func(t *testing.T, tr Transport, loops int) {
		n := newTestNode(t, 1, loops, nil)
		k := n.subscribers(1, loops-1, tr, "request", "a.b")[0]
		client := n.member(0, tr)
		client.send("request:a.b:1.0.0:" + testRequestID + "\nx")
		n.settle()
		n.Unready()
		n.Depart(Schedule{Time: time.Minute, Grace: 10 * time.Second})
		n.settle()
		n.advance(1000)
		n.settle()
		if k.left() || client.left() {
			t.Fatal("what is outstanding does not hold them")
		}
		hears(k)
		n.operate(k, kickOrder(""))
		k.wasKicked("")
		if n.going.Load() != 0 || !client.left() {
			t.Errorf("%d are still to go; the client has left: %v", n.going.Load(), client.left())
		}
	})
}

// Who does not hold the word can do nothing, whatever else is so; and what it says changes nothing.
func TestWhoMayOperate(t *testing.T) {
	deeds := map[string]string{
		"system.connection.kick": "", "system.connection.mute": `,"durationMs":1000`,
		"system.connection.unsubscribe": `,"topic":"a.b"`, "system.node.drain": "",
	}
	all := func(words ...string) permit.Role {
		r := may("#")
		r.System = words
		return r
	}
	const admin = "admin"
	others := []string{
		"service.list", "topic.list", "metrics", "log", "message", "connection", "explain",
	}
	for _, row := range []struct {
		name      string
		roles     testRoles // nil: the node asks nobody
		token     string
		operators bool // admin.operator
		local     bool
		may       bool
	}{
		{"a node that asks nobody", nil, "", false, true, false},
		{"admin.operator, from elsewhere", nil, "", true, false, false},
		{"admin.operator", nil, "", true, true, true},
		{"anonymous with roles", testRoles{"": all(others...)}, "", true, true, false},
		{"anonymous with the word", testRoles{"": all(admin)}, "", false, false, true},
		{"all words but this", testRoles{"x": all(others...)}, "x", true, true, false},
		{"the word alone", testRoles{"x": all(admin)}, "x", false, false, true},
		{"anonymous, where others have roles", testRoles{"x": all(admin)}, "", true, true, false},
	} {
		for name, more := range deeds {
			n := newTestNode(t, 1, 1, func(cfg *config.Config) {
				cfg.Admin.Operator = row.operators
			})
			drains := 0
			n.drainer = func(int) error { drains++; return nil }
			n.Desk.do = func(f func()) { f() }
			if row.roles != nil {
				n.authority.Store(row.roles.authority(t))
			}
			k := n.member(0, TransportTCP)
			victim := n.member(0, TransportTCP)
			if row.local {
				k = n.operator(0, TransportTCP)
			}
			if row.token != "" {
				k.becomes(row.token)
			}
			victim.joins(topic.Publish, topic.Options{})
			n.settle()
			hears(k)
			k.inquire(name, `{"serviceId":"`+victim.id.String()+`"`+more+`}`)
			n.settle()
			for n.backgroundJob() {
				n.settle()
			}
			got := k.lastCode()
			acted := victim.left() || victim.muted() || len(victim.subs.all()) == 0 || drains > 0
			if want := map[bool]string{true: "success", false: "FORBIDDEN"}[row.may]; got != want ||
				acted != row.may {
				t.Errorf("%s, %s: %s, acted %v", row.name, name, got, acted)
			}
		}
	}
}

// Orders that say nothing useful are refused, and say which field it is.
func TestOrderFields(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	n.operators = true
	k := n.operator(0, TransportTCP)
	id := `"serviceId":"` + k.id.String() + `"`
	for _, row := range []struct{ topic, payload, field string }{
		{"connection.kick", `{}`, "serviceId"},
		{"connection.kick", `{"serviceId":"x"}`, "serviceId"},
		{"connection.kick", `{"serviceId":null}`, "serviceId"},
		{"connection.kick", `{` + id + `,"reason":1}`, "reason"},
		{"connection.kick", `{` + id + `,"reason":"` + strings.Repeat("é", 201) + `"}`, "reason"},
		{"connection.mute", `{` + id + `}`, "durationMs"},
		{"connection.mute", `{` + id + `,"durationMs":-1}`, "durationMs"},
		{"connection.mute", `{` + id + `,"durationMs":1.5}`, "durationMs"},
		{"connection.mute", `{` + id + `,"durationMs":"1"}`, "durationMs"},
		{"connection.mute", `{` + id + `,"durationMs":null}`, "durationMs"},
		{"connection.mute", `{` + id + `,"durationMs":86400001}`, "durationMs"},
		{"connection.unsubscribe", `{` + id + `}`, "topic"},
		{"connection.unsubscribe", `{` + id + `,"topic":"a..b"}`, "topic"},
		{"connection.unsubscribe", `{` + id + `,"topic":"a","action":"x"}`, "action"},
		{"node.drain", `{"rate":0}`, "rate"},
		{"node.drain", `{"rate":1,"cancel":true}`, "rate"},
		{"node.drain", `{"cancel":1}`, "cancel"},
	} {
		k.inquire("system."+row.topic, row.payload)
		got := k.answer()
		if !strings.Contains(got, `"INVALID_REQUEST"`) ||
			!strings.Contains(got, `"field":"`+row.field+`"`) {
			t.Errorf("%s %s: %s", row.topic, row.payload, got)
		}
	}
}

// Why a connection is closed is the last that it is told: what it has lost until then comes before.
func TestDismissedLast(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	k := n.connect(0, TransportTCP)
	n.settle()
	k.messages()
	k.loop.call(func(*Loop) { k.Conn.noteAcross(3) })
	n.begin(k, kickOrder(""))
	n.settle()
	var got []string
	for _, m := range k.messages() {
		got = append(got, string(m.Topic))
	}
	if want := "[system.dropped error]"; fmt.Sprint(got) != want {
		t.Errorf("it was told %v, want %v", got, want)
	}
}
