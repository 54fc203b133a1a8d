package broker

import (
	"mbserver/ringbuf"
	"mbserver/server/metrics"
	"mbserver/server/system"
)

// pauseState is a paused publisher's state. Loop only.
type pauseState struct {
	pauses int             // publishes of its own that wait
	rest   *ringbuf.Shared // read before the pause and not taken yet; nil when there is nothing
	topic  string          // of the publish that began the pause
}

// pause stops reading a publisher's socket because of one more publish of its that waits.
func (l *Loop) pause(s *service, topic string) {
	c := l.connOf(s)
	if c == nil {
		return
	}
	if c.paused == nil {
		c.paused = &pauseState{topic: topic}
		c.sock.PauseReading(true)
		l.broker.paused.Add(1)
		l.counts[metrics.Pauses]++
		l.sendFlow(c, system.FlowPaused, topic)
	}
	c.paused.pauses++
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
	if c.paused.pauses--; c.paused.pauses == 0 {
		l.resuming = append(l.resuming, s)
	}
}

// resumePublishers takes what paused publishers sent before they were silenced, and reads on.
func (l *Loop) resumePublishers() {
	for i := 0; i < len(l.resuming); i++ {
		c := l.connOf(l.resuming[i])
		if c == nil || c.paused == nil || c.paused.pauses > 0 {
			continue
		}
		rest := c.paused.rest
		l.sendFlow(c, system.FlowResumed, c.paused.topic)
		c.endPause()
		c.hear()
		if rest != nil {
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
	c.paused = nil
	c.loop.broker.paused.Add(-1)
}

// forgetPause forgets a pause: the publisher is leaving.
func (c *Conn) forgetPause() {
	if c.paused == nil {
		return
	}
	if rest := c.paused.rest; rest != nil {
		rest.Release()
	}
	c.endPause()
}

// keepRest keeps bytes that a paused publisher sent before its socket was silenced.
func (c *Conn) keepRest(in []byte) {
	if len(in) == 0 {
		return
	}
	if c.paused.rest == nil {
		c.paused.rest = ringbuf.NewShared()
	}
	c.paused.rest.B = append(c.paused.rest.B, in...)
	c.recharge()
}

func (l *Loop) sendFlow(c *Conn, state, topic string) {
	l.notice = system.AppendFlow(l.notice[:0], state, topic)
	l.send(c, l.notice, nil, true)
}
