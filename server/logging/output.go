package logging

import (
	"io"
	"sync/atomic"
	"time"
)

// output is what lines are written to, and the account of those that could not be: the disk is
// full, the reader of the pipe has gone. They are counted, and told when writing works again: with
// the next line, or without one after a while.
type output struct {
	// Atomic.
	total atomic.Uint64 // lines that were lost

	// Owned by the output's goroutine.
	w     io.Writer
	torn  bool   // what was written last has no end
	lost  uint64 // lines, since that was told
	why   error  // what kept the last of them
	retry *time.Timer
	pause time.Duration // before the next retry
	line  []byte        // scratch
}

// While lines are lost and no other comes, telling it is tried after retryFirst, and then ever less
// often, down to once in retryLast.
const (
	retryFirst = time.Second
	retryLast  = time.Minute
)

func (o *output) init(w io.Writer) {
	o.w, o.pause = w, retryFirst
	if f, ok := w.(*File); ok {
		o.torn = f.torn()
	}
}

// Write writes a whole line, for slog's handlers. What a failed write has left of another stays a
// line of its own.
func (o *output) Write(line []byte) (int, error) {
	p := line
	if o.torn {
		o.line = append(append(o.line[:0], '\n'), line...)
		p = o.line
	}
	n, err := o.w.Write(p)
	if n > 0 {
		o.torn = p[min(n, len(p))-1] != '\n'
	}
	switch {
	case n >= len(p)-1: // its end comes before the next line
		return len(line), nil
	case err == nil:
		err = io.ErrShortWrite
	}
	o.why = err
	return 0, err
}

// lose counts a line that could not be written, and has again called after a while.
func (o *output) lose(again func()) {
	o.total.Add(1)
	o.lost++
	o.tryLater(again)
}

// tryLater has again called after a while, unless it is already going to be.
func (o *output) tryLater(again func()) {
	if o.retry != nil {
		return
	}
	o.retry = time.AfterFunc(o.pause, again)
	o.pause = min(2*o.pause, retryLast)
}

// stopRetry says that again has been called, or is not needed any more.
func (o *output) stopRetry() {
	if o.retry != nil {
		o.retry.Stop()
		o.retry = nil
	}
}

// told notes that a line has said how many are lost.
func (o *output) told() {
	o.lost, o.pause = 0, retryFirst
	o.stopRetry()
}
