//go:build linux

package bench

import (
	"encoding/binary"

	"mbserver/bench/raw"
)

// rawWire speaks to package bench/raw: frames of a fixed length, agreed on in the hello, that are
// copied and never parsed. They are as long as the frames a node delivers over TCP, so that the
// socket work is the same.
type rawWire struct{}

func (w rawWire) hello(r role, topic string, slot, frame int) []byte {
	kind := map[role]byte{
		publisher: raw.Publisher, subscriber: raw.Subscriber, idler: raw.Subscriber,
		requester: raw.Requester, responder: raw.Responder,
	}[r]
	return raw.AppendHello(nil, raw.Hello{
		Role: kind, Slot: uint32(slot), Frame: uint32(frame), Channel: topic,
	})
}

func (rawWire) welcomed(in []byte) bool            { return len(in) == 1 }
func (rawWire) subscribe(role, string, int) []byte { return nil }
func (rawWire) subscribed([]byte) bool             { return true }

func (w rawWire) appendPublish(dst []byte, topic string, payload []byte) []byte {
	n := w.delivered(topic, len(payload))
	dst = append(dst, payload...)
	return append(dst, make([]byte, n-len(payload))...)
}

func (rawWire) delivered(topic string, payload int) int {
	return mbWire{}.delivered(topic, payload)
}

func (w rawWire) appendRequest(dst []byte, topic string, slot, _ int, payload []byte) []byte {
	begin := len(dst)
	dst = w.appendPublish(dst, topic, payload)
	binary.BigEndian.PutUint32(dst[begin:], uint32(slot))
	return dst
}

func (w rawWire) answered(topic string, payload int) int { return w.delivered(topic, payload) }

// answer sends everything back as it came: frames stay in order, so that a part of one may go
// ahead.
func (rawWire) answer(dst, in []byte) (out []byte, used int) { return append(dst, in...), len(in) }
