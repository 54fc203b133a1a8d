package broker

import (
	"slices"

	"mbserver/ringbuf"
	"mbserver/server/event"
	"mbserver/server/fair"
	"mbserver/server/metrics"
	"mbserver/server/system"
)

// pauseState is why a connection's socket is not read, and what was read before. Loop only.
type pauseState struct {
	waits    int    // publishes of its own that wait for room in a ring
	filling  bool   // it fills the inbox of another loop
	owing    *owing // it does not read its answers; nil when it does
	checking bool   // its credentials are being checked: what follows waits
	told     bool   // system.flow has said that it is paused
	topic    string
	request  packed // taken, and held back with it; its body is nil when there is none

	silent bool             // its socket was told not to report what arrives
	left   bool             // it is on a list of input left over, which alone is no stop
	much   bool             // that of those of which much was taken
	turn   fair.Link[*Conn] // its place there
	rest   *ringbuf.Shared  // was read and not taken yet; nil when there is nothing
	units  int              // of work that were taken since it is there
	at     int              // how much of rest was taken

	charged int64 // bytes that the loop is charged for rest
}

// stops says that there is a reason to take nothing from it.
func (p *pauseState) stops() bool {
	return p.waits > 0 || p.filling || p.owing != nil || p.checking
}

// pauseOf returns why c is not read, to which the caller adds something.
func (c *Conn) pauseOf() *pauseState {
	if c.paused == nil {
		c.paused = &pauseState{}
	}
	return c.paused
}

// silence stops reading c's socket, for a reason that the caller notes.
func (c *Conn) silence() *pauseState {
	p := c.pauseOf()
	if !p.silent {
		p.silent = true
		c.mark(markUnread, true)
		c.loop.countLevel(metrics.Unread, true)
		c.sock.PauseReading(true)
	}
	return p
}

// pause stops reading a publisher's socket because of one more publish of its that waits.
func (l *Loop) pause(s *service, topic string) {
	c := l.connOf(s)
	if c == nil {
		return
	}
	p := c.silence()
	c.begins(event.Paused, event.Waits, topic)
	if p.waits++; !p.told {
		p.told, p.topic = true, topic
		l.broker.paused.Add(1)
		l.counts[metrics.Pauses]++
		l.sendFlow(c, system.FlowPaused, topic)
	}
}

// unpause takes one of the reasons away; after the last one the publisher is read on, soon.
func (l *Loop) unpause(s *service) {
	c := l.connOf(s)
	if c == nil || c.paused == nil {
		return
	}
	if simfaultBuild && strikes(simForgottenResume) {
		return
	}
	if c.paused.waits--; c.paused.waits == 0 {
		c.ends(event.Paused, event.Waits)
	}
	if !c.paused.stops() {
		l.resuming.push(s)
	}
}

// hold stops reading c's socket because its messages, of which it has just sent so many, fill the
// inbox of another loop. So one flooder is slowed, and nobody's publishes are refused for its sake;
// who sends few at a time is slowed only when the inbox is nearly full.
func (l *Loop) hold(c *Conn, messages int) {
	to := l.crowded
	l.crowded = nil
	if !l.broker.canPause || c.state != stateOpen {
		return
	}
	waits := c.paused != nil && c.paused.request.body != nil
	if !waits && messages <= holdMessages && !l.fills(to, holdAll) {
		return
	}
	p := c.silence()
	if p.filling {
		return
	}
	p.filling = true
	l.broker.unread.filling.Add(1)
	c.begins(event.Paused, event.Filling, "")
	out := &l.parcels[to.index]
	if out.held = append(out.held, &c.service); out.parcel == nil {
		l.sendCall(to, func(*Loop) {}) // the request for word goes with it
	}
}

// readOn reads connections on that filled the inbox of a loop: it has room again. Of many, only
// some: they would fill it at once. For the others it is asked again.
func (l *Loop) readOn(index int) {
	out := &l.parcels[index]
	some := min(len(out.held), readOnMost)
	for _, s := range out.held[:some] {
		c := l.connOf(s)
		if c == nil || c.paused == nil || !c.paused.filling {
			continue
		}
		c.paused.filling = false
		l.broker.unread.filling.Add(-1)
		c.ends(event.Paused, event.Filling)
		if !c.paused.stops() {
			l.resuming.push(s)
		}
	}
	out.held = slices.Delete(out.held, 0, some)
	if len(out.held) > 0 && out.parcel == nil {
		l.sendCall(l.broker.loops[index], func(*Loop) {})
	}
}

// resumePublishers ends the pauses for which no reason is left: a request that was held back is
// assigned, and what was read before is left over like any other input.
func (l *Loop) resumePublishers() {
	for l.resumesMore() {
		l.ends.resumes++
		c := l.connOf(l.resuming.pop())
		if c == nil || c.paused == nil || c.paused.stops() {
			continue
		}
		was := c.paused
		c.unqueueLeft()
		if was.told {
			l.broker.paused.Add(-1)
			l.sendFlow(c, system.FlowResumed, was.topic)
		}
		c.paused = &pauseState{
			silent: was.silent, rest: was.rest, at: was.at, charged: was.charged,
		}
		if was.request.body != nil {
			l.guard(c, func() { l.askAgain(c, &was.request) })
		}
		switch {
		case c.state != stateOpen || c.paused.stops():
		case was.rest != nil:
			c.queueLeft()
		default:
			c.readOn()
		}
		c.recharge()
	}
}

// readOn ends a pause: nothing is left of it. Until now nobody listened to c.
func (c *Conn) readOn() {
	c.hear()
	silent := c.paused.silent
	c.paused = nil
	if silent {
		c.mark(markUnread, false)
		c.loop.countLevel(metrics.Unread, false)
		c.sock.PauseReading(false)
	}
	c.reconsider()
}

// forgetPause forgets a pause: c is leaving.
func (c *Conn) forgetPause() {
	p := c.paused
	if p == nil {
		return
	}
	for _, kept := range []*ringbuf.Shared{p.rest, p.request.body} {
		if kept != nil {
			kept.Release()
		}
	}
	p.rest = nil
	c.loop.chargeRest(p)
	if p.owing != nil {
		c.forgetOwed(p.owing)
	}
	if p.filling {
		c.loop.broker.unread.filling.Add(-1)
	}
	c.unqueueLeft()
	if p.told {
		c.loop.broker.paused.Add(-1)
	}
	if p.silent {
		c.mark(markUnread, false)
		c.loop.countLevel(metrics.Unread, false)
	}
	c.paused = nil
}

func (l *Loop) sendFlow(c *Conn, state, topic string) {
	l.notice = system.AppendFlow(l.notice[:0], state, topic)
	l.tell(c, l.notice)
}
