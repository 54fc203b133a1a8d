package codec

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	testMax = 3600000
	idA     = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"
	idB     = "0B1C2D3E-4F50-6172-8394-A5B6C7D8E9FF"
)

func TestParseHeaderGood(t *testing.T) {
	long := strings.Repeat("a", 50)
	topic255 := strings.Join([]string{long, long, long, long, long + "z"}, ".")
	for _, c := range []struct {
		line      string
		action    Action
		topic     string
		version   string
		id, par   string
		timeoutMs uint64
		lower     bool
		canonical string
	}{
		{"publish:a:1.0.0", Publish, "a", "1.0.0", "", "", 0, true, "publish:a:1.0.0"},
		{"PubLish:aB.c9:0.1.0", Publish, "aB.c9", "0.1.0", "", "", 0, false, "publish:aB.c9:0.1.0"},
		{"REQUEST:a.b.c.d.e:10.20.30", Request, "a.b.c.d.e", "10.20.30", "", "", 0, true,
			"request:a.b.c.d.e:10.20.30"},
		{"response:Z:0.0.0:" + idA, Response, "Z", "0.0.0", idA, "", 0, false,
			"response:Z:0.0.0:" + idA},
		{"request:a:1.0.0:" + idA + ":" + idB + ":5000",
			Request, "a", "1.0.0", idA, idB, 5000, true,
			"request:a:1.0.0:" + idA + ":" + idB + ":5000"},
		{"request:a:1.0.0:::7", Request, "a", "1.0.0", "", "", 7, true, "request:a:1.0.0:::7"},
		{"request:a:1.0.0:::0007", Request, "a", "1.0.0", "", "", 7, true, "request:a:1.0.0:::7"},
		{"request:a:1.0.0:::3600000", Request, "a", "1.0.0", "", "", 3600000, true,
			"request:a:1.0.0:::3600000"},
		{"request:a:1.0.0::" + idB, Request, "a", "1.0.0", "", idB, 0, true,
			"request:a:1.0.0::" + idB},
		{"publish:a:1.0.0:", Publish, "a", "1.0.0", "", "", 0, true, "publish:a:1.0.0"},
		{"publish:a:1.0.0::", Publish, "a", "1.0.0", "", "", 0, true, "publish:a:1.0.0"},
		{"publish:a:1.0.0:::", Publish, "a", "1.0.0", "", "", 0, true, "publish:a:1.0.0"},
		{"publish:a:1.0.0:" + idA + "::", Publish, "a", "1.0.0", idA, "", 0, true,
			"publish:a:1.0.0:" + idA},
		{"publish:a:123456789.1234567.1", Publish, "a", "123456789.1234567.1", "", "", 0, true,
			"publish:a:123456789.1234567.1"},
		{"response:" + topic255 + ":1.0.0", Response, topic255, "1.0.0", "", "", 0, true,
			"response:" + topic255 + ":1.0.0"},
	} {
		for _, payload := range []string{"", "x", "{\"a\":1}\nmore:\n"} {
			h, p, err := ParseHeader([]byte(c.line+"\n"+payload), testMax)
			if err != nil {
				t.Errorf("%q: %v", c.line, err)
				continue
			}
			got := fmt.Sprint(h.Action, string(h.Topic), string(h.Version),
				string(h.RequestID), string(h.ParentID), h.TimeoutMs, h.Lower)
			want := fmt.Sprint(c.action, c.topic, c.version, c.id, c.par, c.timeoutMs, c.lower)
			if got != want || string(p) != payload {
				t.Errorf("%q: %s payload %q, want %s payload %q", c.line, got, p, want, payload)
			}
			if (h.RequestID == nil) != (c.id == "") || (h.ParentID == nil) != (c.par == "") {
				t.Errorf("%q: an absent ID must be nil", c.line)
			}
			if out := AppendHeader(nil, &h); string(out) != c.canonical+"\n" {
				t.Errorf("%q: written as %q", c.line, out)
			}
		}
	}
}

