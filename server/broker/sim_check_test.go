package broker

// checkAlways holds what is true between any two turns.
func (s *simulation) checkAlways() {
	n := s.n
	for _, f := range n.faults {
		s.fail("%s", f)
	}
	outstanding, here, load := 0, 0, int64(0)
	for _, l := range n.loops {
		if l.inbox.full.Load() {
			s.totals["lost at an inbox"]++
		}
		outstanding += l.outstanding.count
		load += l.load.Load()
		for _, c := range l.conns {
			if c == nil {
				continue
			}
			here++
			requests := int32(0)
			for range c.requests.All() {
				requests++
			}
			if requests > c.outstanding.Load() {
				s.fail("%s has %d requests, outstanding are %d",
					c.id, requests, c.outstanding.Load())
			}
			left := c.dirty != clean && !(l.takesMore() && c.dirty == dirtyAll)
			if !l.inTurn && (left || c.state == stateClosing && l.closing.len() == 0) {
				s.fail("%s was left behind by its loop: dirty = %v, state %d",
					c.id, c.dirty, c.state)
			}
			s.checkRing(c)
		}
		if !l.inTurn && l.turn.Len() != 0 && !l.takesMore() {
			s.fail("loop %d left %d bytes in its frames", l.index, l.turn.Len())
		}
	}
	s.checkQueues()
	s.checkFlow()
	s.checkSilence()
	s.checkEnded()
	s.checkDrain()
	s.checkCharges()
	s.checkLevels()
	if int64(outstanding) != n.outstanding.Load() {
		s.fail("%d requests in the loops, %d outstanding in the node",
			outstanding, n.outstanding.Load())
	}
	s.checkOutstanding()
	if int64(here) != n.connections.Load() || int64(here) != load {
		s.fail("%d connections in the loops, %d in the node, load %d",
			here, n.connections.Load(), load)
	}
	listed, subscriptions := 0, 0
	for _, k := range s.places {
		if k != nil && k.listed() {
			listed++
			subs := len(k.subs[0]) + len(k.subs[1])
			subscriptions += subs
			if len(k.Conn.subs.all()) != subs {
				s.fail("%s has %d subscriptions of %d", k.name, len(k.Conn.subs.all()), subs)
			}
		}
	}
	if n.registry.count() != listed || n.trie.Count() != subscriptions+s.leaving() {
		s.fail("%d services of %d, %d subscriptions of %d",
			n.registry.count(), listed, n.trie.Count(), subscriptions)
	}
}

// checkRing holds what may wait in a ring, and what that may take.
func (s *simulation) checkRing(c *Conn) {
	n, l := s.n, c.loop
	const answer = 16 << 10 // past the largest list here; one answer always has its chance
	const notice = 1        // told in front of a full ring
	const ringRecord = 80   // bytes, of which a message has one or two here
	s.checkOwed(c)
	bytes, messages := c.out.RoomTaken(), c.out.Messages()
	if held := c.out.Held(); !l.inTurn && int64(held) > c.charge() ||
		held > 16<<10+2*(bytes+answer+ringRecord*2*(n.limits.Messages+messages+notice)) {
		s.fail("%s holds %d bytes for %d that wait, and is charged %d",
			c.id, held, bytes, c.charge())
	}
	bytes -= c.out.OwnBytes()
	messages -= c.out.OwnMessages()
	if bytes > n.limits.Bytes+answer || messages > n.limits.Messages+notice {
		s.fail("%s in state %d: %d bytes and %d messages wait, limits are %+v",
			c.id, c.state, bytes, messages, n.limits)
	}
}

// checkOutstanding holds that no more requests are outstanding than may be, but for those whose
// eviction is on its way: when no loop has anything to do, there are none of these.
func (s *simulation) checkOutstanding() {
	most := s.n.maxOutstanding
	if over := s.n.outstanding.Load() - most; over > 0 {
		s.totals["request over the limit"]++
		if s.idle() || over > s.n.evictSlack+int64(len(s.n.loops)) {
			s.fail("%d requests are outstanding, the limit is %d", over+most, most)
		}
	}
}

// idle says that no loop has anything to do before the clock goes on.
func (s *simulation) idle() bool {
	for i, l := range s.n.loops {
		if s.n.drivers[i].scheduled || !l.inbox.empty() {
			return false
		}
	}
	return true
}

