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

// Indexes in Wheel.lists after the levels' slots.
const (
	far   = baseSlots + (levels-1)*levelSlots // past the last level: placed again once that is near
	past  = far + 1                           // due when they were added: fire on the next Advance
	due   = far + 2                           // of the tick that is firing
	lists = far + 3
)

// Wheel holds armed timers. Use New.
type Wheel struct {
	// Owned by the loop.
	now      int64 // ms: everything due by now has fired, or is in the list past or due
	target   int64 // ms: during Advance its argument, otherwise now
	count    int   // armed timers
	occupied [(lists + 63) / 64]uint64
	lists    [lists]*Timer // rings; nil when empty
}

// New returns an empty wheel that stands at now (ms).
// All memory it will ever need is allocated here.
func New(now int64) *Wheel { return &Wheel{now: now, target: now} }

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
		w.push(past, t, at)
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
		w.push(far, t, at)
	}
}

// Next returns a time not later than the earliest timer's: exact when that is in the present 256
// ms, otherwise the beginning of the slot it is in. A timer that was added too late counts as due
// at the last Advance. ok is false when no timer is armed.
func (w *Wheel) Next() (at int64, ok bool) {
	if w.lists[past] != nil || w.lists[due] != nil {
		return w.now, true
	}
	_, at, ok = w.first()
	return at, ok
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
	if w.lists[far] != nil {
		return far, (w.now | (1<<spanBits - 1)) + 1, true
	}
	return 0, 0, false
}

// Advance moves the wheel to now (ms) and fires everything due by then in order of time, timers of
// the same millisecond in the order they were placed. A now before the last one only fires what was
// added too late. Timers added while it runs fire on a later Advance. Its cost does not depend on
// how long the gap is.
func (w *Wheel) Advance(now int64) {
	now = max(now, w.now)
	w.target = now
	w.fire(past, now)
	for {
		list, at, ok := w.first()
		if !ok || at > now {
			break
		}
		w.now = at
		if list < baseSlots {
			w.fire(list, now)
		} else {
			w.cascade(list)
		}
	}
	w.now = now
}

// fire expires the timers of a list. They go to the list due first: what Expire adds is then apart
// from them, and what it cancels is found there.
func (w *Wheel) fire(list int, now int64) {
	for t := w.lists[list]; t != nil; t = w.lists[list] {
		w.unlink(t)
		w.push(due, t, t.at())
	}
	for t := w.lists[due]; t != nil; t = w.lists[due] {
		w.unlink(t)
		w.count--
		t.Owner.Expire(t, now)
	}
}

// cascade places the timers of a list again, now that the wheel stands where the list begins.
func (w *Wheel) cascade(list int) {
	t := w.lists[list]
	w.lists[list] = nil
	w.occupied[list/64] &^= 1 << (list % 64)
	if t == nil {
		return
	}
	// The ring is opened, so that a timer that goes back to the same list is not met again.
	t.prev.next = nil
	for t != nil {
		next := t.next
		w.place(t, t.at())
		t = next
	}
}
