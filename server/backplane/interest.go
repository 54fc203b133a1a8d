package backplane

import (
	"sync"

	"mbserver/codec"
)

// interest is what others are told of this node: entries (entry.go). Patterns that somebody is
// subscribed to and offers of services are counted. Each change has the next version. Any
// goroutine.
type interest struct {
	most int // entries; immutable

	// Guarded by mu.
	mu       sync.Mutex
	wanted   map[string]want
	services map[codec.UUID]string // their entries
	pending  []change              // those after what was taken last
	version  uint64
	hash     uint64 // of all entries
}

func (i *interest) init(most int) {
	i.most, i.wanted = most, make(map[string]want)
	i.services = make(map[codec.UUID]string)
}

// want is one pattern that somebody is subscribed to, or one offer.
type want struct {
	count   int
	version uint64 // that has added it
}

// hashOf is an entry's part of the hash of a set, in which each is once: FNV-1a, spread.
func hashOf(entry string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(entry) {
		h = (h ^ uint64(entry[i])) * 1099511628211
	}
	h ^= h >> 32
	h *= 0x9E3779B97F4A7C15
	return h ^ h>>29
}

// room says whether one more subscription to a pattern may be there.
func (i *interest) room(pattern string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	_, is := i.wanted[pattern]
	return is || len(i.wanted)+len(i.services) < i.most
}

// versionOf is the version that has added an entry, 0 for one that is not there.
func (i *interest) versionOf(pattern string) uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.wanted[pattern].version
}

// change counts a subscription that has come (by 1) or gone (by -1). version is the one that has
// added the pattern, begun that it is the first or last one: others are to be told.
func (i *interest) change(pattern string, by int) (version uint64, begun bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	w, is := i.wanted[pattern]
	switch {
	case !is && by < 0:
		return i.version, false // it was not counted: the plane came later
	case !is:
		i.note(change{pattern, false})
		w.version, begun = i.version, true
	}
	if w.count += by; w.count > 0 {
		i.wanted[pattern] = w
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
	i.hash ^= hashOf(c.entry)
	i.pending = append(i.pending, c)
}

// state is the interest at one version.
type state struct {
	version, hash, count uint64
	changes              []change // that have led there since it was taken last
	entries              []string // all of them, services first, where asked for
}

// serve adds a service, or has it be another than it was, which is told in this order: that it is
// there, and then that the old entry is not.
func (i *interest) serve(id codec.UUID, text string) (changed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	old, known := i.services[id]
	if known && old == text {
		return false
	}
	i.services[id] = text
	i.note(change{text, false})
	if known {
		i.note(change{old, true})
	}
	return true
}

// unserve takes a service away.
func (i *interest) unserve(id codec.UUID) (changed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	old, known := i.services[id]
	if known {
		delete(i.services, id)
		i.note(change{old, true})
	}
	return known
}

// take takes the changes since it was called last. whole asks for all entries too.
func (i *interest) take(whole bool) (s state) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s.version, s.hash, s.count = i.version, i.hash, uint64(len(i.wanted)+len(i.services))
	s.changes, i.pending = i.pending, nil
	if whole {
		s.entries = make([]string, 0, s.count)
		for _, text := range i.services {
			s.entries = append(s.entries, text)
		}
		for text := range i.wanted {
			s.entries = append(s.entries, text)
		}
	}
	return s
}
