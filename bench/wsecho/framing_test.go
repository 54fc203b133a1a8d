package main

import (
	"fmt"
	"strings"
)

// kinds are the first bytes of data messages and of their first fragments.
var kinds = []struct {
	name            string
	whole, fragment byte
}{{"text", text, firstText}, {"binary", binary_, firstBinary}}

// lengths: §5.2, the three forms of a payload's length, at and about their bounds.
func lengths() (all []exchange) {
	for _, k := range kinds {
		for _, n := range []int{
			0, 1, 2, 7, 8, 9, 124, 125, 126, 127, 128, 255, 256, 4095, 4096, 4097, 32767, 32768,
			65534, 65535, 65536, 65537, 131072, 262144, 524289, limit - 1, limit,
		} {
			p := strings.Repeat("0123456789abcdef", n/16+1)[:n]
			all = append(all, exchange{
				section: "5.2", name: fmt.Sprintf("%s of %d bytes", k.name, n),
				in: []string{frame(k.whole, p)}, out: sent(k.whole, p),
			})
		}
	}
	// "the minimal number of bytes MUST be used" by who encodes. Who decodes is told nothing of it;
	// this node takes what is unambiguous, as most do.
	for _, c := range []struct {
		name, payload string
		length        []byte
	}{
		{"0 in 16 bits", "", []byte{126, 0, 0}},
		{"5 in 16 bits", "Hello", []byte{126, 0, 5}},
		{"125 in 16 bits", strings.Repeat("x", 125), []byte{126, 0, 125}},
		{"0 in 64 bits", "", []byte{127, 0, 0, 0, 0, 0, 0, 0, 0}},
		{"5 in 64 bits", "Hello", []byte{127, 0, 0, 0, 0, 0, 0, 0, 5}},
		{"126 in 64 bits", strings.Repeat("x", 126), []byte{127, 0, 0, 0, 0, 0, 0, 0, 126}},
		{"65535 in 64 bits", strings.Repeat("x", 65535), []byte{127, 0, 0, 0, 0, 0, 0, 255, 255}},
	} {
		all = append(all, exchange{
			section: "5.2", name: "a length that is not minimal, " + c.name,
			in:  []string{framed(text, "\x01\x02\x03\x04", c.payload, c.length...)},
			out: sent(text, c.payload),
		})
	}
	return all
}

// wrongLengths: §5.2, "the most significant bit MUST be 0". Nothing else comes behind the length:
// a node that waited for more would stand.
func wrongLengths() (all []exchange) {
	for _, first := range []byte{text, binary_, firstText, firstBinary} {
		for _, top := range []byte{0x80, 0xff} {
			all = append(all, exchange{
				section: "5.2",
				name:    fmt.Sprintf("a length whose top bit is set, %02x %02x", first, top),
				in:      []string{string([]byte{first, 0xff, top, 0, 0, 0, 0, 0, 0, 1})},
				fails:   1002,
			})
		}
	}
	return append(all, exchange{
		section: "5.2", name: "a length that is all ones",
		in: []string{string([]byte{binary_, 0xff}) + strings.Repeat("\xff", 8)}, fails: 1002,
	})
}

// masks: §5.1 and §5.3.
func masks() (all []exchange) {
	for _, key := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x00\x00\x01",
		"\x80\x00\x00\x00", "Hell"} {
		for _, p := range []string{"Hello", strings.Repeat("Hello!", 11)} {
			all = append(all, exchange{
				section: "5.3", name: fmt.Sprintf("%d bytes under key %x", len(p), key),
				in: []string{framed(text, key, p, byte(len(p)))}, out: sent(text, p),
			})
		}
	}
	all = append(all, exchange{
		section: "5.3", name: "another key for each frame",
		in: []string{framed(firstText, "abcd", "Hel", 3) + framed(more, "efgh", "l", 1) +
			framed(lastMore, "ijkl", "o", 1)},
		out: sent(text, "Hello"),
	})
	for _, first := range []byte{text, binary_, ping, pong, closing, firstText} {
		all = append(all, exchange{
			section: "5.1", name: fmt.Sprintf("a frame that is not masked, %02x", first),
			in: []string{sent(first, "")}, fails: 1002,
		})
	}
	return append(all, exchange{
		section: "5.1", name: "a fragment that is not masked",
		in: []string{frame(firstText, "a") + sent(lastMore, "b")}, fails: 1002,
	}, exchange{
		section: "5.1", name: "one that is, before one that is not",
		in: []string{frame(text, "a") + sent(text, "b")}, out: sent(text, "a"), fails: 1002,
	})
}

