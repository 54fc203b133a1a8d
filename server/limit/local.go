package limit

import "math"

// Local is a token bucket of one loop. The zero value is full. Loop only.
type Local struct {
	// Owned by the loop.
	due int64 // theoretical arrival time of the next message in units of the rate
}

// Take takes one message at nowMs. When it may not pass, ok is false, nothing is taken, and
// retryAfterMs >= 1 is how long to wait, rounded up, until one passes.
func (l *Local) Take(r Rate, nowMs int64) (retryAfterMs int64, ok bool) {
	if r.Off() {
		return 0, true
	}
	next, over := r.pass(l.due, nowMs)
	if over > 0 {
		return r.wait(over), false
	}
	l.due = next
	return 0, true
}

// Check returns what Take would, and takes nothing.
// A Take at the same nowMs after a good Check succeeds.
func (l *Local) Check(r Rate, nowMs int64) (retryAfterMs int64, ok bool) {
	if r.Off() {
		return 0, true
	}
	if _, over := r.pass(l.due, nowMs); over > 0 {
		return r.wait(over), false
	}
	return 0, true
}

// Room returns how many messages Take lets pass at nowMs; the most there are when r is off.
func (l *Local) Room(r Rate, nowMs int64) int64 {
	if r.Off() {
		return math.MaxInt64
	}
	return r.room(l.due, nowMs)
}

// Pay takes n >= 0 messages that have passed already. More than Room makes later ones wait longer.
func (l *Local) Pay(r Rate, nowMs, n int64) {
	if !r.Off() {
		l.due = r.after(l.due, nowMs, n)
	}
}

// Move makes a bucket of rate from one of rate to at nowMs, of which the same part is left. So
// whoever changes its rate gains nothing by that.
func (l *Local) Move(from, to Rate, nowMs int64) {
	var ahead int64 // units of from
	if !from.Off() {
		ahead = max(0, l.due-nowMs*from.perMs)
	}
	l.due = 0
	if !to.Off() && ahead > 0 {
		ms, rest := ahead/from.perMs, ahead%from.perMs
		l.due = (nowMs+ms)*to.perMs + (rest*to.perMs+from.perMs-1)/from.perMs
	}
}

// Full tells whether the bucket is as good as new at nowMs, so that it may be forgotten.
func (l *Local) Full(r Rate, nowMs int64) bool { return r.full(l.due, nowMs) }
