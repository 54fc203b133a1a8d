package backplane

import (
	"slices"
	"time"
)

// holes are what a lane of a link holds back, because something misses before it. Guarded by
// inward's mu.
type holes struct {
	list    []held // by numbers; those before at were delivered
	at      int
	bytes   int
	last    uint64        // of those before which something was found missing, the first number
	asked   uint64        // those before that miss were asked for
	askedAt time.Duration // when something was asked for last, or came that was
}

// held are publishes that came too early, or that are known not to come.
type held struct {
	first, upto uint64
	publishes   []byte        // fields
	at          time.Duration // when it was seen that something misses before them
	lost        bool          // they do not come
	repaired    bool          // they were asked for
}

// heldCharge is what each takes beside its publishes, in bytes.
const heldCharge = 128

// waiting are those that were not delivered yet.
func (h *holes) waiting() []held { return h.list[h.at:] }

// put puts some in, unless they are there.
func (h *holes) put(one held) (bytes int) {
	w := h.waiting()
	n, is := slices.BinarySearchFunc(w, one.first, func(e held, first uint64) int {
		if e.first < first {
			return -1
		}
		return int(min(e.first-first, 1))
	})
	if is && (w[n].lost == one.lost || !w[n].lost) {
		return 0
	}
	if n < len(w) {
		one.at = w[n].at // so that times do not decrease
	}
	if is {
		w[n] = one
		return len(one.publishes)
	}
	h.list = slices.Insert(h.list, h.at+n, one)
	return len(one.publishes) + heldCharge
}

// top is the number after that of the last publish that is there, or known not to come.
func (in *inLane) top() uint64 {
	if w := in.holes.waiting(); len(w) > 0 {
		return max(in.next, w[len(w)-1].upto)
	}
	return in.next
}

// opens notes that something of a lane misses, which is looked at when it is time. mu is held.
func (i *inward) opens(in *inLane) {
	if !slices.Contains(i.open, in) {
		i.open = append(i.open, in)
		i.plane.call() // it sets the timer
	}
}

// hold keeps publishes until those before them are there, which are asked for. mu is held.
func (i *inward) hold(in *inLane, m *batch, repaired bool) {
	count := uint64(0)
	if each(m.publishes, func(tag uint64, _ []byte) error {
		if tag == tagPublish {
			count++
		}
		return nil
	}) != nil || count == 0 {
		return
	}
	now, h := in.link.used, &in.holes
	if m.first > in.top() {
		h.last = m.first
	}
	i.put(in, held{
		first: m.first, upto: m.first + count, publishes: m.publishes, at: now, repaired: repaired,
	})
	for h.bytes > i.plane.o.RepairBytes ||
		i.held.Load() > int64(i.plane.o.RepairBytes*len(i.plane.lanes)) {
		w := h.waiting()
		if len(w) == 0 {
			break
		}
		i.advance(in, w[0].first)
	}
	if h.last > max(h.asked, in.next) {
		if h.askedAt == 0 || now-h.askedAt >= askApart {
			i.ask(in, h.asked, now)
		} else {
			i.plane.call() // it sets the timer
		}
	}
	i.opens(in)
}

// put keeps something. mu is held.
func (i *inward) put(in *inLane, h held) {
	n := in.holes.put(h)
	in.holes.bytes += n
	i.held.Add(int64(n))
}

// advance gives up what misses before a number, and delivers what is held up to there, and what
// follows without a hole. mu is held.
func (i *inward) advance(in *inLane, upto uint64) {
	h := &in.holes
	for {
		w, to := h.waiting(), upto
		if len(w) > 0 {
			to = min(to, w[0].first)
		}
		i.miss(in, to)
		if len(w) == 0 || w[0].first > in.next {
			break
		}
		one := w[0]
		w[0] = held{}
		h.at++
		h.bytes -= len(one.publishes) + heldCharge
		i.held.Add(-int64(len(one.publishes) + heldCharge))
		if one.lost {
			i.miss(in, one.upto)
		} else {
			i.deliver(in, one.first, one.publishes, one.repaired)
		}
	}
	switch {
	case h.at == len(h.list):
		h.list, h.at = nil, 0
	case h.at > len(h.list)/2:
		h.list, h.at = slices.Delete(h.list, 0, h.at), 0
	}
}

// miss counts publishes before a number that did not arrive, and has that told. mu is held.
func (i *inward) miss(in *inLane, upto uint64) {
	if upto <= in.next {
		return
	}
	count := upto - in.next
	in.next = upto
	if simfaultBuild && strikes(simForgottenHole) {
		return
	}
	in.link.lost += count
	i.plane.lost.Add(count)
	if simfaultBuild && strikes(simWithheldCount) {
		count--
	}
	i.plane.broker.Lost(count)
}

