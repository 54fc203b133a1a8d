package codec

import "encoding/binary"

// utf8State checks text that arrives in pieces (RFC 6455 §8.1, RFC 3629 §4). It is the state of a
// finite automaton: 0 stands between two characters. A wrong byte is found when it arrives, not
// when its character would be complete.
type utf8State uint8

const (
	utf8Start   utf8State = iota // between two characters
	utf8Bad                      // not UTF-8, whatever follows
	utf8Tail1                    // one more continuation byte
	utf8Tail2                    // two more
	utf8Tail3                    // three more
	utf8AfterE0                  // two more, the first A0…BF: no overlong form
	utf8AfterED                  // two more, the first 80…9F: no surrogate
	utf8AfterF0                  // three more, the first 90…BF: no overlong form
	utf8AfterF4                  // three more, the first 80…8F: nothing above U+10FFFF
	utf8States
)

// utf8Next is the automaton: state and byte to state.
var utf8Next = func() (t [utf8States][256]utf8State) {
	for s := range t {
		for c := range t[s] {
			t[s][c] = utf8Bad
		}
	}
	set := func(from utf8State, lo, hi int, to utf8State) {
		for c := lo; c <= hi; c++ {
			t[from][c] = to
		}
	}
	set(utf8Start, 0x00, 0x7f, utf8Start)
	set(utf8Start, 0xc2, 0xdf, utf8Tail1)
	set(utf8Start, 0xe0, 0xef, utf8Tail2)
	set(utf8Start, 0xe0, 0xe0, utf8AfterE0)
	set(utf8Start, 0xed, 0xed, utf8AfterED)
	set(utf8Start, 0xf0, 0xf0, utf8AfterF0)
	set(utf8Start, 0xf1, 0xf3, utf8Tail3)
	set(utf8Start, 0xf4, 0xf4, utf8AfterF4)
	set(utf8Tail1, 0x80, 0xbf, utf8Start)
	set(utf8Tail2, 0x80, 0xbf, utf8Tail1)
	set(utf8Tail3, 0x80, 0xbf, utf8Tail2)
	set(utf8AfterE0, 0xa0, 0xbf, utf8Tail1)
	set(utf8AfterED, 0x80, 0x9f, utf8Tail1)
	set(utf8AfterF0, 0x90, 0xbf, utf8Tail2)
	set(utf8AfterF4, 0x80, 0x8f, utf8Tail2)
	return t
}()

// feed takes the next bytes and reports whether the text can still be UTF-8.
func (s *utf8State) feed(p []byte) bool {
	const high = 0x80808080_80808080
	st := *s
	for len(p) > 0 {
		if st == utf8Start {
			for len(p) >= 8 && binary.LittleEndian.Uint64(p)&high == 0 { // eight ASCII bytes
				p = p[8:]
			}
		}
		// Whatever stopped the fast path is within these eight bytes.
		n := min(8, len(p))
		for _, c := range p[:n] {
			st = utf8Next[st][c]
		}
		if st == utf8Bad {
			*s = st
			return false
		}
		p = p[n:]
	}
	*s = st
	return st != utf8Bad
}

// complete reports whether the text ends here with no character cut.
func (s utf8State) complete() bool { return s == utf8Start }
