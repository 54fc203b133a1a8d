package broker

import (
	"context"
	"time"

	"mbserver/codec"
	"mbserver/server/auth"
	"mbserver/server/permit"
)

// pass is what a change of authority has a loop do, a part in each turn.
type pass struct {
	authority *Authority
	again     bool // everybody has been told: it looks through rings once more
	now       time.Time
	slot      int    // of the next connection
	told      func() // when it is done
}

// Reload is what a change of authority took from who is connected.
type Reload struct{ Connections, Subscriptions, Messages int }

// Reauthorise makes a the node's authority, and returns when every loop has made everybody's
// standing agree with it: from then on nothing is delivered that is not permitted. An error says
// that ctx ended first. One at a time; any goroutine but a loop's.
func (b *Broker) Reauthorise(ctx context.Context, a *Authority) (took Reload, err error) {
	b.authority.Store(a)
	counts := make(chan revoked, len(b.loops))
	err = b.each(ctx, func(l *Loop, done func()) {
		l.beginPass(&pass{authority: a, now: time.Now(), told: done})
	})
	if err != nil {
		return took, err
	}
	w := b.sendWords(func(*Loop) {})
	for range cap(w) {
		select {
		case <-w:
		case <-ctx.Done():
			return took, ctx.Err()
		}
	}
	err = b.each(ctx, func(l *Loop, done func()) {
		l.beginPass(&pass{authority: a, again: true, told: func() {
			counts <- l.revoked
			l.revoked = revoked{}
			done()
		}})
	})
	if err == nil { // requests that wait, on whatever loop
		err = b.each(ctx, func(l *Loop, done func()) {
			l.inPieces(func() bool { done(); return true })
		})
	}
	var all revoked
	for range len(counts) {
		all.add(<-counts)
	}
	return Reload{all.connections, all.subscriptions, all.messages}, err
}

// beginPass begins a pass, of which there is none.
func (l *Loop) beginPass(p *pass) {
	l.standings.pass = p
	l.driver.Schedule()
}

// each has every loop call f, and waits until each has called done.
func (b *Broker) each(ctx context.Context, f func(l *Loop, done func())) error {
	done := make(chan struct{}, len(b.loops))
	for _, l := range b.loops {
		l.call(func(l *Loop) { f(l, func() { done <- struct{}{} }) })
	}
	for range b.loops {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// passSome takes a pass some connections further, and says whether it has seen all.
func (l *Loop) passSome(p *pass) (all bool) {
	for n := 0; n < recheckOthers && p.slot < len(l.conns); p.slot++ {
		c := l.conns[p.slot]
		switch {
		case c == nil || c.state == stateGone:
			continue
		case p.again:
			l.guard(c, func() { c.expel(c.rulesUnder(p.authority)) })
			l.broker.forbidQueuedOf(&c.service)
		case c.state == stateOpen:
			if s := c.standing; s != nil && p.authority.Verifier.Slow(s.grant) {
				n += recheckSlow - 1
			}
			l.guard(c, func() { c.restand(p.authority, p.now) })
		case c.standing != nil:
			l.guard(c, func() { c.standing.setRules(p.authority.against(c.standing.grant, p.now)) })
		}
		n++
	}
	return p.slot >= len(l.conns)
}

// rulesUnder returns what c may do under a, which is the node's now and which c was held against.
// Who was leaving already when the node began to ask has no standing, and is nobody.
func (c *Conn) rulesUnder(a *Authority) *permit.Rules {
	switch {
	case c.standing != nil:
		return c.standing.rules
	case a.asks() && a.Required:
		return permit.None
	}
	return a.rulesOf(nil)
}

// notValid: what a connection rested on is gone.
const notValid = "your credentials are not valid any more"

// restand gives c the standing that it has by a.
func (c *Conn) restand(a *Authority, now time.Time) {
	l := c.loop
	s := c.standing
	switch {
	case s == nil && a.asks():
		s = newStanding(c)
		c.dec.Allow(c.longest())
	case s == nil:
		return
	case s.grant != nil:
		var g *auth.Grant
		if g = a.Verifier.Again(s.grant, now); g == nil {
			l.revoked.connections++
			s.setRules(permit.None)
			c.expel(permit.None)
			s.refuse(codec.Unauthorized, notValid, "revoked")
			return
		}
		if g != s.grant {
			s.grant = g
			s.arm()
		}
	}
	switch {
	case s.demanded && a.Required:
		return // as before
	case s.demanded:
		s.demand(false)
		l.wheel.Cancel(&s.timer)
		l.announce(c)
	case a.Required && s.grant == nil:
		l.revoked.connections++
		s.setRules(permit.None)
		c.expel(permit.None)
		s.refuse(codec.Unauthorized, "this node asks who you are now", "required")
		return
	}
	s.setRules(a.rulesOf(s.grant))
	s.show()
	s.recheck()
}
