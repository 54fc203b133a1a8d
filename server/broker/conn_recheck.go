package broker

import (
	"bytes"
	"slices"

	"mbserver/codec"
	"mbserver/server/event"
	"mbserver/server/permit"
	"mbserver/server/system"
	"mbserver/server/trace"
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
	recheckSlow   = 32  // of those are as much as one whose certificate has to be checked
)

// recheck has the subscriptions of a connection looked at again, whose rules have changed.
func (s *standing) recheck() {
	c := s.conn
	l := c.loop
	if !s.rules.Holds(permit.Log) && c.dropFilter(event.Permission) {
		l.revoked.subscriptions++
	}
	l.broker.forbidQueuedOf(&c.service)
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
		t.forgetVerdicts()
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
			l.guard(c, func() { c.expel(s.rules) })
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
	c.tellRevoked(k, p.String(), event.Permission)
	c.loop.revoked.subscriptions++
}

// dropFilter ends what FilterLog began, tells c, and says whether there was anything; by is as for
// tellRevoked.
func (c *Conn) dropFilter(by uint32) bool {
	stream := &c.loop.broker.logStream
	f := stream.Filter(&c.service)
	if f == nil {
		return false
	}
	stream.SetFilter(&c.service, nil)
	c.keep(-f.Charge())
	c.tellRevoked(topic.Publish, system.LogTopic, by)
	return true
}

// tellRevoked tells c what it gets no more; by is who has ended that (event.Permission).
func (c *Conn) tellRevoked(k topic.Kind, pattern string, by uint32) {
	l := c.loop
	c.note(event.Revoked, eventKind(k), by, pattern)
	l.notice = system.AppendRevoked(l.notice[:0], k.String(), pattern)
	l.tell(c, l.notice)
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

// expel takes publishes out of c's ring that it may not have by r. What has begun to leave is
// finished.
func (c *Conn) expel(r *permit.Rules) {
	if r != nil {
		c.loop.revoked.messages += c.takeOut(func(begin []byte) bool { return !mayGet(r, begin) })
	}
}

// takeOut takes messages out of c's ring that may be dropped and have not begun to leave, and those
// that wait for room there: each of which that holds, given its beginning.
func (c *Conn) takeOut(goes func(begin []byte) bool) (count int) {
	if c.state == stateGone {
		return 0
	}
	c.flush(false) // what this turn has for it goes, or waits in the ring
	if c.out.Empty() || c.state == stateGone {
		return 0
	}
	count = c.out.Expel(make([]byte, 0, beginMax), func(begin []byte) bool {
		if c.form == formDeflate {
			begin = codec.Beginning(begin)
		}
		return goes(begin)
	})
	c.loop.heed(c)
	if c.parked != nil {
		var gone []*parkedTarget
		for w := range c.parked.list.All() {
			if goes(w.publish.body.B) {
				gone = append(gone, w)
			}
		}
		for _, w := range gone {
			if mark := w.publish.mark; mark != 0 {
				c.loop.note(mark, trace.Revoked, &c.service, permit.Subscribe.String())
			}
			w.settle(false)
		}
		count += len(gone)
	}
	c.recharge()
	return count
}

// topicOf returns the canonical topic that a message which may be dropped is on, of which this is
// the beginning, with its framing or without, and what follows in its header. Of what is neither a
// publish nor a line of the log it is nil, of a publish that is none of ours empty.
func topicOf(begin []byte) (name, rest []byte) {
	const verb, line = "publish:", "response:" + system.LogTopic + ":"
	at := bytes.Index(begin[:min(len(begin), maxFraming+len(verb))], []byte(verb))
	if at < 0 {
		if bytes.Contains(begin[:min(len(begin), maxFraming+len(line))], []byte(line)) {
			return []byte(system.LogTopic), nil
		}
		return nil, nil
	}
	name, rest, whole := bytes.Cut(begin[at+len(verb):], []byte{':'})
	if !whole {
		return []byte{}, nil
	}
	return topic.Lower(nil, name), rest
}

// mayGet says whether rules permit to get a message that may be dropped, of which this is the
// beginning.
func mayGet(r *permit.Rules, begin []byte) bool {
	name, rest := topicOf(begin)
	switch {
	case name == nil:
		return true
	case len(name) == 0:
		return false
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
// make any more. What is on its way there is looked at when it comes (enqueue).
func (b *Broker) forbidQueuedOf(s *service) {
	if s.queued.Load() == 0 {
		return
	}
	for _, l := range b.loops {
		l.call(func(l *Loop) { l.forbidQueued(s) })
	}
}

// forbidQueued answers them on this loop, a part in each turn.
func (l *Loop) forbidQueued(s *service) {
	left := s.queued.Load() // here there may be fewer
	l.inPieces(func() (done bool) {
		for ; left > 0; left-- {
			w := l.queues.waiters[s]
			if w == nil {
				return true
			}
			if !l.mayEnd() {
				return false
			}
			k := w.entries.First()
			w.entries.Remove(k)
			w.entries.Push(k) // those that stay go round
			if e := k.Item; !l.mayRequest(s, e.queue.topic) {
				l.forbidEntry(e)
			}
		}
		return true
	})
}

// mayRequest says whether a service, perhaps of another loop, may make a request on a canonical
// topic.
func (l *Loop) mayRequest(s *service, name string) bool {
	p := s.particulars.Load()
	if p == nil {
		return true
	}
	r := p.rules.Load()
	return r == nil || l.verdictOf(r, []byte(name)).allows(permit.Request)
}

// forbidRequest answers a request that was held back, or has come back, and that its requester may
// not make any more.
func (l *Loop) forbidRequest(q *request) {
	err := system.Forbidden(permit.Request.String(), string(q.topic))
	l.failRequest(q, err.Code, err.Message, err.Details...)
}

// forbidEntry answers a request that waits.
func (l *Loop) forbidEntry(e *entry) {
	err := system.Forbidden(permit.Request.String(), e.queue.topic)
	l.failEntry(e, err.Code, err.Message, err.Details...)
}
