package client

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"a", "a", true}, {"a", "A", true}, {"a", "b", false}, {"a", "a.b", false},
		{"a.b", "a", false},
		{"+", "a", true}, {"+", "a.b", false}, {"a.+", "a", false}, {"a.+", "a.b", true},
		{"+.b", "x.B", true},
		{"#", "a", true}, {"#", "a.b.c.d.e", true}, {"a.#", "a", true}, {"a.#", "a.b.c", true},
		{"a.#", "b", false}, {"a.b.#", "a", false}, {"a.+.#", "a.b", true}, {"a.+.#", "a", false},
		{"#", "system.log", false}, {"+.log", "system.log", false},
		{"system.log", "System.Log", true}, {"system.#", "system.log", false},
		{"#", "systems.log", true}, {"#", "system", true}, {"+", "System", true},
		{"system", "SYSTEM", true}, {"system", "system.log", false},
	} {
		if got := matches(tc.pattern, tc.name); got != tc.want {
			t.Errorf("matches(%q, %q) = %v", tc.pattern, tc.name, got)
		}
	}
}

// naive is protocol §3 by recursion over levels.
func naive(pattern, name []string) bool {
	switch {
	case len(pattern) == 0:
		return len(name) == 0
	case pattern[0] == "#":
		return true
	case len(name) == 0:
		return false
	}
	return (pattern[0] == "+" || strings.EqualFold(pattern[0], name[0])) &&
		naive(pattern[1:], name[1:])
}

func TestMatchesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		levels := rapid.SampledFrom([]string{"a", "b", "+"})
		pattern := rapid.SliceOfN(levels, 1, 5).Draw(t, "pattern")
		if rapid.Bool().Draw(t, "hash") {
			pattern[len(pattern)-1] = "#"
		}
		names := rapid.SampledFrom([]string{"a", "B", "A", "b"})
		name := rapid.SliceOfN(names, 1, 5).Draw(t, "name")
		got := matches(strings.Join(pattern, "."), strings.Join(name, "."))
		if want := naive(pattern, name); got != want {
			t.Fatalf("matches(%v, %v) = %v", pattern, name, got)
		}
	})
}

func TestValidVersion(t *testing.T) {
	for _, v := range []string{"1.0.0", "0.0.0", "10.20.30", "99999999999.1.2"} {
		if !validVersion(v) {
			t.Errorf("%q refused", v)
		}
	}
	for _, v := range []string{
		"", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-a", "1..0", "1.0.0\n",
		"1234567890.1234567890.1",
	} {
		if validVersion(v) {
			t.Errorf("%q taken", v)
		}
	}
}
