package broker

import (
	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/server/system"
	"mbserver/topic"
)

// dispatch takes one message of c: header, then by action. data is not kept.
func (l *Loop) dispatch(c *Conn, data []byte, text bool) {
	b := l.broker
	if b.echo {
		l.echo(c, data, text)
		return
	}
	l.counts[metrics.Messages]++
	l.counts[metrics.MessageBytes] += uint64(len(data))
	if uint64(len(data)) > l.counts[metrics.MaxMessageBytes] {
		l.counts[metrics.MaxMessageBytes] = uint64(len(data))
	}
	var h codec.Header
	payload, err := h.Parse(data, b.timeoutMaxMs)
	if err != nil {
		l.malformedHeader(c, err)
		return
	}
	name := h.Topic
	if !h.Lower {
		l.lower = topic.Lower(l.lower[:0], h.Topic)
		name = l.lower
	}
	ours, longest := topic.IsSystem(name), b.payloadMax
	if ours {
		if longest = b.systemMax; c.standing != nil && string(name) == system.AuthTopic {
			longest = b.authMax
		}
	}
	if len(payload) > longest {
		l.tooLong(c, &h, len(payload), longest)
		return
	}
	if s := c.standing; s != nil && s.held && !l.mayAsk(c, &h, name) {
		return
	}
	l.taken(c, &h, payload)
	if l.trace.looks != nil {
		l.observe(c, h.RequestID, name)
	}
	if (l.gate != nil || c.roleLimited()) && !l.admit(c, &h, name) {
		return
	}
	if ours {
		l.system(c, &h, name, payload)
		return
	}
	switch h.Action {
	case codec.Publish:
		l.publish(c, &h, name, payload, text)
	case codec.Request:
		l.request(c, &h, name, payload, text)
	case codec.Response:
		l.response(c, &h, payload, text)
	}
}
