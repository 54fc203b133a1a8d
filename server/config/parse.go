package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parsed values travel between sources as one of: int64 (kindInt, kindBytes), time.Duration, bool,
// string (kindString, kindEnum), slog.Level and map[string]int64 (kindRates). They are within the
// key's range.

// parseText reads a value written as text: environment, flag or default.
func (k *Key) parseText(s string) (any, error) {
	switch k.kind {
	case kindString:
		return s, nil
	case kindRates:
		return k.parseRatesText(s)
	}
	s = strings.TrimSpace(s)
	switch k.kind {
	case kindInt:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, errors.New("not a whole number")
		}
		return k.inRange(n)
	case kindBytes:
		return k.parseBytes(s)
	case kindMillis, kindSecond:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return k.duration(n)
		}
		return k.parseDuration(s)
	case kindBool:
		switch strings.ToLower(s) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
		return nil, errors.New("not true or false")
	default:
		return k.parseWord(s)
	}
}

// parseYAML reads a value as the YAML decoder gives it. Numbers must be numbers there: a quoted one
// is a wrong type, but byte counts and durations may be text with a unit.
func (k *Key) parseYAML(v any) (any, error) {
	switch k.kind {
	case kindRates:
		m, ok := v.(map[string]any)
		if !ok {
			return nil, errors.New("must be a map of topic patterns to numbers")
		}
		return k.parseRates(m)
	case kindBool:
		if b, ok := v.(bool); ok {
			return b, nil
		}
		return nil, errors.New("must be true or false")
	case kindString, kindEnum, kindLevel:
		if s, ok := v.(string); ok {
			return k.parseText(s)
		}
		if b, ok := v.(bool); ok && !b && slices.Contains(k.values, BackpressureOff) {
			return BackpressureOff, nil // YAML 1.1 readers take a bare off for false
		}
		return nil, errors.New("must be text")
	}
	if s, ok := v.(string); ok && k.kind != kindInt {
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return nil, errors.New("must be a number, not text")
		}
		return k.parseText(s)
	}
	n, err := wholeNumber(v)
	if err != nil {
		return nil, err
	}
	if k.kind == kindMillis || k.kind == kindSecond {
		return k.duration(n)
	}
	return k.inRange(n)
}

// wholeNumber takes what YAML or JSON made of a number.
func wholeNumber(v any) (int64, error) {
	switch n := v.(type) {
	case int:
		return int64(n), nil
	case int64:
		return n, nil
	case uint64:
		if n <= math.MaxInt64 {
			return int64(n), nil
		}
		return 0, errors.New("too large")
	case float64:
		if n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int64(n), nil
		}
		return 0, errors.New("not a whole number")
	}
	return 0, errors.New("must be a number")
}

// inRange checks a count or a number of bytes.
func (k *Key) inRange(n int64) (any, error) {
	if n < k.min || n > k.max {
		return nil, fmt.Errorf("must be %s", k.Range())
	}
	return n, nil
}

// duration makes a duration of a plain number of the key's unit.
func (k *Key) duration(n int64) (any, error) {
	if n < k.min || n > k.max {
		return nil, fmt.Errorf("must be %s", k.Range())
	}
	return time.Duration(n) * k.unit(), nil
}

// parseDuration reads a Go duration.
func (k *Key) parseDuration(s string) (any, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil, fmt.Errorf(
			"not a duration: write a whole number of %s, or a unit as in 1m30s", k.Unit)
	}
	if err := k.checkDuration(d); err != nil {
		return nil, err
	}
	return d, nil
}

// checkDuration holds a duration to the key's range and to whole milliseconds, the resolution of
// the node's timers.
func (k *Key) checkDuration(d time.Duration) error {
	if d%time.Millisecond != 0 {
		return errors.New("finer than a millisecond")
	}
	if d < time.Duration(k.min)*k.unit() || d > time.Duration(k.max)*k.unit() {
		return fmt.Errorf("must be %s", k.Range())
	}
	return nil
}

// byteUnits are tried in this order: the longer suffixes first.
var byteUnits = []struct {
	suffix string
	factor int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"b", 1},
}

// parseBytes reads a number of bytes with an optional unit, of either case.
func (k *Key) parseBytes(s string) (any, error) {
	digits, factor := strings.ToLower(s), int64(1)
	for _, u := range byteUnits {
		if d, ok := strings.CutSuffix(digits, u.suffix); ok {
			digits, factor = strings.TrimSpace(d), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return nil, errors.New("not a number of bytes: write 65536 or 64KiB " +
			"(B, KB, MB, GB, KiB, MiB, GiB)")
	}
	if n > math.MaxInt64/factor || n < math.MinInt64/factor {
		return nil, errors.New("too large")
	}
	return k.inRange(n * factor)
}

// parseWord reads one of the key's words, in any case.
func (k *Key) parseWord(s string) (any, error) {
	word := strings.ToLower(s)
	if !slices.Contains(k.values, word) {
		return nil, fmt.Errorf("must be one of %s", strings.Join(k.values, ", "))
	}
	if k.kind != kindLevel {
		return word, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(word)); err != nil {
		return nil, err
	}
	return level, nil
}

// parseRatesText reads the whole map from a JSON object: {"orders.#":100}.
func (k *Key) parseRatesText(s string) (any, error) {
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		return nil, errors.New(
			`must be a JSON object of topic patterns to numbers, as in {"orders.#":100}`)
	}
	return k.parseRates(m)
}

// parseRates checks the patterns and brings them to their canonical form.
func (k *Key) parseRates(m map[string]any) (any, error) {
	out := make(map[string]int64, len(m))
	for pattern, v := range m {
		canonical, err := canonicalPattern(pattern)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		if _, twice := out[canonical]; twice {
			return nil, fmt.Errorf("pattern %q is there twice (letter case does not count)",
				pattern)
		}
		n, err := wholeNumber(v)
		if err == nil {
			_, err = k.inRange(n)
		}
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %v: %w", pattern, v, err)
		}
		out[canonical] = n
	}
	return out, nil
}

// Range says in words which numbers the key takes, "" when it takes no numbers.
func (k *Key) Range() string {
	switch {
	case k.max == 0:
		return ""
	case k.max == math.MaxInt64:
		return fmt.Sprintf("at least %d", k.min)
	}
	return fmt.Sprintf("%d to %d", k.min, k.max)
}

// assign stores a parsed value in its field.
func (k *Key) assign(c *Config, v any) {
	switch p := k.at(c).(type) {
	case *int:
		*p = int(v.(int64))
	case *int64:
		*p = v.(int64)
	case *bool:
		*p = v.(bool)
	case *string:
		*p = v.(string)
	case *time.Duration:
		*p = v.(time.Duration)
	case *slog.Level:
		*p = v.(slog.Level)
	case *map[string]int:
		m := make(map[string]int)
		for pattern, n := range v.(map[string]int64) {
			m[pattern] = int(n)
		}
		*p = m
	default:
		panic(fmt.Sprintf("config: %s has a field of an unknown type %T", k.Name, p))
	}
}
