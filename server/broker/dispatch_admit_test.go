package broker

import (
	"fmt"
	"strings"
	"testing"

	"mbserver/server/config"
	"mbserver/server/limit"
	"mbserver/server/metrics"
)

// Loops that have not paid for what they let through exceed a limit they share by a small part of
// it at most.
func TestPassesOfSeveralLoops(t *testing.T) {
	const perSecond = 1000
	for _, loops := range []int{1, 2, 8} {
		n := newTestNode(t, 1, loops, func(cfg *config.Config) { cfg.RateLimit.Total = perSecond })
		clients := make([]*testClient, loops)
		for i := range clients {
			clients[i] = n.connect(i, TransportTCP)
		}
		n.settle()
		n.advance(2000) // the limit is whole again, whatever the clients were told
		quiet(clients...)
		passed := func() (total uint64) {
			for _, l := range n.loops {
				total += l.counts[metrics.Messages] - l.counts[metrics.Limited]
			}
			return total
		}
		before := passed()
		for i, k := range clients {
			publish, count := k.again("publish:a.b:1.0.0\nx"), limit.CreditMax+2
			if i == loops-1 {
				count = 2 * perSecond // it floods, while none of the others' turns has ended
			}
			for range count {
				publish()
			}
		}
		got := int(passed() - before)
		most := perSecond + perSecond/limit.CreditShare
		if got < perSecond || got > most || loops == 1 && got != perSecond {
			t.Errorf("%d loops: %d messages pass, the limit is %d", loops, got, perSecond)
		}
		n.settle()
	}
}

// What cannot be parsed counts for its sender, whatever it looks like; a heartbeat never does.
func TestMalformedIsLimited(t *testing.T) {
	const perSecond = 10
	long := strings.Repeat("x", 600)
	for name, row := range map[string]struct{ msg, topic, first, then string }{
		"header": {"nonsense", "error", "MALFORMED_MESSAGE", "RATE_LIMIT_EXCEEDED"},
		"too long": {"publish:a.b:1.0.0\n" + long, "a.b",
			"MALFORMED_MESSAGE", "RATE_LIMIT_EXCEEDED"},
		"too long for the node": {"request:system.auth:1.0.0\n{\"token\":\"" + long[:300] + "\"}",
			"system.auth", "MALFORMED_MESSAGE", "RATE_LIMIT_EXCEEDED"},
		"heartbeat that is a publish": {"publish:system.heartbeat:1.0.0\n{}", "system.heartbeat",
			"INVALID_REQUEST", "RATE_LIMIT_EXCEEDED"},
		"heartbeat without an object": {"request:system.heartbeat:1.0.0\n[]", "system.heartbeat",
			"MALFORMED_MESSAGE", "RATE_LIMIT_EXCEEDED"},
		"heartbeat of another version": {"response:system.heartbeat:2.0.0\n{}",
			"system.heartbeat", "VERSION_NOT_SUPPORTED", "RATE_LIMIT_EXCEEDED"},
		"heartbeat":        {"request:system.heartbeat:1.0.0\n{}", "system.heartbeat", "", ""},
		"heartbeat's sign": {"response:system.heartbeat:1.0.0\n{}", "", "", ""},
	} {
		for _, tr := range []Transport{TransportTCP, TransportWS} {
			n := newTestNode(t, 1, 1, func(cfg *config.Config) {
				cfg.RateLimit.PerService = perSecond
				cfg.Message.PayloadMaxLength, cfg.System.PayloadMaxLength = 500, 100
			})
			a := n.connect(0, tr)
			n.settle()
			a.messages()
			for range 2 * perSecond {
				a.send(row.msg)
			}
			n.settle()
			counts := make(map[string]int)
			for _, m := range a.messages() {
				code, _, _ := strings.Cut(reasonOf(string(m.payload)), " ")
				counts[string(m.Topic)+" "+code]++
			}
			want := map[string]int{
				row.topic + " " + row.first: perSecond, row.topic + " " + row.then: perSecond,
			}
			switch {
			case row.topic == "":
				want = map[string]int{}
			case row.first == "":
				want = map[string]int{row.topic + " success": 2 * perSecond}
			}
			if got, want := fmt.Sprint(counts), fmt.Sprint(want); got != want {
				t.Errorf("%s, %s: %s, want %s", name, tr, got, want)
			}
		}
	}
}

// The node's own requests have a bound of their own, which tells what it is.
func TestSystemPayloadMax(t *testing.T) {
	n := newTestNode(t, 1, 1, func(cfg *config.Config) { cfg.System.PayloadMaxLength = 100 })
	a := n.connect(0, TransportTCP)
	for length, want := range map[int]string{100: "success", 101: "MALFORMED_MESSAGE"} {
		a.inquire("system.heartbeat", "{"+strings.Repeat(" ", length-2)+"}")
		got := a.answer()
		if reasonOf(got) != want || want != "success" &&
			!strings.Contains(got, `"length":101,"maxLength":100`) {
			t.Errorf("%d bytes: %s", length, got)
		}
	}
	a.send("publish:a.b:1.0.0:" + testRequestID + "\n" + strings.Repeat("x", 1000))
	if got := a.answer(); reasonOf(got) != "NO_ROUTE_FOUND" {
		t.Error(got)
	}
}
