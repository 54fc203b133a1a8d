package blackbox

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
)

// 10,000 requests are outstanding at the same moment and every one gets its own answer.
func TestScale_OutstandingRequests(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	const requesters, each, targets = 100, 100, 4
	services := make([]*client, targets)
	for i := range services {
		services[i] = n.dial(t, transports[i%2])
		services[i].subscribe("request", "mass.test")
	}
	results := make(chan error, requesters+targets)
	ready := make(chan int, targets) // how many requests a target holds
	answer := make(chan struct{})
	for i, s := range services {
		go func() {
			results <- holdAndAnswer(s.peer, requesters*each/targets, ready, answer, uint64(i))
		}()
	}
	for i := range requesters {
		c := n.dial(t, transports[i/2%2])
		go func() { results <- askMany(c.peer, each) }()
	}
	for range services {
		select {
		case <-ready:
		case err := <-results:
			t.Fatalf("before all were outstanding: %v", err)
		}
	}
	watcher := n.dial(t, overTCP)
	if got := watcher.metric("router.request.outstanding"); got != requesters*each {
		t.Errorf("%v outstanding, want %d", got, requesters*each)
	}
	close(answer)
	for range requesters + targets {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if got := watcher.metric("router.request.outstanding"); got != 0 {
		t.Errorf("%v outstanding in the end", got)
	}
}

// holdAndAnswer takes count requests, then answers them in a random order.
func holdAndAnswer(p peer, count int, ready chan<- int, answer <-chan struct{}, seed uint64) error {
	var held []message
	for range count {
		f, err := p.Recv(time.Now().Add(2 * patience))
		if err != nil {
			return fmt.Errorf("a target with %d requests: %w", len(held), err)
		}
		m, err := parseMessage(f)
		if err != nil || m.Action != "request" || !isUUIDv4(m.ID) {
			return fmt.Errorf("a target got %v (%v)", m, err)
		}
		held = append(held, m)
	}
	ready <- count
	<-answer
	rand.New(rand.NewPCG(seed, 1)).Shuffle(count, func(i, j int) {
		held[i], held[j] = held[j], held[i]
	})
	for _, m := range held {
		reply := "response:mass.test:1.0.0:" + m.ID + "\nre " + string(m.Payload)
		if err := p.Send([]byte(reply)); err != nil {
			return err
		}
	}
	return nil
}

// askMany has count requests outstanding at once and wants every answer to be that of its question.
func askMany(p peer, count int) error {
	questions := map[string]string{}
	for range count {
		id, question := uuid.NewString(), uuid.NewString()
		questions[id] = question
		m := "request:mass.test:1.0.0:" + id + "::600000\n" + question
		if err := p.Send([]byte(m)); err != nil {
			return err
		}
	}
	for len(questions) > 0 {
		f, err := p.Recv(time.Now().Add(3 * patience))
		if err != nil {
			return fmt.Errorf("a requester without %d answers: %w", len(questions), err)
		}
		m, err := parseMessage(f)
		if err != nil || m.Action != "response" || string(m.Payload) != "re "+questions[m.ID] {
			return fmt.Errorf("a requester got %v (%v)", m, err)
		}
		delete(questions, m.ID)
	}
	return nil
}

// Eight publishers, 10,000 messages each, at subscribers of both transports:
// in order, none lost, none doubled.
func TestScale_PublishersInOrder(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	const publishers, count = 8, 10_000
	patterns := []string{"scale.#", "scale.+", "#", "+.+"}
	flows := make([]*flow, publishers)
	for i := range flows {
		flows[i] = newFlow(1500, len(patterns))
	}
	results := make(chan error, publishers+len(patterns))
	subscribers := make([]*client, len(patterns))
	for i, pattern := range patterns {
		subscribers[i] = n.dial(t, transports[i%2])
		subscribers[i].subscribe("publish", pattern)
		go func() { results <- followAll(subscribers[i].peer, flows, i, count) }()
	}
	senders := make([]*client, publishers)
	for i := range publishers {
		senders[i] = n.dial(t, transports[i/2%2])
		go func() { results <- publishMany(senders[i].peer, flows[i], i, count) }()
	}
	for range publishers + len(patterns) {
		if err := <-results; err != nil {
			t.Error(err)
			for _, f := range flows {
				f.fail(err)
			}
		}
	}
	if t.Failed() {
		return
	}
	for _, c := range append(subscribers, senders...) {
		c.none() // nothing doubled, no errors
	}
}

const scaleBatch = 50 // messages in one TCP segment, and between two notes of progress

func publishMany(p peer, f *flow, publisher, count int) error {
	var batch []byte
	for i := range count {
		m := fmt.Appendf(nil, "publish:scale.p%d:1.0.0\n%d of publisher %d",
			publisher, i, publisher)
		if i%scaleBatch == 0 {
			if err := f.await(i); err != nil {
				return nil // whoever failed has said so
			}
		}
		tcp, ok := p.(*tcpPeer)
		if !ok {
			if err := p.Send(m); err != nil {
				return err
			}
			continue
		}
		batch = appendFrame(batch, m)
		if i%scaleBatch == scaleBatch-1 {
			if err := tcp.write(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return nil
}

// followAll receives what all publishers send, each one's in order.
func followAll(p peer, flows []*flow, follower, count int) error {
	next := make([]int, len(flows))
	for range count * len(flows) {
		data, err := p.Recv(time.Now().Add(2 * patience))
		if err != nil {
			return fmt.Errorf("follower %d at %v: %w", follower, next, err)
		}
		m, err := parseMessage(data)
		if err != nil {
			return err
		}
		var number, publisher int
		_, err = fmt.Sscanf(string(m.Payload), "%d of publisher %d", &number, &publisher)
		if err != nil {
			return fmt.Errorf("follower %d got %v", follower, m)
		}
		if m.Topic != fmt.Sprint("scale.p", publisher) || number != next[publisher] ||
			!isUUIDv4(m.ID) {
			return fmt.Errorf("follower %d awaits %d of publisher %d, got %v",
				follower, next[publisher], publisher, m)
		}
		next[publisher]++
		if next[publisher]%scaleBatch == 0 {
			flows[publisher].note(follower, next[publisher])
		}
	}
	return nil
}
