package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"mbserver/codec"
)

// systemCall is one request on a system topic while its handler runs: it is gone when that returns. Loop only.
type systemCall struct {
	l      *loop
	c      *conn
	h      codec.Header
	fields map[string]json.RawMessage
}

// systemTopics are the requests that the broker itself answers (protocol §8), by canonical topic.
var systemTopics map[string]func(*systemCall) *callError

func init() { // a literal would be an initialisation loop: handlers reach dispatch
	systemTopics = map[string]func(*systemCall) *callError{
		"system.heartbeat":             (*systemCall).heartbeat,
		"system.service.register":      (*systemCall).register,
		"system.service.list":          (*systemCall).listServices,
		"system.service.subscriptions": (*systemCall).serviceSubscriptions,
		"system.topic.subscribe":       (*systemCall).subscribe,
		"system.topic.unsubscribe":     (*systemCall).unsubscribe,
		"system.topic.list":            (*systemCall).listTopics,
		"system.topic.subscriptions":   (*systemCall).topicSubscriptions,
		"system.log.subscribe":         (*systemCall).subscribeLog,
		"system.log.unsubscribe":       (*systemCall).unsubscribeLog,
		"system.metrics":               (*systemCall).metrics,
		"system.auth":                  (*systemCall).auth,
	}
}

// callError is why a system request was refused.
type callError struct {
	code    codec.Code
	message string
	details []codec.Detail
}

// invalid is the answer to a field that is missing or wrong.
func invalid(field, message string) *callError {
	return &callError{codec.InvalidRequest, field + ": " + message, []codec.Detail{codec.TextDetail("field", field)}}
}

const heartbeatTopic = "system.heartbeat"

// system takes a message on a system topic: the action is checked before the topic is looked up (protocol §8).
func (l *loop) system(c *conn, h *codec.Header, name, payload []byte) {
	heartbeat := string(name) == heartbeatTopic
	switch h.Action {
	case codec.Request:
		l.tally[countRequest]++
	case codec.Response:
		l.tally[countResponse]++
	default:
		l.tally[countPublish]++
	}
	if h.Action != codec.Request && !(heartbeat && h.Action == codec.Response) {
		l.fail(c, h, codec.InvalidRequest, "system topics take requests only", codec.TextDetail("action", h.Action.String()))
		return
	}
	if h.MajorVersion() != 1 {
		l.fail(c, h, codec.VersionNotSupported, "system topics are served in version 1", codec.TextDetail("version", string(h.Version)), codec.TextDetail("supported", "1"))
		return
	}
	if h.Action == codec.Response {
		return // a heartbeat's: a sign of life, which every message is
	}
	handler := systemTopics[string(name)]
	if handler == nil {
		l.fail(c, h, codec.TopicNotSupported, "no such system topic", codec.TextDetail("topic", string(name)))
		return
	}
	call := &l.call
	*call = systemCall{l: l, c: c, h: *h}
	defer func() { *call = systemCall{} }()
	if p := bytes.TrimSpace(payload); len(p) > 0 && string(p) != "{}" {
		// JSON is UTF-8 (RFC 8259 §8.1), and what is passed on in a notice goes out as text.
		if !utf8.Valid(payload) || json.Unmarshal(payload, &call.fields) != nil || call.fields == nil {
			l.fail(c, h, codec.MalformedMessage, "the payload of a system request must be a JSON object", codec.TextDetail("field", "payload"))
			return
		}
	}
	if err := handler(call); err != nil {
		l.fail(c, h, err.code, err.message, err.details...)
	}
}

// text returns the string field key; ok is false when it is absent or null.
func (s *systemCall) text(key string) (value string, ok bool, err *callError) {
	raw, ok := s.fields[key]
	if !ok || string(raw) == "null" {
		return "", false, nil
	}
	if json.Unmarshal(raw, &value) != nil {
		return "", false, invalid(key, "must be a string")
	}
	return value, true, nil
}

// boundedText returns a string field of least to most characters.
func (s *systemCall) boundedText(key string, least, most int) (string, *callError) {
	value, ok, err := s.text(key)
	if err != nil {
		return "", err
	}
	if n := len([]rune(value)); !ok || n < least || n > most {
		return "", invalid(key, fmt.Sprintf("must be a string of %d to %d characters", least, most))
	}
	return value, nil
}

var statusSuccess = []byte(`{"status":"success"}`)

// success answers with the status and nothing else.
func (s *systemCall) success() *callError {
	s.answer(statusSuccess)
	return nil
}

// answer sends a complete JSON payload to the requester.
func (s *systemCall) answer(payload []byte) {
	s.l.send(s.c, s.l.responseHeader(s.h.Topic, s.h.Version, s.h.RequestID), payload, true)
}

// reply is an answer that is composed elsewhere and later.
type reply struct {
	to     *service
	header []byte
}

func (s *systemCall) later() reply {
	return reply{to: &s.c.service, header: bytes.Clone(s.l.responseHeader(s.h.Topic, s.h.Version, s.h.RequestID))}
}

// inBackground has the answer composed off the loop.
func (s *systemCall) inBackground(compose func(n *Node) []byte) *callError {
	n, r := s.l.node, s.later()
	if !n.background.run(func() { r.send(compose(n)) }) {
		return &callError{codec.ServiceUnavailable, "too many such requests wait", []codec.Detail{codec.TextDetail("reason", "busy")}}
	}
	return nil
}

// notify tells the subscribers of a system topic that the request has succeeded: its fields, and whose it was.
func (s *systemCall) notify(name string) {
	r := s.l.publishes.Lookup([]byte(name))
	if r.total == 0 {
		return
	}
	for key := range s.fields {
		if strings.EqualFold(key, "serviceId") { // in no spelling may a client say who it is
			delete(s.fields, key)
		}
	}
	b := append([]byte(`{"serviceId":"`), s.c.id.String()...)
	b = append(b, '"')
	if len(s.fields) > 0 {
		rest, err := json.Marshal(s.fields) // compact, keys sorted
		if err == nil {
			b = append(append(b, ','), rest[1:len(rest)-1]...)
		}
	}
	b = append(b, '}')
	s.l.header = append(append(append(s.l.header[:0], "publish:"...), name...), ":1.0.0\n"...)
	s.l.fanOut(r, s.l.header, b, true, nil, ackRef{})
}

func (s *systemCall) heartbeat() *callError { return s.success() }

// sendInitialize greets a new connection (protocol §4).
func (l *loop) sendInitialize(c *conn) {
	n := l.node
	b := append(l.notice[:0], "publish:system.initialize:1.0.0\n{\"serviceId\":\""...)
	b = c.id.Append(b)
	b = append(b, `","nodeId":"`...)
	b = n.id.Append(b)
	b = append(b, `","serverVersion":`...)
	b = codec.AppendJSONQuoted(b, n.version)
	b = append(b, `,"limits":{"payloadBytes":`...)
	b = strconv.AppendInt(b, int64(n.payloadMax), 10)
	b = append(b, `,"timeoutMs":`...)
	b = strconv.AppendUint(b, n.timeoutMaxMs, 10)
	b = append(b, `,"outstandingRequests":`...)
	b = strconv.AppendInt(b, n.maxOutstanding, 10)
	b = append(b, `},"heartbeat":{"retryMs":`...)
	b = strconv.AppendInt(b, n.heartbeatRetry, 10)
	b = append(b, `,"deregisterMs":`...)
	b = strconv.AppendInt(b, n.heartbeatDeregister, 10)
	l.notice = append(b, `}}`...)
	l.send(c, l.notice, nil, true)
}
