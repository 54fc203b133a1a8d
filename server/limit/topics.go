package limit

import (
	"math"
	"sync"
)

// sweepSteps is how many buckets a look-up that adds one looks at for full ones: more than one, so
// that forgetting keeps ahead of adding, and few, so that no look-up stalls its loop.
const sweepSteps = 8

// cacheLine keeps the buckets of two busy topics out of each other's way.
const cacheLine = 64

// Topics holds one bucket per topic, all of one rate, in bounded memory. Full buckets are forgotten
// once the table is half full, a few at each topic that is added; a bucket that is not full never
// is. A topic that finds no room shares the overflow bucket with all others that found none:
// together they have the rate of one topic until there is room. Any goroutine.
type Topics struct {
	// Immutable after NewTopics.
	rate  Rate
	bound int

	overflow Bucket

	mu sync.Mutex
	// Guarded by mu.
	buckets    map[string]*Bucket
	order      []topicBucket // the same buckets, for the sweep
	hand       int           // index in order where the sweep goes on
	overflowed uint64
}

type topicBucket struct {
	name   string
	bucket *Bucket
}

// NewTopics returns an empty table with room for bound >= 1 topics of rate r each.
func NewTopics(r Rate, bound int) *Topics {
	return &Topics{rate: r, bound: max(bound, 1), buckets: make(map[string]*Bucket)}
}

// Rate returns the rate of each topic.
func (t *Topics) Rate() Rate { return t.rate }

// Take takes one message of a canonical topic at nowMs; the results are those of Bucket.Take, but
// never Gone. *cached is nil at first; afterwards it is the bucket that was asked, to be kept with
// what the gate remembers of the topic, by one goroutine, and passed in again. While it stands no
// lock is taken. When the rate is off *cached is left alone.
func (t *Topics) Take(cached **Bucket, name []byte, nowMs int64) (retryAfterMs int64, ok bool) {
	if t.rate.Off() {
		return 0, true
	}
	if b := *cached; b != nil && b != &t.overflow {
		if retryAfterMs, ok = b.Take(t.rate, nowMs); retryAfterMs != Gone {
			return retryAfterMs, ok
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	*cached = t.bucket(name, nowMs)
	return (*cached).Take(t.rate, nowMs) // not Gone: forgetting needs the lock
}

// Room returns how many messages of the topic Take lets pass at nowMs, cached being as for Take and
// not nil. Those that share the overflow bucket have to ask for each.
func (t *Topics) Room(cached **Bucket, nowMs int64) int64 {
	switch {
	case t.rate.Off():
		return math.MaxInt64
	case *cached == &t.overflow:
		return 0
	}
	return (*cached).Room(t.rate, nowMs)
}

// Pay is Bucket.Pay for a topic, cached being as for Take.
func (t *Topics) Pay(cached **Bucket, name []byte, nowMs, n int64) {
	if t.rate.Off() || (*cached).Pay(t.rate, nowMs, n) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	*cached = t.bucket(name, nowMs)
	(*cached).Pay(t.rate, nowMs, n) // not Gone: forgetting needs the lock
}

// Bucket returns the bucket of a canonical topic; name is copied when it is new. A caller that
// keeps the result looks the topic up again when the bucket says Gone. It may be the overflow
// bucket, which never does and is not to be kept. Take sees to both.
func (t *Topics) Bucket(name []byte, nowMs int64) *Bucket {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bucket(name, nowMs)
}

// Len returns how many topics have a bucket of their own.
func (t *Topics) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.order)
}

// Overflowed returns how many look-ups were answered with the overflow bucket so far:
// with Take, one per message.
func (t *Topics) Overflowed() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.overflowed
}

// bucket finds or adds. The caller holds mu.
func (t *Topics) bucket(name []byte, nowMs int64) *Bucket {
	if b := t.buckets[string(name)]; b != nil {
		return b
	}
	if len(t.order) >= t.bound/2 {
		t.sweep(nowMs)
	}
	if len(t.order) >= t.bound {
		t.overflowed++
		return &t.overflow
	}
	padded := new(struct {
		Bucket
		_ [cacheLine - 8]byte
	})
	added := topicBucket{string(name), &padded.Bucket}
	t.buckets[added.name] = added.bucket
	t.order = append(t.order, added)
	return added.bucket
}

// sweep looks at the next few buckets and forgets the full ones. The caller holds mu.
func (t *Topics) sweep(nowMs int64) {
	for range sweepSteps {
		last := len(t.order) - 1
		if last < 0 {
			return
		}
		if t.hand > last {
			t.hand = 0
		}
		at := t.order[t.hand]
		if !at.bucket.forget(t.rate, nowMs) {
			t.hand++
			continue
		}
		delete(t.buckets, at.name)
		t.order[t.hand] = t.order[last]
		t.order[last] = topicBucket{}
		t.order = t.order[:last]
	}
}
