//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// publisher is one polite publisher.
type publisher struct {
	*client
	topic        string
	number       int
	acknowledged bool

	mu      sync.Mutex
	cut     bool            // guarded by mu: what follows of it says nothing new
	sent    int             // guarded by mu
	waiting map[string]bool // guarded by mu: not acknowledged yet
}

const (
	sequenceDigits = 10
	newsBytes      = 200 // payload of one publish
)

func (pub *publisher) publish(p *polite) {
	pub.mu.Lock()
	if pub.cut {
		pub.mu.Unlock()
		return
	}
	n := pub.sent
	pub.sent++
	header := "publish:" + pub.topic + ":1.0.0"
	if pub.acknowledged {
		id := uuid(1+pub.number, n)
		pub.waiting[id] = true
		header += ":" + id
	}
	pub.mu.Unlock()
	payload := fmt.Sprintf("%0*d", sequenceDigits, n)
	payload += strings.Repeat("n", newsBytes-len(payload))
	_ = pub.SetWriteDeadline(time.Now().Add(patience))
	if pub.send(header, payload) != nil {
		p.fault("publishes not taken")
		pub.mu.Lock()
		pub.sent--
		delete(pub.waiting, uuid(1+pub.number, n))
		pub.mu.Unlock()
	}
	_ = pub.SetWriteDeadline(time.Time{}) // it answers heartbeats, too, and after the traffic
}

// run takes the acknowledgements.
func (pub *publisher) run(p *polite, c *client) error {
	for {
		m, err := c.read()
		if err != nil {
			pub.mu.Lock()
			pub.cut, pub.waiting = true, map[string]bool{}
			pub.mu.Unlock()
			return err
		}
		if m.action != "response" {
			continue
		}
		p.answered(m.payload)
		if pub.acknowledged {
			pub.mu.Lock()
			if !pub.waiting[m.id] {
				p.fault("answers too many")
			}
			delete(pub.waiting, m.id)
			pub.mu.Unlock()
		}
	}
}

func (pub *publisher) unanswered() int {
	pub.mu.Lock()
	defer pub.mu.Unlock()
	return len(pub.waiting)
}

func (pub *publisher) published() int {
	pub.mu.Lock()
	defer pub.mu.Unlock()
	return pub.sent
}

// listener is one polite subscriber.
type listener struct {
	*client
	topic string

	mu       sync.Mutex
	cut      bool // guarded by mu: what it misses from then on says nothing new
	received int  // guarded by mu
	lost     int  // guarded by mu: what it was told of
	next     int  // guarded by mu: the least number that may come
}

// run counts what comes. It must come in order, and once.
func (l *listener) run(p *polite, c *client) error {
	for {
		m, err := c.read()
		if err != nil {
			l.mu.Lock()
			l.cut = true
			l.mu.Unlock()
			return err
		}
		l.mu.Lock()
		switch {
		case m.topic == "system.dropped":
			var gap struct{ Count, Conflated int }
			_ = json.Unmarshal(m.payload, &gap) // What is not counted is missing at the end.
			l.lost += gap.Count + gap.Conflated
			p.note("deliveries", gap.Count+gap.Conflated)
		case m.action == "publish" && len(m.payload) >= sequenceDigits:
			n, err := strconv.Atoi(string(m.payload[:sequenceDigits]))
			if err != nil || n < l.next || len(m.payload) != newsBytes {
				p.fault("deliveries out of order, twice or damaged")
			}
			l.received++
			l.next = n + 1
		}
		l.mu.Unlock()
	}
}

// missing is how many publishes it neither received nor was told of.
func (l *listener) missing(pub *publisher) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return 0
	}
	return pub.published() - l.received - l.lost
}

// close closes its account.
func (l *listener) close(p *polite, pub *publisher) {
	switch n := l.missing(pub); {
	case n > 0:
		p.faultMany("deliveries lost silently", n)
	case n < 0:
		p.faultMany("deliveries too many", -n)
	}
}
