package permit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"weak"

	"mbserver/topic"
)

// Verb is what is done with a topic.
type Verb uint8

// The verbs of protocol §10.
const (
	Publish   Verb = iota // publishes
	Subscribe             // publish subscriptions
	Request               // requests
	Respond               // request subscriptions

	verbs = iota
)

var verbNames = [verbs]string{"publish", "subscribe", "request", "respond"}

// String is the verb's word in the configuration and in errors.
func (v Verb) String() string { return verbNames[v] }

// Role is what the configuration says of one role.
type Role struct {
	Verbs  [verbs]Lists // by Verb
	System []string     // words, or "*"
	Rate   int          // messages a second that one holder may send; 0: any number
}

// Lists are the topic patterns of one verb: what is allowed, and what is denied of that.
type Lists struct{ Allow, Deny []string }

// Source is what the configuration says of permissions. Roles are named as they are written.
type Source struct {
	Roles      map[string]Role
	Identities map[string][]string // roles that an identity has beside those of its token
	Known      []string            // identities beside those; no two differ only in case
	Default    []string            // roles of an identity without any
	Anonymous  []string            // roles of who has no identity
}

// Error is what is wrong with a Source. Key is relative to "permissions.", with dots.
type Error struct {
	Key string
	Err error
}

// Error names the key.
func (e *Error) Error() string { return "permissions." + e.Key + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Policy is all permissions of a node. Any goroutine.
type Policy struct {
	// Immutable after Compile.
	roles      map[string]*role
	identities map[string][]*role // by identity
	known      map[string]string  // identities by their lower case: those who are known
	byDefault  []*role
	anonymous  *Rules

	mu   sync.Mutex
	sets map[string]weak.Pointer[Rules] // by name: what somebody holds. Guarded by mu
	due  int                            // sets in sets at which those nobody holds are looked for
}

// role is a compiled role.
type role struct {
	name        string
	allow, deny [verbs]list
	words       Words
	personal    bool // a pattern names the identity
	rate        int  // 0: no limit
}

// Compile checks permissions and makes a policy of them; nil, which allows everything, when there
// is no role. An error is an *Error, the same one each time.
func Compile(s Source) (*Policy, error) {
	p := &Policy{
		roles:      make(map[string]*role, len(s.Roles)),
		identities: make(map[string][]*role, len(s.Identities)),
		sets:       make(map[string]weak.Pointer[Rules]), due: setsMin,
	}
	for _, name := range slices.Sorted(maps.Keys(s.Roles)) {
		r, err := compileRole(name, s.Roles[name])
		if err != nil {
			return nil, err
		}
		p.roles[name] = r
	}
	p.known = make(map[string]string, len(s.Identities)+len(s.Known))
	for _, identity := range slices.Sorted(maps.Keys(s.Identities)) {
		key, small := "identities."+identity, strings.ToLower(identity)
		if other, twice := p.known[small]; twice {
			return nil, &Error{key, fmt.Errorf("differs from %q only in case", other)}
		}
		p.known[small] = identity
		roles, err := p.defined(key, s.Identities[identity])
		if err != nil {
			return nil, err
		}
		p.identities[identity] = roles
	}
	for _, identity := range s.Known {
		p.known[strings.ToLower(identity)] = identity
	}
	var err error
	if p.byDefault, err = p.defined("default", s.Default); err != nil {
		return nil, err
	}
	anonymous, err := p.defined("anonymous", s.Anonymous)
	if err != nil {
		return nil, err
	}
	if len(p.roles) == 0 {
		return nil, nil
	}
	p.anonymous = newRules("", anonymous)
	return p, nil
}

func compileRole(name string, from Role) (*role, error) {
	r := &role{name: name, rate: from.Rate}
	key := "roles." + name
	for v, lists := range from.Verbs {
		at := key + "." + Verb(v).String()
		if len(lists.Deny) > 0 && len(lists.Allow) == 0 {
			return nil, &Error{at, fmt.Errorf("deny without allow: nothing is allowed that " +
				"could be denied")}
		}
		for _, part := range []struct {
			name string
			from []string
			to   *list
		}{{"allow", lists.Allow, &r.allow[v]}, {"deny", lists.Deny, &r.deny[v]}} {
			var err error
			if *part.to, err = parseList(part.from); err != nil {
				return nil, &Error{at + "." + part.name, err}
			}
			r.personal = r.personal || strings.Contains(string(*part.to), Identity)
		}
	}
	var err error
	if r.words, err = parseWords(from.System); err != nil {
		return nil, &Error{key + ".system", err}
	}
	return r, nil
}

// defined returns roles by name. One that is not defined is an error.
func (p *Policy) defined(key string, names []string) ([]*role, error) {
	roles := make([]*role, 0, len(names))
	for _, name := range names {
		r := p.roles[name]
		if r == nil {
			return nil, &Error{key, fmt.Errorf("role %q is not defined", name)}
		}
		roles = append(roles, r)
	}
	return roles, nil
}

// Anonymous returns the rules of who has no identity. Of a nil policy they are nil, and allow all.
func (p *Policy) Anonymous() *Rules {
	if p == nil {
		return nil
	}
	return p.anonymous
}

// Rules returns the rules of an identity whose token names these roles; one that is not defined
// allows nothing. An identity that differs only in case from a known one is another: it has not its
// roles, and to it no level stands for the identity. Who may do the same has the same Rules, as
// long as somebody holds them: they can be compared, and what is remembered of them is shared. Of a
// nil policy they are nil.
func (p *Policy) Rules(identity string, roles []string) *Rules {
	if p == nil {
		return nil
	}
	small := strings.ToLower(identity)
	var all []*role
	for _, name := range roles {
		if r := p.roles[name]; r != nil {
			all = append(all, r)
		}
	}
	if all = append(all, p.identities[identity]...); len(roles) == 0 && len(all) == 0 {
		all = append(all, p.byDefault...)
	}
	slices.SortFunc(all, func(a, b *role) int { return strings.Compare(a.name, b.name) })
	all = slices.Compact(all)
	if !slices.ContainsFunc(all, func(r *role) bool { return r.personal }) {
		small = "" // then it makes no difference
	}
	if known, ok := p.known[small]; ok && known != identity {
		small = "" // a known one would be taken for this: it has no level of its own
	}
	return p.shared(small, all)
}

// setsMin is below how many sets of rules those that nobody holds are not looked for.
const setsMin = 1 << 10

// shared returns the one Rules of an identity and roles, which are sorted.
func (p *Policy) shared(identity string, roles []*role) *Rules {
	var b strings.Builder
	b.WriteString(identity)
	for _, r := range roles {
		b.WriteByte(0) // in no name: configuration and tokens are text
		b.WriteString(r.name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.sets[b.String()].Value(); r != nil {
		return r
	}
	if len(p.sets) >= p.due {
		maps.DeleteFunc(p.sets, func(_ string, w weak.Pointer[Rules]) bool {
			return w.Value() == nil
		})
		p.due = max(2*len(p.sets), setsMin)
	}
	r := newRules(identity, roles)
	p.sets[b.String()] = weak.Make(r)
	return r
}

// legalLevel returns an identity as a level of a topic, "" when it can be none.
func legalLevel(identity string) string {
	small := strings.ToLower(identity)
	if pattern, err := topic.ParsePattern(small); err != nil || pattern.Wild() ||
		strings.Contains(small, ".") {
		return ""
	}
	return small
}
