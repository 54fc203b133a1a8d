package codec

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func newDeflateDecoder() Decoder { return NewWSDeflateDecoder(testMaxFrame, false, new(Inflaters)) }

// deflated is what a sender makes of a message with the standard library (RFC 7692 §7.2.1).
func deflated(t testing.TB, level int, message string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := stdflate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, message)
	_ = w.Flush()
	p, ok := strings.CutSuffix(b.String(), "\x00\x00\xff\xff")
	if !ok {
		t.Fatal("no empty block at the end")
	}
	return p
}

// bitWriter writes DEFLATE by hand.
type bitWriter struct {
	b     []byte
	acc   uint64
	count uint
}

func (w *bitWriter) bits(v uint64, n uint) *bitWriter {
	for w.acc, w.count = w.acc|v<<w.count, w.count+n; w.count >= 8; w.count -= 8 {
		w.b = append(w.b, byte(w.acc))
		w.acc >>= 8
	}
	return w
}

// pad goes to a byte's boundary.
func (w *bitWriter) pad() *bitWriter {
	if w.count > 0 {
		w.bits(0, 8-w.count)
	}
	return w
}

// stored writes a stored block (RFC 1951 §3.2.4).
func (w *bitWriter) stored(final uint64, data string) *bitWriter {
	w.bits(final, 1).bits(0, 2).pad()
	n := uint64(len(data))
	w.bits(n, 16).bits(^n&0xffff, 16)
	w.b = append(w.b, data...)
	return w
}

// fixed writes a block of literals below 144 with the fixed codes (§3.2.6).
func (w *bitWriter) fixed(final uint64, data string) *bitWriter {
	w.bits(final, 1).bits(1, 2)
	for _, c := range []byte(data) {
		w.code(0x30+uint64(c), 8)
	}
	return w.bits(0, 7)
}

// code writes a Huffman code, which begins with its most significant bit.
func (w *bitWriter) code(v uint64, n uint) {
	for ; n > 0; n-- {
		w.bits(v>>(n-1)&1, 1)
	}
}

// codesOnly writes a block with codes of its own that says nothing with them (§3.2.7): 11 bytes
// that take long.
func (w *bitWriter) codesOnly() *bitWriter {
	w.bits(0, 1).bits(2, 2).bits(0, 5).bits(0, 5).bits(14, 4)
	for i := range 18 { // 18 is the third, 1 the last
		if i == 2 || i == 17 {
			w.bits(1, 3)
		} else {
			w.bits(0, 3)
		}
	}
	w.bits(1, 1).bits(127, 7).bits(1, 1).bits(107, 7) // 256 literals without a code
	return w.bits(0, 1).bits(0, 1).bits(0, 1)         // one for the end, one distance; the end
}

// end ends a message: the header of an empty block whose rest is cut off.
func (w *bitWriter) end() string { return string(w.bits(0, 3).pad().b) }

func (w *bitWriter) whole() string { return string(w.pad().b) }

// ptext and pbinary are whole messages with RSV1.
func ptext(payload string) []byte   { return frame(0xc1, payload) }
func pbinary(payload string) []byte { return frame(0xc2, payload) }

// RFC 7692's own examples, and what it cuts off.
const (
	hello       = "\xf2\x48\xcd\xc9\xc9\x07\x00"                         // §7.2.3.1
	helloStored = "\x00\x05\x00\xfa\xffHello\x00"                        // §7.2.3.3
	helloFinal  = "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"                     // §7.2.3.4
	helloTwo    = "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00" // §7.2.3.5
	cutOff      = "\x00\x00\xff\xff"
)

var big = strings.Repeat("0123456789", testMaxFrame/10)

// noiseOf is what does not compress.
func noiseOf(size int) string {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return string(b)
}

var noise = noiseOf(testMaxFrame)

func blocks() *bitWriter { return new(bitWriter) }

// match writes a block that repeats three bytes from so far back, at most four.
func (w *bitWriter) match(back uint64) *bitWriter {
	w.bits(0, 1).bits(1, 2)
	w.code(1, 7)      // length 3
	w.code(back-1, 5) // the distance
	return w.bits(0, 7)
}