// end ends all lanes of a link: what misses is lost. mu is held.
func (i *inward) end(l *inLink) {
	for _, in := range l.lanes {
		i.advance(in, in.top())
		in.since = 0
	}
	i.plane.broker.Delivered()
	l.lanes = nil
}

// ask asks for what misses from a number on, as much as a frame can name. mu is held.
func (i *inward) ask(in *inLane, from uint64, now time.Duration) {
	l, h := in.link, &in.holes
	m := spans{to: l.inc, epoch: l.epoch, lane: uint64(in.number)}
	after := max(in.next, from)
	add := func(upto uint64) bool {
		if upto <= after {
			return true
		}
		m.list = append(m.list, span{after, upto})
		if upto > h.asked {
			l.asked += upto - max(after, h.asked)
			h.asked = upto
		}
		return len(m.list) < spansMost
	}
	for _, w := range h.waiting() {
		if !add(w.first) {
			break
		}
		after = max(after, w.upto)
	}
	if in.since != 0 && now-in.since >= tailAfter && len(m.list) < spansMost {
		add(in.reached)
	}
	h.askedAt = now
	if len(m.list) > 0 {
		p := i.plane
		p.ctl.send(p.from+l.name+".ctl", m.append(nil, kindRepair))
	}
}

// gone notes what of that which was asked for does not come.
func (i *inward) gone(k nodeKey, m *spans) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.links[k]
	if l == nil || m.epoch != l.epoch || m.lane >= uint64(len(l.lanes)) {
		return
	}
	in := l.lanes[m.lane]
	for _, s := range m.list {
		if s.upto = min(s.upto, in.holes.asked); s.first < s.upto && s.upto > in.next {
			i.put(in, held{first: s.first, upto: s.upto, at: i.plane.o.Now(), lost: true})
		}
	}
	i.advance(in, 0)
	if in.top() >= in.reached {
		in.since = 0
	}
	i.plane.broker.Delivered()
}

// times are of a lane: when what it holds back is to be delivered, when what was sent is to have
// come, and when to ask. 0: never.
func (i *inward) times(in *inLane) (hold, tail, ask time.Duration) {
	h := &in.holes
	if w := h.waiting(); len(w) > 0 {
		hold = w[0].at + repairTime
	}
	if in.since != 0 {
		tail = in.since + missed*i.plane.o.Heartbeat
	}
	if !in.link.keeps {
		return hold, tail, 0
	}
	if hold != 0 {
		ask = h.askedAt + askAgain
		if h.last > max(h.asked, in.next) {
			ask = h.askedAt + askApart
		}
	}
	if in.since != 0 {
		tail = max(tail, in.since+repairTime+tailAfter)
		if at := max(in.since+tailAfter, h.askedAt+askAgain); ask == 0 || at < ask {
			ask = at
		}
	}
	return hold, tail, ask
}

// later has what a lane waits for counted from now on.
func (in *inLane) later(now time.Duration) {
	if in.since != 0 {
		in.since = now
	}
	for n := range in.holes.waiting() {
		in.holes.waiting()[n].at = now
	}
}

// expire gives up what has not come in time, and asks again for what may come.
func (i *inward) expire(now time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, in := range i.open {
		hold, tail, ask := i.times(in)
		if hold != 0 && hold <= now {
			upto := uint64(0)
			for _, w := range in.holes.waiting() {
				if w.at+repairTime > now {
					break
				}
				upto = w.first
			}
			i.advance(in, upto)
		}
		if tail != 0 && tail <= now {
			i.advance(in, in.reached)
			in.since = 0
		}
		if ask != 0 && ask <= now {
			from := uint64(0)
			if now < in.holes.askedAt+askAgain {
				from = in.holes.asked // the others may be on their way
			}
			i.ask(in, from, now)
		}
	}
	i.open = slices.DeleteFunc(i.open, func(in *inLane) bool {
		return in.since == 0 && len(in.holes.waiting()) == 0
	})
	if len(i.open) == 0 {
		i.open = nil
	}
	i.plane.broker.Delivered()
}

// next is when to call expire.
func (i *inward) next() (at time.Duration, any bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, in := range i.open {
		hold, tail, ask := i.times(in)
		for _, t := range []time.Duration{hold, tail, ask} {
			if t != 0 && (!any || t < at) {
				at, any = t, true
			}
		}
	}
	return at, any
}
