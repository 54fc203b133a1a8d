//go:build linux

package bench

import (
	"bytes"
	"encoding/binary"
)

// mqttWire is MQTT 3.1.1 with QoS 0.
type mqttWire struct{}

// Packet types with their flags (MQTT 3.1.1 §2.2).
const (
	mqttConnect   = 0x10
	mqttPublish   = 0x30
	mqttSubscribe = 0x82
)

// hello has no keep-alive, a clean session and leaves the client's name to the server.
func (mqttWire) hello(role, string, int, int) []byte {
	return []byte{mqttConnect, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 0}
}

func (mqttWire) welcomed(in []byte) bool { return bytes.Equal(in, []byte{0x20, 2, 0, 0}) }

func (mqttWire) subscribe(r role, pattern string, slot int) []byte {
	switch r {
	case publisher:
		return nil
	case requester:
		pattern = inbox(slot)
	}
	m := append([]byte{mqttSubscribe}, mqttLength(2+2+len(pattern)+1)...)
	m = append(m, 0, 1)
	m = binary.BigEndian.AppendUint16(m, uint16(len(pattern)))
	return append(append(m, pattern...), 0)
}

func (mqttWire) subscribed(in []byte) bool { return bytes.Equal(in, []byte{0x90, 3, 0, 1, 0}) }

func (mqttWire) appendPublish(dst []byte, topic string, payload []byte) []byte {
	return appendMQTT(dst, topic, payload)
}

func appendMQTT[T string | []byte](dst []byte, topic T, payload []byte) []byte {
	dst = append(dst, mqttPublish)
	n := 2 + len(topic) + len(payload)
	for ; n >= 128; n >>= 7 {
		dst = append(dst, byte(n)|128)
	}
	dst = append(dst, byte(n))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(topic)))
	return append(append(dst, topic...), payload...)
}

// mqttLength is the variable length encoding (MQTT 3.1.1 §2.2.3).
func mqttLength(n int) []byte {
	var b []byte
	for ; n >= 128; n >>= 7 {
		b = append(b, byte(n)|128)
	}
	return append(b, byte(n))
}

func (mqttWire) delivered(topic string, payload int) int {
	n := 2 + len(topic) + payload
	return 1 + len(mqttLength(n)) + n
}

func (w mqttWire) appendRequest(dst []byte, topic string, slot, _ int, payload []byte) []byte {
	body := append([]byte(inbox(slot)), payload[min(inboxLen, len(payload)):]...)
	return w.appendPublish(dst, topic, body)
}

func (w mqttWire) answered(_ string, payload int) int { return w.delivered(inbox(0), payload) }

// answer reads PUBLISH packets, the only ones a QoS 0 subscriber gets.
func (mqttWire) answer(dst, in []byte) (out []byte, used int) {
	for {
		rest := in[used:]
		size, at := 0, 1
		for shift := 0; ; shift += 7 {
			if at >= len(rest) {
				return dst, used
			}
			b := rest[at]
			size |= int(b&127) << shift
			at++
			if b < 128 {
				break
			}
		}
		if len(rest) < at+size {
			return dst, used
		}
		body := rest[at : at+size]
		payload := body[2+int(binary.BigEndian.Uint16(body)):]
		dst = appendMQTT(dst, payload[:inboxLen], payload)
		used += at + size
	}
}
