package broker

import (
	"sync"
	"sync/atomic"

	"mbserver/ringbuf"
)

// inbox is what other goroutines have sent a loop, together with what had to be dropped while it
// was full.
type inbox struct {
	box *ringbuf.Mailbox[envelope]

	// Atomic.
	waiting atomic.Int64 // bytes of the bodies that wait, as of the last post or take

	// Guarded by mu.
	mu    sync.Mutex
	bytes int // of the publishes' bodies that wait
	// full: a publish was refused since the last take. Later ones are refused too, even if they
	// would fit: a subscriber must not receive messages from inside the gap it is about to be told
	// of.
	full bool
	// lost is the deliveries dropped because the inbox was full; bounded by the loop's connections.
	lost map[*service]int
}

// postPublish posts e if there is room and says so; without room each target's loss is noted, for
// its loop to tell.
func (l *Loop) postPublish(e envelope) bool {
	n := len(e.body.B)
	in := &l.inbox
	in.mu.Lock()
	taken, wake := false, false
	if !in.full && in.bytes+n <= l.broker.inboxBytes {
		if taken, wake = in.box.Post(e, false); taken {
			in.bytes += n
			in.waiting.Store(int64(in.bytes))
		}
	}
	if in.full = !taken; in.full {
		if in.lost == nil {
			in.lost = make(map[*service]int)
		}
		for _, s := range e.group.targets {
			in.lost[s]++
		}
	}
	in.mu.Unlock()
	if wake {
		l.driver.Schedule()
	}
	return taken
}

// post hands e over whatever waits: for envelopes whose number is bounded by what they answer.
func (l *Loop) post(e envelope) {
	if simfaultBuild && e.kind == envelopeDirect && strikes(simLostEnvelope) {
		e.body.Release()
		return
	}
	if _, wake := l.inbox.box.Post(e, true); wake {
		l.driver.Schedule()
	}
}

// takeInbox returns what was posted, in order, and the losses that came after it.
func (l *Loop) takeInbox() (items []envelope, lost map[*service]int) {
	in := &l.inbox
	in.mu.Lock()
	items = in.box.Take(l.spareInbox)
	l.spareInbox = nil
	lost, in.lost, in.bytes, in.full = in.lost, nil, 0, false
	in.waiting.Store(0)
	in.mu.Unlock()
	return items, lost
}

// postDirect sends a complete message (header line and payload) to one service from any goroutine;
// body is taken over.
func (s *service) postDirect(body *ringbuf.Shared) {
	s.loop.post(direct(s, body, true, false))
}

// Writable says that the socket of the connection with that handle takes bytes again. Any
// goroutine.
func (l *Loop) Writable(slot, gen uint32) { l.post(writable(slot, gen)) }
