package broker

import (
	"context"
	"log/slog"

	"mbserver/codec"
	"mbserver/server/event"
	"mbserver/server/metrics"
	"mbserver/server/trace"
	"mbserver/topic"
)

// fail answers a message of c that was not taken with an error; the topic, version and request ID
// are its own.
func (l *Loop) fail(
	c *Conn, h *codec.Header, code codec.Code, message string, details ...codec.Detail,
) {
	switch h.Action {
	case codec.Publish:
		if code != codec.NoRouteFound { // that has a counter of its own
			l.counts[metrics.PublishErrors]++
		}
	case codec.Request:
		l.counts[metrics.RequestErrors]++
	case codec.Response:
		l.counts[metrics.ResponseErrors]++
	}
	l.refuse(c, l.responseHeader(h.Topic, h.Version, h.RequestID), code, message, details)
}

// refuse answers c with an error.
func (l *Loop) refuse(
	c *Conn, header []byte, code codec.Code, message string, details []codec.Detail,
) {
	l.counts[metrics.MessageErrors]++
	c.errors.Add(l.time.sec())
	l.answer = codec.AppendError(l.answer[:0], code, message, l.time.Unix, details...)
	l.debugClientError(&c.service, code, message)
	if message != tooMany { // of which limited has taken note
		c.comes(event.Refused, event.CodeOf(code), message)
	}
	l.send(c, header, l.answer, true)
	l.spend(errorWork)
}

func (l *Loop) malformedHeader(c *Conn, err *codec.HeaderError) {
	if l.trace.looks != nil {
		l.observe(c, []byte(err.RequestID), nil)
	}
	if over, ok := l.admitMalformed(c); !ok {
		l.limitedMalformed(c, over)
		return
	}
	l.noteHand(trace.Dropped, "malformed: "+err.Field)
	details := []codec.Detail{
		codec.TextDetail("field", err.Field),
		codec.TextDetail("reason", err.Reason),
	}
	if err.RequestID != "" {
		details = append(details, codec.TextDetail("requestId", err.RequestID))
	}
	l.header = append(l.header[:0], codec.ErrorHeader...)
	l.refuse(c, l.header, codec.MalformedMessage, "malformed header: "+err.Field+": "+err.Reason,
		details)
}

// tooLong refuses a message whose payload is longer than it may be.
func (l *Loop) tooLong(c *Conn, h *codec.Header, length, longest int) {
	if l.trace.looks != nil {
		l.observe(c, h.RequestID, topic.Lower(nil, h.Topic))
	}
	if over, ok := l.admitMalformed(c); !ok {
		l.limited(c, h, over)
		return
	}
	l.noteHand(trace.Dropped, "too long")
	l.fail(c, h, codec.MalformedMessage, "the payload is larger than this node takes",
		codec.NumberDetail("length", length), codec.NumberDetail("maxLength", longest))
}

// framingLost answers a connection whose byte stream can't be cut into messages any more, and
// closes it (protocol §1).
func (l *Loop) framingLost(c *Conn, err *codec.FrameError) {
	if l.broker.echo {
		l.closeWS(c, err.CloseCode, err.Reason)
		return
	}
	details := []codec.Detail{codec.TextDetail("reason", err.Reason)}
	if err.TooLarge && c.form == formTCP && codec.ProxyLength(err.Length) {
		l.unaskedProxy(c)
	}
	if err.TooLarge {
		details = append(details, codec.NumberDetail("length", int(err.Length)),
			codec.NumberDetail("maxLength", c.longest()))
	}
	l.header = append(l.header[:0], codec.ErrorHeader...)
	l.refuse(c, l.header, codec.MalformedMessage, err.Reason, details)
	l.closeWS(c, err.CloseCode, err.Reason)
}

// unaskedProxy says why a connection is lost that a balancer has begun with a PROXY header. Over
// TCP nobody looks for one who does not expect it: it is a length that no message has.
func (l *Loop) unaskedProxy(c *Conn) {
	remote := c.peer.String()
	l.broker.Throttle.LogAbout(l.broker.modules.connection, slog.LevelWarn,
		"refused a PROXY header", remote+", it came unasked: see proxy.trusted, proxy.protocol",
		"remote", remote, "transport", c.transport.String(), "serviceId", c.id.String())
}

// debugClientError logs at debug level that a client's message was answered with an error.
func (l *Loop) debugClientError(s *service, code codec.Code, message string) {
	if log := l.broker.modules.router; log.Enabled(context.Background(), slog.LevelDebug) {
		log.Debug("client error: "+s.name()+", "+message, "serviceId", s.id.String(),
			"code", string(code))
	}
}
