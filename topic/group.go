package topic

import "unsafe"

// indexAbove is the number of subscribers past which a group keeps an index. Below, a scan of the
// list is as fast and an index would cost more than the subscribers. The index goes again at half
// of it.
const indexAbove = 16

// inlineText is the number of bytes of a pattern kept in the group itself, so that comparing it to
// a name does not cost another cache miss. With S a pointer a group is then 96 bytes.
const inlineText = 46

// group is one pattern and its subscribers for one kind of message. Most have exactly one, which is
// kept in the group itself. Guarded by the shard's lock.
type group[S comparable] struct {
	only  [1]Match[S] // the one subscriber while more is nil
	more  *members[S] // all subscribers, when there are two or more
	long  string      // the pattern, when it does not fit in short
	short [inlineText]byte
	size  uint8 // bytes of short in use; 0 when long is
	flags uint8 // wildFlag, systemFlag
}

const (
	wildFlag = 1 << iota
	systemFlag
)

// name sets the pattern of a new group.
func (g *group[S]) name(p Pattern) {
	if len(p.text) <= inlineText {
		g.size = uint8(copy(g.short[:], p.text))
	} else {
		g.long = p.text
	}
	if p.wild {
		g.flags |= wildFlag
	}
	if p.system {
		g.flags |= systemFlag
	}
}

// text returns the pattern's canonical form. It aliases the group: valid under the shard's lock.
func (g *group[S]) text() []byte {
	if g.size == 0 {
		return unsafe.Slice(unsafe.StringData(g.long), len(g.long))
	}
	return g.short[:g.size]
}

// pattern returns the pattern, in memory of its own.
func (g *group[S]) pattern() Pattern {
	return Pattern{
		text: string(g.text()), wild: g.flags&wildFlag != 0, system: g.flags&systemFlag != 0,
	}
}

// members lists two or more subscribers in the order they came, but for the last one,
// which moves into a gap.
type members[S comparable] struct {
	list  []Match[S]
	index map[S]int32 // position in list; nil for a short list
}

// subscribers lists the group's subscribers. It aliases the group: valid under the shard's lock.
func (g *group[S]) subscribers() []Match[S] {
	if g.more == nil {
		return g.only[:]
	}
	return g.more.list
}

// find returns the position of s in subscribers, or -1.
func (g *group[S]) find(s S) int {
	if g.more != nil && g.more.index != nil {
		if i, ok := g.more.index[s]; ok {
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

// put adds s or replaces its options, and tells whether it was added. The group is not empty.
func (g *group[S]) put(s S, o Options) (added bool) {
	if i := g.find(s); i >= 0 {
		g.subscribers()[i].Options = o
		return false
	}
	if g.more == nil {
		g.more = &members[S]{list: make([]Match[S], 1, 2)}
		g.more.list[0] = g.only[0]
		g.only[0] = Match[S]{}
	}
	m := g.more
	m.list = append(m.list, Match[S]{Sub: s, Options: o})
	switch {
	case m.index != nil:
		m.index[s] = int32(len(m.list) - 1)
	case len(m.list) > indexAbove:
		m.reindex()
	}
	return true
}

// remove takes s away. empty tells that s was the last one: the group holds nothing any more.
func (g *group[S]) remove(s S) (removed, empty bool) {
	i := g.find(s)
	if i < 0 {
		return false, false
	}
	m := g.more
	if m == nil {
		g.only[0] = Match[S]{}
		return true, true
	}
	last := len(m.list) - 1
	if m.index != nil {
		delete(m.index, s)
		if i != last {
			m.index[m.list[last].Sub] = int32(i)
		}
	}
	m.list[i] = m.list[last]
	m.list[last] = Match[S]{}
	m.list = m.list[:last]
	if last == 1 {
		g.only[0] = m.list[0]
		g.more = nil
		return true, false
	}
	m.shrink()
	return true, false
}

// shrink gives memory back when three quarters are unused: a map never shrinks by itself.
func (m *members[S]) shrink() {
	if len(m.list) <= indexAbove/2 {
		m.index = nil
	}
	if cap(m.list) > indexAbove && len(m.list) <= cap(m.list)/4 {
		m.list = append(make([]Match[S], 0, 2*len(m.list)), m.list...)
		if m.index != nil {
			m.reindex()
		}
	}
}

func (m *members[S]) reindex() {
	m.index = make(map[S]int32, len(m.list))
	for i := range m.list {
		m.index[m.list[i].Sub] = int32(i)
	}
}
