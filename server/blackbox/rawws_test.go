package blackbox

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Opcodes of RFC 6455 §5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const upgradeHead = "GET / HTTP/1.1\r\nHost: localhost\r\n" +
	"Upgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// upgradeAccept is what RFC 6455 §1.3 computes for the key above.
const upgradeAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

// rawConn is a bare socket: what it sends is what the test says.
type rawConn struct {
	t    testing.TB
	conn *net.TCPConn
	in   *bufio.Reader
}

func dialRaw(t testing.TB, address string) *rawConn {
	t.Helper()
	return dialRawBy(t, &net.Dialer{Timeout: patience}, address)
}

func dialRawBy(t testing.TB, dialer *net.Dialer, address string) *rawConn {
	t.Helper()
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return &rawConn{t: t, conn: conn.(*net.TCPConn), in: bufio.NewReader(conn)}
}

func (r *rawConn) write(b []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(b); err != nil {
		r.t.Fatalf("writing: %v", err)
	}
}

// answer reads an HTTP answer with its body (a 101 has none).
func (r *rawConn) answer() (*http.Response, string) {
	r.t.Helper()
	resp, err := http.ReadResponse(r.in, &http.Request{Method: http.MethodGet})
	if err != nil {
		r.t.Fatalf("reading the HTTP answer: %v", err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, ""
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("reading the HTTP answer's body: %v", err)
	}
	return resp, string(body)
}

// dialRawWS upgrades and takes system.initialize.
func dialRawWS(t testing.TB, n *node) *rawConn {
	t.Helper()
	return dialRawWSBy(t, &net.Dialer{Timeout: patience}, n)
}

func dialRawWSBy(t testing.TB, dialer *net.Dialer, n *node) *rawConn {
	t.Helper()
	r := dialRawBy(t, dialer, n.ws)
	r.write([]byte(upgradeHead))
	r.upgraded()
	r.initialized()
	return r
}

func (r *rawConn) upgraded() {
	r.t.Helper()
	resp, _ := r.answer()
	if resp.StatusCode != http.StatusSwitchingProtocols ||
		resp.Header.Get("Sec-WebSocket-Accept") != upgradeAccept {
		r.t.Fatalf("upgrade: %s %v", resp.Status, resp.Header)
	}
}

func (r *rawConn) initialized() {
	r.t.Helper()
	op, payload := r.frame()
	if op != opText || !strings.HasPrefix(string(payload), "publish:system.initialize:1.0.0\n") {
		r.t.Fatalf("first frame: opcode %d, %q", op, payload)
	}
}

// wsFrame is a client's frame: masked, with FIN as told. rsv and reserved opcodes go into first.
func wsFrame(first byte, payload []byte) []byte {
	f := wsFrameHead(first, len(payload))
	key := f[len(f)-4:]
	for i, b := range payload {
		f = append(f, b^key[i%4])
	}
	return f
}

// fin marks the last frame of a message.
const fin = 0x80

// wsFrameHead announces size bytes, masked with a fixed key.
func wsFrameHead(first byte, size int) []byte {
	f := []byte{first}
	switch {
	case size < 126:
		f = append(f, 0x80|byte(size))
	case size < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(size))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(size))
	}
	return append(f, 0x12, 0x34, 0x56, 0x78)
}

// frame reads one frame from the server, which must be final and unmasked.
func (r *rawConn) frame() (op byte, payload []byte) {
	r.t.Helper()
	op, payload, err := r.tryFrame()
	if err != nil {
		r.t.Fatalf("reading a frame: %v", err)
	}
	return op, payload
}

func (r *rawConn) tryFrame() (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0]&0x70 != 0 || head[0]&fin == 0 || head[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("frame head % x: not a final, plain, unmasked frame", head)
	}
	size := uint64(head[1])
	switch size {
	case 126:
		var b [2]byte
		if _, err := io.ReadFull(r.in, b[:]); err != nil {
			return 0, nil, err
		}
		size = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		if _, err := io.ReadFull(r.in, b[:]); err != nil {
			return 0, nil, err
		}
		size = binary.BigEndian.Uint64(b[:])
	}
	if size > 1<<22 {
		return 0, nil, fmt.Errorf("a frame of %d bytes", size)
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(r.in, payload)
	return head[0] & 0xF, payload, err
}

// closedWith reads on to the close frame and checks its code, then that the connection ends. Where
// framing is lost, an error may come before.
func (r *rawConn) closedWith(code uint16) {
	r.t.Helper()
	op, payload := r.frame()
	if op == opText && strings.HasPrefix(string(payload), "response:error:1.0.0\n") &&
		strings.Contains(string(payload), `"MALFORMED_MESSAGE"`) {
		op, payload = r.frame()
	}
	if op != opClose || len(payload) < 2 || binary.BigEndian.Uint16(payload) != code {
		r.t.Fatalf("got opcode %d with % x (%q), want close %d", op, payload, payload, code)
	}
	r.write(wsFrame(fin|opClose, payload[:2])) // RFC 6455 §5.5.1: answer with the same
	r.ended()
}

// ended waits until the server closes.
func (r *rawConn) ended() {
	r.t.Helper()
	if b, err := r.in.ReadByte(); err == nil {
		r.t.Fatalf("byte %#x instead of the end", b)
	} else if isTimeout(err) {
		r.t.Fatal("the connection is still open")
	}
}

// beat proves that a raw WebSocket connection works.
func (r *rawConn) beat() {
	r.t.Helper()
	const id = "7c2d5a1e-0000-4000-8000-00000000beef"
	r.write(wsFrame(fin|opText, []byte("request:system.heartbeat:1.0.0:"+id+"\n{}")))
	op, payload := r.frame()
	want := "response:system.heartbeat:1.0.0:" + id + "\n"
	if op != opText || !strings.HasPrefix(string(payload), want) {
		r.t.Fatalf("heartbeat: opcode %d, %q", op, payload)
	}
}
