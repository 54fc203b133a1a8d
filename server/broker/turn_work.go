package broker

import (
	"math"
	"time"

	"mbserver/ringbuf"
	"mbserver/server/fair"
	"mbserver/server/metrics"
)

// Work: how long a loop may be at it before it looks at its sockets again.
//
// Purpose. Whatever clients send, whoever asks little is answered within milliseconds. A turn is
// bounded by what it does, not by the bytes it has read: one message may be for a thousand readers.
//
// Outline. All that a turn does is counted in units, a delivery being one (spend). After so many of
// them the clock is read (checkClock), and when the quantum is over, the loop gives way: it looks
// at its sockets, and goes on in its next turn. What arrives is taken at once while nothing is left
// over; else only so much of it as each connection's share (Conn.Receive). The rest of what was
// read is kept, charged, and its connection not read; it is put on a list and served in turn
// (serveLeft). What other loops have sent (drainInbox) and requests that waited (serveQueues) have
// a quantum each.
//
// Giving way does not write what was fanned out: a message to a thousand readers costs more to
// write than to deliver, and a thousand messages hardly more than one. It is written when nothing
// is left over, when the frames are full, or after flushDelay. A connection that got only answers
// of its own is written at once. Writing gives way, too (writePart); meanwhile nothing is taken of
// what is left over.
//
// Invariants. Each turn serves at least one of those that wait, of each kind. What is left over of
// a connection is at most one read. A loop with something left over has a turn coming.
//
// Cost. An addition and a comparison for each message, fragment and fan-out; a look at the clock
// for each workLook units.
const (
	// quantum is how long a turn takes what arrives, and how long what is left over, in ns of the
	// clock. What other loops sent, and requests that waited, have half of it each.
	quantum = int64(time.Millisecond)

	// workLook is bounds.workLook: units of work between two looks at the clock.
	workLook = 256

	// promptMost is how many connections may be answered, of each kind of work, before the writing
	// has its turn: about a quantum's worth.
	promptMost = 256

	// writeLook is bounds.writeLook: connections written between two looks at the clock.
	writeLook = 16

	// messageWork is what it takes to take a message, in deliveries; errorWork what it takes
	// besides to answer it with an error.
	messageWork = 8
	errorWork   = 16

	// share is how many units of a connection's input are taken at once when it arrives. Of what is
	// left over of it little is taken before those have a turn who have more: for as long as a
	// quantum, so that what is alike is written together.
	share  = 384
	little = 2 << 10

	// readBusy is how many bytes a read takes while the loop is busy; readLeast how many when what
	// is left over holds more than bounds.restBytes.
	readBusy  = 8 << 10
	readLeast = 1 << 10

	// overfull is from how many bytes in its frames on a loop takes nothing that arrives, until
	// they are written.
	overfull = 8 * turnMax

	// flushDelay is how long what was fanned out may wait for more, in ns of the clock.
	flushDelay = 5 * int64(time.Millisecond)
)

// working is the work of the running turn, and what is left over for the next. Loop only.
type working struct {
	units   int              // done, of the kind at hand
	before  int              // done before in this turn, of other kinds
	look    int              // units at which the clock is read again
	until   int64            // ns of the clock: the quantum's end
	spent   bool             // it is over
	woken   int              // connections that were to be answered when it began
	few     fair.List[*Conn] // with input left over, of which little was taken; next one first
	many    fair.List[*Conn] // the others with input left over
	rests   int64            // bytes charged for it
	served  bool             // some of it was taken in this turn
	writing bool             // what was fanned out is being written
	wrote   int              // connections of the dirty list that were
	written bool             // this turn has written as much of it as it may
	since   int64            // ns of the clock: fanned-out frames wait since then; 0: none do
}

// measure begins a quantum of so many ns for another kind of work.
func (l *Loop) measure(now, length int64) {
	l.before += l.units
	l.units, l.look, l.until, l.spent = 0, l.broker.workLook, now+length, false
	l.woken = len(l.prompt)
}

// spend counts work that was done.
func (l *Loop) spend(units int) {
	if l.units += units; l.units >= l.look {
		l.checkClock()
	}
}

// checkClock finds out whether the quantum is over, or enough connections are to be answered: that
// takes its time, too, at the end of the turn.
func (l *Loop) checkClock() {
	l.look = l.units + l.broker.workLook
	if simfaultBuild && strikes(simEndlessTurn) {
		l.until = math.MaxInt64
	}
	if !l.spent {
		l.spent = len(l.prompt)-l.woken >= promptMost || l.driver.Now().Ns >= l.until
	}
}

// busy says that the loop has more to do than one quantum.
func (l *Loop) busy() bool {
	return l.leftOver() || l.writing || l.inTurn && l.spent
}

// leftOver says whether there is input left over.
func (l *Loop) leftOver() bool { return l.few.First() != nil || l.many.First() != nil }

// ReadSize is how many bytes a read may take, most being what is possible: little when the loop is
// busy, because what is left over of it is kept. Loop only.
func (l *Loop) ReadSize(most int) int {
	switch {
	case !l.busy():
		return most
	case l.rests > l.broker.restBytes:
		return min(readLeast, most)
	}
	return min(readBusy, most)
}

// GivesWay says that the turn has left work over, for after a look at the sockets. Loop only.
func (l *Loop) GivesWay() bool { return l.takesMore() || l.endsMore() }

// takesMore says that there is more to take in: what is fanned out of it is written together. So
// there is when the last has just been taken: who sends much will have sent more.
func (l *Loop) takesMore() bool {
	return l.served || l.writing || l.leftOver() || l.inbox.leavesOver() || l.serving()
}

