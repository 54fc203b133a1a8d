package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// rsv1 is the bit of a frame that begins a compressed message (RFC 7692 §6).
const rsv1 = 0x40

// offering is an opening handshake that offers extensions, agreeing the answer with those agreed
// on, none if there is none.
func offering(extensions string) string {
	return strings.Replace(head, "\r\n\r\n",
		"\r\nSec-WebSocket-Extensions: "+extensions+"\r\n\r\n", 1)
}

func agreeing(extensions string) string {
	if extensions == "" {
		return opened
	}
	return strings.Replace(opened, "\r\n\r\n",
		"\r\nSec-WebSocket-Extensions: "+extensions+"\r\n\r\n", 1)
}

// agreed is what this node makes of an offer (§7.1.1).
const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// offers are the parameters of §7.1, and what is agreed on.
var offers = []struct{ offer, agreed string }{
	{"permessage-deflate", agreed},
	{"permessage-deflate; server_no_context_takeover", agreed},
	{"permessage-deflate; client_no_context_takeover", agreed},
	{"permessage-deflate; client_max_window_bits", agreed},
	{"permessage-deflate; client_max_window_bits=8", agreed},
	{"permessage-deflate;client_max_window_bits=\"15\"", agreed},
	{"permessage-deflate; server_max_window_bits=15", agreed + "; server_max_window_bits=15"},
	{"x-none, permessage-deflate", agreed},
	{"x-none; a=\"b\", permessage-deflate", agreed},
	{"permessage-deflate; server_max_window_bits=10, permessage-deflate", agreed},
	{"permessage-deflate; server_max_window_bits=10\r\nSec-WebSocket-Extensions: " +
		"permessage-deflate", agreed},
	{"permessage-deflate; server_max_window_bits=10", ""},
	{"permessage-deflate; server_max_window_bits", ""},
	{"permessage-deflate; server_max_window_bits=7", ""},
	{"permessage-deflate; server_max_window_bits=16", ""},
	{"permessage-deflate; client_max_window_bits=7", ""},
	{"permessage-deflate; client_max_window_bits=16", ""},
	{"permessage-deflate; client_max_window_bits=08", ""},
	{"permessage-deflate; server_no_context_takeover=1", ""},
	{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
	{"permessage-deflate; unknown", ""},
	{"permessage-bzip2", ""},
}

// The negotiation over a real socket; a node that has deflate off agrees on nothing.
func TestOffers(t *testing.T) {
	for name, by := range ways {
		t.Run(name, func(t *testing.T) {
			at := startSuite(t, limit, by)
			for _, o := range offers {
				want := agreeing(o.agreed)
				if by != deflating {
					want = opened
				}
				c := at.dial(t)
				if err := say(c, []string{offering(o.offer) + frame(closing, "")}); err != nil {
					t.Fatal(err)
				}
				all, err := io.ReadAll(c)
				if want += sent(closing, code(1000, "")); err != nil || string(all) != want {
					t.Errorf("%s: %q, %v, want %q", o.offer, all, err, want)
				}
			}
		})
	}
}

// packed is what a sender makes of a message with the standard library (§7.2.1).
func packed(level int, message string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(w, message)
	_ = w.Flush() // into a buffer: never fails
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// unpacked is what a server has sent, with each compressed message as it was (§7.2.2). What is none
// stays as it is.
func unpacked(frames string) string {
	var out strings.Builder
	for rest := frames; len(rest) >= 2; {
		size, n := 2, uint64(rest[1])
		switch n {
		case 126:
			size += 2
		case 127:
			size += 8
		}
		if len(rest) < size {
			return frames
		}
		if size > 2 {
			zeros := make([]byte, 10-size)
			n = binary.BigEndian.Uint64(append(zeros, rest[2:size]...))
		}
		if uint64(len(rest)-size) < n {
			return frames
		}
		first, payload := rest[0], rest[size:size+int(n)]
		if first&rsv1 != 0 {
			const tail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff" // an empty block, and the last one
			plain, err := io.ReadAll(flate.NewReader(strings.NewReader(payload + tail)))
			if err != nil {
				return frames
			}
			first, payload = first&^rsv1, string(plain)
		}
		out.WriteString(sent(first, payload))
		rest = rest[size+int(n):]
	}
	return out.String()
}

// deflates are exchanges after permessage-deflate was agreed on.
var deflates = sync.OnceValue(func() (all []exchange) {
	add := func(section, name, in, out string, fails uint16) {
		all = append(all, exchange{
			section: "7692, " + section, name: name, in: []string{in}, out: out, fails: fails,
		})
	}
	bomb := packed(flate.BestCompression, strings.Repeat("\x00", 16*limit))
	for _, k := range kinds {
		for _, n := range []int{1, 5, 125, 126, 400, 4096, 65535, 65536, 200000, limit} {
			p := strings.Repeat("0123456789abcdef, more or less", n/30+1)[:n]
			for _, level := range []int{flate.NoCompression, flate.BestSpeed,
				flate.BestCompression, flate.HuffmanOnly} {
				add("7.2", fmt.Sprintf("%s of %d bytes, level %d", k.name, n, level),
					frame(k.whole|rsv1, packed(level, p)), sent(k.whole, p), 0)
			}
		}
		add("7.2.3.6", "an empty "+k.name, frame(k.whole|rsv1, "\x00"), sent(k.whole, ""), 0)
		add("7.2.3.6", "an empty "+k.name+" of no bytes", frame(k.whole|rsv1, ""),
			sent(k.whole, ""), 0)
		hello := packed(flate.BestSpeed, "Hello")
		add("6.1", k.name+", a fragment for each byte", cutUp(k.fragment|rsv1, hello, -1, ""),
			sent(k.whole, "Hello"), 0)
		add("6.1", k.name+", pings between fragments",
			cutUp(k.fragment|rsv1, hello, 5, frame(ping, "p")),
			strings.Repeat(sent(pong, "p"), 2)+sent(k.whole, "Hello"), 0)
		add("6.1", k.name+", empty fragments about it", frame(k.fragment|rsv1, "")+
			frame(more, hello)+frame(lastMore, ""), sent(k.whole, "Hello"), 0)
		add("6.1", k.name+", compressed and not in turn", strings.Repeat(
			frame(k.whole|rsv1, hello)+frame(k.whole, "plain"), 50),
			strings.Repeat(sent(k.whole, "Hello")+sent(k.whole, "plain"), 50), 0)
		for _, then := range []byte{more, lastMore} {
			add("6.1", fmt.Sprintf("%s, the bit of continuation %02x", k.name, then),
				frame(k.fragment|rsv1, hello[:3])+string([]byte{then | rsv1}), "", 1002)
			add("6.1", fmt.Sprintf("%s not compressed, the bit of continuation %02x", k.name, then),
				frame(k.fragment, "a")+string([]byte{then | rsv1}), "", 1002)
		}
		add("7.2.2", k.name+" that refers to the message before", frame(k.whole|rsv1,
			"\xf2\x48\xcd\xc9\xc9\x07\x00")+frame(k.whole|rsv1, "\xf2\x00\x11\x00\x00"),
			sent(k.whole, "Hello"), 1007)
		add("10.4", k.name+" of a byte too many, inflated",
			frame(k.whole|rsv1, packed(9, strings.Repeat("x", limit+1))), "", 1009)
		add("10.4", k.name+" that is a bomb",
			frame(k.whole|rsv1, bomb), "", 1009)
	}
	examples(add)
	wrongDeflate(add)
	return all
})

// examples are those of §7.2.3.
func examples(add func(section, name, in, out string, fails uint16)) {
	for _, c := range []struct{ section, name, bytes string }{
		{"7.2.3.1", "one block", "\xf2\x48\xcd\xc9\xc9\x07\x00"},
		{"7.2.3.3", "a block that is stored", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"},
		{"7.2.3.4", "a block that says it is the last", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"},
		{"7.2.3.5", "two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"},
	} {
		add(c.section, c.name, frame(text|rsv1, c.bytes), sent(text, "Hello"), 0)
		add(c.section, c.name+", twice", strings.Repeat(frame(text|rsv1, c.bytes), 2),
			strings.Repeat(sent(text, "Hello"), 2), 0)
	}
	add("7.2.3.1", "one block in two fragments", frame(firstText|rsv1, "\xf2\x48\xcd")+
		frame(lastMore, "\xc9\xc9\x07\x00"), sent(text, "Hello"), 0)
}

// wrongDeflate is what cannot be inflated, or is not text when it was.
func wrongDeflate(add func(section, name, in, out string, fails uint16)) {
	for _, c := range []struct{ name, bytes string }{
		{"a block of type 3", "\x07"},
		{"noise", "\xff\xff\xff\xff"},
		{"a stored block whose length is denied", "\x00\x05\x00\x00\x00Hello"},
		{"a stored block that is cut", "\x00\x05\x00\xfa\xffHel"},
		{"codes that are cut", packed(9, "Hello, Hello, Hello")[:4]},
		{"a distance before the beginning", "\xf2\x00\x11\x00\x00"},
	} {
		add("7.2.2", c.name, frame(text|rsv1, c.bytes), "", 1007)
		add("7.2.2", c.name+", in fragments", cutUp(firstText|rsv1, c.bytes, -1, ""), "", 1007)
		add("7.2.2", c.name+", behind a message", frame(text, "a")+frame(binary_|rsv1, c.bytes),
			sent(text, "a"), 1007)
	}
	for _, c := range badText {
		add("7.2.2", "text, inflated: "+c.name, frame(text|rsv1, packed(1, c.good+c.bad)), "", 1007)
		add("7.2.2", "binary, inflated: "+c.name, frame(binary_|rsv1, packed(1, c.good+c.bad)),
			sent(binary_, c.good+c.bad), 0)
	}
	for _, c := range goodText {
		add("7.2.2", "text, inflated: "+c.name, frame(text|rsv1, packed(1, c.bytes)),
			sent(text, c.bytes), 0)
	}
	add("7.2.2", "text that ends inside a character, inflated",
		frame(text|rsv1, packed(1, "a\xe2\x82")), "", 1007)
	for _, first := range []byte{ping, pong, closing} {
		add("6.1", fmt.Sprintf("the bit of control frame %02x", first),
			string([]byte{first | rsv1}), "", 1002)
	}
}
