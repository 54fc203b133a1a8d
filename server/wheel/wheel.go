package wheel

import "math/bits"

// The wheel's shape. Level 0 has 256 slots of 1 ms, each further level 64 slots as long as the
// whole level below: 2^8 ms, 2^14 ms (16 s), 2^20 ms (17 min), 2^26 ms (19 h), 2^32 ms (50 days).
const (
	baseBits  = 8
	levelBits = 6
	levels    = 5 // level 0 included
	spanBits  = baseBits + (levels-1)*levelBits

	baseSlots  = 1 << baseBits
	levelSlots = 1 << levelBits
	baseWords  = baseSlots / 64
)

// Indexes in Wheel.lists after the levels' slots. Of the last two kinds there are two lists: one is
// added to while the other is emptied.
const (
	far   = baseSlots + (levels-1)*levelSlots // past the last level: placed again once that is near
	past  = far + 2                           // due when they were added: fire on the next Advance
	lists = far + 4
)

// none is no list: nothing is being emptied.
const none = -1

// Wheel holds armed timers. Use New.
type Wheel struct {
	// Owned by the loop.
	now      int64 // ms: everything due before has fired, or is in a list of the past
	target   int64 // ms: the time of the last Advance; now, unless that was left before its end
	moving   int   // the list whose timers are being placed again: its time is now; or none
	far      int   // far or far+1: the one that is added to
	past     int   // past or past+1: the one that is added to
	count    int   // armed timers
	occupied [(lists + 63) / 64]uint64
	lists    [lists]*Timer // rings; nil when empty
}

// New returns an empty wheel that stands at now (ms).
// All memory it will ever need is allocated here.
func New(now int64) *Wheel {
	return &Wheel{now: now, target: now, moving: none, far: far, past: past}
}

// Len returns the number of armed timers.
func (w *Wheel) Len() int { return w.count }

// Add arms t for the time at (ms); an armed timer is moved. A time not later than the last Advance,
// or than the one that is running, fires on the next Advance. O(1).
func (w *Wheel) Add(t *Timer, at int64) {
	if t.Armed() {
		w.unlink(t)
	} else {
		w.count++
	}
	if at <= w.target {
		w.push(w.past, t, at)
		return
	}
	w.place(t, at)
}

// Cancel disarms t and tells whether it was armed. O(1).
func (w *Wheel) Cancel(t *Timer) bool {
	if !t.Armed() {
		return false
	}
	w.unlink(t)
	w.count--
	return true
}

// place puts t in the slot for its time, which is not earlier than now.
func (w *Wheel) place(t *Timer, at int64) {
	differ := bits.Len64(uint64(at ^ w.now)) // the highest bit that differs, counted from 1
	switch {
	case differ <= baseBits:
		w.push(int(at&(baseSlots-1)), t, at)
	case differ <= spanBits:
		level := (differ - baseBits - 1) / levelBits // counted from level 1
		slot := int(at>>(baseBits+level*levelBits)) & (levelSlots - 1)
		w.push(baseSlots+level*levelSlots+slot, t, at)
	default:
		w.push(w.far, t, at)
	}
}

// Next returns a time not later than the earliest timer's: exact when that is in the present 256
// ms, otherwise the beginning of the slot it is in. A timer that was added too late counts as due
// at the last Advance, as does what that has left over. ok is false when no timer is armed.
func (w *Wheel) Next() (at int64, ok bool) {
	moves := w.moving != none && w.lists[w.moving] != nil
	if moves || w.lists[past] != nil || w.lists[past+1] != nil {
		return w.target, true
	}
	_, at, ok = w.first()
	return max(at, w.target), ok
}

// first returns the first occupied list of the levels and the time it begins.
func (w *Wheel) first() (list int, at int64, ok bool) {
	for i, word := range w.occupied[:baseWords] {
		if word != 0 {
			slot := i*64 + bits.TrailingZeros64(word)
			return slot, w.now&^(baseSlots-1) | int64(slot), true
		}
	}
	for level := range levels - 1 {
		if word := w.occupied[baseWords+level]; word != 0 {
			slot := bits.TrailingZeros64(word)
			shift := baseBits + level*levelBits
			block := int64(1)<<(shift+levelBits) - 1
			return baseSlots + level*levelSlots + slot, w.now&^block | int64(slot)<<shift, true
		}
	}
	if w.lists[w.far] != nil {
		return w.far, (w.now | (1<<spanBits - 1)) + 1, true
	}
	return 0, 0, false
}

// Advance moves the wheel to now (ms) and fires everything due by then: first what was added too
// late, then in order of time, timers of the same millisecond in the order they were placed. A now
// before the last one only fires what was added too late. Timers added while it runs fire on a
// later Advance. Its cost does not depend on how long the gap is.
//
// goOn is asked after each step: a timer was fired, or brought to a finer level, as each is once
// for each level, and every 50 days. When it says no and something due is left over, Advance ends,
// and is not done: the next one goes on there, and what has been added too late meanwhile has to
// wait for the one after that.
func (w *Wheel) Advance(now int64, goOn func() bool) (done bool) {
	w.target = max(now, w.target)
	if late := w.late(); w.lists[late] == nil {
		w.past = late // what Expire adds is then apart from what was added before
	}
	for list := w.due(); list != none; list = w.due() {
		for t := w.lists[list]; t != nil; t = w.lists[list] {
			w.unlink(t)
			if list == w.moving {
				w.place(t, t.at())
			} else {
				w.count--
				t.Owner.Expire(t, w.target)
			}
			if !goOn() && w.leftOver() {
				return false
			}
		}
	}
	w.now = w.target
	return true
}

// late is the list of the past that is emptied.
func (w *Wheel) late() int { return 2*past + 1 - w.past }

// due returns the list that is to be emptied next, and moves the wheel to its time; or none. The
// timers of a finer level's list cannot be fired before all of moving are in such.
func (w *Wheel) due() int {
	if late := w.late(); w.lists[late] != nil {
		return late
	}
	if w.moving != none && w.lists[w.moving] != nil {
		return w.moving
	}
	w.moving = none
	list, at, ok := w.first()
	if !ok || at > w.target {
		return none
	}
	if w.now = at; list >= baseSlots {
		w.moving = list
	}
	if list == w.far {
		w.far = 2*far + 1 - w.far // what is still far is then not met again
	}
	return list
}

// leftOver says that something is due.
func (w *Wheel) leftOver() bool {
	at, ok := w.Next()
	return ok && at <= w.target
}
