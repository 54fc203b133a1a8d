package system

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"
)

// fieldNames are the members of a request's payload that mean something to some handler. Others are
// passed over: to keep ten thousand of them would keep the loop.
var fieldNames = map[string]bool{
	"action": true, "topic": true, "priority": true, "overflow": true, "conflate": true,
	"name": true, "description": true, "maxConcurrent": true, "metadata": true,
	"serviceId": true, "levels": true, "regex": true, "token": true,
	"showAll": true, "paramFilter": true,
	"reason": true, "durationMs": true, "rate": true, "cancel": true,
	"scope": true, "requestId": true, "identity": true, "payloadBytes": true, "armMs": true,
}

// fieldMax is how many bytes of JSON one of them may take: the longest description, every character
// of it escaped, and some.
const fieldMax = 16 << 10

// parseFields puts the members that mean something into fields; of those with one name the last.
// The values alias the payload. ok is false when it is no JSON object in UTF-8 (RFC 8259 §8.1).
func parseFields(payload []byte, fields map[string]json.RawMessage) (ok bool) {
	if !utf8.Valid(payload) || !json.Valid(payload) {
		return false
	}
	var plain [32]byte
	return eachMember(payload, func(name, value []byte) {
		if bytes.IndexByte(name, '\\') >= 0 {
			name = unescape(plain[:0], name)
		}
		if fieldNames[string(name)] {
			fields[string(name)] = value
		}
	})
}

// unescape appends to dst, as far as that has room, what a JSON string spells, if that is ASCII;
// otherwise nothing: all that is looked for is.
func unescape(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' {
			if text[i+1] != 'u' {
				return dst[:0]
			}
			n, _ := strconv.ParseUint(string(text[i+2:i+6]), 16, 16) // it is valid
			if n >= utf8.RuneSelf {
				return dst[:0]
			}
			c, i = byte(n), i+5
		}
		if len(dst) == cap(dst) {
			return dst[:0]
		}
		dst = append(dst, c)
	}
	return dst
}

// nameOf returns what the name of a member spells.
func nameOf(name []byte) string {
	if bytes.IndexByte(name, '\\') < 0 {
		return string(name) // most: encoding/json would take four times the memory
	}
	var text string
	_ = json.Unmarshal(slices.Concat([]byte{'"'}, name, []byte{'"'}), &text) // it is valid
	return text
}

// textOf returns what a JSON string spells; ok is false when valid is valid JSON but no string.
func textOf(valid []byte) (text string, ok bool) {
	if len(valid) == 0 || valid[0] != '"' {
		return "", false
	}
	return nameOf(valid[1 : len(valid)-1]), true
}

// eachMember calls f for each member of a JSON object in order, and is false when valid is valid
// JSON but no object. name is as it was escaped, without its quotes, value on as many lines as it
// came.
func eachMember(valid []byte, f func(name, value []byte)) bool {
	b := bytes.TrimLeft(valid, jsonSpace)
	if len(b) == 0 || b[0] != '{' {
		return false
	}
	for b = bytes.TrimLeft(b[1:], jsonSpace); b[0] == '"'; b = bytes.TrimLeft(b, jsonSpace+",") {
		end := valueEnd(b)
		name := b[1 : end-1]
		b = bytes.TrimLeft(b[end:], jsonSpace+":")
		end = valueEnd(b)
		f(name, b[:end])
		b = b[end:]
	}
	return true
}

const jsonSpace = " \t\r\n"

// valueEnd returns where the JSON value ends with which b begins.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // of what it stands in
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n', ':':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

// tooLong returns the error for a field that is longer than any may be, or nil.
func tooLong(fields map[string]json.RawMessage) *Error {
	for name, value := range fields {
		if len(value) > fieldMax {
			return invalid(name, "is too long")
		}
	}
	return nil
}
