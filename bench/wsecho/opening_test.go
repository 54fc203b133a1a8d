package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// opening is a case of the opening handshake (§4.2): what is sent, and how it is answered.
type opening struct {
	name   string
	sent   string
	status int    // 0: it is only closed
	fields string // of a 101, behind those that each has
}

// openings are heads made of a good one.
func openings() (all []opening) {
	add := func(status int, name string, replace ...string) {
		sent := strings.NewReplacer(replace...).Replace(head)
		all = append(all, opening{name: name, sent: sent, status: status})
	}
	line := func(status int, name, line string) {
		add(status, name, "\r\n\r\n", "\r\n"+line+"\r\n\r\n")
	}
	add(101, "the RFC's own")
	targets(add)
	fields(add, line)
	keys(add)
	versions(add, line)
	heads(add, line)
	for _, c := range []struct{ name, lines, selected string }{
		{"one subprotocol", "Sec-WebSocket-Protocol: mb", "mb"},
		{"the first of two", "Sec-WebSocket-Protocol: mb, chat", "mb"},
		{"the first of two fields",
			"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: mb", "chat"},
		{"spaces about it", "Sec-WebSocket-Protocol: \t mb \t,\tchat", "mb"},
		{"empty elements before it", "Sec-WebSocket-Protocol: , ,mb", "mb"},
		{"as it was spelled", "Sec-WebSocket-Protocol: v1.MB+json", "v1.MB+json"},
	} {
		line(101, "§4.2.2 "+c.name, c.lines)
		all[len(all)-1].fields = "Sec-WebSocket-Protocol: " + c.selected + "\r\n"
	}
	line(101, "§4.2.2 no subprotocol in an empty list", "Sec-WebSocket-Protocol: ,")
	line(400, "§4.1 a subprotocol that is no token", "Sec-WebSocket-Protocol: a b")
	line(400, "§4.1 a subprotocol with a separator", "Sec-WebSocket-Protocol: mb, {x}")
	return all
}

// targets: §4.2.1 item 1, the request line.
func targets(add func(status int, name string, replace ...string)) {
	for _, target := range []string{
		"/chat", "/chat?room=1&x=%20", "/?", "//", "/a/../b", "/" + strings.Repeat("x", 4000),
		"http://localhost/chat", "ws://localhost", "WSS://localhost:1/", "http://localhost?x",
	} {
		add(101, "§3 target "+target, "GET / ", "GET "+target+" ")
	}
	for _, target := range []string{
		"*", "localhost:80", "chat", "ftp://localhost/", "http://", "/a b", "/a\tb", "/\xc3\xa9",
		"/\x00", "",
	} {
		add(400, "§3 target "+target, "GET / ", "GET "+target+" ")
	}
	for _, method := range []string{
		"POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "get", "Get", "GETX", "G\x00T", "", "M-SEARCH",
		strings.Repeat("G", 25),
	} {
		add(400, "§4.1 method "+method, "GET /", method+" /")
	}
	add(101, "§4.1 HTTP/1.2", "HTTP/1.1", "HTTP/1.2")
	for _, version := range []string{
		"HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "http/1.1", "HTTP/1", "HTTP/1.",
		"HTTP/1.11", "HTTP/11", "HTTPS/1.1", "HTTP/-1.1", "", "HTTP/1.1 ", "HTTP/1.x",
	} {
		add(400, "§4.1 version "+version, "HTTP/1.1", version)
	}
}

