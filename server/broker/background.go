package broker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"mbserver/codec"
	"mbserver/server/system"
)

// background is what works beside the loops, on two goroutines: one makes the answers that need the
// whole registry, the whole trie or all subscriptions of a connection (snapshot.go), the other does
// jobs of single requests, which may be long, so that no list waits for them. Each rests after its
// work, so that a processor is never its own.
type background struct {
	// Immutable after init.
	broker  *Broker
	now     func() time.Time
	wake    chan struct{} // a token when there is something new to make
	wakeJob chan struct{} // a token when there is a job
	quit    chan struct{} // closed when nobody waits for answers any more
	once    sync.Once     // quit is closed once
	ended   chan struct{} // closed when both goroutines have ended; nil: they were not started

	running atomic.Int32 // goroutines

	faults atomic.Uint64 // panics: ours

	// Guarded by mu, which is held for a few instructions and never while something is composed.
	mu   sync.Mutex
	jobs []job            // in the order in which they came
	of   map[*service]int // how many of those are whose
	snapshots
}

// How long what works beside the loops rests after a large piece of work, in times of that.
const (
	snapshotRest = 1
	jobRest      = 4
)

// job is the work of one request.
type job struct {
	from *service
	work func() func(c system.Caller) *system.Error
	then func(finish func(c system.Caller) *system.Error) // posts it; any goroutine
}

func (d *background) init(b *Broker) {
	d.broker, d.now = b, time.Now
	d.wake, d.wakeJob = make(chan struct{}, 1), make(chan struct{}, 1)
	d.quit = make(chan struct{})
	d.entries, d.of = make(map[snapshotKey]*snapshotEntry), make(map[*service]int)
}

func (d *background) start() {
	d.ended = make(chan struct{})
	d.running.Store(2)
	go d.serve(d.wake, d.stepSnapshot, snapshotRest)
	go d.serve(d.wakeJob, d.stepJob, jobRest)
}

// serve takes steps while there is something to be done, and waits otherwise.
func (d *background) serve(
	wake chan struct{}, step func(now time.Time) (worked bool, next time.Time), rest int,
) {
	defer func() {
		if d.running.Add(-1) == 0 {
			close(d.ended)
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-d.quit:
			return
		default:
		}
		began := d.now()
		worked, next := step(began)
		now := d.now()
		until, woken := next, wake
		if worked {
			if until = now; now.Sub(began) >= snapshotLarge {
				until, woken = now.Add(time.Duration(rest)*now.Sub(began)), nil
			}
		}
		timer.Stop()
		if !until.IsZero() {
			timer.Reset(max(until.Sub(now), 0))
		}
		select {
		case <-woken:
		case <-timer.C:
		case <-d.quit:
			return
		}
	}
}

// stop ends it: who asked is gone, and what waits is not composed. It waits for what is under way
// until ctx ends.
func (d *background) stop(ctx context.Context) {
	if d.ended == nil {
		return
	}
	d.once.Do(func() { close(d.quit) })
	select {
	case <-d.ended:
	case <-ctx.Done():
	}
}

// kick leaves a token.
func kick(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// run queues a job; false means that too many wait, of that service or in all. Loop only.
func (d *background) run(j job) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.jobs) >= jobsMax || d.of[j.from] >= jobsPerService {
		return false
	}
	d.of[j.from]++
	d.jobs = append(d.jobs, j)
	kick(d.wakeJob)
	return true
}

// internalFault is what a panic costs those who asked.
var internalFault = &system.Error{
	Code: codec.InternalError, Message: "internal fault: there is no answer",
}

// stepJob does the first job of somebody who still gets an answer.
func (d *background) stepJob(time.Time) (worked bool, next time.Time) {
	d.mu.Lock()
	j, ok := d.takeJob()
	d.mu.Unlock()
	if ok {
		finish := func(system.Caller) *system.Error { return internalFault }
		d.guard(func() { finish = j.work() })
		j.then(finish)
	}
	return ok, next
}

// stepSnapshot makes one snapshot that is due. When there was none, next is when there will be one,
// or one has been shared for long enough; zero: never.
func (d *background) stepSnapshot(now time.Time) (worked bool, next time.Time) {
	d.mu.Lock()
	d.expire(now)
	e := d.takeDue(now)
	next = d.nextAt()
	d.mu.Unlock()
	if e == nil {
		return false, next
	}
	var asked []question
	d.guard(func() { d.compose(e, &asked) })
	refuse(asked, d.broker, internalFault) // those whom a panic left without an answer
	return true, next
}

// takeJob takes the first job of a service that still gets an answer, and forgets those before it.
// mu is held.
func (d *background) takeJob() (j job, ok bool) {
	for len(d.jobs) > 0 && !ok {
		j, ok = d.jobs[0], !d.jobs[0].from.marked(markGone)
		d.jobs[0] = job{}
		d.jobs = d.jobs[1:]
		if d.of[j.from]--; d.of[j.from] == 0 {
			delete(d.of, j.from)
		}
	}
	if len(d.jobs) == 0 {
		d.jobs = nil
	}
	return j, ok
}

// guard runs f; a panic is a fault of ours: it is logged and counted, and the node lives.
func (d *background) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			d.faults.Add(1)
			d.broker.FaultAside()
			d.broker.logFault(d.broker.modules.node, v)
		}
	}()
	f()
}
