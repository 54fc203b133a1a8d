package broker

import (
	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/server/wheel"
)

// mute is what keeps a connection from sending anything for a while: an operator has asked for it
// (operate.go). Loop only.
//
// What it sends is answered FORBIDDEN, but for heartbeats, system.auth and answers to requests. So
// that these are to requests it had before, it is given no others, as if its socket took nothing:
// other services get them, or they wait. It still gets all that it is subscribed to, and what it
// has asked before goes on. It ends by itself, and costs who is not muted nothing: standing.held
// tells both apart from who has yet to say who it is.
type mute struct {
	conn  *Conn
	until int64 // loop ms
	timer wheel.Timer
}

// muteFor mutes c for so many ms from now on, instead of any time before; 0 ends that.
func (c *Conn) muteFor(ms int64) {
	if ms <= 0 {
		c.unmute()
		return
	}
	s := c.standing
	if s == nil {
		s = newStanding(c)
		c.dec.Allow(c.longest())
	}
	if s.mute == nil {
		s.mute = &mute{conn: c}
		s.mute.timer.Owner = s.mute
	}
	l := c.loop
	s.mute.until = l.time.Ms + ms
	l.wheel.Add(&s.mute.timer, s.mute.until)
	s.held = true
	c.settleStalled()
}

// unmute lets c speak again, and have requests.
func (c *Conn) unmute() {
	s := c.standing
	if s == nil || s.mute == nil {
		return
	}
	c.loop.wheel.Cancel(&s.mute.timer)
	s.mute = nil
	s.demand(s.demanded)
	c.settleStalled()
	c.loop.offer(&c.service)
}

// muted says whether c may send nothing.
func (c *Conn) muted() bool { return c.standing != nil && c.standing.mute != nil }

// Expire implements wheel.Expirer: its time is over.
func (m *mute) Expire(*wheel.Timer, int64) { m.conn.loop.guard(m.conn, m.conn.unmute) }

// maySpeak says whether a message may be looked at that came while its sender is muted, and answers
// it when not; name is its canonical topic.
func (l *Loop) maySpeak(c *Conn, h *codec.Header, name []byte) bool {
	left := c.standing.mute.until - l.time.Ms
	if left <= 0 { // its timer has yet to come
		c.unmute()
		return true
	}
	if h.Action == codec.Response || simfaultBuild && strikes(simDeafMute) {
		return true
	}
	l.counts[metrics.Forbidden]++
	l.noteUnheard(c, h, name, "muted")
	l.fail(c, h, codec.Forbidden, "an operator has muted this connection",
		codec.TextDetail("reason", "muted"), codec.NumberDetail("retryAfterMs", int(left)))
	return false
}