// rsv1Cases are RFC 7692 §5 and §6.
func rsv1Cases() []wsCase {
	return []wsCase{
		{"5 plain text in between", cat(frame(0x81, "plain"), ptext(hello),
			frame(0x82, "\xff")), []string{"text plain", "text Hello", "binary \xff"}},
		{"6 RSV1 with RSV2", frame(0xe1, hello), []string{"error 1002"}},
		{"6 RSV1 with RSV3", frame(0xd1, hello), []string{"error 1002"}},
		{"6 RSV2 alone", frame(0xa1, hello), []string{"error 1002"}},
		{"6.1 RSV1 in a ping", frame(0xc9, hello), []string{"error 1002"}},
		{"6.1 RSV1 in a pong", frame(0xca, ""), []string{"error 1002"}},
		{"6.1 RSV1 in a close", frame(0xc8, ""), []string{"error 1002"}},
		{"6.1 RSV1 in a continuation", cat(frame(0x41, hello[:3]), frame(0xc0, hello[3:])),
			[]string{"error 1002"}},
		{"6.1 RSV1 in a continuation of a plain one", cat(frame(0x01, "a"), frame(0xc0, "b")),
			[]string{"error 1002"}},
		{"6.1 RSV1 in a middle fragment", cat(frame(0x41, hello[:3]), frame(0x40, hello[3:])),
			[]string{"error 1002"}},
		{"6.1 RSV1 in a continuation of nothing", frame(0xc0, hello), []string{"error 1002"}},
		{"6.1 RSV1 with a reserved opcode", frame(0xc3, hello), []string{"error 1002"}},
		{"6.1 compressed inside fragmented", cat(frame(0x41, hello[:3]), ptext(hello)),
			[]string{"error 1002"}},
		{"6.1 compressed inside plain fragmented", cat(frame(0x01, "a"), ptext(hello)),
			[]string{"error 1002"}},
		{"6.1 plain inside compressed fragmented", cat(frame(0x41, hello[:3]), frame(0x81, "a")),
			[]string{"error 1002"}},
		{"6.1 fragmented ping", cat(frame(0x41, hello[:3]), frame(0x49, "x")),
			[]string{"error 1002"}},
		{"6.2 two fragments", cat(frame(0x41, hello[:3]), frame(0x80, hello[3:])),
			[]string{"text Hello"}},
		{"6.2 a fragment each byte", cat(frame(0x41, hello[:1]), frame(0, hello[1:2]),
			frame(0, hello[2:3]), frame(0, hello[3:4]), frame(0, hello[4:5]),
			frame(0, hello[5:6]), frame(0x80, hello[6:])), []string{"text Hello"}},
		{"6.2 empty fragments", cat(frame(0x42, ""), frame(0, hello), frame(0, ""),
			frame(0x80, "")), []string{"binary Hello"}},
		{"6.2 control frames between", cat(frame(0x41, hello[:3]), frame(0x89, "p"),
			frame(0x8a, ""), frame(0x80, hello[3:])), []string{"ping p", "pong ", "text Hello"}},
		{"6.2 close between", cat(frame(0x41, hello[:3]), frame(0x88, "")), []string{"close "}},
	}
}

// exampleCases are RFC 7692 §7.2.3.
func exampleCases() []wsCase {
	return []wsCase{
		{"7.2.3.1 one block", ptext(hello), []string{"text Hello"}},
		{"7.2.3.1 binary", pbinary(hello), []string{"binary Hello"}},
		{"7.2.3.2 no context: twice the same", cat(ptext(hello), ptext(hello)),
			[]string{"text Hello", "text Hello"}},
		{"7.2.3.2 context of the message before", cat(ptext(hello),
			ptext("\xf2\x00\x11\x00\x00")), []string{"text Hello", "error 1007"}},
		{"7.2.3.3 stored block", ptext(helloStored), []string{"text Hello"}},
		{"7.2.3.4 BFINAL", ptext(helloFinal), []string{"text Hello"}},
		{"7.2.3.4 BFINAL, its end not padded", ptext(helloFinal[:7]), []string{"text Hello"}},
		{"7.2.3.4 BFINAL, next message", cat(ptext(helloFinal), ptext(hello)),
			[]string{"text Hello", "text Hello"}},
		{"7.2.3.5 two blocks", ptext(helloTwo), []string{"text Hello"}},
		{"7.2.3.6 empty message", ptext("\x00"), []string{"text "}},
		{"7.2.3.6 empty binary message", pbinary("\x00"), []string{"binary "}},
		{"7.2.3.6 empty message of two blocks", ptext("\x02\x00"), []string{"text "}},
		{"7.2.3.6 no byte at all", ptext(""), []string{"text "}},
		{"7.2.3.6 no byte in fragments", cat(frame(0x42, ""), frame(0x80, "")),
			[]string{"binary "}},
	}
}

