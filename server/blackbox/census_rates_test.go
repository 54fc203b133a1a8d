package blackbox

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// total is how many messages a rate of /topicz stands for.
func total(answer, row map[string]any, rate string) float64 {
	return row[rate].(float64) * answer["rateSeconds"].(float64)
}

// topicRow is a row of an answer of /topicz.
func topicRow(t *testing.T, answer map[string]any, topic string) map[string]any {
	t.Helper()
	for _, row := range answer["topics"].([]any) {
		if row := row.(map[string]any); row["topic"] == topic {
			return row
		}
	}
	t.Fatalf("no %s in %v", topic, answer)
	return nil
}

// What /topicz says of a second is what was sent in it: of a pattern what that matches, whether it
// is for publishes or requests, of a level what is below it too; on every loop.
func TestTopicRates(t *testing.T) {
	n := startNode(t, "loops=2")
	service := n.dial(t, overTCP)
	for _, pattern := range []string{"orders.#", "orders.+.late", "orders.new", "bills.paid"} {
		service.subscribe("publish", pattern)
	}
	service.subscribe("request", "orders.ask")
	before := n.see(t, "/topicz?flat=true")

	const many = 40
	for range 4 { // some are on each loop
		c := n.dial(t, overWS)
		for i := range many {
			c.send("publish:orders.new:1.0.0", "x")
			c.send("publish:Orders.n1.Late:1.0.0", "x") // in whatever case
			if i%2 == 0 {
				c.send("publish:bills.paid:1.0.0", "x")
			}
		}
		c.send("request:orders.ask:1.0.0:"+idA, "x")
		c.send("publish:nobody.home:1.0.0", "x")
		c.settle()
	}
	var answer map[string]any
	eventually(t, "a second has passed", func() bool { // for so long the answer is the same
		answer = n.see(t, "/topicz?flat=true")
		return topicRow(t, answer, "orders.new")["publishRate"] != 0.0
	})
	if s := answer["rateSeconds"].(float64); s < 1 || answer["forgottenRate"] != 0.0 {
		t.Errorf("over %v s, without %v", s, answer["forgottenRate"])
	}
	want := func(answer map[string]any, topic string, published, asked float64) {
		t.Helper()
		row := topicRow(t, answer, topic)
		p, r := total(answer, row, "publishRate"), total(answer, row, "requestRate")
		if math.Abs(p-published) > 0.4 || math.Abs(r-asked) > 0.4 { // three decimals are told
			t.Errorf("%s: %v published, %v requested; want %v, %v", topic, p, r, published, asked)
		}
	}
	want(answer, "orders.#", 4*2*many, 4)
	want(answer, "orders.+.late", 4*many, 0)
	want(answer, "orders.new", 4*many, 0)
	want(answer, "orders.ask", 0, 4)
	want(answer, "bills.paid", 4*many/2, 0)
	tree := n.see(t, "/topicz")
	want(tree, "orders", 4*2*many, 4)
	want(tree, "bills", 4*many/2, 0)
	if p := topicRow(t, before, "orders.new")["publishRate"]; p != 0.0 {
		t.Errorf("before: %v", p)
	}
}

// /servicez says how long each service takes for its answers; one that gives none in time took as
// long as it was waited for. Who serves nothing has no times.
func TestServiceTimes(t *testing.T) {
	n := startNode(t)
	service, mute, client := n.dial(t, overTCP), n.dial(t, overWS), n.dial(t, overTCP)
	service.ok("system.service.register", `{"name":"clock","description":"tells the time"}`)
	service.subscribe("request", "time.now")
	mute.subscribe("request", "time.never")
	const many, takes = 10, 20 * time.Millisecond
	for i := range many {
		client.send("request:time.now:1.0.0:"+idA, "x")
		asked := service.await("the request", func(m message) bool {
			return m.Topic == "time.now" && m.Action == "request"
		})
		if i == 0 {
			time.Sleep(takes)
		}
		service.send("response:time.now:1.0.0:"+asked.ID, "x")
		client.expect("response:time.now:1.0.0:" + idA)
	}
	client.send("request:time.never:1.0.0:"+idB+"::25", "x")
	client.expectFault("response:time.never:1.0.0:"+idB, "TIMEOUT")

	rows := n.rows(t, "/servicez?sort=answerP50Ms", "services")
	if len(rows) != 2 || rows[0]["id"] != mute.id {
		t.Fatalf("the slowest is not the first: %v", rows)
	}
	p50, p99 := rows[1]["answerP50Ms"].(float64), rows[1]["answerP99Ms"].(float64)
	if rows[1]["answers"] != float64(many) || p50 <= 0 || p50 >= p99 || p99 < 20 {
		t.Errorf("of %v answers half within %v, most within %v ms", rows[1]["answers"], p50, p99)
	}
	if p := rows[0]["answerP50Ms"].(float64); rows[0]["answers"] != 1.0 || p < 25 {
		t.Errorf("who gives none in time: %v", rows[0])
	}
	if d := n.see(t, "/connz/"+client.id); d["answers"] != 0.0 || d["answerP99Ms"] != 0.0 {
		t.Errorf("who serves nothing: %v", fmt.Sprint(d))
	}
}
