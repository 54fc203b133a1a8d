//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"strconv"
)

// Peers without a request of their own are asked as their users do it: the request names a channel
// for the answer, which only the requester subscribes to. inbox is that channel; it stands at the
// beginning of the payload where the protocol has no place for it.
func inbox(slot int) string { return fmt.Sprintf("inbox%06d", slot) }

const inboxLen = len("inbox") + 6

// natsWire is NATS' text protocol. The server is started without pings.
type natsWire struct{}

func (natsWire) hello(role, string, int, int) []byte {
	return []byte("CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true," +
		"\"headers\":false,\"protocol\":0}\r\nPING\r\n")
}

func (natsWire) welcomed(in []byte) bool { return bytes.HasSuffix(in, []byte("PONG\r\n")) }

func (natsWire) subscribe(r role, pattern string, slot int) []byte {
	switch r {
	case publisher:
		return nil
	case requester:
		pattern = inbox(slot)
	}
	return []byte("SUB " + pattern + " 1\r\nPING\r\n")
}

func (natsWire) subscribed(in []byte) bool { return bytes.HasSuffix(in, []byte("PONG\r\n")) }

func (natsWire) appendPublish(dst []byte, topic string, payload []byte) []byte {
	dst = fmt.Appendf(dst, "PUB %s %d\r\n", topic, len(payload))
	return append(append(dst, payload...), "\r\n"...)
}

func (natsWire) delivered(topic string, payload int) int {
	return len("MSG ") + len(topic) + len(" 1 ") + len(strconv.Itoa(payload)) + 2 + payload + 2
}

func (natsWire) appendRequest(dst []byte, topic string, slot, _ int, payload []byte) []byte {
	dst = fmt.Appendf(dst, "PUB %s %s %d\r\n", topic, inbox(slot), len(payload))
	return append(append(dst, payload...), "\r\n"...)
}

func (w natsWire) answered(_ string, payload int) int { return w.delivered(inbox(0), payload) }

// answer reads MSG <subject> <sid> <reply> <length>.
func (natsWire) answer(dst, in []byte) (out []byte, used int) {
	for {
		rest := in[used:]
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return dst, used
		}
		line := rest[:end-1]
		at := bytes.LastIndexByte(line, ' ')
		size := decimal(line[at+1:])
		if len(rest) < end+1+size+2 {
			return dst, used
		}
		reply := line[bytes.LastIndexByte(line[:at], ' ')+1:]
		dst = append(append(dst, "PUB "...), reply...) // with the length, which stays
		dst = append(append(dst, "\r\n"...), rest[end+1:end+1+size+2]...)
		used += end + 1 + size + 2
	}
}

// decimal reads a number that a server wrote; 0 when it is none.
func decimal(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// redisWire is RESP3, with which a connection may publish and be subscribed.
type redisWire struct{}

func (redisWire) hello(role, string, int, int) []byte { return []byte("HELLO 3\r\nPING\r\n") }

func (redisWire) welcomed(in []byte) bool { return bytes.HasSuffix(in, []byte("+PONG\r\n")) }

func (redisWire) subscribe(r role, pattern string, slot int) []byte {
	switch r {
	case publisher:
		return nil
	case requester:
		pattern = inbox(slot)
	}
	return []byte("SUBSCRIBE " + pattern + "\r\n")
}

func (redisWire) subscribed(in []byte) bool {
	return bytes.Contains(in, []byte("subscribe")) && bytes.HasSuffix(in, []byte(":1\r\n"))
}

func (redisWire) appendPublish(dst []byte, topic string, payload []byte) []byte {
	dst = appendPublishHead(dst, topic, len(payload))
	return append(append(dst, payload...), "\r\n"...)
}

func appendPublishHead[T string | []byte](dst []byte, topic T, payload int) []byte {
	dst = append(dst, "*3\r\n$7\r\nPUBLISH\r\n$"...)
	dst = strconv.AppendInt(dst, int64(len(topic)), 10)
	dst = append(append(append(dst, "\r\n"...), topic...), "\r\n$"...)
	dst = strconv.AppendInt(dst, int64(payload), 10)
	return append(dst, "\r\n"...)
}

func (redisWire) delivered(topic string, payload int) int {
	return len(">3\r\n$7\r\nmessage\r\n") + bulk(len(topic)) + bulk(payload)
}

// bulk is the length of a string of n bytes in RESP.
func bulk(n int) int { return len("$") + len(strconv.Itoa(n)) + 2 + n + 2 }

func (w redisWire) appendRequest(dst []byte, topic string, slot, _ int, payload []byte) []byte {
	body := append([]byte(inbox(slot)), payload[min(inboxLen, len(payload)):]...)
	return w.appendPublish(dst, topic, body)
}

// answered: the number of receivers of the request, and the answer.
func (w redisWire) answered(_ string, payload int) int {
	return len(":1\r\n") + w.delivered(inbox(0), payload)
}

// answer reads pushes of messages, and skips the numbers that its own answers are answered with.
func (redisWire) answer(dst, in []byte) (out []byte, used int) {
	const head = len(">3\r\n$7\r\nmessage\r\n")
	for {
		rest := in[used:]
		if len(rest) > 0 && rest[0] == ':' {
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				return dst, used
			}
			used += end + 1
			continue
		}
		if len(rest) < head {
			return dst, used
		}
		_, topicLen, ok := bulkAt(rest[head:])
		if !ok {
			return dst, used
		}
		payload, payloadLen, ok := bulkAt(rest[head+topicLen:])
		if !ok {
			return dst, used
		}
		dst = appendPublishHead(dst, payload[:inboxLen], len(payload))
		dst = append(append(dst, payload...), "\r\n"...)
		used += head + topicLen + payloadLen
	}
}

// bulkAt reads the string that in begins with; n is its whole length in RESP.
func bulkAt(in []byte) (s []byte, n int, ok bool) {
	end := bytes.IndexByte(in, '\n')
	if end < 2 {
		return nil, 0, false
	}
	size := decimal(in[1 : end-1])
	n = end + 1 + size + 2
	if len(in) < n {
		return nil, 0, false
	}
	return in[end+1 : end+1+size], n, true
}
