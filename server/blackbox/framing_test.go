package blackbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// A payload crosses every pair of transports unchanged,
// and its WebSocket frame type follows its bytes.
func TestS1_TextAndBinary(t *testing.T) {
	payloads := []struct {
		name, payload string
		text          bool
	}{
		{"empty", "", true},
		{"json", `{"a":1}`, true},
		{"newlines", "a\nb\r\n\n", true},
		{"several scripts", "žluťoučký 日本語 🚀", true},
		{"zero bytes", "a\x00b", true},
		{"continuation byte alone", "a\x80b", false},
		{"cut sequence", "a\xe2\x82", false},
		{"overlong", "\xc0\xaf", false},
		{"surrogate", "\xed\xa0\x80", false},
		{"every byte", everyByte(), false},
	}
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		sender, receiver := n.dial(t, from), n.dial(t, to)
		receiver.subscribe("both", "frame.kind")
		for _, p := range payloads {
			sender.send("publish:frame.kind:1.0.0", p.payload)
			m := receiver.expectPayload("publish:frame.kind:1.0.0:*", p.payload)
			if to == overWS && m.Text != p.text {
				t.Errorf("%s: published, arrived in text frame: %v", p.name, m.Text)
			}
			const id = "11111111-2222-4333-8444-555555555555"
			sender.send("request:frame.kind:1.0.0:"+id, p.payload)
			m = receiver.expectPayload("request:frame.kind:1.0.0:*", p.payload)
			if to == overWS && m.Text != p.text {
				t.Errorf("%s: requested, arrived in text frame: %v", p.name, m.Text)
			}
			receiver.send("response:frame.kind:1.0.0:"+m.ID, p.payload)
			m = sender.expectPayload("response:frame.kind:1.0.0:"+id, p.payload)
			if from == overWS && m.Text != p.text {
				t.Errorf("%s: answered, arrived in text frame: %v", p.name, m.Text)
			}
		}
	})
}

func everyByte() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

// Valid UTF-8 leaves in a text frame even when it came in a binary one.
func TestS1_BinaryFrameWithText(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	a, b := n.dial(t, overWS), n.dial(t, overWS)
	b.subscribe("publish", "frame.kind")
	plain := []byte("publish:frame.kind:1.0.0\nplain")
	if err := a.peer.(*wsPeer).sendAs(websocket.MessageBinary, plain); err != nil {
		t.Fatal(err)
	}
	if m := b.expectPayload("publish:frame.kind:1.0.0:*", "plain"); !m.Text {
		t.Error("text arrived in a binary frame")
	}
}

// The largest frame is the largest payload plus the longest header of protocol §2 with the default
// largest timeout.
func largestFrame(payload int) int {
	return payload + 8 + 1 + 255 + 1 + 20 + 1 + 36 + 1 + 36 + 1 + len("3600000")
}

func TestS1_OversizeFrameTCP(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for _, size := range []uint32{uint32(largestFrame(16384)) + 1, 1 << 20, 1 << 31, 1<<32 - 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := dialRaw(t, n.tcp)
			c := adopt(t, newTCPPeer(r.conn), overTCP)
			r.write(binary.BigEndian.AppendUint32(nil, size)) // the body is never asked for
			checkOversize(t, c.expectErrorHead(), uint64(size))
			if _, err := c.tryFresh(); err != io.EOF {
				t.Errorf("after an oversize frame: %v, want EOF", err)
			}
		})
	}
}

// expectErrorHead takes an error about a message whose header was not understood.
func (c *client) expectErrorHead() errorBody {
	c.t.Helper()
	m := c.recv()
	head := m.head()
	withID := strings.HasPrefix(head, "response:error:1.0.0:") && len(m.Extra) == 0
	if head != "response:error:1.0.0" && !withID {
		c.t.Fatalf("got %v, want response:error:1.0.0", m)
	}
	return m.fault(c.t)
}

func checkOversize(t *testing.T, e errorBody, length uint64) {
	t.Helper()
	if e.Code != "MALFORMED_MESSAGE" || e.Details["length"] != float64(length) ||
		e.Details["maxLength"] != float64(largestFrame(16384)) {
		t.Errorf("got %+v, want length %d and maxLength %d", e, length, largestFrame(16384))
	}
}

