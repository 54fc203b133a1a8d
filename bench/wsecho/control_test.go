package main

import (
	"fmt"
	"strings"
)

// pings: §5.5.2 and §5.5.3, "identical Application data".
func pings() (all []exchange) {
	for _, n := range []int{0, 1, 2, 7, 8, 64, 124, 125} {
		p := strings.Repeat("\xff\x00a", 42)[:n]
		all = append(all, exchange{
			section: "5.5.2", name: fmt.Sprintf("a ping of %d bytes", n),
			in: []string{frame(ping, p)}, out: sent(pong, p),
		})
	}
	var in, out string
	for i := range 100 {
		in += frame(ping, fmt.Sprint(i))
		out += sent(pong, fmt.Sprint(i))
	}
	return append(all, exchange{
		section: "5.5.2", name: "a hundred pings at once", in: []string{in}, out: out,
	}, exchange{
		section: "5.5.2", name: "a ping between messages",
		in:  []string{frame(text, "a") + frame(ping, "p") + frame(text, "b")},
		out: sent(text, "a") + sent(pong, "p") + sent(text, "b"),
	}, exchange{
		section: "5.5.2", name: "a ping between the bytes of a character",
		in: []string{frame(firstText, "\xf0\x90") + frame(ping, "\x8d") +
			frame(lastMore, "\x8d\x88")},
		out: sent(pong, "\x8d") + sent(text, "𐍈"),
	})
}

// pongs: §5.5.3, "A response to an unsolicited Pong frame is not expected."
func pongs() (all []exchange) {
	for _, n := range []int{0, 1, 125} {
		all = append(all, exchange{
			section: "5.5.3", name: fmt.Sprintf("a pong of %d bytes that nobody asked for", n),
			in: []string{frame(pong, strings.Repeat("\xff", n))},
		})
	}
	return append(all, exchange{
		section: "5.5.3", name: "pongs, then a ping",
		in: []string{strings.Repeat(frame(pong, "x"), 10) + frame(ping, "p")}, out: sent(pong, "p"),
	})
}

// wrongControls: §5.5, "MUST have a payload length of 125 bytes or less and MUST NOT be
// fragmented". Two bytes show it: nothing else is sent.
func wrongControls() (all []exchange) {
	for _, c := range []struct {
		name  string
		first byte
	}{{"close", closing}, {"ping", ping}, {"pong", pong}} {
		all = append(all, exchange{
			section: "5.5", name: "a " + c.name + " of 126 bytes",
			in: []string{frame(c.first, strings.Repeat("x", 126))}, fails: 1002,
		}, exchange{
			section: "5.5", name: "a " + c.name + " whose length has 16 bits",
			in: []string{string([]byte{c.first, 0xfe})}, fails: 1002,
		}, exchange{
			section: "5.5", name: "a " + c.name + " whose length has 64 bits",
			in: []string{string([]byte{c.first, 0xff})}, fails: 1002,
		}, exchange{
			section: "5.5", name: "a " + c.name + " in fragments",
			in: []string{string([]byte{c.first &^ 0x80})}, fails: 1002,
		}, exchange{
			section: "5.5", name: "a " + c.name + " in fragments, inside a message",
			in: []string{frame(firstText, "a") + frame(c.first&^0x80, "")}, fails: 1002,
		}, exchange{
			section: "5.5", name: "a " + c.name + " that is continued",
			in: []string{frame(c.first&^0x80, "x") + frame(lastMore, "y")}, fails: 1002,
		})
	}
	return all
}

