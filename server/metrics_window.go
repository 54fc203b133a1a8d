package server

import (
	"sync"
	"sync/atomic"
)

// window is a count with its rate, for what happens rarely enough to take a lock. Any goroutine.
type window struct {
	// Guarded by mu.
	mu                     sync.Mutex
	total, current, before uint64
	second                 int64
}

func (w *window) roll(sec int64) {
	if sec == w.second || sec == w.second-1 { // not every caller's clock is as new as the last one's
		return
	}
	w.before = 0
	if sec == w.second+1 {
		w.before = w.current
	}
	w.current, w.second = 0, sec
}

// add counts one event in the second sec (Unix s).
func (w *window) add(sec int64) {
	w.mu.Lock()
	w.roll(sec)
	w.total++
	w.current++
	w.mu.Unlock()
}

// read returns the total and the count of the last whole second before sec.
func (w *window) read(sec int64) (total, rate uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.roll(sec)
	return w.total, w.before
}

// errorWindow counts errors per second: the running second, its count and that of the second before, in one word.
// Written by one goroutine, read by any.
type errorWindow struct{ word atomic.Uint64 }

func (w *errorWindow) add(sec int64) {
	old := w.word.Load()
	s, cur, prev := uint32(old>>32), uint16(old>>16), uint16(old)
	switch uint32(sec) {
	case s:
	case s + 1:
		prev, cur = cur, 0
	default:
		prev, cur = 0, 0
	}
	if cur < 1<<16-1 {
		cur++
	}
	w.word.Store(uint64(uint32(sec))<<32 | uint64(cur)<<16 | uint64(prev))
}

// rate is the number of errors in the last whole second before sec.
func (w *errorWindow) rate(sec int64) int {
	old := w.word.Load()
	switch uint32(sec) {
	case uint32(old >> 32):
		return int(uint16(old))
	case uint32(old>>32) + 1:
		return int(uint16(old >> 16))
	}
	return 0
}

func (w *window) at(sec int64) (c countAndRate) {
	c.total, c.rate = w.read(sec)
	return c
}
