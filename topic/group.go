package topic

import "strings"

// indexAbove is the number of subscribers past which a group keeps an index. Below, a scan of the
// list is as fast and an index would cost more than the subscribers. The index goes again at half
// of it.
const indexAbove = 16

// inlineText is the number of bytes of a pattern kept in the group itself, so that comparing it to
// a name does not cost another cache miss. With S a pointer a group is then 64 bytes, one cache
// line, as the groups of a large table lie.
const inlineText = 30

// group is one pattern and its subscribers for one kind of message. Most have exactly one, which is
// kept in the group itself. Guarded by the shard's lock.
type group[S comparable] struct {
	only  [1]Match[S] // the one subscriber, when it is alone
	rest  *rest[S]    // what has no room here, or nil
	short [inlineText]byte
	size  uint8 // bytes of short in use
	form  form  // of the pattern; 0 where there is no group
}

// rest is what a group has no room for.
type rest[S comparable] struct {
	// Two or more subscribers, in the order they came, but for the last one, which moves into a
	// gap; or none, when there is one.
	list  []Match[S]
	index map[S]int32 // position in list; nil for a short list
	tail  string      // of the pattern, from inlineText on
	stamp uint64      // of what list holds: no other list, and no earlier state of this one, has it
}

// state says what a group holds: two groups of one trie with the same state have the same
// subscribers, with the same options, in the same order.
type state[S comparable] struct {
	stamp uint64   // of two subscribers or more; 0: of one
	only  Match[S] // the one
}

func (g *group[S]) state() state[S] {
	if g.alone() {
		return state[S]{only: g.only[0]}
	}
	return state[S]{stamp: g.rest.stamp}
}

func newGroup[S comparable](pattern string, f form, first Match[S]) group[S] {
	g := group[S]{only: [1]Match[S]{first}, form: f}
	g.size = uint8(copy(g.short[:], pattern))
	if len(pattern) > inlineText {
		g.rest = &rest[S]{tail: strings.Clone(pattern[inlineText:])}
	}
	return g
}

// free tells that there is no group.
func (g *group[S]) free() bool { return g.form == 0 }

// long tells that a part of the pattern may be in rest.
func (g *group[S]) long() bool { return g.size == inlineText && g.rest != nil }

// tail returns the part of the pattern that is in rest.
func (g *group[S]) tail() string {
	if g.long() {
		return g.rest.tail
	}
	return ""
}

// appendText appends the pattern's canonical form.
func (g *group[S]) appendText(dst []byte) []byte {
	return append(append(dst, g.short[:g.size]...), g.tail()...)
}

// text returns the pattern's canonical form.
func (g *group[S]) text() string { return string(g.appendText(nil)) }

// key returns the pattern's key.
func (g *group[S]) key() key {
	_, k, _ := analyse(string(g.appendText(make([]byte, 0, MaxLength))))
	return k
}

// is tells whether the name is the pattern, which is not long. It is matches for most: inlined.
func (g *group[S]) is(name []byte) bool {
	return string(g.short[:g.size]) == string(name) && !g.long()
}

// matches tells whether the pattern matches a name to which its form can be applied.
func (g *group[S]) matches(name []byte) bool {
	if g.long() {
		return fits(g.appendText(make([]byte, 0, MaxLength)), name)
	}
	return fits(g.short[:g.size], name)
}

// alone tells that there is one subscriber.
func (g *group[S]) alone() bool { return g.rest == nil || len(g.rest.list) == 0 }

// subscribers lists the group's subscribers. It aliases the group: valid under the shard's lock.
func (g *group[S]) subscribers() []Match[S] {
	if g.alone() {
		return g.only[:]
	}
	return g.rest.list
}

// find returns the position of s in subscribers, or -1.
func (g *group[S]) find(s S) int {
	if g.rest != nil && g.rest.index != nil {
		if i, ok := g.rest.index[s]; ok {
			return int(i)
		}
		return -1
	}
	list := g.subscribers()
	for i := range list {
		if list[i].Sub == s {
			return i
		}
	}
	return -1
}

// put adds s or replaces its options, and tells whether it was added. The group is not empty. stamp
// was never used.
func (g *group[S]) put(s S, o Options, stamp uint64) (added bool) {
	if i := g.find(s); i >= 0 {
		g.subscribers()[i].Options = o
		if !g.alone() {
			g.rest.stamp = stamp
		}
		return false
	}
	if g.rest == nil {
		g.rest = &rest[S]{}
	}
	r := g.rest
	r.stamp = stamp
	if len(r.list) == 0 {
		r.list = append(make([]Match[S], 0, 2), g.only[0])
		g.only[0] = Match[S]{}
	}
	r.list = append(r.list, Match[S]{Sub: s, Options: o})
	switch {
	case r.index != nil:
		r.index[s] = int32(len(r.list) - 1)
	case len(r.list) > indexAbove:
		r.reindex()
	}
	return true
}

// remove takes s away. empty tells that s was the last one: the group holds nothing any more. stamp
// was never used.
func (g *group[S]) remove(s S, stamp uint64) (removed, empty bool) {
	i := g.find(s)
	if i < 0 {
		return false, false
	}
	if g.alone() {
		g.only[0] = Match[S]{}
		return true, true
	}
	r := g.rest
	r.stamp = stamp
	last := len(r.list) - 1
	if r.index != nil {
		delete(r.index, s)
		if i != last {
			r.index[r.list[last].Sub] = int32(i)
		}
	}
	r.list[i] = r.list[last]
	r.list[last] = Match[S]{}
	r.list = r.list[:last]
	if last == 1 {
		g.only[0] = r.list[0]
		if r.list = nil; r.tail == "" {
			g.rest = nil
		}
		return true, false
	}
	r.shrink()
	return true, false
}

// shrink gives memory back when three quarters are unused: a map never shrinks by itself.
func (r *rest[S]) shrink() {
	if len(r.list) <= indexAbove/2 {
		r.index = nil
	}
	if cap(r.list) > indexAbove && len(r.list) <= cap(r.list)/4 {
		r.list = append(make([]Match[S], 0, 2*len(r.list)), r.list...)
		if r.index != nil {
			r.reindex()
		}
	}
}

func (r *rest[S]) reindex() {
	r.index = make(map[S]int32, len(r.list))
	for i := range r.list {
		r.index[r.list[i].Sub] = int32(i)
	}
}