// fields: §4.2.1 items 2 to 4.
func fields(add func(int, string, ...string), line func(int, string, string)) {
	add(400, "§4.2.1 no Host", "Host: localhost\r\n", "")
	add(400, "§4.2.1 an empty Host", "Host: localhost", "Host: ")
	line(400, "§4.2.1 two Hosts", "Host: localhost")
	for _, host := range []string{"localhost:3000", "127.0.0.1", "[::1]:3000", "LOCALHOST"} {
		add(101, "§4.2.1 Host "+host, "Host: localhost", "Host: "+host)
	}
	for _, upgrade := range []string{
		"WebSocket", "WEBSOCKET", "h2c, websocket", "a/1 ,\twebsocket\t",
	} {
		add(101, "§4.2.1 Upgrade "+upgrade, "Upgrade: websocket", "Upgrade: "+upgrade)
	}
	for _, upgrade := range []string{
		"h2c", "websocket2", "websocket/13", "web socket", "\"websocket\"", "",
	} {
		add(400, "§4.2.1 Upgrade "+upgrade, "Upgrade: websocket", "Upgrade: "+upgrade)
	}
	add(400, "§4.2.1 no Upgrade", "Upgrade: websocket\r\n", "")
	for _, token := range []string{"upgrade", "UPGRADE", "keep-alive, Upgrade", "a ,, Upgrade ,"} {
		add(101, "§4.2.1 Connection "+token, "Connection: Upgrade", "Connection: "+token)
	}
	for _, token := range []string{"keep-alive", "close", "Upgraded", "Up grade", ""} {
		add(400, "§4.2.1 Connection "+token, "Connection: Upgrade", "Connection: "+token)
	}
	add(400, "§4.2.1 no Connection", "Connection: Upgrade\r\n", "")
	add(101, "§4.2.1 Connection in two fields", "Connection: Upgrade",
		"Connection: keep-alive\r\nConnection: Upgrade")
	add(101, "§4.2.1 names in any case", "Upgrade:", "uPGRADE:", "Connection:", "CONNECTION:",
		"Sec-WebSocket-", "sec-websocket-", "Host:", "hOST:")
	add(101, "§4.1 no space behind the colon", ": ", ":")
	add(426, "§4.4 a plain GET", "Upgrade: websocket\r\n", "", "Connection: Upgrade\r\n", "",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", "Sec-WebSocket-Version: 13\r\n", "")
}

// keys: §4.2.1 item 5, "when decoded, is 16 bytes in length".
func keys(add func(int, string, ...string)) {
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	for _, good := range []string{
		"AAAAAAAAAAAAAAAAAAAAAA==", "/////////////////////w==", "++++++++++++++++++++++==",
	} {
		add(101, "§4.2.1 key "+good, key, good)
	}
	for _, bad := range []string{
		"", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===",
		"dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZWE=", "dGhlIHNhbXBsZSBub25jZWFh",
		"____________________-w==", "dGhlIHNhbXBs SBub25jZQ==", "dGhlIHNhbXBsZSBub25j====",
		strings.Repeat("A", 1000),
	} {
		add(400, "§4.2.1 key "+bad, key, bad)
	}
	add(400, "§4.2.1 no key", "Sec-WebSocket-Key: "+key+"\r\n", "")
	add(400, "§11.3.1 two keys", key, key+"\r\nSec-WebSocket-Key: "+key)
	add(101, "§4.1 spaces about the key", key, " \t"+key+"\t ")
}

// versions: §4.2.1 item 6 and §4.4.
func versions(add func(int, string, ...string), line func(int, string, string)) {
	for _, v := range []string{
		"0", "7", "8", "12", "14", "113", "013", "13.0", "+13", "13, 8", "", "x",
	} {
		add(426, "§4.4 version "+v, "Version: 13", "Version: "+v)
	}
	add(426, "§4.4 no version", "Sec-WebSocket-Version: 13\r\n", "")
	line(400, "§11.3.5 two versions", "Sec-WebSocket-Version: 13")
}

// heads: how a head is written, RFC 9112 §2 to §6, and what may stand in it (§4.1, §9.1, §10).
func heads(add func(int, string, ...string), line func(int, string, string)) {
	line(101, "§4.1 a field that means nothing here", "X-Anything: \x80\xff é")
	line(101, "§4.1 an Origin that is the host's", "Origin: http://localhost")
	line(101, "§4.1 an Origin that is not", "Origin: https://suite.example")
	line(101, "§9.1 an extension that is not known",
		"Sec-WebSocket-Extensions: x-none; a=1, y-none")
	line(101, "§4.1 Content-Length: 0", "Content-Length: 0")
	line(400, "a body", "Content-Length: 5")
	line(400, "two lengths", "Content-Length: 0\r\nContent-Length: 0")
	line(400, "a length that is none", "Content-Length: x")
	line(400, "an empty length", "Content-Length: ")
	line(400, "a body in chunks", "Transfer-Encoding: chunked")
	line(400, "a folded field", "X-A: 1\r\n 2")
	line(400, "a space before the colon", "X-A : 1")
	line(400, "a field without a name", ": 1")
	line(400, "a field without a colon", "X-A")
	line(400, "a name that is no token", "X(A): 1")
	line(400, "NUL in a field", "X-A: a\x00b")
	line(400, "a CR in a field", "X-A: a\rb")
	line(400, "a control character in a field", "X-A: a\x1bb")
	line(400, "a lone LF", "X-A: 1\nX-B: 2")
	add(400, "lone LFs", "\r\n", "\n")
	add(400, "CR CR LF", "\r\n", "\r\r\n")
	add(400, "an empty line first", "GET", "\r\nGET")
	room := strings.Repeat("x", 8<<10-len(head)-len("X-A: \r\n"))
	line(101, "a head of 8 KiB", "X-A: "+room)
	line(431, "a head of 8 KiB and a byte", "X-A: x"+room)
	line(431, "a head of a megabyte", "X-A: "+strings.Repeat("x", 1<<20))
	line(431, "a hundred thousand fields", strings.Repeat("X: 1\r\n", 1e5)+"X: 1")
}

// The opening handshake over a real socket, whole and byte by byte, and with a frame right behind.
func TestOpening(t *testing.T) {
	for name, by := range ways {
		t.Run(name, func(t *testing.T) { opens(t, startSuite(t, limit, by)) })
	}
}

func opens(t *testing.T, at *place) {
	seen := make(map[string]bool)
	for _, o := range openings() {
		if seen[o.name] {
			t.Errorf("%s is there twice", o.name)
		}
		seen[o.name] = true
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			o.run(t, at, []string{o.sent})
		})
		if len(o.sent) < 300 && strings.Contains(o.name, "§4.2.1 Connection") {
			t.Run(o.name+", byte by byte", func(t *testing.T) {
				t.Parallel()
				o.run(t, at, bytewise(o.sent))
			})
		}
	}
	for garbage, status := range map[string]int{
		"\x00": 400, "\xff\xfe": 400, "SSH-2.0-x\r\n": 400, "{\"a\":1}\n": 400, "GET\r\n": 400,
		" GET / HTTP/1.1\r\n": 400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": 400,
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": 400, // TLS
		// PROXY headers that nobody asked for: whoever sends them would not understand an answer.
		"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n": 0, "\r\n\r\n\x00\r\nQUIT\n": 0,
	} {
		if at.secure != nil && status == 0 {
			status = 400 // inside of TLS they are none
		}
		t.Run("§10 "+garbage, func(t *testing.T) {
			t.Parallel()
			(&opening{sent: garbage, status: status}).run(t, at, []string{garbage})
		})
	}
}

