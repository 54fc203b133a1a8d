package config

import (
	"fmt"
	"strings"
)

// Error is one fault of the configuration. Load and Validate return all they find, joined.
type Error struct {
	Key   string // as in the table, or as the operator wrote it when it is unknown
	Value string // as the operator wrote it
	// Source is "flag --ws-port", "environment WS_PORT", "file /etc/mb.yaml"; "" when it is not one
	// source's fault.
	Source string
	Reason string
}

// Error names key, value and source in one sentence.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Source != "" {
		b.WriteString(e.Source + ": ")
	}
	b.WriteString(e.Key)
	if e.Value != "" {
		fmt.Fprintf(&b, " = %s", e.Value)
	}
	b.WriteString(": " + e.Reason)
	return b.String()
}

// show prints a value for a message: on one line, cut when it is long, and never key material.
func show(v any) string {
	s := fmt.Sprint(v)
	if strings.Contains(s, "-----BEGIN") {
		return "(PEM text)"
	}
	if _, text := v.(string); text {
		s = fmt.Sprintf("%q", s)
	}
	if len(s) > 120 {
		s = s[:117] + "..."
	}
	return s
}