// keepRest keeps input of c that is not taken now. in is copied.
func (c *Conn) keepRest(in []byte) {
	p := c.pauseOf()
	if p.rest == nil {
		p.rest = ringbuf.NewShared(len(in))
	}
	p.rest.B = append(p.rest.B, in...)
	c.loop.chargeRest(p)
	if !p.stops() {
		c.queueLeft()
	}
}

// chargeRest charges the loop for what is kept of p's input. It is the node that does not take it:
// nobody is a laggard for it.
func (l *Loop) chargeRest(p *pauseState) {
	more := -p.charged
	if p.rest != nil {
		more += bodyCharge(p.rest)
	}
	p.charged += more
	l.rests += more
	l.charge += more
}

// queueLeft puts c on the list of those with input left over.
func (c *Conn) queueLeft() {
	if p := c.paused; !p.left {
		p.left, p.much, p.units = true, false, 0
		p.turn.Item = c
		c.loop.few.Push(&p.turn)
	}
}

// unqueueLeft takes c off that list.
func (c *Conn) unqueueLeft() {
	p := c.paused
	switch {
	case !p.left:
		return
	case p.much:
		c.loop.many.Remove(&p.turn)
	default:
		c.loop.few.Remove(&p.turn)
	}
	p.left = false
}

// requeueLeft puts c at the end of those of whose input much was taken.
func (c *Conn) requeueLeft() {
	c.unqueueLeft()
	p := c.paused
	p.left, p.much = true, true
	c.loop.many.Push(&p.turn)
}

// serveLeft takes input that is left over, of one connection after the other: first of those of
// which little was taken yet. Who sends little and came behind for once is not behind for long.
func (l *Loop) serveLeft() {
	// While the frames are written, nothing that would fill them is taken.
	if l.served = l.leftOver() && !l.writing; !l.served {
		return
	}
	l.measure(l.driver.Now().Ns, quantum)
	l.serveList(&l.few)
	if l.spent {
		l.measure(l.driver.Now().Ns, quantum/4)
	}
	l.serveList(&l.many)
}

func (l *Loop) serveList(left *fair.List[*Conn]) {
	for k := left.First(); k != nil && !l.spent && !l.writing; k = left.First() {
		l.serveRest(k.Item)
		if 4*l.turn.Len() > 3*turnMax {
			l.writing = true // rather than to write the next one's messages in two parts
		}
	}
}

// serveRest takes what is left over of c's input, and then what has arrived since, until it has had
// its turn or nothing is left; then c is read again.
func (l *Loop) serveRest(c *Conn) {
	p := c.paused
	from, most, more := l.units, little-p.units, true
	if p.much {
		most = math.MaxInt
	}
	if p.rest != nil {
		in := p.rest.B[p.at:]
		l.guard(c, func() { in = c.receive(in, 1, most) })
		if p.at = len(p.rest.B) - len(in); len(in) == 0 {
			p.rest.Release()
			p.rest, p.at = nil, 0
			l.chargeRest(p)
		}
	}
	for more && p.rest == nil && c.state == stateOpen && !p.stops() && !l.spent &&
		l.units-from < most {
		in := c.sock.Read()
		if more = len(in) > 0; more {
			c.hear()
			l.counts[metrics.BytesRead] += uint64(len(in))
			c.receivedBytes.Add(uint64(len(in)))
		}
		l.guard(c, func() { in = c.receive(in, 1, most-(l.units-from)) })
		if len(in) > 0 {
			c.keepRest(in)
		}
	}
	p.units += l.units - from
	switch {
	case c.state != stateOpen: // what is left is forgotten with c
		c.unqueueLeft()
		return
	case p.stops() || p.told: // resumePublishers goes on
		c.unqueueLeft()
	case !more:
		c.unqueueLeft()
		c.readOn()
	case p.much || p.units >= little:
		c.requeueLeft()
	}
	c.recharge()
}

// writesAll says whether what was fanned out is written now.
func (l *Loop) writesAll() bool {
	if !l.takesMore() || l.framesFull() {
		return true
	}
	now := l.driver.Now().Ns
	if l.since == 0 {
		l.since = now
	}
	return now-l.since >= flushDelay
}

// fill ends the taking of input because the turn has gathered as much as it may.
func (l *Loop) fill() { l.writing, l.spent = true, true }

// shareNow is how many units of input that has just arrived are taken at once: at least, when the
// quantum is over, and at most. While much more waits to be written than should, because there are
// very many connections and each has sent its share, it is one message of each; of even more,
// nothing.
func (l *Loop) shareNow() (least, most int) {
	if !l.busy() {
		return share, math.MaxInt
	}
	switch gathered := l.turn.Len(); {
	case gathered > overfull:
		return 0, 0
	case gathered > 2*turnMax:
		return 1, 1
	}
	return share, share
}

// writePart writes what was fanned out, for a quantum; the rest is written in the next turn.
func (l *Loop) writePart() {
	l.writing = true
	look := l.broker.writeLook
	if len(l.dirty)-l.wrote > look {
		l.measure(l.driver.Now().Ns, quantum)
	}
	for n := 1; l.wrote < len(l.dirty); n++ {
		c := l.dirty[l.wrote]
		l.wrote++
		c.dirty = clean
		l.flushOne(c)
		if n%look == 0 && l.wrote < len(l.dirty) {
			if l.checkClock(); l.spent {
				l.written = true // what was written may have more to say, in this turn
				return
			}
		}
	}
	l.flush()
}

// framesFull says that the turn has gathered as much as it may.
func (l *Loop) framesFull() bool { return l.turn.Len() > turnMax }
