package backplane

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// queue is what one lane has for the bus: one goroutine sends it, because the bus may block.
type queue struct {
	// Immutable.
	bus  Bus
	lane int
	most int // bytes

	wake chan struct{} // holds a token when there may be something to send
	done chan struct{} // closed when the goroutine has ended

	failed atomic.Uint64 // frames that the bus did not take
	held   atomic.Int64  // bytes, as they are charged; changed with mu held
	kept   kept

	// Of the goroutine only.
	taken []outgoing
	at    int // those before are sent

	// Guarded by mu.
	mu     sync.Mutex
	frames []outgoing
	busy   bool // frames were taken and are not all sent
	closed bool
}

// outgoing is one frame on its way. of, first and upto are of those that are numbered: the link,
// the number of the first publish in it and that after the last one's, or those of a frame of
// requests.
type outgoing struct {
	subject string
	frame   []byte
	buffer  *buffer // the frame's, given back when it is sent; nil: it has none
	of      *link
	first   uint64
	upto    uint64
}

// outgoingCharge is what a frame takes beside its bytes.
const outgoingCharge = 128

func (f *outgoing) charge() int64 { return int64(len(f.frame) + outgoingCharge) }

// roomyMost is how many frames may wait in buffers that have room for more: of others that are
// small the bytes are kept alone.
const roomyMost = 16

// fit has f keep no more than its bytes. mu is held.
func (q *queue) fit(f *outgoing) {
	if len(q.frames) < roomyMost || f.buffer == nil || len(f.frame) > cap(f.buffer.b)/2 {
		return
	}
	f.frame = bytes.Clone(f.frame)
	f.buffer.free()
	f.buffer = nil
}

func newQueue(bus Bus, lane, most int) *queue {
	return &queue{
		bus: bus, lane: lane, most: most,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// push puts a frame at the end, whether there is room or not. mu is held.
func (q *queue) push(f outgoing) {
	q.fit(&f)
	q.frames = append(q.frames, f)
	q.held.Add(f.charge())
	q.call()
}

// send is push for who does not hold mu.
func (q *queue) send(subject string, frame []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.push(outgoing{subject: subject, frame: frame})
}

// call wakes the goroutine.
func (q *queue) call() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// full says that n more bytes are too many. mu is held.
func (q *queue) full(n int) bool {
	held := int(q.held.Load())
	return held > 0 && held+n+outgoingCharge > q.most
}

// crowded says that n more bytes are too many; early, that they are of half as many. Any goroutine.
func (q *queue) crowded(n int, early bool) bool {
	held := int(q.held.Load())
	if early {
		held *= 2
		n *= 2
	}
	return held > 0 && held+n+outgoingCharge > q.most
}

// run sends until the queue is closed and empty.
func (q *queue) run() {
	defer close(q.done)
	for {
		switch sent, closed := q.step(); {
		case sent:
		case closed:
			return
		default:
			<-q.wake
		}
	}
}

// step sends a frame, and one that is asked for again, or says that there is none, and whether the
// queue is closed.
func (q *queue) step() (sent, closed bool) {
	again := q.kept.step(q)
	if q.at == len(q.taken) {
		q.mu.Lock()
		q.taken, q.frames, q.at = q.frames, q.taken[:0], 0
		q.busy, closed = len(q.taken) > 0, q.closed
		q.mu.Unlock()
		if len(q.taken) == 0 {
			return again, closed
		}
	}
	f := &q.taken[q.at]
	q.at++
	if f.of != nil {
		q.kept.keep(f)
	}
	if q.bus.Send(q.lane, f.subject, f.frame) != nil {
		q.failed.Add(1)
	}
	q.mu.Lock()
	q.held.Add(-f.charge())
	if f.of != nil {
		f.of.lanes[q.lane].written = f.upto
	}
	q.mu.Unlock()
	f.buffer.free()
	*f = outgoing{}
	return true, false
}

// reached is the number up to which what is numbered for a link was handed to the bus, or given up.
func (q *queue) reached(of *link) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := &of.lanes[q.lane]
	if !q.busy && len(q.frames) == 0 {
		return n.next
	}
	return n.written
}

// numbered is the number up to which there is anything for a link.
func (q *queue) numbered(of *link) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return of.lanes[q.lane].next
}

// close ends the queue when all that is in it is sent.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.call()
}
