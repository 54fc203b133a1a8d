package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"
)

var testKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// frame writes a masked frame with any first byte.
func frame(first byte, payload string) []byte {
	b := AppendWSFrame(nil, Binary, testKey, []byte(payload))
	b[0] = first
	return b
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// wsCase is a stream of a client's frames and what a server's decoder makes of it.
type wsCase struct {
	name   string
	stream []byte
	want   []string // an "error n" ends the stream
}

// autobahnCases follow the sections of the Autobahn test suite.
func autobahnCases() []wsCase {
	big := strings.Repeat("*", testMaxFrame)
	return []wsCase{
		{"1 framing", cat(frame(0x81, ""), frame(0x82, ""), frame(0x81, "hello"),
			frame(0x82, "\xfe\xff"), frame(0x81, big)),
			[]string{"text ", "binary ", "text hello", "binary \xfe\xff", "text " + big}},
		{"1 length 125–127",
			cat(frame(0x82, big[:125]), frame(0x82, big[:126]), frame(0x82, big[:127])),
			[]string{"binary " + big[:125], "binary " + big[:126], "binary " + big[:127]}},
		{"1 length not minimal", cat(
			[]byte{0x82, 0xfe, 0, 1, 0, 0, 0, 0, 'a'},
			[]byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 'b'}),
			[]string{"binary a", "binary b"}},
		{"2 ping pong", cat(frame(0x89, ""), frame(0x89, big[:125]), frame(0x8a, "\x00\xff")),
			[]string{"ping ", "ping " + big[:125], "pong \x00\xff"}},
		{"2.5 ping over 125", frame(0x89, big[:126]), []string{"error 1002"}},
		{"3 RSV1", frame(0xc1, "x"), []string{"error 1002"}},
		{"3 RSV2", cat(frame(0x81, "a"), frame(0xa1, "x")), []string{"text a", "error 1002"}},
		{"3 RSV3", frame(0x99, "x"), []string{"error 1002"}},
		{"4 opcode 3", frame(0x83, ""), []string{"error 1002"}},
		{"4 opcode 7", frame(0x87, "x"), []string{"error 1002"}},
		{"4 opcode 11", cat(frame(0x8a, ""), frame(0x8b, "")), []string{"pong ", "error 1002"}},
		{"4 opcode 15", frame(0x8f, ""), []string{"error 1002"}},
		{"5.1 fragmented ping", frame(0x09, "x"), []string{"error 1002"}},
		{"5.3 fragments",
			cat(frame(0x01, "frag"), frame(0x00, "men"), frame(0x80, "t"), frame(0x81, "x")),
			[]string{"text fragment", "text x"}},
		{"5.3 empty fragments", cat(frame(0x02, ""), frame(0x00, ""), frame(0x80, "")),
			[]string{"binary "}},
		{"5.6 ping between",
			cat(frame(0x01, "fr"), frame(0x89, "p"), frame(0x8a, ""), frame(0x80, "ag")),
			[]string{"ping p", "pong ", "text frag"}},
		{"5.9 continuation of nothing", frame(0x80, "x"), []string{"error 1002"}},
		{"5.10 continuation after a whole message", cat(frame(0x81, "a"), frame(0x00, "x")),
			[]string{"text a", "error 1002"}},
		{"5.18 text inside text", cat(frame(0x01, "a"), frame(0x81, "b")), []string{"error 1002"}},
		{"5.18 binary inside text", cat(frame(0x01, "a"), frame(0x89, ""), frame(0x02, "b")),
			[]string{"ping ", "error 1002"}},
		{"6 text", frame(0x81, "Hello-µ@ßöäüàá-UTF-8!!𐍈"),
			[]string{"text Hello-µ@ßöäüàá-UTF-8!!𐍈"}},
		{"6.2 character across fragments", cat(frame(0x01, "\xf0\x90"), frame(0x89, "\xff"),
			frame(0x00, "\x8d"), frame(0x80, "\x88")),
			[]string{"ping \xff", "text 𐍈"}},
		{"6.3 invalid", frame(0x81, "κόσμε\xed\xa0\x80edited"), []string{"error 1007"}},
		{"6.4 invalid fails before the message ends",
			cat(frame(0x01, "κόσμε\xf4"), frame(0x00, "\x90")), []string{"error 1007"}},
		{"6 cut character", frame(0x81, "a\xe2\x82"), []string{"error 1007"}},
		{"6 cut character in the last fragment", cat(frame(0x01, "a\xe2"), frame(0x80, "\x82")),
			[]string{"error 1007"}},
		{"6 no state left over", cat(frame(0x82, "\xe2"), frame(0x81, "a")),
			[]string{"binary \xe2", "text a"}},
		{"7 close", frame(0x88, ""), []string{"close "}},
		{"7.3 close of one byte", frame(0x88, "x"), []string{"error 1002"}},
		{"7.3 close with reason", frame(0x88, "\x03\xe8"+big[:123]),
			[]string{"close \x03\xe8" + big[:123]}},
		{"7.3 close over 125", frame(0x88, "\x03\xe8"+big[:124]), []string{"error 1002"}},
		{"7.5 close reason not UTF-8", frame(0x88, "\x03\xe8\xce"), []string{"error 1007"}},
		{"9 over the limit", frame(0x82, big+"x"), []string{"error 1009"}},
		{"9 over the limit by fragments", cat(frame(0x02, big), frame(0x89, ""), frame(0x80, "x")),
			[]string{"ping ", "error 1009"}},
		{"length of 64 bits", []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1},
			[]string{"error 1002"}},
		{"length of 63 bits", []byte{0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255},
			[]string{"error 1009"}},
		{"not masked", []byte{0x81, 0x01, 'a'}, []string{"error 1002"}},
	}
}

