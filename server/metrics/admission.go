package metrics

import (
	"sync/atomic"
	"time"
)

// Admission counts how the door holds arrivals back. Any goroutine.
type Admission struct {
	Waited atomic.Uint64 // arrivals, for admission.rate
	Pauses atomic.Uint64 // because a loop was pressed
	Paused atomic.Int64  // ns that those took
}

// AdmissionSample is what Admission has counted.
type AdmissionSample struct {
	Waited, Pauses uint64
	Paused         time.Duration
}

// Read returns the counts.
func (a *Admission) Read() AdmissionSample {
	return AdmissionSample{
		Waited: a.Waited.Load(), Pauses: a.Pauses.Load(), Paused: time.Duration(a.Paused.Load()),
	}
}

// Load is how much of what it has a node uses.
type Load struct {
	Busy   time.Duration // that the loops' turns took in all, since the start
	Loops  int
	Memory float64 // of what newcomers are refused at; may be more than 1
	Places float64 // of the connections that there may be
}
