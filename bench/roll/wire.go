//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Opcodes of RFC 6455 §5.2; over TCP everything is opText.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
)

// event is what came out of a connection. Its data is valid until the next call.
type event struct {
	opcode byte
	data   []byte
}

// wire cuts what a node writes into events, however it arrives. One goroutine.
type wire struct {
	ws       bool
	upgraded bool // the HTTP answer is behind us
	in       []byte
}

func (w *wire) feed(b []byte) { w.in = append(w.in, b...) }

// next returns the next event; ok is false when there is no whole one yet.
func (w *wire) next() (e event, ok bool, err error) {
	if !w.ws {
		if len(w.in) < 4 {
			return event{}, false, nil
		}
		n := 4 + int(binary.BigEndian.Uint32(w.in))
		if len(w.in) < n {
			return event{}, false, nil
		}
		e = event{opText, w.in[4:n]}
		w.in = w.in[n:]
		return e, true, nil
	}
	if !w.upgraded {
		head, rest, found := bytes.Cut(w.in, []byte("\r\n\r\n"))
		if !found {
			return event{}, false, nil
		}
		if status, _, _ := strings.Cut(string(head), "\r\n"); !strings.Contains(status, " 101 ") {
			return event{}, false, refusal(reasonOf(rest, status))
		}
		w.in, w.upgraded = rest, true
	}
	return w.nextFrame()
}

// nextFrame reads one frame of a server: unmasked, and never fragmented.
func (w *wire) nextFrame() (e event, ok bool, err error) {
	if len(w.in) < 2 {
		return event{}, false, nil
	}
	if w.in[0]&0x80 == 0 || w.in[1]&0x80 != 0 {
		return event{}, false, errors.New("a frame that is fragmented or masked")
	}
	at, n := 2, int(w.in[1])
	switch n {
	case 126:
		at = 4
	case 127:
		at = 10
	}
	if len(w.in) < at {
		return event{}, false, nil
	}
	switch at {
	case 4:
		n = int(binary.BigEndian.Uint16(w.in[2:]))
	case 10:
		n = int(binary.BigEndian.Uint64(w.in[2:]))
	}
	if len(w.in) < at+n {
		return event{}, false, nil
	}
	e = event{w.in[0] & 0x0f, w.in[at : at+n]}
	w.in = w.in[at+n:]
	return e, true, nil
}

// closeCode is the code of a close frame's payload.
func closeCode(payload []byte) int {
	if len(payload) < 2 {
		return 1005
	}
	return int(binary.BigEndian.Uint16(payload))
}

// message is one that arrived. It is valid as long as its event.
type message struct {
	action, topic, id string
	payload           []byte
}

func parse(data []byte) message {
	header, payload, _ := bytes.Cut(data, []byte("\n"))
	fields := strings.SplitN(string(header), ":", 5)
	m := message{payload: payload}
	if len(fields) > 1 {
		m.action, m.topic = fields[0], fields[1]
	}
	if len(fields) > 3 {
		m.id = fields[3]
	}
	return m
}

// refusal is why a connection was not let in.
type refusal string

func (r refusal) Error() string { return "refused: " + string(r) }

// reasonOf finds what an error of the node says; otherwise is what is said when it is none.
func reasonOf(payload []byte, otherwise string) string {
	var e struct {
		Error struct {
			Code    string
			Details struct{ Reason string }
		}
	}
	i := bytes.IndexByte(payload, '{')
	if i < 0 || json.Unmarshal(payload[i:], &e) != nil || e.Error.Code == "" {
		return otherwise
	}
	return strings.TrimSuffix(e.Error.Code+" "+e.Error.Details.Reason, " ")
}

// appendMessage appends one message as a client writes it; over WebSocket the mask is zero.
func appendMessage(b []byte, ws bool, header, payload string) []byte {
	n := len(header) + 1 + len(payload)
	if ws {
		b = appendHead(b, opText, n)
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	b = append(b, header...)
	b = append(b, '\n')
	return append(b, payload...)
}

// appendHead appends the head of a client's frame; n is below 64 KiB.
func appendHead(b []byte, opcode byte, n int) []byte {
	if b = append(b, 0x80|opcode); n < 126 {
		b = append(b, 0x80|byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	}
	return append(b, 0, 0, 0, 0)
}

// uuid is a well-formed ID of two numbers.
func uuid(who, n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", who, n) }
