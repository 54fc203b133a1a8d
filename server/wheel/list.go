package wheel

// Expirer owns timers.
type Expirer interface {
	// Expire is called when t's time has come. t is not armed any more. now is the time Advance was
	// called with. Expire may Add and Cancel any timer, t included; it must not call Advance.
	Expire(t *Timer, now int64)
}

// Timer is an intrusive list node, to be embedded in what it times. The zero value with Owner set
// is ready. It must not be copied or moved while it is armed. Owned by the goroutine of its wheel.
type Timer struct {
	Owner      Expirer // not nil when the timer expires
	next, prev *Timer  // neighbours in a ring
	// place is the time (ms) and, in the low listBits, 1 + index in Wheel.lists, or 0 when the
	// timer is not armed: one word, because every connection has a timer.
	place int64
}

const (
	listBits = 10
	listMask = 1<<listBits - 1
)

func (t *Timer) at() int64 { return t.place >> listBits }

// Armed tells whether the timer is in a wheel.
func (t *Timer) Armed() bool { return t.place&listMask != 0 }

// push appends t, which is to fire at a time, to a list and marks the list occupied.
func (w *Wheel) push(list int, t *Timer, at int64) {
	t.place = at<<listBits | int64(list+1)
	head := w.lists[list]
	if head == nil {
		t.next, t.prev = t, t
		w.lists[list] = t
		w.occupied[list/64] |= 1 << (list % 64)
		return
	}
	t.next, t.prev = head, head.prev
	head.prev.next = t
	head.prev = t
}

// unlink takes t out of its list. t is not armed afterwards.
func (w *Wheel) unlink(t *Timer) {
	list := int(t.place&listMask) - 1
	switch {
	case t.next == t:
		w.lists[list] = nil
		w.occupied[list/64] &^= 1 << (list % 64)
	default:
		t.prev.next, t.next.prev = t.next, t.prev
		if w.lists[list] == t {
			w.lists[list] = t.next
		}
	}
	t.next, t.prev = nil, nil
	t.place &^= listMask
}
