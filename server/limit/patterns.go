package limit

import (
	"fmt"
	"slices"
	"strings"

	"mbserver/topic"
)

// Patterns is the table of rates by topic pattern, protocol §9 rate.limit.topic.per.service: each
// rate is that of one service on all matching topics together, so a service has one Local per
// index. Immutable; any goroutine.
type Patterns struct {
	rows []patternRate // by pattern, ascending
}

type patternRate struct {
	pattern topic.Pattern
	rate    Rate
}

// NewPatterns checks the table: from topic pattern to messages per second. A rate of 0 is no limit,
// its pattern is left out. Patterns may come in any case; the error names one that is malformed,
// given twice, or negative.
func NewPatterns(m map[string]int) (*Patterns, error) {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys) // the same error each time
	p := &Patterns{rows: make([]patternRate, 0, len(m))}
	seen := make(map[string]string, len(m))
	for _, key := range keys {
		pattern, err := topic.ParsePattern(key)
		if err != nil {
			return nil, fmt.Errorf("rate limit for %q: %w", key, err)
		}
		if first, twice := seen[pattern.String()]; twice {
			return nil, fmt.Errorf("rate limit for %q: %q is the same pattern", key, first)
		}
		seen[pattern.String()] = key
		if m[key] < 0 {
			return nil, fmt.Errorf("rate limit for %q: %d messages per second is less than 0",
				key, m[key])
		}
		if rate := PerSecond(m[key]); !rate.Off() {
			p.rows = append(p.rows, patternRate{pattern, rate})
		}
	}
	slices.SortFunc(p.rows, func(a, b patternRate) int {
		return strings.Compare(a.pattern.String(), b.pattern.String())
	})
	return p, nil
}

// Len returns the number of patterns; they have the indexes 0 … Len()-1 in ascending order.
func (p *Patterns) Len() int { return len(p.rows) }

// Rate returns the rate of pattern i, which is never off.
func (p *Patterns) Rate(i int) Rate { return p.rows[i].rate }

// Pattern returns pattern i in canonical form.
func (p *Patterns) Pattern(i int) string { return p.rows[i].pattern.String() }

// Matching returns the indexes of the patterns that match a canonical name, ascending; nil when
// none does. It looks at every pattern: the caller keeps the result with what the gate remembers of
// the topic.
func (p *Patterns) Matching(name []byte) []int {
	var matching []int
	for i := range p.rows {
		if p.rows[i].pattern.Matches(name) {
			matching = append(matching, i)
		}
	}
	return matching
}
