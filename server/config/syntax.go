package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// syntaxError is why a text is no YAML, in words of this project.
type syntaxError struct {
	line   int // from 1; 0: unknown
	reason string
}

func (e *syntaxError) Error() string { return e.reason }

// syntaxReasons are sentences for what the parser says, by a part of that, the first that fits.
var syntaxReasons = []struct {
	part, says string
	opened     bool // where that begins of which something is missing helps
}{
	{part: "tab", says: tabReason},
	{part: "mapping values are not allowed", says: "a colon where no key can stand: " +
		"is the value to be quoted, or the line to be indented otherwise?"},
	{part: "<document start>", says: "this does not belong to what stands above it: " +
		"the keys of one map are all indented alike, and nothing follows a closing bracket"},
	{part: "expected key", says: "a key is expected here, indented like those above it"},
	{part: "expected ',' or '}'", says: "missing: a comma, or the closing }", opened: true},
	{part: "expected ',' or ']'", says: "missing: a comma, or the closing ]", opened: true},
	{part: "expected ':'", says: "missing: the colon, with a space behind it,", opened: true},
	{part: "expected '-'", says: "another - is expected here, indented like those above it"},
	{part: "node content", says: "a value is missing"},
	{part: "cannot start any token", says: "no value can begin with this character: quote it"},
	{part: "end of stream", says: "missing: the closing quote", opened: true},
	{part: "escape", says: "an escape that does not exist, in double quotes: " +
		"use single ones, or \\\\"},
	{part: "without preceding whitespace", says: "a space is missing before the #"},
	{part: "unknown anchor", says: "an alias (*) of something that is not there: quote the value"},
	{part: "already defined", says: "this key stands here a second time"},
	{part: "UTF-8", says: "not UTF-8"},
	{part: "control characters", says: "a control character"},
}

const tabReason = "a tab where an indentation stands: use spaces"

// explainSyntax makes a *syntaxError of what the parser says.
func explainSyntax(text []byte, err error) error {
	e := &syntaxError{reason: "not YAML"}
	var bad *yaml.LoadError
	if !errors.As(err, &bad) {
		return e
	}
	e.line = bad.Mark.Line
	if e.line == 0 && bad.Mark.Index > 0 && bad.Mark.Index < len(text) {
		e.line = 1 + bytes.Count(text[:bad.Mark.Index], []byte("\n"))
	}
	lines := bytes.Split(text, []byte("\n"))
	if n := e.line - 1; n >= 0 && n < len(lines) {
		line := lines[n]
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		if bytes.IndexByte(indent, '\t') >= 0 {
			e.reason = tabReason
			return e
		}
	}
	for _, s := range syntaxReasons {
		if !strings.Contains(bad.Message, s.part) {
			continue
		}
		e.reason = s.says
		if from := bad.ContextMark.Line; s.opened && from > 0 && from != e.line {
			e.reason += fmt.Sprintf(" of what begins in line %d", from)
		}
		return e
	}
	e.reason = "not YAML: " + bad.Message
	return e
}
