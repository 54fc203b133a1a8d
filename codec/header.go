package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
)

// Action is the first field of a header (protocol §2).
type Action uint8

const (
	Publish Action = iota + 1
	Request
	Response
)

var actionNames = [...]string{"", "publish", "request", "response"}

// String returns the action in lower case, as it goes out.
func (a Action) String() string {
	if int(a) < len(actionNames) && a != 0 {
		return actionNames[a]
	}
	return "action(" + strconv.Itoa(int(a)) + ")"
}

// Longest fields in bytes (protocol §2).
const (
	maxTopicLen    = 255
	maxTopicLevels = 5
	maxVersionLen  = 20
	uuidLen        = 36

	// The maximum header length without the digits of the largest timeout:
	// "8+1+255+1+20+1+36+1+36+1+digits of the largest timeout".
	fixedHeaderLen = 8 + 1 + maxTopicLen + 1 + maxVersionLen + 1 + uuidLen + 1 + uuidLen + 1
)

// Header is one parsed header line. The slices alias the message it was parsed from and live as
// long as that does.
type Header struct {
	Topic     []byte // as its sender spelled it
	Version   []byte
	RequestID []byte // nil when absent; 36 bytes otherwise
	ParentID  []byte // likewise
	TimeoutMs uint64 // milliseconds; 0 when absent
	Action    Action
	Lower     bool // Topic has no upper-case letter: it is its own canonical form
}

// HeaderError says what is wrong with a header; the connection lives (protocol §7).
type HeaderError struct {
	// Field is "header", "action", "topic", "version", "requestId", "parentRequestId" or "timeout".
	Field     string
	Reason    string // a sentence for the sender
	RequestID string // the fourth field, when that could be read
}

func (e *HeaderError) Error() string { return e.Field + ": " + e.Reason }

// MaxHeaderLen is the longest header line in bytes, its newline not counted, when timeoutMaxMs
// milliseconds is the largest timeout.
func MaxHeaderLen(timeoutMaxMs uint64) int {
	n := fixedHeaderLen + 1
	for ; timeoutMaxMs >= 10; timeoutMaxMs /= 10 {
		n++
	}
	return n
}

// ParseHeader splits msg into its header, checked against protocol §2, and its payload.
// timeoutMaxMs is the largest timeout allowed, in milliseconds. h and payload alias msg. A good
// header costs no allocation. Any goroutine.
func ParseHeader(msg []byte, timeoutMaxMs uint64) (h Header, payload []byte, err *HeaderError) {
	if payload, err = h.Parse(msg, timeoutMaxMs); err != nil {
		return Header{}, nil, err
	}
	return h, payload, nil
}

// Parse is ParseHeader into h, without the copy of what it returns. After an error h means nothing.
func (h *Header) Parse(msg []byte, timeoutMaxMs uint64) (payload []byte, err *HeaderError) {
	*h = Header{}
	var at int // index of the byte after the current field
	var field, reason string

	if h.Action, at = parseAction(msg); h.Action == 0 {
		return nil, malformed(msg, timeoutMaxMs, "action", "must be publish, request or response")
	}
	if at >= len(msg) || msg[at] != ':' {
		return nil, malformed(msg, timeoutMaxMs, "topic", "is missing")
	}

	start := at + 1
	if at, h.Lower, reason = scanTopic(msg, start); reason != "" {
		return nil, malformed(msg, timeoutMaxMs, "topic", reason)
	}
	h.Topic = msg[start:at:at]
	if at >= len(msg) || msg[at] != ':' {
		return nil, malformed(msg, timeoutMaxMs, "version", "is missing")
	}

	start = at + 1
	if at, reason = scanVersion(msg, start); reason != "" {
		return nil, malformed(msg, timeoutMaxMs, "version", reason)
	}
	h.Version = msg[start:at:at]

	if at < len(msg) && msg[at] == ':' {
		if at, field, reason = h.parseOptional(msg, at, timeoutMaxMs); reason != "" {
			return nil, malformed(msg, timeoutMaxMs, field, reason)
		}
	}
	// "The header ends at the first \n." "No newline within the maximum header length →
	// MALFORMED_MESSAGE."
	if at >= len(msg) || (at > fixedHeaderLen && at > MaxHeaderLen(timeoutMaxMs)) {
		return nil, malformed(msg, timeoutMaxMs, "header", "too long")
	}
	return msg[at+1:], nil
}

// parseAction reads the first field: "publish, request, response; any letter case in".
func parseAction(msg []byte) (a Action, end int) {
	const (
		publish  = 'p' | 'u'<<8 | 'b'<<16 | 'l'<<24 | 'i'<<32 | 's'<<40 | 'h'<<48
		request  = 'r' | 'e'<<8 | 'q'<<16 | 'u'<<24 | 'e'<<32 | 's'<<40 | 't'<<48
		response = 'r' | 'e'<<8 | 's'<<16 | 'p'<<24 | 'o'<<32 | 'n'<<40 | 's'<<48 | 'e'<<56
		lower7   = 0x00202020_20202020 // only a letter becomes a letter by setting this bit
		low7     = 0x00ffffff_ffffffff
		lower8   = 0x20202020_20202020
	)
	if len(msg) < 8 {
		return 0, 0
	}
	w := binary.LittleEndian.Uint64(msg)
	delimited := msg[7] == ':' || msg[7] == '\n'
	switch w&low7 | lower7 {
	case publish:
		if delimited {
			return Publish, 7
		}
	case request:
		if delimited {
			return Request, 7
		}
	}
	if w|lower8 == response && len(msg) > 8 && (msg[8] == ':' || msg[8] == '\n') {
		return Response, 8
	}
	return 0, 0
}

