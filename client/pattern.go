package client

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxTopic is the longest topic, in bytes (protocol §2).
const maxTopic = 255

// topicFault says which rule of protocol §2 s breaks as a topic: 1–5 levels of
// a letter followed by letters and digits; "" when none.
func topicFault(s string) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > maxTopic:
		return fmt.Sprintf("it has %d bytes, at most %d are allowed", len(s), maxTopic)
	}
	levels, start := 1, true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			start = false
		case c == '.' && !start:
			levels++
			start = true
		case c >= '0' && c <= '9' && !start:
		case c == '.':
			return fmt.Sprintf("level %d is empty", levels)
		case c == '+' || c == '#':
			return "wildcards are for subscriptions"
		default:
			return levelFault(levels, start, s[i:])
		}
	}
	switch {
	case start:
		return fmt.Sprintf("level %d is empty", levels)
	case levels > 5:
		return fmt.Sprintf("it has %d levels, at most 5 are allowed", levels)
	}
	return ""
}

func levelFault(level int, start bool, rest string) string {
	r, _ := utf8.DecodeRuneInString(rest)
	if start {
		return fmt.Sprintf("level %d begins with %q, not with a letter", level, r)
	}
	return fmt.Sprintf("level %d contains %q, only letters and digits are allowed", level, r)
}

// validVersion reports whether s is MAJOR.MINOR.PATCH (protocol §2).
func validVersion(s string) bool {
	parts := strings.Split(s, ".")
	if len(s) > 20 || len(parts) != 3 {
		return false
	}
	for _, p := range parts {
		if p == "" || len(p) > 1 && p[0] == '0' || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return true
}

// systemTopic reports whether a topic is of the broker's own: more than one
// level, the first is "system". "system" alone is a user topic (protocol §2).
func systemTopic[T string | []byte](s T) bool {
	const prefix = "system."
	return len(s) > len(prefix) && strings.EqualFold(string(s[:len(prefix)]), prefix)
}

// matches reports whether the pattern (canonical, protocol §3) takes the name,
// in any case. System topics are matched by exact name only.
func matches(pattern, name string) bool {
	if systemTopic(name) {
		return strings.EqualFold(pattern, name)
	}
	for {
		level, rest, more := strings.Cut(pattern, ".")
		if level == "#" {
			return true
		}
		have, after, deeper := strings.Cut(name, ".")
		if level != "+" && !strings.EqualFold(level, have) {
			return false
		}
		switch {
		case !more && !deeper:
			return true
		case more && !deeper:
			return rest == "#"
		case !more:
			return false
		}
		pattern, name = rest, after
	}
}
