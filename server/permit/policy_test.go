package permit

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// allow is a role that may publish on some patterns.
func allow(patterns ...string) Role {
	return Role{Verbs: [verbs]Lists{Publish: {Allow: patterns}}}
}

// What is wrong with the configuration is said, with its key.
func TestCompileErrors(t *testing.T) {
	many := make([]string, maxPatterns+1)
	for i := range many {
		many[i] = fmt.Sprint("a", i)
	}
	for _, tt := range []struct {
		from Source
		want string
	}{
		{Source{Roles: map[string]Role{"r": allow("a..b")}},
			`permissions.roles.r.publish.allow: "a..b": level 2`},
		{Source{Roles: map[string]Role{"r": allow("a.#.b")}}, "only be the last level"},
		{Source{Roles: map[string]Role{"r": allow("a.x{identity}")}}, "level 2"},
		{Source{Roles: map[string]Role{"r": allow("a.b.c.d.{identity}.f")}}, "6 levels"},
		{Source{Roles: map[string]Role{"r": allow(many...)}}, "257 patterns, at most 256"},
		{Source{Roles: map[string]Role{"r": {
			Verbs: [verbs]Lists{Request: {Deny: []string{"a"}}}}}},
			"permissions.roles.r.request: deny without allow"},
		{Source{Roles: map[string]Role{"r": {System: []string{"metric"}}}},
			`permissions.roles.r.system: "metric" is none of service.list`},
		{Source{Default: []string{"x"}}, `permissions.default: role "x" is not defined`},
		{Source{Anonymous: []string{"x"}}, `permissions.anonymous: role "x" is not defined`},
		{Source{Roles: map[string]Role{"r": {}}, Identities: map[string][]string{"i": {"R"}}},
			`permissions.identities.i: role "R" is not defined`},
		{Source{Roles: map[string]Role{"r": {}},
			Identities: map[string][]string{"Anna": {"r"}, "anna": {"r"}}},
			`permissions.identities.anna: differs from "Anna" only in case`},
	} {
		_, err := Compile(tt.from)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

// Without roles everything is allowed; with any, who has none may do nothing.
func TestWhoHasWhat(t *testing.T) {
	if p, err := Compile(Source{}); p != nil || err != nil || p.Rules("x", nil) != nil ||
		p.Anonymous() != nil {
		t.Error("no roles are no freedom")
	}
	p, err := Compile(Source{
		Roles: map[string]Role{
			"token": allow("token"), "mine": allow("mine"), "default": allow("default"),
			"anonymous": allow("anonymous"),
		},
		Identities: map[string][]string{"Anna": {"mine"}},
		Default:    []string{"default"}, Anonymous: []string{"anonymous"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		rules *Rules
		want  string
	}{
		{p.Rules("Anna", []string{"token"}), "mine token"}, {p.Rules("ANNA", nil), "default"},
		{p.Rules("bob", nil), "default"}, {p.Rules("bob", []string{"token"}), "token"},
		{p.Rules("bob", []string{"nowhere"}), ""}, {p.Anonymous(), "anonymous"},
	} {
		var got []string
		for _, name := range []string{"anonymous", "default", "mine", "token"} {
			if tt.rules.Topic(Publish, []byte(name)) {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%v, want %s", got, tt.want)
		}
	}
}

// An identity that differs from a known one only in case is somebody else, and is not taken for it.
func TestOnlyCase(t *testing.T) {
	p, err := Compile(Source{
		Roles:      map[string]Role{"own": allow("own.{identity}.#")},
		Identities: map[string][]string{"Anna": {"own"}}, Known: []string{"bob"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		identity, topic string
		want            bool
	}{
		{"Anna", "own.anna", true}, {"anna", "own.anna", false}, {"ANNA", "own.anna", false},
		{"bob", "own.bob", true}, {"BOB", "own.bob", false}, {"Carl", "own.carl", true},
	} {
		r := p.Rules(tt.identity, []string{"own"})
		if r.Topic(Publish, []byte(tt.topic)) != tt.want ||
			r.Pattern(Publish, tt.topic+".#") != tt.want {
			t.Errorf("%s: want %v on %s", tt.identity, tt.want, tt.topic)
		}
	}
}

// Roles add up, and a deny of any of them wins.
func TestDenyWins(t *testing.T) {
	deny := Role{Verbs: [verbs]Lists{Publish: {Allow: []string{"b"}, Deny: []string{"a.secret"}}}}
	p, err := Compile(Source{Roles: map[string]Role{"a": allow("a.#"), "d": deny}})
	if err != nil {
		t.Fatal(err)
	}
	r := p.Rules("x", []string{"a", "d"})
	if !r.Topic(Publish, []byte("a.x")) || !r.Topic(Publish, []byte("b")) ||
		r.Topic(Publish, []byte("a.secret")) || r.Pattern(Publish, "a.+") {
		t.Error("roles do not add up")
	}
	if one := p.Rules("x", []string{"a"}); !one.Topic(Publish, []byte("a.secret")) {
		t.Error("a role that is not held denies")
	}
}

// Who may do the same has the same rules, unless a pattern names the identity. What nobody holds
// any more takes no memory.
func TestRulesShared(t *testing.T) {
	p, err := Compile(Source{Roles: map[string]Role{
		"a": allow("a"), "b": allow("b"), "own": allow("{identity}"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	x := p.Rules("x", []string{"a", "b"})
	if x != p.Rules("y", []string{"b", "a", "b", "nowhere"}) {
		t.Error("two who may do the same have rules of their own")
	}
	if p.Rules("x", []string{"own"}) == p.Rules("y", []string{"own"}) ||
		p.Rules("x", []string{"own"}) == x {
		t.Error("two who may not do the same share rules")
	}
	for i := range 4 * setsMin {
		p.Rules(fmt.Sprint("u", i), []string{"own"})
		if i%setsMin == 0 {
			runtime.GC()
		}
	}
	runtime.GC()
	for i := range 2 * setsMin {
		p.Rules(fmt.Sprint("v", i), []string{"own"})
	}
	p.mu.Lock()
	n := len(p.sets)
	p.mu.Unlock()
	if n > 4*setsMin {
		t.Errorf("%d sets are kept", n)
	}
	if x != p.Rules("x", []string{"a", "b"}) {
		t.Error("rules that are held were forgotten")
	}
}

// A pattern costs about its text: a node may have ten thousand roles of 256 patterns.
func TestMemory(t *testing.T) {
	const roles = 100
	from := Source{Roles: make(map[string]Role)}
	for i := range roles {
		var patterns []string
		for k := range maxPatterns {
			patterns = append(patterns, fmt.Sprintf("tenant%d.topic%d.#", i, k))
		}
		from.Roles[fmt.Sprint("r", i)] = allow(patterns...)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p, err := Compile(from)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / (roles * maxPatterns)
	if each > 64 {
		t.Errorf("%.0f bytes a pattern", each)
	}
	runtime.KeepAlive(from)
	runtime.KeepAlive(p)
}

// Of several roles the lowest limit holds; a role without one limits nothing.
func TestRate(t *testing.T) {
	p, err := Compile(Source{
		Roles:     map[string]Role{"a": {Rate: 10}, "b": {Rate: 3}, "none": {}, "c": {Rate: 7}},
		Anonymous: []string{"c"}, Default: []string{"b"},
		Identities: map[string][]string{"anna": {"a"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for want, r := range map[int]*Rules{
		10: p.Rules("anna", []string{"none"}), 7: p.Anonymous(),
		3: p.Rules("anna", []string{"b", "c"}), 0: p.Rules("bob", []string{"none"}),
	} {
		if r.Rate() != want {
			t.Errorf("%d, want %d", r.Rate(), want)
		}
	}
	var all *Policy
	if p.Rules("bob", nil).Rate() != 3 || all.Anonymous().Rate() != 0 || None.Rate() != 0 {
		t.Error("the default's, nobody's")
	}
}