// parseOptional reads the fields after the version; msg[at] is the ':' before the first.
func (h *Header) parseOptional(
	msg []byte, at int, timeoutMaxMs uint64,
) (end int, field, reason string) {
	if h.RequestID, at, reason = scanID(msg, at+1); reason != "" {
		return at, "requestId", reason
	}
	if at >= len(msg) || msg[at] == '\n' {
		return at, "", ""
	}
	if h.ParentID, at, reason = scanID(msg, at+1); reason != "" {
		return at, "parentRequestId", reason
	}
	if at >= len(msg) || msg[at] == '\n' {
		return at, "", ""
	}
	start := at + 1
	if h.TimeoutMs, at, reason = scanTimeout(msg, start, timeoutMaxMs); reason != "" {
		return at, "timeout", reason
	}
	if at > start && h.Action != Request { // timeout: "only on request"
		return at, "timeout", "is allowed on a request only"
	}
	if at < len(msg) && msg[at] == ':' { // "More than six fields … → MALFORMED_MESSAGE"
		return at, "header", "has more than six fields"
	}
	return at, "", ""
}

// malformed builds the error of a bad header. That there is no newline outweighs every other fault:
// without one there is no header to speak of.
func malformed(msg []byte, timeoutMaxMs uint64, field, reason string) *HeaderError {
	limit := MaxHeaderLen(timeoutMaxMs)
	colons, fourth, fourthEnd, end := 0, 0, -1, -1
	for i := 0; i < len(msg) && i <= limit; i++ {
		if msg[i] != ':' && msg[i] != '\n' {
			continue
		}
		if colons == 3 {
			fourthEnd = i
		}
		if msg[i] == '\n' {
			end = i
			break
		}
		if colons++; colons == 3 {
			fourth = i + 1
		}
	}
	if end < 0 {
		field, reason = "header", "has no newline within "+strconv.Itoa(limit)+" bytes"
	}
	e := &HeaderError{Field: field, Reason: reason}
	if fourthEnd >= 0 && validUUID(msg[fourth:fourthEnd]) {
		e.RequestID = string(msg[fourth:fourthEnd])
	}
	return e
}

// RequestUUID is RequestID in binary. It must be there.
func (h *Header) RequestUUID() UUID { return uuidOf(uuidDigits((*[uuidLen]byte)(h.RequestID))) }

// Clone returns a copy that aliases nothing.
func (h *Header) Clone() Header {
	c := *h
	c.Topic, c.Version = bytes.Clone(h.Topic), bytes.Clone(h.Version)
	c.RequestID, c.ParentID = bytes.Clone(h.RequestID), bytes.Clone(h.ParentID)
	return c
}

// MajorVersion is the first number of the version. It is bounded by the version's 20 bytes; -1 only
// when h was not parsed.
func (h *Header) MajorVersion() int {
	n := 0
	for i, c := range h.Version {
		if c < '0' || c > '9' {
			if i == 0 {
				return -1
			}
			return n
		}
		if n > (math.MaxInt-9)/10 {
			return math.MaxInt
		}
		n = n*10 + int(c-'0')
	}
	return -1
}

// AppendStart appends the three fields that every header line begins with.
func AppendStart(dst []byte, a Action, topic, version []byte) []byte {
	switch a {
	case Publish:
		dst = append(dst, "publish:"...)
	case Request:
		dst = append(dst, "request:"...)
	case Response:
		dst = append(dst, "response:"...)
	default:
		dst = append(append(dst, a.String()...), ':')
	}
	dst = append(dst, topic...)
	dst = append(dst, ':')
	return append(dst, version...)
}

// AppendHeader appends h's line with its newline: the action in lower case, the topic as spelled,
// trailing empty fields omitted. h is not checked.
func AppendHeader(dst []byte, h *Header) []byte {
	dst = AppendStart(dst, h.Action, h.Topic, h.Version)
	if h.TimeoutMs != 0 || len(h.ParentID) != 0 || len(h.RequestID) != 0 {
		dst = append(dst, ':')
		dst = append(dst, h.RequestID...)
	}
	if h.TimeoutMs != 0 || len(h.ParentID) != 0 {
		dst = append(dst, ':')
		dst = append(dst, h.ParentID...)
	}
	if h.TimeoutMs != 0 {
		dst = append(dst, ':')
		dst = strconv.AppendUint(dst, h.TimeoutMs, 10)
	}
	return append(dst, '\n')
}
