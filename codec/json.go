package codec

import (
	"strconv"
	"unicode/utf8"
	"unsafe"
)

const hexDigits = "0123456789abcdef"

// AppendJSONString appends s as a JSON string (RFC 8259 §7), quoted and on one line. Bytes that
// are not UTF-8 become U+FFFD. No allocation when dst has room.
func AppendJSONString(dst []byte, s []byte) []byte {
	// The string is only read, and not kept.
	return AppendJSONQuoted(dst, unsafe.String(unsafe.SliceData(s), len(s)))
}

// AppendJSONQuoted is AppendJSONString for a string.
func AppendJSONQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	plain := 0 // s[plain:i] needs no escape and is not written yet
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				dst = append(dst, s[plain:i]...)
				dst = append(dst, "\ufffd"...)
				plain = i + size
			case r == '\u2028' || r == '\u2029':
				// Line separators to some readers: one line means one line.
				dst = append(dst, s[plain:i]...)
				dst = append(dst, `\u202`...)
				dst = append(dst, hexDigits[r&15])
				plain = i + size
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[plain:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		plain = i
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}

// AppendJSONNumber appends f, which is finite, as a JSON number that reads back as f. No allocation
// when dst has room.
func AppendJSONNumber(dst []byte, f float64) []byte {
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}
