package topic

import "sync"

// maxGroups is more than the patterns of one kind that can match one name: of five levels, 2^5
// patterns without "#" (each level itself or "+") and 2^0+…+2^4 with it.
const maxGroups = 64

// scanBelow is the number of entries up to which duplicates are looked for by scanning.
const scanBelow = 16

// found collects the groups that match one name. It lives on the caller's stack,
// under the shards' locks.
type found[S comparable] struct {
	groups [maxGroups]*group[S]
	count  int
}

func (f *found[S]) add(g *group[S]) {
	f.groups[f.count] = g
	f.count++
}

// appendTo appends the subscribers to dst, each once, with the options of its highest priority; of
// equal ones, those met first, the largest group before the others. seen is a pool of *map[S]int32.
func (f *found[S]) appendTo(dst []Match[S], seen *sync.Pool) []Match[S] {
	if f.count == 0 {
		return dst
	}
	// The largest group goes first and whole: the others' subscribers are looked up in it by its
	// own index, so one big group and some small ones cost no more than the small ones.
	largest, total := 0, 0
	for i := range f.count {
		n := len(f.groups[i].subscribers())
		total += n
		if n > len(f.groups[largest].subscribers()) {
			largest = i
		}
	}
	big := f.groups[largest]
	base := len(dst)
	dst = append(dst, big.subscribers()...)
	if f.count == 1 {
		return dst
	}
	tail := len(dst)
	var index map[S]int32
	if f.count > 2 && total-(tail-base) > scanBelow {
		p := seen.Get().(*map[S]int32)
		index = *p
		defer func() { clear(index); seen.Put(p) }()
	}
	for i := range f.count {
		if i == largest {
			continue
		}
		for _, m := range f.groups[i].subscribers() {
			at := -1
			if j := big.find(m.Sub); j >= 0 {
				at = base + j
			} else if f.count > 2 {
				at = position(dst, tail, m.Sub, index)
			}
			switch {
			case at < 0:
				if index != nil {
					index[m.Sub] = int32(len(dst))
				}
				dst = append(dst, m)
			case m.Options.Priority > dst[at].Options.Priority:
				dst[at].Options = m.Options
			}
		}
	}
	return dst
}

// position finds s in dst from tail on, by index when there is one; -1 when it is not there.
func position[S comparable](dst []Match[S], tail int, s S, index map[S]int32) int {
	if index != nil {
		if i, ok := index[s]; ok {
			return int(i)
		}
		return -1
	}
	for i := tail; i < len(dst); i++ {
		if dst[i].Sub == s {
			return i
		}
	}
	return -1
}
