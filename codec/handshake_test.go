package codec

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const goodHandshake = "GET /chat?x=1 HTTP/1.1\r\nHost: example.com:3000\r\n" +
	"Upgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"

func TestHandshakeGood(t *testing.T) {
	// The key and its answer are RFC 6455 §1.3's.
	const response = "HTTP/1.1 101 Switching Protocols\r\n" +
		"Upgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	plain := Handshake{Path: "/chat?x=1", Host: "example.com:3000", Response: []byte(response)}
	with := func(f func(*Handshake)) Handshake {
		h := plain
		f(&h)
		return h
	}
	sub := strings.NewReplacer
	fill := strings.Repeat("x", MaxHandshake-len(goodHandshake)-len("X: \r\n\r\n"))
	for _, c := range []struct {
		name, head string
		want       Handshake
	}{
		{"RFC 6455", goodHandshake, plain},
		{"names and tokens in any case",
			sub("Upgrade: websocket", "uPGRADE:WebSocket",
				"Connection: Upgrade", "CONNECTION:\t keep-alive ,uPgrade ",
				"Sec-WebSocket", "sec-websocket").Replace(goodHandshake), plain},
		{"lists over two fields",
			sub("Connection: Upgrade", "Connection: keep-alive\r\nConnection: x, Upgrade",
				"Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: foo/1, websocket",
			).Replace(goodHandshake), plain},
		{"HTTP/1.2", sub("HTTP/1.1", "HTTP/1.2").Replace(goodHandshake), plain},
		{"absolute form", sub("/chat?x=1", "ws://other:1/chat?x=1").Replace(goodHandshake), plain},
		{"absolute form without a path", sub("/chat?x=1", "http://other").Replace(goodHandshake),
			with(func(h *Handshake) { h.Path = "/" })},
		{"absolute form with a query only",
			sub("/chat?x=1", "http://other?x=1").Replace(goodHandshake),
			with(func(h *Handshake) { h.Path = "/?x=1" })},
		{"empty body", goodHandshake + "Content-Length: 0\r\n", plain},
		{"offers", goodHandshake + "Origin: http://a\r\n" +
			"Sec-WebSocket-Protocol: mb, v2\r\nSec-WebSocket-Protocol: ,v3\r\n" +
			"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" +
			"Sec-WebSocket-Extensions: x\r\nAuthorization: Bearer abc\r\n",
			with(func(h *Handshake) {
				h.Origin, h.Authorization = "http://a", "Bearer abc"
				h.Protocols = []string{"mb", "v2", "v3"}
				h.Response = []byte(strings.TrimSuffix(response, "\r\n") +
					"Sec-WebSocket-Protocol: mb\r\n\r\n")
				h.Extensions = "permessage-deflate; client_max_window_bits, x"
			})},
		{"forwarded", goodHandshake + "X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n" +
			"x-forwarded-for:192.0.2.3\r\nX-Forwarded-Host: a\r\nX-FORWARDED-HOST: b\r\n" +
			"Forwarded: for=192.0.2.4\r\nForwarded:\r\nForwarded: for=_x\r\n",
			with(func(h *Handshake) {
				h.ForwardedFor, h.ForwardedHost = "192.0.2.1, 192.0.2.2, 192.0.2.3", "a, b"
				h.Forwarded = "for=192.0.2.4, for=_x"
			})},
		{"8 KiB", goodHandshake + "X: " + fill + "\r\n", plain},
	} {
		head := c.head + "\r\n"
		hs, n, err := ParseHandshake([]byte(head + "\x81\x80pipelined"))
		if err != nil || n != len(head) || !reflect.DeepEqual(hs, c.want) {
			t.Errorf("%s: %+v %d of %d %v", c.name, hs, n, len(head), err)
		}
		for at := range len(head) {
			if _, n, err := ParseHandshake([]byte(head[:at])); n != 0 || err != nil {
				t.Fatalf("%s: the first %d bytes: %d %v", c.name, at, n, err)
			}
		}
	}
}

const (
	keyLine     = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	versionLine = "Sec-WebSocket-Version: 13\r\n"
)

// swapped is the head of the good handshake with some of its text replaced.
func swapped(pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(goodHandshake) + "\r\n"
}

