package main

import (
	"fmt"
	"strings"
)

// goodText is well-formed UTF-8 (RFC 3629 §4; Unicode, table 3-7).
var goodText = []struct{ name, bytes string }{
	{"ASCII", "Hello"},
	{"words of two bytes a letter", "Ελληνικά"},
	{"words of three bytes a letter", "日本語"},
	{"words of four bytes a letter", "𐌲𐌿𐍄"},
	{"letters of each length in turn", "aé€𐍈aé€𐍈"},
	{"U+0000", "\x00"},
	{"U+007F, the last of one byte", "\x7f"},
	{"U+0080, the first of two", "\xc2\x80"},
	{"U+07FF, the last of two", "\xdf\xbf"},
	{"U+0800, the first of three", "\xe0\xa0\x80"},
	{"U+0FFF, the last after E0", "\xe0\xbf\xbf"},
	{"U+1000", "\xe1\x80\x80"},
	{"U+CFFF", "\xec\xbf\xbf"},
	{"U+D000, the first after ED", "\xed\x80\x80"},
	{"U+D7FF, the last before the surrogates", "\xed\x9f\xbf"},
	{"U+E000, the first behind them", "\xee\x80\x80"},
	{"U+FFFD", "\xef\xbf\xbd"},
	{"U+FFFE, no character", "\xef\xbf\xbe"},
	{"U+FFFF, no character, the last of three", "\xef\xbf\xbf"},
	{"U+FEFF, a byte order mark", "\xef\xbb\xbfa"},
	{"U+10000, the first of four", "\xf0\x90\x80\x80"},
	{"U+1FFFF, no character", "\xf0\x9f\xbf\xbf"},
	{"U+3FFFF, the last after F0", "\xf0\xbf\xbf\xbf"},
	{"U+40000", "\xf1\x80\x80\x80"},
	{"U+FFFFF", "\xf3\xbf\xbf\xbf"},
	{"U+100000, the first after F4", "\xf4\x80\x80\x80"},
	{"U+10FFFF, the last of all", "\xf4\x8f\xbf\xbf"},
	{"eight bytes of ASCII, then a letter of four", "01234567𐍈"},
	{"a letter of four across eight bytes", "012345𐍈89abcdef"},
}

// validText: §5.6 and §8.1, whole and with each byte in a frame of its own.
func validText() (all []exchange) {
	for _, c := range goodText {
		all = append(all, exchange{
			section: "5.6", name: c.name, in: []string{frame(text, c.bytes)},
			out: sent(text, c.bytes),
		})
		if len(c.bytes) > 1 {
			all = append(all, exchange{
				section: "5.6", name: c.name + ", a fragment for each byte",
				in: []string{cutUp(firstText, c.bytes, -1, "")}, out: sent(text, c.bytes),
			}, exchange{
				section: "5.6", name: c.name + ", a segment for each byte",
				in: bytewise(frame(text, c.bytes)), out: sent(text, c.bytes),
			})
		}
	}
	// "Binary data" is anything.
	for _, c := range badText {
		all = append(all, exchange{
			section: "5.6", name: "binary: " + c.name, in: []string{frame(binary_, c.good+c.bad)},
			out: sent(binary_, c.good+c.bad),
		})
	}
	return append(all, exchange{
		section: "5.6", name: "binary that ends inside a character, then text",
		in:  []string{frame(binary_, "\xe2\x82") + frame(text, "a")},
		out: sent(binary_, "\xe2\x82") + sent(text, "a"),
	})
}

// cutText: §8.1, text that ends inside a character, however it comes to its end.
func cutText() (all []exchange) {
	for _, cut := range []string{
		"\xc2", "\xdf", "\xe0", "\xe0\xa0", "\xe2", "\xe2\x82", "\xed", "\xed\x9f", "\xf0",
		"\xf0\x90", "\xf0\x90\x8d", "\xf4", "\xf4\x8f", "\xf4\x8f\xbf",
	} {
		name := fmt.Sprintf("text that ends with %x", cut)
		all = append(all, exchange{
			section: "8.1", name: name, in: []string{frame(text, "a"+cut)}, fails: 1007,
		}, exchange{
			section: "8.1", name: name + ", in its last fragment",
			in: []string{frame(firstText, "a") + frame(lastMore, cut)}, fails: 1007,
		}, exchange{
			section: "8.1", name: name + ", before an empty fragment",
			in: []string{frame(firstText, "a"+cut) + frame(lastMore, "")}, fails: 1007,
		})
	}
	return all
}