// checkLanes holds that what waits on a topic is linked as it should be, oldest first in each lane,
// each lane once.
func (s *simulation) checkLanes(l *Loop) {
	for _, q := range l.queues.busy {
		if err := q.Check(); err != nil {
			s.fail("on %s: %v", q.topic, err)
		}
		count := 0
		for e := range q.All() {
			if count++; e.queue != q || q.First(e.requester) == nil {
				s.fail("a request waits on %s that is not its topic, "+
					"or in a lane that is not its own", q.topic)
			}
		}
		if count != q.Len() || l.queues.byTopic[q.topic] != q || l.queues.busy[q.at] != q {
			s.fail("on %s: the sessions have %d requests of %d", q.topic, count, q.Len())
		}
	}
}

// checkQueues holds that nothing waits for what is there: when no loop has anything to do, no
// service has room for a request that waits.
func (s *simulation) checkQueues() {
	waiting, idle := 0, s.idle()
	for _, l := range s.n.loops {
		s.checkLanes(l)
		for _, q := range l.queues.busy {
			waiting += q.Len()
		}
	}
	if int64(waiting) != s.n.queued.Load() {
		s.fail("%d requests wait, %d are counted", waiting, s.n.queued.Load())
	}
	if len(s.n.loops[0].queues.busy) > 5 {
		s.totals["many topics waited for"]++
	}
	if s.totals["request waited"] += waiting; waiting == 0 || !idle {
		return
	}
	for _, l := range s.n.loops {
		for _, q := range l.queues.busy {
			for _, k := range s.places {
				if k == nil || !k.hasRoom() {
					continue
				}
				if _, ok := k.wants(1, q.topic); ok {
					s.fail("a request on %s waits, and %s has room", q.topic, k.name)
				}
			}
		}
	}
}

// checkAtRest holds the laws of conservation, when everything that could move has.
func (s *simulation) checkAtRest() {
	s.checkAlways()
	n := s.n
	if n.outstanding.Load() != 0 {
		for _, l := range n.loops {
			for _, e := range l.outstanding.slots {
				if e == nil || e.target == nil && e.queue == nil {
					continue
				}
				s.say("outstanding: %s of %s, arrived at %d, deadline %d, queued = %v, armed = %v",
					e.header, e.requester.id, e.arrived, e.deadline,
					e.queue != nil, e.timer.Armed())
			}
		}
		s.fail("%d requests are outstanding for ever", n.outstanding.Load())
	}
	for _, l := range n.loops {
		if !l.inbox.empty() || l.inTurn {
			s.fail("loop %d is not at rest", l.index)
		}
		if waiting := len(l.acks.slots) - len(l.acks.free); waiting != 0 {
			s.fail("loop %d: %d acknowledgements wait for ever", l.index, waiting)
		}
		table := &l.outstanding
		if table.ages.oldest() != nil || table.count != 0 ||
			len(table.free)+len(table.given) != len(table.slots) {
			s.fail("loop %d: the table of requests is not empty", l.index)
		}
		if len(l.queues.waits) != 0 || len(l.queues.waiters) != 0 || len(l.awaited) != 0 {
			s.fail("loop %d: %d services are waited for by %d, %d of its own", l.index,
				len(l.queues.waits), len(l.queues.waiters), len(l.awaited))
		}
	}
	for _, k := range s.sessions {
		if k.outstanding.Load() != 0 || k.queued.Load() != 0 {
			s.fail("%s has %d requests outstanding and %d waiting for ever",
				k.name, k.outstanding.Load(), k.queued.Load())
		}
		if !k.alive() {
			continue
		}
		if !k.out.Empty() || k.out.Bytes() != 0 || k.gap != nil {
			s.fail("%s: %d messages, %d bytes never left, gap %v",
				k.name, k.out.Messages(), k.out.Bytes(), k.gap)
		}
		k.checkFlowAtRest()
		if k.got+k.gaps != k.owed && !k.lossyAuditor() {
			s.fail("%s received %d, was told of %d lost, and was owed %d",
				k.name, k.got, k.gaps, k.owed)
		}
		if k.nonsense != 0 {
			s.fail("%s was told %d times too few that its nonsense was too much",
				k.name, k.nonsense)
		}
		if k.errors != k.errorsGot {
			s.fail("%s sent %d malformed messages and was told of %d",
				k.name, k.errors, k.errorsGot)
		}
		if k.straysGot < k.strays || k.straysGot > k.strays+k.mayStray {
			s.fail("%s: %d errors to messages without ID, expected are %d to %d",
				k.name, k.straysGot, k.strays, k.strays+k.mayStray)
		}
	}
	s.checkAnswers()
	s.checkAudit()
}

