package broker

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/system"
)

// Snapshots: answers that are the same for all who ask for them.
//
// Purpose. A console that lists ten thousand services each second is felt by nobody: the list is
// walked and written once for all who ask within a second, beside the loops, and a loop only refers
// to it.
//
// Outline.
//
//	ask      a loop asks for its connection: it gets the last snapshot when that may be shared,
//	         else the connection waits for the next one
//	compose  the goroutine beside the loops makes it, for all that wait by then
//	post     each loop is handed a reference, and appends it to the connection's ring
//	         (conn_send.go, sendAnswer), which is written in pieces (conn.go, flush)
//
// Invariants. What is listed is never older than the question: a snapshot is shared only while the
// count of changes (of the registry, of the trie, of the service's subscriptions) is what it was
// when it was begun, and a change is counted before it is answered. So whoever has been told that a
// change was made finds it in what it asks for afterwards. The numbers that change without that,
// such as requests outstanding and the last sign of life, may be a second old; those of the node in
// system.metrics are composed anew for each group of askers (system.Snapshot.Fresh). A snapshot is
// charged to memory.limit once, from when it is begun until nobody refers to it any more.
//
// Cost. One kind of snapshot takes a twentieth of a processor at the most, however it is asked for:
// the next one is not begun before twenty times what the last one took, but after a second in any
// case. One that takes less than a millisecond is shared for no longer than that either.
const (
	snapshotShare = time.Second      // that a large one is shared for
	snapshotLarge = time.Millisecond // from which it is large
	snapshotPace  = 20               // times what the last one took, until the next
	snapshotHeld  = 4                // none is kept to share beyond this part (1/n) of the budget
)

// snapshots is the part of background that makes them. Guarded by its mu, but for what says
// otherwise.
type snapshots struct {
	entries map[snapshotKey]*snapshotEntry
	wanted  []*snapshotEntry // with somebody who waits, in the order in which they are served
	asked   int              // who wait, in all

	// Atomic.
	held  atomic.Int64  // bytes of those that are being made, or that somebody refers to
	built atomic.Uint64 // how many have been made
}

// snapshotKey names what a snapshot is of.
type snapshotKey struct {
	kind system.Snapshot
	of   *service // whose subscriptions; nil for the other kinds
}

// snapshotEntry is what is known of one. It is forgotten when nobody waits and nothing is shared.
type snapshotEntry struct {
	key       snapshotKey
	waiting   []question
	subs      []subscription // what to make it of, as of the last question
	version   uint64         // of subs
	last      *ringbuf.Shared
	lastIs    uint64    // the version of last
	until     time.Time // that last is shared
	notBefore time.Time // the next is not begun
	size      int       // of the last one, in bytes
}

// question is somebody who waits for a snapshot.
type question struct {
	to      *service
	header  []byte
	version uint64 // when it was asked
}

// changesOf counts the changes of what a kind of snapshot lists. Any goroutine.
func (b *Broker) changesOf(kind system.Snapshot) uint64 {
	switch kind {
	case system.TopicsSnapshot, system.TopicSubscriptionsSnapshot,
		system.NodeTopicSubscriptionsSnapshot:
		return b.trie.Changes()
	}
	return b.registry.changes.Load()
}

// ask returns a snapshot that may be shared, with a reference for the caller, or lets q wait for
// the next one. ok is false when too many wait. subs are those of a service whose they are asked
// for. Loop only.
func (d *background) ask(
	key snapshotKey, q question, subs []subscription,
) (s *ringbuf.Shared, ok bool) {
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[key]
	if e != nil && e.shareable(now, q.version) && !key.kind.Fresh() {
		e.last.Retain(1)
		return e.last, true
	}
	if d.asked >= questionsMax || q.to.asking.Load() >= questionsPerService {
		return nil, false
	}
	if e == nil {
		e = &snapshotEntry{key: key}
		d.entries[key] = e
	}
	if len(e.waiting) == 0 {
		d.wanted = append(d.wanted, e)
	}
	e.waiting = append(e.waiting, q)
	e.subs, e.version = subs, q.version
	d.asked++
	q.to.asking.Add(1)
	kick(d.wake)
	return nil, true
}