func TestWSDecoder(t *testing.T) {
	for _, c := range autobahnCases() {
		t.Run(c.name, func(t *testing.T) {
			got := drain(t, NewWSDecoder(testMaxFrame, false), c.stream, whole)
			for i, s := range got {
				if strings.HasPrefix(s, "error ") {
					got[i] = s[:len("error 1002")]
				}
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			decoder := func() Decoder { return NewWSDecoder(testMaxFrame, false) }
			sameInAnyCut(t, c.stream, 1, decoder)
		})
	}
}

// Each fragment is told of when it ends: a few bytes cannot keep a decoder busy for long.
func TestFragmentsAreTold(t *testing.T) {
	stream := cat(frame(0x01, ""), frame(0x00, ""), frame(0x00, "a"), frame(0x89, "p"),
		frame(0x80, "b"))
	want := []Kind{Fragment, Fragment, Fragment, Ping, Text, None}
	d := NewWSDecoder(testMaxFrame, false)
	defer d.Release()
	for i, k := range want {
		m, rest, err := d.Next(stream)
		if m.Kind != k || err != nil {
			t.Fatalf("message %d is %v, %v, want %v", i, m.Kind, err, k)
		}
		stream = rest
	}
}

func TestWSDecoderFailsFast(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes []byte
		code  uint16
		size  uint64 // when too large
	}{
		{"length without the key", []byte{0x82, 0xfe, 0x10, 0x00}, 1009, 4096},
		{"opcode without the length", []byte{0x83}, 1002, 0},
		{"text in an unfinished frame", frame(0x81, "\xffmore to come")[:7], 1007, 0},
		{"overlong form in an unfinished frame", frame(0x81, "\xe0\x80 more to come")[:8], 1007, 0},
		{"whole message's length",
			append(frame(0x02, strings.Repeat("a", 600)), 0x80, 0xfe, 0x02, 0x00), 1009, 1112},
	} {
		d := NewWSDecoder(testMaxFrame, false)
		m, rest, err := d.Next(c.bytes)
		if m.Kind == Fragment {
			_, _, err = d.Next(rest)
		}
		if err == nil || err.CloseCode != c.code || err.Length != c.size ||
			err.TooLarge != (c.size > 0) {
			t.Errorf("%s: %+v", c.name, err)
		}
	}
}

func TestWSDecoderClient(t *testing.T) {
	stream := append(AppendWSHeader(nil, Text, 3), "abc"...)
	stream = append(AppendWSHeader(stream, Binary, 300), bytes.Repeat([]byte{0}, 300)...)
	stream = append(stream, AppendWSHeader(nil, Ping, 0)...)
	want := []string{"text abc", "binary " + strings.Repeat("\x00", 300), "ping "}
	got := drain(t, NewWSDecoder(testMaxFrame, true), stream, whole)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q", got)
	}
	sameInAnyCut(t, stream, 1, func() Decoder { return NewWSDecoder(testMaxFrame, true) })
	_, _, err := NewWSDecoder(testMaxFrame, true).Next(frame(0x81, "a"))
	if err == nil || err.CloseCode != 1002 {
		t.Error("masked frame from a server:", err)
	}
}

