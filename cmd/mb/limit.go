package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"mbserver/cmd/mb/human"
)

// unit is how a limit is written, and how monitoring systems are told a figure.
type unit struct {
	suffix string // in the data: the plugin's unit of measurement
	factor float64
	parse  func(string) (float64, error)
	write  func(float64) string
}

var (
	plain   = unit{"", 1, parseNumber, human.Count}
	seconds = unit{"s", 1, func(s string) (float64, error) {
		d, err := time.ParseDuration(s)
		return d.Seconds(), err
	}, func(v float64) string { return human.Latency(time.Duration(v * float64(time.Second))) }}
	size = unit{"B", 1, func(s string) (float64, error) {
		v, err := humanize.ParseBytes(s)
		return float64(v), err
	}, human.Bytes}
	percent = unit{"%", 100, func(s string) (float64, error) {
		v, err := parseNumber(strings.TrimSuffix(s, "%"))
		return v / 100, err
	}, human.Percent}
)

func parseNumber(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && math.IsNaN(v) {
		err = errors.New("not a number")
	}
	return v, err
}

// limit is WARNING,CRITICAL, each a number above which the state holds, or nothing. A pflag.Value.
type limit struct {
	unit              unit
	text              string
	warning, critical *float64
}

// String is what was given.
func (l *limit) String() string { return l.text }

// Type is the word for the value in the help.
func (l *limit) Type() string { return "limit" }

// Set parses what was given.
func (l *limit) Set(text string) error {
	warning, critical, _ := strings.Cut(text, ",")
	if warning == "" && critical == "" {
		return errors.New("WARNING,CRITICAL, at least one of them")
	}
	l.text = text
	for _, part := range []struct {
		text string
		to   **float64
	}{{warning, &l.warning}, {critical, &l.critical}} {
		*part.to = nil
		if part.text == "" {
			continue
		}
		v, err := l.unit.parse(strings.TrimSpace(part.text))
		if err != nil || v < 0 {
			return errors.New("WARNING,CRITICAL such as " + l.unit.example())
		}
		*part.to = &v
	}
	if l.warning != nil && l.critical != nil && *l.warning > *l.critical {
		return errors.New("WARNING,CRITICAL with the warning not above the critical")
	}
	return nil
}

func (u *unit) example() string {
	return map[string]string{
		"": "100,1000", "s": "50ms,500ms", "B": "256MiB,1GiB", "%": "60%,80%",
	}[u.suffix]
}

func (l *limit) given() bool { return l.warning != nil || l.critical != nil }

// state is that of a figure, and the limit it is above.
func (l *limit) state(v float64) (state int, above float64) {
	switch {
	case l.critical != nil && v > *l.critical:
		return stateCritical, *l.critical
	case l.warning != nil && v > *l.warning:
		return stateWarning, *l.warning
	}
	return stateOK, 0
}

// data is a figure as plugins write it: value and unit, the limits, and the least.
func (l *limit) data(v float64) string {
	number := func(p *float64) string {
		if p == nil {
			return ""
		}
		return strconv.FormatFloat(math.Round(*p*l.unit.factor*1e6)/1e6, 'f', -1, 64)
	}
	return number(&v) + l.unit.suffix + ";" + number(l.warning) + ";" + number(l.critical) + ";0"
}
