package blackbox

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

var clusterPairs = flag.Int("cluster.pairs", 3000,
	"subscriptions of TestS12_AnsweredSubscriptionsStand that are published to from another node")

// pairOf is a subscriber at one node and a publisher at another, with errors instead of ends of the
// test. One goroutine.
type pairOf struct {
	to, from *client
	number   int
}

// answer takes messages until the answer to a topic has come. Those are passed over that others
// have published.
func (p *pairOf) answer(c *client, topic string) (message, error) {
	for {
		m, err := c.tryFresh()
		if err != nil || m.Action == "response" && m.Topic == topic {
			return m, err
		}
	}
}

func ask(c *client, action, topic, payload string) error {
	return c.peer.Send([]byte(action + ":" + topic + ":1.0.0:" + idA + "\n" + payload))
}

// try subscribes, and when that is answered publishes at the other node; what it has published must
// come. Then it withdraws the subscription, or leaves that to the next time.
func (p *pairOf) try(pattern, topic string, n int) error {
	// What it did not withdraw stands, and is answered all the same.
	err := ask(p.to, "request", "system.topic.subscribe",
		`{"action":"publish","topic":"`+pattern+`"}`)
	if err != nil {
		return err
	}
	m, err := p.answer(p.to, "system.topic.subscribe")
	if err != nil || string(m.Payload) != `{"status":"success"}` {
		return fmt.Errorf("%v answered %v (%w)", pattern, m, err)
	}
	text := fmt.Sprintf("%d/%d", p.number, n)
	if err := ask(p.from, "publish", topic, text); err != nil {
		return err
	}
	var ack struct{ Subscribers, Unconfirmed, Dropped int }
	if m, err = p.answer(p.from, topic); err == nil {
		err = json.Unmarshal(m.Payload, &ack)
	}
	if err != nil || ack.Subscribers < 1 || ack.Unconfirmed+ack.Dropped > 0 {
		return fmt.Errorf("a publish for %s was answered %v (%w)", pattern, m, err)
	}
	for {
		if m, err = p.to.tryFresh(); err != nil {
			return fmt.Errorf("%s for %s did not come: %w", text, pattern, err)
		}
		if m.Topic == "system.dropped" {
			return fmt.Errorf("it is told %v", m)
		}
		if string(m.Payload) == text {
			break
		}
	}
	if n%7 == 3 {
		return nil // it stays
	}
	err = ask(p.to, "request", "system.topic.unsubscribe", `{"topic":"`+pattern+`"}`)
	if err == nil {
		_, err = p.answer(p.to, "system.topic.unsubscribe")
	}
	return err
}

// Once a subscription is answered, a publish on any other node reaches it: over all pairs of nodes,
// with patterns that are one's own and such that others subscribe to and withdraw at the same time,
// while a node joins and leaves.
func TestS12_AnsweredSubscriptionsStand(t *testing.T) {
	t.Parallel()
	bus := startNATS(t)
	nodes := startCluster(t, bus, "a", "b", "c")
	const each = 4 // of a pair of nodes
	var pairs []*pairOf
	for i, to := range nodes {
		for k := range 2 * each {
			from := nodes[(i+1+k%2)%3]
			pairs = append(pairs, &pairOf{to.dial(t, "tcp"), from.dial(t, transports[k/2%2]),
				len(pairs)})
		}
	}
	var begun atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, len(pairs))
	for _, p := range pairs {
		all.Go(func() {
			for n := 0; begun.Add(1) <= int64(*clusterPairs); n++ {
				level := fmt.Sprintf("own%d", p.number)
				if n%2 == 0 {
					level = fmt.Sprintf("shared%d", n/2%5)
				}
				if err := p.try(level+".+", level+".x", n); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	joins := func() bool { return begun.Load() <= int64(*clusterPairs) }
	for joins() {
		d := startMember(t, bus, "d")
		d.awaitPeers(3)
		d.stop()
	}
	all.Wait()
	close(failed)
	var errs []error
	for err := range failed {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// Of two nodes of one name, as processes, the older one says so at error, is isolated, and leaves
// the others: they go on with the newer one alone. Its own clients it still serves.
func TestS12_Rivals(t *testing.T) {
	t.Parallel()
	bus := startNATS(t)
	other, older := startMember(t, bus, "b"), startMember(t, bus, "a")
	mine := older.dial(t, "tcp")
	mine.subscribe("publish", "x")
	newer := startMember(t, bus, "a")
	theirs := newer.dial(t, "tcp")
	theirs.subscribe("publish", "x")
	eventually(t, "the older one is isolated", func() bool {
		status, body := older.probe("/readyz")
		return status == http.StatusServiceUnavailable && strings.TrimSpace(body) == "isolated"
	})
	errors := 0
	for _, line := range older.warnings() {
		if strings.Contains(line, `"level":"ERROR"`) {
			errors++
			if !strings.Contains(line, "a newer node has the name of this one") ||
				!strings.Contains(line, `"node":"a"`) {
				t.Errorf("it says %s", line)
			}
		}
	}
	if errors != 1 {
		t.Errorf("the older one says %d errors:\n%s", errors, older.out)
	}
	if p := older.cluster(); !p.Island {
		t.Errorf("the older one is in the cluster: %+v", p)
	}
	if all := older.troubles(t, ""); all.find("isolated", "name") == nil {
		t.Errorf("it says of itself %+v", all)
	}
	newer.awaitPeers(1)
	other.awaitPeers(1)
	from := other.dial(t, "tcp")
	eventually(t, "only the newer one is sent to", func() bool {
		from.send("publish:x:1.0.0:"+idA, "1")
		return string(from.recv().Payload) == `{"status":"success","subscribers":1}`
	})
	for _, c := range []*client{mine, theirs} { // each until it is the one
		c.backlog = nil
	}
	from.send("publish:x:1.0.0", "2")
	theirs.await("what is published at the other", func(m message) bool {
		return string(m.Payload) == "2"
	})
	local := older.dial(t, "ws")
	local.send("publish:x:1.0.0:"+idA, "3")
	local.expectPayload("response:x:1.0.0:"+idA, `{"status":"success","subscribers":1}`)
	mine.await("what is published at its own node", func(m message) bool {
		if string(m.Payload) == "2" {
			t.Error("the older one is sent to")
		}
		return string(m.Payload) == "3"
	})
	if status, _ := newer.probe("/readyz"); status != http.StatusOK {
		t.Errorf("the newer one is not ready: %d", status)
	}
	_ = newer.cmd.Process.Signal(syscall.SIGTERM) // it goes as any other
	newer.asked = true
	other.awaitPeers(0)
	if status, _ := older.probe("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("the older one comes back by itself: %d", status)
	}
}
