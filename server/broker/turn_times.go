package broker

import "mbserver/server/metrics"

// Times: how long a turn takes, and a message until it is written.
//
// Purpose. Operators see latencies as the node itself causes them, in histograms at /metrics.
//
// Outline. A message has the time of the turn in which it came in, which is known anyway. At the
// turn's end the clock is read once; by then what the turn answered is written (timed.answers), and
// unless the loop gives way also what was fanned out (timed.fanned). What came from another loop
// has the time of that loop's turn.
//
// The same time is counted for the service that has answered (particulars.answers).
//
// Cost. A look at the clock for each turn; for a request an append and an addition to two buckets,
// for a publish an addition. A service that answers takes a kilobyte, which is remembered for it.

const (
	// answersMost and fannedMost are how many answers, and how many turns' publishes, are kept
	// apart until they are written. Of more the end is taken to be the turn's beginning, and the
	// newest stand for the others.
	answersMost = 1024
	fannedMost  = 64
)

// timed is what the times of the running turn are made of. Loop only.
type timed struct {
	times   metrics.Times
	answers []answered
	fanned  []fanned // publishes that have not been written
}

// answered is a request that was answered: when it came, in ns of the clock, and where its service
// counts; nil: nowhere.
type answered struct {
	since int64
	of    *metrics.Recent
}

// fanned is how many publishes of one turn there are.
type fanned struct {
	since int64 // ns of the clock: when that turn began
	count uint64
}

// noteAnswer notes that a service has answered e.
func (l *Loop) noteAnswer(e *entry, of *metrics.Recent) {
	a := answered{e.since(), of}
	if len(l.answers) == answersMost {
		l.countAnswer(a, l.time.Ns)
		return
	}
	l.answers = append(l.answers, a)
}

// countAnswer counts one that was written at now, in ns of the clock.
func (l *Loop) countAnswer(a answered, now int64) {
	l.times[metrics.AnswerTime].Add(now-a.since, 1)
	if a.of != nil {
		a.of.Add(l.time.Unix/1000, now-a.since)
	}
}

// answerTimes is where c counts how long its answers take; nil when the node has no memory to
// remember that.
func (c *Conn) answerTimes() *metrics.Recent {
	p := c.describe()
	of := p.answers.Load()
	if of == nil && c.mayKeep(metrics.RecentBytes) {
		of = new(metrics.Recent)
		p.answers.Store(of)
		c.keep(metrics.RecentBytes)
	}
	return of
}

// answerTimes is where the service of this node that has e counts its answers' times; nil: nowhere.
func (e *entry) answerTimes() *metrics.Recent {
	if e.target == nil {
		return nil
	}
	return e.target.answerTimes()
}

// countTime counts how long a service had e until now, if it counts that.
func (l *Loop) countTime(e *entry, of *metrics.Recent) {
	if of != nil {
		of.Add(l.time.Unix/1000, l.time.Ns-e.since())
	}
}

// noteFanOut notes that a publish was given to connections of this loop. since is when the turn
// began in which it came in; 0: it came from no loop.
func (l *Loop) noteFanOut(since int64) {
	if since == 0 {
		since = l.time.Ns
	}
	last := len(l.fanned) - 1
	if last >= 0 && (l.fanned[last].since == since || last == fannedMost-1) {
		l.fanned[last].count++
		return
	}
	l.fanned = append(l.fanned, fanned{since: since, count: 1})
}

// noteTimes measures the turn that ends now, in ns of the clock; gives says that it gives way.
func (l *Loop) noteTimes(now int64, gives bool) {
	l.pulse.end(l.time.Ns, now, gives)
	l.times[metrics.TurnTime].Add(now-l.time.Ns, 1)
	for _, a := range l.answers {
		l.countAnswer(a, now)
	}
	clear(l.answers) // do not keep services alive
	l.answers = l.answers[:0]
	if !l.writing && len(l.dirty) == 0 {
		for _, f := range l.fanned {
			l.times[metrics.FlushTime].Add(now-f.since, f.count)
		}
		l.fanned = l.fanned[:0]
	}
	l.published.Times.Publish(&l.times)
}

// countLevel counts one more, or one less, of what goes up and down.
func (l *Loop) countLevel(counter int, more bool) {
	if more {
		l.counts[counter]++
	} else {
		l.counts[counter]--
	}
}