func (o *opening) run(t *testing.T, at *place, pieces []string) {
	c := at.dial(t)
	told := make(chan struct{})
	go func() {
		_ = say(c, pieces) // a refusal may come before the end
		if o.status == 101 {
			_ = say(c, []string{frame(text, "Hello") + frame(closing, code(1000, ""))})
		}
		close(told)
	}()
	defer func() { _ = c.Close(); <-told }()
	if o.status == 101 {
		want := strings.TrimSuffix(strings.Replace(opened, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
			accepted(o.sent), 1), "\r\n") + o.fields + "\r\n" +
			sent(text, "Hello") + sent(closing, code(1000, ""))
		if all, err := io.ReadAll(c); err != nil || string(all) != want {
			t.Errorf("%q, %v, want %q", all, err, want)
		}
		return
	}
	if o.status == 0 {
		if all, err := io.ReadAll(c); len(all) > 0 || err != nil {
			t.Errorf("%q, %v", all, err)
		}
		return
	}
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		Error struct{ Code, Message string }
	}
	err = json.NewDecoder(resp.Body).Decode(&body)
	rest, _ := io.ReadAll(in)
	if err != nil || resp.StatusCode != o.status || body.Error.Code != "MALFORMED_MESSAGE" ||
		body.Error.Message == "" || !resp.Close || len(rest) > 0 || resp.ContentLength <= 0 ||
		resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %+v %v, then %q", resp.Status, body, err, rest)
	}
	wantVersion := ""
	if o.status == 426 {
		wantVersion = "13"
	}
	if v := resp.Header.Get("Sec-WebSocket-Version"); v != wantVersion {
		t.Errorf("%v with version %q", resp.Status, v)
	}
}

var keyField = regexp.MustCompile(`(?i)sec-websocket-key:[ \t]*([^ \t\r]*)`)

// accepted is what a head's key is answered with (§4.2.2 item 5).
func accepted(head string) string {
	key := keyField.FindStringSubmatch(head)[1]
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
