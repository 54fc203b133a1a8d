package main

import (
	"io"
	"sync"
)

// outputLimit bounds what waits to be written, in bytes.
const outputLimit = 1 << 20

// output writes to a stream what callbacks append: one goroutine writes all
// that waits with one call, so that a lone line appears at once and many cost
// few writes. Any goroutine.
type output struct {
	// Immutable after newOutput.
	w       io.Writer
	broken  chan struct{} // closed when a write failed
	stopped chan struct{}

	// Guarded by mu.
	mu      sync.Mutex
	changed *sync.Cond
	waiting []byte
	spare   []byte
	closed  bool
	err     error
}

func newOutput(w io.Writer) *output {
	o := &output{w: w, broken: make(chan struct{}), stopped: make(chan struct{})}
	o.changed = sync.NewCond(&o.mu)
	go o.run()
	return o
}

// add appends what f appends, waiting for room. After a failed write or close
// nothing is taken.
func (o *output) add(f func(dst []byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.waiting) >= outputLimit && o.err == nil && !o.closed {
		o.changed.Wait()
	}
	if o.err == nil && !o.closed {
		o.waiting = f(o.waiting)
		o.changed.Broadcast()
	}
}

// close writes what waits and returns the first error of a write.
func (o *output) close() error {
	o.mu.Lock()
	o.closed = true
	o.changed.Broadcast()
	o.mu.Unlock()
	<-o.stopped
	return o.err
}

func (o *output) run() {
	defer close(o.stopped)
	for {
		o.mu.Lock()
		for len(o.waiting) == 0 && !o.closed {
			o.changed.Wait()
		}
		batch := o.waiting
		o.waiting, o.spare = o.spare[:0], nil
		o.changed.Broadcast()
		o.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		_, err := o.w.Write(batch)
		o.mu.Lock()
		o.spare = batch
		if err != nil {
			o.err = err
			o.changed.Broadcast()
			close(o.broken)
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
	}
}
