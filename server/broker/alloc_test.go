package broker

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"mbserver/codec"
	"mbserver/server/metrics"
)

// holdAtZero fails when f allocates once everything has grown to its size. The race detector
// allocates, too: what is left to see under it, that f works, 50 times show.
func holdAtZero(t *testing.T, f func()) {
	t.Helper()
	grow, runs := 300, 1000
	if raceEnabled {
		grow, runs = 10, 50
	}
	for range grow {
		f()
	}
	if n := testing.AllocsPerRun(runs, f); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

// quiet lets the clients' sockets take everything and keep nothing.
func quiet(clients ...*testClient) {
	for _, k := range clients {
		k.messages()
		k.sock.discard = true
	}
}

// again returns a function that lets the same bytes arrive at k as often as it is called: unmasking
// overwrites them.
func (k *testClient) again(msg string) func() {
	frame := k.frame([]byte(msg), true)
	in := make([]byte, len(frame))
	return func() {
		copy(in, frame)
		k.arrive(in)
	}
}

// subscribers connects count clients on loop and subscribes them to topic.
func (n *testNode) subscribers(count, loop int, tr Transport, action, topic string) []*testClient {
	var ks []*testClient
	for range count {
		k := n.connect(loop, tr)
		k.send("request:system.topic.subscribe:1.0.0\n" +
			`{"action":"` + action + `","topic":"` + topic + `"}`)
		ks = append(ks, k)
	}
	n.settle()
	return ks
}

// sent returns how many messages the node has handed to its connections.
func (n *testNode) sent() (total uint64) {
	for _, l := range n.loops {
		total += l.counts[metrics.Sent]
	}
	return total
}

const testRequestID = "6a1b2c3d-0000-4000-8000-000000000001"

func TestPublishAllocations(t *testing.T) {
	payload := strings.Repeat("x", 128)
	for _, large := range []bool{false, true} {
		if large {
			payload = strings.Repeat("x", 8<<10)
		}
		for _, tr := range []Transport{TransportTCP, TransportWS} {
			for _, count := range []int{1, 10, 100} {
				for _, id := range []string{"", ":" + testRequestID} {
					for _, loops := range []int{1, 2} {
						name := fmt.Sprintf("%s/subscribers=%d/acked=%v/loops=%d/bytes=%d",
							tr, count, id != "", loops, len(payload))
						t.Run(name, func(t *testing.T) {
							n := newTestNode(t, 1, loops, nil)
							ks := n.subscribers(count, loops-1, tr, "publish", "a.b")
							p := n.connect(0, tr)
							n.settle()
							quiet(append(ks, p)...)
							publish := p.again("publish:a.b:1.0.0" + id + "\n" + payload)
							before, runs := n.sent(), uint64(0)
							holdAtZero(t, func() { publish(); n.settle(); runs++ })
							each := uint64(count)
							if id != "" {
								each++
							}
							if got := n.sent() - before; got != runs*each {
								t.Errorf("%d messages of %d", got, runs*each)
							}
						})
					}
				}
			}
		}
	}
}

func TestRequestAllocations(t *testing.T) {
	for _, tr := range []Transport{TransportTCP, TransportWS} {
		for _, loops := range []int{1, 2} {
			for _, id := range []string{"", ":" + testRequestID} {
				t.Run(fmt.Sprintf("%s/loops=%d/id=%v", tr, loops, id != ""), func(t *testing.T) {
					n := newTestNode(t, 1, loops, nil)
					s := n.subscribers(1, loops-1, tr, "request", "a.b")[0]
					c := n.connect(0, tr)
					n.settle()
					quiet(s, c)
					request := c.again("request:a.b:1.0.0" + id + "\nask")
					var frame, in []byte
					before, runs := n.sent(), uint64(0)
					holdAtZero(t, func() {
						request()
						n.settle()
						frame = append(frame[:0], "response:a.b:1.0.0:"...)
						frame = s.openEntry().id.Append(frame)
						frame = append(frame, "\nanswer"...)
						if tr == TransportWS {
							in = codec.AppendWSFrame(in[:0], codec.Text, [4]byte{1, 2, 3, 4}, frame)
						} else {
							in = append(codec.AppendTCPHeader(in[:0], len(frame)), frame...)
						}
						s.loop.begin()
						s.Conn.receive(in, math.MaxInt, math.MaxInt)
						n.settle()
						runs++
					})
					each := uint64(2)
					if id == "" {
						each = 1 // nobody waits for the answer
					}
					if got := n.sent() - before; got != runs*each || n.outstanding.Load() != 0 {
						t.Errorf("%d messages of %d, %d requests outstanding",
							got, runs*each, n.outstanding.Load())
					}
				})
			}
		}
	}
}

// openEntry returns the newest request that the client is to answer.
func (k *testClient) openEntry() *entry {
	if last := k.Conn.requests.Last(); last != nil {
		return last.Item
	}
	return nil
}

func TestHeartbeatAllocations(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	c := n.connect(0, TransportTCP)
	n.settle()
	quiet(c)
	request := c.again("request:system.heartbeat:1.0.0:" + testRequestID + "\n{}")
	sign := c.again("response:system.heartbeat:1.0.0\n{}")
	before, runs := n.sent(), uint64(0)
	t.Run("sign of life", func(t *testing.T) { holdAtZero(t, func() { sign(); n.settle() }) })
	t.Run("request", func(t *testing.T) { holdAtZero(t, func() { request(); n.settle(); runs++ }) })
	t.Run("asked for", func(t *testing.T) {
		holdAtZero(t, func() {
			n.pass(n.heartbeatRetry + 1)
			sign()
			n.settle()
			runs++
		})
	})
	if got := n.sent() - before; got != runs || c.Conn.state != stateOpen {
		t.Errorf("%d messages of %d, state %d", got, runs, c.Conn.state)
	}
}