func (s *simulation) checkAnswers() {
	for id, c := range s.calls {
		if c.from.alive() && c.answers != 1 {
			s.fail("%s: %d answers to %s %s", c.from.name, c.answers, c.topic, id)
		}
	}
	for _, p := range s.publishes {
		if p.id == "" || !p.from.alive() {
			continue
		}
		if p.answers != 1 {
			s.fail("%s: %d answers", p.key, p.answers)
		}
		if p.steady() && p.received+p.dropped != len(p.targets) {
			s.fail("%s: %d received it, %d were acknowledged as dropped, subscribers were %d",
				p.key, p.received, p.dropped, len(p.targets))
		}
	}
	for _, r := range s.requests {
		if r.owed && !r.from.unsteady && r.answers != 1 {
			s.fail("%s: %d answers to a requester that has ended its stream", r.key, r.answers)
		}
		if r.id != "" && r.from.alive() && r.answers != 1 {
			s.fail("%s: %d answers", r.key, r.answers)
		}
		if r.target == nil || !r.target.alive() {
			continue
		}
		accepted := r.target.responses[r.masked] - r.target.rejected[r.masked]
		if accepted > 1 {
			s.fail("%s: %d answers were accepted", r.key, accepted)
		}
		if r.id != "" && r.from.alive() && (accepted == 1) != (r.outcome == "answer") {
			s.fail("%s: %d answers were accepted, the outcome is %q", r.key, accepted, r.outcome)
		}
		freed := s.evictions || s.over
		if accepted == 0 && r.id == "" && r.right != "" && r.rightAt < r.deadline && !freed {
			s.fail("%s was answered in time and that was refused", r.key)
		}
		isError := len(r.right) > 6 && r.right[:6] == "error:"
		if r.id == "" && r.from.alive() && accepted == 1 && (r.passed == 1) != isError {
			s.fail("%s: passed on %d times: %.50s", r.key, r.passed, r.right)
		}
	}
	for _, k := range s.sessions {
		for masked, sent := range k.responses {
			owner := s.requests[s.masked[masked]]
			if k.alive() && (owner == nil || owner.target != k) && k.rejected[masked] != sent {
				s.fail("%s: %d of %d responses to %s, which it was not asked, were refused",
					k.name, k.rejected[masked], sent, masked)
			}
		}
	}
}

// steady says that all targets are still served, and none had a message taken out again that was
// given to it.
func (p *simPublish) steady() bool {
	for k := range p.targets {
		if !k.alive() || k.loose {
			return false
		}
	}
	return true
}

// checkEmpty holds that nothing is left when everybody has gone.
func (s *simulation) checkEmpty() {
	s.checkAlways()
	n := s.n
	if n.connections.Load() != 0 || n.registry.count() != 0 || n.trie.Count() != 0 {
		s.fail("left behind: %d connections, %d services, %d subscriptions",
			n.connections.Load(), n.registry.count(), n.trie.Count())
	}
	if left := n.Arrivals.Disconnected.Read(0).Total; left != uint64(len(s.sessions)) {
		s.fail("%d disconnects of %d", left, len(s.sessions))
	}
	s.checkFates()
	for _, l := range n.loops {
		l.charged.Add(-l.trace.charged) // for its book, whoever is there
	}
	if n.charged() != n.watches.held.Load() || n.paused.Load() != 0 {
		s.fail("left behind: a charge of %d bytes, %d paused publishers",
			n.charged(), n.paused.Load())
	}
	for _, l := range n.loops {
		if l.wheel.Len() != 0 || len(l.free) != len(l.conns) {
			s.fail("loop %d: %d timers, %d of %d slots free",
				l.index, l.wheel.Len(), len(l.free), len(l.conns))
		}
	}
	if live := liveShared() - s.shared; live != 0 {
		s.fail("%d buffers were never released", live)
	}
}
