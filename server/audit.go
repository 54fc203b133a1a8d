package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"sync/atomic"
	"unicode/utf8"

	"mbserver/codec"
	"mbserver/ringbuf"
)

// messageTopic is where the audit goes (protocol §8): its subscribers are counted, because an audit that nobody reads
// must cost nothing.
const messageTopic = "system.message"

var messageTopicName = []byte(messageTopic)

// audit is the stream of system.message: what the node takes and what it sends.
type audit struct {
	subscribers atomic.Int32
}

// audited says whether somebody reads the audit. It is the whole cost of the audit while nobody does. Any goroutine.
func (n *Node) audited() bool { return n.audit.subscribers.Load() > 0 }

// auditStart begins an audit message. Its maker is in the middle of something that still uses the loop's scratch space,
// so every audit message has a buffer of its own.
func (l *loop) auditStart() *ringbuf.Shared {
	body := ringbuf.NewShared()
	b := append(body.B, "publish:system.message:1.0.0\n{\"timestamp\":\""...)
	b = codec.AppendTimestamp(b, l.time.Unix)
	body.B = append(b, '"')
	return body
}

// auditTaken reports a message that c sent and that is well formed. timeout is the deadline in ms that a request gets
// (its own or the node's default); what has no deadline says 0.
func (l *loop) auditTaken(c *conn, h *codec.Header, payload []byte) {
	body := l.auditStart()
	timeout := uint64(0)
	if h.Action == codec.Request {
		if timeout = h.TimeoutMs; timeout == 0 {
			timeout = uint64(l.node.timeoutDefaultMs)
		}
	}
	b := append(body.B, `,"timeout":`...)
	b = strconv.AppendUint(b, timeout, 10)
	b = append(b, `,"from":"`...)
	b = c.id.Append(b)
	b = append(b, `","message":`...)
	b = appendMessage(b, h, payload)
	body.B = append(b, '}')
	l.auditPublish(body)
}

// auditSent reports a message that c was sent.
func (l *loop) auditSent(c *conn, m *outgoing) {
	h, payload, err := codec.ParseHeader(m.header, l.node.timeoutMaxMs)
	if err != nil {
		return // the node wrote it: it parses
	}
	if m.payload != nil {
		payload = m.payload
	}
	body := l.auditStart()
	b := append(body.B, `,"to":"`...)
	b = c.id.Append(b)
	b = append(b, `","message":`...)
	b = appendMessage(b, &h, payload)
	if m.original != "" {
		b = append(b, `,"maskedId":`...)
		b = codec.AppendJSONQuoted(b, m.original)
	}
	body.B = append(b, '}')
	l.auditPublish(body)
}

// appendMessage writes a message as the audit shows it.
func appendMessage(b []byte, h *codec.Header, payload []byte) []byte {
	b = append(b, `{"header":{"action":"`...)
	b = append(b, h.Action.String()...)
	b = append(b, `","topic":"`...)
	b = append(b, h.Topic...) // neither it nor the version can hold what JSON would escape
	b = append(b, `","version":"`...)
	b = append(b, h.Version...)
	b = append(b, '"')
	if h.RequestID != nil {
		b = append(append(append(b, `,"requestId":"`...), h.RequestID...), '"')
	}
	if h.ParentID != nil {
		b = append(append(append(b, `,"parentRequestId":"`...), h.ParentID...), '"')
	}
	if h.TimeoutMs > 0 {
		b = strconv.AppendUint(append(b, `,"timeout":`...), h.TimeoutMs, 10)
	}
	b = append(b, `},"payload":`...)
	return append(appendPayload(b, payload), '}')
}

// appendPayload writes JSON as itself on one line, other text as a string, and anything else in base64.
func appendPayload(b, payload []byte) []byte {
	if !utf8.Valid(payload) {
		b = base64.StdEncoding.AppendEncode(append(b, '"'), payload)
		return append(b, `","encoding":"base64"`...)
	}
	out := bytes.NewBuffer(b)
	if json.Compact(out, payload) == nil {
		return out.Bytes()
	}
	return codec.AppendJSONString(b, payload)
}

// auditPublish delivers an audit message and gives body back. It is droppable like any publish, and not audited.
func (l *loop) auditPublish(body *ringbuf.Shared) {
	r := l.publishes.Lookup(messageTopicName)
	m := outgoingOf(body, true, 0)
	l.deliver(r, &m)
	postGroups(r.remote, envelope{kind: envelopePublish, unaudited: true, packed: whole(body, true)})
	body.Release()
}
