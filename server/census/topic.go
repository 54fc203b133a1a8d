package census

import (
	"errors"
	"slices"
	"strings"

	"mbserver/codec"
)

// Why there is nothing to be seen.
var (
	ErrUnknown = errors.New("it is not there")
	ErrBusy    = errors.New("there was no answer in time")
)

// Topics is a look at the patterns that somebody is subscribed to.
type Topics struct {
	Prefix string // whole levels, canonical; "": all patterns
	Search string // in lower case: only patterns that have it somewhere; "": all
	Flat   bool   // whole patterns instead of the levels below Prefix
	After  string // only branches behind it
	Limit  int    // how many of these at most; at least 1
}

// Branch is a level below a prefix, or with Flat a whole pattern.
type Branch struct {
	Topic    string // the prefix and this level, or the prefix itself
	Patterns int    // that begin with it, itself included; those for publishes and requests apart

	Publish, Request int  // subscribers of the pattern Topic itself
	Below            bool // there are patterns below Topic

	// Messages a second on topics that Topic matches, with Below on those at or below it too,
	// whether anybody got them or not.
	PublishRate, RequestRate float64
}

// Branches are an answer to Topics: the first in the order of their topics, found in one walk with
// memory for those alone.
type Branches struct {
	List     []Branch // sorted
	More     bool     // there are more behind the last
	Patterns int      // below the prefix, that have the search, for publishes and requests apart

	// Rates are of the last so many seconds; so many messages a second were on topics that are in
	// no rate.
	Seconds, Forgotten float64

	of   *Topics
	kept map[string]*Branch
	last *Top[string] // the names of kept; its root is the last of them
}

// NewBranches begins an answer.
func NewBranches(of *Topics) *Branches {
	return &Branches{
		of: of, kept: make(map[string]*Branch),
		last: NewTop(of.Limit, func(a, b *string) int { return strings.Compare(*a, *b) }),
	}
}

// Add takes a canonical pattern, of either kind.
func (b *Branches) Add(pattern string) {
	if !strings.Contains(pattern, b.of.Search) {
		return
	}
	name, ok := b.branchOf(pattern)
	if !ok {
		return
	}
	b.Patterns++
	if name <= b.of.After {
		return
	}
	if of := b.kept[name]; of != nil {
		of.Patterns++
		return
	}
	// A branch that gives way here never comes back: those before it stay. So what is kept in the
	// end was counted from its first pattern on.
	gone, full := b.last.Add(&name)
	if full {
		b.More = true
		if gone == name {
			return
		}
		delete(b.kept, gone)
	}
	b.kept[name] = &Branch{Topic: name, Patterns: 1}
}

// branchOf is the branch that a pattern belongs to.
func (b *Branches) branchOf(pattern string) (name string, ok bool) {
	rest, below := pattern, 0
	if b.of.Prefix != "" {
		rest, ok = strings.CutPrefix(pattern, b.of.Prefix)
		if !ok || rest != "" && rest[0] != '.' {
			return "", false
		}
		if rest == "" {
			return pattern, true
		}
		rest, below = rest[1:], len(b.of.Prefix)+1
	}
	if b.of.Flat {
		return pattern, true
	}
	level, _, _ := strings.Cut(rest, ".")
	return pattern[:below+len(level)], true
}

// End sorts what was found, and has count tell who is subscribed.
func (b *Branches) End(count func(topic string) (publish, request int)) {
	for _, of := range b.kept {
		of.Publish, of.Request = count(of.Topic)
		of.Below = of.Patterns > min(of.Publish, 1)+min(of.Request, 1)
		b.List = append(b.List, *of)
	}
	slices.SortFunc(b.List, func(x, y Branch) int { return strings.Compare(x.Topic, y.Topic) })
}

// Subscriber is one of a pattern's.
type Subscriber struct {
	ID       codec.UUID // zero: somebody of another node, which does not tell who
	Node     codec.UUID // that it is connected to; zero: there is no cluster, or that is not known
	Name     string     // "" until it registers
	Priority float64
}
