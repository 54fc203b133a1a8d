//go:build linux

package bench

import (
	"bytes"
	"strings"
	"testing"

	"mbserver/codec"
)

// decoders of the other end, which are not the harness's own.
func decodeAll(t *testing.T, ws bool, in []byte) []string {
	t.Helper()
	var d codec.Decoder = codec.NewTCPDecoder(1 << 20)
	if ws {
		d = codec.NewWSDecoder(1<<20, false)
	}
	defer d.Release()
	var all []string
	for rest := bytes.Clone(in); ; {
		m, left, err := d.Next(rest)
		if err != nil {
			t.Fatalf("the node's decoder: %v", err)
		}
		if m.Kind == codec.None {
			if d.Buffered() > 0 {
				t.Fatal("a frame is not whole")
			}
			return all
		}
		all = append(all, string(m.Data))
		rest = left
	}
}

// fromServer frames a message as a node does.
func fromServer(ws bool, message string) []byte {
	if ws {
		return append(codec.AppendWSHeader(nil, codec.Text, len(message)), message...)
	}
	return append(codec.AppendTCPHeader(nil, len(message)), message...)
}

func TestMBFrames(t *testing.T) {
	for _, ws := range []bool{false, true} {
		w := mbWire{ws: ws}
		for _, n := range []int{minPayload, 100, 128, 200, 65500, maxPayload} {
			payload := payloadOf(n)
			frames := w.appendPublish(nil, "bench.fan", payload)
			frames = w.appendRequest(frames, "bench.svc", 7, 9, payload)
			got := decodeAll(t, ws, frames)
			id := "00000007-0000-4000-8000-000000000009"
			want := []string{
				"publish:bench.fan:1.0.0\n" + string(payload),
				"request:bench.svc:1.0.0:" + id + "\n" + string(payload),
			}
			if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
				t.Fatalf("ws %v, %d bytes: frames differ", ws, n)
			}
			arrives := fromServer(ws, "publish:bench.fan:1.0.0:"+id+"\n"+string(payload))
			if got := w.delivered("bench.fan", n); got != len(arrives) {
				t.Errorf("ws %v, %d bytes: delivered %d, arrives %d", ws, n, got, len(arrives))
			}
			answer := fromServer(ws, "response:bench.svc:1.0.0:"+id+"\n"+string(payload))
			if got := w.answered("bench.svc", n); got != len(answer) {
				t.Errorf("ws %v, %d bytes: answered %d, arrives %d", ws, n, got, len(answer))
			}
		}
	}
}

// Every split of a stream of requests is answered as the whole.
func TestMBAnswerSplits(t *testing.T) {
	for _, ws := range []bool{false, true} {
		w := mbWire{ws: ws}
		var in []byte
		var want []string
		for i, payload := range []string{"", "x", strings.Repeat("y", 200)} {
			tail := ":a.b:1.0.0:" + requestID(i, i) + "\n" + payload
			in = append(in, fromServer(ws, "request"+tail)...)
			want = append(want, "response"+tail)
		}
		for cut := range len(in) + 1 {
			out, used := w.answer(nil, in[:cut])
			out, more := w.answer(out, in[used:])
			if used+more != len(in) {
				t.Fatalf("ws %v, cut at %d: %d of %d bytes used", ws, cut, used+more, len(in))
			}
			if got := decodeAll(t, ws, out); strings.Join(got, "|") != strings.Join(want, "|") {
				t.Fatalf("ws %v, cut at %d: %q", ws, cut, got)
			}
		}
	}
}

func TestMBWelcome(t *testing.T) {
	for _, ws := range []bool{false, true} {
		w := mbWire{ws: ws}
		whole := fromServer(ws, `publish:system.initialize:1.0.0`+"\n{}")
		if ws {
			accepted := []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
			whole = append(accepted, whole...)
		}
		for n := range len(whole) {
			if w.welcomed(whole[:n]) {
				t.Errorf("ws %v: welcomed by %q", ws, whole[:n])
			}
		}
		if !w.welcomed(whole) {
			t.Errorf("ws %v: not welcomed by the whole", ws)
		}
		refusal := fromServer(ws, "response:error:1.0.0\n{}")
		if w.welcomed(refusal) || w.subscribed(refusal) {
			t.Errorf("ws %v: a refusal counts", ws)
		}
	}
}

func TestMask(t *testing.T) {
	for n := range 40 {
		want := payloadOf(n)
		for i := range want {
			want[i] ^= wsKey[i%4]
		}
		got := payloadOf(n)
		if mask(got); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %x, want %x", n, got, want)
		}
	}
}

func TestRawFrames(t *testing.T) {
	w := rawWire{}
	got, want := len(w.appendPublish(nil, "a", payloadOf(128))), w.delivered("a", 128)
	if got != want {
		t.Errorf("published %d bytes, delivered %d", got, want)
	}
	request := w.appendRequest(nil, "a", 0x01020304, 0, payloadOf(128))
	if len(request) != w.answered("a", 128) || !bytes.HasPrefix(request, []byte{1, 2, 3, 4}) {
		t.Errorf("request %x", request)
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, topic string
		want           bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a.b", false}, {"a.b", "a", false},
		{"+", "a", true}, {"+", "a.b", false}, {"a.+", "a", false}, {"a.+.c", "a.b.c", true},
		{"#", "a.b", true}, {"a.#", "a", true}, {"a.#", "a.b.c", true}, {"a.#", "b", false},
		{"a.+.#", "a", false},
	} {
		if got := matches(c.pattern, c.topic); got != c.want {
			t.Errorf("%s on %s: %v", c.pattern, c.topic, got)
		}
	}
}

// Who speaks TLS, and what is for it alone.
func TestTransports(t *testing.T) {
	storm, err := selected([]string{"storm"})
	if err != nil {
		t.Fatal(err)
	}
	shake, err := selected([]string{"handshake"})
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{}
	for _, transport := range Transports() {
		w := wireFor("mb", transport)
		if w == nil || wireFor("raw", transport) != nil && transport != "tcp" {
			t.Errorf("%s: node %v, raw %v", transport, w, wireFor("raw", transport))
		}
		secure := transport == "tls" || transport == "wss"
		if r.fits(storm[0], "mb", transport, w) == secure ||
			r.fits(shake[0], "mb", transport, w) != secure {
			t.Errorf("%s: storm and handshake do not fit", transport)
		}
	}
}
