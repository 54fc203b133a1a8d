package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// incomplete is what the slow reader says of a stream whose last frame has not all come.
const incomplete = "incomplete"

// slowWS is a client's stream as a reader sees it that takes whole frames, with another library,
// and looks at whole messages: what came, and how it ends.
func slowWS(stream []byte, limit int) (out []string) {
	r := bytes.NewReader(stream)
	var message []byte
	var text, open bool
	for {
		if r.Len() == 0 {
			return out
		}
		before := r.Len()
		h, err := ws.ReadHeader(r)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return append(out, incomplete)
		}
		state := ws.StateServerSide
		if open {
			state |= ws.StateFragmented
		}
		if err != nil || ws.CheckHeader(h, state) != nil || !h.Masked {
			return append(out, "error 1002")
		}
		control := h.OpCode.IsControl()
		if control && before-r.Len() != ws.MinHeaderSize+len(h.Mask) {
			return append(out, "error 1002") // of at most 125 bytes, but in the long form
		}
		if !control && int64(len(message))+h.Length > int64(limit) {
			return append(out, "error 1009")
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			return append(out, incomplete)
		}
		ws.Cipher(payload, h.Mask, 0)
		if control {
			what := slowControl(h.OpCode, payload)
			if out = append(out, what); strings.HasPrefix(what, "error") {
				return out
			}
			continue
		}
		if h.OpCode != ws.OpContinuation {
			text = h.OpCode == ws.OpText
		}
		message, open = append(message, payload...), !h.Fin
		if text && (open && !canEnd(message) || !open && !utf8.Valid(message)) {
			return append(out, "error 1007")
		}
		switch {
		case open:
		case text:
			out, message = append(out, "text "+string(message)), nil
		default:
			out, message = append(out, "binary "+string(message)), nil
		}
	}
}

func slowControl(op ws.OpCode, payload []byte) string {
	switch op {
	case ws.OpPing:
		return "ping " + string(payload)
	case ws.OpPong:
		return "pong " + string(payload)
	}
	if len(payload) > 0 {
		code, reason := ws.ParseCloseFrameData(payload)
		valid := 1000 <= code && code <= 1003 || 1007 <= code && code <= 1014 ||
			3000 <= code && code <= 4999
		switch {
		case !valid:
			return "error 1002"
		case !utf8.ValidString(reason):
			return "error 1007"
		}
	}
	return "close " + string(payload)
}

// The decoder says of a whole stream what a slow reader says, but that it need not wait for the end
// of a frame to find what is wrong.
func likeSlowWS(t *testing.T, stream []byte) {
	t.Helper()
	want := slowWS(stream, testMaxFrame)
	got := drain(t, NewWSDecoder(testMaxFrame, false), stream, whole)
	if n := len(got); n > 0 && strings.HasPrefix(got[n-1], "error ") {
		got[n-1] = got[n-1][:len("error 1002")]
	}
	if n := len(want); n > 0 && want[n-1] == incomplete {
		want = want[:n-1]
		if len(got) == n && strings.HasPrefix(got[n-1], "error ") {
			got = got[:n-1]
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q\na slow reader: %q\nstream %x", got, want, stream)
	}
}

func TestWSDecoderIsLikeASlowReader(t *testing.T) {
	for _, c := range autobahnCases() {
		likeSlowWS(t, c.stream)
	}
}

// FuzzClosePayload holds the judgement of a Close frame's payload to its parts.
func FuzzClosePayload(f *testing.F) {
	for _, p := range []string{"", "\x03", "\x03\xe8", "\x03\xe8bye", "\x03\xed", "\x03\xe8\xff"} {
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > maxControlLen {
			return
		}
		want := slowControl(ws.OpClose, p)
		if len(p) == 1 {
			want = "error 1002"
		}
		m, rest, err := NewWSDecoder(testMaxFrame, false).Next(frame(0x88, string(p)))
		got := "close " + string(m.Data)
		if err != nil {
			got = fmt.Sprint("error ", err.CloseCode)
		}
		if got != want || len(rest) > 0 {
			t.Fatalf("%x: %q, want %q", p, got, want)
		}
		// What we answer a peer may send, and what we say ourselves is taken.
		code := EchoCloseCode(p)
		answer := AppendClosePayload(nil, code, string(p))
		if err == nil && len(p) > 0 && code != binary.BigEndian.Uint16(p) {
			t.Fatalf("%x is answered with %d", p, code)
		}
		if m, _, err := NewWSDecoder(testMaxFrame, false).Next(frame(0x88, string(answer))); err !=
			nil || !bytes.Equal(m.Data, answer) {
			t.Fatalf("%x is answered %x: %v", p, answer, err)
		}
	})
}

// slowTCP is a TCP stream as a reader sees it that takes whole frames.
func slowTCP(stream []byte, limit uint32) (out []string) {
	r := bytes.NewReader(stream)
	for {
		var size uint32
		if binary.Read(r, binary.BigEndian, &size) != nil {
			return out
		}
		if size > limit {
			return append(out, "error")
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(r, body); err != nil {
			return out
		}
		out = append(out, "binary "+string(body))
	}
}

func likeSlowTCP(t *testing.T, stream []byte) {
	t.Helper()
	got, want := drain(t, NewTCPDecoder(testMaxFrame), stream, whole), slowTCP(stream, testMaxFrame)
	if n := len(got); n > 0 && strings.HasPrefix(got[n-1], "error ") {
		got[n-1] = "error"
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q\na slow reader: %q\nstream %x", got, want, stream)
	}
}
