//go:build linux

package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// mbWire speaks the protocol of docs/protocol.md over TCP or WebSocket.
type mbWire struct{ ws bool }

const (
	mbVersion = ":1.0.0"
	uuidLen   = 36
	upgrade   = "GET / HTTP/1.1\r\nHost: localhost\r\n" +
		"Upgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

// wsKey masks every frame of the generator: any value costs the server the same.
var wsKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

func (w mbWire) hello(role, string, int, int) []byte {
	if w.ws {
		return []byte(upgrade)
	}
	return nil
}

func (w mbWire) welcomed(in []byte) bool {
	if w.ws {
		end := bytes.Index(in, []byte("\r\n\r\n"))
		if end < 0 {
			return false
		}
		in = in[end+4:]
	}
	return w.whole(in) && bytes.Contains(in, []byte("system.initialize"))
}

// whole reports whether in is exactly one frame from the server.
func (w mbWire) whole(in []byte) bool {
	if w.ws {
		head, size, ok := wsHead(in)
		return ok && len(in) == head+size
	}
	return len(in) >= 4 && len(in) == 4+int(binary.BigEndian.Uint32(in))
}

func (w mbWire) subscribe(r role, pattern string, slot int) []byte {
	action := "publish"
	switch r {
	case responder:
		action = "request"
	case publisher, requester:
		return nil
	}
	request := fmt.Appendf(nil,
		"request:system.topic.subscribe:1.0.0:%s\n{\"action\":%q,\"topic\":%q}",
		requestID(slot, 0), action, pattern)
	return w.appendFrame(nil, request)
}

func (w mbWire) subscribed(in []byte) bool {
	return w.whole(in) && bytes.Contains(in, []byte(`"status":"success"`))
}

func (w mbWire) appendPublish(dst []byte, topic string, payload []byte) []byte {
	return w.appendFrame(dst, append([]byte("publish:"+topic+mbVersion+"\n"), payload...))
}

func (w mbWire) delivered(topic string, payload int) int {
	return w.framed(len("publish:") + len(topic) + len(mbVersion) + 1 + uuidLen + 1 + payload)
}

func (w mbWire) appendRequest(dst []byte, topic string, slot, number int, payload []byte) []byte {
	head := "request:" + topic + mbVersion + ":" + requestID(slot, number) + "\n"
	return w.appendFrame(dst, append([]byte(head), payload...))
}

func (w mbWire) answered(topic string, payload int) int {
	return w.framed(len("response:") + len(topic) + len(mbVersion) + 1 + uuidLen + 1 + payload)
}

// answer turns request frames into response frames: only the action differs.
func (w mbWire) answer(dst, in []byte) (out []byte, used int) {
	for {
		rest := in[used:]
		head, size := 4, 0
		if w.ws {
			var ok bool
			if head, size, ok = wsHead(rest); !ok {
				return dst, used
			}
		} else {
			if len(rest) < 4 {
				return dst, used
			}
			size = int(binary.BigEndian.Uint32(rest))
		}
		if len(rest) < head+size {
			return dst, used
		}
		body := rest[head+len("request") : head+size]
		used += head + size
		if !w.ws {
			dst = binary.BigEndian.AppendUint32(dst, uint32(len("response")+len(body)))
			dst = append(append(dst, "response"...), body...)
			continue
		}
		dst = appendWSHead(dst, len("response")+len(body))
		begin := len(dst)
		dst = append(append(dst, "response"...), body...)
		mask(dst[begin:])
	}
}

func (w mbWire) framed(n int) int {
	switch {
	case !w.ws:
		return 4 + n
	case n < 126:
		return 2 + n
	case n < 1<<16:
		return 4 + n
	}
	return 10 + n
}

func (w mbWire) appendFrame(dst, message []byte) []byte {
	if !w.ws {
		return append(binary.BigEndian.AppendUint32(dst, uint32(len(message))), message...)
	}
	dst = appendWSHead(dst, len(message))
	begin := len(dst)
	dst = append(dst, message...)
	mask(dst[begin:])
	return dst
}

// requestID is unique among the requests in flight of one run.
func requestID(slot, number int) string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", slot, number)
}

// wsHead parses the head of a frame from a server (RFC 6455 §5.2): unmasked. ok is false when more
// bytes are needed.
func wsHead(in []byte) (head, size int, ok bool) {
	if len(in) < 2 {
		return 0, 0, false
	}
	switch n := int(in[1] & 0x7f); {
	case n < 126:
		return 2, n, true
	case n == 126:
		if len(in) < 4 {
			return 0, 0, false
		}
		return 4, int(binary.BigEndian.Uint16(in[2:])), true
	}
	if len(in) < 10 {
		return 0, 0, false
	}
	return 10, int(binary.BigEndian.Uint64(in[2:])), true
}

// appendWSHead appends the head of a masked text frame of n bytes.
func appendWSHead(dst []byte, n int) []byte {
	const finText, masked = 0x81, 0x80
	switch {
	case n < 126:
		dst = append(dst, finText, masked|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, finText, masked|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, finText, masked|127), uint64(n))
	}
	return append(dst, wsKey[:]...)
}

// mask masks b in place with wsKey (RFC 6455 §5.3), eight bytes at a time.
func mask(b []byte) {
	half := binary.LittleEndian.Uint32(wsKey[:])
	key := uint64(half)<<32 | uint64(half)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^key)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= wsKey[i%4]
	}
}