var badHandshakes = []struct {
	name, head string
	status     int
}{
	// No request at all: refused at the first byte that shows it.
	{"TLS", "\x16", 400},
	{"TCP frame", "\x00", 400},
	{"our header on the wrong port", "p", 400},
	{"space first", " ", 400},
	{"empty line first", "\r", 400},
	{"endless method", "GETGETGETGETGETGETGETGETG", 400},
	{"method in lower case", "GETx", 400},
	// The request line, refused at its end.
	{"POST", "POST / HTTP/1.1\r\n", 400},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n", 400},
	{"HTTP/2.0", "GET / HTTP/2.0\r\n", 400},
	{"HTTP/0.9", "GET /\r\n", 400},
	{"no target", "GET  HTTP/1.1\r\n", 400},
	{"two spaces", "GET /  HTTP/1.1\r\n", 400},
	{"four words", "GET / x HTTP/1.1\r\n", 400},
	{"version in lower case", "GET / http/1.1\r\n", 400},
	{"version of two digits", "GET / HTTP/1.10\r\n", 400},
	{"NUL in the target", "GET /\x00 HTTP/1.1\r\n", 400},
	{"raw UTF-8 in the target", "GET /é HTTP/1.1\r\n", 400},
	{"relative target", "GET x HTTP/1.1\r\n", 400},
	{"asterisk", "GET * HTTP/1.1\r\n", 400},
	{"ftp", "GET ftp://x/ HTTP/1.1\r\n", 400},
	{"absolute form without a host", "GET http:///x HTTP/1.1\r\n", 400},
	// Lines, refused at their end.
	{"bare LF after the request line", "GET / HTTP/1.1\n", 400},
	{"bare LF after a field", "GET / HTTP/1.1\r\nHost: x\n", 400},
	{"bare LF as the empty line", "GET / HTTP/1.1\r\nHost: x\r\n\n", 400},
	{"CR in a line", "GET / HTTP/1.1\r\nHost: x\ry\r\n", 400},
	{"two CRs", "GET / HTTP/1.1\r\nHost: x\r\r\n", 400},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: x\x00\r\n", 400},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: x\x7f\r\n", 400},
	{"folded line", "GET / HTTP/1.1\r\nHost: x\r\n y\r\n", 400},
	{"folded first line", "GET / HTTP/1.1\r\n\tHost: x\r\n", 400},
	{"no colon", "GET / HTTP/1.1\r\nHost\r\n", 400},
	{"no name", "GET / HTTP/1.1\r\n: x\r\n", 400},
	{"space before the colon", "GET / HTTP/1.1\r\nHost : x\r\n", 400},
	{"name is no token", "GET / HTTP/1.1\r\nHo(st: x\r\n", 400},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n", 400},
	{"two keys", "GET / HTTP/1.1\r\n" + keyLine + keyLine, 400},
	{"two empty keys", "GET / HTTP/1.1\r\nSec-WebSocket-Key:\r\nSec-WebSocket-Key: \r\n", 400},
	{"two versions", "GET / HTTP/1.1\r\n" + versionLine + versionLine, 400},
	{"two origins", "GET / HTTP/1.1\r\nOrigin: a\r\nOrigin: b\r\n", 400},
	{"two authorizations", "GET / HTTP/1.1\r\nAuthorization: a\r\nAuthorization:\r\n", 400},
	{"two lengths", "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n", 400},
	{"subprotocol is no token", "GET / HTTP/1.1\r\nSec-WebSocket-Protocol: a b\r\n", 400},
	// The whole head.
	{"plain GET", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426},
	{"plain GET of HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 426},
	{"other upgrade",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 426},
	{"no version", swapped(versionLine, ""), 426},
	{"version 8", swapped(": 13", ": 8"), 426},
	{"version 13, 8", swapped(": 13", ": 13, 8"), 426},
	{"version 013", swapped(": 13", ": 013"), 426},
	{"HTTP/1.0", swapped("HTTP/1.1", "HTTP/1.0"), 400},
	{"no Host", swapped("Host: example.com:3000\r\n", ""), 400},
	{"empty Host", swapped("example.com:3000", ""), 400},
	{"no Upgrade", swapped("Upgrade: websocket\r\n", ""), 400},
	{"Upgrade is no websocket", swapped("websocket\r\n", "websockets\r\n"), 400},
	{"no Connection", swapped("Connection: Upgrade\r\n", ""), 400},
	{"Connection is no upgrade", swapped(": Upgrade", ": keep-alive"), 400},
	{"no key", swapped(keyLine, ""), 400},
	{"empty key", swapped("dGhlIHNhbXBsZSBub25jZQ==", ""), 400},
	{"key of 15 bytes", swapped("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), 400},
	{"key of 18 bytes", swapped("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQAB"), 400},
	{"key is no base64", swapped("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j!!=="), 400},
	{"body", strings.TrimSuffix(swapped(), "\r\n") + "Content-Length: 5\r\n\r\n", 400},
	{"body of no length", strings.TrimSuffix(swapped(), "\r\n") + "Content-Length:\r\n\r\n", 400},
	{"length with a sign",
		strings.TrimSuffix(swapped(), "\r\n") + "Content-Length: +0\r\n\r\n", 400},
	{"chunked body",
		strings.TrimSuffix(swapped(), "\r\n") + "Transfer-Encoding: chunked\r\n\r\n", 400},
	{"long value",
		goodHandshake + "X: " + strings.Repeat("x", MaxHandshake-len(goodHandshake)-3), 431},
	{"long target", "GET /" + strings.Repeat("x", MaxHandshake-5), 431},
	{"empty line after 8 KiB", goodHandshake + "X: " +
		strings.Repeat("x", MaxHandshake-len(goodHandshake)-len("X: \r\n\r\n")+1) +
		"\r\n\r\n", 431},
}

func TestHandshakeBad(t *testing.T) {
	for _, c := range badHandshakes {
		_, n, err := ParseHandshake([]byte(c.head))
		if err == nil || n != 0 || err.Status != c.status || err.Reason == "" {
			t.Errorf("%s: %d %v, want %d", c.name, n, err, c.status)
			continue
		}
		// Refused as early as that, not before; and whatever follows changes nothing.
		if c.status != 431 {
			if _, _, early := ParseHandshake([]byte(c.head[:len(c.head)-1])); early != nil {
				t.Errorf("%s: a byte before its end: %v", c.name, early)
			}
		}
		more := "\r\nmore\n: \x00" + strings.Repeat("y", MaxHandshake)
		_, n, later := ParseHandshake([]byte(c.head + more))
		if n != 0 || later == nil || *later != *err {
			t.Errorf("%s: with more behind it: %v, want %v", c.name, later, err)
		}
	}
}

// parseInPieces calls ParseHandshake as a reader would, with ever more bytes.
func parseInPieces(stream []byte, step int) (hs Handshake, n int, err *HandshakeError) {
	for at := 0; ; at += step {
		at = min(at, len(stream))
		if hs, n, err = ParseHandshake(stream[:at]); n > 0 || err != nil || at == len(stream) {
			return hs, n, err
		}
	}
}

func FuzzHandshake(f *testing.F) {
	f.Add([]byte(goodHandshake+"\r\n\x81\x85pipelined"), uint8(3))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n"), uint8(1))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint8(2))
	f.Add([]byte("GE\r\nT / HTTP/1.1\n\r\n"), uint8(1))
	f.Add([]byte(goodHandshake+"Content-Length: 3\r\nAuthorization: x\r\n\r\n"), uint8(9))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		hs, n, err := ParseHandshake(stream)
		for _, step := range []int{1, int(step) + 1} {
			hs2, n2, err2 := parseInPieces(stream, step)
			if n2 != n || !reflect.DeepEqual(hs2, hs) || !reflect.DeepEqual(err2, err) {
				t.Fatalf("%q in pieces of %d: %v %d %v, whole: %v %d %v",
					stream, step, hs2, n2, err2, hs, n, err)
			}
		}
		if n == 0 {
			return
		}
		if n > MaxHandshake || !bytes.HasSuffix(stream[:n], []byte("\r\n\r\n")) ||
			bytes.Count(stream[:n], []byte("\r\n\r\n")) != 1 {
			t.Fatalf("%q: ends at %d", stream, n)
		}
		// What we take, another reader of HTTP takes too, and sees it end at the same byte.
		br := bufio.NewReader(bytes.NewReader(stream))
		req, herr := http.ReadRequest(br)
		if herr != nil {
			if strings.Contains(herr.Error(), "malformed HTTP version") ||
				strings.Contains(herr.Error(), "parse ") {
				return // HTTP/1.2 and up, and stricter rules about URIs
			}
			t.Fatalf("%q: net/http: %v", stream[:n], herr)
		}
		rest, _ := io.ReadAll(br)
		if !bytes.Equal(rest, stream[n:]) || req.Header.Get("Authorization") != hs.Authorization {
			t.Fatalf("%q: net/http sees %q after it, Authorization %q",
				stream[:n], rest, req.Header.Get("Authorization"))
		}
	})
}

func TestAppendHTTPError(t *testing.T) {
	for status, header := range map[int]string{
		400: "", 401: "Www-Authenticate", 403: "", 426: "Upgrade", 429: "", 431: "",
		500: "", 503: "",
	} {
		body := `{"error":{"code":"X"}}`
		out := AppendHTTPError([]byte("before"), status, []byte(body))
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out[len("before"):])), nil)
		if err != nil {
			t.Fatal(status, err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || string(got) != body || resp.StatusCode != status || !resp.Close ||
			resp.Header.Get("Content-Type") != "application/json" ||
			resp.ContentLength != int64(len(body)) ||
			resp.Status != fmt.Sprintf("%d %s", status, http.StatusText(status)) {
			t.Errorf("%d: %q, %v", status, out, err)
		}
		if header != "" && resp.Header.Get(header) == "" {
			t.Errorf("%d: %s is missing", status, header)
		}
		if v := resp.Header.Get("Sec-WebSocket-Version"); (v == "13") != (status == 426) {
			t.Errorf("%d: Sec-WebSocket-Version %q", status, v)
		}
	}
}
