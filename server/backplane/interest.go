package backplane

import "sync"

// interest is what somebody on this node is subscribed to: patterns, counted. Each change has the
// next version. Any goroutine.
type interest struct {
	most int // patterns; immutable

	// Guarded by mu.
	mu      sync.Mutex
	wanted  map[string]*want
	pending []change // those after what was taken last
	version uint64
	hash    uint64 // of all patterns
}

// want is one pattern that somebody is subscribed to.
type want struct {
	count   int
	version uint64 // that has added it
}

// hashOf is a pattern's part of the hash of a set, in which each is once: FNV-1a, spread.
func hashOf(pattern string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(pattern) {
		h = (h ^ uint64(pattern[i])) * 1099511628211
	}
	h ^= h >> 32
	h *= 0x9E3779B97F4A7C15
	return h ^ h>>29
}

// room says whether one more subscription to a pattern may be there.
func (i *interest) room(pattern string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.wanted[pattern] != nil || len(i.wanted) < i.most
}

// versionOf is the version that has added a pattern, 0 for one that nobody wants.
func (i *interest) versionOf(pattern string) uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	if w := i.wanted[pattern]; w != nil {
		return w.version
	}
	return 0
}

// change counts a subscription that has come (by 1) or gone (by -1). version is the one that has
// added the pattern, begun that it is the first or last one: others are to be told.
func (i *interest) change(pattern string, by int) (version uint64, begun bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	w := i.wanted[pattern]
	switch {
	case w == nil && by < 0:
		return i.version, false // it was not counted: the plane came later
	case w == nil:
		i.note(change{pattern, false})
		w = &want{version: i.version}
		i.wanted[pattern] = w
		begun = true
	}
	if w.count += by; w.count > 0 {
		return w.version, begun
	}
	delete(i.wanted, pattern)
	i.note(change{pattern, true})
	return i.version, true
}

// changed says whether there are changes that were not taken.
func (i *interest) changed() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.pending) > 0
}

func (i *interest) note(c change) {
	i.version++
	i.hash ^= hashOf(c.pattern)
	i.pending = append(i.pending, c)
}

// state is the interest at one version.
type state struct {
	version, hash, count uint64
	changes              []change // that have led there since it was taken last
	patterns             []string // all of them, where asked for
}

// take takes the changes since it was called last. whole asks for all patterns too.
func (i *interest) take(whole bool) (s state) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s.version, s.hash, s.count = i.version, i.hash, uint64(len(i.wanted))
	s.changes, i.pending = i.pending, nil
	if whole {
		s.patterns = make([]string, 0, len(i.wanted))
		for p := range i.wanted {
			s.patterns = append(s.patterns, p)
		}
	}
	return s
}
