package broker

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mbserver/server/logging"
	"mbserver/topic"
)

// An ended subscription is told; what it alone has put into the ring is taken out, what another of
// the connection's would have too stays; and nothing of it comes afterwards, from any loop.
func TestUnsubscribe(t *testing.T) {
	inBothTransports(t, func(t *testing.T, tr Transport, loops int) {
		for _, many := range []bool{false, true} { // with and without an index
			n := newTestNode(t, 1, loops, nil)
			k := n.subscribers(1, loops-1, tr, "publish", "a.#")[0]
			k.subscribe("request", "a.#")
			k.subscribe("publish", "+.both")
			k.subscribe("publish", "b.#")
			for i := range 2 * indexSubscriptions {
				if many {
					k.subscribe("publish", fmt.Sprintf("z.x%d", i))
				}
			}
			p := n.member(0, TransportTCP)
			hears(k)
			k.sock.unlimited = false
			names := []string{"a.b", "A.Both", "b.c", "a", "a.b.c.d.e"}
			send := func() {
				for _, name := range names {
					p.send("publish:" + name + ":1.0.0\nx")
				}
			}
			send()
			n.settle()
			send() // on their way, when the subscription ends
			is := n.operate(k, unsubscribeOrder(t, "a.#", topic.Publish))
			if is.err != nil || is.ended != 1 {
				t.Fatalf("ended %d, %v", is.ended, is.err)
			}
			send()
			k.unblock(0, true)
			n.settle()
			count := make(map[string]int)
			for i, m := range k.messages() {
				if name := string(m.Topic); i == 0 && loops == 1 && name == "a.b" {
					continue // it had begun to leave
				}
				count[string(m.Topic)]++
				if string(m.Topic) == "system.topic.revoked" &&
					string(m.payload) != `{"action":"publish","topic":"a.#"}` {
					t.Errorf("told %s", m.payload)
				}
			}
			want := map[string]int{"A.Both": 3, "b.c": 3, "system.topic.revoked": 1}
			if fmt.Sprint(count) != fmt.Sprint(want) {
				t.Errorf("many %v: got %v, want %v", many, count, want)
			}
			if !k.serves() {
				t.Error("the one for requests has ended too")
			}
			if is = n.operate(k, unsubscribeOrder(t, "a.#", topic.Publish)); is.ended != 0 ||
				is.err != nil {
				t.Errorf("again: %+v", is)
			}
			if k.outcome("request:system.topic.subscribe:1.0.0:"+testRequestID+"\n"+
				`{"action":"publish","topic":"a.#"}`) != "success" {
				t.Error("it may not subscribe again")
			}
		}
	})
}

// A subscription for requests that ends leaves what is with the service to it; what waits for it
// and nobody else can serve is answered.
func TestUnsubscribeRequests(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	k := n.worker(0, 1, "a.b")
	client := n.member(1, TransportTCP)
	ids := []string{testRequestID[:35] + "1", testRequestID[:35] + "2"}
	for _, id := range ids {
		client.send("request:a.b:1.0.0:" + id + "\nx")
		n.settle()
	}
	is := n.operate(k, unsubscribeOrder(t, "a.b", topic.Publish, topic.Request))
	if is.ended != 1 {
		t.Fatalf("ended %d", is.ended)
	}
	if code, _ := client.expectTopic("response:a.b:1.0.0:" + ids[1]).errorOf(t); code !=
		"NO_ROUTE_FOUND" {
		t.Errorf("what waited: %s", code)
	}
	k.work()
	if got := string(client.expectTopic("response:a.b:1.0.0:" + ids[0]).payload); got != "answer" {
		t.Errorf("what was with it: %s", got)
	}
}

// The log is a subscription too, however it was asked for.
func TestUnsubscribeFromTheLog(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	n.onLine = func(logging.Line, []*service) {}
	k := n.member(0, TransportTCP)
	k.inquire("system.log.subscribe", `{"levels":["info"]}`)
	n.settle()
	for n.backgroundJob() {
		n.settle()
	}
	k.subscribe("publish", "system.log")
	hears(k)
	o := unsubscribeOrder(t, "system.log", topic.Publish, topic.Request)
	if is := n.operate(k, o); is.ended != 2 {
		t.Errorf("ended %d", is.ended)
	}
	if n.logStream.Filter(&k.Conn.service) != nil {
		t.Error("it has its filter")
	}
}

// want says of subscriptions what each pattern says for itself, with an index and without.
func TestWant(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	level := func(wild bool) string {
		if all := []string{"a", "b", "c", "+", "system"}; wild {
			return all[random.IntN(len(all))]
		}
		return []string{"a", "b", "c", "system"}[random.IntN(4)]
	}
	draw := func(wild bool) string {
		levels := make([]string, 1+random.IntN(5))
		for i := range levels {
			levels[i] = level(wild)
		}
		if wild && random.IntN(3) == 0 {
			levels[len(levels)-1] = "#"
		}
		return strings.Join(levels, ".")
	}
	wanted := 0
	for range 300 {
		s := new(subscriptions)
		for range 1 + random.IntN(3*indexSubscriptions) {
			p, err := topic.ParsePattern(draw(true))
			if err != nil {
				t.Fatal(err)
			}
			k := []topic.Kind{topic.Publish, topic.Request}[random.IntN(2)]
			if s.find(p, k) < 0 {
				s.add(subscription{pattern: p, kind: k})
			}
		}
		for range 20 {
			name, want := []byte(draw(false)), false
			for _, sub := range s.list {
				want = want || sub.kind == topic.Publish && sub.pattern.Matches(name)
			}
			if want {
				wanted++
			}
			if s.want(name, topic.Publish) != want {
				t.Fatalf("%s: %v, of %v", name, !want, s.list)
			}
		}
	}
	if wanted < 500 {
		t.Errorf("only %d were wanted", wanted)
	}
}

// What an operator has ended is remembered as that, and not as a permission that was lost.
func TestUnsubscribeIsRemembered(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	k := n.connect(0, TransportTCP)
	k.subscribe("publish", "a.#")
	n.settle()
	k.send("request:system.log.subscribe:1.0.0\n" + `{"level":"error"}`)
	n.settle()
	n.operate(k, unsubscribeOrder(t, "a.#", topic.Publish))
	n.operate(k, unsubscribeOrder(t, "system.log", topic.Publish))
	const ended = "an operator has ended its subscription to publishes on "
	life := n.lifeOf(k)
	if last := life[max(0, len(life)-2):]; len(last) != 2 || last[0] != ended+"a.#" ||
		last[1] != ended+"system.log" {
		t.Errorf("remembered is %q", life)
	}
}
