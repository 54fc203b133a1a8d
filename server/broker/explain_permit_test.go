package broker

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mbserver/server/auth"
	"mbserver/server/permit"
)

// explainCast is a node on which everybody has a name of his own, and everything that he may do.
type explainCast struct {
	n     *testNode
	roles map[string]permit.Role
	of    map[string]*testClient
}

// newExplainCast makes a node with those roles; an identity has the role of its name.
func newExplainCast(t *testing.T, loops int, roles map[string]permit.Role) *explainCast {
	t.Helper()
	src := permit.Source{Roles: roles, Identities: map[string][]string{}}
	var known auth.Source
	for name := range roles {
		src.Identities[name] = []string{name}
		known.Tokens = append(known.Tokens, auth.Token{Identity: name, SHA256: auth.Hash(name)})
	}
	policy, err := permit.Compile(src)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.New(known)
	if err != nil {
		t.Fatal(err)
	}
	n := newTestNode(t, 1, loops, nil)
	n.Desk.do = func(f func()) { f() }
	n.authority.Store(&Authority{Verifier: verifier, Policy: policy})
	return &explainCast{n: n, roles: roles, of: map[string]*testClient{}}
}

// connect is a connection of an identity.
func (x *explainCast) connect(name string, loop int) *testClient {
	k := x.n.connect(loop, TransportTCP)
	k.becomes(name)
	x.n.settle()
	k.messages()
	return k
}

// raw is the whole answer to a question, without what differs in each.
func (k *testClient) raw(payload string) string {
	k.node.t.Helper()
	k.send("request:system.explain:1.0.0:" + explainID + "\n" + payload)
	k.node.settle()
	for _, m := range k.messages() {
		if string(m.RequestID) == explainID {
			return string(m.payload)
		}
	}
	k.node.t.Fatal("there is no answer")
	return ""
}

// TestExplainShowsWhatMayBeSeen: whoever asks is shown the fate of a message when he has sent it or
// may subscribe, request or respond on its topic, and otherwise exactly what he is shown of an ID
// that there never was; IDs and patterns of others only with the word for connections.
func TestExplainShowsWhatMayBeSeen(t *testing.T) {
	const unknown = `{"requestId":"00000000-0000-4000-8000-00000000dead"}`
	topics := []string{"a.x", "b.x", "c.x"}
	shown, hidden := 0, 0
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		roles := map[string]permit.Role{}
		names := []string{"anna", "bert", "carl", "dora"}
		for _, name := range names {
			var role permit.Role
			for v := range role.Verbs {
				for _, topic := range topics {
					if r.IntN(3) == 0 {
						role.Verbs[v].Allow = append(role.Verbs[v].Allow, topic[:2]+"#")
					}
				}
			}
			role.System = []string{"explain"}
			if r.IntN(2) == 0 {
				role.System = append(role.System, "connection")
			}
			roles[name] = role
		}
		roles["root"] = asking("#")
		x := newExplainCast(t, 1+int(seed%2), roles)
		n := x.n
		last := len(n.loops) - 1
		root := x.connect("root", 0)
		root.subscribe("publish", "+.x")
		if e := root.explain(`{"armMs":600000,"topic":"#"}`); e.Error != nil {
			t.Fatal(e.Error)
		}
		for i := range 12 {
			sender, topic := names[r.IntN(len(names))], topics[r.IntN(len(topics))]
			from := x.connect(sender, r.IntN(last+1))
			id := fmt.Sprintf("5e0c0000-0000-4000-8000-%012d", i)
			verb := permit.Publish
			if r.IntN(2) == 0 {
				verb = permit.Request
			}
			from.send(verb.String() + ":" + topic + ":1.0.0:" + id + "\nx")
			n.settle()
			if from.messages(); !root.explain(`{"requestId":"` + id + `"}`).Found {
				t.Fatal("who may see everything does not find it")
			}
			for _, name := range names {
				asks := x.connect(name, r.IntN(last+1))
				allow := func(v permit.Verb) bool {
					return anyOf(roles[name].Verbs[v].Allow, topic)
				}
				may := name == sender || allow(permit.Subscribe) || allow(permit.Request) ||
					allow(permit.Respond)
				question := `{"requestId":"` + id + `"}`
				answer := asks.raw(question)
				if found := strings.Contains(answer, `"found":true`); found != may {
					t.Fatalf("seed %d: %s asks for %s's %s on %s, whose roles are %+v: %s",
						seed, name, sender, verb, topic, roles[name], answer)
				}
				if !may {
					if hidden++; answer != asks.raw(unknown) {
						t.Fatalf("what may not be seen differs from what is not there: %s", answer)
					}
					continue
				}
				shown++
				whose := strings.Contains(answer, `"serviceId"`)
				if whose = whose || strings.Contains(answer, `"pattern"`); whose !=
					(len(roles[name].System) == 2) {
					t.Fatalf("%s is told of others' connections: %v: %s", name, whose, answer)
				}
				asks.hangUp(true)
			}
		}
	}
	if shown < 100 || hidden < 100 {
		t.Errorf("%d were shown, %d hidden: that is no test", shown, hidden)
	}
}

