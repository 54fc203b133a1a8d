package permit

import (
	"strings"
	"sync/atomic"

	"mbserver/topic"
)

// Rules are what somebody may do. Nil allows everything. Immutable; any goroutine.
type Rules struct {
	number   uint64 // no others have it
	identity string // as a level of a topic; "" when it cannot be one
	roles    []*role
	words    Words
	rate     int // 0: no limit
}

// None permits nothing.
var None = newRules("", nil)

// numbered counts rules.
var numbered atomic.Uint64

func newRules(identity string, roles []*role) *Rules {
	r := &Rules{number: numbered.Add(1), identity: legalLevel(identity), roles: roles}
	for _, role := range roles {
		r.words |= role.words
		if role.rate > 0 && (r.rate == 0 || role.rate < r.rate) {
			r.rate = role.rate
		}
	}
	return r
}

// Number is never 0, and no other rules' in the life of the process: what is remembered by it needs
// not keep them, and never means those of another policy. r is not nil.
func (r *Rules) Number() uint64 { return r.number }

// Roles are the names of the roles that they stand for. Where these are none nothing is allowed:
// they are empty. Of nil rules, which allow everything, they are nil.
func (r *Rules) Roles() []string {
	if r == nil {
		return nil
	}
	names := make([]string, 0, len(r.roles))
	for _, role := range r.roles {
		names = append(names, role.name)
	}
	return names
}

// Some says whether anything at all is allowed of a verb: nobody who may not need be offered it.
// nil rules allow everything.
func (r *Rules) Some(v Verb) bool {
	if r == nil {
		return true
	}
	for _, role := range r.roles {
		if role.allow[v] != "" {
			return true
		}
	}
	return false
}

// Rate is how many messages a second one connection with these rules may send: the lowest of its
// roles', since a message may be over none. 0: any number.
func (r *Rules) Rate() int {
	if r == nil {
		return 0
	}
	return r.rate
}

// Words are those that it has been given; of nil, all.
func (r *Rules) Words() Words {
	if r == nil {
		return AllWords
	}
	return r.words
}

// Holds says whether every word of a set is permitted.
func (r *Rules) Holds(words Words) bool { return r == nil || r.words&words == words }

// Topic says whether v may be done on a topic of the user, in canonical form. It looks at every
// pattern: whoever asks for each message remembers the answer. It allocates nothing.
func (r *Rules) Topic(v Verb, name []byte) bool {
	if r == nil {
		return true
	}
	allowed := false
	for _, role := range r.roles {
		if anyMatches(role.deny[v], r.identity, name) {
			return false
		}
		allowed = allowed || anyMatches(role.allow[v], r.identity, name)
	}
	return allowed
}

// anyMatches says whether a pattern of a list matches a canonical topic of the user.
func anyMatches(l list, identity string, name []byte) bool {
	for len(l) > 0 {
		var pattern string
		if pattern, l = l.next(); matches(pattern, identity, name) {
			return true
		}
	}
	return false
}

// matches says whether a canonical pattern, in which identity stands for Identity, matches a
// canonical topic of the user, level by level.
func matches(pattern, identity string, name []byte) bool {
	for {
		want, rest, more := strings.Cut(pattern, ".")
		if want == "#" {
			return true
		}
		level := 0
		for level < len(name) && name[level] != '.' {
			level++
		}
		switch {
		case len(name) == 0:
			return false
		case want == "+":
		case want == Identity:
			if identity == "" || identity != string(name[:level]) {
				return false
			}
		case want != string(name[:level]):
			return false
		}
		name = name[min(level+1, len(name)):]
		if !more {
			return len(name) == 0
		}
		pattern = rest
		if len(name) == 0 {
			return pattern == "#"
		}
	}
}

// Pattern says whether v may be done with a subscription pattern, in canonical form: every topic
// that it can match is allowed, none denied. What matches no topic of a user is not permitted.
//
// It decides exactly, though what several allows cover together is asked for. Among the topics of
// so many levels that the pattern matches is one with levels, where the pattern leaves them open,
// that no allow names. An allow that matches it leaves open at least what the pattern does, and so
// covers all of them: for each number of levels a single allow does it, or none do.
func (r *Rules) Pattern(v Verb, pattern string) bool {
	if r == nil {
		return true
	}
	p, _ := shapeOf(pattern, "")
	least, most := p.lengths()
	var covered [topic.MaxLevels + 1]bool
	for _, role := range r.roles {
		for l := role.deny[v]; len(l) > 0; {
			var text string
			text, l = l.next()
			if d, ok := shapeOf(text, r.identity); ok && meetsAny(&d, &p, least, most) {
				return false
			}
		}
		for l := role.allow[v]; len(l) > 0; {
			var text string
			text, l = l.next()
			a, ok := shapeOf(text, r.identity)
			for n := least; ok && n <= most; n++ {
				covered[n] = covered[n] || a.has(n) && a.covers(&p, n)
			}
		}
	}
	for n := least; n <= most; n++ {
		if !covered[n] {
			return false
		}
	}
	return least <= most
}

// meetsAny says whether two patterns both match some topic of least to most levels.
func meetsAny(d, p *shape, least, most int) bool {
	for n := least; n <= most; n++ {
		if d.has(n) && d.meets(p, n) {
			return true
		}
	}
	return false
}