// shareable says that the last one is as good as a new one.
func (e *snapshotEntry) shareable(now time.Time, version uint64) bool {
	return e.last != nil && now.Before(e.until) &&
		(e.lastIs == version || simfaultBuild && strikes(simStaleList))
}

// takeDue takes the first of those out that are to be made now. mu is held.
func (d *background) takeDue(now time.Time) *snapshotEntry {
	for i, e := range d.wanted {
		if !now.Before(e.notBefore) {
			d.wanted = slices.Delete(d.wanted, i, i+1)
			return e
		}
	}
	return nil
}

// nextAt is when one will be due, or can be let go of; zero: never. mu is held.
func (d *background) nextAt() (at time.Time) {
	for _, e := range d.entries {
		next := e.until
		if len(e.waiting) > 0 || e.last == nil {
			next = e.notBefore
		}
		if at.IsZero() || next.Before(at) {
			at = next
		}
	}
	return at
}

// expire lets go of what is not shared any more, and of those entries that say nothing. mu is held.
func (d *background) expire(now time.Time) {
	for key, e := range d.entries {
		if e.last != nil && !now.Before(e.until) {
			e.last.Release()
			e.last = nil
		}
		if e.last == nil && len(e.waiting) == 0 && !now.Before(e.notBefore) {
			delete(d.entries, key)
		}
	}
}

// compose makes a snapshot and hands it to those who wait for it. asked are those who have been
// taken out of the wait and are not answered yet.
func (d *background) compose(e *snapshotEntry, asked *[]question) {
	b := d.broker
	began := d.now()
	body, subs, version, size := d.begin(e, asked, began)
	if len(*asked) == 0 {
		return
	}
	isNew := body == nil
	if isNew {
		if body = d.make(e.key, subs, size, began); body == nil {
			b.Throttle.Log(b.modules.node, slog.LevelWarn,
				"memory.limit is near: a list is not made")
			refuse(*asked, b, noMemory)
			*asked = nil
			return
		}
	}
	answerAll(asked, e.key.kind.AppendHead(nil, b, began), body)
	took := d.now().Sub(began)
	d.mu.Lock()
	e.notBefore = began.Add(min(snapshotPace*took, snapshotShare))
	*asked = d.keepLast(e, body, version, began, took, isNew)
	d.mu.Unlock()
	answerAll(asked, nil, body)
	body.Release()
	b.relieve()
}

// begin takes those out who wait for a snapshot, and returns the last one, with a reference for the
// caller, if that may be shared, else nil and what the next one is made of.
func (d *background) begin(e *snapshotEntry, asked *[]question, now time.Time) (
	last *ringbuf.Shared, subs []subscription, version uint64, size int,
) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*asked = d.takeWaiting(e)
	subs, version = e.subs, e.version
	e.subs = nil // who asks meanwhile brings its own
	if e.key.kind != system.SubscriptionsSnapshot {
		version = d.broker.changesOf(e.key.kind) // before anything is read
	}
	if len(*asked) > 0 && e.shareable(now, version) {
		last = e.last
		last.Retain(1)
	}
	return last, subs, version, e.size
}

// keepLast notes a snapshot as the last one, unless it was, and takes those out who have asked
// meanwhile and for whom it is as good as a new one. mu is held.
func (d *background) keepLast(
	e *snapshotEntry, s *ringbuf.Shared, version uint64, began time.Time, took time.Duration,
	isNew bool,
) (late []question) {
	if isNew {
		if e.last != nil {
			e.last.Release()
		}
		share := snapshotShare
		if took < snapshotLarge {
			share = snapshotPace * took
		}
		e.last, e.size = nil, len(s.B)
		if d.held.Load() <= d.broker.budget.high/snapshotHeld {
			s.Retain(1)
			e.last, e.lastIs, e.until = s, version, began.Add(share)
		}
	}
	if e.key.kind.Fresh() {
		return nil
	}
	e.waiting = slices.DeleteFunc(e.waiting, func(q question) bool {
		if q.version != version {
			return false
		}
		late = append(late, q)
		return true
	})
	d.answered(late)
	if len(e.waiting) == 0 {
		d.wanted = slices.DeleteFunc(d.wanted, func(w *snapshotEntry) bool { return w == e })
	}
	return late
}

