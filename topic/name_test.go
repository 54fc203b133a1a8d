package topic

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	long := strings.Repeat("a", MaxLength)
	for _, c := range []struct{ in, out, fault string }{
		{in: "a", out: "a"},
		{in: "News.Sport2.UK", out: "news.sport2.uk"},
		{in: "a.b.c.d.e", out: "a.b.c.d.e"},
		{in: "system.log", out: "system.log"},
		{in: long, out: long},
		{in: "", fault: "the topic is empty"},
		{in: long + "a", fault: "256 bytes"},
		{in: "a.b.c.d.e.f", fault: "6 levels"},
		{in: ".a", fault: "level 1 of the topic is empty"},
		{in: "a..b", fault: "level 2 of the topic is empty"},
		{in: "a.", fault: "level 2 of the topic is empty"},
		{in: "a.1b", fault: `level 2 of the topic begins with "1"`},
		{in: "a_b", fault: `holds "_"`},
		{in: "a b", fault: `holds " "`},
		{in: "é", fault: "begins with"},
		{in: "aé", fault: "holds"},
		{in: "a.+", fault: `begins with "+"`},
		{in: "#", fault: `begins with "#"`},
		{in: "a\n", fault: `holds "\n"`},
		{in: "a\x00", fault: "holds"},
	} {
		out, err := ParseName(c.in)
		if c.fault == "" && (err != nil || out != c.out) {
			t.Errorf("ParseName(%q) = %q, %v, want %q", c.in, out, err, c.out)
		}
		if c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("ParseName(%q) = %q, %v, want an error with %q", c.in, out, err, c.fault)
		}
	}
}

func TestParsePattern(t *testing.T) {
	for _, c := range []struct {
		in, out, fault string
		wild, system   bool
	}{
		{in: "A.b", out: "a.b"},
		{in: "+", out: "+", wild: true},
		{in: "#", out: "#", wild: true},
		{in: "A.+.C", out: "a.+.c", wild: true},
		{in: "+.+.+.+.#", out: "+.+.+.+.#", wild: true},
		{in: "System.Log", out: "system.log", system: true},
		{in: "system", out: "system"}, // a user topic (protocol §2)
		{in: "systems.log", out: "systems.log"},
		{in: "system.#", out: "system.#", wild: true, system: true},
		{in: "", fault: "the pattern is empty"},
		{in: "a.#.b", fault: `level 2 of the pattern is "#", which may only be the last`},
		{in: "a#", fault: `holds "#"`},
		{in: "a+", fault: `holds "+"`},
		{in: "++", fault: `begins with "+"`},
		{in: "a.b.c.d.e.#", fault: "6 levels"},
		{in: "a.+.", fault: "level 3 of the pattern is empty"},
	} {
		p, err := ParsePattern(c.in)
		if c.fault == "" &&
			(err != nil || p.String() != c.out || p.Wild() != c.wild || p.System() != c.system) {
			t.Errorf("ParsePattern(%q) = %+v, %v", c.in, p, err)
		}
		if c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("ParsePattern(%q) = %+v, %v, want an error with %q", c.in, p, err, c.fault)
		}
		kept, err := ParseCanonical(c.in)
		if good := c.fault == "" && c.in == c.out; good != (err == nil) || good && kept != p {
			t.Errorf("ParseCanonical(%q) = %+v, %v", c.in, kept, err)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"a.b", []string{"a.b"}, []string{"a", "a.b.c", "a.c", "ab", "a.bb"}},
		{"a.#", []string{"a", "a.b", "a.b.c", "a.b.c.d.e"}, []string{"b", "ab", "aa.b"}},
		{"a.+", []string{"a.b", "a.system"}, []string{"a", "a.b.c", "b.b"}},
		{"+.b", []string{"a.b"}, []string{"a", "b", "a.b.c", "system.b"}},
		{"+", []string{"a", "abc", "system"}, []string{"a.b", "system.a"}},
		{"#", []string{"a", "a.b.c.d.e", "systems.a", "system"}, []string{"system.log"}},
		{"+.#", []string{"a", "a.b", "system"}, []string{"system.log"}},
		{"system", []string{"system"}, []string{"system.log", "systems", "a"}},
		{"a.+.#", []string{"a.b", "a.b.c", "a.b.c.d.e"}, []string{"a", "b.b"}},
		{"a.+.c.#", []string{"a.b.c", "a.b.c.d"}, []string{"a.b", "a.b.d", "a.b.cc"}},
		{"+.+.+.+.+", []string{"a.b.c.d.e"}, []string{"a.b.c.d"}},
		{"system.log", []string{"system.log"}, []string{"system", "system.logs"}},
		{"system.#", []string{"system"}, []string{"system.log", "a"}},
		{"system.+", nil, []string{"system", "system.log"}},
	} {
		p := mustPattern(t, c.pattern)
		tree := NewTrie[int]()
		tree.Subscribe(p, Request, 7, Options{})
		check := func(name string, want bool) {
			if got := p.Matches([]byte(name)); got != want {
				t.Errorf("%q matches %q: %v", c.pattern, name, got)
			}
			if !IsSystem([]byte(name)) && fits([]byte(c.pattern), []byte(name)) != want {
				t.Errorf("%q fits %q: %v", c.pattern, name, !want)
			}
			if m, _ := tree.Match([]byte(name), Request, nil); (len(m) == 1) != want {
				t.Errorf("a tree with %q has %d matches for %q", c.pattern, len(m), name)
			}
			if m, _ := tree.Match([]byte(name), Publish, nil); len(m) != 0 {
				t.Errorf("a request subscription to %q matches a publish to %q", c.pattern, name)
			}
		}
		for _, name := range c.yes {
			check(name, true)
		}
		for _, name := range c.no {
			check(name, false)
		}
	}
	if (Pattern{}).Matches(nil) {
		t.Error("the zero pattern matches the empty name")
	}
}

func TestLower(t *testing.T) {
	var all []byte
	for c := range 256 {
		all = append(all, byte(c))
	}
	want := append([]byte("x"), all...)
	for c := 'A'; c <= 'Z'; c++ {
		want[1+c] = byte(c) + 32
	}
	if got := Lower([]byte("x"), all); !bytes.Equal(got, want) {
		t.Errorf("Lower: %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"a", "A.b2.+", "#", "system.log", "a..b", "+.#", "a.#.b", "é", "a.b.c.d.e.#",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, nameErr := ParseName(s)
		p, err := ParsePattern(s)
		if nameErr == nil &&
			(err != nil || p.Wild() || p.String() != name || !p.Matches([]byte(name))) {
			t.Fatalf("the name %q is the pattern %+v, %v", s, p, err)
		}
		if nameErr != nil && err == nil && !p.Wild() {
			t.Fatalf("%q is a literal pattern but no name: %v", s, nameErr)
		}
		if err != nil {
			return
		}
		again, err := ParsePattern(p.String())
		if err != nil || again != p {
			t.Fatalf("%q: %+v, again %+v, %v", s, p, again, err)
		}
		if p.String() != string(Lower(nil, []byte(s))) ||
			strings.Count(s, ".") >= MaxLevels || len(s) > MaxLength {
			t.Fatalf("%q accepted as %q", s, p.String())
		}
	})
}
