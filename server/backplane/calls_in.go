package backplane

import (
	"sync"

	"mbserver/server/abroad"
)

// calls are requests and answers that cross: the lanes out, and what comes in.
type calls struct {
	// Immutable after init.
	plane *Plane
	lanes []*callLane

	// Guarded by mu.
	mu    sync.Mutex
	links map[nodeKey]*callLink

	// Scratch of receive. Guarded by mu.
	request abroad.Request
	answer  abroad.Answer
}

func (c *calls) init(p *Plane) {
	c.plane, c.links = p, make(map[nodeKey]*callLink)
	for i := range p.o.Lanes {
		c.lanes = append(c.lanes, &callLane{
			index: i, queue: newQueue(p.bus, p.o.Lanes+i, p.o.OutboundBytes),
		})
	}
}

// receive takes a frame of requests and answers, once.
func (c *calls) receive(subject string, frame []byte) {
	p := c.plane
	name, inc, lane, ok := sender(subject, prefix(p.o.Cluster))
	k, fields, err := open(frame)
	var h callHead
	if err == nil && k == kindCalls {
		fields, err = h.parse(fields)
	}
	if !ok || lane < callLanes || k != kindCalls || err != nil {
		p.bad(name, err)
		return
	}
	if h.to != p.o.Incarnation {
		return // for one that had this node's name
	}
	if from := (nodeKey{name, inc}); c.accept(from, &h, lane-callLanes, fields) {
		p.hasCome(from)
	}
}

// accept takes the fields of a frame of that lane, and says whether it was the last that there was
// of a node that leaves.
func (c *calls) accept(from nodeKey, h *callHead, lane int, fields []byte) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.of(from)
	in := l.in(h.epoch, lane)
	if in == nil {
		return false
	}
	fresh, lost := in.take(h.number)
	l.lost += lost
	switch {
	case !fresh:
		l.doubled++
		return false
	case !l.known:
		return false // its requests end with it, and so do ours that it has
	}
	if err := c.take(l.slot, fields); err != nil {
		c.plane.bad(from.name, err)
	}
	c.plane.broker.Called()
	return l.ended()
}

// take takes the fields of a frame from the node of a slot. mu is held.
func (c *calls) take(slot uint32, fields []byte) error {
	b := c.plane.broker
	return each(fields, func(tag uint64, value []byte) error {
		switch tag {
		case tagRequest:
			if err := readRequest(&c.request, value); err != nil {
				return err
			}
			b.Asked(slot, &c.request)
		case tagAnswer:
			if err := readAnswer(&c.answer, value); err != nil {
				return err
			}
			b.Answered(slot, &c.answer)
		case tagCancel:
			if len(value) != uuidSize {
				return errValue
			}
			b.Cancelled(slot, uuidOf(value))
		case tagGiven:
			load, err := readLoad(value)
			if err != nil {
				return err
			}
			b.Loaded(slot, load)
		case tagWait:
			wait, err := readWait(value)
			if err != nil {
				return err
			}
			b.Waited(slot, wait)
		}
		return nil
	})
}
