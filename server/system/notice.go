package system

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"mbserver/codec"
	"mbserver/server/logging"
)

// What the node says by itself. Each text is a whole message: header line and payload, the payload
// JSON on one line. Appending allocates nothing when there is room, but for the audit. Not here:
// what the subscribers of system.service.register, system.topic.subscribe and
// system.topic.unsubscribe are told, which repeats a request's fields (system.go, notify; the
// header line is the broker's, in its system.go, Notify).

// Welcome is what a new connection is told (protocol §4).
type Welcome struct {
	ServiceID, NodeID         codec.UUID
	Version                   string
	PayloadBytes              int
	TimeoutMs                 uint64
	OutstandingRequests       int64
	HeartbeatMs, DeregisterMs int64 // heartbeat.retryMs and heartbeat.deregisterMs
	Auth                      *Identification
	Cluster, Node             string // names; "": the node is alone
}

// Identification is who a connection is, as it is told. Nil on a node without authentication.
type Identification struct {
	Required bool
	Identity string // "" until it is known
	Expires  int64  // Unix ms; 0: never
}

// AppendIdentified appends the answer to a token that is good:
//
//	{"status":"success","identity":"anna","expiresAt":"2027-01-31T12:00:00.000Z"}
func AppendIdentified(b []byte, id *Identification) []byte {
	return append(id.append(append(b, `{"status":"success"`...)), '}')
}

// append appends the members identity and expiresAt, each behind a comma, where they are known.
func (id *Identification) append(b []byte) []byte {
	if id.Identity == "" {
		return b
	}
	b = codec.AppendJSONQuoted(append(b, `,"identity":`...), id.Identity)
	if id.Expires != 0 {
		b = codec.AppendTimestamp(append(b, `,"expiresAt":"`...), id.Expires)
		b = append(b, '"')
	}
	return b
}

// AppendExpiring appends the notice that who a connection is ends soon (protocol §10):
//
//	{"expiresAt":"2027-01-31T12:00:00.000Z","expiresInMs":60000}
func AppendExpiring(b []byte, expires, inMs int64) []byte {
	b = append(b, "publish:system.auth.expiring:1.0.0\n{\"expiresAt\":\""...)
	b = codec.AppendTimestamp(b, expires)
	b = strconv.AppendInt(append(b, `","expiresInMs":`...), inMs, 10)
	return append(b, '}')
}

// AppendRevoked appends the notice that a subscription has ended because it is not permitted any
// more (protocol §10):
//
//	{"action":"publish","topic":"orders.#"}
func AppendRevoked(b []byte, action, pattern string) []byte {
	b = append(b, "publish:system.topic.revoked:1.0.0\n{\"action\":\""...)
	b = append(b, action...)
	b = codec.AppendJSONQuoted(append(b, `","topic":`...), pattern)
	return append(b, '}')
}

// AppendInitialize appends the greeting of a new connection:
//
//	{"serviceId":"…","nodeId":"…","serverVersion":"0.1.0","limits":{"payloadBytes":16384,…},
//	"heartbeat":{"retryMs":30000,"deregisterMs":60000}}
func AppendInitialize(b []byte, w *Welcome) []byte {
	b = append(b, "publish:system.initialize:1.0.0\n{\"serviceId\":\""...)
	b = w.ServiceID.Append(b)
	b = append(b, `","nodeId":"`...)
	b = w.NodeID.Append(b)
	b = append(b, `","serverVersion":`...)
	b = codec.AppendJSONQuoted(b, w.Version)
	b = append(b, `,"limits":{"payloadBytes":`...)
	b = strconv.AppendInt(b, int64(w.PayloadBytes), 10)
	b = append(b, `,"timeoutMs":`...)
	b = strconv.AppendUint(b, w.TimeoutMs, 10)
	b = append(b, `,"outstandingRequests":`...)
	b = strconv.AppendInt(b, w.OutstandingRequests, 10)
	b = append(b, `},"heartbeat":{"retryMs":`...)
	b = strconv.AppendInt(b, w.HeartbeatMs, 10)
	b = append(b, `,"deregisterMs":`...)
	b = strconv.AppendInt(b, w.DeregisterMs, 10)
	b = append(b, '}')
	if a := w.Auth; a != nil {
		b = strconv.AppendBool(append(b, `,"auth":{"required":`...), a.Required)
		b = append(a.append(b), '}')
	}
	if w.Cluster != "" {
		b = codec.AppendJSONQuoted(append(b, `,"cluster":{"name":`...), w.Cluster)
		b = append(codec.AppendJSONQuoted(append(b, `,"node":`...), w.Node), '}')
	}
	return append(b, '}')
}

// HeartbeatRequest asks a silent service for a sign of life (protocol §8).
const HeartbeatRequest = "request:" + HeartbeatTopic + ":1.0.0\n{}"

// DroppedMax is more than the longest text of AppendDropped with any framing, in bytes.
const DroppedMax = 192

// AppendDropped appends the notice about messages that a slow subscriber did not get
// (protocol §9): how many were lost, how many gave way to newer ones, and from when to when (Unix
// ms); conflated only when it is not 0:
//
//	{"count":3,"conflated":2,"since":"2026-11-23T20:14:02.118Z","until":"…"}
func AppendDropped(b []byte, lost, conflated int, since, until int64) []byte {
	b = append(b, "publish:system.dropped:1.0.0\n{\"count\":"...)
	b = strconv.AppendInt(b, int64(lost), 10)
	if conflated > 0 {
		b = append(b, `,"conflated":`...)
		b = strconv.AppendInt(b, int64(conflated), 10)
	}
	b = append(b, `,"since":"`...)
	b = codec.AppendTimestamp(b, since)
	b = append(b, `","until":"`...)
	b = codec.AppendTimestamp(b, until)
	return append(b, `"}`...)
}

