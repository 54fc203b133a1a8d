package door

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"mbserver/server/limit"
)

// The turnstile: how fast arrivals come in (protocol §11).
//
// Purpose. A crowd that comes at once, because another node has gone, costs those who are here
// nothing that they notice.
//
// Outline. Arrivals wait where they are: in the queues that the kernel keeps for the listeners.
// They are left there, and the listeners are not watched (shut), while
//
//   - a loop is pressed (broker.Pressed), or a gate has not taken in what it was handed
//     (handedMost); but for no more than pauseMost at a stretch: then some come in all the same;
//   - a loop has more to do than it gets done (broker.Busy), for no more than busyMost;
//   - admission.rate lets nobody in at the moment. Listeners then have their turns, an arrival
//     each, and those who would wait longer than admissionWait, by what is in the queues, are taken
//     at once, of the longest queue first, and told when to come back.
//
// An alarm has everything looked at again, while it is shut.
//
// Cost. A few loads for each time that a listener has somebody. Nothing while nobody comes.

// turnstile is what the listeners share. Owned by the loop of the first gate, which watches them,
// but for what is immutable or atomic.
type turnstile struct {
	// Immutable after Open.
	door  *Door
	alarm *time.Timer // calls look

	// Any goroutine.
	wanted atomic.Int64 // admission.rate: connections a second; 0: no limit

	// Owned by the loop.
	shut     bool        // the listeners are not watched, and the alarm is set
	pressed  func() bool // broker.Pressed
	since    time.Time   // nobody comes in because a loop or a gate is busy; zero: none is
	counted  time.Time   // until when the pause was counted; zero: no loop is pressed
	rate     int64       // of limit and bucket
	limit    limit.Rate
	bucket   limit.Bucket
	began    time.Time // the zero of the bucket's time
	next     int       // listener whose turn it is
	promised time.Time // until when places were promised to who was told to come back
	queues   []int     // scratch: who waits, by listener
}

func (t *turnstile) init(d *Door, rate int) {
	t.door, t.began, t.pressed = d, time.Now(), d.broker.Pressed
	t.wanted.Store(int64(rate))
	t.alarm = time.AfterFunc(time.Hour, func() { d.gates[0].room.Do(t.look) })
	t.alarm.Stop()
}

// SetRate changes admission.rate: connections a second; 0: no limit. Any goroutine, after Open.
func (d *Door) SetRate(rate int) {
	d.turnstile.wanted.Store(int64(rate))
	d.gates[0].room.Do(d.turnstile.look)
}

// look lets in who may come in by now, when the alarm has rung.
func (t *turnstile) look() {
	if t.shut {
		t.turn(nil)
	}
}

// turn lets in who may come in now: those of one listener that has somebody, nil: of any. Then it
// is shut for as long as nobody may.
func (t *turnstile) turn(ready *listener) {
	defer t.door.recovered(func() { t.close(pauseLook) })
	now := time.Now()
	wait := t.pause(now)
	if wait == 0 {
		if wait = t.letIn(now, ready); wait == 0 {
			t.open()
			return
		}
	}
	t.close(wait)
}

// letIn lets them in, and says when to look again; 0: when somebody comes.
func (t *turnstile) letIn(now time.Time, ready *listener) (wait time.Duration) {
	switch {
	case t.wanted.Load() > 0:
		return t.admit(now)
	case ready != nil:
		ready.take(acceptsMax)
		return 0
	}
	for _, l := range t.door.listeners {
		l.take(acceptsMax)
	}
	return 0
}

// pause says for how long nobody comes in, whatever the rate: 0 when somebody may.
func (t *turnstile) pause(now time.Time) (wait time.Duration) {
	pressed, most := t.pressed(), pauseMost
	switch {
	case pressed:
		wait = pauseLook
	case t.door.full():
		wait = handedLook
	case t.door.broker.Busy():
		wait, most = handedLook, busyMost
	}
	switch {
	case wait == 0, !t.since.IsZero() && now.Sub(t.since) >= most:
		wait, t.since = 0, time.Time{}
	case t.since.IsZero():
		t.since = now
	}
	t.count(now, pressed && wait > 0)
	return wait
}

// count notes whether the door pauses because a loop is pressed.
func (t *turnstile) count(now time.Time, pauses bool) {
	counts := &t.door.broker.Admission
	if !t.counted.IsZero() {
		counts.Paused.Add(int64(now.Sub(t.counted)))
	} else if pauses {
		counts.Pauses.Add(1)
	}
	if t.counted = (time.Time{}); pauses {
		t.counted = now
	}
}

// admit is letIn at a rate.
func (t *turnstile) admit(now time.Time) (wait time.Duration) {
	t.follow()
	ms := now.Sub(t.began).Milliseconds()
	ls, counts := t.door.listeners, &t.door.broker.Admission
	for took, none := 0, 0; none < len(ls); {
		if took == acceptsMax {
			return 0 // their listeners tell at once that there are more
		}
		if _, ok := t.bucket.Check(t.limit, ms); !ok {
			return t.refuse(now)
		}
		l := ls[t.next]
		if t.next++; t.next == len(ls) {
			t.next = 0
		}
		if !l.takeOne("", 0) {
			none++
			continue
		}
		none = 0
		took++
		t.bucket.Take(t.limit, ms)
		if t.shut {
			counts.Waited.Add(1)
		}
	}
	return 0
}

// follow takes over a rate that has changed.
func (t *turnstile) follow() {
	if r := t.wanted.Load(); r != t.rate {
		t.rate, t.limit, t.promised = r, limit.PerSecond(int(r)), time.Time{}
		t.bucket = limit.Bucket{}
	}
}

// refuse takes those who would have to wait too long, and tells them so. It says when to look
// again.
func (t *turnstile) refuse(now time.Time) (wait time.Duration) {
	t.queues = t.queues[:0]
	waiting, most := 0, int(t.rate*int64(admissionWait)/int64(time.Second))
	for _, l := range t.door.listeners {
		n := l.waiting()
		t.queues = append(t.queues, n)
		waiting += n
	}
	for refused := 0; waiting > most; refused++ {
		if refused == refusesMax {
			return handedLook
		}
		longest := 0
		for i, n := range t.queues {
			if n > t.queues[longest] {
				longest = i
			}
		}
		if t.door.listeners[longest].takeOne(admission, t.later(now)) {
			t.queues[longest]--
			waiting--
		} else { // some have gone
			waiting -= t.queues[longest]
			t.queues[longest] = 0
		}
	}
	if waiting == 0 {
		return 0
	}
	return admissionLook
}

// later says when there will be a place for one more who is refused now. Each gets one of its own,
// so that not all come back at once, and behind those who wait; when the time for which there are
// promises is long already, any.
func (t *turnstile) later(now time.Time) time.Duration {
	if first := now.Add(admissionWait); t.promised.Before(first) {
		t.promised = first
	}
	t.promised = t.promised.Add(time.Second / time.Duration(t.rate))
	after := t.promised.Sub(now)
	if after > retryMost {
		t.promised = now.Add(retryMost)
		after = retryMost/2 + rand.N(retryMost/2)
	}
	return after
}

// open has the listeners watched again.
func (t *turnstile) open() {
	if !t.shut {
		return
	}
	t.shut = false
	for _, l := range t.door.listeners {
		l.resume()
	}
}

// close leaves arrivals where they are for a while.
func (t *turnstile) close(wait time.Duration) {
	if !t.shut {
		t.shut = true
		for _, l := range t.door.listeners {
			l.forget()
		}
	}
	t.alarm.Reset(wait)
}