var badHeaders = []struct{ msg, field, id string }{
	// "The header ends at the first \n."
	{"", "header", ""},
	{"publish:a:1.0.0", "header", ""},
	{"nonsense", "header", ""},
	{"publish:a:1.0.0:" + idA + ":", "header", idA},
	{"publish:a b:1.0.0", "header", ""},
	{strings.Repeat("x", 368) + "\n", "header", ""},
	{"request:a:1.0.0:::" + strings.Repeat("0", 350) + "1\n", "header", ""},
	// action
	{"\n", "action", ""},
	{":a:1.0.0\n", "action", ""},
	{"pub:a:1.0.0\n", "action", ""},
	{"publisher:a:1.0.0\n", "action", ""},
	{"publish :a:1.0.0\n", "action", ""},
	{" publish:a:1.0.0\n", "action", ""},
	{"subscribe:a:1.0.0:" + idA + "\n", "action", idA},
	{"respons:a:1.0.0\n", "action", ""},
	{"publis\x48:a:1.0.0\r\n", "version", ""}, // the action is right: H is in upper case
	{"P\x15blish:a:1.0.0\n", "action", ""},    // 0x15|0x20 is not 'u', 0x55 is
	{"publish\x1aa:1.0.0\n", "action", ""},    // 0x1a|0x20 is ':'
	{"response\x1aa:1.0.0\n", "action", ""},
	// topic
	{"publish\n", "topic", ""},
	{"response\n", "topic", ""},
	{"publish:\n", "topic", ""},
	{"publish::1.0.0\n", "topic", ""},
	{"publish:.a:1.0.0\n", "topic", ""},
	{"publish:a.:1.0.0\n", "topic", ""},
	{"publish:a..b:1.0.0\n", "topic", ""},
	{"publish:1a:1.0.0\n", "topic", ""},
	{"publish:a.1:1.0.0\n", "topic", ""},
	{"publish:a.b.c.d.e.f:1.0.0\n", "topic", ""},
	{"publish:a_b:1.0.0\n", "topic", ""},
	{"publish:a.+:1.0.0\n", "topic", ""},
	{"publish:#:1.0.0\n", "topic", ""},
	{"publish:é:1.0.0\n", "topic", ""},
	{"publish:a :1.0.0\n", "topic", ""},
	{"publish:a\r:1.0.0\n", "topic", ""},
	{"publish:a\x00:1.0.0\n", "topic", ""},
	{"publish:" + strings.Repeat("a", 256) + ":1.0.0\n", "topic", ""},
	{"request:a b:1.0.0:" + idB + "::9\n", "topic", idB},
	// version
	{"publish:a\n", "version", ""},
	{"publish:a:\n", "version", ""},
	{"publish:a::" + idA + "\n", "version", idA},
	{"publish:a:1\n", "version", ""},
	{"publish:a:1.0\n", "version", ""},
	{"publish:a:1.0.\n", "version", ""},
	{"publish:a:.0.0\n", "version", ""},
	{"publish:a:1..0\n", "version", ""},
	{"publish:a:1.0.0.0\n", "version", ""},
	{"publish:a:v1.0.0\n", "version", ""},
	{"publish:a:1.0.0-rc1\n", "version", ""},
	{"publish:a:1.0.0+b\n", "version", ""},
	{"publish:a:01.0.0\n", "version", ""},
	{"publish:a:1.00.0\n", "version", ""},
	{"publish:a:1.0.01\n", "version", ""},
	{"publish:a:-1.0.0\n", "version", ""},
	{"publish:a:1.0.0\r\n", "version", ""},
	{"publish:a: 1.0.0\n", "version", ""},
	{"publish:a:123456789.12345678.12\n", "version", ""},
	// requestId, parentRequestId
	{"publish:a:1.0.0:x\n", "requestId", ""},
	{"publish:a:1.0.0:" + idA[:35] + "\n", "requestId", ""},
	{"publish:a:1.0.0:" + idA + "0\n", "requestId", ""},
	{"publish:a:1.0.0:" + strings.Replace(idA, "0b", "0g", 1) + "\n", "requestId", ""},
	{"publish:a:1.0.0:" + strings.ReplaceAll(idA, "-", "0") + "\n", "requestId", ""},
	{"publish:a:1.0.0:{" + idA + "}\n", "requestId", ""},
	{"publish:a:1.0.0:" + idA + "\r\n", "requestId", ""},
	{"publish:a:1.0.0:" + idA + ":y\n", "parentRequestId", idA},
	{"publish:a:1.0.0::" + idA[1:] + "\n", "parentRequestId", ""},
	// timeout
	{"request:a:1.0.0:" + idA + "::0\n", "timeout", idA},
	{"request:a:1.0.0:::000\n", "timeout", ""},
	{"request:a:1.0.0:::3600001\n", "timeout", ""},
	{"request:a:1.0.0:::18446744073709551617\n", "timeout", ""},
	{"request:a:1.0.0:::99999999999999999999999\n", "timeout", ""},
	{"request:a:1.0.0:::+5\n", "timeout", ""},
	{"request:a:1.0.0:::-5\n", "timeout", ""},
	{"request:a:1.0.0:::5 \n", "timeout", ""},
	{"request:a:1.0.0:::1e3\n", "timeout", ""},
	{"request:a:1.0.0:::0x5\n", "timeout", ""},
	{"request:a:1.0.0:::5.0\n", "timeout", ""},
	{"request:a:1.0.0:::5\r\n", "timeout", ""},
	{"publish:a:1.0.0:::5\n", "timeout", ""},
	{"response:a:1.0.0:" + idA + "::5\n", "timeout", idA},
	// "More than six fields"
	{"request:a:1.0.0:::5:\n", "header", ""},
	{"request:a:1.0.0:" + idA + ":" + idB + ":5:x\n", "header", idA},
	{"publish:a:1.0.0::::\n", "header", ""},
}

