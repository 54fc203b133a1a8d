package broker

import (
	"mbserver/ringbuf"
	"mbserver/server/metrics"
	"mbserver/server/system"
)

// pauseState is why a connection's socket is not read, and what was read before. Loop only.
type pauseState struct {
	waits   int  // publishes of its own that wait for room in a ring
	filling bool // it fills the inbox of another loop
	told    bool // system.flow has said that it is paused
	topic   string
	request packed          // taken, and held back with it; its body is nil when there is none
	rest    *ringbuf.Shared // read before the pause and not taken yet; nil when there is nothing
}

// over says that no reason is left.
func (p *pauseState) over() bool { return p.waits == 0 && !p.filling }

// silence stops reading c's socket, for a reason that the caller notes.
func (c *Conn) silence() *pauseState {
	if c.paused == nil {
		c.paused = &pauseState{}
		c.sock.PauseReading(true)
	}
	return c.paused
}

// pause stops reading a publisher's socket because of one more publish of its that waits.
func (l *Loop) pause(s *service, topic string) {
	c := l.connOf(s)
	if c == nil {
		return
	}
	p := c.silence()
	if p.waits++; !p.told {
		p.told, p.topic = true, topic
		l.broker.paused.Add(1)
		l.counts[metrics.Pauses]++
		l.sendFlow(c, system.FlowPaused, topic)
	}
}

// unpause takes one of the reasons away; after the last one the publisher is read on, before the
// turn ends.
func (l *Loop) unpause(s *service) {
	c := l.connOf(s)
	if c == nil || c.paused == nil {
		return
	}
	if simfaultBuild && strikes(simForgottenResume) {
		return
	}
	c.paused.waits--
	if c.paused.over() {
		l.resuming = append(l.resuming, s)
	}
}

// hold stops reading c's socket because its messages fill the inbox of another loop. So one flooder
// is slowed, and nobody's publishes are refused for its sake.
func (l *Loop) hold(c *Conn) {
	to := l.crowded
	l.crowded = nil
	if !l.broker.canPause || c.state != stateOpen {
		return
	}
	p := c.silence()
	if p.filling {
		return
	}
	p.filling = true
	out := &l.parcels[to.index]
	if out.held = append(out.held, &c.service); out.parcel == nil {
		l.sendCall(to, func(*Loop) {}) // the request for word goes with it
	}
}

// readOn reads those connections on that filled the inbox of a loop: it has room again.
func (l *Loop) readOn(index int) {
	out := &l.parcels[index]
	for _, s := range out.held {
		c := l.connOf(s)
		if c == nil || c.paused == nil {
			continue
		}
		c.paused.filling = false
		if c.paused.over() {
			l.resuming = append(l.resuming, s)
		}
	}
	clear(out.held)
	out.held = out.held[:0]
}

// resumePublishers takes what paused publishers sent before they were silenced, and reads on.
func (l *Loop) resumePublishers() {
	for i := 0; i < len(l.resuming); i++ {
		c := l.connOf(l.resuming[i])
		if c == nil || c.paused == nil || !c.paused.over() {
			continue
		}
		was := c.paused
		if was.told {
			l.sendFlow(c, system.FlowResumed, was.topic)
		}
		c.endPause()
		c.hear()
		if was.request.body != nil {
			l.guard(c, func() { l.askAgain(c, &was.request) })
		}
		if rest := was.rest; rest != nil {
			// It may be paused again: what is left then is copied.
			l.guard(c, func() { c.receive(rest.B) })
			rest.Release()
		}
		if c.paused == nil && c.state == stateOpen {
			c.sock.PauseReading(false)
		}
		c.recharge()
	}
	clear(l.resuming)
	l.resuming = l.resuming[:0]
}

// endPause ends a pause without giving up what was read.
func (c *Conn) endPause() {
	if c.paused.told {
		c.loop.broker.paused.Add(-1)
	}
	c.paused = nil
}

// forgetPause forgets a pause: the publisher is leaving.
func (c *Conn) forgetPause() {
	if c.paused == nil {
		return
	}
	for _, kept := range []*ringbuf.Shared{c.paused.rest, c.paused.request.body} {
		if kept != nil {
			kept.Release()
		}
	}
	c.endPause()
}

// keepRest keeps bytes that a paused publisher sent before its socket was silenced.
func (c *Conn) keepRest(in []byte) {
	if len(in) == 0 {
		return
	}
	if c.paused.rest == nil {
		c.paused.rest = ringbuf.NewShared(len(in))
	}
	c.paused.rest.B = append(c.paused.rest.B, in...)
	c.recharge()
}

func (l *Loop) sendFlow(c *Conn, state, topic string) {
	l.notice = system.AppendFlow(l.notice[:0], state, topic)
	l.send(c, l.notice, nil, true)
}
