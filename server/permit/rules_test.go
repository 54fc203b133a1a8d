package permit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mbserver/topic"
)

// alphabet is the levels that patterns are made of here, and one that none of them names.
var alphabet = []string{"a", "b", "other"}

// names are all topics of at most five levels over the alphabet.
var names = func() (all []string) {
	level := []string{""}
	for range topic.MaxLevels {
		var next []string
		for _, prefix := range level {
			for _, l := range alphabet {
				next = append(next, strings.TrimPrefix(prefix+"."+l, "."))
			}
		}
		all, level = append(all, next...), next
	}
	return all
}()

// patternsOver are all patterns of at most so many levels over some words and wildcards.
func patternsOver(most int, words ...string) (all []string) {
	all = []string{"#"}
	level := []string{""}
	for n := range most {
		var next []string
		for _, prefix := range level {
			for _, l := range append([]string{"+"}, words...) {
				p := strings.TrimPrefix(prefix+"."+l, ".")
				next = append(next, p)
				if n+2 <= topic.MaxLevels {
					all = append(all, p+".#")
				}
			}
		}
		all, level = append(all, next...), next
	}
	return all
}

// rulesOf compiles one role for one verb.
func rulesOf(t testing.TB, verb Verb, allow, deny []string) *Rules {
	t.Helper()
	var r Role
	r.Verbs[verb] = Lists{Allow: allow, Deny: deny}
	p, err := Compile(Source{Roles: map[string]Role{"r": r}})
	if err != nil {
		t.Fatal(err)
	}
	return p.Rules("somebody", []string{"r"})
}

// matched returns which names a pattern matches, by the topic package's naive matcher.
func matched(t testing.TB, patterns ...string) []bool {
	t.Helper()
	in := make([]bool, len(names))
	for _, text := range patterns {
		p, err := topic.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			in[i] = in[i] || p.Matches([]byte(name))
		}
	}
	return in
}

// contained is protocol §10's definition, taken literally: every topic that the pattern matches is
// matched by an allow, none by a deny.
func contained(asked, allow, deny []bool) bool {
	for i, in := range asked {
		if in && (!allow[i] || deny[i]) {
			return false
		}
	}
	return true
}

// The decision agrees with the definition, for every pattern over the alphabet against every single
// allow and deny of up to three levels, and against random unions of five levels. "other" stands
// for all levels that no list names; so no list has it.
func TestContainment(t *testing.T) {
	asked := patternsOver(topic.MaxLevels, alphabet...)
	in := make(map[string][]bool, len(asked))
	for _, p := range asked {
		in[p] = matched(t, p)
	}
	check := func(allow, deny []string) {
		t.Helper()
		r := rulesOf(t, Subscribe, allow, deny)
		may, not := matched(t, allow...), matched(t, deny...)
		for _, p := range asked {
			if got, want := r.Pattern(Subscribe, p), contained(in[p], may, not); got != want {
				t.Fatalf("%q in %v without %v: %v, want %v", p, allow, deny, got, want)
			}
		}
	}
	short := patternsOver(3, "a", "b")
	for _, one := range short {
		check([]string{one}, nil)
		check([]string{"#"}, []string{one})
	}
	some := patternsOver(topic.MaxLevels, "a", "b")
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(n int) (l []string) {
		for range n {
			l = append(l, some[rng.IntN(len(some))])
		}
		return l
	}
	for range 300 {
		check(pick(1+rng.IntN(12)), pick(rng.IntN(3)))
	}
}

// Patterns that only together cover what is asked do: each number of levels has its own.
func TestContainmentUnion(t *testing.T) {
	r := rulesOf(t, Respond, []string{"a", "a.+", "a.+.+", "a.+.+.#"}, nil)
	for pattern, want := range map[string]bool{
		"a.#": true, "a.+.+.#": true, "+": false, "#": false, "a.b.c.d.e": true,
	} {
		if got := r.Pattern(Respond, pattern); got != want {
			t.Errorf("%s: %v", pattern, got)
		}
	}
	if r.Pattern(Subscribe, "a") || r.Topic(Subscribe, []byte("a")) {
		t.Error("an absent verb allows something")
	}
}