// reserved: §5.2, RSV1 to RSV3 and the opcodes that mean nothing. A bit or an opcode is wrong in
// the first byte already: nothing else is sent.
func reserved() (all []exchange) {
	for bits := byte(1); bits < 8; bits++ {
		for _, first := range []byte{text, binary_, ping, pong, closing} {
			all = append(all, exchange{
				section: "5.2", name: fmt.Sprintf("reserved bits %03b of %02x", bits, first),
				in: []string{string([]byte{first | bits<<4})}, fails: 1002,
				plain: bits == 4 && (first == text || first == binary_),
			})
		}
		all = append(all, exchange{
			section: "5.2", name: fmt.Sprintf("reserved bits %03b of a continuation", bits),
			in: []string{frame(firstText, "a") + frame(lastMore|bits<<4, "b")}, fails: 1002,
		})
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		all = append(all, exchange{
			section: "5.2", name: fmt.Sprintf("opcode %d", op),
			in: []string{string([]byte{0x80 | op})}, fails: 1002,
		}, exchange{
			section: "5.2", name: fmt.Sprintf("opcode %d between messages", op),
			in:  []string{frame(text, "a") + frame(0x80|op, "b") + frame(text, "c")},
			out: sent(text, "a"), fails: 1002,
		}, exchange{
			section: "5.2", name: fmt.Sprintf("opcode %d between fragments", op),
			in: []string{frame(firstText, "a") + frame(0x80|op, "b")}, fails: 1002,
		})
	}
	return all
}

// fragments: §5.4.
func fragments() (all []exchange) {
	add := func(name, in, out string, fails uint16) {
		all = append(all, exchange{
			section: "5.4", name: name, in: []string{in}, out: out, fails: fails,
		})
	}
	for _, k := range kinds {
		for cuts := range 1 << 4 { // a bit for each place between two of five letters
			add(fmt.Sprintf("%s cut at %04b", k.name, cuts), cutUp(k.fragment, "Hello", cuts, ""),
				sent(k.whole, "Hello"), 0)
		}
		add(k.name+", a ping before each fragment but the first",
			cutUp(k.fragment, "Hello", 15, frame(ping, "p")),
			strings.Repeat(sent(pong, "p"), 4)+sent(k.whole, "Hello"), 0)
		add(k.name+", a pong before each fragment but the first",
			cutUp(k.fragment, "Hello", 15, frame(pong, "p")), sent(k.whole, "Hello"), 0)
		add(k.name+" of two empty fragments", frame(k.fragment, "")+frame(lastMore, ""),
			sent(k.whole, ""), 0)
		add(k.name+" of three empty fragments",
			frame(k.fragment, "")+frame(more, "")+frame(lastMore, ""), sent(k.whole, ""), 0)
		add(k.name+" with empty fragments about it",
			frame(k.fragment, "")+frame(more, "x")+frame(lastMore, ""), sent(k.whole, "x"), 0)
		add(k.name+" in a thousand fragments",
			frame(k.fragment, "")+strings.Repeat(frame(more, "ab"), 1000)+frame(lastMore, ""),
			sent(k.whole, strings.Repeat("ab", 1000)), 0)
		a, b := strings.Repeat("a", 70000), strings.Repeat("b", 200)
		add(k.name+" in fragments of each form of length",
			frame(k.fragment, a)+frame(more, b)+frame(lastMore, "c"), sent(k.whole, a+b+"c"), 0)
		add(k.name+" inside a fragmented one", frame(k.fragment, "a")+frame(k.whole, "b"), "", 1002)
		add(k.name+" begun inside a fragmented one",
			frame(k.fragment, "a")+frame(k.fragment, "b"), "", 1002)
		add(k.name+" inside a fragmented one, behind a ping",
			frame(k.fragment, "a")+frame(ping, "")+frame(k.whole, "b"), sent(pong, ""), 1002)
		add(k.name+", then a continuation of nothing",
			frame(k.whole, "a")+frame(lastMore, "b"), sent(k.whole, "a"), 1002)
		add(k.name+" in fragments, then a continuation of nothing",
			frame(k.fragment, "a")+frame(lastMore, "b")+frame(more, "c"), sent(k.whole, "ab"), 1002)
	}
	add("text begun inside binary", frame(firstBinary, "a")+frame(firstText, "b"), "", 1002)
	add("binary begun inside text", frame(firstText, "a")+frame(firstBinary, "b"), "", 1002)
	add("a continuation first, the last", frame(lastMore, "a"), "", 1002)
	add("a continuation first, more to come", frame(more, "a"), "", 1002)
	add("a continuation first, empty", frame(lastMore, ""), "", 1002)
	add("messages one after the other, both in fragments",
		frame(firstText, "a")+frame(lastMore, "b")+frame(firstBinary, "c")+frame(lastMore, "d"),
		sent(text, "ab")+sent(binary_, "cd"), 0)
	return all
}

// cutUp is a message in fragments: cuts has a bit for each place between two of its bytes. between
// stands before each fragment but the first.
func cutUp(first byte, message string, cuts int, between string) string {
	var b strings.Builder
	from := 0
	for at := 1; at < len(message); at++ {
		if cuts>>(at-1)&1 == 1 {
			b.WriteString(frame(first, message[from:at]) + between)
			first, from = more, at
		}
	}
	b.WriteString(frame(first|0x80, message[from:]))
	return b.String()
}

