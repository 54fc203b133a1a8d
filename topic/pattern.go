package topic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"strings"
)

// systemPrefix is what the broker's own topics begin with, which no wildcard matches (protocol §3).
// The one-level topic "system" is a user topic (protocol §2).
const systemPrefix = "system."

// Pattern is a subscription pattern in canonical form (protocol §3). It is immutable; two patterns
// are the same when their String is. The zero value matches nothing. Any goroutine.
type Pattern struct {
	text   string
	wild   bool
	system bool
}

// ParsePattern checks that s is a pattern of at most five levels and 255 bytes and returns it in
// canonical form. The error is a sentence naming the fault. A pattern such as "system.#" is well
// formed, though it matches no system topic: whoever subscribes for a client refuses it. The result
// never aliases s.
func ParsePattern(s string) (Pattern, error) {
	if _, err := check(s, true); err != nil {
		return Pattern{}, err
	}
	return asPattern(canonical(s)), nil
}

// ParseCanonical is ParsePattern of a text that is in canonical form, which the result keeps; any
// other is an error.
func ParseCanonical(s string) (Pattern, error) {
	if _, err := check(s, true); err != nil {
		return Pattern{}, err
	}
	for i := range len(s) {
		if lower[s[i]] != s[i] {
			return Pattern{}, errors.New("the pattern is not in lower case")
		}
	}
	return asPattern(s), nil
}

// asPattern returns the pattern with this text, which is canonical.
func asPattern(text string) Pattern {
	return Pattern{
		text: text, wild: strings.ContainsAny(text, "+#"),
		system: strings.HasPrefix(text, systemPrefix),
	}
}

// String returns the canonical form.
func (p Pattern) String() string { return p.text }

// Wild tells whether a level is a wildcard.
func (p Pattern) Wild() bool { return p.wild }

// System tells whether the first of several levels is literally "system".
func (p Pattern) System() bool { return p.system }

// Matches tells whether the pattern matches a canonical name. It compares level by level, in time
// proportional to the name's length, without allocating.
func (p Pattern) Matches(name []byte) bool {
	if !p.wild {
		return len(name) > 0 && p.text == string(name)
	}
	if IsSystem(name) || len(name) == 0 {
		return false
	}
	rest, left, more := p.text, name, true
	for {
		var want string
		var also bool
		want, rest, also = strings.Cut(rest, ".")
		if want == "#" {
			return true
		}
		if !more {
			return false
		}
		var have []byte
		have, left, more = bytes.Cut(left, dot)
		if want != "+" && want != string(have) {
			return false
		}
		if !also {
			return !more
		}
	}
}

var dot = []byte{'.'}

// IsSystem tells whether a canonical name is of the broker's own topics: more than one level, the
// first is "system".
func IsSystem(name []byte) bool {
	const n = len(systemPrefix)
	return len(name) > n && string(name[:n]) == systemPrefix
}

// fits is Matches for a pattern and a name that are not of the system, as bytes.
func fits(pattern, name []byte) bool {
	for {
		// A name holds no wildcards, so where the two differ the pattern must have one.
		same := common(pattern, name)
		pattern, name = pattern[same:], name[same:]
		switch {
		case len(pattern) == 0:
			return len(name) == 0
		case pattern[0] == '#':
			return true
		case pattern[0] != '+':
			return len(name) == 0 && string(pattern) == ".#"
		}
		level := 0
		for level < len(name) && name[level] != '.' {
			level++
		}
		pattern, name = pattern[1:], name[level:]
	}
}

// common returns the number of bytes at the beginning that are the same.
func common(a, b []byte) (same int) {
	end := min(len(a), len(b))
	for ; same+8 <= end; same += 8 {
		x := binary.LittleEndian.Uint64(a[same:]) ^ binary.LittleEndian.Uint64(b[same:])
		if x != 0 {
			return same + bits.TrailingZeros64(x)/8
		}
	}
	for same < end && a[same] == b[same] {
		same++
	}
	return same
}
