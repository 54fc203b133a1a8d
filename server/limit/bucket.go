package limit

import (
	"math"
	"sync/atomic"
)

// Gone is the wait that Bucket.Take and Bucket.Check return for a bucket its Topics has forgotten:
// nothing was taken and nothing refused, the topic has another bucket now.
const Gone = -1

// gone is the time of a forgotten bucket. It is final: such a bucket is never used again.
const gone = math.MinInt64

// Bucket is a token bucket shared between loops: one atomic word. The zero value is full. Any
// goroutine. A Bucket that did not come from a Topics is never Gone.
type Bucket struct {
	// Atomic.
	due atomic.Int64 // theoretical arrival time of the next message in units of the rate, or gone
}

// Take takes one message at nowMs. When it may not pass, ok is false, nothing is taken, and
// retryAfterMs >= 1 is how long to wait, rounded up, until one passes if no other takes it; or it
// is Gone.
func (b *Bucket) Take(r Rate, nowMs int64) (retryAfterMs int64, ok bool) {
	if r.Off() {
		return 0, true
	}
	for {
		due := b.due.Load()
		if due == gone {
			return Gone, false
		}
		next, over := r.pass(due, nowMs)
		if over > 0 {
			return r.wait(over), false
		}
		if b.due.CompareAndSwap(due, next) {
			return 0, true
		}
	}
}

// Check returns what Take would, and takes nothing.
// Another goroutine may take before the caller does.
func (b *Bucket) Check(r Rate, nowMs int64) (retryAfterMs int64, ok bool) {
	if r.Off() {
		return 0, true
	}
	due := b.due.Load()
	if due == gone {
		return Gone, false
	}
	if _, over := r.pass(due, nowMs); over > 0 {
		return r.wait(over), false
	}
	return 0, true
}

// Room returns how many messages Take lets pass at nowMs if no other goroutine takes any: the most
// there are when r is off, none when the bucket is Gone.
func (b *Bucket) Room(r Rate, nowMs int64) int64 {
	if r.Off() {
		return math.MaxInt64
	}
	due := b.due.Load()
	if due == gone {
		return 0
	}
	return r.room(due, nowMs)
}

// Pay takes n >= 0 messages that have passed already. More than Room makes later ones wait longer.
// It reports false when the bucket is Gone, and takes nothing.
func (b *Bucket) Pay(r Rate, nowMs, n int64) bool {
	for !r.Off() {
		due := b.due.Load()
		if due == gone {
			return false
		}
		if b.due.CompareAndSwap(due, r.after(due, nowMs, n)) {
			break
		}
	}
	return true
}

// Give puts back the message of one successful Take. The two belong into the same turn: a message
// kept until the bucket has filled up without it would come back as one too many.
func (b *Bucket) Give(r Rate) {
	for {
		due := b.due.Load()
		if due == gone || b.due.CompareAndSwap(due, due-r.message) {
			return // what was forgotten was full
		}
	}
}

// Full tells whether the bucket is as good as new at nowMs, so that it may be forgotten.
func (b *Bucket) Full(r Rate, nowMs int64) bool {
	return r.full(b.due.Load(), nowMs)
}

// forget marks the bucket as gone if it is full at nowMs. A Take at the same time comes either
// before, and the bucket stays, or after, and is told.
func (b *Bucket) forget(r Rate, nowMs int64) bool {
	due := b.due.Load()
	return r.full(due, nowMs) && b.due.CompareAndSwap(due, gone)
}
