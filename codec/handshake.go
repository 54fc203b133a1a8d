package codec

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"strconv"
	"strings"
)

// MaxHandshake is the most bytes a handshake's head may have,
// its empty line included (protocol §1).
const MaxHandshake = 8 << 10

// Handshake is a WebSocket opening handshake as a server sees it (RFC 6455 §4.2). It holds copies:
// nothing aliases the input.
type Handshake struct {
	Path          string   // the target as sent, with its query; without scheme and authority
	Host          string   // the Host field
	Origin        string   // empty when absent
	Protocols     []string // subprotocols the client offers; the first that is no token is selected
	Extensions    string   // what the client offers, several fields joined by ", "
	Authorization string   // empty when absent
	ForwardedFor  string   // X-Forwarded-For; of this and the next two several fields are joined
	Forwarded     string   // (RFC 7239)
	ForwardedHost string   // X-Forwarded-Host
	Response      []byte   // the complete 101 response
}

// HandshakeError says how to refuse a handshake; the connection is closed after.
type HandshakeError struct {
	Status int    // 426 (plain GET, wrong version), 431 (head over MaxHandshake), 400 (all else)
	Reason string // a sentence for the sender
}

func (e *HandshakeError) Error() string { return strconv.Itoa(e.Status) + " " + e.Reason }

func badRequest(reason string) *HandshakeError { return &HandshakeError{400, reason} }

// ParseHandshake reads a handshake request. head holds everything that arrived so far. n == 0 and
// err == nil: more bytes are needed. n > 0: the request took n bytes, those after it belong to the
// connection. What can never become a request is refused at the first line, or the first byte, that
// shows it. Any goroutine.
func ParseHandshake(head []byte) (hs Handshake, n int, err *HandshakeError) {
	r := request{}
	window := head[:min(len(head), MaxHandshake)]
	if !plausibleMethod(window) {
		return Handshake{}, 0, badRequest("not an HTTP request")
	}
	for at, line := 0, 0; ; line++ {
		end := bytes.IndexByte(window[at:], '\n')
		if end < 0 {
			if len(head) >= MaxHandshake { // protocol §1: "headers over 8 KiB 431"
				return Handshake{}, 0, &HandshakeError{431, "request head over 8 KiB"}
			}
			return Handshake{}, 0, nil
		}
		// RFC 9112 §2.2 lets a recipient take a lone LF for a line end. Where two readers could
		// differ, we refuse.
		if end == 0 || window[at+end-1] != '\r' {
			return Handshake{}, 0, badRequest("a line does not end in CR LF")
		}
		text := window[at : at+end-1]
		at += end + 1
		switch {
		case line == 0:
			err = r.requestLine(text)
		case len(text) == 0:
			if err = r.check(); err != nil {
				return Handshake{}, 0, err
			}
			return r.accept(), at, nil
		default:
			err = r.field(text)
		}
		if err != nil {
			return Handshake{}, 0, err
		}
	}
}

// maxMethodLen is more than any registered method has (RFC 9110 §16.1).
const maxMethodLen = 24

// plausibleMethod reports whether b can be the beginning of a request line: capital letters and
// hyphens, as every registered method has, then a space.
func plausibleMethod(b []byte) bool {
	for i, c := range b {
		if c == ' ' {
			return i > 0
		}
		if (c < 'A' || c > 'Z') && c != '-' || i >= maxMethodLen {
			return false
		}
	}
	return true
}

// request gathers what the head says; check judges it when all is there.
type request struct {
	Handshake
	key, version, length  []byte
	hasHost, hasOrigin    bool
	hasAuth               bool
	hasTransferEncoding   bool
	upgradeWS, upgradeTok bool // Upgrade: websocket, Connection: upgrade
	old                   bool // HTTP/1.0
}