// badText is not UTF-8: good may still become so, and with the first byte of bad cannot.
var badText = []struct{ name, good, bad string }{
	{"80, a continuation of nothing", "", "\x80"},
	{"bf, a continuation of nothing", "", "\xbf"},
	{"a continuation too many after one byte", "a", "\x80"},
	{"a continuation too many after two", "\xc3\xa9", "\x80"},
	{"a continuation too many after three", "\xe2\x82\xac", "\x80"},
	{"a continuation too many after four", "\xf0\x90\x8d\x88", "\x80"},
	{"two bytes begun, then ASCII", "\xc3", " "},
	{"three bytes begun, then ASCII", "\xe2", " "},
	{"three bytes begun, one more, then ASCII", "\xe2\x82", " "},
	{"four bytes begun, then ASCII", "\xf0", " "},
	{"four bytes begun, one more, then ASCII", "\xf0\x90", " "},
	{"four bytes begun, two more, then ASCII", "\xf0\x90\x8d", " "},
	{"two bytes begun twice", "\xc3", "\xc3\xa9"},
	{"three bytes begun twice", "\xe2\x82", "\xe2\x82\xac"},
	{"four bytes begun twice", "\xf0\x90\x8d", "\xf0\x90\x8d\x88"},
	{"c0 80, U+0000 in two bytes", "", "\xc0\x80"},
	{"c0 af, a solidus in two bytes", "", "\xc0\xaf"},
	{"c1 bf, U+007F in two bytes", "", "\xc1\xbf"},
	{"e0 80 80, U+0000 in three bytes", "\xe0", "\x80\x80"},
	{"e0 80 af, a solidus in three bytes", "\xe0", "\x80\xaf"},
	{"e0 9f bf, U+07FF in three bytes", "\xe0", "\x9f\xbf"},
	{"f0 80 80 af, a solidus in four bytes", "\xf0", "\x80\x80\xaf"},
	{"f0 8f bf bf, U+FFFF in four bytes", "\xf0", "\x8f\xbf\xbf"},
	{"f8 88 80 80 80, five bytes", "", "\xf8\x88\x80\x80\x80"},
	{"fc 84 80 80 80 80, six bytes", "", "\xfc\x84\x80\x80\x80\x80"},
	{"fe", "", "\xfe"},
	{"ff", "", "\xff"},
	{"U+D800, the first surrogate", "\xed", "\xa0\x80"},
	{"U+DB7F", "\xed", "\xad\xbf"},
	{"U+DBFF, the last high surrogate", "\xed", "\xaf\xbf"},
	{"U+DC00, the first low surrogate", "\xed", "\xb0\x80"},
	{"U+DFFF, the last surrogate", "\xed", "\xbf\xbf"},
	{"U+D800 U+DC00, a pair of surrogates", "\xed", "\xa0\x80\xed\xb0\x80"},
	{"U+110000, beyond the last", "\xf4", "\x90\x80\x80"},
	{"f5 80 80 80", "", "\xf5\x80\x80\x80"},
	{"f7 bf bf bf, the most of four bytes", "", "\xf7\xbf\xbf\xbf"},
	{"ff behind seven bytes of ASCII", "0123456", "\xff"},
	{"ff behind eight bytes of ASCII", "01234567", "\xff"},
	{"ff behind a page of ASCII", strings.Repeat("x", 4095), "\xff"},
}

// wrongText: §8.1, "that endpoint MUST _Fail the WebSocket Connection_", with 1007 (§7.4.1): in a
// whole message, and as soon as a byte is wrong, though frame and message go on.
func wrongText() (all []exchange) {
	for _, c := range badText {
		announced := frame(text, c.good+c.bad[:1]+strings.Repeat("x", 100))
		unfinished := announced[:len(announced)-100]
		all = append(all, exchange{
			section: "8.1", name: c.name, in: []string{frame(text, c.good+c.bad+"edited")},
			fails: 1007,
		}, exchange{
			section: "8.1", name: c.name + ", in a frame that goes on",
			in:    []string{unfinished[:len(unfinished)-1], unfinished[len(unfinished)-1:]},
			fails: 1007,
		}, exchange{
			section: "8.1", name: c.name + ", in a message that goes on",
			in: []string{frame(firstText, c.good) + frame(ping, "still open") +
				frame(more, c.bad[:1])},
			out: sent(pong, "still open"), fails: 1007,
		})
	}
	return all
}
