package broker

import "sync"

// background composes answers that need the whole registry or the whole trie, on one goroutine, so
// that a monitoring console never delays a message.
type background struct {
	jobs chan func()
	done sync.WaitGroup
}

func (d *background) start() {
	d.jobs = make(chan func(), backgroundQueue)
	d.done.Add(1)
	go func() {
		defer d.done.Done()
		for job := range d.jobs {
			job()
		}
	}()
}

// stop ends it once its queue is done. Nothing may be asked afterwards.
func (d *background) stop() {
	if d.jobs != nil {
		close(d.jobs)
		d.done.Wait()
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
