package client

import "strings"

// maxTopic is the longest topic, in bytes (protocol §2).
const maxTopic = 255

// validTopic reports whether s is a topic: 1–5 levels of a letter followed by
// letters and digits (protocol §2).
func validTopic(s string) bool {
	if len(s) == 0 || len(s) > maxTopic {
		return false
	}
	levels, start := 1, true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			start = false
		case start:
			return false
		case c >= '0' && c <= '9':
		case c == '.':
			levels++
			start = true
		default:
			return false
		}
	}
	return !start && levels <= 5
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

// systemTopic reports whether the first level is literally "system".
func systemTopic[T string | []byte](s T) bool {
	if len(s) < 6 || len(s) > 6 && s[6] != '.' {
		return false
	}
	for i := range 6 {
		if s[i]|0x20 != "system"[i] {
			return false
		}
	}
	return true
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
