package backplane

import "time"

// origin is one run of another node, as what comes of it knows it: publishes (inward.go), and
// requests and answers (call_link.go). Guarded by the mu of who has it.
type origin struct {
	nodeKey
	slot  uint32
	known bool          // slot is its
	used  time.Duration // when something was last heard
	epoch uint64        // of its link to this node
}

func (o *origin) of() *origin { return o }

// roomFor returns the one to be forgotten when one more would be too many: of those without a slot
// that which was not used for the longest time. none: there is none, or room. mu is held.
func roomFor[L interface{ of() *origin }](links map[nodeKey]L) (oldest L, none bool) {
	if none = true; len(links) < knownMost {
		return oldest, none
	}
	for _, l := range links {
		if o := l.of(); !o.known && (none || o.used < oldest.of().used) {
			oldest, none = l, false
		}
	}
	return oldest, none
}