// closes: §5.5.1, §7.1 and §7.4.
func closes() (all []exchange) {
	for _, c := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, // §7.4.1
		1012, 1013, 1014, // registered since
		3000, 3001, 3999, 4000, 4999} { // §7.4.2
		all = append(all, exchange{
			section: "7.4", name: fmt.Sprintf("code %d is given back", c),
			in: []string{frame(closing, code(c, ""))}, out: sent(closing, code(c, "")), ended: true,
		})
	}
	for _, n := range []int{1, 2, 122, 123} {
		all = append(all, exchange{
			section: "5.5.1", name: fmt.Sprintf("a reason of %d bytes", n),
			in:  []string{frame(closing, code(1000, strings.Repeat("x", n)))},
			out: sent(closing, code(1000, "")), ended: true,
		})
	}
	end := sent(closing, code(1000, ""))
	return append(all, exchange{
		section: "5.5.1", name: "a Close without a code", in: []string{frame(closing, "")},
		out: end, ended: true,
	}, exchange{
		section: "5.5.1", name: "a reason in any letters",
		in: []string{frame(closing, code(1000, "Жизнь, 生活, 🙂"))}, out: end, ended: true,
	}, exchange{
		section: "5.5.1", name: "a Close between fragments",
		in: []string{frame(firstText, "a") + frame(closing, code(1000, ""))}, out: end, ended: true,
	}, exchange{
		section: "5.5.1", name: "a Close between the bytes of a character",
		in: []string{frame(firstText, "\xe2\x82") + frame(closing, code(1000, ""))}, out: end,
		ended: true,
	}, exchange{
		section: "7.1.2", name: "what was sent before comes back before",
		in:  []string{frame(text, "a") + frame(ping, "p") + frame(closing, code(1000, ""))},
		out: sent(text, "a") + sent(pong, "p") + end, ended: true,
	}, exchange{
		section: "7.1.2", name: "what was sent before comes back before, a megabyte",
		in:  []string{frame(text, strings.Repeat("x", limit)) + frame(closing, code(1000, ""))},
		out: sent(text, strings.Repeat("x", limit)) + end, ended: true,
	})
}

// wrongCloses: §5.5.1, §7.4 and §8.1.
func wrongCloses() (all []exchange) {
	for _, c := range []uint16{
		0, 1, 255, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65535,
	} {
		all = append(all, exchange{
			section: "7.4", name: fmt.Sprintf("code %d is none", c),
			in: []string{frame(closing, code(c, ""))}, fails: 1002,
		})
	}
	for _, p := range []string{"\x00", "\x03", "x"} {
		all = append(all, exchange{
			section: "5.5.1", name: fmt.Sprintf("a payload of one byte, %x", p),
			in: []string{frame(closing, p)}, fails: 1002,
		})
	}
	all = append(all, exchange{
		section: "5.5.1", name: "a reason of 124 bytes",
		in: []string{frame(closing, code(1000, strings.Repeat("x", 124)))}, fails: 1002,
	})
	for _, reason := range []string{
		"\xff", "\xce", "a\xe2\x82", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		strings.Repeat("x", 122) + "\xc3",
	} {
		all = append(all, exchange{
			section: "8.1", name: fmt.Sprintf("a reason that is not UTF-8, %x", reason),
			in: []string{frame(closing, code(1000, reason))}, fails: 1007,
		})
	}
	return all
}

// afterClose: §5.5.1, "The application MUST NOT send any more data frames after sending a Close
// frame": they are not answered.
func afterClose() (all []exchange) {
	end := sent(closing, code(1000, ""))
	for _, c := range []struct{ name, in string }{
		{"text", frame(text, "x")}, {"a ping", frame(ping, "x")}, {"a pong", frame(pong, "x")},
		{"another Close", frame(closing, code(1001, ""))},
		{"the rest of a message", frame(lastMore, "x")},
		{"what is no frame", strings.Repeat("\xff", 100)},
		{"a megabyte", frame(binary_, strings.Repeat("x", limit))},
	} {
		all = append(all, exchange{
			section: "5.5.1", name: "a Close, then " + c.name,
			in: []string{frame(closing, code(1000, "")) + c.in}, out: end, ended: true,
		})
	}
	return append(all, exchange{
		section: "7.1.7", name: "after a failure nothing is answered",
		in: []string{frame(0x83, "") + frame(text, "x") + frame(ping, "x")}, fails: 1002,
	})
}
