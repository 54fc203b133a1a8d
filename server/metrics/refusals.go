package metrics

import (
	"maps"
	"slices"
	"sync/atomic"
)

// Refusals counts arrivals that were refused, by reason. Any goroutine.
type Refusals struct {
	counts map[string]*atomic.Uint64 // immutable after Name
}

// Name says which reasons there are. Before anybody is counted.
func (r *Refusals) Name(reasons []string) {
	r.counts = make(map[string]*atomic.Uint64, len(reasons))
	for _, reason := range reasons {
		r.counts[reason] = new(atomic.Uint64)
	}
}

// Add counts one, for one of the reasons that were named.
func (r *Refusals) Add(reason string) { r.counts[reason].Add(1) }

// Read returns how many there were for each reason, by its name.
func (r *Refusals) Read() []LabelledValue {
	var all []LabelledValue
	for _, reason := range slices.Sorted(maps.Keys(r.counts)) {
		all = append(all, LabelledValue{reason, float64(r.counts[reason].Load())})
	}
	return all
}