func TestS1_OversizeFrameWS(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for _, size := range []int{largestFrame(16384) + 1, 1 << 20, 1 << 40} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := dialRawWS(t, n)
			r.write(wsFrameHead(fin|opBinary, size)) // the body is never asked for
			op, payload := r.frame()
			m, err := parseMessage(frame{data: payload, text: op == opText})
			if err != nil || m.Topic != "error" {
				t.Fatalf("opcode %d, %q: %v", op, payload, err)
			}
			checkOversize(t, m.fault(t), uint64(size))
			r.closedWith(1009)
		})
	}
	t.Run("fragments", func(t *testing.T) { // each is legal, their sum is not
		r := dialRawWS(t, n)
		part := make([]byte, 10_000)
		r.write(wsFrame(opBinary, part))
		r.write(wsFrame(opContinuation, part))
		op, payload := r.frame()
		m, err := parseMessage(frame{data: payload, text: op == opText})
		if err != nil {
			t.Fatalf("opcode %d, %q: %v", op, payload, err)
		}
		e := m.fault(t)
		if e.Code != "MALFORMED_MESSAGE" || e.Details["maxLength"] != float64(largestFrame(16384)) {
			t.Errorf("got %+v", e)
		}
		r.closedWith(1009)
	})
}

// A client library sees the error and then close code 1009, as the contract says.
func TestS1_OversizeFrameWSLibrary(t *testing.T) {
	t.Parallel()
	c := startNode(t).dial(t, overWS)
	c.send("publish:big.one:1.0.0", strings.Repeat("x", 20_000))
	if e := c.expectErrorHead(); e.Code != "MALFORMED_MESSAGE" {
		t.Errorf("got %+v", e)
	}
	if _, err := c.tryFresh(); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("got %v, want close 1009", err)
	}
}

// A payload over the limit in a legal frame costs an error, not the connection.
func TestS1_OversizePayload(t *testing.T) {
	settings := []string{"message.payload.maxLength=1000"}
	perTransport(t, settings, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		c.subscribe("publish", "size.test")
		for _, size := range []int{999, 1000} {
			c.send("publish:size.test:1.0.0", strings.Repeat("x", size))
			if m := c.expect("publish:size.test:1.0.0:*"); len(m.Payload) != size {
				t.Fatalf("%d bytes arrived as %d", size, len(m.Payload))
			}
		}
		const id = "00000000-1111-4222-8333-444444444444"
		line := "publish:size.test:1.0.0:" + id
		for _, size := range []int{1001, 1100, largestFrame(1000) - len(line) - 1} {
			c.send(line, strings.Repeat("x", size))
			e := c.expectFault("response:size.test:1.0.0:"+id, "MALFORMED_MESSAGE")
			if !e.names("1000") {
				t.Errorf("details %v do not name the limit", e.Details)
			}
		}
		c.none()
	})
}

// Chunks and frames are independent: one byte at a time, and many frames in one segment.
func TestS1_TCPChunks(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	r := dialRaw(t, n.tcp)
	c := adopt(t, newTCPPeer(r.conn), overTCP)
	c.subscribe("publish", "chunk.test")
	for _, b := range appendFrame(nil, []byte("publish:chunk.test:1.0.0\nslow")) {
		r.write([]byte{b})
	}
	c.expectPayload("publish:chunk.test:1.0.0:*", "slow")
	var many []byte
	for i := range 500 {
		many = appendFrame(many, fmt.Appendf(nil, "publish:chunk.test:1.0.0\n%d", i))
	}
	r.write(many)
	for i := range 500 {
		c.expectPayload("publish:chunk.test:1.0.0:*", fmt.Sprint(i))
	}
	r.write(appendFrame(nil, nil)) // an empty message has no header
	if e := c.expectErrorHead(); e.Code != "MALFORMED_MESSAGE" {
		t.Errorf("empty frame: %+v", e)
	}
	c.none()
}