// requestLine reads "method SP request-target SP HTTP-version" (RFC 9112 §3).
func (r *request) requestLine(line []byte) *HandshakeError {
	method, rest, _ := bytes.Cut(line, []byte{' '})
	target, version, ok := bytes.Cut(rest, []byte{' '})
	if !ok || len(target) == 0 ||
		len(version) != len("HTTP/1.1") || !bytes.HasPrefix(version, []byte("HTTP/")) ||
		!digit(version[5]) || version[6] != '.' || !digit(version[7]) {
		return badRequest("malformed request line")
	}
	for _, c := range target {
		if c <= ' ' || c >= 0x7f { // RFC 3986 §2: a URI is visible ASCII
			return badRequest("malformed request target")
		}
	}
	if string(method) != "GET" { // RFC 6455 §4.1: "The method of the request MUST be GET"
		return badRequest("the method must be GET")
	}
	if version[5] != '1' {
		return badRequest("HTTP version not supported")
	}
	r.old = version[7] == '0' // §4.1: "and the HTTP version MUST be at least 1.1"
	r.Path, ok = targetPath(string(target))
	if !ok {
		return badRequest("malformed request target")
	}
	return nil
}

// targetPath is the path and query of a target in origin form or, as a server "MUST accept", in
// absolute form (RFC 9112 §3.2).
func targetPath(target string) (path string, ok bool) {
	if target[0] == '/' {
		return target, true
	}
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok {
		return "", false
	}
	switch strings.ToLower(scheme) {
	case "http", "https", "ws", "wss":
	default:
		return "", false
	}
	switch slash := strings.IndexAny(rest, "/?"); {
	case slash == 0 || rest == "":
		return "", false
	case slash < 0:
		return "/", true
	case rest[slash] == '?':
		return "/" + rest[slash:], true
	default:
		return rest[slash:], true
	}
}

// field reads one "name: value" line (RFC 9112 §5).
func (r *request) field(line []byte) *HandshakeError {
	// §5.2: a server "MUST … reject the message" that folds lines.
	if line[0] == ' ' || line[0] == '\t' {
		return badRequest("folded header line")
	}
	colon := bytes.IndexByte(line, ':')
	// §5.1: "No whitespace is allowed between the field name and colon".
	if colon <= 0 || !isToken(line[:colon]) {
		return badRequest("malformed header name")
	}
	value := bytes.Trim(line[colon+1:], " \t")
	if value == nil { // empty, but there
		value = line[len(line):]
	}
	for _, c := range value {
		// RFC 9110 §5.5: CR, LF and NUL are dangerous, other CTLs invalid.
		if c < ' ' && c != '\t' || c == 0x7f {
			return badRequest("control character in a header value")
		}
	}
	switch strings.ToLower(string(line[:colon])) {
	case "host":
		// RFC 9112 §3.2: 400 "to any request message that contains more than one Host".
		return once(&r.hasHost, &r.Host, "Host", value)
	case "upgrade":
		r.upgradeWS = r.upgradeWS || listHas(value, "websocket")
	case "connection":
		r.upgradeTok = r.upgradeTok || listHas(value, "upgrade")
	case "sec-websocket-key":
		if r.key != nil { // RFC 6455 §11.3.1: "MUST NOT appear more than once"
			return badRequest("more than one Sec-WebSocket-Key")
		}
		r.key = value
	case "sec-websocket-version":
		if r.version != nil { // RFC 6455 §11.3.5
			return badRequest("more than one Sec-WebSocket-Version")
		}
		r.version = value
	case "sec-websocket-protocol":
		return r.protocols(value)
	case "sec-websocket-extensions": // §11.3.2: "MAY appear multiple times"
		join(&r.Extensions, value)
	case "origin":
		return once(&r.hasOrigin, &r.Origin, "Origin", value)
	case "authorization":
		return once(&r.hasAuth, &r.Authorization, "Authorization", value)
	case "x-forwarded-for":
		join(&r.ForwardedFor, value)
	case "x-forwarded-host":
		join(&r.ForwardedHost, value)
	case "forwarded":
		join(&r.Forwarded, value)
	case "content-length":
		if r.length != nil {
			return badRequest("more than one Content-Length")
		}
		r.length = value
	case "transfer-encoding":
		r.hasTransferEncoding = true
	}
	return nil
}

// once takes the value of a field that may be there only once.
func once(has *bool, to *string, name string, value []byte) *HandshakeError {
	if *has {
		return badRequest("more than one " + name)
	}
	*has, *to = true, string(value)
	return nil
}

