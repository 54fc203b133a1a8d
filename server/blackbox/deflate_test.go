package blackbox

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// Permessage-deflate (RFC 7692) against a real node: by hand with the standard library's DEFLATE,
// and with a client library of others.

const (
	deflateOn = "ws.deflate.enabled=true"
	rsv1      = 0x40
	deflation = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
)

// offering is upgradeHead with an offer of extensions.
func offering(offer string) []byte {
	head := strings.TrimSuffix(upgradeHead, "\r\n")
	return []byte(head + "Sec-WebSocket-Extensions: " + offer + "\r\n\r\n")
}

// dialDeflate upgrades with an offer and takes system.initialize.
func dialDeflate(t testing.TB, n *node) *rawConn {
	t.Helper()
	r := dialRaw(t, n.ws)
	r.write(offering("permessage-deflate; client_max_window_bits"))
	if resp, _ := r.answer(); resp.Header.Get("Sec-WebSocket-Extensions") != deflation {
		t.Fatalf("upgrade: %s %v", resp.Status, resp.Header)
	}
	if m, _ := r.message(); !strings.HasPrefix(m, "publish:system.initialize:1.0.0\n") {
		t.Fatalf("first message: %q", m)
	}
	return r
}

// message reads one text message, compressed or not.
func (r *rawConn) message() (text string, compressed bool) {
	r.t.Helper()
	head, err := r.in.Peek(1)
	if err != nil {
		r.t.Fatalf("reading a frame: %v", err)
	}
	if compressed = head[0]&rsv1 != 0; compressed {
		head[0] &^= rsv1 // in the reader's own buffer
	}
	op, payload := r.frame()
	if op != opText {
		r.t.Fatalf("opcode %d, %q", op, payload)
	}
	if !compressed {
		return string(payload), false
	}
	plain, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload),
		strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
	if err != nil {
		r.t.Fatalf("inflating %x: %v", payload, err)
	}
	if len(payload) >= len(plain) {
		r.t.Errorf("%d bytes became %d", len(plain), len(payload))
	}
	return string(plain), true
}

// compress is what RFC 7692 §7.2.1 makes of a message.
func compress(message string) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // a level that there is
	_, _ = io.WriteString(w, message)
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

// readings are payloads as people send them: some KiB of JSON.
func readings(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `{"sensor":"s%d","value":%d.%d,"unit":"C"},`, i%7, i*31%100, i*7%10)
	}
	return b.String()[:size]
}

func TestS1_DeflateNegotiation(t *testing.T) {
	on, off := startNode(t, deflateOn), startNode(t)
	for _, c := range []struct{ offer, answer string }{
		{"permessage-deflate", deflation},
		{"permessage-deflate; client_max_window_bits", deflation},
		{"permessage-deflate; server_max_window_bits=10", ""},
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate", deflation},
		{"permessage-deflate; server_max_window_bits=15",
			deflation + "; server_max_window_bits=15"},
		{"x-webkit-deflate-frame", ""},
		{"permessage-deflate; client_max_window_bits=7", ""},
	} {
		for _, n := range []*node{on, off} {
			r := dialRaw(t, n.ws)
			r.write(offering(c.offer))
			want := c.answer
			if n == off {
				want = ""
			}
			resp, _ := r.answer()
			if got := resp.Header.Get("Sec-WebSocket-Extensions"); resp.StatusCode != 101 ||
				got != want {
				t.Errorf("%s: %d %q, want %q", c.offer, resp.StatusCode, got, want)
			}
			if want == "" {
				r.initialized()
				r.write(wsFrame(fin|rsv1|opText, compress("x")))
				r.closedWith(1002)
			}
		}
	}
}