// anyOf says whether a topic begins as one of some patterns that end with a level open.
func anyOf(patterns []string, topic string) bool {
	for _, p := range patterns {
		if strings.HasPrefix(topic, strings.TrimSuffix(p, "#")) {
			return true
		}
	}
	return false
}

// Whoever lacks a word is refused what it is for.
func TestExplainNeedsWords(t *testing.T) {
	role := func(words ...string) permit.Role {
		r := may("a.#")
		r.System = words
		return r
	}
	x := newExplainCast(t, 1, map[string]permit.Role{
		"none": may("a.#"), "asks": role("explain"), "sees": role("explain", "connection"),
		"rules": role("explain", "admin"), "other": may("b.#"),
	})
	x.connect("other", 0)
	code := func(e explained) string {
		if e.Error == nil {
			return ""
		}
		return e.Error.Code
	}
	const mine, service = `{"topic":"a.x"}`, `{"armMs":1,"serviceId":"` + explainID + `"}`
	for _, c := range []struct{ who, payload, want string }{
		{"none", mine, "FORBIDDEN"},
		{"none", `{"requestId":"` + explainID + `"}`, "FORBIDDEN"},
		{"none", `{"armMs":1,"topic":"a.x"}`, "FORBIDDEN"},
		{"asks", mine, ""},
		{"asks", `{"topic":"a.x","identity":"asks"}`, ""},
		{"asks", `{"topic":"a.x","identity":"other"}`, "FORBIDDEN"},
		{"asks", `{"topic":"a.x","identity":""}`, "FORBIDDEN"},
		{"sees", `{"topic":"a.x","identity":"other"}`, "FORBIDDEN"},
		{"rules", `{"topic":"a.x","identity":"other"}`, ""},
		{"asks", service, "FORBIDDEN"},
		{"sees", service, ""},
		{"asks", `{"armMs":1,"topic":"a.x"}`, ""},
	} {
		if got := code(x.connect(c.who, 0).explain(c.payload)); got != c.want {
			t.Errorf("%s asks %s: %q, want %q", c.who, c.payload, got, c.want)
		}
	}
	rules := x.connect("rules", 0)
	for identity, want := range map[string]string{
		"other": "forbidden publish", "sees": "unrouted", "nobody": "forbidden publish",
		"anonymous": "forbidden publish",
	} {
		e := rules.explain(`{"topic":"a.x","identity":"` + identity + `"}`)
		if said := e.said(); len(said) != 2 || said[1] != want {
			t.Errorf("of %s is said %q, want %q", identity, said, want)
		}
	}
	asks := x.connect("asks", 0)
	asks.send("request:system.topic.subscribe:1.0.0\n" + `{"action":"publish","topic":"a.#"}`)
	x.connect("sees", 0).send(
		"request:system.topic.subscribe:1.0.0\n" + `{"action":"publish","topic":"a.+"}`)
	x.n.settle()
	asks.messages()
	own, others := 0, 0
	for _, s := range asks.explain(mine).Stops {
		switch {
		case s.Stop != "matched":
		case s.ServiceID == asks.id.String() && s.Pattern == "a.#":
			own++
		case s.ServiceID == "" && s.Pattern == "":
			others++
		}
	}
	if own != 1 || others != 1 {
		t.Errorf("of its own subscriptions %d are told, of others' %d without a name", own, others)
	}
}

// Turns that a question takes do not tell whether there is a message that the asker may not see.
func TestExplainTakesAsLongForWhatIsHidden(t *testing.T) {
	x := newExplainCast(t, 2, map[string]permit.Role{
		"root": asking("#"), "asks": {System: []string{"explain"}},
	})
	n, root, asks := x.n, x.connect("root", 0), x.connect("asks", 1)
	if e := root.explain(`{"armMs":600000,"topic":"#"}`); e.Error != nil {
		t.Fatal(e.Error)
	}
	const hidden, unknown = "5e0c0000-0000-4000-8000-000000000001",
		"5e0c0000-0000-4000-8000-000000000002"
	root.send("publish:a.x:1.0.0:" + hidden + "\nx")
	n.settle()
	turns := func(id string) (count int) {
		asks.send("request:system.explain:1.0.0:" + explainID + "\n" + `{"requestId":"` + id + `"}`)
		for busy := true; busy; {
			busy = n.backgroundJob()
			for i, d := range n.drivers {
				if d.scheduled {
					busy = true
					count++
					n.run(i)
				}
			}
		}
		if got := len(asks.messages()); got != 1 {
			t.Fatalf("%d answers", got)
		}
		return count
	}
	if of, none := turns(hidden), turns(unknown); of != none {
		t.Errorf("what may not be seen takes %d turns, what is not there %d", of, none)
	}
}
