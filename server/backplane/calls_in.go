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
	slots map[nodeKey]uint32 // of nodes that are not gone

	// Scratch of receive. Guarded by mu.
	request abroad.Request
	answer  abroad.Answer
}

func (c *calls) init(p *Plane) {
	c.plane, c.slots = p, make(map[nodeKey]uint32)
	for i := range p.o.Lanes {
		c.lanes = append(c.lanes, &callLane{
			index: i, queue: newQueue(p.bus, p.o.Lanes+i, p.o.OutboundBytes),
		})
	}
}

// place notes which slot a node has, or that it has none any more.
func (c *calls) place(k nodeKey, slot uint32, is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if is {
		c.slots[k] = slot
	} else {
		delete(c.slots, k)
	}
}

// receive takes a frame of requests and answers.
func (c *calls) receive(subject string, frame []byte) {
	p := c.plane
	name, inc, lane, ok := sender(subject, prefix(p.o.Cluster))
	k, fields, err := open(frame)
	if !ok || lane < callLanes || k != kindCalls || err != nil {
		p.bad(name, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	slot, known := c.slots[nodeKey{name, inc}]
	if !known {
		return // its requests end with it, and so do ours that it has
	}
	if err = c.take(slot, fields); err != nil {
		p.bad(name, err)
	}
	p.broker.Called()
}

// take takes the fields of a frame from the node of a slot. mu is held.
func (c *calls) take(slot uint32, fields []byte) error {
	to, b := uint64(0), c.plane.broker
	return each(fields, func(tag uint64, value []byte) error {
		if tag == tagTo {
			return numberInto(&to, value)
		}
		if to != c.plane.o.Incarnation {
			return nil // for one that had this node's name
		}
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
