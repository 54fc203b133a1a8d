package blackbox

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// rateTested is the limit of every test here, in messages per second.
const rateTested = 20

// try publishes once and returns the error, nil when it was taken. To nobody: a publish that passes
// the limits comes back as NO_ROUTE_FOUND.
func (c *client) try(topic string) *errorBody {
	c.t.Helper()
	id := uuid.NewString()
	c.send("publish:"+topic+":1.0.0:"+id, "x")
	m := c.await("an answer", func(m message) bool { return m.Action == "response" && m.ID == id })
	m.mustHead(c.t, "response:"+topic+":1.0.0:"+id)
	e := m.fault(c.t)
	if e.Code == "NO_ROUTE_FOUND" {
		return nil
	}
	return &e
}

// exhaust publishes on the topics in turn, by the clients in turn, until one is over the limit; it
// returns who, on what, and how many ms later that may try again.
func exhaust(
	t *testing.T, scope string, clients []*client, topics ...string,
) (who *client, topic string, wait time.Duration) {
	t.Helper()
	start := time.Now()
	for passed := 0; ; passed++ {
		who, topic = clients[passed%len(clients)], topics[passed%len(topics)]
		e := who.try(topic)
		if e == nil {
			if most := rateTested + 1 + int(time.Since(start).Seconds()*rateTested); passed > most {
				t.Fatalf("%d passed, at most %d may have", passed, most)
			}
			continue
		}
		ms, _ := e.Details["retryAfterMs"].(float64)
		if e.Code != "RATE_LIMIT_EXCEEDED" || e.Details["scope"] != scope ||
			e.Details["limit"] != float64(rateTested) || ms < 1 || ms > 1000 {
			t.Fatalf("got %+v, want scope %s", e, scope)
		}
		if passed < rateTested-5 { // what subscribing and connecting took
			t.Fatalf("only %d passed, the burst is %d", passed, rateTested)
		}
		return who, topic, time.Duration(ms) * time.Millisecond
	}
}

// checkLimit exhausts a limit and holds what is true of every one:
// heartbeats pass, who waits as told passes.
func checkLimit(t *testing.T, n *node, scope string, clients []*client, topics ...string) {
	t.Helper()
	who, topic, _ := exhaust(t, scope, clients, topics...)
	for range 3 * rateTested {
		who.ok("system.heartbeat", "")
	}
	for range 10 { // again from over the limit, wherever the clock stands
		_, _, wait := exhaustAgain(t, scope, who, topic)
		time.Sleep(wait) // it is the time that is tested
		if e := who.try(topic); e != nil {
			t.Fatalf("it waited %v and got %+v", wait, e)
		}
	}
	if n.counter(t, "mb_messages_limited_total") < 1 {
		t.Error("nothing was counted")
	}
}

// exhaustAgain is exhaust for a bucket that is nearly empty.
func exhaustAgain(
	t *testing.T, scope string, who *client, topic string,
) (*client, string, time.Duration) {
	t.Helper()
	for range 10_000 {
		if e := who.try(topic); e != nil {
			ms, _ := e.Details["retryAfterMs"].(float64)
			if e.Details["scope"] != scope {
				t.Fatalf("got %+v, want scope %s", e, scope)
			}
			return who, topic, time.Duration(ms) * time.Millisecond
		}
	}
	t.Fatal("10,000 passed")
	return nil, "", 0
}

// The whole node: every sender counts, system requests too.
func TestOverload_RateOfNode(t *testing.T) {
	settings := []string{"rate.limit.global.total=20"}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		a, b := n.dial(t, transport), n.dial(t, transport)
		checkLimit(t, n, "node", []*client{a, b}, "rate.a", "rate.b")
		exhaustAgain(t, "node", b, "rate.c")
		limited := false
		for range 10_000 {
			if e := a.call("system.topic.list", ""); !limited && e.object(t)["error"] != nil {
				limited = e.fault(t).Code == "RATE_LIMIT_EXCEEDED"
			}
			if limited {
				break
			}
		}
		if !limited {
			t.Error("system requests are not limited")
		}
	})
}

