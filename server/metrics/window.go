package metrics

import "sync/atomic"

// Window counts events per second: which second is running, its count and that of the second
// before, in one word. Counts end at 65,535 a second. The zero value is ready. Any goroutine.
type Window struct{ word atomic.Uint64 }

// Add counts one event in the second sec (Unix s).
// A clock that is a moment behind counts in the running second.
func (w *Window) Add(sec int64) {
	for {
		old := w.word.Load()
		to := roll(old, sec)
		if to>>16&0xffff < 0xffff {
			to += 1 << 16
		}
		if w.word.CompareAndSwap(old, to) {
			return
		}
	}
}

// Rate is the number of events in the last whole second before sec.
func (w *Window) Rate(sec int64) int {
	old := w.word.Load()
	if uint32(old) == 0 {
		return 0 // as it was: nothing is written to what nothing happened to
	}
	to := roll(old, sec)
	w.word.CompareAndSwap(old, to) // else another has gone on at the same time
	return int(to & 0xffff)
}

// roll goes on to sec: the second in the upper half, then its count, then that of the one before.
func roll(word uint64, sec int64) uint64 {
	switch uint32(sec) - uint32(word>>32) {
	case 0, ^uint32(0): // not every caller's clock is as new as the last one's
		return word
	case 1:
		return uint64(uint32(sec))<<32 | word>>16&0xffff
	}
	return uint64(uint32(sec)) << 32
}

// Events is a total with its rate. Any goroutine.
type Events struct {
	total  atomic.Uint64
	recent Window
}

// TotalAndRate is what Events has counted: in all, and in the last whole second.
type TotalAndRate struct{ Total, Rate uint64 }

// Add counts one event in the second sec (Unix s).
func (e *Events) Add(sec int64) {
	e.total.Add(1)
	e.recent.Add(sec)
}

// Read returns the total and the count of the last whole second before sec.
func (e *Events) Read(sec int64) TotalAndRate {
	return TotalAndRate{Total: e.total.Load(), Rate: uint64(e.recent.Rate(sec))}
}