func TestS1_WSFragments(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	b := n.dial(t, overTCP)
	b.subscribe("publish", "frag.test")
	r := dialRawWS(t, n)
	// The code point 🚀 (f0 9f 9a 80) is cut by a frame border, a ping comes between.
	r.write(wsFrame(opText, []byte("publish:frag.")))
	r.write(wsFrame(opContinuation, []byte("test:1.0.0\n\xf0\x9f")))
	r.write(wsFrame(fin|opPing, []byte("between")))
	r.write(wsFrame(fin|opContinuation, []byte("\x9a\x80")))
	b.expectPayload("publish:frag.test:1.0.0:*", "🚀")
	if op, payload := r.frame(); op != opPong || string(payload) != "between" {
		t.Fatalf("answer to ping: opcode %d, %q", op, payload)
	}
	for _, octet := range wsFrame(fin|opText, []byte("publish:frag.test:1.0.0\nslow")) {
		r.write([]byte{octet})
	}
	b.expectPayload("publish:frag.test:1.0.0:*", "slow")
	r.beat()
	r.write(wsFrame(fin|opClose, []byte{0x03, 0xe8}))
	r.closedWith(1000)
}

// Text is checked as it arrives: neither the frame nor the message is complete when the connection
// closes.
func TestS1_UTF8FailFast(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	bad := []byte("publish:a.b:1.0.0\nxx\xffyy")
	for _, tc := range []struct {
		name  string
		bytes []byte
	}{
		{"whole frame", wsFrame(fin|opText, bad)},
		{"frame not complete",
			append(wsFrameHead(fin|opText, 1000), wsFrame(fin|opText, bad)[6:]...)},
		{"first fragment", wsFrame(opText, bad)},
		{"first fragment not complete",
			append(wsFrameHead(opText, 1000), wsFrame(opText, bad)[6:]...)},
		{"second fragment", append(wsFrame(opText, []byte("publish:a.b:1.0.0\n\xe2")),
			wsFrame(opContinuation, []byte("\xe2"))...)},
		{"message ends inside a code point",
			wsFrame(fin|opText, []byte("publish:a.b:1.0.0\n\xe2\x82"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := dialRawWS(t, n)
			r.write(tc.bytes)
			r.closedWith(1007)
		})
	}
}

// RFC 6455 §5: what a client may not send ends the connection with 1002.
func TestS1_WSProtocolErrors(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for _, tc := range []struct {
		name  string
		bytes []byte
	}{
		{"unmasked", []byte{fin | opText, 1, 'x'}},
		{"RSV2", wsFrame(fin|0x20|opText, []byte("x"))},
		{"RSV3", wsFrame(fin|0x10|opText, []byte("x"))},
		{"reserved data opcode", wsFrame(fin|0x3, []byte("x"))},
		{"reserved control opcode", wsFrame(fin|0xB, []byte("x"))},
		{"fragmented ping", wsFrame(opPing, []byte("x"))},
		{"long ping", wsFrame(fin|opPing, make([]byte, 126))},
		{"continuation of nothing", wsFrame(fin|opContinuation, []byte("x"))},
		{"new message inside a message",
			append(wsFrame(opText, []byte("x")), wsFrame(fin|opText, []byte("x"))...)},
		{"close payload of one byte", wsFrame(fin|opClose, []byte{3})},
		{"close code 1005", wsFrame(fin|opClose, []byte{0x03, 0xed})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := dialRawWS(t, n)
			r.write(tc.bytes)
			r.closedWith(1002)
		})
	}
}

// A close of the client's is answered with its own code.
func TestS1_WSClose(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for _, code := range []uint16{1000, 1001, 3000, 4999} {
		r := dialRawWS(t, n)
		r.write(wsFrame(fin|opClose, binary.BigEndian.AppendUint16(nil, code)))
		r.closedWith(code)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := n.dial(t, overWS)
	reading := c.peer.(*wsPeer).conn.CloseRead(ctx)
	if err := c.peer.(*wsPeer).conn.Ping(ctx); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := c.peer.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	<-reading.Done()
}
