//go:build linux

package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// asker is one polite requester.
type asker struct {
	*client
	number int

	mu      sync.Mutex
	cut     bool            // guarded by mu: what follows of it says nothing new
	asked   int             // guarded by mu
	waiting map[string]bool // guarded by mu: not answered yet
}

func (a *asker) ask(p *polite) {
	a.mu.Lock()
	if a.cut {
		a.mu.Unlock()
		return
	}
	id := uuid(100+a.number, a.asked)
	a.asked++
	a.waiting[id] = true
	a.mu.Unlock()
	_ = a.SetWriteDeadline(time.Now().Add(patience))
	// Its deadline runs while the process is stopped: it is longer than anybody waits here.
	timeout := strconv.FormatInt(2*patience.Milliseconds(), 10)
	if a.send("request:polite.work:1.0.0:"+id+"::"+timeout, strings.Repeat("w", newsBytes)) != nil {
		p.fault("requests not taken")
		a.mu.Lock()
		delete(a.waiting, id)
		a.mu.Unlock()
	}
	_ = a.SetWriteDeadline(time.Time{}) // it answers heartbeats, too, and after the traffic
}

// run takes the answers: exactly one each.
func (a *asker) run(p *polite, c *client) error {
	for {
		m, err := c.read()
		if err != nil {
			a.mu.Lock()
			a.cut, a.waiting = true, map[string]bool{}
			a.mu.Unlock()
			return err
		}
		if m.action != "response" {
			continue
		}
		p.answered(m.payload)
		a.mu.Lock()
		if !a.waiting[m.id] {
			p.fault("answers too many")
		}
		delete(a.waiting, m.id)
		a.mu.Unlock()
	}
}

func (a *asker) unanswered() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.waiting)
}

// serve is a polite service, which answers at once.
func serve(_ *polite, c *client) error {
	for {
		m, err := c.read()
		if err != nil {
			return err
		}
		if m.action != "request" {
			continue
		}
		if err := c.send("response:"+m.topic+":1.0.0:"+m.id, "done"); err != nil {
			return err
		}
	}
}

// newcomer connects, makes one request and leaves.
func (p *polite) newcomer(ws bool) {
	begin := time.Now()
	c, err := dial(p.to, manner{ws: ws})
	if err == nil {
		err = c.ask("system.heartbeat", "{}")
		c.Close()
	}
	if err != nil {
		what := "newcomers not served"
		if r, ok := err.(refusal); ok {
			what = "newcomers " + string(r)
		}
		p.fault(what)
		return
	}
	p.mu.Lock()
	p.arrivals++
	p.slowest = max(p.slowest, time.Since(begin))
	p.mu.Unlock()
}

// poll is what a console asks each second.
func (p *polite) poll() {
	for _, request := range [][2]string{
		{"system.metrics", `{"showAll":true}`}, {"system.service.list", "{}"},
		{"system.topic.list", "{}"}, {"system.topic.subscriptions", "{}"},
	} {
		err := p.console.ask(request[0], request[1])
		switch {
		case err == nil:
		case strings.Contains(err.Error(), "SERVICE_UNAVAILABLE"):
			p.note("console "+strings.TrimPrefix(err.Error(), request[0]+": "), 1)
		default:
			p.fault(fmt.Sprintf("console: %v", err))
			p.redial()
			return
		}
	}
}

// redial gives the console another try: one fault must not hide the next.
func (p *polite) redial() {
	p.console.Close()
	if c, err := dial(p.to, manner{ws: true}); err == nil {
		p.console = c
		p.all = append(p.all, c) // Nobody else adds to it any more.
	}
}
