package codec

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestUUID(t *testing.T) {
	u := NewUUID(0xffffffffffffffff, 0xffffffffffffffff)
	if u.String() != "ffffffff-ffff-4fff-bfff-ffffffffffff" {
		t.Error(u)
	}
	if u = NewUUID(0, 0); u.String() != "00000000-0000-4000-8000-000000000000" {
		t.Error(u)
	}
	u = NewUUID(0x0123456789abcdef, 0x0123456789abcdef)
	if u.String() != "01234567-89ab-4def-8123-456789abcdef" {
		t.Error(u)
	}
	for _, s := range []string{
		"", idA[:35], idA + "0", strings.ReplaceAll(idA, "-", "_"),
		"g" + idA[1:], idA[:35] + "\xff", "{" + idA[1:35] + "}",
	} {
		if _, ok := ParseUUID([]byte(s)); ok || validUUID([]byte(s)) {
			t.Errorf("%q is taken", s)
		}
	}
	// Every digit counts.
	for i := range idA {
		for c := range 256 {
			want := strings.IndexByte("0123456789abcdefABCDEF", byte(c)) >= 0
			if idA[i] == '-' {
				want = c == '-'
			}
			b := []byte(idA)
			b[i] = byte(c)
			if _, ok := ParseUUID(b); ok != want || validUUID(b) != want {
				t.Errorf("%q: taken %v and %v", b, ok, validUUID(b))
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		u := NewUUID(rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo"))
		s := u.String()
		for _, spelled := range []string{s, strings.ToUpper(s)} {
			got, ok := ParseUUID([]byte(spelled))
			if !ok || got != u || !validUUID([]byte(spelled)) {
				t.Fatalf("%s: %v %v", spelled, got, ok)
			}
			h := Header{RequestID: []byte(spelled)}
			if got := h.RequestUUID(); got != u {
				t.Fatalf("%s: %v of a header", spelled, got)
			}
		}
		v := NewUUID(u.Hi+rapid.Uint64Range(0, 1).Draw(t, "more"), rapid.Uint64().Draw(t, "lo2"))
		if got := u.Compare(v); got != strings.Compare(s, v.String()) || got != -v.Compare(u) {
			t.Fatalf("%s is %d to %s", s, got, v)
		}
		if string(u.Append([]byte("x"))) != "x"+s || s[14] != '4' ||
			!strings.Contains("89ab", s[19:20]) {
			t.Fatal(s)
		}
	})
}

func TestWordsAllocs(t *testing.T) {
	u, dst := NewUUID(1, 2), make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		dst = u.Append(dst[:0])
		dst = AppendTimestamp(dst, 1700000000123)
		dst = AppendJSONQuoted(dst, "a \"quoted\" line\n")
		dst = AppendJSONString(dst, dst[:8])
		dst = AppendClosePayload(dst, 1000, "bye")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAppendTimestamp(t *testing.T) {
	for ms, want := range map[int64]string{
		0:             "1970-01-01T00:00:00.000Z",
		1:             "1970-01-01T00:00:00.001Z",
		-1:            "1969-12-31T23:59:59.999Z",
		1709164800000: "2024-02-29T00:00:00.000Z",
		1700000000050: "2023-11-14T22:13:20.050Z",
	} {
		got := string(AppendTimestamp(nil, ms))
		if got != want {
			t.Errorf("%d: %s, want %s", ms, got, want)
		}
		if back, err := time.Parse(TimestampLayout, got); err != nil || back.UnixMilli() != ms {
			t.Errorf("%s: %v %v", got, back, err)
		}
	}
}

func TestAppendJSON(t *testing.T) {
	for s, want := range map[string]string{
		"":                     `""`,
		"plain":                `"plain"`,
		`a"b\c/d`:              `"a\"b\\c/d"`,
		"\n\r\t\b\x00\x1f\x7f": `"\n\r\t\u0008\u0000\u001f` + "\x7f\"",
		"é€𐍈":                  `"é€𐍈"`,
		"a\xffb\xe2\x82":       "\"a\ufffdb\ufffd\ufffd\"",
		"x\u2028y\u2029":       `"x\u2028y\u2029"`,
		"\ufffd":               "\"\ufffd\"",
	} {
		if got := string(AppendJSONQuoted(nil, s)); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
}

func FuzzJSONString(f *testing.F) {
	f.Add([]byte("a\"\\\n\u2028\xff\x00"))
	f.Fuzz(func(t *testing.T, s []byte) {
		out := AppendJSONString([]byte("x"), s)[1:]
		var back string
		if err := json.Unmarshal(out, &back); err != nil || back != string([]rune(string(s))) {
			t.Fatalf("%q: %s: %q %v", s, out, back, err)
		}
		if strings.ContainsAny(string(out), "\n\r\u2028\u2029") || !utf8.Valid(out) {
			t.Fatalf("%q: %s is not one line of UTF-8", s, out)
		}
		if string(AppendJSONQuoted(nil, string(s))) != string(out) {
			t.Fatal("the two forms differ")
		}
	})
}

func BenchmarkUUIDAppend(b *testing.B) {
	u, dst := NewUUID(0x0123456789abcdef, 0xfedcba9876543210), make([]byte, 0, 36)
	b.ReportAllocs()
	for b.Loop() {
		dst = u.Append(dst[:0])
	}
}
