package config

import (
	"errors"
	"strings"
)

// Bounds of a subscription pattern (protocol §2, §3).
const (
	maxPatternBytes  = 255
	maxPatternLevels = 5
)

// canonicalPattern checks a subscription pattern by protocol §3 and returns it in lower case.
func canonicalPattern(s string) (string, error) {
	if s == "" {
		return "", errors.New("empty")
	}
	if len(s) > maxPatternBytes {
		return "", errors.New("longer than 255 bytes")
	}
	levels := strings.Split(s, ".")
	if len(levels) > maxPatternLevels {
		return "", errors.New("more than five levels")
	}
	for i, level := range levels {
		switch {
		case level == "+":
		case level == "#":
			if i != len(levels)-1 {
				return "", errors.New("# stands before the last level")
			}
		case !plainLevel(level):
			return "", errors.New("a level is a letter followed by letters and digits, " +
				"or +, or (the last) #")
		}
	}
	return strings.ToLower(s), nil
}

// plainLevel reports whether a level is a letter followed by letters and digits, all ASCII.
func plainLevel(level string) bool {
	for i := range len(level) {
		c := level[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return level != ""
}
