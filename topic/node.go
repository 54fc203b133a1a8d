package topic

import (
	"bytes"
	"strings"
)

// branchIndexAbove is the number of literal branches past which a node keeps an index.
const branchIndexAbove = 8

// kinds is the number of Kinds.
const kinds = 2

// node is one level of the trie of wildcard patterns. Guarded by the shard's lock.
type node[S comparable] struct {
	here     [kinds]*group[S] // the patterns that end here
	below    [kinds]*group[S] // the patterns that go on with "#"
	plus     *node[S]         // the branch "+"
	branches []branch[S]      // the literal branches
	index    map[string]int32 // position in branches; nil when there are few
}

type branch[S comparable] struct {
	level string
	node  *node[S]
}

// slot returns where the group of a pattern and kind is kept, creating the nodes on the way to it when create is
// set. Without it the result is nil when there is no such node.
func (n *node[S]) slot(path string, k Kind, create bool) **group[S] {
	for more := true; more; {
		var level string
		level, path, more = strings.Cut(path, ".")
		if level == "#" {
			return &n.below[k]
		}
		next := n.child(level)
		if next == nil {
			if !create {
				return nil
			}
			next = &node[S]{}
			n.grow(level, next)
		}
		n = next
	}
	return &n.here[k]
}

// child returns the branch for a pattern's level, or nil.
func (n *node[S]) child(level string) *node[S] {
	if level == "+" {
		return n.plus
	}
	if i := n.position(level); i >= 0 {
		return n.branches[i].node
	}
	return nil
}

func (n *node[S]) position(level string) int {
	if n.index != nil {
		if i, ok := n.index[level]; ok {
			return int(i)
		}
		return -1
	}
	for i := range n.branches {
		if n.branches[i].level == level {
			return i
		}
	}
	return -1
}

func (n *node[S]) grow(level string, next *node[S]) {
	if level == "+" {
		n.plus = next
		return
	}
	n.branches = append(n.branches, branch[S]{level, next})
	switch {
	case n.index != nil:
		n.index[level] = int32(len(n.branches) - 1)
	case len(n.branches) > branchIndexAbove:
		n.reindex()
	}
}

// prune takes away the nodes along path that hold nothing, and tells whether n itself is such a node.
func (n *node[S]) prune(path string) (empty bool) {
	level, rest, more := strings.Cut(path, ".")
	if path == "" || level == "#" {
		return n.empty()
	}
	if !more {
		rest = ""
	}
	if next := n.child(level); next != nil && next.prune(rest) {
		n.cut(level)
	}
	return n.empty()
}

func (n *node[S]) empty() bool {
	return n.here == [kinds]*group[S]{} && n.below == [kinds]*group[S]{} && n.plus == nil && len(n.branches) == 0
}

func (n *node[S]) cut(level string) {
	if level == "+" {
		n.plus = nil
		return
	}
	i, last := n.position(level), len(n.branches)-1
	if n.index != nil {
		delete(n.index, level)
		if i != last {
			n.index[n.branches[last].level] = int32(i)
		}
	}
	n.branches[i] = n.branches[last]
	n.branches[last] = branch[S]{}
	n.branches = n.branches[:last]
	if last <= branchIndexAbove/2 {
		n.index = nil
	}
	if cap(n.branches) > branchIndexAbove && last <= cap(n.branches)/4 {
		n.branches = append(make([]branch[S], 0, 2*last), n.branches...)
		if n.index != nil {
			n.reindex()
		}
	}
}

func (n *node[S]) reindex() {
	n.index = make(map[string]int32, len(n.branches))
	for i := range n.branches {
		n.index[n.branches[i].level] = int32(i)
	}
}

// match adds to f the groups whose patterns match the levels in rest; nil stands for no levels.
func (n *node[S]) match(rest []byte, k Kind, f *found[S]) {
	if g := n.below[k]; g != nil {
		f.add(g)
	}
	if rest == nil {
		if g := n.here[k]; g != nil {
			f.add(g)
		}
		return
	}
	if n.plus == nil && len(n.branches) == 0 {
		return
	}
	level, left := rest, []byte(nil)
	if i := bytes.IndexByte(rest, '.'); i >= 0 {
		level, left = rest[:i], rest[i+1:]
	}
	if n.index != nil {
		if i, ok := n.index[string(level)]; ok {
			n.branches[i].node.match(left, k, f)
		}
	} else {
		for i := range n.branches {
			if b := &n.branches[i]; b.level == string(level) {
				b.node.match(left, k, f)
				break
			}
		}
	}
	if n.plus != nil {
		n.plus.match(left, k, f)
	}
}
