package topic

import (
	"fmt"
	"strings"
)

// Limits of the grammar (protocol §2).
const (
	MaxLevels = 5   // levels in a name or pattern
	MaxLength = 255 // bytes in a name or pattern
)

// lower maps A–Z to a–z and every other byte to itself.
var lower = func() (table [256]byte) {
	for i := range table {
		table[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			table[i] += 'a' - 'A'
		}
	}
	return table
}()

// Lower appends the canonical form of name (ASCII lower case) to dst and returns the extended
// slice. It checks nothing and allocates only when dst has no room. Any goroutine.
func Lower(dst, name []byte) []byte {
	for _, c := range name {
		dst = append(dst, lower[c])
	}
	return dst
}

// ParseName checks that s is a topic name without wildcards (protocol §2) and returns its
// canonical form. The error is a sentence naming the fault. The result never aliases s. Any
// goroutine.
func ParseName(s string) (string, error) {
	if _, err := check(s, false); err != nil {
		return "", err
	}
	return canonical(s), nil
}

// canonical returns s in lower case in memory of its own,
// so that a short name never keeps a long message alive.
func canonical(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		b.WriteByte(lower[s[i]])
	}
	return b.String()
}

// check validates the levels of s; wildcards says whether "+" and "#" may stand for levels. It
// returns whether one did.
func check(s string, wildcards bool) (wild bool, err error) {
	noun := "topic"
	if wildcards {
		noun = "pattern"
	}
	switch {
	case s == "":
		return false, fmt.Errorf("the %s is empty", noun)
	case len(s) > MaxLength:
		return false, fmt.Errorf("the %s has %d bytes, at most %d are allowed",
			noun, len(s), MaxLength)
	}
	rest, more := s, true
	for number := 1; more; number++ {
		if number > MaxLevels {
			return false, fmt.Errorf("the %s has %d levels, at most %d are allowed",
				noun, strings.Count(s, ".")+1, MaxLevels)
		}
		var level string
		level, rest, more = strings.Cut(rest, ".")
		switch {
		case wildcards && level == "+":
			wild = true
		case wildcards && level == "#":
			// Protocol §3: "the last may be #".
			if more {
				return false, fmt.Errorf(
					"level %d of the %s is \"#\", which may only be the last level", number, noun)
			}
			wild = true
		default:
			if fault := levelFault(level); fault != "" {
				return false, fmt.Errorf("level %d of the %s %s", number, noun, fault)
			}
		}
	}
	return wild, nil
}

// levelFault says what is wrong with a literal level: "a level is a letter followed by letters and
// digits" (protocol §2). It is empty when nothing is.
func levelFault(level string) string {
	if level == "" {
		return "is empty"
	}
	if !isLetter(level[0]) {
		return fmt.Sprintf("begins with %q, a level begins with a letter", level[:1])
	}
	for i := 1; i < len(level); i++ {
		if c := level[i]; !isLetter(c) && (c < '0' || c > '9') {
			return fmt.Sprintf("holds %q, only letters and digits are allowed", level[i:i+1])
		}
	}
	return ""
}

func isLetter(c byte) bool {
	c = lower[c]
	return 'a' <= c && c <= 'z'
}
