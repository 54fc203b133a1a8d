package broker

import (
	"mbserver/codec"
	"mbserver/server/limit"
	"mbserver/server/system"
	"mbserver/topic"
)

// admit says whether a message may pass the rate limits, and answers its sender when not.
// Heartbeats always pass.
func (l *Loop) admit(c *Conn, h *codec.Header, name []byte) bool {
	if isHeartbeat(h, name) {
		return true
	}
	m := limit.Message{Topic: name, Response: h.Action == codec.Response}
	if !c.roleLimited() && l.gate.Spend(c.own, m) {
		return true
	}
	if simfaultBuild && strikes(simSkippedLimit) {
		return true
	}
	m.System = topic.IsSystem(name)
	over, ok := l.within(c, m)
	if !ok {
		l.limited(c, h, over)
	}
	return ok
}

// within says whether a message is within the limit of its sender's roles, which is asked first and
// pays last, and within all others: one that is over any takes from none.
func (l *Loop) within(c *Conn, m limit.Message) (over limit.Refusal, ok bool) {
	limited := c.roleLimited()
	if limited {
		s := c.standing
		if wait, ok := s.sent.Check(s.rate, l.time.Ms); !ok {
			return limit.Refusal{Scope: "role", Rate: s.rate, WaitMs: wait}, false
		}
	}
	if l.gate != nil {
		if over, ok = l.gate.Admit(c.own, m, l.time.Ms); !ok {
			return over, false
		}
	}
	if limited {
		c.standing.sent.Take(c.standing.rate, l.time.Ms)
	}
	return limit.Refusal{}, true
}

// roleLimited says whether c's roles limit what it may send.
func (c *Conn) roleLimited() bool { return c.standing != nil && !c.standing.rate.Off() }

// isHeartbeat says whether a message is, in either direction, what keeps a connection alive. One
// that is no good has passed, and counts when that is found out (admitMalformed).
func isHeartbeat(h *codec.Header, name []byte) bool {
	return string(name) == system.HeartbeatTopic && h.Action != codec.Publish
}

// admitMalformed counts a message that cannot be parsed, for its sender and the node, and says
// whether it is within their limits: then it is told what is wrong with it, otherwise that it sends
// too much.
func (l *Loop) admitMalformed(c *Conn) (over limit.Refusal, ok bool) {
	return l.within(c, limit.Message{System: true})
}