// A frame that lies whole in the input is handed out where it lies.
func TestWSNextInPlace(t *testing.T) {
	in := frame(0x82, "payload")
	d := NewWSDecoder(testMaxFrame, false)
	m, rest, err := d.Next(in)
	if err != nil || len(rest) != 0 || unsafe.SliceData(m.Data) != &in[6] || d.Buffered() != 0 {
		t.Error(m, rest, err, d.Buffered())
	}
}

func TestDecoderSize(t *testing.T) {
	if n := unsafe.Sizeof(WSDecoder{}); n > 100 {
		t.Errorf("WSDecoder: %d bytes", n)
	}
	if n := unsafe.Sizeof(TCPDecoder{}); n > 100 {
		t.Errorf("TCPDecoder: %d bytes", n)
	}
}

func TestCloseCodes(t *testing.T) {
	valid := func(c int) bool {
		return 1000 <= c && c <= 1003 || 1007 <= c && c <= 1014 || 3000 <= c && c <= 4999
	}
	for c := range 1 << 16 {
		p := binary.BigEndian.AppendUint16(nil, uint16(c))
		m, _, err := NewWSDecoder(testMaxFrame, false).Next(frame(0x88, string(p)))
		if valid(c) != (err == nil && m.Kind == Close) || err != nil && err.CloseCode != 1002 {
			t.Fatalf("%d: %v %v", c, m, err)
		}
		want := uint16(1002)
		if valid(c) {
			want = uint16(c)
		}
		if got := EchoCloseCode(p); got != want {
			t.Fatalf("%d is echoed as %d", c, got)
		}
	}
	if EchoCloseCode(nil) != 1000 || EchoCloseCode([]byte{3}) != 1002 {
		t.Error("short close payloads")
	}
}

func TestAppendClosePayload(t *testing.T) {
	for _, c := range []struct{ reason, want string }{
		{"", ""}, {"bye", "bye"}, {"\xff", "\ufffd"},
		{strings.Repeat("a", 123), strings.Repeat("a", 123)},
		{strings.Repeat("a", 124), strings.Repeat("a", 123)},
		{strings.Repeat("a", 122) + "é", strings.Repeat("a", 122)},
		{strings.Repeat("𐍈", 40), strings.Repeat("𐍈", 30)},
		{strings.Repeat("\xff", 200), "\ufffd"},
	} {
		p := AppendClosePayload(nil, 1001, c.reason)
		if binary.BigEndian.Uint16(p) != 1001 || string(p[2:]) != c.want {
			t.Errorf("%q: %q", c.reason, p)
		}
		closing := AppendWSFrame(nil, Close, testKey, p)
		if _, _, err := NewWSDecoder(testMaxFrame, false).Next(closing); err != nil {
			t.Errorf("%q: %v", c.reason, err)
		}
	}
}

func TestWSOutbound(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 0xffff, 0x10000, 70000} {
		payload := bytes.Repeat([]byte("ab"), (n+1)/2)[:n]
		for _, k := range []Kind{Binary, Text} {
			d := NewWSDecoder(n, true)
			m, rest, err := d.Next(append(AppendWSHeader(nil, k, n), payload...))
			if err != nil || m.Kind != k || !bytes.Equal(m.Data, payload) || len(rest) != 0 {
				t.Errorf("%d from a server: %v %v", n, m.Kind, err)
			}
			d = NewWSDecoder(n, false)
			m, rest, err = d.Next(AppendWSFrame(nil, k, testKey, payload))
			if err != nil || m.Kind != k || !bytes.Equal(m.Data, payload) || len(rest) != 0 {
				t.Errorf("%d from a client: %v %v", n, m.Kind, err)
			}
		}
	}
	// RFC 6455 §5.7
	got := AppendWSFrame(nil, Text, testKey, []byte("Hello"))
	if string(got) != "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58" {
		t.Errorf("%x", got)
	}
}

func TestUnmask(t *testing.T) {
	for n := range 300 {
		for offset := range 5 {
			p := bytes.Repeat([]byte{0x5a}, n)
			unmask(p, testKey, offset)
			for i, c := range p {
				if c != 0x5a^testKey[(offset+i)%4] {
					t.Fatalf("%d bytes at %d: byte %d", n, offset, i)
				}
			}
		}
	}
}

