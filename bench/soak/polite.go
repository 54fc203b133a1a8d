//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// How many well-behaved clients there are; half of each kind over TCP, half over WebSocket.
const (
	politePublishers = 4 // each with a topic of its own; half ask for acknowledgement
	politeListeners  = 2 // of each topic
	politeServices   = 2
	politeAskers     = 4
	politeIdlers     = 60

	publishEvery  = 20 * time.Millisecond
	askEvery      = 25 * time.Millisecond
	newcomerEvery = 100 * time.Millisecond
	consoleEvery  = time.Second

	politePriority = 10 // of the services: an attacker that serves everything gets none of theirs
)

// polite is the well-behaved clients, and what befell them.
type polite struct {
	to         addresses
	publishers []*publisher
	listeners  []*listener
	askers     []*asker
	console    *client
	all        []*client
	quit       chan struct{}
	traffic    sync.WaitGroup

	mu       sync.Mutex
	leaving  bool           // guarded by mu: what is cut now is no fault
	faults   map[string]int // guarded by mu: refused, cut, silent, lost
	told     map[string]int // guarded by mu: what the node said it could not do
	arrivals int            // guarded by mu: newcomers that came in
	slowest  time.Duration  // guarded by mu: of them
}

// newPolite connects them all; they say nothing yet.
func newPolite(to addresses) (p *polite, err error) {
	p = &polite{
		to: to, quit: make(chan struct{}),
		faults: make(map[string]int), told: make(map[string]int),
	}
	for i := range politePublishers {
		topic := fmt.Sprintf("polite.news%d", i)
		for k := range politeListeners {
			l := &listener{}
			if l.client, err = p.join("listener", k, l.run,
				"system.topic.subscribe", subscription("publish", topic, "")); err != nil {
				return p, err
			}
			p.listeners = append(p.listeners, l)
			l.topic = topic
		}
		pub := &publisher{
			topic: topic, number: i, acknowledged: i%2 == 0, waiting: map[string]bool{},
		}
		if pub.client, err = p.join("publisher", i/2, pub.run); err != nil {
			return p, err
		}
		p.publishers = append(p.publishers, pub)
	}
	priority := fmt.Sprintf(`,"priority":%d`, politePriority)
	for i := range politeServices {
		if _, err = p.join("service", i, serve, "system.topic.subscribe",
			subscription("request", "polite.work", priority)); err != nil {
			return p, err
		}
	}
	for i := range politeAskers {
		a := &asker{number: i, waiting: map[string]bool{}}
		if a.client, err = p.join("requester", i, a.run); err != nil {
			return p, err
		}
		p.askers = append(p.askers, a)
	}
	for i := range politeIdlers {
		idle := func(_ *polite, c *client) error { return c.drain() }
		if _, err = p.join("idle client", i, idle); err != nil {
			return p, err
		}
	}
	if p.console, err = dial(to, manner{ws: true}); err == nil {
		p.all = append(p.all, p.console)
	}
	return p, err
}

// join connects one, makes its request and lets read run for as long as it is connected.
func (p *polite) join(role string, i int, read func(*polite, *client) error,
	request ...string) (*client, error) {
	c, err := dial(p.to, manner{ws: i%2 == 1})
	if err == nil && len(request) > 0 {
		err = c.ask(request[0], request[1])
	}
	if err != nil {
		return nil, fmt.Errorf("a polite %s: %w", role, err)
	}
	p.all = append(p.all, c)
	go func() {
		if err := read(p, c); err != nil {
			p.fault(role + " cut")
		}
		c.Close()
	}()
	return c, nil
}

// fault counts what must not happen.
func (p *polite) fault(what string) {
	p.mu.Lock()
	if !p.leaving {
		p.faults[what]++
	}
	p.mu.Unlock()
}

// note counts what the node said it could not do: it may, when it says so.
func (p *polite) note(what string, n int) {
	p.mu.Lock()
	p.told[what] += n
	p.mu.Unlock()
}

// answered sorts an answer to a polite request or publish: to be late or to find nobody is a fault,
// for those who are asked answer at once.
func (p *polite) answered(payload []byte) {
	reason := reasonOf(payload, "")
	switch {
	case !strings.HasPrefix(string(payload), `{"error"`):
	case strings.HasPrefix(reason, "SERVICE_UNAVAILABLE"):
		p.note(strings.TrimPrefix(reason, "SERVICE_UNAVAILABLE "), 1)
	default:
		p.fault(reason)
	}
}

// begin starts the traffic.
func (p *polite) begin() {
	for _, pub := range p.publishers {
		p.every(publishEvery, func() { pub.publish(p) })
	}
	for _, a := range p.askers {
		p.every(askEvery, func() { a.ask(p) })
	}
	for _, ws := range []bool{false, true} {
		p.every(newcomerEvery, func() { p.newcomer(ws) })
	}
	p.every(consoleEvery, p.poll)
}

// every calls f until the traffic ends. What takes longer than its interval delays the next.
func (p *polite) every(interval time.Duration, f func()) {
	p.traffic.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-p.quit:
				return
			case <-t.C:
				f()
			}
		}
	})
}

// end stops the traffic, waits for what is under way and closes the accounts.
func (p *polite) end() {
	close(p.quit)
	p.traffic.Wait()
	if p.console != nil { // it reads when it asks, and would be silent from here on
		go func() { _ = p.console.drain() }()
	}
	deadline := time.Now().Add(patience)
	for !p.settled() && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond) // Between two looks, bounded.
	}
	for _, l := range p.listeners {
		for _, pub := range p.publishers {
			if pub.topic == l.topic {
				l.close(p, pub)
			}
		}
	}
	for _, pub := range p.publishers {
		if n := pub.unanswered(); n > 0 {
			p.faultMany("publishes never acknowledged", n)
		}
	}
	for _, a := range p.askers {
		if n := a.unanswered(); n > 0 {
			p.faultMany("requests never answered", n)
		}
	}
}

func (p *polite) faultMany(what string, n int) {
	p.mu.Lock()
	p.faults[what] += n
	p.mu.Unlock()
}

// settled says whether nothing is under way any more.
func (p *polite) settled() bool {
	for _, pub := range p.publishers {
		if pub.unanswered() > 0 {
			return false
		}
		for _, l := range p.listeners {
			if l.topic == pub.topic && l.missing(pub) != 0 {
				return false
			}
		}
	}
	for _, a := range p.askers {
		if a.unanswered() > 0 {
			return false
		}
	}
	return true
}

// leave makes them expect the end.
func (p *polite) leave() {
	p.mu.Lock()
	p.leaving = true
	p.mu.Unlock()
	if p.console != nil {
		p.console.Close() // It reads only when it asks, and would not notice the end.
	}
}

// close ends their connections.
func (p *polite) close() {
	p.leave()
	for _, c := range p.all {
		c.Close()
	}
}

// count returns what a map says in a line.
func (p *polite) count(m map[string]int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s: %d", what, m[what]))
	}
	return strings.Join(parts, ", ")
}