// blockCases are RFC 7692 §7.2.1.
func blockCases(d func(string) string) []wsCase {
	return []wsCase{
		{"7.2.1 tail not cut off", ptext(hello + cutOff), []string{"error 1007"}},
		{"7.2.1 nothing but a tail", ptext(cutOff), []string{"error 1007"}},
		{"7.2.1 padding that is not 0", ptext("\x78"), []string{"text "}},
		{"7.2.1 tail in the data", pbinary(d("a" + cutOff + "b")),
			[]string{"binary a" + cutOff + "b"}},
		{"7.2.1 tail is the data", pbinary(d(cutOff)), []string{"binary " + cutOff}},
		{"7.2.1 tail is stored", pbinary(blocks().stored(0, cutOff).end()),
			[]string{"binary " + cutOff}},
		{"7.2.1 many empty blocks",
			ptext(hello + strings.Repeat(cutOff+"\x00", 100)), []string{"text Hello"}},
		{"7.2.1 two blocks with BFINAL", ptext(blocks().stored(1, "Hel").stored(1, "lo").end()),
			[]string{"text Hello"}},
		{"7.2.1 BFINAL and then not",
			ptext(blocks().fixed(1, "Hel").pad().fixed(0, "lo").end()), []string{"text Hello"}},
		{"7.2.1 BFINAL within fixed codes, three times", ptext(
			blocks().fixed(1, "He").pad().fixed(1, "l").pad().fixed(1, "lo").pad().end()),
			[]string{"text Hello"}},
		{"7.2.1 BFINAL last, stored, without a tail", ptext(blocks().stored(1, "Hello").whole()),
			[]string{"text Hello"}},
		{"7.2.1 BFINAL of the cut-off block",
			ptext(blocks().stored(0, "Hello").bits(1, 3).whole()),
			[]string{"text Hello"}},
		{"7.2.1 an empty BFINAL block", ptext(blocks().fixed(1, "").whole()), []string{"text "}},
		{"7.2.1 a match over BFINAL", ptext(
			blocks().stored(1, "abc").match(3).end()), []string{"text abcabc"}},
		{"7.2.1 all types of blocks", ptext(blocks().stored(0, "one ").fixed(0, "two ").
			codesOnly().stored(0, "three").end()), []string{"text one two three"}},
	}
}

// inflateCases are RFC 7692 §7.2.2.
func inflateCases(t *testing.T, d func(string) string) []wsCase {
	return []wsCase{
		{"7.2.2 level 1", ptext(deflated(t, 1, big)), []string{"text " + big}},
		{"7.2.2 level 9", ptext(deflated(t, 9, big)), []string{"text " + big}},
		{"7.2.2 level 0", ptext(deflated(t, 0, big)), []string{"text " + big}},
		{"7.2.2 Huffman only", ptext(deflated(t, stdflate.HuffmanOnly, big)),
			[]string{"text " + big}},
		{"7.2.2 what does not become smaller, of the largest size",
			pbinary(deflated(t, 6, noise)), []string{"binary " + noise}},
		{"7.2.2 the same in fragments", func() []byte {
			p := deflated(t, 6, noise)
			return cat(frame(0x42, p[:500]), frame(0, p[500:1000]), frame(0x80, p[1000:]))
		}(), []string{"binary " + noise}},
		{"7.2.2 reserved type", ptext(blocks().bits(0, 1).bits(3, 2).whole()),
			[]string{"error 1007"}},
		{"7.2.2 length and its complement", ptext("\x00\x05\x00\xfa\xfeHello\x00"),
			[]string{"error 1007"}},
		{"7.2.2 cut inside a stored block", ptext(helloStored[:7]), []string{"error 1007"}},
		{"7.2.2 cut inside the codes", ptext(d(big)[:9]), []string{"error 1007"}},
		{"7.2.2 cut inside a block", ptext(hello[:4]), []string{"error 1007"}},
		{"7.2.2 reference before the beginning", ptext(blocks().match(1).end()),
			[]string{"error 1007"}},
		{"7.2.2 what is no DEFLATE", ptext(`publish:a.b:1.0.0`), []string{"error 1007"}},
		{"7.2.2 gzip", ptext("\x1f\x8b\x08\x00\x00\x00\x00\x00"), []string{"error 1007"}},
	}
}

