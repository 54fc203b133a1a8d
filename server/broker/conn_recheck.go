package broker

import (
	"bytes"
	"context"
	"slices"
	"time"

	"mbserver/codec"
	"mbserver/server/auth"
	"mbserver/server/permit"
	"mbserver/server/system"
	"mbserver/topic"
)

// What changes for who is connected when the rules do (protocol §10, live re-authorisation).
//
// Purpose. Who loses a permission loses it at once, everywhere, and loses nothing else. A reload of
// a node with many connections delays nobody.
//
// Outline.
//
//	Reauthorise    another Authority: every loop is told, and everybody is looked at anew
//	recheck        a connection's new rules stand at once, for what it sends; its
//	               subscriptions are put on a list
//	recheckSome    in each turn some of them are looked at; those that are not permitted end, and
//	               their owner is told
//	expel          publishes that wait in its ring and that it may not have are taken out
//	forbidQueued   its requests that wait for a service are answered
//
// When all loops have done that, each sends each a word: what was routed by subscriptions that have
// ended has arrived by then. So each loop looks through the rings once more, and from then on
// nothing is delivered that is not permitted.
//
// Cost. Some hundred subscriptions a turn.
const (
	recheckTurn   = 256 // subscriptions
	recheckOthers = 64  // connections, beside
)

// recheck has the subscriptions of a connection looked at again, whose rules have changed.
func (s *standing) recheck() {
	c := s.conn
	l := c.loop
	if !s.rules.Holds(permit.Log) {
		c.dropFilter()
	}
	l.broker.forbidQueuedOf(&c.service, s.rules)
	s.next = len(c.subs.all())
	if !s.fresh {
		s.fresh = true
		l.standings.fresh = append(l.standings.fresh, c)
	}
	l.driver.Schedule()
}

// forget takes c off the list of those to be looked at again.
func (t *standings) forget(c *Conn) {
	c.standing.fresh = false
	if i := slices.Index(t.fresh, c); i >= 0 {
		t.fresh = slices.Delete(t.fresh, i, i+1)
	}
}

// pass is what a change of authority has a loop do, a part in each turn.
type pass struct {
	authority *Authority // nil: it looks through rings once more
	now       time.Time
	slot      int    // of the next connection
	told      func() // when it is done
}

// recheckSome goes on with what is left to be looked at again, and tells who waits when nothing is.
func (l *Loop) recheckSome() {
	t := &l.standings
	if t.pass == nil && len(t.fresh) == 0 {
		return
	}
	done := true
	if t.pass != nil {
		done = l.passSome(t.pass)
	}
	l.recheckFresh()
	if !done || len(t.fresh) > 0 {
		l.driver.Schedule()
		return
	}
	t.fresh = nil
	if p := t.pass; p != nil {
		t.pass = nil
		p.told()
	}
}

// recheckFresh looks at some of the subscriptions of those whose rules have changed.
func (l *Loop) recheckFresh() {
	t := &l.standings
	left, others := recheckTurn, recheckOthers
	for len(t.fresh) > 0 && left > 0 && others > 0 {
		c := t.fresh[0]
		left -= c.recheckSome(left)
		others--
		if s := c.standing; s.next == 0 {
			t.fresh[0] = nil
			t.fresh = t.fresh[1:]
			s.fresh = false
			l.guard(c, c.expel)
		}
	}
}

// recheckSome looks at up to most of c's subscriptions, the last ones first, and says how many that
// were.
func (c *Conn) recheckSome(most int) (looked int) {
	s := c.standing
	s.next = min(s.next, len(c.subs.all()))
	for ; s.next > 0 && looked < most; looked++ {
		s.next--
		sub := c.subs.list[s.next]
		if !system.MaySubscribe(s.rules, verbOf(sub.kind), sub.pattern.String(),
			sub.pattern.System()) {
			c.revoke(sub.pattern, sub.kind)
		}
	}
	return looked
}

// revoke ends a subscription that is not permitted any more, and tells its owner.
func (c *Conn) revoke(p topic.Pattern, k topic.Kind) {
	if simfaultBuild && strikes(simStaleRules) {
		return
	}
	c.unsubscribe(p, k)
	c.tellRevoked(k, p.String())
}

// dropFilter ends what FilterLog began.
func (c *Conn) dropFilter() {
	stream := &c.loop.broker.logStream
	if f := stream.Filter(&c.service); f != nil {
		stream.SetFilter(&c.service, nil)
		c.keep(-f.Charge())
		c.tellRevoked(topic.Publish, system.LogTopic)
	}
}

// tellRevoked counts what c gets no more, and tells it.
func (c *Conn) tellRevoked(k topic.Kind, pattern string) {
	l := c.loop
	l.notice = system.AppendRevoked(l.notice[:0], k.String(), pattern)
	l.tell(c, l.notice)
	l.revoked.subscriptions++
}

// revoked is what a reload took away. Loop only.
type revoked struct{ connections, subscriptions, messages int }

// add adds what another loop took away.
func (r *revoked) add(o revoked) {
	r.connections += o.connections
	r.subscriptions += o.subscriptions
	r.messages += o.messages
}

// beginMax is how many bytes of a message are looked at to find its topic: framing and the longest
// header.
const beginMax = 512