// One service: the others have limits of their own.
func TestOverload_RateOfService(t *testing.T) {
	settings := []string{"rate.limit.global.per.service=20"}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		a, b := n.dial(t, transport), n.dial(t, transport)
		checkLimit(t, n, "service", []*client{a}, "rate.a", "rate.b")
		exhaustAgain(t, "service", a, "rate.a")
		for range rateTested {
			if e := b.try("rate.a"); e != nil {
				t.Fatalf("the other service got %+v", e)
			}
		}
	})
}

// One topic, all services together, in any spelling;
// another topic is another bucket, and system topics are none.
func TestOverload_RateOfTopic(t *testing.T) {
	settings := []string{"rate.limit.global.per.topic=20"}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		a, b := n.dial(t, transport), n.dial(t, transport)
		checkLimit(t, n, "topic", []*client{a, b}, "rate.shared", "Rate.Shared")
		exhaustAgain(t, "topic", a, "rate.shared")
		for range rateTested {
			if e := a.try("rate.other"); e != nil {
				t.Fatalf("the other topic got %+v", e)
			}
		}
		for range 3 * rateTested {
			b.ok("system.topic.list", "")
		}
		id := uuid.NewString()
		exhaustAgain(t, "topic", b, "rate.shared")
		limited := false
		for range 10_000 { // requests fill the same bucket
			b.send("request:rate.shared:1.0.0:"+id, "")
			m := b.expect("response:rate.shared:1.0.0:" + id)
			if limited = m.fault(t).Code == "RATE_LIMIT_EXCEEDED"; limited {
				break
			}
		}
		if !limited {
			t.Error("requests are not limited")
		}
	})
}

// A pattern for one service: all matching topics together, each service for itself.
func TestOverload_RateOfPattern(t *testing.T) {
	settings := []string{"rate.limit.topic.per.service.rate.#=20"}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		a, b := n.dial(t, transport), n.dial(t, transport)
		checkLimit(t, n, "pattern", []*client{a}, "rate.a", "rate.b.c")
		exhaustAgain(t, "pattern", a, "rate.b.c")
		for range rateTested {
			if e := a.try("free.a"); e != nil {
				t.Fatalf("a topic that does not match got %+v", e)
			}
			if e := b.try("rate.a"); e != nil {
				t.Fatalf("the other service got %+v", e)
			}
		}
	})
}

// A message over one limit takes nothing from the others: with a narrow and a wide pattern, what
// the narrow one refuses leaves the wide one as it was.
func TestOverload_RateAllOrNothing(t *testing.T) {
	settings := []string{
		"rate.limit.topic.per.service.rate.+=20", "rate.limit.topic.per.service.#=400",
	}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		exhaust(t, "pattern", []*client{c}, "rate.a")
		refused := 0
		for start := time.Now(); refused < 1000; {
			if c.try("rate.b") != nil {
				refused++
			}
			if time.Since(start) > patience {
				t.Fatalf("%d messages in %v", refused, patience)
			}
		}
		for range 200 {
			if e := c.try("other.topic"); e != nil {
				t.Fatalf("the wide limit got %+v", e)
			}
		}
	})
}

// A limited message is not routed.
func TestOverload_RateIsNotRouted(t *testing.T) {
	settings := []string{"rate.limit.global.per.topic=20"}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		publisher, subscriber := n.dial(t, transport), n.dial(t, transport)
		subscriber.subscribe("publish", "rate.test")
		taken := 0
		for range 5 * rateTested {
			id := uuid.NewString()
			publisher.send("publish:rate.test:1.0.0:"+id, "x")
			if publisher.expect("response:rate.test:1.0.0:" + id).object(t)["status"] == "success" {
				taken++
			}
		}
		if taken == 5*rateTested {
			t.Fatal("nothing was limited")
		}
		subscriber.settle()
		if got := len(subscriber.backlog); got != taken {
			t.Errorf("%d taken, %d delivered", taken, got)
		}
	})
}
