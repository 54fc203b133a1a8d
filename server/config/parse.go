package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Parsed values travel between sources as one of: int64 (kindInt, kindBytes), time.Duration, bool,
// string (kindString, kindEnum), slog.Level, map[string]int64 (kindRates), []string (kindList),
// ProxyProtocol (kindEach) and tree (kindTree). They are within the key's range.

// parseText reads a value written as text: environment, flag, default, or one value of the file. So
// a number means the same wherever it stands.
func (k *Key) parseText(s string) (any, error) {
	switch k.kind {
	case kindString:
		return s, nil
	case kindRates:
		return k.parseRatesText(s)
	case kindList:
		return k.parseListText(s)
	case kindEach:
		return k.parseEachText(s)
	case kindTree:
		return k.parseTreeText(s)
	}
	s = strings.TrimSpace(s)
	switch k.kind {
	case kindInt:
		n, err := wholeNumber(s)
		if err != nil {
			return nil, err
		}
		return k.inRange(n)
	case kindBytes:
		return k.parseBytes(s)
	case kindMillis, kindSecond:
		if slices.Contains(k.values, strings.ToLower(s)) {
			return Auto, nil
		}
		if n, err := wholeNumber(s); err == nil || errors.Is(err, errTooLarge) {
			return k.duration(n, err)
		}
		return k.parseDuration(s)
	case kindBool:
		switch strings.ToLower(s) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
		return nil, errors.New("must be true or false")
	default:
		return k.parseWord(s)
	}
}

// parseNode reads a value of the file. Quotes make no difference, but where text is expected:
// there a number or a switch without them is a wrong type.
func (k *Key) parseNode(n *yaml.Node) (any, error) {
	switch k.kind {
	case kindRates:
		return k.parseRates(n)
	case kindList:
		return k.parseList(n)
	case kindEach:
		return k.parseEach(n)
	case kindTree:
		return k.parseTree(n)
	}
	if n.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("must be %s, and is %s", k.expects(), describe(n))
	}
	if k.kind == kindString && n.ShortTag() != "!!str" {
		return nil, errors.New("must be text: write it in quotes")
	}
	return k.parseText(n.Value)
}

// expects says what a value of the key is.
func (k *Key) expects() string {
	switch k.kind {
	case kindInt:
		return "a whole number"
	case kindBytes:
		return "a number of bytes"
	case kindMillis, kindSecond:
		return "a time"
	case kindBool:
		return "true or false"
	case kindString:
		return "text"
	}
	return "a word"
}

var errTooLarge = errors.New("too large")

// wholeNumber reads a decimal number, of which leading zeros are no part. Templates write whole
// ones with a fraction or an exponent too.
func wholeNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		if err != nil {
			err = errTooLarge
		}
		return n, err
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Trim(s, "+-.0123456789eE") != "" || f != math.Trunc(f) {
		return 0, errors.New("must be a whole number, in decimal digits")
	}
	if math.Abs(f) >= 1<<53 {
		return 0, errTooLarge
	}
	return int64(f), nil
}

// inRange checks a count or a number of bytes.
func (k *Key) inRange(n int64) (any, error) {
	if n < k.min || n > k.max {
		return nil, fmt.Errorf("must be %s", k.Range())
	}
	return n, nil
}

// duration makes a duration of a plain number of the key's unit, that was read with err.
func (k *Key) duration(n int64, err error) (any, error) {
	if err != nil || n < k.min || n > k.max {
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
	if d == Auto && len(k.values) > 0 {
		return nil
	}
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
	n, err := wholeNumber(digits)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, err
	case err != nil:
		return nil, errors.New("not a number of bytes: write 65536 or 64KiB " +
			"(B, KB, MB, GB, KiB, MiB, GiB)")
	}
	if n > math.MaxInt64/factor || n < math.MinInt64/factor {
		return nil, errTooLarge
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
	n, err := parseDocument([]byte(s))
	if err != nil || n == nil || n.Kind != yaml.MappingNode {
		return nil, errors.New(
			`must be a JSON object of topic patterns to numbers, as in {"orders.#":100}`)
	}
	return k.parseRates(n)
}

// parseRates checks the patterns and brings them to their canonical form.
func (k *Key) parseRates(m *yaml.Node) (any, error) {
	if m.Kind != yaml.MappingNode {
		return nil, errors.New("must be a map of topic patterns to numbers")
	}
	out := make(map[string]int64)
	for i := 0; i+1 < len(m.Content); i += 2 {
		pattern, value := m.Content[i].Value, resolve(m.Content[i+1])
		n, err := int64(0), errors.New("must be a whole number")
		if value.Kind == yaml.ScalarNode {
			n, err = wholeNumber(strings.TrimSpace(value.Value))
		}
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %s: %w", pattern, describe(value), err)
		}
		if err := k.addRate(out, pattern, n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// addRate adds one pattern and its rate.
func (k *Key) addRate(to map[string]int64, pattern string, n int64) error {
	canonical, err := canonicalPattern(pattern)
	if err == nil {
		_, err = k.inRange(n)
	}
	if _, twice := to[canonical]; err == nil && twice {
		err = errors.New("is there twice (letter case does not count)")
	}
	if err != nil {
		return fmt.Errorf("pattern %q: %w", pattern, err)
	}
	to[canonical] = n
	return nil
}

// Range says in words which numbers the key takes, "" when it takes no numbers.
func (k *Key) Range() string {
	switch {
	case k.max == 0:
		return ""
	case k.max == math.MaxInt64:
		return fmt.Sprintf("at least %d", k.min)
	}
	r := fmt.Sprintf("%d to %d", k.min, k.max)
	if k.kind == kindMillis && len(k.values) > 0 {
		r = k.values[0] + ", or " + r
	}
	return r
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
	case *[]string:
		*p = v.([]string)
	case *[]netip.Prefix:
		*p = prefixes(v.([]string))
	case *ProxyProtocol:
		*p = v.(ProxyProtocol)
	case tree:
		plant(p, v.(tree))
	default:
		panic(fmt.Sprintf("config: %s has a field of an unknown type %T", k.Name, p))
	}
}