// Every kind of client hears every other; a message is compressed once for all of a loop.
func TestS1_DeflateClients(t *testing.T) {
	n := startNode(t, deflateOn, "loops=1", "message.payload.maxLength=200000")
	var compressed []*client
	for _, threshold := range []int{1, 1 << 20} { // one compresses what it sends
		p, resp, err := dialWS("ws://"+n.ws+"/", &websocket.DialOptions{
			CompressionMode:      websocket.CompressionNoContextTakeover,
			CompressionThreshold: threshold,
		})
		if err != nil || !strings.HasPrefix(resp.Header.Get("Sec-WebSocket-Extensions"),
			"permessage-deflate") {
			t.Fatal(err, resp)
		}
		compressed = append(compressed, adopt(t, p, overWS))
	}
	all := append([]*client{n.dial(t, overTCP), n.dial(t, overWS)}, compressed...)
	for _, c := range all {
		c.subscribe("publish", "a.#")
		c.subscribe("request", "a.ask")
	}
	noise := make([]byte, 2000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	payloads := []string{"", "x", readings(100), readings(1000), readings(16000),
		readings(60000), readings(100000), string(noise), strings.Repeat("\x00", 150000)}
	before := n.scrape(t)
	for i, from := range all {
		for k, payload := range payloads {
			header := fmt.Sprintf("publish:a.t%dx%d:1.0.0", i, k)
			from.send(header, payload)
			for _, to := range all {
				to.expectPayload(header+":*", payload)
			}
		}
	}
	after := n.until(t, "the counts", func(m map[string]float64) bool {
		return m["mb_inflate_messages_total"] >= before["mb_inflate_messages_total"]+9
	})
	rise := func(name string) int { return int(after[name] - before[name]) }
	// 1000, 16000 and 60000 bytes become smaller, the noise does not; one compression for both.
	if got := rise("mb_deflate_messages_total"); got != 4*3 {
		t.Errorf("%d messages were compressed", got)
	}
	if got := rise("mb_deflate_kept_total"); got != 4 {
		t.Errorf("%d messages were kept", got)
	}
	plain, small := rise("mb_deflate_plain_bytes_total"), rise("mb_deflate_compressed_bytes_total")
	if plain < 4*77000 || small > plain/3 {
		t.Errorf("%d bytes became %d", plain, small)
	}
	if p := rise("mb_inflate_plain_bytes_total"); p < 320000 {
		t.Errorf("%d bytes were inflated", p)
	}
	if after["mb_connections_deflate"] != 2 || after["mb_inflate_failures_total"] != 0 {
		t.Error(after["mb_connections_deflate"], after["mb_inflate_failures_total"])
	}
	// Requests and answers, too.
	for _, service := range compressed {
		for _, c := range all {
			if c != service {
				c.ok("system.topic.unsubscribe", `{"topic":"a.ask","action":"request"}`)
			}
		}
		service.subscribe("request", "a.ask")
		for _, c := range all {
			c.send("request:a.ask:1.0.0:"+callID, readings(3000))
			q := service.recv()
			if q.Topic != "a.ask" || string(q.Payload) != readings(3000) {
				t.Fatal(q)
			}
			service.send("response:a.ask:1.0.0:"+q.ID, readings(5000))
			c.expectPayload("response:a.ask:1.0.0:"+callID, readings(5000))
		}
	}
	for _, c := range all {
		c.none()
	}
}

const callID = "7c2d5a1e-0000-4000-8000-00000000cafe"

// What is compressed and what is not, as it is on the wire.
func TestS1_DeflateBounds(t *testing.T) {
	n := startNode(t, deflateOn, "ws.deflate.minBytes=300", "ws.deflate.maxBytes=400")
	r, tcp := dialDeflate(t, n), n.dial(t, overTCP)
	r.write(wsFrame(fin|rsv1|opText, compress("request:system.topic.subscribe:1.0.0:"+callID+
		"\n"+`{"action":"publish","topic":"a.b"}`)))
	if m, compressed := r.message(); !strings.Contains(m, `"success"`) || compressed {
		t.Fatal(m, compressed)
	}
	header := len("publish:a.b:1.0.0:" + callID + "\n")
	for _, c := range []struct {
		size       int
		compressed bool
	}{{299, false}, {300, true}, {400, true}, {401, false}} {
		tcp.send("publish:a.b:1.0.0", strings.Repeat("z", c.size-header))
		m, compressed := r.message()
		if len(m) != c.size || compressed != c.compressed {
			t.Errorf("%d of %d bytes, compressed: %v", len(m), c.size, compressed)
		}
	}
}

// A message in fragments, between which others come, and one with BFINAL set.
func TestS1_DeflateFragments(t *testing.T) {
	n := startNode(t, deflateOn)
	r := dialDeflate(t, n)
	request := "request:system.heartbeat:1.0.0:" + callID + "\n{}"
	p := compress(request)
	r.write(wsFrame(rsv1|opText, p[:1]))
	r.write(wsFrame(fin|opPing, []byte("?")))
	for _, b := range p[1:] {
		r.write(wsFrame(opContinuation, []byte{b}))
	}
	r.write(wsFrame(fin|opContinuation, nil))
	if op, payload := r.frame(); op != opPong || string(payload) != "?" {
		t.Errorf("opcode %d, %q", op, payload)
	}
	want := "response:system.heartbeat:1.0.0:" + callID + "\n"
	if m, _ := r.message(); !strings.HasPrefix(m, want) {
		t.Errorf("got %q", m)
	}
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 1)
	_, _ = io.WriteString(w, request)
	_ = w.Close() // BFINAL
	r.write(wsFrame(fin|rsv1|opText, append(b.Bytes(), 0)))
	if m, _ := r.message(); !strings.HasPrefix(m, want) {
		t.Errorf("got %q", m)
	}
	r.beat()
}

