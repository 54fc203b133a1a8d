package broker

import (
	"mbserver/codec"
	"mbserver/ringbuf"
)

// acks are the acknowledgements of this loop's publishers that wait for other loops, and other
// nodes, to say what they dropped. Every loop answers every such publish, and no node is waited for
// longer than cluster.ackTimeout. Loop only.
type acks struct {
	slots []ackWait
	free  []uint32
}

// ackWait is one publish whose acknowledgement is due.
type ackWait struct {
	gen                  uint32
	left                 int // loops and nodes that have not answered yet, and this loop
	subscribers, dropped int
	unconfirmed          int // nodes that have not, in time
	publisher            *service
	header               []byte // topic, version and request ID; its memory is reused
	topicEnd, versionEnd int
}

// ackRef names an entry. The zero value names none: from is nil.
type ackRef struct {
	from      *service
	slot, gen uint32
}

// open starts an acknowledgement that settles after the given number of others (loops and nodes)
// and this loop.
func (a *acks) open(c *Conn, h *codec.Header, subscribers, others int) ackRef {
	c.owe()
	s := &c.service
	var slot uint32
	if n := len(a.free); n > 0 {
		slot = a.free[n-1]
		a.free = a.free[:n-1]
	} else {
		slot = uint32(len(a.slots))
		a.slots = append(a.slots, ackWait{})
	}
	w := &a.slots[slot]
	w.left, w.subscribers, w.dropped, w.unconfirmed, w.publisher = others+1, subscribers, 0, 0, s
	w.header = append(w.header[:0], h.Topic...)
	w.topicEnd = len(w.header)
	w.header = append(w.header, h.Version...)
	w.versionEnd = len(w.header)
	w.header = append(w.header, h.RequestID...)
	return ackRef{from: s, slot: slot, gen: w.gen}
}

// settle notes that one of those waited for (another loop, a node, or this loop) is done and
// dropped so many deliveries; the last one sends the answer.
func (a *acks) settle(l *Loop, ref ackRef, dropped int) {
	if ref.from == nil {
		return
	}
	w := &a.slots[ref.slot]
	w.dropped += dropped
	if w.left--; w.left > 0 {
		return
	}
	if c := l.askerOf(w.publisher); c != nil {
		topic, version := w.header[:w.topicEnd], w.header[w.topicEnd:w.versionEnd]
		id := w.header[w.versionEnd:]
		if w.subscribers == 0 && w.unconfirmed == 0 {
			// They have left while the message was on its way to their node.
			l.unroutedPublish(c, &codec.Header{Action: codec.Publish, Topic: topic,
				Version: version, RequestID: id})
		} else {
			l.acknowledge(c, topic, version, id, w.subscribers, w.dropped, w.unconfirmed)
		}
		c.settle()
	}
	w.publisher = nil
	w.gen++
	a.free = append(a.free, ref.slot)
}

// taken is settle for an answer that came from another loop.
func (a *acks) taken(l *Loop, it *item) {
	if w := &a.slots[it.slot]; w.gen == it.gen {
		a.settle(l, it.ackRef, int(it.number))
	}
}

// acknowledge answers a publish that carried a request ID.
func (l *Loop) acknowledge(
	c *Conn, topic, version, id []byte, subscribers, dropped, unconfirmed int,
) {
	l.answer = codec.AppendAck(l.answer[:0], subscribers, dropped, unconfirmed)
	if c.takesAnswers() {
		header := l.headerLine(codec.Response, topic, version, id)
		l.sendAnyhow(c, header, l.answer, true, ringbuf.Own)
	}
}
