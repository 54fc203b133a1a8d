package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// simLane is one requester's requests that wait, first in first out.
type simLane struct {
	from *testClient
	keys []string
}

// TestQueueFairness holds the order in which requests leave a queue against a naive one: requesters
// in turn, a new one behind all that wait.
func TestQueueFairness(t *testing.T) {
	seeds := make([]uint64, 50)
	for i := range seeds {
		seeds[i] = uint64(i + 1)
	}
	if *simSeed != 0 {
		seeds = []uint64{*simSeed}
	}
	for _, seed := range seeds {
		resetFault()
		if wrong := queueRun(t, seed); wrong != "" {
			t.Fatalf("%s\nreplay with: %s", wrong, replay("TestQueueFairness", seed))
		}
	}
}

// queueRun says what went wrong, or nothing.
func queueRun(t *testing.T, seed uint64) string {
	random := rand.New(rand.NewPCG(seed, 4))
	ids := testIDs{random}
	n := newTestNode(t, seed, 1+random.IntN(3), nil)
	place := func() int { return random.IntN(len(n.loops)) }
	target := n.connect(place(), TransportTCP)
	target.send("request:system.service.register:1.0.0\n" +
		`{"name":"one","description":"at a time","maxConcurrent":1}`)
	target.send("request:system.topic.subscribe:1.0.0\n" + `{"action":"request","topic":"a.b"}`)
	requesters := make([]*testClient, 2+random.IntN(4))
	for i := range requesters {
		requesters[i] = n.connect(place(), TransportTCP)
	}
	n.settle()
	target.messages()
	var lanes []*simLane
	serving, masked, asked := "", "", 0
	for step := range 300 {
		i := random.IntN(len(requesters))
		from := requesters[i]
		lane := slices.IndexFunc(lanes, func(ln *simLane) bool { return ln.from == from })
		switch dice := random.IntN(100); {
		case dice < 55:
			asked++
			key := fmt.Sprintf("%d of %d", asked, i)
			from.send("request:A.b:1.0.0:" + ids.next() + "\n" + key)
			switch {
			case serving == "":
				serving = key
			case lane < 0:
				lanes = append(lanes, &simLane{from, []string{key}})
			default:
				lanes[lane].keys = append(lanes[lane].keys, key)
			}
		case dice < 97:
			if masked == "" {
				continue
			}
			target.send("response:a.b:1.0.0:" + masked + "\nanswer")
			if serving, masked = "", ""; len(lanes) > 0 {
				first := lanes[0]
				serving, first.keys = first.keys[0], first.keys[1:]
				if lanes = lanes[1:]; len(first.keys) > 0 {
					lanes = append(lanes, first)
				}
			}
		default:
			from.hangUp(true)
			from.sock.closed = true
			requesters[i] = n.connect(place(), TransportTCP)
			if lane >= 0 {
				lanes = slices.Delete(lanes, lane, lane+1)
			}
		}
		n.settle()
		for _, m := range target.messages() {
			if got := string(m.payload); got != serving || masked != "" {
				return fmt.Sprintf("step %d: the service is asked %q, the turn is that of %q",
					step, got, serving)
			}
			masked = strings.ToLower(string(m.RequestID))
		}
		if (serving != "") != (masked != "") {
			return fmt.Sprintf("step %d: the service is not asked %q", step, serving)
		}
	}
	return ""
}