// Hostile: before anything is trusted, and told as protocol §1 says.
func TestS1_DeflateHostile(t *testing.T) {
	n := startNode(t, deflateOn)
	bomb := compress(strings.Repeat("\x00", 10<<20)) // ten times a thousand to one
	for name, c := range map[string]struct {
		frames []byte
		code   uint16
	}{
		"bomb": {wsFrame(fin|rsv1|opText, bomb[:9000]), 1009},
		"bomb in fragments": {append(wsFrame(rsv1|opBinary, bomb[:100]),
			wsFrame(fin|opContinuation, bomb[100:5000])...), 1009},
		"not DEFLATE":       {wsFrame(fin|rsv1|opText, []byte("request:")), 1007},
		"cut":               {wsFrame(fin|rsv1|opText, compress(readings(500))[:50]), 1007},
		"not UTF-8":         {wsFrame(fin|rsv1|opText, compress("a\xff")), 1007},
		"context of before": {wsFrame(fin|rsv1|opText, []byte("\xf2\x00\x11\x00\x00")), 1007},
		"RSV1 in a ping":    {wsFrame(fin|rsv1|opPing, nil), 1002},
		"RSV1 in a fragment": {append(wsFrame(rsv1|opText, []byte{0}),
			wsFrame(fin|rsv1, nil)...), 1002},
		"RSV2":        {wsFrame(fin|0x20|opText, nil), 1002},
		"as it comes": {wsFrameHead(fin|rsv1|opText, 20000), 1009},
	} {
		t.Run(name, func(t *testing.T) {
			r := dialDeflate(t, n)
			r.write(c.frames)
			m, _ := r.message()
			var fault struct {
				Error struct {
					Code    string
					Details struct{ Length, MaxLength int }
				}
			}
			head, body, _ := strings.Cut(m, "\n")
			if err := json.Unmarshal([]byte(body), &fault); err != nil ||
				head != "response:error:1.0.0" || fault.Error.Code != "MALFORMED_MESSAGE" {
				t.Fatalf("got %q", m)
			}
			if d := fault.Error.Details; c.code == 1009 &&
				(d.Length <= d.MaxLength || d.MaxLength < 16384) {
				t.Errorf("details %+v", d)
			}
			r.closedWith(c.code)
		})
	}
	dialDeflate(t, n).beat()
	if before := n.resident(); before > 0 {
		// Many bombs at once: none holds more than what a message may have.
		var rs []*rawConn
		for range 50 {
			r := dialDeflate(t, n)
			r.write(wsFrame(fin|rsv1|opText, bomb[:9000]))
			rs = append(rs, r)
		}
		for _, r := range rs {
			_, _ = r.message()
			r.closedWith(1009)
		}
		if after := n.resident(); after > before+(32<<20) {
			t.Errorf("%d MiB, before %d", after>>20, before>>20)
		}
	}
}