// AppendMissed appends the notice about publishes that were lost between nodes (protocol §12), of
// which some may have been meant for who is told:
//
//	{"count":3,"atMost":true,"reason":"cluster","since":"2026-11-23T20:14:02.118Z","until":"…"}
func AppendMissed(b []byte, lost int, since, until int64) []byte {
	b = append(b, "publish:system.dropped:1.0.0\n{\"count\":"...)
	b = strconv.AppendInt(b, int64(lost), 10)
	b = append(b, `,"atMost":true,"reason":"cluster","since":"`...)
	b = codec.AppendTimestamp(b, since)
	b = append(b, `","until":"`...)
	b = codec.AppendTimestamp(b, until)
	return append(b, `"}`...)
}

// The states of AppendFlow.
const (
	FlowPaused  = "paused"
	FlowResumed = "resumed"
)

// AppendFlow appends what a publisher is told that is no longer read, or read on (protocol §9):
//
//	{"state":"paused","topic":"orders.created"}
func AppendFlow(b []byte, state, topic string) []byte {
	b = append(b, "publish:system.flow:1.0.0\n{\"state\":\""...)
	b = append(b, state...)
	b = append(b, `","topic":`...)
	b = codec.AppendJSONQuoted(b, topic)
	return append(b, '}')
}

// logModule is the module of a line that names none.
const logModule = "node"

// appendLogLine appends a line of the log. Its action is response, as existing consoles expect:
//
//	{"level":"warn","message":"…","module":"loop","timestamp":"…","serviceId":"…"}
func appendLogLine(b []byte, level int, line *logging.Line) []byte {
	return appendLogPayload(append(b, "response:"+LogTopic+":1.0.0\n"...), level, line)
}

// appendLogPayload is appendLogLine without the header line.
func appendLogPayload(b []byte, level int, line *logging.Line) []byte {
	b = append(b, `{"level":"`...)
	b = append(b, logLevels[level].name...)
	b = append(b, `","message":`...)
	b = codec.AppendJSONQuoted(b, line.Message)
	b = append(b, `,"module":`...)
	b = codec.AppendJSONQuoted(b, moduleOf(line))
	b = append(b, `,"timestamp":"`...)
	b = codec.AppendTimestamp(b, line.Time.UnixMilli())
	b = append(b, '"')
	b = append(b, line.Attrs...)
	return append(b, '}')
}

// AppendTaken appends the audit of a message that a service sent and that is well formed. unixMs is
// the time, timeoutMs the message's own timeout, or the default for what has none:
//
//	{"timestamp":"…","timeout":5000,"from":"…","message":{"header":{…},"payload":…}}
func AppendTaken(
	b []byte, unixMs int64, timeoutMs uint64, from codec.UUID, h *codec.Header, payload []byte,
) []byte {
	b = appendAuditStart(b, unixMs)
	b = append(b, `,"timeout":`...)
	b = strconv.AppendUint(b, timeoutMs, 10)
	b = append(b, `,"from":"`...)
	b = from.Append(b)
	b = append(b, `","message":`...)
	b = appendMessage(b, h, payload)
	return append(b, '}')
}

// AppendSent appends the audit of a message that a service was sent. maskedID is the request ID
// that the header's masked one replaced, "" when there was none; then maskedId is left out:
//
//	{"timestamp":"…","to":"…","message":{"header":{…},"payload":…},"maskedId":"…"}
func AppendSent(
	b []byte, unixMs int64, to codec.UUID, h *codec.Header, payload []byte, maskedID string,
) []byte {
	b = appendAuditStart(b, unixMs)
	b = append(b, `,"to":"`...)
	b = to.Append(b)
	b = append(b, `","message":`...)
	b = appendMessage(b, h, payload)
	if maskedID != "" {
		b = append(b, `,"maskedId":`...)
		b = codec.AppendJSONQuoted(b, maskedID)
	}
	return append(b, '}')
}

// AuditedTopic returns the topic of the message that an audit message shows, nil when there is none
// in this part of it. What the node writes before it holds no such text.
func AuditedTopic(audit []byte) []byte {
	_, after, _ := bytes.Cut(audit, []byte(`"topic":"`))
	name, _, whole := bytes.Cut(after, []byte{'"'})
	if !whole {
		return nil
	}
	return name
}

var authTopic, explainTopic = []byte(AuthTopic), []byte(ExplainTopic)

func appendAuditStart(b []byte, unixMs int64) []byte {
	b = append(b, "publish:"+MessageTopic+":1.0.0\n{\"timestamp\":\""...)
	b = codec.AppendTimestamp(b, unixMs)
	return append(b, '"')
}

// appendMessage appends a message as the audit shows it.
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
	if bytes.EqualFold(h.Topic, authTopic) || bytes.EqualFold(h.Topic, explainTopic) {
		// A token, or what became of one; of whatever topic what only some may see of it.
		return append(b, `"(not shown)"}`...)
	}
	return append(appendPayload(b, payload), '}')
}

// appendPayload appends JSON as itself on one line, other text as a string, and anything else in
// base64.
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

// AppendDrain appends what a client is told that has to go because its node is drained
// (protocol §11), both in ms from now: when to be elsewhere, and when it is cut at the latest:
//
//	{"reconnectAfterMs":2500,"deadlineMs":22000}
func AppendDrain(b []byte, reconnectAfter, deadline int64) []byte {
	b = append(b, "publish:system.drain:1.0.0\n{\"reconnectAfterMs\":"...)
	b = strconv.AppendInt(b, reconnectAfter, 10)
	b = strconv.AppendInt(append(b, `,"deadlineMs":`...), deadline, 10)
	return append(b, '}')
}