// takeWaiting takes those out who wait and still get answers. mu is held.
func (d *background) takeWaiting(e *snapshotEntry) []question {
	asked := e.waiting
	e.waiting = nil
	d.answered(asked)
	return slices.DeleteFunc(asked, func(q question) bool { return q.to.marked(markGone) })
}

// answered notes that these do not wait any more. mu is held.
func (d *background) answered(qs []question) {
	d.asked -= len(qs)
	for i := range qs {
		qs[i].to.asking.Add(-1)
	}
}

// make composes a snapshot, or returns nil when memory.limit has no room for it. The reference is
// the caller's.
func (d *background) make(
	key snapshotKey, subs []subscription, size int, now time.Time,
) *ringbuf.Shared {
	b := d.broker
	count := len(subs)
	if key.of != nil {
		count = key.of.countSubscribed(subs)
	}
	expected := int64(b.snapshotBytes(key.kind, count))
	if b.charged()+expected > b.budget.high {
		return nil
	}
	d.held.Add(expected)
	defer d.held.Add(-expected)
	buf := make([]byte, 0, size+size/8+64)
	if key.kind == system.SubscriptionsSnapshot {
		node, abroad := b.nodeOf(key.of)
		buf = system.AppendSubscriptions(buf, key.of.subscribed(subs), node, abroad)
	} else {
		buf = key.kind.Append(buf, b, now)
	}
	d.built.Add(1)
	held := int64(cap(buf))
	d.held.Add(held)
	return ringbuf.NewPaid(buf, func() { d.held.Add(-held) })
}

// snapshotBytes is about what making a snapshot takes, the answer and what it is sorted in, from
// above. Any goroutine.
func (b *Broker) snapshotBytes(kind system.Snapshot, subs int) int {
	switch kind {
	case system.TopicsSnapshot:
		return 128 * b.trie.Count()
	case system.TopicSubscriptionsSnapshot, system.NodeTopicSubscriptionsSnapshot:
		return 256 * b.trie.Count()
	case system.ServicesSnapshot, system.FullServicesSnapshot:
		return 768 * (b.registry.count() + b.countAbroad())
	case system.MetricsSnapshot:
		return 384 * b.registry.count()
	case system.SubscriptionsSnapshot:
		return 256 * subs
	}
	return 768 * b.registry.count()
}

// answerAll hands a snapshot to all who asked.
func answerAll(asked *[]question, head []byte, body *ringbuf.Shared) {
	for ; len(*asked) > 0; *asked = (*asked)[1:] {
		(*asked)[0].answer(head, body)
	}
}

// answer hands a snapshot to the loop of whoever asked. Any goroutine.
func (q *question) answer(head []byte, body *ringbuf.Shared) {
	q.to.loop.post(itemAnswer, func(p *parcel, it *item) {
		it.to = q.to
		p.copy(it, q.header, head)
		body.Retain(1)
		it.body = body // it is charged already
	})
}

// noMemory is the answer to those for whose snapshot there is no memory.
var noMemory = &system.Error{
	Code: codec.ServiceUnavailable, Message: "this node has no memory to compose the answer",
	Details: []codec.Detail{codec.TextDetail("reason", "memory")},
}

// refuse answers those for whom there is no snapshot.
func refuse(asked []question, b *Broker, err *system.Error) {
	for i := range asked {
		q := &asked[i]
		q.to.postFailure(q.header, codec.AppendError(nil, err.Code, err.Message,
			b.background.now().UnixMilli(), err.Details...))
	}
}
