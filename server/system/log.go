package system

import (
	"encoding/json"
	"fmt"
	"regexp"
	"regexp/syntax"
)

// Bounds of the expression of a log subscription (protocol §8). They bound what it takes to compile
// it, what it makes the node hold, and what a line costs.
const (
	logRegexMax      = 1 << 10 // bytes
	logProgramMax    = 2000    // instructions
	logRegexOverhead = 1 << 10 // bytes that a compiled expression takes beside its program
	instructionBytes = 80      // that an instruction takes beside the ranges of a class
)

// subscribeLog makes the service get log lines, in place of those it asked for before.
func (c *call) subscribeLog() *Error {
	f := *defaultLogFilter
	if raw, ok := c.fields["levels"]; ok {
		levels, err := parseLogLevels(raw)
		if err != nil {
			return err
		}
		f.levels = levels
	}
	pattern, given, err := c.text("regex")
	if err != nil {
		return err
	}
	if len(pattern) > logRegexMax {
		return invalid("regex", fmt.Sprintf("must be at most %d bytes", logRegexMax))
	}
	change := c.BeginFilter()
	if !given {
		if err := c.FilterLog(&f, change); err != nil {
			return err
		}
		return c.success()
	}
	// A thousand bytes can take a hundred milliseconds to parse ("(?i)" and large classes).
	return c.InBackground(func() func(Caller) *Error {
		err := f.compile(pattern)
		return func(c Caller) *Error {
			if err == nil {
				err = c.FilterLog(&f, change)
			}
			if err == nil {
				c.Answer(statusSuccess)
			}
			return err
		}
	})
}

// compile gives f an expression on the message.
func (f *LogFilter) compile(pattern string) *Error {
	tree, bad := syntax.Parse(pattern, syntax.Perl)
	if bad != nil {
		return invalid("regex", "must be an RE2 expression: "+bad.Error())
	}
	tooLarge := invalid("regex",
		fmt.Sprintf("must compile to at most %d instructions", logProgramMax))
	if instructions(tree) > logProgramMax {
		return tooLarge // before it is written out
	}
	program, bad := syntax.Compile(tree.Simplify())
	if bad != nil {
		return invalid("regex", "must be an RE2 expression: "+bad.Error())
	}
	if len(program.Inst) > logProgramMax {
		return tooLarge
	}
	f.regex = regexp.MustCompile(pattern)
	f.size = logRegexOverhead + len(pattern)
	for i := range program.Inst {
		f.size += instructionBytes + 4*len(program.Inst[i].Rune)
	}
	return nil
}

// instructions is about how many a parsed expression compiles to, never many more than it does.
func instructions(re *syntax.Regexp) int {
	n := 1
	switch re.Op {
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpConcat, syntax.OpEmptyMatch:
		n = 0
	}
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	if re.Op == syntax.OpRepeat {
		n = (n - 1) * max(re.Min, re.Max, 1) // at most 1000, nested ones together
	}
	return n
}

// parseLogLevels returns the set of the levels named; no name at all is the empty set.
func parseLogLevels(raw json.RawMessage) (levelSet, *Error) {
	wrong := invalid("levels", "must be a list of debug, info, warn and error")
	var names []*string // null is no name
	if !decode(raw, &names) {
		return 0, wrong
	}
	var set levelSet
names:
	for _, name := range names {
		for i := range logLevels {
			if name != nil && *name == logLevels[i].name {
				set |= setOf(i)
				continue names
			}
		}
		return 0, wrong
	}
	return set, nil
}

// unsubscribeLog ends what subscribeLog began; a subscription to the topic itself stays.
func (c *call) unsubscribeLog() *Error {
	if err := c.FilterLog(nil, c.BeginFilter()); err != nil {
		return err
	}
	return c.success()
}
