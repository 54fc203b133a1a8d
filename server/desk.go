package server

import "sync"

// desk composes answers that need the whole registry or the whole tree, on one goroutine, so that a monitoring console
// never delays a message.
type desk struct {
	jobs chan func()
	done sync.WaitGroup
}

func (d *desk) start() {
	d.jobs = make(chan func(), deskQueue)
	d.done.Add(1)
	go func() {
		defer d.done.Done()
		for job := range d.jobs {
			job()
		}
	}()
}

// stop ends the desk once its queue is done. Nothing may be asked afterwards.
func (d *desk) stop() {
	if d.jobs != nil {
		close(d.jobs)
		d.done.Wait()
	}
}

// ask queues a job; false means that too many wait.
func (d *desk) ask(job func()) bool {
	select {
	case d.jobs <- job:
		return true
	default:
		return false
	}
}
