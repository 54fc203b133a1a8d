package broker

import "mbserver/ringbuf"

// begin starts a turn unless one is running: the clock is read once, and the turn's end is scheduled.
func (l *Loop) begin() {
	if l.inTurn {
		return
	}
	l.inTurn = true
	l.time = l.driver.Now()
	l.driver.Schedule()
}

// run ends a turn (or makes a whole one, when only the inbox or a timer called): other loops' envelopes, due timers,
// closes, and one flush per connection that has something to say.
func (l *Loop) run() {
	if !l.inTurn {
		l.inTurn = true
		l.time = l.driver.Now()
	}
	l.drainInbox()
	l.wheel.Advance(l.time.Ms)
	l.published.Publish(l.time.sec(), &l.counts) // before an answer leaves: who has seen one finds it counted
	for again := true; again; again = len(l.resuming) > 0 || len(l.closing) > 0 || len(l.dirty) > 0 || l.serve.Load() && len(l.queues.busy) > 0 {
		if l.serve.Swap(false) {
			l.serveQueues()
		}
		l.resumePublishers()
		l.closeAll()
		l.flush()
		l.settleMemory() // may cut laggards: they are closed in the next round
	}
	if l.gate != nil {
		l.gate.EndTurn(l.time.Ms)
	}
	l.outstanding.publishOldest()
	l.published.Publish(l.time.sec(), &l.counts)
	l.inTurn = false
	l.armTimer()
}

// Run is run for a driver: after a fault the next event still begins a turn of its own. Loop only.
func (l *Loop) Run() {
	l.guard(nil, l.run)
	l.inTurn = false
}

func (l *Loop) drainInbox() {
	items, lost := l.takeInbox()
	for i := range items {
		l.guard(nil, func() { l.receiveEnvelope(&items[i]) })
		if l.turn.Len() > turnMax {
			l.flush()
		}
	}
	clear(items)
	l.spareInbox = items[:0]
	for s, n := range lost {
		if c := l.connOf(s); c != nil {
			c.noteLoss(n)
		}
	}
}

func (l *Loop) receiveEnvelope(e *envelope) {
	switch e.kind {
	case envelopePublish:
		l.receivePublish(e)
	case envelopeLog:
		l.receiveLog(e)
	case envelopeTaken:
		l.acks.taken(l, e)
	case envelopeRequest, envelopeQueue:
		l.receiveRequest(e)
	case envelopeDirect:
		if c := l.connOf(e.to); c != nil {
			if e.failure {
				c.errors.Add(l.time.sec())
			}
			l.send(c, e.body.B, nil, e.text)
		}
		e.body.Release()
	case envelopeWritable:
		if int(e.slot) < len(l.conns) {
			if c := l.conns[e.slot]; c != nil && c.gen == e.gen {
				c.resume()
			}
		}
	case envelopeCall:
		e.call(l)
	}
}

// closeAll carries out the closes that were decided during the turn.
func (l *Loop) closeAll() {
	for i := 0; i < len(l.closing); i++ {
		c := l.closing[i]
		l.guard(nil, c.finishClose)
	}
	clear(l.closing)
	l.closing = l.closing[:0]
}

// flush writes every dirty connection once and forgets the turn's frames.
func (l *Loop) flush() {
	for i := 0; i < len(l.dirty); i++ { // a drained ring may append its gap notice and be dirty again
		c := l.dirty[i]
		c.dirty = false
		l.flushOne(c)
	}
	clear(l.dirty)
	l.dirty = l.dirty[:0]
	l.turn.Reset()
}

// flushOne writes one connection. A fault of ours there costs that connection only: whatever it still refers to is
// forgotten, so that it can never be sent bytes of a later turn.
func (l *Loop) flushOne(c *Conn) {
	defer func() {
		if v := recover(); v != nil {
			c.out = ringbuf.Outbound{}
			l.recovered(nil, v)
			c.abort()
		}
	}()
	c.flush(false)
	c.serveParked()
}

// armTimer asks for a turn when the wheel's next timer is due. A call that comes too early costs one empty turn, so an
// armed earlier time is left alone, unless it has passed since the turn began: its call has then come while this turn's
// end was already asked for, and nobody calls again.
func (l *Loop) armTimer() {
	at, ok := l.wheel.Next()
	if !ok {
		return
	}
	if l.armed > l.time.Ms && l.armed <= at && l.armed > l.driver.Now().Ms {
		return
	}
	l.armed = at
	l.driver.ScheduleAt(at)
}