func TestUTF8State(t *testing.T) {
	check := func(p []byte) {
		for at := 0; at <= len(p); at++ {
			var s utf8State
			if got := s.feed(p[:at]) && s.feed(p[at:]) && s.complete(); got != utf8.Valid(p) {
				t.Fatalf("%x cut at %d: %v", p, at, got)
			}
			// Fail fast: not yet refused means that some ending makes it valid.
			s = utf8Start
			if alive := s.feed(p[:at]); alive != canEnd(p[:at]) {
				t.Fatalf("%x: still possible = %v", p[:at], alive)
			}
		}
	}
	for a := range 256 {
		for b := range 256 {
			check([]byte{byte(a), byte(b)})
			check([]byte{0xe0 | byte(a&15), byte(b), 0x80 | byte(a>>4)})
			check([]byte{0xf0 | byte(a&15), byte(b), 0x80 | byte(a>>4), 0xbf})
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "0123456789", "é", "€", "𐍈", "\xff", "\x80", "\xed\xa0"}
	for range 500 {
		var p []byte
		for range r.IntN(8) {
			p = append(p, pieces[r.IntN(len(pieces))]...)
		}
		check(p)
	}
}

// canEnd reports whether p is the beginning of valid UTF-8: its last one to three bytes may be a
// character cut short, which some continuation completes.
func canEnd(p []byte) bool {
	if utf8.Valid(p) {
		return true
	}
	for cut := 1; cut <= 3 && cut <= len(p); cut++ {
		if !utf8.Valid(p[:len(p)-cut]) {
			continue
		}
		tail := p[len(p)-cut:]
		for second := 0x80; second <= 0xbf; second++ {
			for _, missing := range []string{"", "\x80", "\x80\x80"} {
				if utf8.Valid(append(append(bytes.Clone(tail), byte(second)), missing...)) {
					return true
				}
			}
		}
	}
	return false
}

func FuzzUTF8State(f *testing.F) {
	f.Add([]byte("κόσμε 0123456789 \xed\xa0\x80"), 3)
	f.Fuzz(func(t *testing.T, p []byte, at int) {
		if at < 0 || at > len(p) {
			at = len(p)
		}
		var s utf8State
		if got := s.feed(p[:at]) && s.feed(p[at:]) && s.complete(); got != utf8.Valid(p) {
			t.Fatalf("%x cut at %d: %v", p, at, got)
		}
	})
}

func FuzzWSDecoder(f *testing.F) {
	f.Add(cat(frame(0x01, "fr€"), frame(0x89, "p"), frame(0x80, "ag"), frame(0x88, "\x03\xe8x")),
		uint64(1), false)
	f.Add(cat(frame(0x82, strings.Repeat("z", 300)), frame(0x81, "é")), uint64(2), false)
	f.Add([]byte{0x81, 3, 'a', 'b', 'c', 0x02, 1, 'x', 0x80, 126, 0, 2, 'y', 'z', 0x8a, 0},
		uint64(3), true)
	f.Add([]byte("\x8a\xfe\x00\x00\x00\x01\x00\xd3\x8a\x00"), uint64(4), false)
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, client bool) {
		sameInAnyCut(t, stream, seed, func() Decoder { return NewWSDecoder(testMaxFrame, client) })
		if !client {
			likeSlowWS(t, stream)
		}
	})
}

func TestWSNextAllocs(t *testing.T) {
	stream := cat(frame(0x81, "hello"), frame(0x82, strings.Repeat("z", 700)),
		frame(0x01, "frag"), frame(0x89, "ping"), frame(0x80, "ment"))
	d := NewWSDecoder(testMaxFrame, false)
	defer d.Release()
	count := 0
	in := make([]byte, len(stream))
	next := func(in []byte) {
		for {
			m, rest, err := d.Next(in)
			if err != nil {
				t.Error(err)
			}
			if m.Kind == None {
				return
			}
			count, in = count+1, rest
		}
	}
	if n := testing.AllocsPerRun(200, func() {
		copy(in, stream)
		next(in)
		copy(in, stream)
		next(in[:100])
		next(in[100:500])
		next(in[500 : len(in)-12])
		next(in[len(in)-12:])
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
	if count != 201*(8+2) {
		t.Error(count, "messages and fragments")
	}
}

func BenchmarkWSNext(b *testing.B) {
	for _, size := range []int{64, 1024, 16384} {
		for _, k := range []Kind{Text, Binary} {
			b.Run(fmt.Sprintf("%v-%d", k, size), func(b *testing.B) {
				// A zero key: unmasking again changes nothing.
				in := AppendWSFrame(nil, k, [4]byte{}, bytes.Repeat([]byte("x"), size))
				d := NewWSDecoder(size, false)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if m, _, _ := d.Next(in); len(m.Data) != size {
						b.Fatal()
					}
				}
			})
		}
	}
}