func TestParseHeaderBad(t *testing.T) {
	for _, c := range badHeaders {
		h, p, err := ParseHeader([]byte(c.msg), testMax)
		if err == nil {
			t.Errorf("%q: taken", c.msg)
			continue
		}
		if err.Field != c.field || err.RequestID != c.id || err.Reason == "" {
			t.Errorf("%q: field %q id %q (%s), want %q %q",
				c.msg, err.Field, err.RequestID, err.Reason, c.field, c.id)
		}
		if h.Topic != nil || p != nil {
			t.Errorf("%q: a bad header must give nothing", c.msg)
		}
	}
}

// A version of three digits is read all at once, as the grammar has it: whatever byte stands where,
// and however much follows.
func TestParseHeaderVersions(t *testing.T) {
	const good = "0.1.9"
	for _, end := range []string{
		"\n", ":\n", ":" + idA + "\n", "\n{}", "\n{  }", "0\n{  }", "\n1.0.0",
	} {
		for at := range len(good) + 1 {
			for c := range 256 {
				msg := []byte("publish:a:" + good + end)
				msg[len("publish:a:")+at] = byte(c)
				h, _, err := ParseHeader(msg, testMax)
				if want := naiveHeader(msg, testMax); want != (err == nil) {
					t.Fatalf("%q: %v, the grammar says %v", msg, err, want)
				}
				version := string(msg[len("publish:a:"):])
				version = version[:max(strings.IndexAny(version, ":\n"), 0)]
				if err == nil && string(h.Version) != version {
					t.Fatalf("%q: %q", msg, h.Version)
				}
			}
		}
	}
}

func TestMaxHeaderLen(t *testing.T) {
	lengths := map[uint64]int{0: 361, 9: 361, 10: 362, 3600000: 367, math.MaxUint64: 380}
	for max, want := range lengths {
		if got := MaxHeaderLen(max); got != want {
			t.Errorf("MaxHeaderLen(%d) = %d, want %d", max, got, want)
		}
	}
	// The longest good header stands, one more byte does not.
	long := strings.Repeat("a", 50)
	topic := strings.Join([]string{long, long, long, long, strings.Repeat("b", 51)}, ".")
	version := "123456789.12345678.1"
	line := "request:" + topic + ":" + version + ":" + idA + ":" + idB + ":"
	line += strings.Repeat("0", MaxHeaderLen(testMax)-len(line)-1) + "1"
	if len(topic) != maxTopicLen || len(version) != maxVersionLen {
		t.Fatal(len(topic), len(version))
	}
	if h, _, err := ParseHeader([]byte(line+"\n"), testMax); err != nil || h.TimeoutMs != 1 {
		t.Error(h.TimeoutMs, err)
	}
	line = line[:len(line)-1] + "01"
	if _, _, err := ParseHeader([]byte(line+"\n"), testMax); err == nil || err.Field != "header" {
		t.Error("one byte over the maximum:", err)
	}
	h, _, err := ParseHeader([]byte("request:a:1.0.0:::18446744073709551609\n"), math.MaxUint64)
	if err != nil || h.TimeoutMs != 18446744073709551609 {
		t.Error(h.TimeoutMs, err)
	}
}

