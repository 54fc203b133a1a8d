package bench

import (
	"math"
	"strconv"
	"strings"
)

// siUnits are the units of figures that take prefixes: what one of them is in which SI unit.
var siUnits = map[string]struct {
	factor float64
	unit   string
}{
	"ns": {1e-9, "s"}, "µs": {1e-6, "s"}, "ms": {1e-3, "s"}, "s": {1, "s"},
	"B": {1, "B"}, "MiB": {1 << 20, "B"}, "/s": {1, "/s"},
}

// siPrefixes from a billionth to a million millions.
var siPrefixes = []string{"n", "µ", "m", "", "k", "M", "G", "T"}

const siOne = 3 // the index of no prefix

// siOf returns what turns a figure of unit into one of the unit that takes prefixes, and that unit;
// 1 and unit when none does.
func siOf(unit string) (factor float64, si string) {
	if si, prefixed := siUnits[unit]; prefixed {
		return si.factor, si.unit
	}
	return 1, unit
}

// tickText is a quantity without digits that say nothing.
func tickText(v float64, unit string) string {
	number, rest, _ := strings.Cut(quantity(v, unit), " ")
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + " " + rest
}

// quantity is v with its unit as people read it: three digits, a prefix where the unit takes one
// (11.4 µs, 5.98 M/s, 16.1 MB). Seconds go down to billionths, bytes and rates to one.
func quantity(v float64, unit string) string {
	si, prefixed := siUnits[unit]
	if !prefixed || v == 0 {
		return threeDigits(v) + " " + plainUnit(unit)
	}
	v *= si.factor
	p := siOne
	if si.unit == "s" {
		p = 0
		v *= 1e9
	}
	for ; p < len(siPrefixes)-1 && math.Abs(v) >= 999.5; p++ {
		v /= 1000
	}
	return threeDigits(v) + " " + siPrefixes[p] + si.unit
}

// plainUnit leaves out what a unit is a part of: the heading has it.
func plainUnit(unit string) string {
	if unit == metricShareUnit {
		return "%"
	}
	return unit
}

// threeDigits has three digits that mean something, more before a point.
func threeDigits(v float64) string {
	decimals := 2
	switch a := math.Abs(v); {
	case v == 0 || a >= 99.95:
		decimals = 0
	case a >= 9.995:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
