package broker

import (
	"encoding/binary"
	"math"
	"sync/atomic"

	"mbserver/codec"
	"mbserver/server/fair"
	"mbserver/server/wheel"
)

// entry is one outstanding request: on its target's loop, or, while it waits, on its topic's.
// Entries are reused; their header keeps its memory.
type entry struct {
	packed // its body only while it waits in a queue

	timer wheel.Timer // its deadline
	loop  *Loop
	slot  uint32
	hasID bool

	id     codec.UUID // the masked ID; its low bits hold loop and slot
	target *Conn      // nil while it waits in a queue
	header []byte     // "topic:version", and ":requestId" when it has one

	older, newer *entry // the loop's entries by age

	link  fair.Link[*entry] // among its target's, or in its queue
	queue *topicQueue       // nil unless it waits
}

// key names the request in its target's ring.
func (e *entry) key() uint64 { return binary.BigEndian.Uint64(e.id[8:]) }

// outstanding is a loop's table of outstanding requests. Loop only, but for oldestAt.
type outstanding struct {
	loop   *Loop
	slots  []*entry
	free   []*entry
	oldest *entry
	newest *entry
	count  int

	oldestAt atomic.Int64 // arrival (loop ms) of the oldest as of the last turn, or noRequest
}

// noRequest is the arrival of the oldest request of a loop that has none: later than any.
const noRequest = math.MaxInt64

func (o *outstanding) init(l *Loop) {
	o.loop = l
	o.oldestAt.Store(noRequest)
}

// take returns a fresh entry for a request that arrived at the given loop ms, with a masked ID that
// carries its address, or nil when the table is full.
func (o *outstanding) take(arrived int64) *entry {
	var e *entry
	if n := len(o.free); n > 0 {
		e = o.free[n-1]
		o.free = o.free[:n-1]
	} else {
		if len(o.slots) >= slotsMax {
			return nil
		}
		e = &entry{loop: o.loop, slot: uint32(len(o.slots))}
		e.timer.Owner, e.link.Item = e, e
		o.slots = append(o.slots, e)
	}
	l := o.loop
	address := uint64(e.slot)<<8 | uint64(l.index)
	e.id = codec.NewUUID(l.random.Uint64(), l.random.Uint64()&^math.MaxUint32|address)
	o.count++
	e.arrived = arrived
	o.insertByAge(e)
	return e
}

// insertByAge puts e into the list of entries by age. Most are the newest; one that has waited in a
// queue is among the oldest: the search goes from both ends.
func (o *outstanding) insertByAge(e *entry) {
	after, before := o.newest, o.oldest
	for after != nil && after.arrived > e.arrived {
		if before.arrived > e.arrived {
			after = before.older
			break
		}
		after, before = after.older, before.newer
	}
	e.older = after
	if after != nil {
		e.newer = after.newer
		after.newer = e
	} else {
		e.newer = o.oldest
		o.oldest = e
	}
	if e.newer != nil {
		e.newer.older = e
	} else {
		o.newest = e
	}
}

// find returns the entry that the masked ID names, if it is outstanding here.
func (o *outstanding) find(id codec.UUID) *entry {
	if int(id[15]) != o.loop.index {
		return nil
	}
	slot := int(id[12])<<16 | int(id[13])<<8 | int(id[14])
	if slot >= len(o.slots) {
		return nil
	}
	if e := o.slots[slot]; e.target != nil && e.id == id {
		return e
	}
	return nil
}

// bind makes c the target of e.
func (o *outstanding) bind(e *entry, c *Conn) {
	e.target = c
	c.requests.Push(&e.link)
}

// drop frees e and forgets its masked ID. take hands e out again, nobody else: until then, within
// this call, the caller may read requester and header to answer.
func (o *outstanding) drop(e *entry) {
	l := o.loop
	l.wheel.Cancel(&e.timer)
	if e.queue != nil {
		o.unqueue(e)
	} else {
		o.unbind(e)
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		o.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		o.newest = e.older
	}
	l.broker.outstanding.Add(-1)
	e.older, e.newer = nil, nil
	o.count--
	o.free = append(o.free, e)
}

// unbind takes e off its target, which has room for another.
func (o *outstanding) unbind(e *entry) {
	e.target.requests.Remove(&e.link)
	e.target.service.outstanding.Add(-1)
	e.target = nil
	o.loop.broker.wakeQueues()
}

// unqueue takes e out of its queue.
func (o *outstanding) unqueue(e *entry) {
	l := o.loop
	l.queues.unlink(e)
	e.requester.queued.Add(-1)
	l.broker.queued.Add(-1)
	if !simfaultBuild || !strikes(simLeakedCharge) {
		l.charge -= bodyCharge(e.body)
	}
	e.body.Release()
	e.body = nil
}

// describe fills in whose request e is and how it will be answered.
func (e *entry) describe(q *request) {
	e.requester, e.hasID = q.requester, len(q.id) > 0
	e.header = append(e.header[:0], q.topic...)
	e.header = append(append(e.header, ':'), q.version...)
	if e.hasID {
		e.header = append(append(e.header, ':'), q.id...)
	}
}

// publishOldest tells other loops how old this loop's oldest request is.
func (o *outstanding) publishOldest() {
	at := int64(noRequest)
	if o.oldest != nil {
		at = o.oldest.arrived
	}
	if o.oldestAt.Load() != at {
		o.oldestAt.Store(at)
	}
}
