package backplane

import (
	"sync"
	"sync/atomic"
	"time"

	"mbserver/server/metrics"
)

// inward is what other nodes have published, as it comes in: by the numbers of each link it is seen
// what did not (holes.go).
type inward struct {
	plane *Plane // immutable

	held atomic.Int64 // bytes that wait for what misses before them

	// Guarded by mu.
	mu    sync.Mutex
	links map[nodeKey]*inLink
	open  []*inLane // of which something misses
}

// inLink is the way from one run of another node to this one.
type inLink struct {
	origin
	keeps bool // what misses can be asked for
	lanes []*inLane

	received, lost  uint64 // publishes
	asked, repaired uint64 // those that were asked for, and that came after that
}

// inLane is one of its lanes.
type inLane struct {
	link   *inLink // immutable
	number int     // immutable
	next   uint64  // the number of the next publish

	// What the sender says was sent, and when something was heard of that last: what has not come
	// some time after that is lost.
	reached uint64
	since   time.Duration // 0: all has come, but for holes

	holes holes
}

func (i *inward) init(p *Plane) { i.plane, i.links = p, make(map[nodeKey]*inLink) }

// of returns the link from a node. mu is held.
func (i *inward) of(k nodeKey) *inLink {
	l := i.links[k]
	if l == nil {
		// Not earlier: its sender may number on, and nobody knew what of that has come.
		if oldest, none := roomFor(i.links); !none {
			i.end(oldest)
			delete(i.links, oldest.nodeKey)
		}
		l = &inLink{origin: origin{nodeKey: k}}
		i.links[k] = l
	}
	l.used = i.plane.o.Now()
	return l
}

// place notes which slot a node has, or that it has none any more.
func (i *inward) place(k nodeKey, slot uint32, is bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.of(k)
	l.slot, l.known = slot, is
}

// in returns the lane of a link in an epoch; nil: that is over. mu is held.
func (i *inward) in(l *inLink, epoch uint64, number int) *inLane {
	if epoch < l.epoch {
		return nil
	}
	if epoch > l.epoch {
		i.end(l)
		l.epoch = epoch
	}
	for n := len(l.lanes); n <= number; n++ {
		l.lanes = append(l.lanes, &inLane{link: l, number: n})
	}
	return l.lanes[number]
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
	if in := i.in(l, m.epoch, number); in != nil {
		i.take(in, &m)
		p.broker.Delivered()
	}
}

// take takes publishes of a lane. mu is held.
func (i *inward) take(in *inLane, m *batch) {
	repaired := m.first < in.holes.asked
	if repaired {
		in.holes.askedAt = in.link.used
	}
	switch {
	case m.first <= in.next:
		i.deliver(in, m.first, m.publishes, repaired)
		i.advance(in, 0)
	case in.link.keeps:
		i.hold(in, m, repaired)
	default:
		i.advance(in, m.first)
		i.deliver(in, m.first, m.publishes, false)
	}
	if in.top() >= in.reached {
		in.since = 0
	} else if in.since != 0 {
		in.since = in.link.used
	}
}

// deliver delivers those publishes of a batch that neither came nor were given up before. mu is
// held.
func (i *inward) deliver(in *inLane, first uint64, publishes []byte, repaired bool) {
	l, at := in.link, first
	err := each(publishes, func(tag uint64, value []byte) error {
		if tag != tagPublish {
			return nil
		}
		at++
		if at <= in.next && !(simfaultBuild && strikes(simTakenTwice)) {
			return nil
		}
		in.next = at
		l.received++
		if repaired {
			l.repaired++
		}
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
	if err != nil {
		i.plane.bad(l.name, err)
	}
}

// reached notes up to which numbers a node says to have sent, and how much it keeps of it.
func (i *inward) reached(
	k nodeKey, epoch uint64, numbers []uint64, keeps uint64, now time.Duration,
) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.of(k)
	l.keeps = keeps > 0 && i.plane.o.RepairBytes > 0
	for number, reached := range numbers {
		in := i.in(l, epoch, number)
		if in == nil {
			return
		}
		if in.since == 0 && in.top() < reached {
			in.reached, in.since = reached, max(now, 1)
			i.opens(in)
		}
	}
}

// last notes up to which numbers a node that leaves has sent: nothing more comes, nor can be asked
// for.
func (i *inward) last(k nodeKey, epoch uint64, numbers []uint64, now time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l := i.of(k)
	l.keeps = false
	for number, reached := range numbers {
		in := i.in(l, epoch, number)
		if in == nil {
			return
		}
		if in.top() < reached {
			in.reached, in.since = reached, max(now, 1)
			i.opens(in)
		}
	}
}

// later has all that is waited for counted from now on: this process stood still.
func (i *inward) later(now time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, in := range i.open {
		in.later(now)
	}
}

// count adds what was counted of a node's publishes.
func (i *inward) count(k nodeKey, p *metrics.Peer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if l := i.links[k]; l != nil {
		p.Received, p.Lost, p.Asked, p.Repaired = l.received, l.lost, l.asked, l.repaired
	}
}
