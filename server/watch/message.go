package watch

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"mbserver/codec"
)

// Message is a message as it is shown: a copy, its payload cut.
type Message struct {
	At        int64 // Unix ms: when it came in
	Action    codec.Action
	Topic     string // as it was written
	Version   string
	RequestID string // "" when it has none
	ParentID  string // "" when it has none
	TimeoutMs uint64 // 0 when it names none
	From      codec.UUID
	Reached   int    // to how many a publish went; 0: nobody was subscribed
	Bytes     int    // of the whole payload
	Payload   []byte // its beginning
}

// Shown is what of a message may be seen.
type Shown struct {
	Sender  bool // who sent it
	Payload bool
}

// Append appends the message as JSON on one line:
//
//	{"at":1764522629000,"action":"publish","topic":"a.b","version":"1.0.0","from":"…",
//	"subscribers":2,"bytes":13,"payload":{"delay":42},"encoding":"json"}
//
// requestId, parentRequestId and timeout stand there when the message has them, subscribers with a
// publish. A payload that is JSON and whole is "json", other text is a string, "text", and all else
// a string of base64, "base64"; "cut":true says that there is more of it. One that may not be seen
// is "hidden":true.
func (m *Message) Append(b []byte, may Shown) []byte {
	b = strconv.AppendInt(append(b, `{"at":`...), m.At, 10)
	b = append(append(b, `,"action":"`...), m.Action.String()...)
	b = codec.AppendJSONQuoted(append(b, `","topic":`...), m.Topic)
	b = codec.AppendJSONQuoted(append(b, `,"version":`...), m.Version)
	if m.RequestID != "" {
		b = codec.AppendJSONQuoted(append(b, `,"requestId":`...), m.RequestID)
	}
	if m.ParentID != "" {
		b = codec.AppendJSONQuoted(append(b, `,"parentRequestId":`...), m.ParentID)
	}
	if m.TimeoutMs > 0 {
		b = strconv.AppendUint(append(b, `,"timeout":`...), m.TimeoutMs, 10)
	}
	if may.Sender {
		b = append(m.From.Append(append(b, `,"from":"`...)), '"')
	}
	if m.Action == codec.Publish {
		b = strconv.AppendInt(append(b, `,"subscribers":`...), int64(m.Reached), 10)
	}
	b = strconv.AppendInt(append(b, `,"bytes":`...), int64(m.Bytes), 10)
	if !may.Payload {
		return append(b, `,"hidden":true}`...)
	}
	return append(m.appendPayload(append(b, `,"payload":`...)), '}')
}

// appendPayload appends the payload and how it is written.
func (m *Message) appendPayload(b []byte) []byte {
	cut := len(m.Payload) < m.Bytes
	if !cut && utf8.Valid(m.Payload) {
		out := bytes.NewBuffer(b)
		if json.Compact(out, m.Payload) == nil {
			return append(out.Bytes(), `,"encoding":"json"`...)
		}
	}
	text := m.Payload
	if cut {
		text = whole(text)
	}
	if utf8.Valid(text) {
		b = append(codec.AppendJSONString(b, text), `,"encoding":"text"`...)
	} else {
		b = base64.StdEncoding.AppendEncode(append(b, '"'), m.Payload)
		b = append(b, `","encoding":"base64"`...)
	}
	if cut {
		b = append(b, `,"cut":true`...)
	}
	return b
}

// whole returns text without a character that was cut at its end.
func whole(text []byte) []byte {
	for n := 1; n <= min(utf8.UTFMax-1, len(text)); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return text[:len(text)-n]
			}
			break
		}
	}
	return text
}
