package backplane

import (
	"sync"
	"time"
)

// inward is what other nodes have published, as it comes in: by the numbers of each link it is seen
// what did not.
type inward struct {
	plane *Plane // immutable

	// Guarded by mu.
	mu    sync.Mutex
	links map[nodeKey]*inLink
}

// inLink is the way from one run of another node to this one.
type inLink struct {
	nodeKey
	slot  uint32
	known bool          // slot is its
	used  time.Duration // when something was last heard
	epoch uint64
	lanes []inLane

	received, lost uint64 // publishes
}

// inLane is one of its lanes.
type inLane struct {
	next uint64 // the number of the next publish

	// What the sender says was sent, and when it was first heard: what has not come some time after
	// that is lost.
	reached uint64
	since   time.Duration // 0: all has come
}

func (i *inward) init(p *Plane) { i.plane, i.links = p, make(map[nodeKey]*inLink) }

// of returns the link from a node; nil when there are too many. mu is held.
func (i *inward) of(k nodeKey) *inLink {
	l := i.links[k]
	if l == nil && len(i.links) < knownMost {
		l = &inLink{nodeKey: k}
		i.links[k] = l
	}
	if l != nil {
		l.used = i.plane.o.Now()
	}
	return l
}

// place notes which slot a node has, or that it has none any more.
func (i *inward) place(k nodeKey, slot uint32, is bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if l := i.of(k); l != nil {
		l.slot, l.known = slot, is
	}
}

// in returns the lane of a link in an epoch; nil: that is over. mu is held.
func (l *inLink) in(epoch uint64, number int) *inLane {
	if epoch < l.epoch {
		return nil
	}
	if epoch > l.epoch {
		l.epoch, l.lanes = epoch, nil
	}
	for len(l.lanes) <= number {
		l.lanes = append(l.lanes, inLane{})
	}
	return &l.lanes[number]
}

// receive takes a frame of publishes.
func (i *inward) receive(subject string, frame []byte) {
	p := i.plane
	name, inc, number, ok := sender(subject, prefix(p.o.Cluster))
	k, fields, err := open(frame)
	var m batch
	if err == nil && k == kindBatch {
		err = m.parse(fields)
	}
	if !ok || number == control || number >= callLanes || k != kindBatch || err != nil {
		p.bad(name, err)
		return
	}
	if m.to != p.o.Incarnation {
		return // for one that had this node's name
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.of(nodeKey{name, inc})
	if l == nil {
		return
	}
	in := l.in(m.epoch, number)
	if in == nil {
		return
	}
	if m.first > in.next {
		i.miss(l, m.first-in.next)
		in.next = m.first
	}
	err = i.deliver(l, in, &m)
	if in.next >= in.reached {
		in.since = 0
	}
	p.broker.Delivered()
	if err != nil {
		p.bad(name, err)
	}
}

// deliver delivers those publishes of a batch that were not given up before. mu is held.
func (i *inward) deliver(l *inLink, in *inLane, m *batch) error {
	at := m.first
	return each(m.publishes, func(tag uint64, value []byte) error {
		if tag != tagPublish {
			return nil
		}
		at++
		if at <= in.next {
			return nil
		}
		in.next = at
		l.received++
		var one publish
		if err := one.parse(value); err != nil {
			return err
		}
		if !l.known {
			one.receipt = 0 // there is nobody to give it to
		}
		i.plane.broker.Deliver(one.message, l.slot, one.receipt)
		return nil
	})
}

// miss counts publishes that did not arrive, and has that told. mu is held.
func (i *inward) miss(l *inLink, count uint64) {
	l.lost += count
	i.plane.lost.Add(count)
	i.plane.broker.Lost(count)
}

// reached notes up to which numbers a node says to have sent.
func (i *inward) reached(k nodeKey, epoch uint64, numbers []uint64, now time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.of(k)
	if l == nil {
		return
	}
	for number, reached := range numbers {
		in := l.in(epoch, number)
		if in == nil {
			return
		}
		if in.since == 0 && in.next < reached {
			in.reached, in.since = reached, max(now, 1)
		}
	}
}

// late gives up what was sent some time ago and has not come. paused says that this process stood
// still meanwhile: the time counts from now.
func (i *inward) late(now time.Duration, paused bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for k, l := range i.links {
		// Later than the sender forgets: who has forgotten numbers from 0 again, in another epoch.
		if !l.known && now-l.used > 2*forgetAfter {
			delete(i.links, k)
		}
		for n := range l.lanes {
			in := &l.lanes[n]
			if paused && in.since != 0 {
				in.since = now
			}
			if in.since == 0 || now-in.since < missed*i.plane.o.Heartbeat {
				continue
			}
			if in.since = 0; in.next < in.reached {
				i.miss(l, in.reached-in.next)
				in.next = in.reached
			}
		}
	}
}

// counts are how many publishes of a node arrived, and how many did not.
func (i *inward) counts(k nodeKey) (received, lost uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if l := i.links[k]; l != nil {
		return l.received, l.lost
	}
	return 0, 0
}