// chunks: §5, the framing does not depend on how TCP cuts it.
func chunks() (all []exchange) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ name, in, out string }{
		{"text", frame(text, "Hello, 𐍈"), sent(text, "Hello, 𐍈")},
		{"binary", frame(binary_, "\x00\xff"), sent(binary_, "\x00\xff")},
		{"an empty message", frame(text, ""), sent(text, "")},
		{"a length of 16 bits", frame(binary_, long), sent(binary_, long)},
		{"a length of 64 bits", framed(binary_, "abcd", "x", 127, 0, 0, 0, 0, 0, 0, 0, 1),
			sent(binary_, "x")},
		{"fragments with a ping in them",
			frame(firstText, "a€") + frame(ping, "p") + frame(lastMore, "b"),
			sent(pong, "p") + sent(text, "a€b")},
		{"a ping of 125 bytes", frame(ping, long[:125]), sent(pong, long[:125])},
		{"messages", frame(text, "a") + frame(text, "b") + frame(binary_, "c"),
			sent(text, "a") + sent(text, "b") + sent(binary_, "c")},
	} {
		all = append(all, exchange{
			section: "5", name: c.name + ", byte by byte", in: bytewise(c.in), out: c.out,
		})
	}
	big := strings.Repeat("0123456789abcdef", 1<<12)
	in := frame(text, big)
	for _, size := range []int{1000, 4096, 32768} {
		var pieces []string
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		all = append(all, exchange{
			section: "5", name: fmt.Sprintf("64 KiB in pieces of %d", size), in: pieces,
			out: sent(text, big),
		})
	}
	return append(all, exchange{
		section: "5", name: "a frame that is wrong, byte by byte",
		in: bytewise(frame(firstText, "a") + "\x81"), fails: 1002,
	}, exchange{
		section: "5", name: "a Close, byte by byte",
		in: bytewise(frame(closing, code(1000, "bye"))), out: sent(closing, code(1000, "")),
		ended: true,
	}, exchange{
		section: "5", name: "a message whose end comes with the beginning of the next",
		in: []string{frame(text, "Hello")[:8], frame(text, "Hello")[8:] + frame(text, "you")[:3],
			frame(text, "you")[3:]},
		out: sent(text, "Hello") + sent(text, "you"),
	})
}

// order: §5.4, messages come back in the order in which they were sent, and none is lost.
func order() []exchange {
	var in, out strings.Builder
	for i := range 2000 {
		p := fmt.Sprint("message ", i)
		in.WriteString(frame(text, p))
		out.WriteString(sent(text, p))
	}
	mixed := strings.Repeat(frame(text, strings.Repeat("x", 5000))+frame(binary_, "y")+
		frame(ping, "z"), 100)
	return []exchange{
		{section: "5.4", name: "2000 messages at once", in: []string{in.String()},
			out: out.String()},
		{section: "5.4", name: "large ones, small ones and pings", in: []string{mixed},
			out: strings.Repeat(sent(text, strings.Repeat("x", 5000))+sent(binary_, "y")+
				sent(pong, "z"), 100)},
	}
}

// limits: §10.4, what is larger than this node takes. Nothing comes behind the length.
func limits() (all []exchange) {
	over := func(name string, head ...byte) {
		all = append(all, exchange{
			section: "10.4", name: name, in: []string{string(head)}, fails: 1009,
		})
	}
	over("a byte over the limit", binary_, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1)
	over("2³¹ bytes", binary_, 0xff, 0, 0, 0, 0, 0x80, 0, 0, 0)
	over("2³² bytes", binary_, 0xff, 0, 0, 0, 1, 0, 0, 0, 0)
	over("2³² and 5 bytes", binary_, 0xff, 0, 0, 0, 1, 0, 0, 0, 5)
	over("2⁶³-1 bytes", text, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255)
	half := strings.Repeat("x", limit/2)
	return append(all, exchange{
		section: "10.4", name: "fragments up to the limit",
		in:  []string{frame(firstBinary, half) + frame(lastMore, half)},
		out: sent(binary_, half+half),
	}, exchange{
		section: "10.4", name: "fragments over the limit",
		in:    []string{frame(firstBinary, half) + frame(more, half) + frame(lastMore, "x")},
		fails: 1009,
	}, exchange{
		section: "10.4", name: "a fragment over the limit by its length",
		in: []string{frame(firstText, "x") +
			string([]byte{more, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255})}, fails: 1009,
	}, exchange{
		section: "10.4", name: "the limit is of each message, not of all",
		in:  []string{frame(binary_, half), frame(binary_, half), frame(binary_, half)},
		out: strings.Repeat(sent(binary_, half), 3),
	})
}
