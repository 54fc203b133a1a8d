// Package human writes numbers and times as people read them.
package human

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Count is a number with at most three digits that mean something and the SI prefix that it
// needs: 0, 12, 1.5, 12.3 k.
func Count(v float64) string { return si(v, "") }

// Rate is Count a second. Slow rates have two digits: they are made of few events.
func Rate(v float64) string {
	if math.Abs(v) < 10 {
		v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 2, 64), 64) // It was a number.
	}
	text := si(v, "/s")
	if !strings.Contains(text, " ") {
		return text + "/s"
	}
	return text
}

// Bytes is a size with a binary prefix: 512 B, 4.2 MiB.
func Bytes(v float64) string { return humanize.IBytes(uint64(max(v, 0))) }

// Percent is a fraction of 0 to 1 as a percentage.
func Percent(v float64) string { return digits(v*100) + " %" }

// Latency is a short time with an SI prefix: 213 µs, 1.2 s.
func Latency(d time.Duration) string {
	if d <= 0 {
		return "0 s"
	}
	return si(d.Seconds(), "s")
}

// Span is a long time in its two largest units: 42s, 5m 12s, 3h 5m, 12d 4h.
func Span(d time.Duration) string {
	whole := func(unit time.Duration) string { return strconv.FormatInt(int64(d/unit), 10) }
	rest := func(unit, of time.Duration) string { return strconv.FormatInt(int64(d%of/unit), 10) }
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Minute:
		return whole(time.Second) + "s"
	case d < time.Hour:
		return whole(time.Minute) + "m " + rest(time.Second, time.Minute) + "s"
	case d < day:
		return whole(time.Hour) + "h " + rest(time.Minute, time.Hour) + "m"
	}
	return whole(day) + "d " + rest(time.Hour, day) + "h"
}

// si writes v with three digits and a prefix. What is between zero and one gets one in times only.
func si(v float64, unit string) string {
	// Rounded before the prefix is chosen, so that 999.9 is 1 k and not 1000.
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64) // It was a number.
	if unit != "s" && math.Abs(v) < 1000 {
		return digits(v)
	}
	value, prefix := humanize.ComputeSI(v)
	return digits(value) + " " + prefix + unit
}

// digits has at most three digits that mean something, and no zeros behind the point.
func digits(v float64) string {
	decimals := 2
	switch a := math.Abs(v); {
	case a >= 99.95:
		decimals = 0
	case a >= 9.995:
		decimals = 1
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if text == "-0" {
		return "0" // what is left of a sum that was to be zero
	}
	return text
}