func TestMajorVersion(t *testing.T) {
	for v, want := range map[string]int{
		"0.1.2": 0, "1.0.0": 1, "27.3.1": 27, "1234567890123456.0.0": 1234567890123456,
		"": -1, "x": -1,
	} {
		h := Header{Version: []byte(v)}
		if got := h.MajorVersion(); got != want {
			t.Errorf("%q: %d, want %d", v, got, want)
		}
	}
}

var (
	levelRE   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
	versionRE = regexp.MustCompile(`^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$`)
	uuidRE    = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// naiveHeader is the plain reading of protocol §2 that the parser is held against.
func naiveHeader(msg []byte, maxMs uint64) bool {
	line, _, ok := bytes.Cut(msg, []byte{'\n'})
	f := strings.Split(string(line), ":")
	if !ok || len(line) > MaxHeaderLen(maxMs) || len(f) < 3 || len(f) > 6 {
		return false
	}
	action := strings.ToLower(f[0])
	if action != "publish" && action != "request" && action != "response" ||
		strings.ContainsFunc(f[0], func(r rune) bool { return r > 127 }) {
		return false
	}
	levels := strings.Split(f[1], ".")
	if len(levels) > 5 || len(f[1]) > 255 || len(f[2]) > 20 {
		return false
	}
	for _, l := range levels {
		if !levelRE.MatchString(l) {
			return false
		}
	}
	if !versionRE.MatchString(f[2]) {
		return false
	}
	for i := 3; i < len(f) && i < 5; i++ {
		if f[i] != "" && !uuidRE.MatchString(f[i]) {
			return false
		}
	}
	if len(f) == 6 && f[5] != "" {
		n, err := strconv.ParseUint(f[5], 10, 64)
		if err != nil || action != "request" || n < 1 || n > maxMs {
			return false
		}
	}
	return true
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		"publish:a:1.0.0\nx", "REQUEST:aB.c:0.1.0:" + idA + ":" + idB + ":500\n{}",
		"response:a:1.0.0:" + idA + "\n", "publish:a:01.0.0\n", "request:a:1.0.0:::5:\n",
		"request:a:1.0.0:::0\n", "publish:a.1:1.0.0\n", "publish:a:1.0.0:::5\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		h, payload, err := ParseHeader(msg, testMax)
		if good := naiveHeader(msg, testMax); good != (err == nil) {
			t.Fatalf("%q: %v, the grammar says %v", msg, err, good)
		}
		if err != nil {
			return
		}
		again, rest, err := ParseHeader(append(AppendHeader(nil, &h), payload...), testMax)
		if err != nil || !reflect.DeepEqual(again, h) || !bytes.Equal(rest, payload) {
			t.Fatalf("%q: %v %q %v, want %v %q", msg, again, rest, err, h, payload)
		}
		if h.Lower != (string(h.Topic) == strings.ToLower(string(h.Topic))) {
			t.Fatalf("%q: Lower = %v", msg, h.Lower)
		}
	})
}

func TestParseHeaderAllocs(t *testing.T) {
	msg := []byte("request:flights.dtw.LAS.late:1.0.0:" + idA + ":" + idB + ":5000\n{}")
	dst := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() {
		h, _, err := ParseHeader(msg, testMax)
		if err != nil {
			t.Error(err)
		}
		dst = AppendHeader(dst[:0], &h)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkParseHeader(b *testing.B) {
	for _, c := range []struct{ name, msg string }{
		{"publish", "publish:flights.dtw.las.late:1.0.0\n"},
		{"request", "request:flights.dtw.las.late:1.0.0:" + idA + ":" + idB + ":5000\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			msg := []byte(c.msg)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := ParseHeader(msg, testMax); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
