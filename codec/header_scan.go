package codec

import (
	"encoding/binary"
	"math"
	"strconv"
)

// Byte classes of topics and versions.
const (
	classOther = iota
	classLower
	classUpper
	classDigit
	classDot
	classColon
)

var headerClass = func() (t [256]uint8) {
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = classLower, classUpper
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = classDigit
	}
	t['.'], t[':'] = classDot, classColon
	return t
}()

// scanTopic reads a topic up to its ':' or '\n': "1–5 levels joined by '.'; a level is a letter
// followed by letters and digits; at most 255 bytes."
func scanTopic(msg []byte, start int) (end int, lower bool, reason string) {
	levels, fresh := 1, true // fresh: the next byte begins a level
	lower = true
	i := start
scan:
	for ; i < len(msg); i++ {
		switch headerClass[msg[i]] {
		case classLower:
			fresh = false
		case classUpper:
			fresh, lower = false, false
		case classDigit:
			if fresh { // "a letter followed by …"
				return i, false, "a level must begin with a letter"
			}
		case classDot:
			if fresh {
				return i, false, "a level is empty"
			}
			fresh = true
			if levels++; levels > maxTopicLevels { // "1–5 levels"
				return i, false, "has more than 5 levels"
			}
		case classColon:
			break scan
		default:
			if msg[i] == '\n' {
				break scan
			}
			return i, false, "must consist of letters, digits and '.'"
		}
	}
	if i == start { // "an empty required field"
		return i, false, "is empty"
	}
	if fresh {
		return i, false, "a level is empty"
	}
	if i-start > maxTopicLen { // "at most 255 bytes"
		return i, false, "is longer than 255 bytes"
	}
	return i, lower, ""
}

// scanVersion reads a version up to its ':' or '\n': "MAJOR.MINOR.PATCH, decimal, no leading v, no
// pre-release, no build part, at most 20 bytes"; "leading zeros … in a version are not
// [allowed]".
func scanVersion(msg []byte, start int) (end int, reason string) {
	const shape = "must be MAJOR.MINOR.PATCH in decimal"
	if start+8 <= len(msg) && shortVersion(binary.LittleEndian.Uint64(msg[start:])) {
		return start + len("1.0.0"), ""
	}
	dots, part := 0, start // part: where the current number begins
	i := start
scan:
	for ; i < len(msg); i++ {
		switch headerClass[msg[i]] {
		case classDigit:
			if i == part+1 && msg[part] == '0' {
				return i, "must not have leading zeros"
			}
		case classDot:
			if i == part || dots == 2 {
				return i, shape
			}
			dots++
			part = i + 1
		case classColon:
			break scan
		default:
			if msg[i] == '\n' {
				break scan
			}
			return i, shape
		}
	}
	if i == start {
		return i, "is empty"
	}
	if dots != 2 || i == part {
		return i, shape
	}
	if i-start > maxVersionLen { // "at most 20 bytes"
		return i, "is longer than 20 bytes"
	}
	return i, ""
}

// shortVersion says that eight bytes begin with a version of three digits, which most are, and with
// what ends it.
func shortVersion(w uint64) bool {
	const (
		digits = 0xff_00_ff_00_ff
		dots   = 0x00_ff_00_ff_00
	)
	d := w&digits ^ '0'*(each&digits) // their values, if they are digits
	end := uint8(w >> 40)
	return (d|(d+(0x80-10)*(each&digits)))&highest == 0 && w&dots == '.'*(each&dots) &&
		(end == ':' || end == '\n')
}

// scanID reads an ID up to its ':' or '\n': "8-4-4-4-12 hexadecimal digits, any case … Either may
// be empty". It ends after 36 bytes or not at all.
func scanID(msg []byte, start int) (id []byte, end int, reason string) {
	if start >= len(msg) || msg[start] == ':' || msg[start] == '\n' {
		return nil, start, ""
	}
	end = start + uuidLen
	if end >= len(msg) || (msg[end] != ':' && msg[end] != '\n') || !validUUID(msg[start:end]) {
		return nil, start, "must be a UUID: 8-4-4-4-12 hexadecimal digits"
	}
	return msg[start:end:end], end, ""
}

// scanTimeout reads a timeout up to its ':' or '\n': "milliseconds, decimal, 1 …
// request.response.timeout.max"; leading zeros are allowed, an empty field is 0.
func scanTimeout(msg []byte, start int, maxMs uint64) (ms uint64, end int, reason string) {
	i, over := start, false
	for ; i < len(msg) && msg[i] != ':' && msg[i] != '\n'; i++ {
		d := msg[i] - '0'
		if d > 9 {
			return 0, i, "must be a decimal number of milliseconds"
		}
		if over || ms > (math.MaxUint64-9)/10 {
			over = true
			continue
		}
		ms = ms*10 + uint64(d)
	}
	if i > start && (over || ms == 0 || ms > maxMs) {
		return 0, i, "must be 1 to " + strconv.FormatUint(maxMs, 10) + " milliseconds"
	}
	return ms, i, ""
}
