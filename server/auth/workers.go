package auth

import (
	"runtime"
	"sync"
)

// Workers do what takes too long for a loop, on at most half as many goroutines as there are
// processors. Nothing runs while there is nothing to do. The zero value is ready. Any goroutine.
//
// What waits is bounded by who asks: a connection, or a visitor of the door, has one question at a
// time.
type Workers struct {
	mu sync.Mutex
	// Guarded by mu.
	waiting []func()
	working int
}

// Do has f called, in the order of the calls to Do when there is one worker.
func (w *Workers) Do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = append(w.waiting, f)
	if w.working < max(runtime.GOMAXPROCS(0)/2, 1) {
		w.working++
		go w.run()
	}
}

// run works until nothing waits.
func (w *Workers) run() {
	for {
		w.mu.Lock()
		if len(w.waiting) == 0 {
			w.working--
			w.waiting = nil
			w.mu.Unlock()
			return
		}
		f := w.waiting[0]
		w.waiting[0] = nil
		w.waiting = w.waiting[1:]
		w.mu.Unlock()
		f()
	}
}
