package permit

import (
	"errors"
	"fmt"
	"strings"

	"mbserver/topic"
)

// Identity, as a level of a role's pattern, stands for the identity of who is asked about, in lower
// case.
const Identity = "{identity}"

// list is the patterns of one verb of one role, canonical, each followed by a newline. As one text
// a pattern costs its own length and no more: a node may have millions.
type list string

// next returns the first pattern and those after it.
func (l list) next() (pattern string, rest list) {
	end := strings.IndexByte(string(l), '\n')
	return string(l[:end]), l[end+1:]
}

// parseList checks patterns and returns them as a list. The error names one that is wrong.
func parseList(patterns []string) (list, error) {
	if len(patterns) > maxPatterns {
		return "", fmt.Errorf("%d patterns, at most %d are allowed", len(patterns), maxPatterns)
	}
	var b strings.Builder
	size := 0
	for _, text := range patterns {
		size += len(text) + 1
	}
	b.Grow(size)
	for _, text := range patterns {
		canonical, err := parsePattern(text)
		if err != nil {
			return "", fmt.Errorf("%q: %w", text, err)
		}
		b.WriteString(canonical)
		b.WriteByte('\n')
	}
	return list(b.String()), nil
}

// maxPatterns is how many patterns a list may have (protocol §10).
const maxPatterns = 256

// errSystem refuses a pattern that no message of a user matches.
var errSystem = errors.New("system topics are permitted by the words of system, not by patterns")

// parsePattern checks a role's pattern and returns it in canonical form.
func parsePattern(text string) (string, error) {
	levels := strings.Split(strings.ToLower(text), ".")
	for i, level := range levels {
		if level == Identity {
			levels[i] = "identity" // a level like any other, to the grammar
		}
	}
	plain, err := topic.ParsePattern(strings.Join(levels, "."))
	if err != nil {
		return "", err
	}
	if plain.System() {
		return "", errSystem
	}
	return strings.ToLower(text), nil
}

// shape is a pattern's levels: those that are fixed, each a literal or "+", and whether any number
// of levels may follow.
type shape struct {
	levels [topic.MaxLevels]string
	fixed  int
	open   bool
}

// shapeOf takes a canonical pattern apart. identity stands for Identity; when that is "" a pattern
// that names it matches nothing, and ok is false.
func shapeOf(pattern, identity string) (s shape, ok bool) {
	for more := true; more; {
		var level string
		level, pattern, more = strings.Cut(pattern, ".")
		switch {
		case level == "#":
			s.open = true
			return s, true
		case level == Identity && identity == "":
			return s, false
		case level == Identity:
			level = identity
		}
		s.levels[s.fixed] = level
		s.fixed++
	}
	return s, true
}

// lengths returns how many levels the topics may have that s matches: least to most.
func (s *shape) lengths() (least, most int) {
	least, most = max(s.fixed, 1), s.fixed
	if s.open {
		most = topic.MaxLevels
	}
	if s.fixed > 0 && s.levels[0] == "system" {
		most = min(most, 1) // the rest are the node's own, which no user's message has
	}
	return least, most
}

// has says whether s matches topics of n levels.
func (s *shape) has(n int) bool {
	least, most := s.lengths()
	return least <= n && n <= most
}

// at returns level i, "+" for one that may be any.
func (s *shape) at(i int) string {
	if i < s.fixed {
		return s.levels[i]
	}
	return "+"
}

// covers says whether s matches every topic of n levels that p matches. Both have some.
func (s *shape) covers(p *shape, n int) bool {
	for i := range n {
		if have := s.at(i); have != "+" && have != p.at(i) {
			return false
		}
	}
	return true
}

// meets says whether s and p both match some topic of n levels. Both have some.
func (s *shape) meets(p *shape, n int) bool {
	for i := range n {
		if a, b := s.at(i), p.at(i); a != b && a != "+" && b != "+" {
			return false
		}
	}
	return true
}
