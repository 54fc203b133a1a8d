package server

import (
	"sync"
	"sync/atomic"

	"mbserver/codec"
	"mbserver/ringbuf"
)

// envelopeKind says what the receiving loop does.
type envelopeKind uint8

const (
	envelopePublish  envelopeKind = iota // deliver body to targets; answer with envelopeTaken when wait is set
	envelopeLog                          // a publish that is a line of the log
	envelopeTaken                        // a loop has delivered a publish: count dropped into slot of the waiting acknowledgement
	envelopeRequest                      // deliver a request to service `to`
	envelopeQueue                        // let a request wait on this loop for a service with room
	envelopeDirect                       // deliver body to service `to`
	envelopeWritable                     // the socket in slot/gen takes bytes again
	envelopeCall                         // run call on the loop: rare operations only
)

// envelope is what one loop, or the desk, hands to a loop.
type envelope struct {
	kind      envelopeKind
	text      bool // body came as, or is, UTF-8 text
	unaudited bool
	failure   bool // direct: an error that counts against the receiver
	hops      uint8

	to      *service // request: the chosen target; direct: the receiver
	from    *service // request: the requester; publish: who waits for the acknowledgement, or nil
	body    *ringbuf.Shared
	targets []*service // publish: immutable, shared with the sender's route cache

	deliveries []delivery // publish: how each target wants it
	key        uint64     // publish: the route's

	slot, gen uint32 // publish, taken: the acknowledgement; writable: the connection
	dropped   uint32 // taken
	idLen     uint8  // request: body starts with that many bytes of the requester's own request ID
	topicLen  uint16 // request: bytes of the topic in body's header line
	arrived   int64  // request: loop ms
	deadline  int64  // request: loop ms

	original string // publish: the publisher's request ID, only while there is an audit
	call     func(l *loop)
}

// inbox is a loop's mailbox together with what had to be dropped while it was full.
type inbox struct {
	box *ringbuf.Mailbox[envelope]

	// Atomic.
	waiting atomic.Int64 // bytes of the bodies that wait, as of the last post or take

	// Guarded by mu.
	mu    sync.Mutex
	bytes int              // bodies of the publishes that wait
	full  bool             // a publish was refused since the last take: those after it are too, so that the gap stands where it is told
	lost  map[*service]int // deliveries dropped because the inbox was full; bounded by the loop's connections
}

// postPublish posts e if there is room and says so; without room each target's loss is noted, for its loop to tell.
func (l *loop) postPublish(e envelope) bool {
	n := len(e.body.B)
	in := &l.inbox
	in.mu.Lock()
	taken, wake := false, false
	if !in.full && in.bytes+n <= l.node.mailboxBytes {
		if taken, wake = in.box.Post(e, false); taken {
			in.bytes += n
			in.waiting.Store(int64(in.bytes))
		}
	}
	if in.full = !taken; in.full {
		if in.lost == nil {
			in.lost = make(map[*service]int)
		}
		for _, s := range e.targets {
			in.lost[s]++
		}
	}
	in.mu.Unlock()
	if wake {
		l.host.schedule()
	}
	return taken
}

// post hands e over whatever waits: for envelopes whose number is bounded by what they answer.
func (l *loop) post(e envelope) {
	if simFault && e.kind == envelopeDirect && strikes(faultLostEnvelope) {
		e.body.Release()
		return
	}
	if _, wake := l.inbox.box.Post(e, true); wake {
		l.host.schedule()
	}
}

// takeInbox returns what was posted, in order, and the losses that came after it.
func (l *loop) takeInbox() (items []envelope, lost map[*service]int) {
	in := &l.inbox
	in.mu.Lock()
	items = in.box.Take(l.spareInbox)
	l.spareInbox = nil
	lost, in.lost, in.bytes, in.full = in.lost, nil, 0, false
	in.waiting.Store(0)
	in.mu.Unlock()
	return items, lost
}

// postDirect sends a complete message (header line and payload) to one service from any goroutine; body is taken over.
func (s *service) postDirect(body *ringbuf.Shared) {
	s.loop.post(envelope{kind: envelopeDirect, to: s, body: body, text: true})
}

// clock is a loop's idea of time: ms counts from the start of the node and never jumps, unix is the wall's.
type clock struct{ ms, unix int64 }

// host is what a loop needs of the world: time, a turn soon, a turn later, and randomness. The reactor implements it over
// gnet; a simulation over nothing.
type host interface {
	now() clock
	// schedule makes the loop run a turn soon, after the I/O events of the running batch. Any goroutine.
	schedule()
	// scheduleAt makes the loop run a turn at ms; it replaces the time set before. Loop only.
	scheduleAt(ms int64)
}

// socket is what a connection needs of its transport. Loop only.
type socket interface {
	ringbuf.Writer
	// awaitWritable arranges for one envelopeWritable when the socket takes bytes again.
	awaitWritable(s *service)
	// pauseReading stops, or starts again, that bytes of the peer are reported.
	pauseReading(paused bool)
	// closeWrite sends the end of the stream and lets the peer's bytes come.
	closeWrite()
	// close gives the descriptor back. The reactor reports nothing for this socket afterwards.
	close()
}

// newID returns a fresh random UUIDv4.
func (l *loop) newID() codec.UUID { return codec.NewUUID(l.random.Uint64(), l.random.Uint64()) }

// messageIDs makes the IDs of messages that only need to differ: a UUIDv4 of which one half is counted on from a random
// start, so that a message costs no random bits. They are unique, and not secret. Loop only.
type messageIDs struct {
	hi, lo uint64
	left   int // until the next start
}

// messageIDRun is how many IDs follow one start.
const messageIDRun = 1 << 16

// appendMessageID appends the next of them as text.
func (l *loop) appendMessageID(dst []byte) []byte {
	m := &l.messageIDs
	if m.left == 0 {
		m.hi, m.lo, m.left = l.random.Uint64(), l.random.Uint64(), messageIDRun
	}
	m.left--
	m.lo++
	return codec.AppendUUID(dst, m.hi, m.lo)
}