// Topics are decided as the naive matcher does, and without allocating.
func TestTopic(t *testing.T) {
	some := patternsOver(topic.MaxLevels, "a", "b")
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		allow := []string{some[rng.IntN(len(some))], some[rng.IntN(len(some))]}
		deny := []string{some[rng.IntN(len(some))]}
		r := rulesOf(t, Publish, allow, deny)
		may, not := matched(t, allow...), matched(t, deny...)
		for i, name := range names {
			if got := r.Topic(Publish, []byte(name)); got != (may[i] && !not[i]) {
				t.Fatalf("%s in %v without %v: %v", name, allow, deny, got)
			}
		}
	}
	r := rulesOf(t, Publish, []string{"a.b.c", "a.{identity}.#", "+.b.#"}, []string{"b.#"})
	name := []byte("x.b.c.d")
	if n := testing.AllocsPerRun(100, func() { r.Topic(Publish, name) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// {identity} is the identity in lower case. One that is no level matches nothing, neither to allow
// nor to deny.
func TestIdentity(t *testing.T) {
	var role Role
	role.Verbs[Publish] = Lists{
		Allow: []string{"user.{identity}.#", "{Identity}.x", "free.#"},
		Deny:  []string{"free.{identity}"},
	}
	p, err := Compile(Source{Roles: map[string]Role{"r": role}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		identity, name string
		want           bool
	}{
		{"Anna", "user.anna", true}, {"Anna", "user.anna.in.box", true},
		{"anna", "user.bob", false}, {"anna", "user", false}, {"anna", "user.ann", false},
		{"anna", "anna.x", true}, {"bob", "anna.x", false},
		{"anna", "free.anna", false}, {"bob", "free.anna", true}, {"bob", "free.bob", false},
		{"an.na", "user.an.na", false}, {"+", "user.x", false}, {"#", "user.x", false},
		{"", "user.x", false}, {"1a", "user.1a", false}, {"*", "free.x", true},
		{"CN=anna", "user.anna", false},
	} {
		r := p.Rules(tt.identity, []string{"r"})
		if got := r.Topic(Publish, []byte(tt.name)); got != tt.want {
			t.Errorf("%q on %s: %v", tt.identity, tt.name, got)
		}
		if got := r.Pattern(Publish, tt.name); got != tt.want {
			t.Errorf("%q on the pattern %s: %v", tt.identity, tt.name, got)
		}
	}
	anna := p.Rules("anna", []string{"r"})
	for pattern, want := range map[string]bool{
		"user.anna.#": true, "user.+": false, "free.+": false, "free.x.#": true,
	} {
		if got := anna.Pattern(Publish, pattern); got != want {
			t.Errorf("anna, %s: %v", pattern, got)
		}
	}
	// The identity of which the node's topics begin opens none of them.
	if p.Rules("system", []string{"r"}).Pattern(Publish, "system.x") {
		t.Error("system.x is permitted to who is called system")
	}
}

// "system" alone is a topic like any other; the node's own are no verb's.
func TestSystemTopics(t *testing.T) {
	r := rulesOf(t, Subscribe, []string{"#"}, nil)
	for pattern, want := range map[string]bool{
		"system": true, "system.log": false, "system.#": true, "+.log": true, "#": true,
	} {
		if got := r.Pattern(Subscribe, pattern); got != want {
			t.Errorf("%s: %v", pattern, got)
		}
	}
	for _, pattern := range []string{"system.log", "system.+", "SYSTEM.#"} {
		role := Role{Verbs: [verbs]Lists{Publish: {Allow: []string{pattern}}}}
		_, err := Compile(Source{Roles: map[string]Role{"r": role}})
		if !errors.Is(err, errSystem) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

func TestWords(t *testing.T) {
	p, err := Compile(Source{Roles: map[string]Role{
		"a": {System: []string{"metrics", "log"}}, "all": {System: []string{"*"}}, "none": {},
	}})
	if err != nil {
		t.Fatal(err)
	}
	a, all, none := p.Rules("x", []string{"a"}), p.Rules("x", []string{"all"}),
		p.Rules("x", []string{"none"})
	if !a.Holds(Metrics) || !a.Holds(Log|Metrics) || a.Holds(Admin) || a.Holds(Log|Admin) {
		t.Error("a")
	}
	if !all.Holds(AllWords) || none.Holds(Explain) || !none.Holds(0) {
		t.Error("all, or none")
	}
	var nobody *Rules
	if !nobody.Holds(Admin) || !nobody.Topic(Request, []byte("a")) ||
		!nobody.Pattern(Respond, "#") {
		t.Error("no permissions forbid something")
	}
}

func BenchmarkTopic(b *testing.B) {
	var allow []string
	for i := range maxPatterns {
		allow = append(allow, fmt.Sprintf("orders.region%d.+", i))
	}
	r := rulesOf(b, Publish, allow, nil)
	name := []byte("orders.region255.created")
	for b.Loop() {
		r.Topic(Publish, name)
	}
}

func BenchmarkPattern(b *testing.B) {
	var allow []string
	for i := range maxPatterns {
		allow = append(allow, fmt.Sprintf("orders.region%d.#", i))
	}
	r := rulesOf(b, Subscribe, allow, []string{"orders.secret.#"})
	for b.Loop() {
		r.Pattern(Subscribe, "orders.region255.+")
	}
}

// Something is allowed of a verb, or nothing; what is denied of it does not count.
func TestSome(t *testing.T) {
	role := Role{Verbs: [verbs]Lists{
		Publish: {Allow: []string{"a"}, Deny: []string{"#"}},
	}}
	p, err := Compile(Source{Roles: map[string]Role{"r": role, "none": {}}})
	if err != nil {
		t.Fatal(err)
	}
	r := p.Rules("anna", []string{"none", "r"})
	if !r.Some(Publish) || r.Some(Request) || r.Some(Subscribe) || None.Some(Publish) {
		t.Error("of what is allowed something else is said")
	}
	if names := r.Roles(); len(names) != 2 || (*Rules)(nil).Roles() != nil {
		t.Errorf("roles %q", names)
	}
	if names := p.Rules("nobody", nil).Roles(); names == nil || len(names) != 0 {
		t.Errorf("who has none has the roles %q, nil being everything", names)
	}
	if !(*Rules)(nil).Some(Publish) {
		t.Error("who may do everything may not")
	}
}
