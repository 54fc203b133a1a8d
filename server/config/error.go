package config

import (
	"fmt"
	"strings"
)

// Error is one fault of the configuration. Load and Validate return all they find, joined.
type Error struct {
	Key   string // as in the table, or as the operator wrote it when it is unknown; "": none
	Value string // as the operator wrote it
	// Source is "flag --ws-port", "environment WS_PORT", "file /etc/mb.yaml, line 3"; "" when it is
	// not one source's fault.
	Source string
	Reason string
}

// Error names key, value and source in one sentence.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Source != "" {
		b.WriteString(e.Source + ": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key)
		if e.Value != "" {
			fmt.Fprintf(&b, " = %s", e.Value)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Reason)
	return b.String()
}

// show prints a value for a message: on one line, cut when it is long, and never key material.
func show(v any) string {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "-----BEGIN") {
			return "(PEM text)"
		}
		return shorten(fmt.Sprintf("%q", withoutUser(v)))
	case map[string]int:
		return shorten(ratesText(v))
	case []string:
		return shorten(withoutUser(listText(v)))
	case ProxyProtocol:
		return shorten(eachText(v))
	}
	return shorten(fmt.Sprint(v))
}

// withoutUser hides what stands before the @ of URLs: a password, where it does not belong. The
// text may be of several, and wrong in any way.
func withoutUser(text string) string {
	end := strings.LastIndexByte(text, '@')
	if end < 0 {
		return text
	}
	scheme, _, found := strings.Cut(text[:end], "://")
	if !found {
		return "(not shown)" + text[end:]
	}
	return scheme + "://(not shown)" + text[end:]
}

// showOf is show for the text of a key.
func showOf(name, text string) string {
	if mayBeSecret(name) {
		return ""
	}
	return show(text)
}

// mayBeSecret says whether the value of a key may hold a token, where it does not belong: that of a
// key of authentication that is misspelled too.
func mayBeSecret(name string) bool {
	k := keyByName[name]
	return k != nil && k.kind == kindTree || k == nil && strings.HasPrefix(name, "auth.")
}

func shorten(s string) string {
	if len(s) > 120 {
		s = s[:117] + "..."
	}
	return s
}
