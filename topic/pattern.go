package topic

import (
	"bytes"
	"strings"
)

// systemLevel is the first level of the broker's own topics,
// which no wildcard matches (protocol §3).
const systemLevel = "system"

// Pattern is a subscription pattern in canonical form (protocol §3). It is immutable; two patterns
// are the same when their String is. The zero value matches nothing. Any goroutine.
type Pattern struct {
	text   string
	wild   bool
	system bool
}

// ParsePattern checks that s is a pattern of at most five levels and 255 bytes and returns it in
// canonical form. The error is a sentence naming the fault. A pattern such as "system.#" is well
// formed, though it matches nothing: whoever subscribes for a client refuses it. The result never
// aliases s.
func ParsePattern(s string) (Pattern, error) {
	wild, err := check(s, true)
	if err != nil {
		return Pattern{}, err
	}
	text := canonical(s)
	first, _, _ := strings.Cut(text, ".")
	return Pattern{text: text, wild: wild, system: first == systemLevel}, nil
}

// String returns the canonical form.
func (p Pattern) String() string { return p.text }

// Wild tells whether a level is a wildcard.
func (p Pattern) Wild() bool { return p.wild }

// System tells whether the first level is literally "system".
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

// IsSystem tells whether the first level of a canonical name is "system".
func IsSystem(name []byte) bool {
	const n = len(systemLevel)
	return len(name) >= n && string(name[:n]) == systemLevel && (len(name) == n || name[n] == '.')
}

// fits is Matches for a pattern and a name that are not of the system, as bytes.
func fits(pattern, name []byte) bool {
	i, j := 0, 0
	for i < len(pattern) && pattern[i] != '#' {
		if pattern[i] == '+' {
			for i++; j < len(name) && name[j] != '.'; j++ {
			}
		} else {
			for i < len(pattern) && pattern[i] != '.' && j < len(name) && name[j] == pattern[i] {
				i, j = i+1, j+1
			}
		}
		// Both stand at the end of a level now, or they differ.
		if i == len(pattern) {
			return j == len(name)
		}
		if pattern[i] != '.' || j < len(name) && name[j] != '.' {
			return false
		}
		i, j = i+1, j+1
		if j > len(name) {
			return i < len(pattern) && pattern[i] == '#'
		}
	}
	return i < len(pattern)
}
