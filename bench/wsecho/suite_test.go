package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// limit is the largest message of the suite's node, in bytes.
const limit = 1 << 20

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// exchange is one case: what a client sends on an open WebSocket, and all that it gets. Bytes are
// written here by hand, not by the codec that is tested.
type exchange struct {
	section string   // of RFC 6455
	name    string   // what it shows
	in      []string // each piece is written by itself
	out     string   // exactly, up to the end
	plain   bool     // permessage-deflate gives it another meaning
	ended   bool     // the client has sent its Close, which out answers
	fails   uint16   // the code with which the node ends it; 0: it does not
}

// One masked frame. first is its first byte: FIN, three reserved bits, four of opcode.
func frame(first byte, payload string) string {
	switch n := len(payload); {
	case n < 126:
		return framed(first, "\x37\xfa\x21\x3d", payload, byte(n))
	case n < 1<<16:
		return framed(first, "\x37\xfa\x21\x3d", payload, 126, byte(n>>8), byte(n))
	default:
		return framed(first, "\x37\xfa\x21\x3d", payload,
			binary.BigEndian.AppendUint64([]byte{127}, uint64(n))...)
	}
}

// framed is a masked frame whose length says what length does, without the mask bit.
func framed(first byte, key, payload string, length ...byte) string {
	b := append([]byte{first}, length...)
	b[1] |= 0x80
	b = append(b, key...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return string(b)
}

// sent is a frame as a server sends it.
func sent(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = append(b, 126, byte(n>>8), byte(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return string(b) + payload
}

// First bytes of frames that are whole messages, and of fragments.
const (
	text, binary_  = 0x81, 0x82
	closing        = 0x88
	ping, pong     = 0x89, 0x8a
	firstText      = 0x01
	firstBinary    = 0x02
	more, lastMore = 0x00, 0x80
)

// code is a Close frame's payload.
func code(c uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, c)) + reason
}

// bytewise cuts what is sent into pieces of one byte.
func bytewise(in string) (pieces []string) {
	for i := range len(in) {
		pieces = append(pieces, in[i:i+1])
	}
	return pieces
}

// head is an opening handshake, and opened the answer to it (RFC 6455 §1.3).
const (
	head = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	opened = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

// say writes pieces, each by itself: a node that keeps up reads them so.
func say(c net.Conn, pieces []string) error {
	for i, p := range pieces {
		if i > 0 {
			time.Sleep(100 * time.Microsecond)
		}
		if _, err := io.WriteString(c, p); err != nil {
			return err
		}
	}
	return nil
}

// run plays an exchange. One that nobody has ended, the client ends; nothing may come behind the
// node's Close frame.
func (e *exchange) run(t *testing.T, at *place) {
	c := at.dial(t)
	hello, answer := head, opened
	if at.deflate {
		hello, answer = offering("permessage-deflate"), agreeing(agreed)
	}
	in, want := append([]string{hello}, e.in...), answer+e.out
	if e.fails == 0 && !e.ended {
		in = append(in, frame(closing, code(1000, "")))
		want += sent(closing, code(1000, ""))
	}
	told := make(chan error, 1)
	go func() { told <- say(c, in) }()
	all, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%q, then %v", short(all), err)
	}
	_ = c.Close()
	if err := <-told; err != nil && e.fails == 0 && !e.ended { // else it may not be read
		t.Error("sending:", err)
	}
	got := string(all)
	if at.deflate && strings.HasPrefix(got, answer) {
		got = answer + unpacked(got[len(answer):])
	}
	if e.fails != 0 {
		if rest, ok := strings.CutPrefix(got, want); !ok || !fails(rest, e.fails) {
			t.Errorf("got %q, want %q and close %d", short(all), short([]byte(want)), e.fails)
		}
	} else if got != want {
		t.Errorf("got %q, want %q", short(all), short([]byte(want)))
	}
}

// fails says whether rest is one Close frame with that code and a reason that is text.
func fails(rest string, want uint16) bool {
	return len(rest) >= 4 && rest[0] == closing && int(rest[1]) == len(rest)-2 && rest[1] <= 125 &&
		rest[2:4] == code(want, "") && utf8.ValidString(rest[4:])
}

// short is what a failure shows of b.
func short(b []byte) string {
	if len(b) > 600 {
		return fmt.Sprintf("%s… %d bytes", b[:600], len(b))
	}
	return string(b)
}

// The suite over open WebSockets, however they are spoken to.
func TestConformance(t *testing.T) {
	for name, by := range ways {
		t.Run(name, func(t *testing.T) {
			all := suite()
			if by == deflating {
				all = append(slices.DeleteFunc(all, func(e exchange) bool { return e.plain }),
					deflates()...)
			}
			conforms(t, startSuite(t, limit, by), all)
		})
	}
	const least = 900
	if n := len(suite()) + len(deflates()) + len(openings()) + len(offers); n < least {
		t.Errorf("%d cases, at least %d", n, least)
	}
}

func conforms(t *testing.T, at *place, all []exchange) {
	seen := make(map[string]bool)
	for _, e := range all {
		name := "§" + e.section + " " + e.name
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e.run(t, at)
		})
	}
}

// suite is every exchange.
func suite() (all []exchange) {
	for _, part := range [][]exchange{
		lengths(), wrongLengths(), masks(), reserved(), fragments(), chunks(), order(),
		pings(), pongs(), wrongControls(), closes(), wrongCloses(), afterClose(),
		validText(), cutText(), wrongText(), limits(),
	} {
		all = append(all, part...)
	}
	return all
}