// boundCases are RFC 6455 §8.1, and the largest frame.
func boundCases(t *testing.T, d func(string) string) []wsCase {
	return []wsCase{
		{"8.1 text is checked as it was", ptext(d("κόσμε 𐍈")), []string{"text κόσμε 𐍈"}},
		{"8.1 text that is not UTF-8", ptext(d("a\xed\xa0\x80")), []string{"error 1007"}},
		{"8.1 text cut inside a character", ptext(d("a\xe2\x82")), []string{"error 1007"}},
		{"8.1 binary is not checked", pbinary(d("a\xe2\x82")), []string{"binary a\xe2\x82"}},
		{"8.1 a character over blocks",
			ptext(blocks().stored(0, "\xe2").stored(1, "\x82").stored(0, "\xac").end()),
			[]string{"text €"}},
		{"8.1 DEFLATE itself is no text", ptext(d(big[:300])),
			[]string{"text " + big[:300]}},
		{"9 of the largest size", ptext(d(big)), []string{"text " + big}},
		{"9 one byte more", ptext(d(big + "x")), []string{"error 1009"}},
		{"9 one byte more, not compressible", pbinary(deflated(t, 0, noise+"x")),
			[]string{"error 1009"}},
		{"9 bomb", ptext(d(strings.Repeat("\x00", 300_000))), []string{"error 1009"}},
		{"9 bomb in fragments", func() []byte {
			p := d(strings.Repeat("\x00", 300_000))
			return cat(frame(0x41, p[:10]), frame(0, p[10:20]), frame(0x80, p[20:]))
		}(), []string{"error 1009"}},
		{"9 bomb of blocks with BFINAL", ptext(
			strings.Repeat(blocks().stored(1, big[:100]).whole(), 10)), []string{"text " + big}},
		{"9 bomb of more of them", ptext(strings.Repeat(blocks().stored(1, big[:90]).whole(), 11) +
			blocks().stored(1, big[:20]).end()), []string{"error 1009"}},
		{"9 longer as it comes than anything may be",
			ptext(hello + strings.Repeat(cutOff+"\x00", testMaxFrame/4)), []string{"error 1009"}},
		{"9 after an error", cat(ptext(d(big+"x")), frame(0x81, "a")),
			[]string{"error 1009"}},
	}
}

func TestWSDeflateDecoder(t *testing.T) {
	d := func(s string) string { return deflated(t, 6, s) }
	for _, c := range slices.Concat(rsv1Cases(), exampleCases(), blockCases(d), inflateCases(t, d),
		boundCases(t, d)) {
		t.Run(c.name, func(t *testing.T) {
			got := drain(t, newDeflateDecoder(), c.stream, whole)
			for i, s := range got {
				if strings.HasPrefix(s, "error ") {
					got[i] = s[:len("error 1002")]
				}
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			sameInAnyCut(t, c.stream, 1, newDeflateDecoder)
		})
	}
	// All that is not about compression is as ever.
	for _, c := range autobahnCases() {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "3 RSV1" {
				return
			}
			want := drain(t, NewWSDecoder(testMaxFrame, false), c.stream, whole)
			got := drain(t, newDeflateDecoder(), c.stream, whole)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
