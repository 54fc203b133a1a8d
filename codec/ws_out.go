package codec

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const (
	wsFin  = 0x80
	wsRSV  = 0x70
	wsRSV1 = 0x40
	wsMask = 0x80

	maxControlLen     = ws.MaxControlFramePayloadSize
	maxCloseReasonLen = maxControlLen - 2
)

// opcodes by Kind (RFC 6455 §5.2).
var opcodes = [...]ws.OpCode{
	Binary: ws.OpBinary, Text: ws.OpText, Ping: ws.OpPing, Pong: ws.OpPong, Close: ws.OpClose,
}

// AppendWSHeader appends the header of a whole, unmasked frame of n bytes, as a server sends it
// (RFC 6455 §5.2). k is not None.
func AppendWSHeader(dst []byte, k Kind, n int) []byte {
	return appendWSHeader(dst, k, n, 0)
}

// AppendWSDeflateHeader is AppendWSHeader for a message of n bytes that Deflate has compressed (RFC
// 7692 §6). k is Text or Binary.
func AppendWSDeflateHeader(dst []byte, k Kind, n int) []byte {
	at := len(dst)
	dst = appendWSHeader(dst, k, n, 0)
	dst[at] |= wsRSV1
	return dst
}

func appendWSHeader(dst []byte, k Kind, n int, mask byte) []byte {
	first := wsFin | byte(opcodes[k])
	switch {
	case n <= 125:
		return append(dst, first, mask|byte(n))
	case n <= 0xffff:
		return append(dst, first, mask|126, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, mask|127), uint64(n))
	}
}

// AppendWSFrame appends a whole frame masked with key, as a client sends it.
func AppendWSFrame(dst []byte, k Kind, key [4]byte, payload []byte) []byte {
	dst = appendWSHeader(dst, k, len(payload), wsMask)
	dst = append(dst, key[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	unmask(dst[start:], key, 0)
	return dst
}

// AppendClosePayload appends a Close frame's payload: code and reason, the latter valid UTF-8 and
// cut to 123 bytes at a rune boundary (RFC 6455 §5.5).
func AppendClosePayload(dst []byte, code uint16, reason string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, code)
	if !utf8.ValidString(reason) {
		reason = strings.ToValidUTF8(reason, "\ufffd")
	}
	if len(reason) > maxCloseReasonLen {
		cut := maxCloseReasonLen
		for !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	return append(dst, reason...)
}

// EchoCloseCode is the code to answer a peer's Close payload with: its own (RFC 6455 §5.5.1), 1000
// when it gave none.
func EchoCloseCode(payload []byte) uint16 {
	if len(payload) == 0 {
		return CloseNormal
	}
	if len(payload) == 1 || !validCloseCode(binary.BigEndian.Uint16(payload)) {
		return CloseProtocolError
	}
	return binary.BigEndian.Uint16(payload)
}

// validCloseCode reports whether a peer may send code (RFC 6455 §7.4 and the IANA registry): 1005,
// 1006 and 1015 "MUST NOT be set", 1004 has no meaning, 3000–4999 belong to libraries and
// applications, the rest is not assigned.
func validCloseCode(code uint16) bool {
	c := ws.StatusCode(code)
	switch {
	case c.IsApplicationSpec() || c.IsPrivateSpec():
		return true
	case 1012 <= c && c <= 1014:
		// Service restart, try again later, bad gateway: registered after the RFC.
		return true
	}
	return c.IsProtocolDefined() && !c.IsProtocolReserved()
}
