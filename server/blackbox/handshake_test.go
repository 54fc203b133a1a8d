package blackbox

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestS1_AnyPathUpgrades(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for _, path := range []string{"", "/", "/mb", "/a/b/c?token=1&x=%20"} {
		p, _, err := dialWS("ws://"+n.ws+path, nil)
		if err != nil {
			t.Fatalf("path %q: %v", path, err)
		}
		adopt(t, p, overWS).none()
	}
}

func TestS1_HandshakeRefusals(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	replace := func(old, new string) string {
		if !strings.Contains(upgradeHead, old) {
			t.Fatalf("no %q in the head", old)
		}
		return strings.Replace(upgradeHead, old, new, 1)
	}
	for _, tc := range []struct {
		name, head string
		status     int
	}{
		{"plain GET", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 426},
		{"version 8", replace("Version: 13", "Version: 8"), 426},
		{"no key", replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400},
		{"short key", replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400},
		{"no host", replace("Host: localhost\r\n", ""), 400},
		{"POST", replace("GET ", "POST "), 400},
		{"not HTTP", "\x16\x03\x01 hello\r\n\r\n", 400},
		{"long headers",
			replace("\r\n\r\n", "\r\nX-Long: "+strings.Repeat("x", 9000)+"\r\n\r\n"), 431},
		{"endless line", "GET /" + strings.Repeat("x", 9000), 431},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := dialRaw(t, n.ws)
			r.write([]byte(tc.head))
			resp, _ := r.answer()
			if resp.StatusCode != tc.status {
				t.Errorf("got %s, want %d", resp.Status, tc.status)
			}
			if tc.status == 426 && resp.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Errorf("426 without Sec-WebSocket-Version: 13: %v", resp.Header)
			}
			r.ended()
		})
	}
}

func TestS1_LongHeadersUnderTheLimit(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	r := dialRaw(t, n.ws)
	cookie := "\r\nCookie: " + strings.Repeat("x", 7000) + "\r\n\r\n"
	r.write([]byte(strings.Replace(upgradeHead, "\r\n\r\n", cookie, 1)))
	r.upgraded()
	r.initialized()
	r.beat()
}

// The HTTP head may come in single bytes.
func TestS1_HandshakeChunks(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	slow := dialRaw(t, n.ws)
	for i := range len(upgradeHead) {
		slow.write([]byte{upgradeHead[i]})
	}
	slow.upgraded()
	slow.initialized()
	slow.beat()
}

func TestS1_SlowHandshake(t *testing.T) {
	t.Parallel()
	const limit = 400 * time.Millisecond
	n := startNode(t, fmt.Sprintf("connection.handshakeTimeout=%d", limit.Milliseconds()))
	established := n.dial(t, overWS) // outlives the limit, which is not its any more
	for _, head := range []string{"", upgradeHead[:40]} {
		start := time.Now()
		r := dialRaw(t, n.ws)
		r.write([]byte(head))
		_, _ = io.Copy(io.Discard, r.in) // an HTTP answer before the end is allowed
		r.ended()
		passed := time.Since(start)
		if passed < limit-50*time.Millisecond || passed > limit+5*time.Second {
			t.Errorf("%d bytes of a head: cut after %v", len(head), passed)
		}
	}
	established.none()
}
