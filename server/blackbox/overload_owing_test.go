package blackbox

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// owed is a kind of message to which every client gets an answer of its own. The number of the
// message is in the answer's ID where there is one.
type owed struct {
	name    string
	count   int
	message func(i int) string
	prepare func(t *testing.T, n *node)
}

func owedID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

func owedKinds() []owed {
	none := func(*testing.T, *node) {}
	return []owed{
		{"unrouted publish", 50_000, func(i int) string {
			return "publish:owing.nobody:1.0.0:" + owedID(i) + "\nx"
		}, none},
		{"acknowledged publish", 20_000, func(i int) string {
			return "publish:owing.ack:1.0.0:" + owedID(i) + "\nx"
		}, func(t *testing.T, n *node) {
			c := n.dial(t, overTCP)
			c.subscribe("publish", "owing.ack")
			go func() { // until the test closes it
				for err := error(nil); err == nil; {
					_, err = c.tryFresh()
				}
			}()
		}},
		{"system request", 20_000, func(i int) string {
			return "request:system.topic.list:1.0.0:" + owedID(i) + "\n{}"
		}, none},
		{"heartbeat", 20_000, func(i int) string {
			return "request:system.heartbeat:1.0.0:" + owedID(i) + "\n{}"
		}, none},
		{"malformed", 20_000, func(int) string { return "nonsense" }, none},
		{"own request", 20_000, func(i int) string {
			return "request:owing.echo:1.0.0:" + owedID(i) + "\nx"
		}, func(t *testing.T, n *node) {
			c := n.dial(t, overTCP)
			c.subscribe("request", "owing.echo")
			go func() { // one thread: it reads one and writes one
				for {
					m, err := c.tryFresh()
					if err != nil {
						return
					}
					answer := "response:" + m.Topic + ":1.0.0:" + m.ID + "\n" +
						strings.Repeat("y", 100)
					if c.peer.Send([]byte(answer)) != nil {
						return
					}
				}
			}()
		}},
	}
}

// sendAll sends all messages without waiting for answers.
func (k *owed) sendAll(p peer) error {
	for i := range k.count {
		if err := p.Send([]byte(k.message(i))); err != nil {
			return fmt.Errorf("%s %d: %w", k.name, i, err)
		}
	}
	return nil
}

// owingSettings make a ring small, so that little has to be sent.
var owingSettings = []string{
	"connection.outbound.bytes=65536", "max.outstanding.requests=100000",
	"max.outstanding.perService=64", "max.queued.perTopic=100000",
	"request.response.timeout.default=600000",
}

// Who causes answers faster than it reads them is slowed, not cut, and gets every one of them.
func TestS9_AnswersSlowTheirReader(t *testing.T) {
	t.Parallel()
	for _, settings := range [][]string{nil, pausing(2000)} {
		for _, kind := range owedKinds() {
			for _, transport := range transports {
				name := fmt.Sprintf("%s over %s, %d settings", kind.name, transport, len(settings))
				t.Run(name, func(t *testing.T) {
					n := startNode(t, append(settings, owingSettings...)...)
					testOwing(t, n, kind, transport)
				})
			}
		}
	}
}

func testOwing(t *testing.T, n *node, kind owed, transport string) {
	kind.prepare(t, n)
	c := n.narrow(t, transport)
	sent := make(chan error, 1)
	go func() { sent <- kind.sendAll(c.peer) }()
	eventually(t, "it is not read", func() bool {
		return n.counter(t, "mb_connections_owing") == 1
	})
	seen := make(map[string]bool)
	for i := range kind.count {
		m, err := c.tryFresh()
		if err != nil {
			t.Fatalf("after %d answers: %v", i, err)
		}
		if m.Action != "response" {
			t.Fatalf("got %v", m)
		}
		if m.ID != "" && seen[m.ID] {
			t.Fatalf("answered twice: %v", m)
		}
		seen[m.ID] = true
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	c.none()
	if got := n.counter(t, "mb_connections_owing"); got != 0 {
		t.Errorf("%d connections are not read for their answers", got)
	}
}

// Who takes none of its answers for connection.stallTimeout is closed, and the log names the key.
func TestS9_AnswersThatNobodyReads(t *testing.T) {
	perPlain(t, append([]string{"connection.stallTimeout=300"}, owingSettings...),
		func(t *testing.T, n *node, transport string) {
			kind := owedKinds()[0]
			c := n.narrow(t, transport)
			sent := make(chan error, 1)
			go func() { sent <- kind.sendAll(c.peer) }()
			eventually(t, "it is closed", func() bool {
				return n.counter(t, "mb_connections_stalled_total") == 1
			})
			t.Log("sending ended with", <-sent) // its own system may have taken all
			for err := error(nil); err == nil; {
				_, err = c.tryFresh() // what was on its way
			}
			eventually(t, "a line of the log", func() bool {
				return strings.Count(n.out.String(), "connection.stallTimeout") == 1
			})
			if got := n.counter(t, "mb_connections_owing"); got != 0 {
				t.Errorf("%d connections are not read for their answers", got)
			}
		})
}

// Who is not read is not silent: other connections are closed for their silence meanwhile.
func TestS9_UnreadIsNotSilent(t *testing.T) {
	settings := append(owingSettings[:len(owingSettings):len(owingSettings)],
		"connection.heartbeatRetryTimeout=200", "connection.heartbeatDeregisterTimeout=400")
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		kind := owedKinds()[0]
		c := n.narrow(t, transport)
		sent := make(chan error, 1)
		go func() { sent <- kind.sendAll(c.peer) }()
		eventually(t, "it is not read", func() bool {
			return n.counter(t, "mb_connections_owing") == 1
		})
		for range 3 {
			p, err := n.connect(overTCP)
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = p.Recv(time.Now().Add(patience))
			}
			_ = p.Close()
		}
		for answers := 0; answers < kind.count; {
			m, err := c.tryFresh()
			if err != nil {
				t.Fatalf("after %d answers: %v", answers, err)
			}
			if m.Action == "response" {
				answers++
			}
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	})
}
