package system

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// logRegexMax bounds the expression of a log subscription, in bytes: it is compiled on the loop,
// and its size bounds what a line costs.
const logRegexMax = 256

// subscribeLog makes the service get log lines, in place of those it asked for before.
func (c *call) subscribeLog() *Error {
	f := *defaultLogFilter
	if raw, ok := c.fields["levels"]; ok && string(raw) != "null" {
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
	if given {
		regex, bad := regexp.Compile(pattern)
		if bad != nil {
			return invalid("regex", "must be an RE2 expression: "+bad.Error())
		}
		f.regex = regex
	}
	c.FilterLog(&f)
	return c.success()
}

// parseLogLevels returns the set of the levels named; no name at all is the empty set.
func parseLogLevels(raw json.RawMessage) (levelSet, *Error) {
	wrong := invalid("levels", "must be a list of debug, info, warn and error")
	var names []*string // null is no name
	if json.Unmarshal(raw, &names) != nil {
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
	c.FilterLog(nil)
	return c.success()
}
