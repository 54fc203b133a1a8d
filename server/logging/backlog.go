package logging

import (
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// queueSize is how many records may wait in a backlog; more are dropped and counted.
	queueSize = 1024
	// overflowInterval is how often dropped records are told while a backlog never runs empty.
	overflowInterval = time.Second
)

// entry is one record that waits.
type entry struct {
	from   *Handler
	module string
	record slog.Record
}

// backlog is the records that wait for one goroutine. What finds no room is counted, and told
// through that goroutine.
type backlog struct {
	// Immutable after newBacklog.
	queue chan entry
	take  func(entry)               // acts on a record
	tell  func(dropped uint64) bool // says how many were dropped, if it can
	woken func()                    // acts on wake, and has the last word; nil: nothing to do
	waken chan struct{}             // a token when wake was called
	done  chan struct{}             // closed when the goroutine has ended

	// Atomic.
	dropped atomic.Uint64 // since they were told
	total   atomic.Uint64

	// Owned by the goroutine.
	lastTold time.Time
}

// newBacklog starts a goroutine that acts on what is pushed, in order, until stop is closed and
// nothing waits.
func newBacklog(
	stop <-chan struct{}, take func(entry), tell func(uint64) bool, woken func(),
) *backlog {
	b := &backlog{
		queue: make(chan entry, queueSize), take: take, tell: tell, woken: woken,
		waken: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go b.run(stop)
	return b
}

// wake has the goroutine call woken. Any goroutine.
func (b *backlog) wake() {
	select {
	case b.waken <- struct{}{}:
	default:
	}
}

// push queues a record or counts it as dropped. Any goroutine.
func (b *backlog) push(e entry) {
	select {
	case b.queue <- e:
	default:
		b.drop()
	}
}

// refuses says that there is no room for one more record, which it counts as dropped. Any
// goroutine.
func (b *backlog) refuses() bool {
	full := len(b.queue) == cap(b.queue)
	if full {
		b.drop()
	}
	return full
}

func (b *backlog) drop() {
	b.dropped.Add(1)
	b.total.Add(1)
}

func (b *backlog) run(stop <-chan struct{}) {
	defer close(b.done)
	for {
		select {
		case e := <-b.queue:
			b.take(e)
			b.tellDropped(false)
		case <-b.waken:
			b.woken()
			b.tellDropped(false)
		case <-stop:
			for {
				select {
				case e := <-b.queue:
					b.take(e)
				default:
					b.tellDropped(true)
					if b.woken != nil {
						b.woken()
					}
					return
				}
			}
		}
	}
}

// tellDropped says how many were dropped: when the queue ran empty, or after overflowInterval, or
// in any case.
func (b *backlog) tellDropped(now bool) {
	if b.dropped.Load() == 0 {
		return
	}
	at := time.Now()
	if !now && len(b.queue) > 0 && at.Sub(b.lastTold) < overflowInterval {
		return
	}
	b.lastTold = at
	if n := b.dropped.Swap(0); n > 0 && !b.tell(n) {
		b.dropped.Add(n)
	}
}
