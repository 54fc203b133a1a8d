package server

import (
	"bytes"
	"strconv"

	"mbserver/codec"
	"mbserver/topic"
)

var systemPrefix = []byte("system")

// dispatch takes one message of c: header, then by action. data is not kept.
func (l *loop) dispatch(c *conn, data []byte, text bool) {
	n := l.node
	l.tally[countMessage]++
	l.tally[countMessageBytes] += uint64(len(data))
	if uint64(len(data)) > l.tally[maxMessageBytes] {
		l.tally[maxMessageBytes] = uint64(len(data))
	}
	var h codec.Header
	payload, err := h.Parse(data, n.timeoutMaxMs)
	if err != nil {
		l.malformedHeader(c, err)
		return
	}
	if len(payload) > n.payloadMax {
		l.fail(c, &h, codec.MalformedMessage, "the payload is larger than this node takes",
			numberDetail("length", len(payload)), numberDetail("maxLength", n.payloadMax))
		return
	}
	if n.audited() {
		l.auditTaken(c, &h, payload)
	}
	name := h.Topic
	if !h.Lower {
		l.lower = topic.Lower(l.lower[:0], h.Topic)
		name = l.lower
	}
	if n.rates != nil && !l.admit(c, &h, name) {
		return
	}
	if isSystem(name) {
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

// isSystem says whether a canonical topic belongs to the broker.
func isSystem(name []byte) bool {
	return bytes.HasPrefix(name, systemPrefix) && (len(name) == len(systemPrefix) || name[len(systemPrefix)] == '.')
}

// detail is one member of an error's details.
type detail struct {
	key    string
	text   string
	raw    []byte // text that is not copied; valid while the call runs
	number int64
	isText bool
}

func textDetail(key, value string) detail       { return detail{key: key, text: value, isText: true} }
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

// headerLine composes a header line with an ID, as text, in the loop's header scratch.
func (l *loop) headerLine(action codec.Action, topic, version, id []byte) []byte {
	return l.headerEnd(append(l.headerStart(action, topic, version), id...))
}

// freshHeader is headerLine with an ID of its own.
func (l *loop) freshHeader(action codec.Action, topic, version []byte) []byte {
	return l.headerEnd(l.appendMessageID(l.headerStart(action, topic, version)))
}

// headerStart begins a header line in the loop's scratch for it; its ID is to be appended.
func (l *loop) headerStart(action codec.Action, topic, version []byte) []byte {
	return append(codec.AppendStart(l.header[:0], action, topic, version), ':')
}

// headerEnd ends a header line that was begun in that scratch.
func (l *loop) headerEnd(line []byte) []byte {
	l.header = append(line, '\n')
	return l.header
}

// responseHeader composes the header line of an answer; one to a message without a request ID gets a fresh one.
func (l *loop) responseHeader(topic, version, id []byte) []byte {
	if len(id) == 0 {
		return l.freshHeader(codec.Response, topic, version)
	}
	return l.headerLine(codec.Response, topic, version, id)
}

func (l *loop) refuse(c *conn, header []byte, code codec.Code, message string, details []detail) {
	c.errors.add(l.time.unix / 1000)
	l.answer = appendError(l.answer[:0], code, message, l.time.unix, details...)
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