// expel takes publishes out of c's ring that it may not have any more. What has begun to leave is
// finished.
func (c *Conn) expel() {
	l, s := c.loop, c.standing
	if c.state == stateGone || s.rules == nil {
		return
	}
	c.flush(false) // what this turn has for it goes, or waits in the ring
	if c.out.Empty() || c.state == stateGone {
		return
	}
	n := c.out.Expel(make([]byte, 0, beginMax), func(begin []byte) bool {
		if c.form == formDeflate {
			begin = codec.Beginning(begin)
		}
		return !mayGet(s.rules, begin)
	})
	l.revoked.messages += n
	if c.parked != nil {
		var gone []*parkedTarget
		for w := range c.parked.list.All() {
			if !mayGet(s.rules, w.publish.body.B) {
				gone = append(gone, w)
			}
		}
		for _, w := range gone {
			w.settle(false)
		}
		l.revoked.messages += len(gone)
	}
	c.recharge()
}

// mayGet says whether rules permit to get a message that may be dropped, of which this is the
// beginning, with its framing or without.
func mayGet(r *permit.Rules, begin []byte) bool {
	const verb, line = "publish:", "response:" + system.LogTopic + ":"
	at := bytes.Index(begin[:min(len(begin), maxFraming+len(verb))], []byte(verb))
	if at < 0 {
		isLine := bytes.Contains(begin[:min(len(begin), maxFraming+len(line))], []byte(line))
		return !isLine || r.Holds(permit.Log)
	}
	name, rest, whole := bytes.Cut(begin[at+len(verb):], []byte{':'})
	if !whole {
		return false // no message of ours begins so
	}
	name = topic.Lower(nil, name)
	switch {
	case !topic.IsSystem(name):
		return r.Topic(permit.Subscribe, name)
	case string(name) != system.MessageTopic:
		return system.MaySubscribe(r, permit.Subscribe, string(name), true)
	}
	return r.Holds(permit.Message) && mayKnow(r, topic.Lower(nil, system.AuditedTopic(rest)))
}

// mayKnow says whether who may audit may see messages on a canonical topic there.
func mayKnow(r *permit.Rules, name []byte) bool {
	if topic.IsSystem(name) {
		return system.MayAudit(r, name)
	}
	return r.Topic(permit.Subscribe, name) || r.Topic(permit.Request, name) ||
		r.Topic(permit.Respond, name)
}

// forbidQueuedOf answers, on every loop, the requests of a service that wait and that it may not
// make any more.
func (b *Broker) forbidQueuedOf(s *service, r *permit.Rules) {
	if s.queued.Load() == 0 || r == nil {
		return
	}
	for _, l := range b.loops {
		l.call(func(l *Loop) { l.forbidQueued(s, r) })
	}
}

// forbidQueued answers them on this loop. They are bounded by the topics on which one requester may
// wait, and what may wait on each.
func (l *Loop) forbidQueued(s *service, r *permit.Rules) {
	w := l.queues.waiters[s]
	if w == nil {
		return
	}
	var gone []*entry
	for e := range w.entries.All() {
		if !r.Topic(permit.Request, []byte(e.queue.topic)) {
			gone = append(gone, e)
		}
	}
	for _, e := range gone {
		err := system.Forbidden(permit.Request.String(), e.queue.topic)
		l.failEntry(e, err.Code, err.Message, err.Details...)
	}
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
	b.hear(ctx, b.sendWords(func(*Loop) {}))
	err = b.each(ctx, func(l *Loop, done func()) {
		l.beginPass(&pass{told: func() {
			counts <- l.revoked
			l.revoked = revoked{}
			done()
		}})
	})
	if err == nil { // requests that were on their way to a queue of another loop
		err = b.each(ctx, func(_ *Loop, done func()) { done() })
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
		case c.state != stateOpen && c.standing != nil && p.authority != nil:
			l.guard(c, func() { c.standing.rules = p.authority.against(c.standing.grant, p.now) })
		case p.authority != nil:
			l.guard(c, func() { c.restand(p.authority, p.now) })
		case c.standing != nil:
			l.guard(c, c.expel)
			l.broker.forbidQueuedOf(&c.service, c.standing.rules)
		}
		n++
	}
	return p.slot >= len(l.conns)
}

// restand gives c the standing that it has by a.
func (c *Conn) restand(a *Authority, now time.Time) {
	l := c.loop
	s := c.standing
	switch {
	case s == nil && a.asks():
		s = newStanding(c)
	case s == nil:
		return
	case s.grant != nil:
		var g *auth.Grant
		if g = a.Verifier.Again(s.grant, now); g == nil {
			l.revoked.connections++
			s.setRules(permit.None)
			c.expel()
			s.refuse(codec.Unauthorized, "your credentials are not valid any more", "revoked")
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
		s.demanded = false
		l.wheel.Cancel(&s.timer)
		l.announce(c)
	case a.Required && s.grant == nil:
		l.revoked.connections++
		s.setRules(permit.None)
		c.expel()
		s.refuse(codec.Unauthorized, "this node asks who you are now", "required")
		return
	}
	s.setRules(a.rulesOf(s.grant))
	s.show()
	s.recheck()
}
