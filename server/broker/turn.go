package broker

import (
	"mbserver/ringbuf"
	"mbserver/server/metrics"
	"mbserver/server/trouble"
)

// A turn is all that a loop does between two looks at its sockets.
//
// Purpose. Whatever arrives together is answered together: the clock is read once, a message is
// encoded once, and each connection is written once, however many messages it gets. A lone message
// leaves at once and a burst leaves in few system calls, with no timer and nothing to tune.
//
// Outline.
//
//	begin   the first event of a batch (Conn.Receive, Open, PeerClosed) reads the clock and asks
//	        the driver for the end of the turn
//	...     messages are parsed, routed and encoded into the turn's frames; connections note
//	        which ranges of them they take
//	run     the end of the turn, in this order:
//	          answers, if there is more to do  answerEarly
//	          what other loops sent, a part      drainInbox
//	          input that is left over, a part    serveLeft
//	          timers that are due, a part        fireTimers
//	          the counts become visible          published.Publish
//	          what ends with much else, a part   endSome
//	          who has lost permissions, a part   recheckSome
//	          until nothing of it is left, or a part of what ends is done:
//	            parcels for other loops          handOverAll
//	            waiting requests with room       serveQueues
//	            paused connections, read on      resumePublishers
//	            the oldest request's age is told settleOutstanding
//	            who has to go, and may           departSome
//	            closes                           closeSome
//	            a write per dirty connection     write
//	            laggards over the memory budget  settleMemory
//	          what rate limits lent is paid      gate.EndTurn
//	          the counts, once more              published.Publish
//	          how long all that took             noteTimes
//	          the next timer is armed            armTimer
//
// Invariants. Unless the turn gives way (turn_work.go, turn_ends.go), no connection is closing,
// none is dirty and the frames are empty: whatever refers to them was written or copied. Closes are
// decided anywhere, and carried out only here, so that a fan-out never walks over a connection that
// is going away under it. Whoever has received an answer finds its message counted.
//
// Cost. Once a turn has encoded more than turnMax bytes, they are written early. What a turn may do
// is bounded: what arrives, comes from other loops or is written by the clock (turn_work.go), what
// ends by that or in steps (turn_ends.go). An idle loop has no turns.

// begin starts a turn unless one is running: the clock is read once, and the turn's end is
// scheduled.
func (l *Loop) begin() {
	if l.inTurn {
		return
	}
	l.startTurn()
	l.driver.Schedule()
}

// startTurn reads the clock.
func (l *Loop) startTurn() {
	l.inTurn = true
	l.readClock()
	l.pulse.begin(l.time.Ns)
	l.measure(l.time.Ns, quantum)
	l.before, l.written = 0, false
}

// run ends a turn, or makes a whole one, when only the inbox or a timer called.
func (l *Loop) run() {
	if !l.inTurn {
		l.startTurn()
	}
	l.answerEarly()
	l.drainInbox()
	l.serveLeft()
	l.fireTimers()
	// Publish the counts before the flush: whoever has received an answer must find its message
	// counted.
	l.published.Publish(l.time.sec(), &l.counts)
	l.endSome()
	l.recheckSome()
	for again := true; again; again = l.unsettled() {
		l.handOverAll() // before the flush: other loops work meanwhile
		l.serveQueues()
		l.resumePublishers()
		l.settleOutstanding()
		l.departSome()
		l.closeSome()
		l.write()
		l.settleMemory() // may cut laggards: they are closed in the next round
	}
	if l.gate != nil {
		l.gate.EndTurn(l.time.Ms)
	}
	l.endServing()
	l.ends = ends{}
	l.counts[metrics.Backlog] = uint64(l.laggards.most())
	l.noteInflated()
	l.published.Publish(l.time.sec(), &l.counts)
	if invariants {
		l.checkInvariants()
	}
	gives := l.GivesWay()
	if gives {
		l.driver.Schedule()
	}
	l.inTurn = false
	now := l.driver.Now()
	if l.noteTimes(now.Ns, gives); now.Ns-l.time.Ns > slowTurn {
		l.ills[trouble.TurnsLong].Note(now.Ms)
	}
	l.armTimer(now.Ms)
}

// answerEarly writes what is not to wait when there is more to do than what has just arrived: who
// asks little has its answer before others are served.
func (l *Loop) answerEarly() {
	if len(l.prompt) == 0 || !l.leftOver() && l.inbox.waiting.Load() == 0 {
		return
	}
	l.published.Publish(l.time.sec(), &l.counts)
	l.flushPrompt()
}

// unsettled says that the turn's end has made more to do.
func (l *Loop) unsettled() bool {
	return l.resumesMore() || l.closesMore() || l.departsMore() ||
		len(l.prompt) > 0 || l.carried > 0 || l.crossing.some ||
		len(l.dirty) > 0 && !l.writing && l.writesAll() || l.serving()
}

// Run is run for a driver: after a fault the next event still begins a turn of its own. Loop only.
func (l *Loop) Run() {
	l.guard(nil, l.run)
	if l.inTurn { // a fault has ended it
		l.inTurn = false
		l.pulse.end(0, 0, false)
	}
}

// write writes what is to leave now: all, or when the loop gives way, only connections that got
// requests, or answers of their own and nothing else.
func (l *Loop) write() {
	l.flushPrompt()
	if !l.written && (l.writing || l.writesAll()) {
		l.writePart()
	}
}

// flushPrompt writes those that are not to wait.
func (l *Loop) flushPrompt() {
	for i := 0; i < len(l.prompt); i++ {
		if c := l.prompt[i]; c.dirty == dirtyAnswers || c.dirty == dirtyPrompt {
			c.dirty = clean
			l.flushOne(c)
		}
	}
	clear(l.prompt)
	l.prompt = l.prompt[:0]
}

// flush writes every dirty connection once and forgets the turn's frames.
func (l *Loop) flush() {
	// A drained ring may append its gap notice and be dirty again.
	for again := true; again; again = len(l.dirty) > 0 || len(l.prompt) > 0 {
		l.flushPrompt()
		for i := l.wrote; i < len(l.dirty); i++ {
			c := l.dirty[i]
			c.dirty = clean
			l.flushOne(c)
		}
		clear(l.dirty)
		l.dirty, l.wrote = l.dirty[:0], 0
	}
	l.turn.Reset()
	l.since, l.writing = 0, false
}

// flushOne writes one connection. A fault of ours there costs that connection only: whatever it
// still refers to is forgotten, so that it can never be sent bytes of a later turn.
func (l *Loop) flushOne(c *Conn) {
	defer func() {
		if v := recover(); v != nil {
			l.dropped(c.out.Messages())
			c.out, l.turn.Told = ringbuf.Outbound{}, nil
			l.recovered(nil, v)
			c.goes("internal fault")
			c.abort()
		}
	}()
	c.flush(false)
	c.serveParked()
}

// armTimer asks for a turn when the wheel's next timer is due. An earlier time that is already
// armed is left alone: at worst it costs one empty turn. Unless it has passed since this turn
// began: then its alarm rang while a turn was already queued and was swallowed, and no other will
// come. now is in loop ms. What is left over of timers that are due is called for at once.
func (l *Loop) armTimer(now int64) {
	at, ok := l.wheel.Next()
	if !ok {
		return
	}
	if l.armed > l.time.Ms && l.armed <= at && l.armed > now {
		return
	}
	l.armed = at
	l.driver.ScheduleAt(at)
}
