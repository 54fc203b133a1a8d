package server

import (
	"context"
	"log/slog"
	"mbserver/codec"
	"strconv"
)

// detail is one member of an error's details.
type detail struct {
	key    string
	text   string
	raw    []byte // text that is not copied; valid while the call runs
	number int64
	isText bool
}

func textDetail(key, value string) detail { return detail{key: key, text: value, isText: true} }

func rawDetail(key string, value []byte) detail { return detail{key: key, raw: value, isText: true} }

func numberDetail(key string, value int) detail { return detail{key: key, number: int64(value)} }

// appendError writes the payload of an error answer (protocol §7).
func appendError(b []byte, code codec.Code, message string, unix int64, details ...detail) []byte {
	b = append(b, `{"error":{"code":"`...)
	b = append(b, code...)
	b = append(b, `","message":`...)
	b = codec.AppendJSONQuoted(b, message)
	b = append(b, `,"timestamp":"`...)
	b = codec.AppendTimestamp(b, unix)
	b = append(b, '"')
	if len(details) > 0 {
		b = append(b, `,"details":{`...)
		for i := range details {
			d := &details[i]
			if i > 0 {
				b = append(b, ',')
			}
			b = codec.AppendJSONQuoted(b, d.key)
			b = append(b, ':')
			if d.raw != nil {
				b = codec.AppendJSONString(b, d.raw)
			} else if d.isText {
				b = codec.AppendJSONQuoted(b, d.text)
			} else {
				b = strconv.AppendInt(b, d.number, 10)
			}
		}
		b = append(b, '}')
	}
	return append(b, `}}`...)
}

// fail answers a message of c that was not taken with an error; the topic, version and request ID are its own.
func (l *loop) fail(c *conn, h *codec.Header, code codec.Code, message string, details ...detail) {
	if code != codec.NoRouteFound { // that has a counter of its own
		l.tally[countMessageError]++
		switch h.Action {
		case codec.Publish:
			l.tally[countPublishError]++
		case codec.Request:
			l.tally[countRequestError]++
		case codec.Response:
			l.tally[countResponseError]++
		}
	}
	l.refuse(c, l.responseHeader(h.Topic, h.Version, h.RequestID), code, message, details)
}

func (l *loop) refuse(c *conn, header []byte, code codec.Code, message string, details []detail) {
	c.errors.add(l.time.sec())
	l.answer = appendError(l.answer[:0], code, message, l.time.Unix, details...)
	l.debugClientError(c, code, message)
	l.send(c, header, l.answer, true)
}

// errorHeader is the header line of an answer to what could not be read (protocol §7).
const errorHeader = "response:error:1.0.0\n"

func (l *loop) malformedHeader(c *conn, err *codec.HeaderError) {
	l.tally[countMessageError]++
	details := []detail{textDetail("field", err.Field), textDetail("reason", err.Reason)}
	if err.RequestID != "" {
		details = append(details, textDetail("requestId", err.RequestID))
	}
	l.header = append(l.header[:0], errorHeader...)
	l.refuse(c, l.header, codec.MalformedMessage, "malformed header: "+err.Field+": "+err.Reason, details)
}

// framingLost answers a connection whose byte stream can't be cut into messages any more, and closes it (protocol §1).
func (l *loop) framingLost(c *conn, err *codec.FrameError) {
	l.tally[countMessageError]++
	details := []detail{textDetail("reason", err.Reason)}
	if err.TooLarge {
		details = append(details, numberDetail("length", int(err.Length)), numberDetail("maxLength", l.node.maxFrame))
	}
	l.header = append(l.header[:0], errorHeader...)
	l.refuse(c, l.header, codec.MalformedMessage, err.Reason, details)
	l.closeWS(c, err.CloseCode, err.Reason)
}

// debugClientError logs a client's mistake at debug level.
func (l *loop) debugClientError(c *conn, code codec.Code, message string) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("client error", "serviceId", c.id.String(), "code", string(code), "reason", message)
	}
}
