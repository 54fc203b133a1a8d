package backplane

import (
	"mbserver/codec"
	"mbserver/server/abroad"
)

// callLane is one loop's way to the other nodes for requests and answers. It is beside the one for
// publishes: a burst of those delays none of these. Its loop only, but for the queue.
type callLane struct {
	index int
	queue *queue
	open  [nodesMost]callParcel // what this turn has for each of them
	touch uint64                // those that have something
}

// callParcel is what a turn has for another node.
type callParcel struct {
	to     *link
	buffer *buffer // nil: nothing
}

// Serve tells other nodes of a service that takes requests here, or that it is another than they
// were told.
func (p *Plane) Serve(s *abroad.Service) {
	if p.interest.serve(s.ID, serviceEntry(s)) {
		p.call()
	}
}

// Unserve ends that. Its offers were withdrawn before.
func (p *Plane) Unserve(id codec.UUID) {
	if p.interest.unserve(id) {
		p.call()
	}
}

// Offer notes what a service that others were told of takes requests of. version is for Await.
func (p *Plane) Offer(o abroad.Offer) (version uint64) { return p.Subscribed(offerEntry(o)) }

// Withdraw ends that.
func (p *Plane) Withdraw(o abroad.Offer) { p.Unsubscribed(offerEntry(o)) }

// Ask sends a request to a service of another node, at the end of the turn; false: not to be had.
// The loop of that number only.
func (p *Plane) Ask(loop int, node uint32, q *abroad.Request) bool {
	o := p.callFor(loop, node, requestMost+len(q.Topic)+len(q.Version)+len(q.Payload), true)
	if o == nil {
		return false
	}
	o.buffer.b = appendRequest(o.buffer.b, q)
	o.to.asked.Add(1)
	return true
}

// Cancel takes a request back. The loop of that number only.
func (p *Plane) Cancel(loop int, node uint32, ref codec.UUID) {
	if o := p.callFor(loop, node, requestMost, false); o != nil {
		o.buffer.b = appendCancel(o.buffer.b, ref)
	}
}

// Answer sends a request's origin word of it, at the end of the turn; false: not sent. The loop of
// that number only.
func (p *Plane) Answer(loop int, node uint32, a *abroad.Answer) bool {
	o := p.callFor(loop, node, requestMost+len(a.Payload), false)
	if o != nil {
		o.buffer.b = appendAnswer(o.buffer.b, a)
	}
	return o != nil
}

// Load sends word of how much of its capacity a service has given away; false: not sent. The loop
// of that number only.
func (p *Plane) Load(loop int, node uint32, load abroad.Load) bool {
	o := p.callFor(loop, node, requestMost, true)
	if o != nil {
		o.buffer.b = appendLoad(o.buffer.b, load)
	}
	return o != nil
}

// Wait sends word that requests wait here for a service there, or that none does any more; false:
// not sent. The loop of that number only.
func (p *Plane) Wait(loop int, node uint32, w abroad.Wait) bool {
	o := p.callFor(loop, node, requestMost, true)
	if o != nil {
		o.buffer.b = appendWait(o.buffer.b, w)
	}
	return o != nil
}

// callFor returns the parcel of a node with room for n more bytes, nil when it is not to be had.
// early says that it is not, either, when the lane is half full, or the bus does not answer: the
// other half is for what answers what was begun before, and another node may have known sooner that
// the bus answers again, and asked.
func (p *Plane) callFor(loop int, node uint32, n int, early bool) *callParcel {
	l := p.calls.lanes[loop]
	of, o := p.links[node].Load(), &l.open[node]
	if o.buffer != nil && (o.to != of || len(o.buffer.b)+n > headRoom+frameMost) {
		l.handOver(node)
	}
	if of == nil || early && p.alone.Load() {
		return nil
	}
	if o.buffer == nil {
		if l.queue.crowded(n, early) {
			of.callsDropped.Add(1)
			return nil
		}
		o.to, o.buffer = of, buffers.Get().(*buffer)
		o.buffer.b = o.buffer.b[:headRoom]
		l.touch |= 1 << node
	}
	return o
}

// flush sends what was gathered.
func (l *callLane) flush() {
	for node := uint32(0); l.touch != 0; node++ {
		if l.touch&(1<<node) != 0 {
			l.handOver(node)
		}
	}
}

// handOver puts what there is for a node into the queue.
func (l *callLane) handOver(node uint32) {
	o := &l.open[node]
	l.touch &^= 1 << node
	if o.buffer == nil {
		return
	}
	of, buffer := o.to, o.buffer
	*o = callParcel{}
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	n := &of.lanes[l.queue.lane]
	var head [headRoom]byte
	first := n.next
	n.next++
	frame := buffer.frame(appendCallHead(head[:0], of.inc, of.epoch, first))
	l.queue.push(outgoing{
		subject: n.subject, frame: frame, buffer: buffer, of: of, first: first, upto: n.next,
	})
}
