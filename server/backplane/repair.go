package backplane

import (
	"encoding/binary"
	"time"
)

// Repair. Purpose: publishes that the bus has lost on a link come all the same, in order and once.
//
// Outline. A lane keeps what it has handed to the bus last (kept.go). Who misses numbers of a link
// asks its sender for them on the control lane, and holds back what comes after (holes.go). The
// sender sends the frames once more, to the same subject, and says of what it does not have that it
// is gone; that is lost, as is what does not come in time. A node that keeps nothing does not say
// in its heartbeats that it does, and is not asked.
const (
	kindRepair kind = 64 // asks for publishes that did not arrive
	kindGone   kind = 65 // says of publishes that were asked for that they do not come
)

const (
	tagKeeps = 64 // bytes that each lane of the sender of a heartbeat keeps
	tagLane  = 65
	tagSpan  = 66 // nested: number of a publish, and how many follow, with it
)

const (
	// repairTime is how long what comes after a hole waits for it.
	repairTime = 300 * time.Millisecond
	// askAgain is after how long without one of them the same publishes are asked for again, and
	// askApart is the least time between two questions about different ones.
	askAgain = 50 * time.Millisecond
	askApart = 2 * time.Millisecond
	// tailAfter is how long nothing has come of publishes of which a heartbeat says that they were
	// sent, before they are asked for: it may have overtaken them.
	tailAfter = 50 * time.Millisecond

	// spansMost is how many spans a frame may name.
	spansMost = 64
)

// span is publishes of consecutive numbers of a lane of a link.
type span struct{ first, upto uint64 }

// spans are a frame that asks for publishes, or says that they are gone.
type spans struct {
	to, epoch, lane uint64
	list            []span // in order, each behind the one before
}

func (m *spans) append(b []byte, k kind) []byte {
	b = appendNumber(begin(b, k), tagTo, m.to)
	b = appendNumber(b, tagEpoch, m.epoch)
	b = appendNumber(b, tagLane, m.lane)
	for _, s := range m.list {
		var v [2 * binary.MaxVarintLen64]byte
		n := len(binary.AppendUvarint(binary.AppendUvarint(v[:0], s.first), s.upto-s.first))
		b = appendBytes(b, tagSpan, v[:n])
	}
	return b
}

func (m *spans) parse(b []byte) error {
	after := uint64(0)
	return each(b, func(tag uint64, value []byte) (err error) {
		switch tag {
		case tagTo:
			err = numberInto(&m.to, value)
		case tagEpoch:
			err = numberInto(&m.epoch, value)
		case tagLane:
			if err = numberInto(&m.lane, value); m.lane >= lanesMost {
				err = errValue
			}
		case tagSpan:
			first, count, bad := pair(value)
			upto := first + count
			if bad != nil || first < after || upto <= first || len(m.list) == spansMost {
				return errValue
			}
			m.list = append(m.list, span{first, upto})
			after = upto
		}
		return err
	})
}

// hearSpans takes a frame of spans. mu is held.
func (p *Plane) hearSpans(n *node, k kind, fields []byte) error {
	var m spans
	if err := m.parse(fields); err != nil || m.to != p.o.Incarnation {
		return err
	}
	switch {
	case k == kindGone:
		p.inward.gone(n.nodeKey, &m)
	case m.epoch == n.link.epoch && m.lane < uint64(len(p.lanes)):
		p.repair(n, &m)
	}
	return nil
}

// repair sends a node once more what it asks for, and says what of it is gone. mu is held.
func (p *Plane) repair(n *node, m *spans) {
	gone := p.lanes[m.lane].queue.again(n.link, m.list)
	for len(gone) > 0 {
		k := min(len(gone), spansMost)
		word := spans{to: n.inc, epoch: m.epoch, lane: m.lane, list: gone[:k]}
		p.ctl.send(p.from+n.name+".ctl", word.append(nil, kindGone))
		gone = gone[k:]
	}
}
