package backplane

import (
	"strconv"
	"sync"
	"sync/atomic"
)

// nodesMost is how many other nodes there may be at a time: a set of them is a word of bits.
const nodesMost = 64

// link is the way from this node to one incarnation of another. Each lane numbers what it has for
// it, from 0, whether it is sent or not.
type link struct {
	// Immutable.
	epoch uint64 // tells it from an earlier one to the same incarnation
	inc   uint64 // of the receiver
	name  string
	lanes []numbers // of publishes, and then as many of requests and answers

	// Atomic.
	sent, dropped atomic.Uint64 // publishes: handed to the bus's queue; given up before
	asked         atomic.Uint64 // requests handed to the bus's queue
	callsDropped  atomic.Uint64 // requests, answers and words with them that had no room there
}

// numbers are one lane's of a link: of publishes, or of frames of requests and answers. Guarded by
// the lane's queue's mu.
type numbers struct {
	subject string // immutable
	next    uint64
	written uint64 // those before were handed to the bus, or given up
}

// newLink makes the link of the node whose subjects begin with from to another.
func newLink(from, name string, inc, epoch uint64, lanes int) *link {
	l := &link{
		epoch: epoch, inc: inc, name: name, lanes: make([]numbers, 2*lanes),
	}
	for i := range lanes {
		l.lanes[i].subject = from + name + ".pub." + strconv.Itoa(i)
		l.lanes[lanes+i].subject = from + name + ".req." + strconv.Itoa(i)
	}
	return l
}

// lane is one loop's way to the other nodes. Its loop only, but for the queue.
type lane struct {
	index int
	queue *queue
	open  [nodesMost]parcel // what this turn has for each of them
	touch uint64            // those that have something
}

// parcel is what a turn has for another node.
type parcel struct {
	to     *link
	buffer *buffer
	count  int
}

// buffer holds a frame while it is filled and sent. Its first bytes are left for what stands before
// all else, which has the frame's number.
type buffer struct{ b []byte }

// headRoom is more than that takes.
const headRoom = 64

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, headRoom+frameMost)} }}

// bufferKeep is the largest buffer that is used again.
const bufferKeep = 2 * frameMost

// frame puts what stands before all else into its place, and returns the whole.
func (b *buffer) frame(head []byte) []byte {
	at := headRoom - len(head)
	copy(b.b[at:], head)
	return b.b[at:]
}

func (b *buffer) free() {
	if b != nil && cap(b.b) <= bufferKeep {
		buffers.Put(b)
	}
}

// Publish sends a publish to other nodes, at the end of the turn. receipt is not 0 when its
// publisher waits for word from each. refused are those to which it is not sent: none of them gives
// word. The loop of that number only.
func (p *Plane) Publish(
	loop int, to []uint32, header, payload []byte, receipt uint64,
) (refused uint64) {
	l := p.lanes[loop]
	n := fieldSize + 1 + 8 + len(header) + len(payload)
	for _, slot := range to {
		of := p.links[slot].Load()
		o := &l.open[slot]
		if o.count > 0 && (o.to != of || len(o.buffer.b)+n > headRoom+frameMost) {
			l.handOver(slot)
		}
		switch {
		case of == nil:
			refused |= 1 << slot
			continue
		case p.alone.Load():
			l.handOver(slot)
			l.giveUp(of, 1)
			refused |= 1 << slot
			continue
		}
		if o.count == 0 {
			o.to, o.buffer = of, buffers.Get().(*buffer)
			o.buffer.b = o.buffer.b[:headRoom]
			l.touch |= 1 << slot
		}
		o.count++
		o.buffer.b = appendPublish(o.buffer.b, header, payload, receipt)
	}
	return refused
}

// Flush sends what was gathered. The loop of that number only.
func (p *Plane) Flush(loop int) {
	p.calls.lanes[loop].flush()
	l := p.lanes[loop]
	for slot := uint32(0); l.touch != 0; slot++ {
		if l.touch&(1<<slot) != 0 {
			l.handOver(slot)
		}
	}
}

// handOver puts what there is for a node into the queue, if it has room.
func (l *lane) handOver(slot uint32) {
	o := &l.open[slot]
	l.touch &^= 1 << slot
	if o.count == 0 {
		return
	}
	of, buffer, count := o.to, o.buffer, uint64(o.count)
	*o = parcel{}
	q := l.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	n := &of.lanes[l.index]
	first := n.next
	n.next += count
	if q.full(len(buffer.b)) {
		of.dropped.Add(count)
		buffer.free()
		return
	}
	of.sent.Add(count)
	var head [headRoom]byte
	m := batch{to: of.inc, epoch: of.epoch, first: first}
	q.push(outgoing{
		subject: n.subject, frame: buffer.frame(m.append(head[:0])), buffer: buffer,
		of: of, first: first, upto: n.next,
	})
}

// giveUp numbers publishes that are not sent.
func (l *lane) giveUp(of *link, count uint64) {
	l.queue.mu.Lock()
	of.lanes[l.index].next += count
	l.queue.mu.Unlock()
	of.dropped.Add(count)
}
