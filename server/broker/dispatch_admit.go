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
	if l.gate.Spend(c.own, m) {
		return true
	}
	if simfaultBuild && strikes(simSkippedLimit) {
		return true
	}
	m.System = topic.IsSystem(name)
	over, ok := l.gate.Admit(c.own, m, l.time.Ms)
	if !ok {
		l.limited(c, h, over)
	}
	return ok
}

// isHeartbeat says whether a message is, in either direction, what keeps a connection alive. One
// that is no good has passed, and counts when that is found out (admitMalformed).
func isHeartbeat(h *codec.Header, name []byte) bool {
	return string(name) == system.HeartbeatTopic && h.Action != codec.Publish
}

// admitMalformed counts a message that cannot be parsed, for its sender and the node, and says
// whether it is within their limits: then it is told what is wrong with it, otherwise that it sends
// too much.
func (l *Loop) admitMalformed(c *Conn) (over limit.Refusal, ok bool) {
	if l.gate == nil {
		return limit.Refusal{}, true
	}
	return l.gate.Admit(c.own, limit.Message{System: true}, l.time.Ms)
}