// join takes the value of a field of a list, which may be there several times (RFC 9110 §5.3).
func join(to *string, value []byte) {
	if *to != "" && len(value) > 0 {
		*to += ", "
	}
	*to += string(value)
}

func (r *request) protocols(value []byte) *HandshakeError {
	for p := range bytes.SplitSeq(value, []byte{','}) {
		if p = bytes.Trim(p, " \t"); len(p) == 0 {
			continue // RFC 9110 §5.6.1: empty list elements are ignored
		}
		if !isToken(p) {
			return badRequest("malformed Sec-WebSocket-Protocol")
		}
		r.Protocols = append(r.Protocols, string(p))
	}
	return nil
}

// check judges a complete head (RFC 6455 §4.2.1).
func (r *request) check() *HandshakeError {
	// A body would be read as frames, or frames as a body: the way requests are smuggled
	// (RFC 9112 §11.2).
	if r.hasTransferEncoding ||
		r.length != nil && (len(r.length) == 0 || len(bytes.Trim(r.length, "0")) != 0) {
		return badRequest("a handshake has no body")
	}
	if !r.upgradeWS && r.key == nil { // protocol §1: "A plain GET or a wrong version … 426"
		return &HandshakeError{426, "this port speaks WebSocket"}
	}
	switch {
	case r.old: // item 1
		return badRequest("HTTP/1.1 is needed")
	case !r.hasHost || r.Host == "": // item 2
		return badRequest("Host is missing")
	case !r.upgradeWS: // item 3
		return badRequest("Upgrade must name websocket")
	case !r.upgradeTok: // item 4
		return badRequest("Connection must name Upgrade")
	case string(r.version) != "13": // item 6
		return &HandshakeError{426, "Sec-WebSocket-Version must be 13"}
	}
	if len(r.Protocols) > 0 && r.selected() == "" {
		return badRequest("offer mb as well")
	}
	// Item 5: "a base64-encoded … value that, when decoded, is 16 bytes in length".
	var nonce [18]byte
	if len(r.key) != 24 {
		return badRequest("Sec-WebSocket-Key must be 16 bytes in base64")
	}
	if n, err := base64.StdEncoding.Decode(nonce[:], r.key); err != nil || n != 16 {
		return badRequest("Sec-WebSocket-Key must be 16 bytes in base64")
	}
	return nil
}

// accept writes the 101 response (RFC 6455 §4.2.2).
func (r *request) accept() Handshake {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	sum := sha1.Sum(append(r.key[:len(r.key):len(r.key)], guid...))
	b := make([]byte, 0, 160)
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = base64.StdEncoding.AppendEncode(b, sum[:])
	if p := r.selected(); p != "" {
		// Browsers give a connection up when none of the subprotocols they offered is selected
		// (WHATWG WebSockets §2, "establish a WebSocket connection"); this server speaks the same
		// whatever it is called.
		b = append(append(b, "\r\nSec-WebSocket-Protocol: "...), p...)
	}
	r.Response = append(b, "\r\n\r\n"...)
	return r.Handshake
}

// TokenProtocol is what a subprotocol begins with that is a token, in base64url without padding
// (protocol §10): pages in a browser can send no Authorization.
const TokenProtocol = "mb.token."

// selected is the subprotocol that the answer names: the first that is no token.
func (r *request) selected() string {
	for _, p := range r.Protocols {
		if !strings.HasPrefix(p, TokenProtocol) {
			return p
		}
	}
	return ""
}

// listHas reports whether a comma-separated list names token, in any case.
func listHas(list []byte, token string) bool {
	for e := range bytes.SplitSeq(list, []byte{','}) {
		if strings.EqualFold(string(bytes.Trim(e, " \t")), token) {
			return true
		}
	}
	return false
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// isToken reports whether b is a token (RFC 9110 §5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if !isTokenChar(c) {
			return false
		}
	}
	return len(b) > 0
}

func isTokenChar(c byte) bool {
	letter := c|0x20 >= 'a' && c|0x20 <= 'z'
	return digit(c) || letter || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
