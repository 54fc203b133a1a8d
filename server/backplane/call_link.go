package backplane

import "time"

// callLink is the way of requests and answers from one run of another node to this one. Guarded by
// the mu of calls.
type callLink struct {
	origin
	lanes []callsIn
	ends  []uint64 // by lane: it leaves, and sends nothing from these numbers on; nil: it does not

	lost    uint64 // frames that were missing when a later one came
	doubled uint64 // that came once more, or so late that nobody knows
	behind  uint64 // how often what was said with them may be unknown here, which it is told of
}

// callsIn is one of its lanes.
type callsIn struct {
	next uint64 // the number after that of the latest frame
	came uint64 // bit n: next-1-n has come

	// What the sender says was sent, of which something has not come, and since when.
	reached uint64
	since   time.Duration // 0: nothing
	told    uint64        // up to here it was told so
}

// take notes a frame's number. fresh: it has not come before; lost is how many are missing before
// it.
func (in *callsIn) take(number uint64) (fresh bool, lost uint64) {
	if number >= in.next {
		lost = number - in.next
		in.came = in.came<<(lost+1) | 1 // nothing is left of what is further back
		in.next = number + 1
		return true, lost
	}
	bit := uint64(1) << (in.next - 1 - number) // 0: too far back
	fresh = bit&^in.came != 0
	in.came |= bit
	return fresh, 0
}

// of returns the link from a node. mu is held.
func (c *calls) of(k nodeKey) *callLink {
	l := c.links[k]
	if l == nil {
		if oldest, none := roomFor(c.links); !none {
			delete(c.links, oldest.nodeKey)
		}
		l = &callLink{origin: origin{nodeKey: k}}
		c.links[k] = l
	}
	l.used = c.plane.o.Now()
	return l
}

// in returns the lane of a link in an epoch; nil: that is over. mu is held.
func (l *callLink) in(epoch uint64, number int) *callsIn {
	if epoch < l.epoch {
		return nil
	}
	if epoch > l.epoch {
		l.epoch, l.lanes = epoch, nil
	}
	for len(l.lanes) <= number {
		l.lanes = append(l.lanes, callsIn{})
	}
	return &l.lanes[number]
}

// place notes which slot a node has, or that it has none any more.
func (c *calls) place(k nodeKey, slot uint32, is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.of(k)
	l.slot, l.known, l.ends = slot, is, nil
}

// last notes up to which numbers a node that leaves has sent frames, and says whether the last ones
// have come: else receive tells when they have.
func (c *calls) last(k nodeKey, epoch uint64, numbers []uint64) (come bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.of(k)
	if len(numbers) == 0 || l.in(epoch, len(numbers)-1) == nil {
		return true // it is too old to say so, or speaks of a link that is over
	}
	l.ends = numbers
	return l.ended()
}

// ended says, once, that the last frames have come of a node that leaves. mu is held.
func (l *callLink) ended() bool {
	if l.ends == nil {
		return false
	}
	for number, end := range l.ends {
		if number >= len(l.lanes) || l.lanes[number].next < end {
			return false
		}
	}
	l.ends = nil
	return true
}

// reached notes up to which numbers a node says to have sent frames. What has not come some time
// after that is lost: a later frame may never be.
func (c *calls) reached(k nodeKey, epoch uint64, numbers []uint64, now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.of(k)
	for number, reached := range numbers {
		in := l.in(epoch, number)
		switch {
		case in == nil:
			return
		case in.since != 0 && in.next >= in.reached:
			in.since = 0
		case in.since != 0 && now-in.since > missed*c.plane.o.Heartbeat:
			in.told, in.since = in.reached, 0
			l.behind++
		}
		if in.since == 0 && reached > max(in.next, in.told) {
			in.reached, in.since = reached, max(now, 1)
		}
	}
}

// missedOf is how often words of a node may not be known here: it says them again when that is
// another number than it was.
func (c *calls) missedOf(k nodeKey) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.links[k]; l != nil {
		return l.lost + l.behind
	}
	return 0
}

// renewed notes that the services of a node were told anew: what was said of those that were not
// known was passed over.
func (c *calls) renewed(k nodeKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(k).behind++
}

// count tells what was counted of a node's frames.
func (c *calls) count(k nodeKey) (lost, doubled uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.links[k]; l != nil {
		return l.lost, l.doubled
	}
	return 0, 0
}
