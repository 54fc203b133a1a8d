package client

import (
	"sync/atomic"
	"time"

	"mbserver/codec"
)

// The time in which two connections deliver.
//
// Purpose. While the client moves from one node to another (move.go), both of its connections
// hold its subscriptions. A message that comes over both is given to the callbacks once, one that
// comes over either is not lost, and what one publisher sent to one topic keeps its order.
//
// Outline. The ID that the broker gives a message is the same for all its subscribers, on all
// nodes (protocol §5): an ID that was seen is not taken again. What the new connection brings is
// held until the old one has brought its last, and stands behind that: of what a publisher sent,
// the old connection has a first part and the new one a last part, and they overlap or meet. What
// has no ID (log lines, notices) is what a node says of itself: the two are different ones, so it
// cannot come twice.

const (
	// overlapLinger is how long IDs are remembered after the old connection's last message: what
	// crosses between the nodes may come later over the new one.
	overlapLinger = 10 * time.Second
	// overlapIDs bounds how many IDs are remembered; half as many always are.
	overlapIDs = 65_536
)

// stage is where a connection stands between coming and going.
type stage int32

const (
	steady   stage = iota
	renewing       // it comes after a loss; slow callbacks must not keep answers away, see renew
	joining        // it comes while another one delivers
	joined         // it has come, but may bring what the other one brought
	leaving        // another one takes its place
)

// shared reports whether messages may come over another connection too.
func (s stage) shared() bool { return s > renewing }

// drops reports whether what finds no room is dropped, not waited for.
func (s stage) drops() bool { return s == renewing || s == joining }

// stageWord is a stage that the reader looks at for each message. Any goroutine.
type stageWord struct{ word atomic.Int32 }

func (w *stageWord) now() stage   { return stage(w.word.Load()) }
func (w *stageWord) set(s stage)  { w.word.Store(int32(s)) }
func (w *stageWord) drops() bool  { return w.now().drops() }
func (w *stageWord) settle() bool { return w.word.CompareAndSwap(int32(joined), int32(steady)) }

// overlap is what the queue knows of two connections that deliver. Guarded by
// the queue's mu; nil: there is one.
type overlap struct {
	moves   int  // that need it
	holding bool // what the joining connection brings

	// IDs of messages that were queued; when recent is full it becomes older.
	recent, older map[codec.UUID]struct{}

	// What is held, as in the queue.
	items []item
	arena []byte
}

// twice reports whether the message was queued before, and notes that it is.
func (o *overlap) twice(id []byte) bool {
	uuid, named := codec.ParseUUID(id)
	if o == nil || !named {
		return false
	}
	if o.has(uuid) {
		return true
	}
	if len(o.recent) >= overlapIDs/2 {
		o.recent, o.older = o.older, o.recent
		clear(o.recent)
	}
	o.recent[uuid] = struct{}{}
	return false
}

func (o *overlap) has(uuid codec.UUID) bool {
	if _, seen := o.recent[uuid]; seen {
		return true
	}
	_, seen := o.older[uuid]
	return seen
}

// holds reports whether the message is not to be queued now: it is held, or was
// queued already. Too much to hold ends the holding, so that the reader need not
// wait: then the order may suffer, and nothing else. With mu.
func (q *queue) holds(s stage, r *route, id, payload []byte) bool {
	o := q.overlap
	if o == nil {
		return false
	}
	if s != joining || !o.holding {
		uuid, named := codec.ParseUUID(id)
		return named && o.has(uuid)
	}
	if len(o.arena)+len(o.items)*itemCost >= q.limit {
		q.unhold()
		return false
	}
	o.arena = append(o.arena, id...)
	o.arena = append(o.arena, payload...)
	o.items = append(o.items, item{route: r, idLen: len(id), end: len(o.arena)})
	return true
}

// overlaps begins to hold what a joining connection brings.
func (q *queue) overlaps() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.overlap == nil {
		q.overlap = &overlap{
			recent: make(map[codec.UUID]struct{}), older: make(map[codec.UUID]struct{}),
		}
	}
	q.overlap.moves++
	q.overlap.holding = true
}

// release queues what is held, and nothing more is.
func (q *queue) release() {
	q.mu.Lock()
	q.unhold()
	q.pushed()
}

// unhold is release, with mu.
func (q *queue) unhold() {
	o := q.overlap
	if o == nil || !o.holding {
		return
	}
	o.holding = false
	q.tellLost()
	start := 0
	for _, it := range o.items {
		id := o.arena[start : start+it.idLen]
		if !o.twice(id) {
			q.arena = append(q.arena, o.arena[start:it.end]...)
			q.items = append(q.items, item{route: it.route, idLen: it.idLen, end: len(q.arena)})
		}
		start = it.end
	}
	o.items, o.arena = nil, nil
}

// parts forgets the IDs, when no other move needs them.
func (q *queue) parts() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.overlap.moves--; q.overlap.moves == 0 {
		q.overlap = nil
	}
}
