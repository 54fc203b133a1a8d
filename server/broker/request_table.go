package broker

import (
	"bytes"
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

	timer   wheel.Timer // its deadline
	loop    *Loop
	slot    uint32
	late    int32 // its place in ages.late, from 1 on; 0: it is not there
	hasID   bool
	claimed bool // it is being evicted, and counted out already

	id     codec.UUID // the masked ID; its low bits hold loop and slot
	target *Conn      // nil while it waits in a queue
	header []byte     // "topic:version", and ":requestId" when it has one

	age   fair.Link[*entry] // in ages, unless it is late
	link  fair.Link[*entry] // among its target's, or in its queue
	own   fair.Link[*entry] // among its requester's that wait
	queue *topicQueue       // nil unless it waits

	far    *service   // the service of another node that has it; nil: none
	origin *farNode   // of one of another node: that; in its list by age, then
	ref    codec.UUID // and its name there
}

// key names the request in its target's ring.
func (e *entry) key() uint64 { return e.id.Lo }

// outstanding is a loop's table of outstanding requests. Loop only, but for oldestAt.
type outstanding struct {
	loop  *Loop
	slots []*entry // nil where the entry was given back
	free  []*entry // can be used again
	given []uint32 // slots whose entries were given back
	ages  ages
	count int

	oldestAt atomic.Int64 // arrival (loop ms) of the oldest as of the last turn, or noRequest
}

// noRequest is the arrival of the oldest request of a loop that has none: later than any.
const noRequest = math.MaxInt64

func (o *outstanding) init(l *Loop) {
	o.loop = l
	o.oldestAt.Store(noRequest)
}

// take returns a fresh entry for q, with a masked ID that carries its address, or nil when the
// table is full.
func (o *outstanding) take(q *request) *entry {
	e := o.fresh()
	if e == nil {
		return nil
	}
	o.identify(e)
	e.describe(q)
	o.ages.add(e)
	o.loop.charge += e.cost()
	return e
}

// identify counts e, and gives it a masked ID that carries its address.
func (o *outstanding) identify(e *entry) {
	l := o.loop
	address := uint64(e.slot)<<8 | uint64(l.index)
	e.id = codec.NewUUID(l.random.Uint64(), l.random.Uint64()&^math.MaxUint32|address)
	o.count++
}

// fresh returns an entry that is not in use, or nil when there are as many as there can be.
func (o *outstanding) fresh() *entry {
	if n := len(o.free); n > 0 {
		e := o.free[n-1]
		o.free[n-1] = nil
		o.free = o.free[:n-1]
		return e
	}
	slot := uint32(len(o.slots))
	switch n := len(o.given); {
	case n > 0:
		slot = o.given[n-1]
		o.given = o.given[:n-1]
	case slot >= slotsMax:
		return nil
	default:
		o.slots = append(o.slots, nil)
	}
	e := &entry{loop: o.loop, slot: slot}
	e.timer.Owner, e.link.Item, e.age.Item, e.own.Item = e, e, e, e
	o.slots[slot] = e
	return e
}

// release makes e free for another request: a flood does not leave its memory behind.
func (o *outstanding) release(e *entry) {
	o.count--
	if len(o.free) < entriesKeep {
		o.free = append(o.free, e)
		return
	}
	o.slots[e.slot] = nil
	o.given = append(o.given, e.slot)
	if o.count > 0 {
		return
	}
	o.slots, o.given = make([]*entry, len(o.free)), nil
	for i, e := range o.free {
		e.slot = uint32(i)
		o.slots[i] = e
	}
}

// find returns the entry that the masked ID names, if a service of this loop has it.
func (o *outstanding) find(id codec.UUID) *entry {
	if e := o.at(id); e != nil && e.target != nil {
		return e
	}
	return nil
}

// findAbroad returns the entry that the masked ID names, if a service of another node has it.
func (o *outstanding) findAbroad(id codec.UUID) *entry {
	if e := o.at(id); e != nil && e.far != nil {
		return e
	}
	return nil
}

// at returns the entry of that ID.
func (o *outstanding) at(id codec.UUID) *entry {
	if int(uint8(id.Lo)) != o.loop.index {
		return nil
	}
	slot := id.Lo >> 8 % slotsMax
	if slot >= uint64(len(o.slots)) {
		return nil
	}
	if e := o.slots[slot]; e != nil && e.id == id {
		return e
	}
	return nil
}

// bind makes c the target of e.
func (o *outstanding) bind(e *entry, c *Conn) {
	e.target = c
	c.requests.Push(&e.link)
	if o.loop.broker.cluster != nil {
		o.loop.beginsAt(&c.service, e)
	}
}

// drop frees e and forgets its masked ID. take hands e out again, nobody else: until then, within
// this call, the caller may read requester and header to answer.
func (o *outstanding) drop(e *entry) {
	l := o.loop
	l.wheel.Cancel(&e.timer)
	switch {
	case e.queue != nil:
		l.unqueue(e)
	case e.far != nil:
		l.unbindAbroad(e)
	default:
		o.unbind(e)
	}
	if e.origin != nil {
		o.dropForeign(e)
	} else {
		o.ages.remove(e)
		if !e.claimed {
			l.broker.outstanding.Add(-1)
		}
	}
	e.claimed = false
	l.charge -= e.cost()
	o.release(e)
}

// unbind takes e off its target, which has room for another.
func (o *outstanding) unbind(e *entry) {
	e.target.requests.Remove(&e.link)
	s := &e.target.service
	s.outstanding.Add(-1)
	if o.loop.broker.cluster != nil {
		o.loop.endsAt(s, e)
	}
	if o.loop.drain.on {
		e.target.reconsider()
	}
	e.target = nil
	if s.marked(markWaited) {
		o.loop.offer(s)
	}
}

// describe fills in whose request e is and how it will be answered.
func (e *entry) describe(q *request) {
	e.trip, e.hasID = q.trip, len(q.id) > 0
	e.header = append(e.header[:0], q.topic...)
	e.header = append(append(e.header, ':'), q.version...)
	if e.hasID {
		e.header = append(append(e.header, ':'), q.id...)
	}
}

// topic is that of the request: of its header what stands before the version.
func (e *entry) topic() []byte {
	name, _, _ := bytes.Cut(e.header, []byte{':'})
	return name
}

// entryCharge is what an outstanding request costs beside its header: the entry, and its places in
// the table.
const entryCharge = 312

// cost is, in bytes, what e is charged; the same from describe until it is dropped.
func (e *entry) cost() int64 { return entryCharge + int64(cap(e.header)) }

// publishOldest tells other loops how old this loop's oldest request is.
func (o *outstanding) publishOldest() {
	at := int64(noRequest)
	if e := o.ages.oldest(); e != nil {
		at = e.arrived
	}
	if o.oldestAt.Load() != at {
		o.oldestAt.Store(at)
	}
}
