package broker

import (
	"context"
	"sync"
)

// background composes answers that need the whole registry or the whole trie, on one goroutine, so
// that a monitoring console never delays a message.
type background struct {
	jobs chan func()
	quit chan struct{} // closed when nobody waits for answers any more
	done chan struct{} // closed when the goroutine has ended
	once sync.Once     // quit is closed once
}

func (d *background) start() {
	d.jobs = make(chan func(), backgroundQueue)
	d.quit, d.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(d.done)
		for {
			select {
			case <-d.quit:
				return
			default:
			}
			select {
			case job := <-d.jobs:
				job()
			case <-d.quit:
				return
			}
		}
	}()
}

// stop ends it: who asked is gone, and what waits is not composed. It waits for the job under way
// until ctx ends.
func (d *background) stop(ctx context.Context) {
	if d.jobs == nil {
		return
	}
	d.once.Do(func() { close(d.quit) })
	select {
	case <-d.done:
	case <-ctx.Done():
	}
}

// run queues a job; false means that too many wait.
func (d *background) run(job func()) bool {
	select {
	case d.jobs <- job:
		return true
	default:
		return false
	}
}
