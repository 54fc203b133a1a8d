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
	m := limit.Message{Topic: name, Response: h.Action == codec.Response}
	if l.gate.Spend(c.own, m) {
		return true
	}
	if string(name) == system.HeartbeatTopic || simfaultBuild && strikes(simSkippedLimit) {
		return true
	}
	m.System = topic.IsSystem(name)
	over, ok := l.gate.Admit(c.own, m, l.time.Ms)
	if !ok {
		l.limited(c, h, over)
	}
	return ok
}
