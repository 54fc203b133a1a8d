package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
)

// ending is when a command that prints what comes ends by itself: after so many,
// or when nothing came for so long.
type ending struct {
	noun  string // of one that comes: "message"
	count int    // 0: no end
	wait  time.Duration

	came    atomic.Int64
	silent  atomic.Bool // it was the silence that ended it
	reached chan struct{}
	once    sync.Once
	timer   *time.Timer // nil without wait; immutable after begin
}

func (e *ending) register(f *pflag.FlagSet) {
	f.IntVarP(&e.count, "count", "n", 0, "end after `N` "+e.noun+"s")
	f.DurationVarP(&e.wait, "wait", "w", 0,
		"end when no "+e.noun+" came for `TIME`; an error when there were fewer than --count")
}

func (e *ending) check() error {
	switch {
	case e.count < 0:
		return usageError("--count must not be negative")
	case e.wait < 0:
		return usageError("--wait must not be negative")
	}
	return nil
}

// begin makes e ready for what comes; listen starts the time of --wait.
func (e *ending) begin() {
	e.reached = make(chan struct{})
	if e.wait > 0 {
		e.timer = time.AfterFunc(time.Hour, func() {
			e.silent.Store(true)
			e.reach()
		})
		e.timer.Stop()
	}
}

func (e *ending) listen() {
	if e.timer != nil {
		e.timer.Reset(e.wait)
	}
}

func (e *ending) reach() { e.once.Do(func() { close(e.reached) }) }

// over reports whether the command has all that it wants. Dispatch goroutine.
func (e *ending) over() bool { return e.count > 0 && e.came.Load() >= int64(e.count) }

// next numbers what came, from 1. Dispatch goroutine.
func (e *ending) next() int {
	if e.timer != nil {
		e.timer.Reset(e.wait)
	}
	return int(e.came.Add(1))
}

// printed is called when it was printed.
func (e *ending) printed() {
	if e.over() {
		e.reach()
	}
}

// unbegun is what an error of the connecting means.
func (e *ending) unbegun(err error) error { return unbegun(err, e.count) }

// unbegun is what an error of the connecting means for a command that goes on
// until it had count: one without an end is over in order when a signal comes.
func unbegun(err error, count int) error {
	if _, early := errors.AsType[interrupted](err); early && count == 0 {
		return nil
	}
	return err
}

// result is what the end means: too few are an error, whether a signal or
// silence brought it.
func (e *ending) result(ctx context.Context) error {
	if e.timer != nil {
		e.timer.Stop()
	}
	came := int(e.came.Load())
	if e.silent.Load() && came < e.count {
		return fmt.Errorf("no %s for %v: %s of %s came", e.noun, e.wait,
			number(came), plural(e.count, e.noun))
	}
	return cut(ctx, came, e.count, e.noun)
}
