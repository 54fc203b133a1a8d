package limit

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mbserver/topic"
)

func TestPatterns(t *testing.T) {
	p, err := NewPatterns(map[string]int{
		"Orders.#": 5, "+.created": 7, "orders.created": 1, "off": 0, "#": 20_000_001,
	})
	if err != nil {
		t.Fatal(err)
	}
	var table []string
	for i := range p.Len() {
		table = append(table, p.Pattern(i))
	}
	if !slices.Equal(table, []string{"#", "+.created", "orders.#", "orders.created"}) {
		t.Fatalf("the patterns are %q", table)
	}
	for i, want := range []int{20_001_000, 7, 5, 1} {
		if p.Rate(i).Limit() != want {
			t.Errorf("the rate of %q is %d, want %d", p.Pattern(i), p.Rate(i).Limit(), want)
		}
	}
	for name, want := range map[string][]int{
		"orders.created": {0, 1, 2, 3},
		"orders.gone":    {0, 2},
		"a.created":      {0, 1},
		"off":            {0},
		"system.created": nil,
	} {
		if got := p.Matching([]byte(name)); !slices.Equal(got, want) {
			t.Errorf("%q matches %v, want %v", name, got, want)
		}
	}
}

func TestNoPatterns(t *testing.T) {
	for _, m := range []map[string]int{nil, {}, {"a": 0}} {
		p, err := NewPatterns(m)
		if err != nil || p.Len() != 0 || p.Matching([]byte("a")) != nil {
			t.Errorf("%v: %v, %+v", m, err, p)
		}
	}
}

func TestBadPatterns(t *testing.T) {
	for _, c := range []struct {
		m    map[string]int
		want string
	}{
		{map[string]int{"": 1}, "empty"},
		{map[string]int{"a.#.b": 1}, "last level"},
		{map[string]int{"a..b": 0}, "level 2"},
		{map[string]int{"a.b": -1}, `"a.b": -1`},
		{map[string]int{"a.B": 1, "A.b": 2}, `"a.B": "A.b"`},
		{map[string]int{"a": 1, "A": 0}, `"a": "A"`},
	} {
		for range 5 {
			if _, err := NewPatterns(c.m); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: %v, want %q", c.m, err, c.want)
			}
		}
	}
}

func TestMatchingIsThatOfPatterns(t *testing.T) {
	level := rapid.SampledFrom([]string{"a", "b", "+"})
	pattern := rapid.Custom(func(t *rapid.T) string {
		levels := rapid.SliceOfN(level, 1, 3).Draw(t, "levels")
		if rapid.Bool().Draw(t, "open") {
			levels = append(levels, "#")
		}
		return strings.Join(levels, ".")
	})
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOf(pattern, rapid.IntRange(0, 3)).Draw(t, "rates")
		p, err := NewPatterns(m)
		if err != nil {
			t.Fatal(err)
		}
		level := rapid.SampledFrom([]string{"a", "b", "c"})
		name := strings.Join(rapid.SliceOfN(level, 1, 4).Draw(t, "name"), ".")
		got := map[string]int{}
		for _, i := range p.Matching([]byte(name)) {
			got[p.Pattern(i)] = p.Rate(i).Limit()
		}
		for key, n := range m {
			parsed, err := topic.ParsePattern(key)
			if err != nil {
				t.Fatal(err)
			}
			if !parsed.Matches([]byte(name)) {
				n = 0
			}
			if got[key] != n {
				t.Fatalf("%q limits %q to %d, want %d", key, name, got[key], n)
			}
			delete(got, key)
		}
		if len(got) != 0 {
			t.Fatalf("patterns from nowhere: %v", got)
		}
	})
}
